//! Handles: work that comes into a room from outside of its hooks, and rooms that end when idle.

use std::sync::Arc;

use partyrs::prelude::*;
use partyrs::storage::MemoryEngine;
use partyrs::{CallError, ConnectionId};
use partyrs_runtime::Host;
use partyrs_runtime::testing::{TestHost, soon};
use tokio::sync::mpsc;

use crate::script::LONG;

/// Gives its handle to the test.
struct Till {
    sum: i64,
}

type Handles = mpsc::UnboundedSender<RoomHandle<Till>>;

impl PartyServer for Till {
    type Message = String;

    async fn on_start(room: &Room) -> Result<Self> {
        room.env::<Handles>()?.send(room.handle())?;
        Ok(Self { sum: room.storage().get("sum").await?.unwrap_or(0) })
    }

    async fn on_message(&mut self, room: &Room, sender: &Connection, _: String) -> Result<()> {
        let call = room.handle::<Self>().run(async |_, _| Ok(())).await;
        sender.send(format!("{call:?}"))?;
        Ok(())
    }
}

impl Till {
    fn add(&mut self, room: &Room, amount: i64) -> Result<i64> {
        self.sum += amount;
        room.storage().put("sum", &self.sum)?;
        room.broadcast(self.sum.to_string())?;
        if self.sum < 0 { Err(Error::status(409, "the till is empty")) } else { Ok(self.sum) }
    }
}

async fn till() -> (TestHost, RoomHandle<Till>, mpsc::UnboundedReceiver<RoomHandle<Till>>) {
    let (handles, mut opened) = mpsc::unbounded_channel::<RoomHandle<Till>>();
    let engine = Arc::new(MemoryEngine::new());
    let host = TestHost::of(Host::builder().party::<Till>("main").env(handles).storage(engine)).await;
    host.get("/party/shop").await;
    let handle = soon(opened.recv()).await.unwrap();
    (host, handle, opened)
}

#[tokio::test]
async fn work_runs_as_a_hook_and_brings_its_result_back() {
    let (host, till, _opened) = till().await;
    let mut ada = host.join("shop").await;
    assert_eq!(till.run(async |till, room| till.add(room, 5)).await.unwrap(), 5);
    assert_eq!(ada.next_text().await, "5");
    assert_eq!(till.broadcast("closing soon").await.unwrap(), 1);
    assert_eq!(ada.next_text().await, "closing soon");
}

#[tokio::test]
async fn work_that_fails_is_rolled_back_and_its_public_error_arrives() {
    let (host, till, _opened) = till().await;
    let mut ada = host.join("shop").await;

    let refused = till.run(async |till, room| till.add(room, -5)).await;

    let Err(CallError::Refused { status, text }) = refused else { panic!("{refused:?}") };
    assert_eq!((status, text.as_str()), (409, "the till is empty"));
    assert_eq!(till.run(async |till, _| Ok(till.sum)).await.unwrap(), 0, "memory is as storage is");
    ada.hears_nothing().await;
    let failed = till.run(async |_, _| Err::<(), _>(Error::new("inside"))).await;
    assert!(matches!(failed, Err(CallError::Failed)), "{failed:?}");
    let failed = till.run(async |_, _| -> Result<()> { panic!("inside") }).await;
    assert!(matches!(failed, Err(CallError::Failed)), "{failed:?}");
    assert_eq!(till.run(async |_, _| Ok("still here")).await.unwrap(), "still here");
}

#[tokio::test]
async fn a_message_goes_to_the_newest_connection_of_an_id() {
    let (host, till, _opened) = till().await;
    let mut ada = host.connect("/party/shop?_pk=ada").await;
    let (known, unknown) = (ConnectionId::new("ada"), ConnectionId::new("eve"));
    // Whoever has been answered has joined.
    ada.send("x").await;
    ada.next_text().await;

    assert!(till.send_to(&known, "psst").await.unwrap());
    assert!(!till.send_to(&unknown, "psst").await.unwrap());
    assert_eq!(ada.next_text().await, "psst");
}

#[tokio::test]
async fn a_hook_that_calls_its_own_room_is_told_so_at_once() {
    let (host, _till, _opened) = till().await;
    let mut ada = host.join("shop").await;
    ada.send("call yourself").await;
    let told = ada.next_text().await;
    assert!(told.starts_with("Err(Cycle") && told.contains("shop"), "{told}");
}

#[tokio::test]
async fn a_call_that_takes_too_long_is_given_up_and_the_work_goes_on() {
    let (host, till, _opened) = till().await;
    let (go_on, mut wait) = mpsc::channel::<()>(1);
    let (begun, mut has_begun) = mpsc::channel::<()>(1);
    let slow = till.clone();
    let call = tokio::spawn(async move {
        slow.run(async move |till, room| {
            begun.send(()).await?;
            wait.recv().await;
            till.add(room, 7)
        })
        .await
    });
    soon(has_begun.recv()).await.unwrap();

    host.advance(std::time::Duration::from_secs(11));
    let given_up = soon(call).await.unwrap();

    assert!(matches!(given_up, Err(CallError::TimedOut)), "{given_up:?}");
    go_on.send(()).await.unwrap();
    assert_eq!(till.run(async |till, _| Ok(till.sum)).await.unwrap(), 7);
}

#[tokio::test]
async fn an_empty_room_leaves_memory_when_idle_and_a_call_opens_it_again() {
    let (host, till, mut opened) = till().await;
    till.run(async |till, room| till.add(room, 3)).await.unwrap();
    assert_eq!(host.rooms_count(), 1);

    host.until(|host| {
        host.advance(LONG);
        host.rooms_count() == 0
    })
    .await;

    assert_eq!(till.run(async |till, _| Ok(till.sum)).await.unwrap(), 3);
    soon(opened.recv()).await.expect("on_start has run again");
}

#[tokio::test]
async fn a_room_with_a_connection_stays() {
    let (host, till, mut opened) = till().await;
    let mut ada = host.join("shop").await;
    till.broadcast("hello").await.unwrap();
    ada.next_text().await;
    host.advance(LONG);
    till.broadcast("still the same").await.unwrap();
    assert_eq!(ada.next_text().await, "still the same");
    assert!(opened.try_recv().is_err());
}

#[tokio::test]
async fn a_handle_of_a_host_that_is_gone_says_so() {
    let (host, till, _opened) = till().await;
    soon(host.kill()).await;
    let refused = till.run(async |_, _| Ok(())).await;
    assert!(matches!(refused, Err(CallError::Unavailable)), "{refused:?}");
}
