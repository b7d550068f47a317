//! Connections: ids, lists, messages, slow readers (wire rows 28 to 32, 39 to 41).

use std::net::SocketAddr;
use std::time::Duration;

use partyrs::prelude::*;
use partyrs_runtime::Host;
use partyrs_runtime::testing::{TestClient, TestHost, soon};
use tokio::net::TcpSocket;

use crate::parties::{Everybody, Seen, member, reports, witnesses};
use crate::shutdown::Server;
use crate::upgrade::raw::{
    BINARY, CLOSE, CONTINUATION, FINAL, PING, PONG, Raw, TEXT, end_by_reset, frame, upgrade_request,
};

/// Says which message it got, and leaves what does not parse to the default.
struct Table;

/// As `Table`, but says what is wrong in its own words.
struct Polite;

/// Reads bytes only.
struct Bytewise;

#[derive(FromFrame)]
#[frame(rename_all = "kebab-case")]
enum Ask {
    Sit {
        seat: u8,
    },
    Leave,
    Name {
        #[frame(len(min = 1, max = 20), custom = "is_free")]
        name: String,
    },
}

fn is_free(name: &str) -> std::result::Result<(), &'static str> {
    if name == "root" { Err("this name is taken") } else { Ok(()) }
}

impl PartyServer for Table {
    type Message = Ask;

    async fn on_start(_: &Room) -> Result<Self> {
        Ok(Table)
    }

    async fn on_message(&mut self, room: &Room, _: &Connection, ask: Ask) -> Result<()> {
        room.broadcast(match ask {
            Ask::Sit { seat } => format!("sat on {seat}"),
            Ask::Leave => "left".to_owned(),
            Ask::Name { name } => format!("named {name}"),
        })?;
        Ok(())
    }
}

impl PartyServer for Polite {
    type Message = Ask;

    async fn on_start(_: &Room) -> Result<Self> {
        Ok(Polite)
    }

    async fn on_invalid(&mut self, room: &Room, sender: &Connection, error: &ParseError) -> Result<()> {
        room.broadcast_except("somebody mumbles", &[sender.id()])?;
        sender.send(format!("pardon? {error}"))?;
        Ok(())
    }
}

impl PartyServer for Bytewise {
    type Message = partyrs::bytes::Bytes;

    async fn on_start(_: &Room) -> Result<Self> {
        Ok(Bytewise)
    }

    async fn on_message(&mut self, room: &Room, _: &Connection, bytes: partyrs::bytes::Bytes) -> Result<()> {
        room.broadcast(bytes)?;
        Ok(())
    }
}

/// What `who` answers.
async fn who(client: &mut TestClient) -> String {
    client.send("who").await;
    client.next_text().await
}

/// Shows that nothing but this has come from the room, to any of them.
async fn mark(sender: &mut TestClient, others: &mut [&mut TestClient]) {
    sender.send("mark").await;
    assert_eq!(sender.next_text().await, "mark");
    for other in others {
        assert_eq!(other.next_text().await, "mark");
    }
}

#[tokio::test]
async fn no_extension_and_no_subprotocol_is_agreed_to() {
    let (host, _seen) = witnesses(|_| {}).await;
    let offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\
                 Sec-WebSocket-Protocol: chat, superchat\r\n\r\n";
    let mut raw = Raw::tcp(&host).await;
    raw.send(format!("{}\r\n{offer}", upgrade_request("/party/lobby").trim_end())).await;
    let answer = raw.answer().await;
    assert_eq!(answer.status, 101);
    assert!(!answer.head.contains("sec-websocket-extensions"), "{answer:?}");
    assert!(!answer.head.contains("sec-websocket-protocol"), "{answer:?}");
}

#[tokio::test]
async fn the_id_is_the_first_pk_of_the_query_form_decoded() {
    let (host, _seen) = witnesses(|_| {}).await;
    for (query, id) in [
        ("_pk=ada", "ada"),
        ("_pk=ada&_pk=bob", "ada"),
        ("token=x&_pk=ada", "ada"),
        ("_pk=a%20b+c%2Bd", "a b c+d"),
        ("_pk=%C3%A9%0A%22", "é\n\""),
        ("%5Fpk=ada", "ada"),
        ("_pk=%FF", "\u{fffd}"),
    ] {
        let mut client = host.connect(&format!("/party/{}?{query}", query.len())).await;
        assert_eq!(client.next_text().await, "welcome");
        assert_eq!(who(&mut client).await, id, "{query}");
        client.close(None).await;
        host.until(|host| host.connections_count() == 0).await;
    }
}

#[tokio::test]
async fn without_a_pk_each_connection_has_a_fresh_random_id() {
    let (host, _seen) = witnesses(|_| {}).await;
    let mut clients = Vec::new();
    for query in ["", "", "?", "?_pk=", "?_pk", "?_PK=ada", "?_pk=&_pk=ada"] {
        let mut client = host.connect(&format!("/party/lobby{query}")).await;
        assert_eq!(client.next_text().await, "welcome");
        clients.push(client);
    }
    let ids = who(&mut clients[0]).await;
    let ids: std::collections::BTreeSet<&str> = ids.split(',').collect();
    assert_eq!(ids.len(), clients.len(), "{ids:?}");
    assert!(ids.iter().all(|id| id.len() >= 16 && *id != "ada"), "{ids:?}");
}

#[tokio::test]
async fn an_id_of_256_bytes_is_taken_and_a_longer_one_refused() {
    let (host, _seen) = witnesses(|_| {}).await;
    let mut client = member(&host, "lobby", &"x".repeat(256)).await;
    assert_eq!(who(&mut client).await.len(), 256);
    // 128 letters of 2 bytes, written in 6.
    member(&host, "other", &"%C3%A9".repeat(128)).await;

    for id in ["x".repeat(257), "%C3%A9".repeat(128) + "x"] {
        let refused = host.try_connect(&format!("/party/lobby?_pk={id}")).await;
        let response = refused.expect_err("no WebSocket");
        assert_eq!(response.status(), 400);
        assert_eq!(response.body(), "`_pk` is longer than 256 bytes");
    }
}

/// The id has a line break; the log line of its failing hook has not.
#[tokio::test]
async fn an_id_is_logged_escaped() {
    let mut server = Server::start().await;
    let mut client = server.connect("/party/lobby?_pk=ada%0Abob").await;
    client.send(frame(TEXT, "put-and-fail tea")).await;
    let line = server.logged("hook failed").await;
    assert!(line.contains(r"ada\") && line.contains("nbob"), "{line}");
}

#[tokio::test]
async fn connections_of_one_id_are_all_listed_and_all_get_broadcasts() {
    let (host, _seen) = witnesses(|_| {}).await;
    let mut old = member(&host, "lobby", "ada").await;
    let mut bob = member(&host, "lobby", "bob").await;
    let mut new = member(&host, "lobby", "ada").await;

    assert_eq!(who(&mut bob).await, "ada,bob,ada");
    mark(&mut bob, &mut [&mut old, &mut new]).await;
}

#[tokio::test]
async fn a_connection_found_by_its_id_is_the_newest() {
    let (host, mut seen) = witnesses(|_| {}).await;
    let mut old = member(&host, "lobby", "ada").await;
    let mut bob = member(&host, "lobby", "bob").await;
    let mut new = member(&host, "lobby", "ada").await;

    bob.send("to ada first").await;
    assert_eq!(new.next_text().await, "first");

    new.close(Some((1000, "new"))).await;
    assert_eq!(seen.next().await, "ada closed: 1000 \"new\" clean, not last");
    bob.send("to ada second").await;
    assert_eq!(old.next_text().await, "second");
}

#[tokio::test]
async fn the_close_of_an_older_connection_leaves_the_newer_of_its_id() {
    let (host, mut seen) = witnesses(|_| {}).await;
    let old = member(&host, "lobby", "ada").await;
    let mut bob = member(&host, "lobby", "bob").await;
    let mut new = member(&host, "lobby", "ada").await;

    old.close(Some((1000, "old"))).await;
    assert_eq!(seen.next().await, "ada closed: 1000 \"old\" clean, not last");

    assert_eq!(who(&mut bob).await, "bob,ada");
    bob.send("to ada still here?").await;
    assert_eq!(new.next_text().await, "still here?");
    mark(&mut bob, &mut [&mut new]).await;

    new.close(Some((1000, "new"))).await;
    assert_eq!(seen.next().await, "ada closed: 1000 \"new\" clean, last");
    bob.send("to ada gone?").await;
    assert_eq!(bob.next_text().await, "nobody");
}

#[tokio::test]
async fn excluding_an_id_excludes_all_its_connections() {
    let (host, _seen) = witnesses(|_| {}).await;
    let mut old = member(&host, "lobby", "ada").await;
    let mut bob = member(&host, "lobby", "bob").await;
    let mut new = member(&host, "lobby", "ada").await;

    old.send("others psst").await;

    assert_eq!(old.next_text().await, "1");
    assert_eq!(bob.next_text().await, "psst");
    mark(&mut bob, &mut [&mut old, &mut new]).await;
}

#[tokio::test]
async fn the_id_is_a_tag_and_several_connections_may_have_it() {
    let (host, _seen) = witnesses(|_| {}).await;
    let mut ada = member(&host, "lobby", "ada").await;
    let _bob = member(&host, "lobby", "bob").await;
    let _second = member(&host, "lobby", "ada").await;
    for (tag, tagged) in [("ada", "ada,ada"), ("bob", "bob"), ("cyd", "")] {
        ada.send(format!("tagged {tag}")).await;
        assert_eq!(ada.next_text().await, tagged);
    }
}

#[tokio::test]
async fn connections_are_listed_in_order_of_arrival() {
    let (host, mut seen) = witnesses(|_| {}).await;
    let mut clients = Vec::new();
    for number in 0..20 {
        clients.push(member(&host, "lobby", &format!("{}", 19 - number)).await);
    }
    clients.remove(5).close(None).await;
    assert_eq!(seen.next().await, "14 closed: 1005 \"\" clean, last");
    clients.push(member(&host, "lobby", "late").await);

    let expected = "19,18,17,16,15,13,12,11,10,9,8,7,6,5,4,3,2,1,0,late";
    assert_eq!(who(&mut clients[0]).await, expected);
}

/// In one hook all others are closed, then there is a broadcast.
#[tokio::test]
async fn closed_connections_are_not_listed_and_get_no_broadcast() {
    let (host, _seen) = witnesses(|_| {}).await;
    let mut ada = member(&host, "lobby", "ada").await;
    let (mut bob, mut cyd) = (member(&host, "lobby", "bob").await, member(&host, "lobby", "cyd").await);

    ada.send("close-all-but-me").await;
    ada.send("who").await;

    assert_eq!(ada.next_text().await, "you alone");
    assert_eq!(ada.next_text().await, "1");
    assert_eq!(ada.next_text().await, "ada");
    for closed in [&mut bob, &mut cyd] {
        let close = closed.try_next().await.expect_err("no frame before the Close");
        assert_eq!(close, (4000, "all but one".to_owned()));
    }
}

/// Clients are reset one after the other while there are broadcasts all the time.
#[tokio::test]
async fn broadcasts_go_on_while_members_are_lost() {
    let (host, mut seen) = witnesses(|_| {}).await;
    let mut ada = member(&host, "lobby", "ada").await;
    let mut bob = member(&host, "lobby", "bob").await;
    for round in 0..50 {
        let lost = Raw::member(&host, "lobby", "lost").await.into_tcp();
        for number in 0..10 {
            ada.send(format!("{round}.{number}")).await;
            if number == 5 {
                end_by_reset(&lost);
            }
        }
        drop(lost);
        for number in 0..10 {
            assert_eq!(ada.next_text().await, format!("{round}.{number}"));
            assert_eq!(bob.next_text().await, format!("{round}.{number}"));
        }
        assert_eq!(seen.next().await, "lost closed: 1006 \"\" unclean, last");
    }
}

#[tokio::test]
async fn text_stays_text_and_binary_stays_binary_the_empty_ones_too() {
    let host = TestHost::start::<Everybody>().await;
    let (mut ada, mut bob) = (host.join("lobby").await, host.join("lobby").await);
    bob.send("here").await;
    assert_eq!(bob.next_text().await, "here");
    assert_eq!(ada.next_text().await, "here");
    let frames = [
        Frame::text("a"),
        Frame::binary(vec![0xff, 0, 0xfe]),
        Frame::text(""),
        Frame::binary(""),
        Frame::binary("a"),
        Frame::text("a\0é🦀"),
    ];
    for frame in &frames {
        ada.send(frame).await;
    }
    for frame in &frames {
        assert_eq!(ada.next().await, *frame);
        assert_eq!(bob.next().await, *frame);
    }
}

#[tokio::test]
async fn a_thousand_messages_keep_their_order() {
    let host = TestHost::start::<Everybody>().await;
    let (mut ada, mut bob) = (host.join("lobby").await, host.join("lobby").await);
    bob.send("here").await;
    assert_eq!(ada.next_text().await, "here");
    assert_eq!(bob.next_text().await, "here");
    for number in 0..1000 {
        ada.send(format!("{number}")).await;
    }
    for number in 0..1000 {
        assert_eq!(ada.next_text().await, format!("{number}"));
        assert_eq!(bob.next_text().await, format!("{number}"));
    }
}

#[tokio::test]
async fn a_message_of_exactly_the_limit_passes_whole_and_in_fragments() {
    let host = TestHost::start::<Everybody>().await;
    let mut raw = Raw::connect(&host, "/party/lobby").await;
    let whole: Vec<u8> = (0..1 << 20).map(|index: u32| index.to_le_bytes()[1]).collect();

    raw.send(frame(BINARY, &whole)).await;
    assert_eq!(raw.next().await, (BINARY, whole.clone()));

    let (first, rest) = whole.split_at(1000);
    let (second, third) = rest.split_at(500_000);
    raw.send(frame(BINARY & !FINAL, first)).await;
    raw.send(frame(CONTINUATION, second)).await;
    raw.send(frame(CONTINUATION | FINAL, third)).await;
    assert_eq!(raw.next().await, (BINARY, whole));
}

/// A letter of four bytes is cut by every border of a fragment, and a ping comes in between.
#[tokio::test]
async fn a_text_may_be_cut_anywhere_and_a_ping_may_come_between() {
    let host = TestHost::start::<Everybody>().await;
    let mut raw = Raw::connect(&host, "/party/lobby").await;
    let text = "🦀".as_bytes();
    raw.send(frame(TEXT & !FINAL, &text[..1])).await;
    raw.send(frame(CONTINUATION, &text[1..2])).await;
    raw.send(frame(PING, "now")).await;
    assert_eq!(raw.next().await, (PONG, b"now".to_vec()));
    raw.send(frame(CONTINUATION, "")).await;
    raw.send(frame(CONTINUATION | FINAL, &text[2..])).await;
    assert_eq!(raw.next_text().await, "🦀");
}

#[tokio::test]
async fn a_ping_is_answered_with_its_payload_and_a_pong_is_ignored() {
    let (host, _seen) = witnesses(|_| {}).await;
    let mut raw = Raw::member(&host, "lobby", "ada").await;
    for payload in [&[][..], b"x", &[0xff; 125]] {
        raw.send(frame(PONG, payload)).await;
        raw.send(frame(PING, payload)).await;
        assert_eq!(raw.next().await, (PONG, payload.to_vec()));
    }
    raw.send(frame(TEXT, "mark")).await;
    assert_eq!(raw.next_text().await, "mark");
}

/// A failing hook, then a message on the same connection; what it wrote is gone.
async fn a_failing_message(order: &str, report: &str) {
    let (host, mut seen) = witnesses(|_| {}).await;
    let (mut ada, mut bob) = (member(&host, "lobby", "ada").await, member(&host, "lobby", "bob").await);

    ada.send(order).await;
    assert_eq!(seen.next().await, report);

    ada.send("get tea").await;
    assert_eq!(ada.next_text().await, "none");
    mark(&mut ada, &mut [&mut bob]).await;
    mark(&mut bob, &mut [&mut ada]).await;
}

#[tokio::test]
async fn a_failing_on_message_is_not_told_to_the_client_and_its_connection_lives() {
    a_failing_message("put-and-fail tea", "on_message of ada failed: as told").await;
}

#[tokio::test]
async fn a_panicking_on_message_is_not_told_to_the_client_and_its_connection_lives() {
    a_failing_message("panic", "on_message of ada failed: panic: as told").await;
}

#[tokio::test]
async fn an_on_message_that_fails_with_a_close_closes_its_sender_and_is_no_failure() {
    let (host, mut seen) = witnesses(|_| {}).await;
    let (mut ada, mut bob) = (member(&host, "lobby", "ada").await, member(&host, "lobby", "bob").await);

    ada.send("put-and-refuse tea").await;

    assert_eq!(ada.try_next().await, Err((4003, "refused".to_owned())));
    drop(ada);
    assert_eq!(seen.next().await, "ada closed: 4003 \"refused\" clean, last");
    bob.send("get tea").await;
    assert_eq!(bob.next_text().await, "none");
    mark(&mut bob, &mut []).await;
}

#[tokio::test]
async fn a_broken_rule_is_told_with_its_place_and_its_limits() {
    let host = TestHost::start::<Table>().await;
    let mut ada = host.join("lobby").await;
    for (text, told) in [
        (
            r#"{"type":"name","name":""}"#,
            r#"{"type":"error","error":"`name.name` must have 1 to 20 characters","path":"name.name","rule":"len","min":1,"max":20}"#,
        ),
        (
            r#"{"type":"name","name":"root"}"#,
            r#"{"type":"error","error":"`name.name`: this name is taken","path":"name.name","rule":"custom"}"#,
        ),
    ] {
        ada.send(text).await;
        assert_eq!(ada.next_text().await, told);
    }
    ada.send(r#"{"type":"name","name":"ada"}"#).await;
    assert_eq!(ada.next_text().await, "named ada");
}

#[tokio::test]
async fn what_does_not_parse_is_told_to_its_sender_alone() {
    let host = TestHost::start::<Table>().await;
    let (mut ada, mut bob) = (host.join("lobby").await, host.join("lobby").await);
    let unknown = "unknown type `stand`, expected one of `sit`, `leave`, `name`";
    let cases = [
        (Frame::text("{\"type\":"), "not valid JSON: EOF while parsing a value at line 1 column 8"),
        (Frame::text(""), "not valid JSON: EOF while parsing a value at line 1 column 0"),
        (Frame::text("[1]"), "expected a JSON object with the key `type`"),
        (Frame::text("{}"), "missing key `type`"),
        (Frame::text("{\"type\":7}"), "the key `type` must be a string"),
        (Frame::text("{\"type\":\"stand\"}"), unknown),
        (Frame::text("{\"type\":\"sit\"}"), "missing field `seat` at line 1 column 14"),
        (Frame::text("{\"type\":\"sit\",\"seat\":256}"), ""),
        (Frame::binary("{\"type\":\"leave\"}"), "expected a text message, got a binary one"),
    ];
    for (frame, wrong) in cases {
        ada.send(&frame).await;
        let told = ada.next_text().await;
        let error: serde_json::Value = serde_json::from_str(&told).expect("JSON");
        if wrong.is_empty() {
            assert!(error["error"].as_str().is_some_and(|error| error.contains("`seat`")), "{told}");
        } else {
            let expected = serde_json::json!({ "type": "error", "error": wrong });
            assert_eq!(error, expected, "{frame:?}");
        }
        // The text, not only its meaning.
        assert!(told.starts_with("{\"type\":\"error\",\"error\":\""), "{told}");
    }
    ada.send("{\"type\":\"sit\",\"seat\":255}").await;
    assert_eq!(ada.next_text().await, "sat on 255");
    assert_eq!(bob.next_text().await, "sat on 255");
    bob.send("{\"type\":\"leave\"}").await;
    assert_eq!(bob.next_text().await, "left");
}

#[tokio::test]
async fn a_party_that_reads_bytes_refuses_text() {
    let host = TestHost::start::<Bytewise>().await;
    let mut ada = host.join("lobby").await;
    ada.send("text").await;
    ada.send(Frame::binary("bytes")).await;
    let wrong = "{\"type\":\"error\",\"error\":\"expected a binary message, got a text one\"}";
    assert_eq!(ada.next_text().await, wrong);
    assert_eq!(ada.next().await, Frame::binary("bytes"));
}

#[tokio::test]
async fn a_party_may_answer_what_does_not_parse_itself() {
    let host = TestHost::start::<Polite>().await;
    let (mut ada, mut bob) = (host.join("lobby").await, host.join("lobby").await);
    bob.send("{}").await;
    assert_eq!(bob.next_text().await, "pardon? missing key `type`");
    assert_eq!(ada.next_text().await, "somebody mumbles");
}

const FLOOD_FRAME_BYTES: usize = 16 << 10;

/// A frame of a flood; it begins with its number.
fn flood_frame(number: usize) -> String {
    format!("{number:08}").repeat(FLOOD_FRAME_BYTES / 8)
}

/// A client that takes next to nothing unless it reads.
async fn narrow(addr: SocketAddr, id: &str) -> Raw {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("an option of TCP");
    let mut raw = Raw::over(socket.connect(addr).await.expect("the host listens"));
    raw.upgrade(&format!("/party/lobby?_pk={id}")).await;
    assert_eq!(raw.next_text().await, "welcome");
    raw
}

/// Broadcasts until the host has given up on a client; the others hear everything in order,
/// each frame before the next is sent. Returns how many frames there were.
async fn flood(seen: &mut Seen, sender: &mut TestClient, others: &mut [TestClient]) -> usize {
    for number in 0..4000 {
        let text = flood_frame(number);
        sender.send(&text).await;
        assert_eq!(sender.next_text().await, text);
        for other in others.iter_mut() {
            assert_eq!(other.next_text().await, text);
        }
        if let [report] = &seen.all()[..] {
            assert_eq!(
                report,
                "slow closed: 1013 \"Read too slowly: over 65536 bytes waited\" unclean, last"
            );
            return number + 1;
        }
    }
    panic!("the slow client was never given up");
}

#[tokio::test]
async fn slow_reader_is_closed_and_the_others_hear_everything() {
    let (host, mut seen) = witnesses(|config| config.outbox_bytes_max = 64 << 10).await;
    let mut ada = member(&host, "lobby", "ada").await;
    let mut others = [member(&host, "lobby", "bob").await, member(&host, "lobby", "cyd").await];
    let mut slow = narrow(host.addr(), "slow").await;

    let sent_count = flood(&mut seen, &mut ada, &mut others).await;
    assert_eq!(who(&mut ada).await, "ada,bob,cyd");

    // When it reads on, it finds whole frames in order, then the Close, then the end.
    let mut heard_count = 0;
    let close = loop {
        match slow.next().await {
            (TEXT, text) => {
                assert!(text == flood_frame(heard_count).as_bytes(), "frame {heard_count}");
                heard_count += 1;
            }
            other => break other,
        }
    };
    let reason = b"Read too slowly: over 65536 bytes waited";
    assert_eq!(close, (CLOSE, [&1013_u16.to_be_bytes()[..], reason].concat()));
    assert!(heard_count > 4 && heard_count <= sent_count, "{heard_count} of {sent_count}");
    slow.ends().await;
    drop(slow);
    host.until(|host| host.connections_count() == 3).await;
    assert_eq!(seen.all(), [] as [String; 0], "one on_close");
}

#[tokio::test]
async fn slow_reader_that_never_reads_again_is_cut_and_nothing_of_it_is_left() {
    let (host, mut seen) = witnesses(|config| config.outbox_bytes_max = 64 << 10).await;
    let mut ada = member(&host, "lobby", "ada").await;
    let _slow = narrow(host.addr(), "slow").await;

    flood(&mut seen, &mut ada, &mut []).await;
    assert_eq!(host.connections_count(), 2);

    host.advance(Duration::from_secs(5));
    host.until(|host| host.connections_count() == 1).await;
}

/// Its pongs wait in the outbox like everything else.
#[tokio::test]
async fn slow_reader_that_only_pings_is_closed() {
    let (host, mut seen) = witnesses(|config| config.outbox_bytes_max = 64 << 10).await;
    let mut ada = member(&host, "lobby", "ada").await;
    let mut slow = narrow(host.addr(), "slow").await;
    let pings = frame(PING, [7; 125]).repeat(100);
    let report = tokio::select! {
        report = seen.next() => report,
        () = async { loop { slow.send(&pings).await } } => unreachable!(),
    };
    assert_eq!(report, "slow closed: 1013 \"Read too slowly: over 65536 bytes waited\" unclean, last");
    mark(&mut ada, &mut []).await;
}

/// Far more goes through than the outbox may hold.
#[tokio::test]
async fn reader_that_keeps_up_is_never_closed() {
    let (host, mut seen) = witnesses(|config| config.outbox_bytes_max = 64 << 10).await;
    let mut ada = member(&host, "lobby", "ada").await;
    for number in 0..200 {
        ada.send(flood_frame(number)).await;
        assert_eq!(ada.next_text().await, flood_frame(number));
    }
    assert_eq!(seen.all(), [] as [String; 0]);
}

#[tokio::test]
async fn two_hundred_connections_come_and_go_and_nothing_is_left() {
    let (reports, _seen) = reports();
    let host = TestHost::of(Host::builder().party::<crate::parties::Witness>("main").env(reports)).await;
    for number in 0..200 {
        let client = member(&host, &format!("room-{}", number % 10), "ada").await;
        assert_eq!(client.close(Some((1000, "bye"))).await, (1000, "bye".to_owned()));
    }
    host.until(|host| host.connections_count() == 0).await;
    assert_eq!(host.rooms_count(), 10);

    soon(async {
        while host.rooms_count() > 0 {
            host.advance(Duration::from_secs(30));
            tokio::task::yield_now().await;
        }
    })
    .await;
}
