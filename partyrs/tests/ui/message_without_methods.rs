use partyrs::prelude::*;

#[derive(FromFrame)]
enum Ask {
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

fn main() {}
