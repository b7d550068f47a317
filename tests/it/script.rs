//! A party that does what its messages say, so that a test can put any failure anywhere.

use std::sync::Arc;
use std::time::Duration;

use partyrs::prelude::*;
use serde::{Deserialize, Serialize};
use tokio::task::coop;

/// Does what its messages say, step by step, so that a test can put any failure anywhere.
///
/// A message is a list of steps: `[{"put": ["k", "v"]}, {"say": "hi"}, "panic"]`. A request
/// does the steps of its body. Its memory is the list of what `remember` was given.
pub(crate) struct Script {
    memory: Vec<String>,
    starts_count: u32,
}

/// One thing that a [`Script`] does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Step {
    /// Stores a value; `remember` with the key `memory` is what a restart loads.
    Put(String, String),
    Delete(String),
    /// Keeps a text in memory only.
    Remember(String),
    /// Broadcasts a text.
    Say(String),
    /// Sends a text to the sender.
    Reply(String),
    /// Broadcasts a text that may be missed.
    Volatile(String),
    /// Broadcasts a text of which the newest of a key counts.
    Latest(String, String),
    /// Sends this many messages of 1 MiB to the connection of this id.
    Fill(String, usize),
    /// Sets the state of the sender.
    State(String),
    /// Broadcasts `memory`, `state` of the sender and the stored value of the key.
    Show(String),
    /// Closes the sender with 4000.
    Close,
    /// Broadcasts a text from a spawned task.
    Spawn(String),
    /// A task that never ends and holds [`Held`] from the environment.
    SpawnHolder,
    SpawnPanic,
    SpawnFail,
    Sync,
    /// Uses up what tokio allows a task to do in one go.
    Exhaust,
    /// Waits for the task's next turn.
    Yield,
    Panic,
    Fail,
    /// Fails with an `Error::status`.
    Refuse(u16),
    /// Fails with an `Error::close`.
    Expel(u16),
    /// Never ends.
    Hang,
    /// Answers the request with this text, unless it fails.
    Answer(String),
    /// Stores a value that is longer than any may be.
    PutTooMuch,
}

/// What `show` broadcasts.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Shown {
    pub(crate) memory: Vec<String>,
    pub(crate) state: Option<String>,
    pub(crate) stored: Option<String>,
    pub(crate) starts_count: u32,
}

impl PartyServer for Script {
    type Message = Json<Vec<Step>>;

    /// Counts its starts in storage: a commit of `on_start` itself.
    async fn on_start(room: &Room) -> Result<Self> {
        let starts_count: u32 = room.storage().get("starts").await?.unwrap_or(0) + 1;
        room.storage().put("starts", &starts_count)?;
        let memory = room.storage().get("memory").await?.into_iter().collect();
        Ok(Self { memory, starts_count })
    }

    async fn on_message(
        &mut self,
        room: &Room,
        sender: &Connection,
        Json(steps): Json<Vec<Step>>,
    ) -> Result<()> {
        self.run(room, Some(sender), steps).await
    }

    async fn on_request(&mut self, room: &Room, request: Request) -> Result<Response> {
        let steps: Vec<Step> = request.json()?;
        let answer = steps.iter().find_map(|step| match step {
            Step::Answer(text) => Some(text.clone()),
            _ => None,
        });
        self.run(room, None, steps).await?;
        Ok(Response::text(answer.unwrap_or_else(|| "done".to_owned())))
    }

    async fn on_close(&mut self, room: &Room, connection: &Connection, close: &Close) -> Result<()> {
        room.broadcast(format!("gone {} {}", connection.id(), close.code))?;
        Ok(())
    }

    async fn on_error(&mut self, room: &Room, failure: &Failure) {
        let Failure { hook, panicked, error, .. } = failure;
        let told = room.broadcast(format!("error in {hook}, panicked {panicked}: {error}"));
        told.expect("a text has a frame form");
    }
}

impl Script {
    async fn run(&mut self, room: &Room, sender: Option<&Connection>, steps: Vec<Step>) -> Result<()> {
        for step in steps {
            match step {
                Step::Put(key, value) => room.storage().put(key, &value)?,
                Step::Delete(key) => room.storage().delete(key),
                Step::Answer(_) => {}
                Step::Remember(text) => self.memory.push(text),
                Step::Say(text) => drop(room.broadcast(text)?),
                Step::Reply(text) => sender.map_or(Ok(()), |sender| sender.send(text))?,
                Step::Volatile(text) => drop(room.broadcast(text.volatile())?),
                Step::Latest(key, text) => drop(room.broadcast(text.latest(key))?),
                Step::Fill(id, count) => {
                    let connection = room.connection(&ConnectionId::new(&id)).expect("it is here");
                    for _ in 0..count {
                        connection.send(vec![0; 1 << 20])?;
                    }
                }
                Step::State(text) => sender.map_or(Ok(()), |sender| sender.set_state(&text))?,
                Step::Show(key) => self.show(room, sender, &key).await?,
                Step::Close => sender.map_or(Ok(()), |sender| sender.close(4000, "closed by script"))?,
                Step::Spawn(text) => {
                    let handle = room.handle::<Self>();
                    room.spawn(async move {
                        handle.broadcast(text).await?;
                        Ok(())
                    });
                }
                Step::SpawnHolder => {
                    let held = room.env::<Held>()?.clone();
                    room.spawn(async move {
                        let _held = held;
                        std::future::pending().await
                    });
                }
                Step::SpawnPanic => room.spawn(async { panic!("a task of the script") }),
                Step::SpawnFail => room.spawn(async { Err(Error::new("a task of the script")) }),
                Step::Sync => room.storage().sync().await,
                Step::Exhaust => {
                    while coop::has_budget_remaining() {
                        coop::consume_budget().await;
                    }
                }
                Step::Yield => tokio::task::yield_now().await,
                Step::Panic => panic!("as the script says"),
                Step::Fail => return Err(Error::new("as the script says")),
                Step::Refuse(status) => return Err(Error::status(status, "refused by script")),
                Step::Expel(code) => return Err(Error::close(code, "expelled by script")),
                Step::Hang => std::future::pending().await,
                Step::PutTooMuch => {
                    room.storage().put_bytes("too much", vec![0; (2 << 20) + 1])?;
                }
            }
        }
        Ok(())
    }

    async fn show(&self, room: &Room, sender: Option<&Connection>, key: &str) -> Result<()> {
        let state = match sender {
            Some(sender) => sender.state()?,
            None => None,
        };
        let stored = room.storage().get(key).await?;
        let (memory, starts_count) = (self.memory.clone(), self.starts_count);
        room.broadcast(Json(Shown { memory, state, stored, starts_count }))?;
        Ok(())
    }
}

/// What tasks hold, so that a test sees how many there are.
#[derive(Clone, Default)]
pub(crate) struct Held(Arc<()>);

impl Held {
    pub(crate) fn count(&self) -> usize {
        Arc::strong_count(&self.0)
    }
}

/// A list of steps as a message.
pub(crate) fn steps(steps: &[Step]) -> String {
    serde_json::to_string(steps).expect("steps have a JSON form")
}

/// Shorter to write in a test.
pub(crate) fn put(key: &str, value: &str) -> Step {
    Step::Put(key.to_owned(), value.to_owned())
}

pub(crate) fn say(text: &str) -> Step {
    Step::Say(text.to_owned())
}

pub(crate) fn show(key: &str) -> Step {
    Step::Show(key.to_owned())
}

/// A time that passes every limit of a default configuration.
pub(crate) const LONG: Duration = Duration::from_secs(120);
