//! A board that is written by plain HTTP and read live: `POST` adds a message, `GET` lists
//! them all, and whoever is connected by WebSocket hears each at once.
//!
//! ```sh
//! cargo run --bin messages
//! ```
//!
//! and in another shell, with `websocat ws://127.0.0.1:1999/party/board` or a browser listening:
//!
//! ```sh
//! curl -d '{"message":"Hello!"}' http://127.0.0.1:1999/party/board
//! curl http://127.0.0.1:1999/party/board
//! ```
//!
//! So a webhook, a cron job or the first rendering of a page needs no WebSocket, and what it
//! does is seen by those who have one. `http://127.0.0.1:1999/health` tells how the room `board`
//! is, every weekday at 8:00 (UTC) that board says good morning, and pages of any origin may
//! read and write.
//!
//! What to learn here:
//!
//! * `on_request` is a hook like the others: the same `&mut self`, the same connections.
//! * The answer to a `POST` waits, like the broadcast, until the message is on disk: who was
//!   told `OK` has been heard for good.
//! * `request.json()?` and `Error::status` are answers. What is wrong with a body is told to
//!   its sender, and the room does not notice.
//! * What is no room is answered by a `LobbyServer`, which also does what is due by the clock. It
//!   reaches every room as a room reaches others, and keeps nothing itself.
//! * `cors` is a line of the host, and no header in a hook.
//! * What may grow without end is bounded: the oldest goes in the commit that brings the newest.

use std::collections::VecDeque;

use partyrs::http::header::{ALLOW, HeaderValue};
use partyrs::http::{Method, StatusCode};
use partyrs::prelude::*;
use partyrs_runtime::{Builder, Cors, Host};
use serde::Deserialize;

/// How many messages a room keeps.
const MESSAGES_MAX: usize = 1000;

/// The longest message, in bytes.
const MESSAGE_BYTES_MAX: usize = 4096;

/// One board.
struct Messages {
    /// Oldest first.
    messages: VecDeque<String>,
    /// The number of the oldest message, which is its key.
    first: u64,
}

/// What answers outside the boards.
struct Site;

/// What is posted: `{"message":"Hello!"}`.
#[derive(Deserialize)]
struct Post {
    message: String,
}

#[tokio::main]
async fn main() -> partyrs_runtime::Result {
    partyrs_examples::log_to_stderr();
    host().build()?.serve_from_env().await
}

fn host() -> Builder {
    let host = Host::builder().party::<Messages>("main").cors(Cors::permissive());
    host.lobby(Site).cron("good-morning", "0 8 * * mon-fri")
}

impl PartyServer for Messages {
    /// Connections only listen; whatever they send is let in and not looked at.
    type Message = Frame;

    async fn on_start(room: &Room) -> Result<Self> {
        let stored: Vec<(String, String)> = room.storage().list(List::prefix(MESSAGE)).await?;
        let first = match stored.first() {
            Some((key, _)) => key[MESSAGE.len()..].parse()?,
            None => 0,
        };
        Ok(Self { messages: stored.into_iter().map(|(_, message)| message).collect(), first })
    }

    async fn on_request(&mut self, room: &Room, request: Request) -> Result<Response> {
        match *request.method() {
            Method::POST => self.add(room, request.json::<Post>()?.message),
            Method::GET => Response::json(&self.messages),
            _ => Ok(Response::text("Method not allowed")
                .with_status(StatusCode::METHOD_NOT_ALLOWED)
                .with_header(ALLOW, HeaderValue::from_static("GET, POST"))),
        }
    }
}

impl LobbyServer for Site {
    /// `/health` asks the board itself, so that its `200` says more than that somebody listens.
    async fn on_fetch(&self, request: Request, lobby: &HostLobby) -> Result<Option<Response>> {
        if request.uri().path() != "/health" {
            return Ok(None);
        }
        let count = board(lobby)?.run(async |board, _| Ok(board.messages.len())).await?;
        Ok(Some(Response::text(format!("OK, messages: {count}"))))
    }

    async fn on_cron(&self, _: &Cron, lobby: &HostLobby) -> Result<()> {
        let greeting = "Good morning!".to_owned();
        board(lobby)?.run(async |board, room| board.add(room, greeting).map(drop)).await?;
        Ok(())
    }
}

fn board(lobby: &HostLobby) -> Result<RoomHandle<Messages>> {
    Ok(lobby.parties().party("main")?.room("board")?)
}

impl Messages {
    fn add(&mut self, room: &Room, message: String) -> Result<Response> {
        let len_bytes = message.len();
        if len_bytes > MESSAGE_BYTES_MAX {
            let text = format!("message of {len_bytes} bytes is over the limit of {MESSAGE_BYTES_MAX}");
            return Err(Error::status(413, text));
        }
        room.storage().put(key(self.first + self.messages.len() as u64), &message)?;
        room.broadcast(&message)?;
        self.messages.push_back(message);
        if self.messages.len() > MESSAGES_MAX {
            room.storage().delete(key(self.first));
            self.messages.pop_front();
            self.first += 1;
        }
        Ok(Response::text("OK"))
    }
}

/// Before the number of a message, the key under which it is stored.
const MESSAGE: &str = "message:";

/// Padded with zeros, so that keys sort as numbers.
fn key(number: u64) -> String {
    format!("{MESSAGE}{number:020}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use partyrs::http;
    use partyrs::testing::TestRoom;
    use partyrs_runtime::testing::{TestHost, soon};
    use serde_json::{Value, json};

    use super::*;

    #[tokio::test]
    async fn a_post_is_heard_by_everyone_and_listed_by_a_get() -> Result<()> {
        let mut board = TestRoom::<Messages>::new("board");
        let (ada, bob) = (board.join().await?, board.join().await?);

        assert_eq!(post(&mut board, "Hello!").await?, "OK");
        assert_eq!(post(&mut board, "").await?, "OK");

        let heard = [Frame::text("Hello!"), Frame::text("")];
        assert_eq!((ada.received(), bob.received()), (heard.to_vec(), heard.to_vec()));
        assert_eq!(list(&mut board).await?, json!(["Hello!", ""]));
        Ok(())
    }

    #[tokio::test]
    async fn a_restart_keeps_the_messages_in_their_order() -> Result<()> {
        let mut board = TestRoom::<Messages>::new("board");
        assert_eq!(list(&mut board).await?, json!([]));
        for number in 0..12 {
            post(&mut board, &format!("{number}")).await?;
        }

        board.restart().await?;
        post(&mut board, "12").await?;

        let wanted: Vec<String> = (0..=12).map(|number| number.to_string()).collect();
        assert_eq!(list(&mut board).await?, json!(wanted));
        Ok(())
    }

    #[tokio::test]
    async fn a_full_board_forgets_the_oldest_for_good() -> Result<()> {
        let mut board = TestRoom::<Messages>::new("board");
        for number in 0..=MESSAGES_MAX {
            post(&mut board, &format!("{number}")).await?;
        }
        for _ in 0..2 {
            let messages = list(&mut board).await?;
            assert_eq!(messages.as_array().map(Vec::len), Some(MESSAGES_MAX));
            assert_eq!((&messages[0], &messages[MESSAGES_MAX - 1]), (&json!("1"), &json!("1000")));
            board.restart().await?;
        }
        Ok(())
    }

    #[tokio::test]
    async fn a_body_that_is_no_message_is_answered_and_nobody_hears_of_it() -> Result<()> {
        let mut board = TestRoom::<Messages>::new("board");
        let ada = board.join().await?;

        let long = json!({ "message": "x".repeat(MESSAGE_BYTES_MAX + 1) }).to_string();
        let bad = [
            ("", 400),
            ("Hello!", 400),
            (r#"{"text":"Hello!"}"#, 400),
            (r#"{"message":7}"#, 400),
            (&long, 413),
        ];
        for (body, status) in bad {
            let request = http::Request::post("/party/board").body(body.to_owned())?;
            let refused = board.request(request).await.expect_err("an answer");
            assert_eq!(
                refused.public_status().map(|(status, _)| status.as_u16()),
                Some(status),
                "{body:.20}"
            );
        }

        assert_eq!(ada.received(), []);
        assert_eq!(post(&mut board, &"x".repeat(MESSAGE_BYTES_MAX)).await?, "OK");
        Ok(())
    }

    #[tokio::test]
    async fn other_methods_are_405_and_told_which_are_allowed() -> Result<()> {
        let mut board = TestRoom::<Messages>::new("board");
        for method in ["PUT", "DELETE", "OPTIONS"] {
            let request = http::Request::builder().method(method).uri("/party/board").body("")?;
            let answer = board.request(request).await?.into_http();
            assert_eq!((answer.status().as_u16(), &answer.headers()["allow"]), (405, &"GET, POST".parse()?));
        }
        Ok(())
    }

    #[tokio::test]
    async fn the_lobby_tells_how_the_board_is_and_says_good_morning_to_it() {
        let host = TestHost::of(host()).await;
        assert_eq!(host.get("/health").await.body(), "OK, messages: 0");
        assert_eq!(host.get("/elsewhere").await.status(), 404);

        // In three days there is a weekday, and what is missed is made up for once.
        host.advance(Duration::from_secs(3 * 24 * 60 * 60));
        let greeted = async { while host.get("/health").await.body() != "OK, messages: 1" {} };
        soon(greeted).await;
        assert_eq!(host.get("/party/board").await.body(), r#"["Good morning!"]"#);
    }

    async fn post(board: &mut TestRoom<Messages>, message: &str) -> Result<String> {
        let body = json!({ "message": message }).to_string();
        text(board.request(http::Request::post("/party/board").body(body)?).await?).await
    }

    async fn list(board: &mut TestRoom<Messages>) -> Result<Value> {
        let answer = board.request(http::Request::get("/party/board").body("")?).await?;
        Ok(text(answer).await?.parse()?)
    }

    async fn text(answer: Response) -> Result<String> {
        Ok(String::from_utf8(answer.whole().await?.into_body().into())?)
    }
}
