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

    async fn on_message(&mut self, room: &Room, sender: &Connection, ask: Ask) -> Result<()> {
        ask.dispatch(self, room, sender).await
    }
}

impl AskHandler for Table {
    async fn say(&mut self, _: &Room, sender: &Connection, text: String) -> Result<()> {
        sender.send(text)?;
        Ok(())
    }

    async fn leave(&mut self, _: &Room, sender: &Connection, reason: String) -> Result<()> {
        sender.close(1000, &reason)?;
        Ok(())
    }
}

fn main() {}
