//! A method for each message, called for what comes over a socket.

use partyrs::prelude::*;
use partyrs_runtime::testing::TestHost;

/// Stores who sits where; every method waits for the storage, and so does the answer for the disk.
struct Table;

#[derive(FromFrame, Dispatch)]
#[frame(rename_all = "kebab-case")]
enum Ask {
    Sit { seat: u8, name: String },
    Who,
    Fall,
}

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
    async fn sit(&mut self, room: &Room, _: &Connection, seat: u8, name: String) -> Result<()> {
        let before: Option<String> = room.storage().get(&seat.to_string()).await?;
        room.storage().put(seat.to_string(), &name)?;
        room.broadcast(format!("{name} on {seat} after {before:?}"))?;
        Ok(())
    }

    async fn who(&mut self, room: &Room, sender: &Connection) -> Result<()> {
        let seats = room.storage().list::<String>(List::all()).await?;
        sender.send(format!("{:?}", seats.into_iter().collect::<Vec<_>>()))?;
        Ok(())
    }

    async fn fall(&mut self, room: &Room, _: &Connection) -> Result<()> {
        room.storage().delete("1");
        panic!("as asked");
    }
}

#[tokio::test]
async fn a_message_calls_its_method_in_the_order_in_which_it_came() {
    let host = TestHost::start::<Table>().await;
    let (mut ada, mut bob) = (host.join("lobby").await, host.join("lobby").await);

    ada.send(r#"{"type":"sit","seat":1,"name":"ada"}"#).await;
    ada.send(r#"{"name":"eve","seat":1,"type":"sit"}"#).await;
    ada.send(r#"{"type":"who"}"#).await;

    for client in [&mut ada, &mut bob] {
        assert_eq!(client.next_text().await, "ada on 1 after None");
        assert_eq!(client.next_text().await, r#"eve on 1 after Some("ada")"#);
    }
    assert_eq!(ada.next_text().await, r#"[("1", "eve")]"#);
}

#[tokio::test]
async fn a_method_that_panics_or_is_not_known_costs_nobody_the_socket() {
    let host = TestHost::start::<Table>().await;
    let mut ada = host.join("lobby").await;
    ada.send(r#"{"type":"sit","seat":1,"name":"ada"}"#).await;
    assert_eq!(ada.next_text().await, "ada on 1 after None");

    ada.send(r#"{"type":"fall"}"#).await;
    ada.send(r#"{"type":"stand"}"#).await;
    ada.send(r#"{"type":"who"}"#).await;

    let unknown =
        "{\"type\":\"error\",\"error\":\"unknown type `stand`, expected one of `sit`, `who`, `fall`\"}";
    assert_eq!(ada.next_text().await, unknown);
    assert_eq!(ada.next_text().await, r#"[("1", "ada")]"#);
}
