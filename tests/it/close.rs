//! How connections end (wire rows 33 to 37).

use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use partyrs::prelude::*;
use partyrs_runtime::Host;
use partyrs_runtime::testing::{TestClient, TestHost, soon};
use tokio::io::AsyncWriteExt;
use tokio::sync::Notify;

use crate::held::HeldEngine;
use crate::parties::{Reports, Seen, Witness, member, reports, witnesses};
use crate::pings::busy;
use crate::upgrade::raw::{
    BINARY, CLOSE, CONTINUATION, FINAL, PING, PONG, Raw, TEXT, close_payload, end_by_reset, frame, head,
};

const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Blocks its shard when it is told `block`, until the test lets go.
struct Blocking;

#[derive(Clone)]
struct Block {
    reports: Reports,
    begun: Arc<Notify>,
    let_go: Arc<Mutex<mpsc::Receiver<()>>>,
}

impl PartyServer for Blocking {
    type Message = String;

    async fn on_start(_: &Room) -> Result<Self> {
        Ok(Blocking)
    }

    async fn on_connect(&mut self, _: &Room, connection: &Connection, _: &ConnectContext) -> Result<()> {
        connection.send("welcome")?;
        Ok(())
    }

    async fn on_message(&mut self, room: &Room, sender: &Connection, text: String) -> Result<()> {
        let block = room.env::<Block>()?;
        if text == "block" {
            block.begun.notify_one();
            block.let_go.lock().map_err(|error| Error::new(error.to_string()))?.recv()?;
        }
        block.reports.add(format!("{} said {text}", sender.id()));
        room.broadcast(text)?;
        Ok(())
    }

    async fn on_close(&mut self, room: &Room, connection: &Connection, close: &Close) -> Result<()> {
        room.env::<Block>()?.reports.add(format!("{} closed: {}", connection.id(), close.code));
        Ok(())
    }
}

/// A room with ada, who does what no good client does, and bob.
async fn ada_and_bob(host: &TestHost) -> (Raw, TestClient) {
    (Raw::member(host, "lobby", "ada").await, member(host, "lobby", "bob").await)
}

/// Shows that bob has heard nothing but this, and is undisturbed.
async fn is_undisturbed(bob: &mut TestClient) {
    bob.send("mark").await;
    assert_eq!(bob.next_text().await, "mark");
}

/// The hook waits with one message, and the mailbox is full of another.
#[tokio::test]
async fn a_clients_close_is_answered_and_its_place_is_free_though_its_room_is_busy() {
    let (host, let_through, mut seen) = busy().await;
    let_through.add_permits(3);
    let (mut ada, mut bob) =
        (Raw::member(&host, "lobby", "ada").await, Raw::member(&host, "lobby", "bob").await);
    bob.send(["0", "1", "2", "3"].map(|text| frame(TEXT, text)).concat()).await;
    assert_eq!(seen.next().await, "bob said 0");

    ada.send(frame(CLOSE, close_payload(1000, "bye"))).await;
    assert_eq!(ada.closed().await, (1000, "bye".to_owned()));
    ada.ends().await;
    drop(ada);
    host.until(|host| host.connections_count() == 1).await;

    let_through.add_permits(3);
    let mut reports = [seen.next().await, seen.next().await, seen.next().await, seen.next().await];
    reports.sort();
    assert_eq!(reports, ["ada closed: 1000", "bob said 1", "bob said 2", "bob said 3"]);
}

#[tokio::test]
async fn a_message_over_the_limit_is_judged_by_its_header_alone() {
    let (host, mut seen) = witnesses(|_| {}).await;
    let (mut ada, mut bob) = ada_and_bob(&host).await;

    ada.send(head(TEXT, (1 << 20) + 1)).await;

    let reason = "Message is too large: 1048577 > 1048576";
    assert_eq!(ada.closed().await, (1009, reason.to_owned()));
    ada.ends().await;
    assert_eq!(seen.next().await, format!("ada closed: 1009 {reason:?} unclean, last"));
    is_undisturbed(&mut bob).await;
}

#[tokio::test]
async fn a_length_that_no_machine_has_is_over_the_limit() {
    let (host, _seen) = witnesses(|_| {}).await;
    for len in [1_u64 << 32, 1 << 62] {
        let mut ada = Raw::member(&host, "lobby", "ada").await;
        let len = usize::try_from(len).expect("64 bits");
        ada.send(head(BINARY, len)).await;
        assert_eq!(ada.closed().await, (1009, format!("Message is too large: {len} > 1048576")));
        ada.ends().await;
    }
}

#[tokio::test]
async fn fragments_over_the_limit_together_are_over_the_limit() {
    let (host, mut seen) = witnesses(|config| config.message_bytes_max = 1000).await;
    let (mut ada, mut bob) = ada_and_bob(&host).await;

    ada.send(frame(TEXT & !FINAL, [b'x'; 600])).await;
    ada.send(frame(CONTINUATION, [b'x'; 400])).await;
    is_undisturbed(&mut bob).await;
    ada.send(frame(CONTINUATION, [b'x'; 1])).await;

    assert_eq!(ada.next_text().await, "mark");
    let reason = "Message is too large: 1001 > 1000";
    assert_eq!(ada.closed().await, (1009, reason.to_owned()));
    ada.ends().await;
    assert_eq!(seen.next().await, format!("ada closed: 1009 {reason:?} unclean, last"));
    is_undisturbed(&mut bob).await;
}

/// The client sends all of its 6 MiB before it reads: no reset overtakes the Close.
#[tokio::test]
async fn the_close_arrives_at_a_client_that_goes_on_sending() {
    let (host, mut seen) = witnesses(|_| {}).await;
    let (mut ada, mut bob) = ada_and_bob(&host).await;

    ada.send(frame(BINARY, vec![7; 6 << 20])).await;

    let reason = "Message is too large: 6291456 > 1048576";
    assert_eq!(ada.closed().await, (1009, reason.to_owned()));
    ada.ends().await;
    assert_eq!(seen.next().await, format!("ada closed: 1009 {reason:?} unclean, last"));
    is_undisturbed(&mut bob).await;
}

#[tokio::test]
async fn a_client_that_never_stops_sending_is_cut() {
    let (host, _seen) = witnesses(|_| {}).await;
    let mut ada = Raw::member(&host, "lobby", "ada").await;
    ada.send(head(BINARY, 1 << 30)).await;
    assert_eq!(ada.closed().await.0, 1009);
    let mut tcp = ada.into_tcp();
    let cut = async {
        let mut sent_bytes = 0;
        while tcp.write_all(&[7; 64 << 10]).await.is_ok() {
            sent_bytes += 64 << 10;
        }
        sent_bytes
    };
    let sent_bytes = soon(cut).await;
    assert!((8 << 20..32 << 20).contains(&sent_bytes), "{sent_bytes}");
    host.until(|host| host.connections_count() == 0).await;
}

#[tokio::test]
async fn a_client_that_stays_after_its_close_is_cut() {
    let (host, mut seen) = witnesses(|_| {}).await;
    let mut ada = Raw::member(&host, "lobby", "ada").await;
    ada.send(head(BINARY, 1 << 30)).await;
    assert_eq!(ada.closed().await.0, 1009);
    ada.ends().await;
    seen.next().await;
    assert_eq!(host.connections_count(), 1);
    host.until(|host| {
        host.advance(CLOSE_TIMEOUT);
        host.connections_count() == 0
    })
    .await;
}

/// Sends what breaks the protocol; what the client and `on_close` are told, and bob nothing.
async fn a_violation(name: &str, bytes: &[u8], code: u16, reason: &str) {
    let (host, mut seen) = witnesses(|_| {}).await;
    let (mut ada, mut bob) = ada_and_bob(&host).await;

    ada.send(bytes).await;

    assert_eq!(ada.closed().await, (code, reason.to_owned()), "{name}");
    ada.ends().await;
    assert_eq!(seen.next().await, format!("ada closed: {code} {reason:?} unclean, last"), "{name}");
    is_undisturbed(&mut bob).await;
    drop(ada);
    host.until(|host| host.connections_count() == 1).await;
    assert_eq!(seen.all(), [] as [String; 0], "{name}");
}

#[tokio::test]
async fn an_unmasked_frame_is_a_protocol_error() {
    a_violation("text", &[TEXT, 2, b'h', b'i'], 1002, "Protocol error").await;
    a_violation("close", &[CLOSE, 0], 1002, "Protocol error").await;
}

#[tokio::test]
async fn reserved_bits_are_protocol_errors() {
    for bit in [0x40, 0x20, 0x10] {
        a_violation("text", &frame(TEXT | bit, "hi"), 1002, "Protocol error").await;
        a_violation("ping", &frame(PING | bit, "hi"), 1002, "Protocol error").await;
    }
}

#[tokio::test]
async fn reserved_opcodes_are_protocol_errors() {
    for opcode in (0x3..=0x7).chain(0xb..=0xf) {
        a_violation(&format!("{opcode:x}"), &frame(FINAL | opcode, "hi"), 1002, "Protocol error").await;
    }
}

#[tokio::test]
async fn bad_control_frames_are_protocol_errors() {
    for (name, first) in [("ping", PING), ("pong", PONG), ("close", CLOSE)] {
        a_violation(name, &frame(first & !FINAL, ""), 1002, "Protocol error").await;
        let long = close_payload(1000, &"x".repeat(124));
        a_violation(name, &frame(first, long), 1002, "Protocol error").await;
    }
}

#[tokio::test]
async fn bad_fragments_are_protocol_errors() {
    let first = frame(TEXT & !FINAL, "a");
    let cases = [
        ("continuation without start", frame(CONTINUATION | FINAL, "a")),
        ("open continuation without start", frame(CONTINUATION, "a")),
        ("text in a text", [first.clone(), frame(TEXT, "b")].concat()),
        ("binary in a text", [first.clone(), frame(BINARY, "b")].concat()),
        ("new start in a text", [first, frame(TEXT & !FINAL, "b")].concat()),
        ("continuation after the end", [frame(TEXT, "who"), frame(CONTINUATION | FINAL, "")].concat()),
    ];
    for (name, bytes) in cases {
        if name == "continuation after the end" {
            let (host, _seen) = witnesses(|_| {}).await;
            let mut ada = Raw::member(&host, "lobby", "ada").await;
            ada.send(bytes).await;
            // The answer to the message may come before the Close.
            let (mut first, mut payload) = ada.next().await;
            if first == TEXT {
                (first, payload) = ada.next().await;
            }
            assert_eq!((first, payload), (CLOSE, close_payload(1002, "Protocol error")));
        } else {
            a_violation(name, &bytes, 1002, "Protocol error").await;
        }
    }
}

#[tokio::test]
async fn text_that_is_not_utf_8_is_an_error_of_its_own() {
    let crab = "🦀".as_bytes();
    let cases: [(&str, Vec<u8>); 7] = [
        ("stray byte", frame(TEXT, [b'a', 0xff])),
        ("surrogate", frame(TEXT, [0xed, 0xa0, 0x80])),
        ("overlong", frame(TEXT, [0xc0, 0xaf])),
        ("half a letter", frame(TEXT, &crab[..3])),
        (
            "half a letter at the end of fragments",
            [frame(TEXT & !FINAL, "a"), frame(CONTINUATION | FINAL, &crab[..2])].concat(),
        ),
        (
            "letter broken between fragments",
            [frame(TEXT & !FINAL, &crab[..2]), frame(CONTINUATION | FINAL, "a")].concat(),
        ),
        // Told at once: the message is not complete.
        ("stray byte in a first fragment", frame(TEXT & !FINAL, [b'a', 0xff, b'b'])),
    ];
    for (name, bytes) in cases {
        a_violation(name, &bytes, 1007, "Text is not UTF-8").await;
    }
}

#[tokio::test]
async fn bad_close_payloads_are_protocol_errors() {
    a_violation("half a code", &frame(CLOSE, [3]), 1002, "Protocol error").await;
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535] {
        let bytes = frame(CLOSE, close_payload(code, "bye"));
        a_violation(&format!("{code}"), &bytes, 1002, "Protocol violation").await;
    }
}

#[tokio::test]
async fn a_close_reason_that_is_not_utf_8_is_an_error_of_its_own() {
    let bytes = frame(CLOSE, [3, 232, 0xff]);
    a_violation("stray byte", &bytes, 1007, "Text is not UTF-8").await;
}

/// What follows the violation is not read as frames.
#[tokio::test]
async fn nothing_after_a_violation_is_handled() {
    let (host, _seen) = witnesses(|_| {}).await;
    let (mut ada, mut bob) = ada_and_bob(&host).await;
    ada.send([frame(FINAL | 0x3, ""), frame(TEXT, "ignored"), frame(PING, "x")].concat()).await;
    assert_eq!(ada.closed().await.0, 1002);
    ada.ends().await;
    is_undisturbed(&mut bob).await;
}

/// The client sends all of its 6 MiB of noise before it reads.
#[tokio::test]
async fn the_close_arrives_at_a_client_that_sends_on_after_a_violation() {
    let (host, _seen) = witnesses(|_| {}).await;
    let mut ada = Raw::member(&host, "lobby", "ada").await;
    ada.send(frame(FINAL | 0x3, "")).await;
    ada.send(vec![7; 6 << 20]).await;
    assert_eq!(ada.closed().await, (1002, "Protocol error".to_owned()));
    ada.ends().await;
}

#[tokio::test]
async fn a_clients_close_is_answered_with_its_code_and_reason_and_tcp_ends() {
    let long = "x".repeat(123);
    for (code, reason) in [(1000, "bye"), (1000, ""), (1001, "é"), (1011, ""), (3000, ""), (4999, &long)] {
        let (host, mut seen) = witnesses(|_| {}).await;
        let (mut ada, mut bob) = ada_and_bob(&host).await;
        ada.send(frame(CLOSE, close_payload(code, reason))).await;
        assert_eq!(ada.closed().await, (code, reason.to_owned()));
        ada.ends().await;
        assert_eq!(seen.next().await, format!("ada closed: {code} {reason:?} clean, last"));
        is_undisturbed(&mut bob).await;
    }
}

#[tokio::test]
async fn a_clients_close_without_code_is_answered_with_an_empty_one() {
    let (host, mut seen) = witnesses(|_| {}).await;
    let mut ada = Raw::member(&host, "lobby", "ada").await;
    ada.send(frame(CLOSE, "")).await;
    assert_eq!(ada.next().await, (CLOSE, Vec::new()));
    ada.ends().await;
    assert_eq!(seen.next().await, "ada closed: 1005 \"\" clean, last");
}

/// What the client sent before is handled, what it sends behind is not.
#[tokio::test]
async fn messages_before_a_clients_close_are_handled_and_those_behind_it_are_not() {
    let (host, mut seen) = witnesses(|_| {}).await;
    let (mut ada, mut bob) = ada_and_bob(&host).await;
    ada.send([frame(TEXT, "before"), frame(CLOSE, ""), frame(TEXT, "behind")].concat()).await;
    assert_eq!(bob.next_text().await, "before");
    assert_eq!(seen.next().await, "ada closed: 1005 \"\" clean, last");
    is_undisturbed(&mut bob).await;
}

/// Ends the TCP of ada; she is lost, and no hook has failed.
async fn a_lost_client(end: impl AsyncFnOnce(Raw)) {
    let (host, mut seen) = witnesses(|_| {}).await;
    let (ada, mut bob) = ada_and_bob(&host).await;
    end(ada).await;
    assert_eq!(seen.next().await, "ada closed: 1006 \"\" unclean, last");
    host.until(|host| host.connections_count() == 1).await;
    is_undisturbed(&mut bob).await;
    assert_eq!(seen.all(), [] as [String; 0]);
}

#[tokio::test]
async fn a_cut_socket_is_lost_and_no_failure() {
    a_lost_client(async |ada| drop(ada)).await;
}

#[tokio::test]
async fn a_reset_socket_is_lost_and_no_failure() {
    a_lost_client(async |ada| end_by_reset(&ada.into_tcp())).await;
}

/// A tab that is closed: the last words and the Close have arrived, then the socket is reset,
/// and the room writes to it before it has read them.
#[tokio::test]
async fn what_arrived_before_a_reset_is_read_though_a_write_fails_first() {
    let (reports, mut seen) = reports();
    let (let_go, is_let_go) = mpsc::channel();
    let block = Block { reports, begun: Arc::default(), let_go: Arc::new(Mutex::new(is_let_go)) };
    let builder = Host::builder().party::<Blocking>("main").env(block.clone());
    let host = TestHost::of(builder.config(|config| config.shards = 1)).await;
    let (mut ada, mut bob) = ada_and_bob(&host).await;

    bob.send("block").await;
    soon(block.begun.notified()).await;
    let close = frame(CLOSE, close_payload(1001, "tab closed"));
    ada.send([frame(TEXT, "last words"), close].concat()).await;
    end_by_reset(&ada.into_tcp());
    let_go.send(()).expect("a hook that waits");

    assert_eq!(seen.next().await, "bob said block");
    assert_eq!(seen.next().await, "ada said last words");
    assert_eq!(seen.next().await, "ada closed: 1001");
    assert_eq!(bob.next_text().await, "block");
    assert_eq!(bob.next_text().await, "last words");
    host.until(|host| host.connections_count() == 1).await;
}

#[tokio::test]
async fn a_socket_that_is_cut_within_a_frame_is_lost() {
    a_lost_client(async |mut ada| ada.send(&frame(TEXT, "never whole")[..8]).await).await;
}

#[tokio::test]
async fn a_socket_of_which_the_client_ends_its_half_is_lost_and_ends() {
    let (host, mut seen) = witnesses(|_| {}).await;
    let ada = Raw::member(&host, "lobby", "ada").await;
    let mut tcp = ada.into_tcp();
    tcp.shutdown().await.expect("an open socket");
    Raw::over(tcp).ends().await;
    assert_eq!(seen.next().await, "ada closed: 1006 \"\" unclean, last");
    host.until(|host| host.connections_count() == 0).await;
}

#[tokio::test]
async fn a_close_of_the_rooms_has_its_code_and_reason_and_is_told_once() {
    let long = "x".repeat(123);
    for (code, reason) in [(1000, "bye"), (1001, "x"), (1008, "x"), (1011, "x"), (1014, "é"), (3000, &long)]
    {
        let (host, mut seen) = witnesses(|_| {}).await;
        let (mut ada, mut bob) = ada_and_bob(&host).await;

        ada.send(frame(TEXT, format!("close {code} {reason}"))).await;
        assert_eq!(ada.closed().await, (code, reason.to_owned()));
        ada.send(frame(CLOSE, close_payload(code, reason))).await;
        ada.ends().await;

        assert_eq!(seen.next().await, format!("ada closed: {code} {reason:?} clean, last"));
        drop(ada);
        host.until(|host| host.connections_count() == 1).await;
        is_undisturbed(&mut bob).await;
        assert_eq!(seen.all(), [] as [String; 0]);
    }
}

#[tokio::test]
async fn a_close_of_the_rooms_without_code_is_empty() {
    let (host, mut seen) = witnesses(|_| {}).await;
    let mut ada = Raw::member(&host, "lobby", "ada").await;
    ada.send(frame(TEXT, "close")).await;
    assert_eq!(ada.next().await, (CLOSE, Vec::new()));
    ada.send(frame(CLOSE, "")).await;
    ada.ends().await;
    assert_eq!(seen.next().await, "ada closed: 1005 \"\" clean, last");
}

#[tokio::test]
async fn a_code_or_reason_that_cannot_be_sent_is_an_error_to_the_hook() {
    let (host, mut seen) = witnesses(|_| {}).await;
    let mut ada = member(&host, "lobby", "ada").await;
    for code in [0, 999, 1002, 1003, 1004, 1005, 1006, 1007, 1009, 1010, 1015, 2999, 5000] {
        ada.send(format!("close {code} x")).await;
        let refusal = format!("close code {code} is not 1000, 1001, 1008, 1011-1014 or 3000-4999");
        assert_eq!(ada.next_text().await, refusal);
    }
    ada.send(format!("close 4000 {}", "x".repeat(124))).await;
    assert_eq!(ada.next_text().await, "close reason of 124 bytes is over the limit of 123");
    // 62 letters of 2 bytes.
    ada.send(format!("close 4000 {}", "é".repeat(62))).await;
    assert_eq!(ada.next_text().await, "close reason of 124 bytes is over the limit of 123");
    ada.send("who").await;
    assert_eq!(ada.next_text().await, "ada");
    assert_eq!(seen.all(), [] as [String; 0]);
}

/// The client is told, and TCP ends only when it has not answered in time.
#[tokio::test]
async fn a_client_that_does_not_answer_a_close_is_lost_after_the_time_for_it() {
    // Bob does not read while the clock is moved.
    let (host, mut seen) = witnesses(|config| config.ping_every = Duration::MAX).await;
    let (mut ada, mut bob) = ada_and_bob(&host).await;
    ada.send(frame(TEXT, "close 4001 bye")).await;
    assert_eq!(ada.closed().await, (4001, "bye".to_owned()));

    // What it sends instead of an answer is no answer.
    ada.send([frame(TEXT, "ignored"), frame(PING, "ignored")].concat()).await;
    is_undisturbed(&mut bob).await;
    host.advance(CLOSE_TIMEOUT - Duration::from_millis(1));
    is_undisturbed(&mut bob).await;
    assert_eq!(seen.all(), [] as [String; 0]);

    host.advance(Duration::from_millis(1));
    ada.ends().await;
    assert_eq!(seen.next().await, "ada closed: 1006 \"\" unclean, last");
    host.until(|host| {
        host.advance(CLOSE_TIMEOUT);
        host.connections_count() == 1
    })
    .await;
    is_undisturbed(&mut bob).await;
}

/// Ten messages are in the mailbox when the first of them closes the connection.
#[tokio::test]
async fn messages_of_a_closed_connection_are_ignored_from_the_call_on() {
    let (host, _seen) = witnesses(|_| {}).await;
    let (mut ada, mut bob) = ada_and_bob(&host).await;
    let mut bytes = frame(TEXT, "close 4001 bye");
    (0..10).for_each(|_| bytes.extend(frame(TEXT, "ignored")));
    ada.send(bytes).await;
    assert_eq!(ada.closed().await, (4001, "bye".to_owned()));
    ada.send([frame(TEXT, "ignored"), frame(CLOSE, "")].concat()).await;
    ada.ends().await;
    is_undisturbed(&mut bob).await;
}

#[tokio::test]
async fn a_close_leaves_behind_the_frames_before_it_and_nothing_follows_it() {
    let (host, _seen) = witnesses(|_| {}).await;
    let (mut ada, mut bob) = ada_and_bob(&host).await;
    ada.send(frame(TEXT, "burst-and-close 1000")).await;
    for number in 0..1000 {
        assert_eq!(ada.next_text().await, format!("{number}"));
    }
    // The second call of `close` has done nothing.
    assert_eq!(ada.closed().await, (4000, "burst".to_owned()));
    is_undisturbed(&mut bob).await;
    ada.send(frame(CLOSE, close_payload(4000, "burst"))).await;
    ada.ends().await;
}

/// The hook writes, sends, and closes: nothing of it is seen before the write is on disk,
/// and what the client sends meanwhile is ignored.
#[tokio::test]
async fn a_close_under_a_commit_leaves_behind_the_frames_before_it() {
    let engine = Arc::new(HeldEngine::new());
    let (reports, mut seen) = reports();
    let host = Host::builder().party::<Witness>("main").env(reports).storage(engine.clone());
    let host = TestHost::of(host).await;
    let (mut ada, mut bob) = ada_and_bob(&host).await;

    ada.send([frame(TEXT, "put-and-close tea"), frame(TEXT, "ignored")].concat()).await;
    host.until(|_| engine.arrived_count() == 1).await;
    ada.send([frame(TEXT, "ignored"), frame(PING, "x")].concat()).await;
    // Only the pong overtakes the commit.
    assert_eq!(ada.next().await, (PONG, b"x".to_vec()));
    bob.send("who").await;
    engine.let_through(1);

    assert_eq!(ada.next_text().await, "before the close");
    assert_eq!(ada.closed().await, (4000, "behind the commit".to_owned()));
    assert_eq!(bob.next_text().await, "bob");
    ada.send(frame(CLOSE, close_payload(4000, "behind the commit"))).await;
    ada.ends().await;
    assert_eq!(seen.next().await, "ada closed: 4000 \"behind the commit\" clean, last");
}

#[tokio::test]
async fn a_close_in_on_connect_comes_behind_its_frames_and_is_told_to_on_close() {
    let (host, mut seen) = witnesses(|_| {}).await;
    let mut bob = member(&host, "lobby", "bob").await;
    let mut ada = Raw::connect(&host, "/party/lobby?_pk=ada&close").await;
    assert_eq!(ada.next_text().await, "welcome");
    assert_eq!(ada.closed().await, (4000, "on_connect".to_owned()));
    ada.send(frame(CLOSE, close_payload(4000, "on_connect"))).await;
    ada.ends().await;
    assert_eq!(seen.next().await, "ada closed: 4000 \"on_connect\" clean, last");
    bob.send("who").await;
    assert_eq!(bob.next_text().await, "bob");
}

#[tokio::test]
async fn a_close_of_another_connection_in_on_close_closes_it() {
    let (host, mut seen): (TestHost, Seen) = witnesses(|_| {}).await;
    let (mut ada, mut bob) = ada_and_bob(&host).await;
    ada.send(frame(CLOSE, close_payload(4002, "take bob along"))).await;
    assert_eq!(ada.closed().await, (4002, "take bob along".to_owned()));
    ada.ends().await;
    assert_eq!(seen.next().await, "ada closed: 4002 \"take bob along\" clean, last");
    assert_eq!(bob.try_next().await, Err((4000, "taken along".to_owned())));
    drop(bob);
    assert_eq!(seen.next().await, "bob closed: 4000 \"taken along\" clean, last");
}
