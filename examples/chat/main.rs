//! A chat: rooms by URL, names, who is here, and a history that outlives the program.
//!
//! ```sh
//! cargo run --bin chat
//! ```
//!
//! Then open <http://127.0.0.1:1999>, and the same once more in a second tab. What is said
//! over the wire stands in `PROTOCOL.md`; the page in `public/` talks to this program by the
//! `partysocket` package, as it is on npm. Its script is written in TypeScript, in `page/`, against
//! the messages of `protocol.rs`.
//!
//! What to learn here:
//!
//! * A room is a struct. `on_start` builds it from what is stored, and from who is still
//!   connected when it starts again after a failure.
//! * A hook has its room to itself: `&mut self`, no lock.
//! * Messages are types. What does not parse is answered before it reaches the room, and the
//!   page's compiler knows them too: a test keeps `page/protocol/main.ts` in step with them.
//! * Store, then broadcast. The broadcast leaves when the message is on disk, so nobody
//!   ever saw a message that a crash could take back.
//! * Presence goes by connection id, because a client that reconnects keeps its id.

mod protocol;

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use partyrs::http::Method;
use partyrs::prelude::*;
use partyrs_runtime::Host;

use protocol::{Ask, History, Message, Person, Summary, Tell};

/// How many messages a newcomer is shown. All of them are kept.
const RECENT_MAX: usize = 200;

/// One room.
struct Chat {
    recent: History,
    messages_count: u64,
    /// Who has joined, and by what name.
    people: BTreeMap<ConnectionId, String>,
}

#[tokio::main]
async fn main() -> partyrs_runtime::Result {
    partyrs_examples::log_to_stderr();
    Host::builder()
        .party::<Chat>("main")
        .assets(concat!(env!("CARGO_MANIFEST_DIR"), "/chat/public"))
        .build()?
        .serve_from_env()
        .await
}

impl PartyServer for Chat {
    type Message = Ask;

    async fn on_start(room: &Room) -> Result<Self> {
        let newest = List::prefix("message:").limit(RECENT_MAX).reverse();
        let newest: Vec<(String, Message)> = room.storage().list(newest).await?;
        let messages_count = match newest.first() {
            Some((_, message)) => message.id.parse()?,
            None => 0,
        };
        let recent = newest.into_iter().rev().map(|(_, message)| message).collect();

        // A room that starts again finds its connections as they were, names included.
        let mut people = BTreeMap::new();
        for connection in room.connections() {
            if let Some(name) = connection.state()? {
                people.insert(connection.id().clone(), name);
            }
        }
        Ok(Self { recent, messages_count, people })
    }

    async fn on_connect(&mut self, _: &Room, connection: &Connection, _: &ConnectContext) -> Result<()> {
        let people = self.people.iter().map(|(id, name)| Person { id: id.as_str(), name }).collect();
        connection.send(Tell::Welcome { you: connection.id().as_str(), messages: &self.recent, people })?;
        Ok(())
    }

    async fn on_message(&mut self, room: &Room, sender: &Connection, message: Ask) -> Result<()> {
        match message {
            Ask::Join { name } => self.join(room, sender, name.0),
            Ask::Say { text } => self.say(room, sender, text),
        }
    }

    async fn on_close(&mut self, room: &Room, connection: &Connection, close: &Close) -> Result<()> {
        // The new socket of someone who reconnects often comes before the old one is known to be lost.
        if close.last_of_id && self.people.remove(connection.id()).is_some() {
            room.broadcast(Tell::Left { id: connection.id().as_str() })?;
        }
        Ok(())
    }

    async fn on_request(&mut self, room: &Room, request: Request) -> Result<Response> {
        if request.method() != Method::GET {
            return Err(Error::status(405, "a room answers GET only"));
        }
        let (people, messages) = (self.people.len(), self.messages_count);
        Response::json(&Summary { room: room.id().as_str(), people, messages })
    }
}

impl Chat {
    fn join(&mut self, room: &Room, sender: &Connection, name: String) -> Result<()> {
        sender.set_state(&name)?;
        room.broadcast(Tell::Joined { person: Person { id: sender.id().as_str(), name: &name } })?;
        self.people.insert(sender.id().clone(), name);
        Ok(())
    }

    fn say(&mut self, room: &Room, sender: &Connection, text: String) -> Result<()> {
        let Some(name) = self.people.get(sender.id()) else {
            sender.send(Tell::Error { error: "join first, to say who you are" })?;
            return Ok(());
        };
        self.messages_count += 1;
        let message = Message {
            id: format!("{:012}", self.messages_count),
            from: sender.id().to_string(),
            name: name.clone(),
            text,
            at: now(),
        };
        room.storage().put(format!("message:{}", message.id), &message)?;
        room.broadcast(Tell::Said { message: &message })?;

        self.recent.push_back(message);
        if self.recent.len() > RECENT_MAX {
            self.recent.pop_front();
        }
        Ok(())
    }
}

/// Unix time in milliseconds.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use partyrs::http;
    use partyrs::protocol::{Document, KeepError};
    use partyrs::testing::{TestConnection, TestRoom};
    use serde_json::{Value, json};

    use super::*;

    #[tokio::test]
    async fn a_newcomer_is_told_who_is_here_and_what_was_said() -> Result<()> {
        let mut room = TestRoom::<Chat>::new("tea");
        let ada = room.join_as("a").await?;
        send(&mut room, &ada, json!({ "type": "join", "name": " Ada " })).await?;
        send(&mut room, &ada, json!({ "type": "say", "text": "Hello" })).await?;

        let bob = room.join_as("b").await?;

        let [welcome] = &heard(&bob)[..] else { panic!("one frame") };
        assert_eq!(welcome["you"], "b");
        assert_eq!(welcome["people"], json!([{ "id": "a", "name": "Ada" }]));
        let said = &welcome["messages"][0];
        assert_eq!([&said["id"], &said["from"], &said["text"]], ["000000000001", "a", "Hello"]);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_said_reaches_everyone_and_its_author() -> Result<()> {
        let mut room = TestRoom::<Chat>::new("tea");
        let (ada, bob) = (room.join_as("a").await?, room.join_as("b").await?);
        heard(&bob);

        send(&mut room, &ada, json!({ "type": "join", "name": "Ada" })).await?;
        send(&mut room, &ada, json!({ "type": "say", "text": "Hello" })).await?;

        assert_eq!(types(&bob), ["joined", "said"]);
        assert_eq!(types(&ada), ["welcome", "joined", "said"]);
        Ok(())
    }

    #[tokio::test]
    async fn a_restart_keeps_the_names_the_history_and_the_numbers() -> Result<()> {
        let mut room = TestRoom::<Chat>::new("tea");
        let ada = room.join_as("a").await?;
        send(&mut room, &ada, json!({ "type": "join", "name": "Ada" })).await?;
        for number in 1..=RECENT_MAX + 1 {
            send(&mut room, &ada, json!({ "type": "say", "text": format!("message {number}") })).await?;
        }

        room.restart().await?;
        send(&mut room, &ada, json!({ "type": "say", "text": "the last" })).await?;

        let bob = room.join_as("b").await?;
        let welcome = &heard(&bob)[0];
        let messages = welcome["messages"].as_array().expect("a list");
        assert_eq!(messages.len(), RECENT_MAX);
        assert_eq!(messages[0]["text"], "message 3");
        assert_eq!(messages[RECENT_MAX - 1]["id"], "000000000202");
        assert_eq!(welcome["people"], json!([{ "id": "a", "name": "Ada" }]));
        Ok(())
    }

    #[tokio::test]
    async fn what_is_out_of_order_is_told_to_its_sender_alone() -> Result<()> {
        let mut room = TestRoom::<Chat>::new("tea");
        let (ada, bob) = (room.join().await?, room.join().await?);
        heard(&ada);
        heard(&bob);

        let (name, text) = ("x".repeat(41), "x".repeat(2001));
        let refused = [
            (json!({ "type": "say", "text": "Hello" }), "join first"),
            (json!({ "type": "join", "name": name }), "41 characters are over the limit of 40"),
            (json!({ "type": "join", "name": " " }), "must not be empty"),
            (json!({ "type": "say", "text": text }), "`say.text` must have 1 to 2000 characters"),
            (json!({ "type": "say", "text": " \n" }), "`say.text`: must not be empty"),
            (json!({ "type": "shout" }), "`shout`"),
        ];
        for (message, why) in refused {
            send(&mut room, &ada, message).await?;
            let [error] = &heard(&ada)[..] else { panic!("one answer") };
            assert!(error["error"].as_str().is_some_and(|error| error.contains(why)), "{error} {why}");
        }

        assert_eq!(heard(&bob), [] as [Value; 0]);
        Ok(())
    }

    #[tokio::test]
    async fn a_name_and_a_text_of_the_longest_are_taken() -> Result<()> {
        let mut room = TestRoom::<Chat>::new("tea");
        let ada = room.join().await?;
        heard(&ada);

        let (name, text) = ("ä".repeat(40), format!(" {} ", "ä".repeat(1998)));
        send(&mut room, &ada, json!({ "type": "join", "name": format!("  {name}\t") })).await?;
        send(&mut room, &ada, json!({ "type": "say", "text": text })).await?;

        let [joined, said] = &heard(&ada)[..] else { panic!("two frames") };
        assert_eq!(joined["person"]["name"], name);
        assert_eq!(said["message"]["text"], text);
        Ok(())
    }

    #[tokio::test]
    async fn a_person_leaves_with_the_last_socket() -> Result<()> {
        let mut room = TestRoom::<Chat>::new("tea");
        let (bob, old) = (room.join_as("b").await?, room.join_as("a").await?);
        send(&mut room, &old, json!({ "type": "join", "name": "Ada" })).await?;
        let new = room.join_as("a").await?;
        heard(&bob);

        room.leave(&old, Close::lost()).await?;
        assert_eq!(heard(&bob), [] as [Value; 0]);
        room.leave(&new, Close::lost()).await?;
        assert_eq!(heard(&bob), [json!({ "type": "left", "id": "a" })]);
        Ok(())
    }

    #[tokio::test]
    async fn a_get_tells_how_many_people_and_messages_there_are() -> Result<()> {
        let mut room = TestRoom::<Chat>::new("tea");
        let ada = room.join().await?;
        send(&mut room, &ada, json!({ "type": "join", "name": "Ada" })).await?;
        send(&mut room, &ada, json!({ "type": "say", "text": "Hello" })).await?;

        let answer = room.request(http::Request::get("/parties/main/tea").body("")?).await?;
        let told: Value = serde_json::from_slice(answer.whole().await?.body())?;
        assert_eq!(told, json!({ "room": "tea", "people": 1, "messages": 1 }));

        let refused = room.request(http::Request::post("/parties/main/tea").body("")?).await;
        assert_eq!(refused.expect_err("an answer").public_status().expect("a status").0, 405);
        Ok(())
    }

    #[test]
    fn the_protocol_is_the_one_that_pages_know() -> Result<(), KeepError> {
        Document::of::<Ask, Tell<'_>>("main").keep("chat/page/protocol")
    }

    async fn send(room: &mut TestRoom<Chat>, client: &TestConnection, message: Value) -> Result<()> {
        room.send(client, Json(message)).await
    }

    fn heard(client: &TestConnection) -> Vec<Value> {
        let text = |frame: Frame| frame.as_text().map(str::to_owned).expect("a text frame");
        client.received().into_iter().map(|frame| text(frame).parse().expect("JSON")).collect()
    }

    fn types(client: &TestConnection) -> Vec<Value> {
        heard(client).iter().map(|message| message["type"].clone()).collect()
    }
}
