#![deny(dead_code)]

use partyrs::prelude::*;

#[derive(FromFrame, Dispatch)]
enum Ask {
    Say { text: String },
    Leave,
}

struct Table;

impl PartyServer for Table {
    type Message = Ask;

    async fn on_start(_: &Room) -> Result<Self> {
        Ok(Table)
    }
}

impl AskHandler for Table {
    async fn say(&mut self, _: &Room, sender: &Connection, text: String) -> Result<()> {
        sender.send(text)?;
        Ok(())
    }

    async fn leave(&mut self, _: &Room, sender: &Connection) -> Result<()> {
        sender.close(1000, "see you")?;
        Ok(())
    }
}

fn main() {
    let _ = partyrs::testing::TestRoom::<Table>::new("lobby");
}
