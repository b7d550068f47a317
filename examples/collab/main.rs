//! A room to work in together: who is here, by name, and where each pointer is.
//!
//! ```sh
//! cargo run --bin collab
//! ```
//!
//! Then open <http://127.0.0.1:1999> in two windows side by side, and move the pointer. The
//! page in `public/` is a client of a few lines, with the `partysocket` package as it is on npm.
//!
//! | a client sends | |
//! |---|---|
//! | `{"type":"join","name":"Ada"}` | my name, 1 to 40 characters; again, to change it |
//! | `{"type":"cursor","x":0.5,"y":0.25}` | where my pointer is |
//!
//! | a client hears | |
//! |---|---|
//! | `{"type":"state","users":[User, ..]}` | first of all, everybody who is here |
//! | `{"type":"user-joined","user":User}` | somebody has come or has a new name; to everyone |
//! | `{"type":"cursor","id":"..","x":0.5,"y":0.25}` | somebody's pointer has moved; to everyone else |
//! | `{"type":"user-left","id":".."}` | somebody has gone; to everyone else |
//! | `{"type":"error","error":".."}` | what this client sent was refused; to it alone |
//!
//! A `User` is `{"id":"..","name":"Ada","cursor":{"x":0.5,"y":0.25}}`, the cursor null until it moves.
//!
//! What to learn here:
//!
//! * Store what a restart must not lose (who is here), and nothing that it may (where the
//!   pointers are): a write is a trip to the disk, and pointers move sixty times a second.
//! * Presence that is stored is reconciled in `on_start` with `room.connections()`, because a
//!   crash runs no `on_close`.
//! * Two sockets may have one id. `close.last_of_id` says whether the person has left with it.
//! * `broadcast_except` leaves out the one who knows already.
//! * `#[derive(Dispatch)]` gives each message a method of its own.

mod room;

use partyrs_runtime::Host;

use room::Collab;

#[tokio::main]
async fn main() -> partyrs_runtime::Result {
    partyrs_examples::log_to_stderr();
    Host::builder()
        .party::<Collab>("main")
        .assets(concat!(env!("CARGO_MANIFEST_DIR"), "/collab/public"))
        .build()?
        .serve_from_env()
        .await
}

#[cfg(test)]
mod tests {
    use partyrs::prelude::*;
    use partyrs::testing::{TestConnection, TestRoom};
    use serde_json::{Value, json};

    use super::*;

    #[tokio::test]
    async fn a_newcomer_is_told_who_is_here_and_where_they_point() -> Result<()> {
        let mut room = TestRoom::<Collab>::new("desk");
        let ada = joined(&mut room, "a", " Ada ").await?;
        joined(&mut room, "b", "Bob").await?;
        send(&mut room, &ada, json!({ "type": "cursor", "x": 0.5, "y": -2 })).await?;

        let late = room.join_as("c").await?;

        let ada = json!({ "id": "a", "name": "Ada", "cursor": { "x": 0.5, "y": -2.0 } });
        let bob = json!({ "id": "b", "name": "Bob", "cursor": null });
        assert_eq!(heard(&late), [json!({ "type": "state", "users": [ada, bob] })]);
        Ok(())
    }

    #[tokio::test]
    async fn a_name_is_told_to_everyone_and_a_pointer_to_the_others() -> Result<()> {
        let mut room = TestRoom::<Collab>::new("desk");
        let bob = joined(&mut room, "b", "Bob").await?;
        let ada = room.join_as("a").await?;
        heard(&ada);

        send(&mut room, &ada, json!({ "type": "join", "name": "Ada" })).await?;
        send(&mut room, &ada, json!({ "type": "cursor", "x": 1, "y": 2 })).await?;

        let joined = json!({ "type": "user-joined", "user": { "id": "a", "name": "Ada", "cursor": null } });
        let cursor = json!({ "type": "cursor", "id": "a", "x": 1.0, "y": 2.0 });
        assert_eq!(heard(&bob), [joined.clone(), cursor]);
        assert_eq!(heard(&ada), [joined]);
        Ok(())
    }

    #[tokio::test]
    async fn a_new_name_leaves_the_pointer_where_it_is() -> Result<()> {
        let mut room = TestRoom::<Collab>::new("desk");
        let ada = joined(&mut room, "a", "Ada").await?;
        send(&mut room, &ada, json!({ "type": "cursor", "x": 1, "y": 2 })).await?;

        send(&mut room, &ada, json!({ "type": "join", "name": "Countess" })).await?;

        let user = json!({ "id": "a", "name": "Countess", "cursor": { "x": 1.0, "y": 2.0 } });
        assert_eq!(heard(&ada), [json!({ "type": "user-joined", "user": user })]);
        Ok(())
    }

    #[tokio::test]
    async fn a_user_leaves_with_the_last_socket() -> Result<()> {
        let mut room = TestRoom::<Collab>::new("desk");
        let bob = joined(&mut room, "b", "Bob").await?;
        let old = joined(&mut room, "a", "Ada").await?;
        let new = room.join_as("a").await?;
        heard(&bob);

        room.leave(&old, Close::lost()).await?;
        assert_eq!(heard(&bob), [] as [Value; 0]);
        assert_eq!(names(&mut room).await?, ["Ada", "Bob"]);

        room.leave(&new, Close::lost()).await?;
        assert_eq!(heard(&bob), [json!({ "type": "user-left", "id": "a" })]);
        assert_eq!(names(&mut room).await?, ["Bob"]);
        Ok(())
    }

    #[tokio::test]
    async fn a_room_that_starts_again_knows_who_is_still_here() -> Result<()> {
        let mut room = TestRoom::<Collab>::new("desk");
        joined(&mut room, "a", "Ada").await?;

        room.restart().await?;

        assert_eq!(names(&mut room).await?, ["Ada"]);
        Ok(())
    }

    /// As after a crash: Ada is stored, and no `on_close` has run.
    #[tokio::test]
    async fn who_is_stored_and_not_connected_is_forgotten_when_the_room_starts() -> Result<()> {
        let mut room = TestRoom::<Collab>::new("desk");
        let bob = joined(&mut room, "b", "Bob").await?;
        let work = async |_: &mut Collab, room: &Room| Ok(room.storage().put("user:a", "Ada")?);
        let handle = room.handle();
        let (stored, settled) = tokio::join!(handle.run(work), room.settle());
        settled?;
        stored?;

        room.restart().await?;

        assert_eq!(heard(&bob), [json!({ "type": "user-left", "id": "a" })]);
        assert_eq!(names(&mut room).await?, ["Bob"]);
        assert_eq!(room.room().expect("a room").storage().get::<String>("user:a").await?, None);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_wrong_is_told_to_its_sender_alone() -> Result<()> {
        let mut room = TestRoom::<Collab>::new("desk");
        let bob = joined(&mut room, "b", "Bob").await?;
        let ada = room.join_as("a").await?;
        heard(&ada);

        let refused = [
            (json!({ "type": "cursor", "x": 1, "y": 2 }), "join first"),
            (json!({ "type": "cursor", "x": "1", "y": 2 }), "expected f64"),
            (json!({ "type": "cursor", "x": 1 }), "missing field `y`"),
            (json!({ "type": "join", "name": " " }), "must not be empty"),
            (json!({ "type": "join", "name": "x".repeat(41) }), "41 characters are over the limit of 40"),
            (json!({ "type": "draw" }), "unknown type `draw`"),
        ];
        for (message, why) in refused {
            send(&mut room, &ada, message).await?;
            let [error] = &heard(&ada)[..] else { panic!("one answer") };
            assert!(error["error"].as_str().is_some_and(|error| error.contains(why)), "{error} {why}");
        }

        assert_eq!(heard(&bob), [] as [Value; 0]);
        send(&mut room, &ada, json!({ "type": "join", "name": "x".repeat(40) })).await?;
        assert_eq!(heard(&bob)[0]["type"], "user-joined");
        Ok(())
    }

    /// A client with this id and name, that has not read anything else yet.
    async fn joined(room: &mut TestRoom<Collab>, id: &str, name: &str) -> Result<TestConnection> {
        let client = room.join_as(id).await?;
        send(room, &client, json!({ "type": "join", "name": name })).await?;
        heard(&client);
        Ok(client)
    }

    /// Who is here, as somebody hears it who comes and goes.
    async fn names(room: &mut TestRoom<Collab>) -> Result<Vec<Value>> {
        let guest = room.join_as("guest").await?;
        let state = heard(&guest).remove(0);
        room.leave(&guest, Close::lost()).await?;
        let users = state["users"].as_array().expect("a list");
        Ok(users.iter().map(|user| user["name"].clone()).collect())
    }

    async fn send(room: &mut TestRoom<Collab>, client: &TestConnection, message: Value) -> Result<()> {
        room.send(client, Json(message)).await
    }

    fn heard(client: &TestConnection) -> Vec<Value> {
        let text = |frame: Frame| frame.as_text().map(str::to_owned).expect("a text frame");
        client.received().into_iter().map(|frame| text(frame).parse().expect("JSON")).collect()
    }
}
