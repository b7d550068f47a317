//! A room that keeps one JSON object: `GET` reads it, `POST` replaces it and tells everyone who
//! is connected, and every other method is refused.
//!
//! ```sh
//! cargo run --bin state
//! ```
//!
//! and in another shell:
//!
//! ```sh
//! curl -d '{"light":"green"}' http://127.0.0.1:1999/party/crossing
//! curl http://127.0.0.1:1999/party/crossing
//! ```
//!
//! A connection hears `{"type":"state-updated","light":"green"}`: at once when it comes, if there
//! is a state, and then after each `POST`. So a client that was away knows all when it is back.
//! It only listens; one that sends something is closed with 1008.
//!
//! What to learn here:
//!
//! * A room may keep nothing in memory and ask its storage. A hook has the room to itself, so
//!   nothing can come between the reading and the sending.
//! * Such a room may hibernate: when its clients have been silent for 10 s it leaves memory, and
//!   they stay connected.
//! * A message can carry a value whose keys are not known: a variant with one field.
//! * A body is a stranger's. What would make a message ambiguous is refused before it is stored.
//! * `Error::close` is an answer to a connection, as `Error::status` is one to a request.

use partyrs::http::header::{ALLOW, HeaderValue};
use partyrs::http::{Method, StatusCode};
use partyrs::prelude::*;
use partyrs_runtime::Host;
use serde_json::{Map, Value};

/// A room of which all is in storage.
struct State;

/// What is stored: any JSON object without the key `type`.
type Object = Map<String, Value>;

/// What connections hear: the keys of the state beside `"type":"state-updated"`.
#[derive(IntoFrame)]
#[frame(rename_all = "kebab-case")]
enum Tell<'a> {
    StateUpdated(&'a Object),
}

#[tokio::main]
async fn main() -> partyrs_runtime::Result {
    partyrs_examples::log_to_stderr();
    Host::builder().party::<State>("main").build()?.serve_from_env().await
}

impl PartyServer for State {
    type Message = Frame;

    const OPTIONS: PartyOptions = PartyOptions::DEFAULT.hibernate(true);

    async fn on_start(_: &Room) -> Result<Self> {
        Ok(State)
    }

    async fn on_connect(&mut self, room: &Room, connection: &Connection, _: &ConnectContext) -> Result<()> {
        if let Some(state) = stored(room).await? {
            connection.send(Tell::StateUpdated(&state))?;
        }
        Ok(())
    }

    async fn on_message(&mut self, _: &Room, _: &Connection, _: Frame) -> Result<()> {
        Err(Error::close(1008, "the state is changed by POST"))
    }

    async fn on_request(&mut self, room: &Room, request: Request) -> Result<Response> {
        match *request.method() {
            Method::GET => Response::json(&stored(room).await?),
            Method::POST => replace(room, &request.json()?),
            _ => Ok(Response::text("Method not allowed")
                .with_status(StatusCode::METHOD_NOT_ALLOWED)
                .with_header(ALLOW, HeaderValue::from_static("GET, POST"))),
        }
    }
}

/// `None`, as JSON `null`, until somebody has posted a state.
async fn stored(room: &Room) -> Result<Option<Object>> {
    Ok(room.storage().get("state").await?)
}

fn replace(room: &Room, state: &Object) -> Result<Response> {
    if state.contains_key("type") {
        return Err(Error::status(400, "`type` says which message it is and cannot be a key of the state"));
    }
    room.storage().put("state", state)?;
    room.broadcast(Tell::StateUpdated(state))?;
    Ok(Response::text("OK"))
}

#[cfg(test)]
mod tests {
    use partyrs::testing::TestRoom;
    use partyrs::{CloseFrame, http};
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn a_post_replaces_the_state_and_everyone_hears_of_it() -> Result<()> {
        let mut crossing = TestRoom::<State>::new("crossing");
        let ada = crossing.join().await?;
        assert_eq!(ask(&mut crossing, "GET", "").await?, (200, "null".into()));

        let state = json!({ "light": "green", "cars": [1, { "two": null }] });
        assert_eq!(ask(&mut crossing, "POST", &state.to_string()).await?, (200, "OK".into()));
        assert_eq!(ask(&mut crossing, "POST", r#"{"light":"red"}"#).await?, (200, "OK".into()));

        let first = r#"{"type":"state-updated","cars":[1,{"two":null}],"light":"green"}"#;
        let second = r#"{"type":"state-updated","light":"red"}"#;
        assert_eq!(ada.received(), [Frame::text(first), Frame::text(second)]);
        assert_eq!(ask(&mut crossing, "GET", "").await?, (200, r#"{"light":"red"}"#.into()));
        Ok(())
    }

    #[tokio::test]
    async fn who_comes_later_hears_the_state_after_a_restart_too() -> Result<()> {
        let mut crossing = TestRoom::<State>::new("crossing");
        ask(&mut crossing, "POST", r#"{"light":"red"}"#).await?;
        crossing.restart().await?;

        let late = crossing.join().await?;

        assert_eq!(late.received(), [Frame::text(r#"{"type":"state-updated","light":"red"}"#)]);
        Ok(())
    }

    #[tokio::test]
    async fn a_body_that_is_no_state_is_400_and_changes_nothing() -> Result<()> {
        let mut crossing = TestRoom::<State>::new("crossing");
        let ada = crossing.join().await?;
        for body in ["", "green", "[1]", "7", "null", r#"{"type":"state-updated"}"#] {
            assert_eq!(ask(&mut crossing, "POST", body).await?.0, 400, "{body}");
        }
        assert_eq!(ask(&mut crossing, "GET", "").await?.1, "null");
        assert_eq!(ada.received(), []);
        Ok(())
    }

    #[tokio::test]
    async fn a_connection_that_sends_something_is_closed_with_1008() -> Result<()> {
        let mut crossing = TestRoom::<State>::new("crossing");
        let (ada, bob) = (crossing.join().await?, crossing.join().await?);
        let refused = crossing.send(&ada, r#"{"light":"red"}"#).await.expect_err("an answer");
        assert_eq!(refused.public_close().map(CloseFrame::code), Some(1008));
        assert_eq!(ada.closed(), Some((1008, "the state is changed by POST".into())));
        assert_eq!((bob.closed(), bob.received()), (None, vec![]));
        Ok(())
    }

    #[tokio::test]
    async fn other_methods_are_405() -> Result<()> {
        let mut crossing = TestRoom::<State>::new("crossing");
        for method in ["PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"] {
            let answer = ask(&mut crossing, method, r#"{"light":"red"}"#).await?;
            assert_eq!(answer, (405, "Method not allowed".into()), "{method}");
        }
        Ok(())
    }

    /// Status and text of the answer, whether the hook gave it or refused.
    async fn ask(crossing: &mut TestRoom<State>, method: &str, body: &str) -> Result<(u16, String)> {
        let request = http::Request::builder().method(method).uri("/party/crossing").body(body.to_owned())?;
        let answer = match crossing.request(request).await {
            Ok(answer) => answer.whole().await?,
            Err(error) => match error.public_status() {
                Some((status, text)) => return Ok((status.as_u16(), text.to_owned())),
                None => return Err(error),
            },
        };
        Ok((answer.status().as_u16(), String::from_utf8(answer.into_body().into())?))
    }
}
