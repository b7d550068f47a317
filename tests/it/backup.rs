//! Copies of what is stored: taken while a host runs, brought into another, and read by `party-data`.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use partyrs::prelude::*;
use partyrs::storage::{Commit, MemoryEngine, StorageEngine, StoredAlarm, Writes};
use partyrs::{PartyName, RoomAddress, RoomId};
use partyrs_runtime::backup::{Counts, Export, Fault, Import, ImportError, Selection};
use partyrs_runtime::storage::{Defect, RedbEngine, check};
use partyrs_runtime::testing::{TestHost, soon};
use partyrs_runtime::{Builder, Host};
use redb::{Database, TableDefinition};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, BufReader as AsyncBufReader};

use crate::faulty::{Call, FaultyDisk};
use crate::http::raw::{Answer, Raw};
use crate::programs::program;
use crate::script::{Script, put, steps};

const TOKEN: &str = "0123456789abcdef";

fn address(party: &str, room: &str) -> RoomAddress {
    RoomAddress::new(PartyName::new(party).unwrap(), RoomId::new(room).unwrap())
}

fn main_room(room: &str) -> RoomAddress {
    address("main", room)
}

async fn store(engine: &dyn StorageEngine, room: &RoomAddress, writes: Writes) {
    let opened = engine.open(room).await.unwrap();
    let commit = Commit::new(room.clone(), opened.epoch, opened.seq + 1, Arc::new(writes));
    engine.commit(commit).await.unwrap();
    engine.close(room, opened.epoch);
}

fn puts(entries: &[(&str, &[u8])]) -> Writes {
    let mut writes = Writes::new();
    entries.iter().for_each(|(key, value)| writes.put((*key).to_owned(), Bytes::copy_from_slice(value)));
    writes
}

fn alarm(name: &str, scheduled_ms: u64, due_ms: u64, retry: u32) -> StoredAlarm {
    StoredAlarm::new(name.to_owned(), scheduled_ms, due_ms, retry)
}

/// All lines.
async fn exported(engine: &dyn StorageEngine, selection: Selection) -> String {
    let mut copy = Vec::new();
    let now = UNIX_EPOCH + Duration::from_millis(1_770_091_506_789);
    Export::begin(engine, selection, now).await.unwrap().write_to(&mut copy).await.unwrap();
    String::from_utf8(copy).unwrap()
}

fn replacing() -> Import {
    let mut import = Import::default();
    import.replace = true;
    import
}

/// The keys and values of a room in an export.
fn entries_of(lines: &str, room: &str) -> BTreeMap<String, String> {
    let records = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let of_room = records.filter(|record| record["type"] == "entry" && record["room"] == room);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    of_room.map(|record| (text(&record["key"]), text(&record["value"]))).collect()
}

fn with_admin(builder: Builder) -> Builder {
    let local = SocketAddr::from(([127, 0, 0, 1], 0));
    builder.admin(local).admin_token(TOKEN).config(|config| config.ping_every = Duration::MAX)
}

async fn begin_export(host: &TestHost, path: &str) -> Raw {
    let mut raw = Raw::connect_to(host.admin_addr().unwrap()).await;
    raw.send(format!("GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n\r\n")).await;
    raw
}

async fn ask(host: &TestHost, path: &str) -> Answer {
    begin_export(host, path).await.answer().await
}

/// Each message writes one number under two keys that lie some pages apart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_of_a_host_under_load_never_shows_a_part_of_a_commit() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Arc::new(RedbEngine::open(folder.path()).unwrap());
    let host = TestHost::of(with_admin(Host::builder().party::<Script>("main").storage(engine))).await;
    let rooms = ["r0", "r1", "r2"];
    let is_over = Arc::new(AtomicBool::new(false));
    let mut writers = Vec::new();
    for room in rooms {
        let mut client = host.join(room).await;
        let between: Vec<_> = (0..600).map(|number| put(&format!("m{number:03}"), "-")).collect();
        client.send(steps(&between)).await;
        client.send(steps(&[put("a", "0"), put("z", "0"), crate::script::say("0")])).await;
        assert_eq!(client.next_text().await, "0");
        let is_over = Arc::clone(&is_over);
        writers.push(tokio::spawn(async move {
            let mut number = 0;
            while !is_over.load(Ordering::Relaxed) {
                number += 1;
                let text = number.to_string();
                client.send(steps(&[put("a", &text), put("z", &text), crate::script::say(&text)])).await;
                assert_eq!(client.next_text().await, text);
            }
            number
        }));
    }
    for _ in 0..20 {
        let answer = ask(&host, "/-/export").await;
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/x-ndjson")));
        let lines = answer.text();
        assert!(lines.ends_with("}\n") && lines.contains(r#"{"type":"end","rooms":3,"#));
        for room in rooms {
            let entries = entries_of(&lines, room);
            assert_eq!(entries.len(), 603);
            assert_eq!(entries["a"], entries["z"], "{room}");
        }
    }
    is_over.store(true, Ordering::Relaxed);
    for writer in writers {
        assert!(soon(writer).await.unwrap() > 0);
    }
}

/// Long and short values, odd names, many rooms, a long room, alarms alone.
async fn filled() -> MemoryEngine {
    let engine = MemoryEngine::new();
    let mut writes = puts(&[("", b""), ("\0\n\u{1f600}", b"\xff\0"), (&"k".repeat(2048), &[7; 2 << 20])]);
    writes.set_alarm(alarm("", 5, 9, 3));
    writes.set_alarm(alarm("tea \"time\"", u64::MAX, u64::MAX, 0));
    store(&engine, &address("chat", "a/b ? \u{1f600}\n"), writes).await;
    let mut only_alarms = Writes::new();
    only_alarms.set_alarm(alarm("x", 1, 1, 0));
    store(&engine, &address("chat_2", "alarms"), only_alarms).await;
    let mut long = Writes::new();
    (0..700).for_each(|number| long.put(format!("{number:04}"), vec![1; 10_000].into()));
    store(&engine, &main_room("long"), long).await;
    for number in 0..600 {
        store(&engine, &main_room(&format!("{number:03}")), puts(&[("k", b"v")])).await;
    }
    engine
}

#[tokio::test]
async fn an_export_that_was_imported_is_exported_again_as_it_was() {
    let from = filled().await;
    let copy = exported(&from, Selection::All).await;
    let folder = tempfile::tempdir().unwrap();
    let engine = RedbEngine::open(folder.path()).unwrap();
    let rehearsed = Import::default().rehearse(&engine, copy.as_bytes()).await.unwrap();
    assert_eq!(exported(&engine, Selection::All).await.lines().count(), 2);

    let imported = Import::default().run(&engine, copy.as_bytes()).await.unwrap();
    assert_eq!(imported.counts, rehearsed);
    let Counts { rooms, alarms, entries, .. } = imported.counts;
    assert_eq!((rooms, alarms, entries), (603, 3, 3 + 700 + 600));
    assert_eq!((imported.replaced_count, imported.last), (0, Some(main_room("long"))));
    assert!(exported(&engine, Selection::All).await == copy);
    drop(engine);
    // And all tables agree.
    let report = check(folder.path()).unwrap();
    assert_eq!(report.defects, []);
    assert_eq!((report.rooms_count, report.alarms_count, report.entries_count), (603, 3, 1303));
}

#[tokio::test]
async fn a_selection_is_exported_alone_and_taken_alone_from_an_export_of_all() {
    let from = filled().await;
    let all = exported(&from, Selection::All).await;
    let chat = PartyName::new("chat").unwrap();
    for (selection, rooms) in [(Selection::Party(chat), 1), (Selection::Room(main_room("long")), 1)] {
        let alone = exported(&from, selection.clone()).await;
        let mut import = Import::default();
        import.selection = selection;
        let to = MemoryEngine::new();
        assert_eq!(import.run(&to, all.as_bytes()).await.unwrap().counts.rooms, rooms);
        assert!(exported(&to, Selection::All).await == alone);
    }
    let none = exported(&from, Selection::Room(main_room("none"))).await;
    assert_eq!(none.lines().count(), 2);
}

/// Remembers its last order, and calls when its time has come.
struct Egg;

impl PartyServer for Egg {
    type Message = String;

    async fn on_start(_: &Room) -> Result<Self> {
        Ok(Egg)
    }

    async fn on_connect(&mut self, room: &Room, connection: &Connection, _: &ConnectContext) -> Result<()> {
        let order: Option<String> = room.storage().get("order").await?;
        connection.send(order.unwrap_or_default())?;
        Ok(())
    }

    async fn on_message(&mut self, room: &Room, _: &Connection, order: String) -> Result<()> {
        room.storage().put("order", &order)?;
        room.storage().set_alarm_named("egg", Duration::from_secs(240))?;
        room.broadcast("in the water")?;
        Ok(())
    }

    async fn on_alarm(&mut self, room: &Room, alarm: &Alarm) -> Result<()> {
        room.broadcast(format!("{} is done", alarm.name.as_deref().unwrap_or_default()))?;
        Ok(())
    }
}

#[tokio::test]
async fn a_room_that_is_moved_to_another_host_goes_on_there_with_its_alarm() {
    let old = TestHost::of(with_admin(Host::builder().party::<Egg>("main"))).await;
    for room in ["kitchen", "other"] {
        let mut cook = old.join(room).await;
        assert_eq!(cook.next_text().await, "");
        cook.send("soft").await;
        assert_eq!(cook.next_text().await, "in the water");
    }
    let copy = ask(&old, "/-/export/main/kitchen").await.body;
    old.stop().await;

    let folder = tempfile::tempdir().unwrap();
    let engine = Arc::new(RedbEngine::open(folder.path()).unwrap());
    Import::default().run(&*engine, &copy[..]).await.unwrap();
    let new = TestHost::of(with_admin(Host::builder().party::<Egg>("main").storage(engine))).await;
    let mut cook = new.join("kitchen").await;
    assert_eq!(cook.next_text().await, "soft");
    new.advance(Duration::from_secs(241));
    assert_eq!(cook.next_text().await, "egg is done");
    assert_eq!(new.join("other").await.next_text().await, "");
}

/// The database that comes after an error writes over what an older snapshot would read.
#[tokio::test]
async fn a_snapshot_ends_when_the_data_file_is_opened_anew_and_the_next_one_is_right() {
    let disk = Arc::new(FaultyDisk::default());
    let engine = RedbEngine::open_on(disk.clone()).unwrap();
    store(&engine, &main_room("a"), puts(&[("k", b"1")])).await;
    let early = engine.snapshot().await.unwrap();
    disk.fail_once(Call::Write, 0, ErrorKind::Other);
    let opened = engine.open(&main_room("a")).await.unwrap();
    let lost = Commit::new(main_room("a"), opened.epoch, opened.seq + 1, Arc::new(puts(&[("k", b"lost")])));
    assert!(engine.commit(lost).await.is_err());

    store(&engine, &main_room("b"), puts(&[("k", b"2")])).await;

    let error = early.entries(&main_room("a"), None, 9).await.unwrap_err().to_string();
    assert!(error.contains("opened anew"), "{error}");
    let stored = exported(&engine, Selection::All).await;
    assert_eq!(
        (entries_of(&stored, "a"), entries_of(&stored, "b")),
        ([("k".into(), "MQ==".into())].into(), [("k".into(), "Mg==".into())].into())
    );
    drop(engine);
    RedbEngine::open_on(disk).unwrap();
    drop(early);
}

const HEAD: &str = r#"{"type":"export","format":1,"at":"2026-02-03T04:05:06Z","version":"0.1.0"}"#;
const ROOM_A: &str = r#"{"type":"room","party":"main","room":"a"}"#;
const ENTRY_A: &str = r#"{"type":"entry","party":"main","room":"a","key":"k","value":"dg=="}"#;
const END_A: &str = r#"{"type":"end","rooms":1,"alarms":0,"entries":1}"#;

/// Refused by a rehearsal and by an import alike, and then nothing is there.
async fn refused(file: &[u8]) -> ImportError {
    let engine = MemoryEngine::new();
    let rehearsed = Import::default().rehearse(&engine, file).await.expect_err("a refusal");
    let error = Import::default().run(&engine, file).await.expect_err("a refusal");
    assert_eq!(rehearsed.to_string(), error.to_string());
    assert_eq!(error.imported.counts, Counts::default());
    assert_eq!(exported(&engine, Selection::All).await.lines().count(), 2);
    error
}

#[tokio::test]
async fn a_hostile_file_is_refused_with_its_line_and_brings_nothing_in() {
    let entry = |key: &str, value: &str| {
        json!({"type": "entry", "party": "main", "room": "a", "key": key, "value": value}).to_string()
    };
    let alarm = |name: &str| {
        format!(
            r#"{{"type":"alarm","party":"main","room":"a","name":{name},"scheduled_ms":1,"due_ms":1,"retry":0}}"#
        )
    };
    let too_long = data_of((2 << 20) + 1);
    let cases: &[(u64, &str, &[&str])] = &[
        (1, "is no export", &[]),
        (1, "is no export", &[ROOM_A]),
        (1, "is no export", &["[]"]),
        (1, "format 2", &[r#"{"type":"export","format":2,"anything":[]}"#]),
        (1, "missing field `at`", &[r#"{"type":"export","format":1}"#]),
        (2, "so it was cut", &[HEAD]),
        (4, "so it was cut", &[HEAD, ROOM_A, ENTRY_A]),
        (3, "keys 1, but there are rooms 1, alarms 0, keys 0", &[HEAD, ROOM_A, END_A]),
        (5, "comes behind the last line", &[HEAD, ROOM_A, ENTRY_A, END_A, ROOM_A]),
        (2, "comes once more", &[HEAD, HEAD]),
        (2, "unknown variant `rooms`", &[HEAD, r#"{"type":"rooms"}"#]),
        (2, "not a record", &[HEAD, "{}"]),
        (2, "not a record", &[HEAD, "null"]),
        (2, "party name \"Main\"", &[HEAD, r#"{"type":"room","party":"Main","room":"a"}"#]),
        (2, "room id of 0 bytes", &[HEAD, r#"{"type":"room","party":"main","room":""}"#]),
        (3, "room main/a comes twice", &[HEAD, ROOM_A, ROOM_A]),
        (
            3,
            "room chat/b comes twice, or in",
            &[HEAD, ROOM_A, r#"{"type":"room","party":"chat","room":"b"}"#],
        ),
        (2, "not of the room", &[HEAD, ENTRY_A]),
        (3, "not of the room", &[HEAD, r#"{"type":"room","party":"main","room":"b"}"#, ENTRY_A]),
        (3, "not base64", &[HEAD, ROOM_A, &entry("k", "dg=")]),
        (3, "not base64", &[HEAD, ROOM_A, &entry("k", "d g=")]),
        (3, "key of 2049 bytes", &[HEAD, ROOM_A, &entry(&"k".repeat(2049), "dg==")]),
        (3, "value of 2097153 bytes", &[HEAD, ROOM_A, &entry("k", &too_long)]),
        (4, "key comes twice", &[HEAD, ROOM_A, ENTRY_A, ENTRY_A]),
        (4, "key comes twice", &[HEAD, ROOM_A, ENTRY_A, &entry("j", "dg==")]),
        (4, "alarm comes twice", &[HEAD, ROOM_A, ENTRY_A, &alarm("null")]),
        (4, "alarm comes twice", &[HEAD, ROOM_A, &alarm("\"x\""), &alarm("null")]),
        (3, "name of an alarm has 0", &[HEAD, ROOM_A, &alarm("\"\"")]),
        (3, "name of an alarm has 257", &[HEAD, ROOM_A, &alarm(&format!("\"{}\"", "x".repeat(257)))]),
        (
            3,
            "missing field `due_ms`",
            &[HEAD, ROOM_A, r#"{"type":"alarm","party":"main","room":"a","scheduled_ms":1,"retry":0}"#],
        ),
        (
            3,
            "not a record",
            &[
                HEAD,
                ROOM_A,
                r#"{"type":"alarm","party":"main","room":"a","scheduled_ms":-1,"due_ms":1,"retry":0}"#,
            ],
        ),
    ];
    for (line, text, lines) in cases {
        let file = lines.iter().flat_map(|line| [line.as_bytes(), b"\n"].concat()).collect::<Vec<u8>>();
        let error = refused(&file).await;
        assert!(error.line == *line && error.to_string().contains(text), "{error}, expected {line}: {text}");
    }

    let half = format!("{HEAD}\n{ROOM_A}\n{}", &ENTRY_A[..40]);
    let error = refused(half.as_bytes()).await;
    assert!(matches!((error.line, error.fault), (3, Fault::Cut)));
    let error = refused(&[HEAD.as_bytes(), b"\n{\"type\":\"\xff\"}\n"].concat()).await;
    assert!(matches!((error.line, error.fault), (2, Fault::Utf8)));
}

/// Zeros in base64.
fn data_of(length: usize) -> String {
    let mut text = "A".repeat(length.div_ceil(3) * 4);
    let padding = length.div_ceil(3) * 3 - length;
    text.replace_range(text.len() - padding.., &"=".repeat(padding));
    text
}

#[tokio::test]
async fn what_is_at_its_limit_or_unknown_but_harmless_is_imported() {
    let entry = |key: &str, value: &str| {
        json!({"type": "entry", "party": "main", "room": "a", "key": key, "value": value}).to_string()
    };
    let name = "x".repeat(256);
    let alarm = format!(
        r#"{{"due_ms":0,"retry":4294967295,"color":{{"a":[1]}},"scheduled_ms":18446744073709551615,"room":"a","name":"{name}","party":"main","type":"alarm"}}"#
    );
    let longest = entry(&"\u{1}".repeat(2048), &data_of(2 << 20));
    let end = r#"{"type":"end","rooms":1,"alarms":1,"entries":1,"color":"green"}"#;
    // No line end behind the last line, blank lines, and those of another system.
    let file = format!("{HEAD}\r\n\n{ROOM_A}\n{alarm}\n{longest}\n  \n{end}");
    let engine = MemoryEngine::new();
    let counts = Import::default().run(&engine, file.as_bytes()).await.unwrap().counts;
    assert_eq!((counts.rooms, counts.alarms, counts.entries), (1, 1, 1));
    let stored = engine.snapshot().await.unwrap().entries(&main_room("a"), None, 9).await.unwrap();
    assert_eq!(stored.entries[0].1.len(), 2 << 20);

    // What another host may have.
    let mut import = replacing();
    import.limits.key_bytes_max = 2047;
    let error = import.run(&engine, file.as_bytes()).await.unwrap_err();
    assert!(matches!(error.fault, Fault::KeyTooLong { len_bytes: 2048, limit_bytes: 2047 }));
}

#[tokio::test]
async fn a_line_of_100_mb_is_refused_before_it_is_read() {
    let endless = tokio::io::repeat(b'x').take(100 << 20);
    let mut file = AsyncBufReader::new(endless);
    let error = Import::default().rehearse(&MemoryEngine::new(), &mut file).await.unwrap_err();
    assert!(matches!((error.line, error.fault), (1, Fault::LineTooLong { .. })));
    assert!(file.into_inner().limit() > 95 << 20);
}

#[tokio::test]
async fn of_a_room_that_is_cut_nothing_stays_and_the_rooms_before_are_told() {
    let from = filled().await;
    let copy = exported(&from, Selection::All).await;
    // In the midst of the long room, of which some MiB are in by then, and which is the last.
    let cut = copy.len() - (1 << 20);
    let folder = tempfile::tempdir().unwrap();
    let engine = RedbEngine::open(folder.path()).unwrap();
    let error = Import::default().run(&engine, &copy.as_bytes()[..cut]).await.unwrap_err();
    assert!(matches!(error.fault, Fault::Cut));
    assert_eq!(error.imported.counts.rooms, 602);
    assert_eq!((error.imported.last, error.imported.partial), (Some(main_room("599")), None));
    assert_eq!(exported(&engine, Selection::Room(main_room("long"))).await.lines().count(), 2);
    let chat = PartyName::new("chat").unwrap();
    let before = exported(&from, Selection::Party(chat.clone())).await;
    assert!(exported(&engine, Selection::Party(chat)).await == before);
    assert_eq!(error.imported.lost, None);
    // Of one that was to be replaced what it had is gone too, and that is told.
    store(&engine, &main_room("long"), puts(&[("old", b"1")])).await;
    let error = replacing().run(&engine, &copy.as_bytes()[..cut]).await.unwrap_err();
    assert_eq!((error.imported.lost, error.imported.partial), (Some(main_room("long")), None));
    assert_eq!(exported(&engine, Selection::Room(main_room("long"))).await.lines().count(), 2);
    // And it can be imported once more, over what is there.
    let import = replacing();
    assert_eq!(import.run(&engine, copy.as_bytes()).await.unwrap().replaced_count, 602);
    assert!(exported(&engine, Selection::All).await == copy);
}

#[tokio::test]
async fn a_room_that_has_data_is_left_alone_unless_it_is_to_be_replaced() {
    let file = [HEAD, ROOM_A, ENTRY_A, END_A].join("\n");
    for old in [puts(&[("old", b"1"), ("k", b"2")]), {
        let mut writes = Writes::new();
        writes.set_alarm(alarm("old", 1, 1, 0));
        writes
    }] {
        let engine = MemoryEngine::new();
        store(&engine, &main_room("a"), old.clone()).await;
        store(&engine, &main_room("b"), old).await;
        let before = exported(&engine, Selection::All).await;
        let beside = exported(&engine, Selection::Room(main_room("b"))).await;
        let error = Import::default().run(&engine, file.as_bytes()).await.unwrap_err();
        assert!(matches!(&error.fault, Fault::HasData(room) if *room == main_room("a")), "{error}");
        assert_eq!(error.line, 2);
        assert!(Import::default().rehearse(&engine, file.as_bytes()).await.is_err());
        assert_eq!(exported(&engine, Selection::All).await, before);

        let import = replacing();
        let imported = import.run(&engine, file.as_bytes()).await.unwrap();
        assert_eq!((imported.counts.rooms, imported.replaced_count), (1, 1));
        let after = exported(&engine, Selection::Room(main_room("a"))).await;
        assert_eq!(after.lines().skip(1).collect::<Vec<_>>(), [ROOM_A, ENTRY_A, END_A]);
        assert_eq!(exported(&engine, Selection::Room(main_room("b"))).await, beside);
    }
}

#[tokio::test]
async fn an_export_needs_a_token_even_from_programs_of_this_machine() {
    let local = SocketAddr::from(([127, 0, 0, 1], 0));
    let host = TestHost::of(Host::builder().party::<Egg>("main").admin(local)).await;
    for path in ["/-/export", "/-/export/main", "/-/export/main/a"] {
        let mut raw = Raw::connect_to(host.admin_addr().unwrap()).await;
        raw.send(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n")).await;
        let answer = raw.answer().await;
        assert_eq!(answer.status, 403, "{path}");
        assert!(answer.text().contains("PARTYRS_ADMIN_TOKEN"));
    }
    let host = TestHost::of(with_admin(Host::builder().party::<Egg>("main"))).await;
    let mut raw = Raw::connect_to(host.admin_addr().unwrap()).await;
    raw.send("GET /-/export HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert_eq!(raw.answer().await.status, 401);
    assert_eq!(host.get("/-/export").await.status(), 404);
}

#[tokio::test]
async fn an_export_at_the_admin_address_is_of_all_of_a_party_or_of_a_room() {
    let engine = Arc::new(filled().await);
    let builder = Host::builder().party::<Egg>("main").storage(Arc::clone(&engine) as Arc<_>);
    let host = TestHost::of(with_admin(builder)).await;
    let behind_head = |copy: &str| copy.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
    let chat = PartyName::new("chat").unwrap();
    for (path, selection) in [
        ("/-/export", Selection::All),
        // Of no party that is registered now.
        ("/-/export/chat", Selection::Party(chat)),
        ("/-/export/main/long", Selection::Room(main_room("long"))),
        (
            "/-/export/chat/a%2Fb%20%3F%20%F0%9F%98%80%0A",
            Selection::Room(address("chat", "a/b ? \u{1f600}\n")),
        ),
    ] {
        let answer = ask(&host, path).await;
        assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")), "{path}");
        let expected = exported(&*engine, selection).await;
        assert!(behind_head(&answer.text()) == behind_head(&expected), "{path}");
    }
    for (path, status) in [
        ("/-/export/none", 404),
        ("/-/export/main/none", 404),
        ("/-/export/", 404),
        ("/-/export/main/", 404),
        ("/-/export/Main/a", 404),
        ("/-/exports", 404),
        ("/-/export/main/%ff", 400),
    ] {
        assert_eq!(ask(&host, path).await.status, status, "{path}");
    }
    assert_eq!(host.rooms_count(), 0);
}

/// What a client does not read is not made, so its export stays under way; one that leaves ends it.
#[tokio::test]
async fn an_export_waits_for_its_client_and_ends_with_it() {
    let engine = MemoryEngine::new();
    let mut writes = Writes::new();
    (0..32).for_each(|number| writes.put(format!("{number:02}"), vec![1; 1 << 20].into()));
    store(&engine, &main_room("a"), writes).await;
    let host = TestHost::of(with_admin(Host::builder().party::<Egg>("main").storage(Arc::new(engine)))).await;
    let mut under_way = Vec::new();
    for _ in 0..4 {
        let mut raw = begin_export(&host, "/-/export").await;
        assert_eq!(raw.head().await.status, 200);
        under_way.push(raw);
    }
    let answer = ask(&host, "/-/export").await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("10")));
    assert_eq!(ask(&host, "/-/rooms").await.status, 200);

    under_way.pop();
    soon(async { while begin_export(&host, "/-/export/main/a").await.head().await.status != 200 {} }).await;
    // And who reads it gets all of it.
    let mut reader = under_way.pop().unwrap();
    let mut whole = Vec::new();
    while let Some(chunk) = reader.chunk().await {
        whole.extend(chunk);
    }
    assert!(whole.ends_with(b"{\"type\":\"end\",\"rooms\":1,\"alarms\":0,\"entries\":32}\n"));
}

#[tokio::test]
async fn a_program_exports_its_running_host() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::builder().party::<Script>("main").data(folder.path()).build().unwrap().start().unwrap();
    let room = host.parties().party::<Script>("main").unwrap().room("a").unwrap();
    room.run(async |_, room| Ok(room.storage().put("k", "v")?)).await.unwrap();
    let mut copy = Vec::new();
    let export = host.export(Selection::All).await.unwrap();
    export.write_to(&mut copy).await.unwrap();
    let stored = entries_of(std::str::from_utf8(&copy).unwrap(), "a");
    assert_eq!(stored["k"], "oXY=");

    let mut late = host.export(Selection::All).await.unwrap();
    host.shutdown().await.unwrap();
    assert!(late.next().await.is_err());
    // It holds nothing open.
    RedbEngine::open(folder.path()).unwrap();
}

fn party_data(folder: &Path, command: &str, args: &[&str]) -> Output {
    let mut asked = Command::new(program("party-data"));
    asked.arg(command).arg(folder).args(args).stdin(Stdio::null()).output().expect("it starts")
}

/// An import of what comes by stdin.
fn import_piped(folder: &Path, args: &[&str], copy: &[u8]) -> Output {
    let mut importing = Command::new(program("party-data"));
    importing.arg("import").arg(folder).args(args);
    let pipes = importing.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut importing = pipes.spawn().unwrap();
    // It may end before it has read all.
    let _ = importing.stdin.take().unwrap().write_all(copy);
    importing.wait_with_output().unwrap()
}

fn out(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// What it said of its failure.
fn failure(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}

async fn folder_with(engine: &MemoryEngine) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let copy = exported(engine, Selection::All).await;
    let to = RedbEngine::open(folder.path()).unwrap();
    Import::default().run(&to, copy.as_bytes()).await.unwrap();
    folder
}

#[tokio::test]
async fn party_data_lists_and_shows_what_is_stored() {
    let engine = MemoryEngine::new();
    let mut writes = puts(&[("raw", &[0xff, 0]), ("text", b"no MessagePack"), ("votes", b"\x81\xa3tea\x01")]);
    writes.put("x".to_owned(), vec![0xff; 1000].into());
    writes.set_alarm(alarm("", 1_770_091_506_789, 1_770_091_506_789, 0));
    writes.set_alarm(alarm("te\u{1b}a", 1_770_091_506_789, 1_770_091_510_789, 1));
    store(&engine, &main_room("lob\nby"), writes).await;
    store(&engine, &address("chat", "x"), puts(&[("k", b"12345")])).await;
    let folder = folder_with(&engine).await;

    assert_eq!(
        out(&party_data(folder.path(), "list", &[])),
        "chat/x\tkeys 1, bytes 6, alarms 0\nmain/lob\\nby\tkeys 4, bytes 1035, alarms 2, next 2026-02-03T04:05:06.789Z\n"
    );
    let json = out(&party_data(folder.path(), "list", &["--json", "--party", "chat"]));
    assert_eq!(
        serde_json::from_str::<Value>(&json).unwrap(),
        json!({"party": "chat", "room": "x", "keys": 1, "bytes": 6, "alarms": 0, "next_alarm": null})
    );
    let shown = out(&party_data(folder.path(), "show", &["main", "lob\nby"]));
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(
        lines[..5],
        [
            "alarm without a name: due 2026-02-03T04:05:06.789Z",
            "alarm \"te\\u001ba\": due 2026-02-03T04:05:10.789Z, set to 2026-02-03T04:05:06.789Z, failed 1 times",
            "key \"raw\": hex, 2 bytes: ff00",
            "key \"text\": text \"no MessagePack\"",
            "key \"votes\": {\"tea\":1}",
        ]
    );
    assert!(lines[5].ends_with(".. (cut; 1000 bytes, --full shows all)") && lines[5].len() < 300);
    let full = out(&party_data(folder.path(), "show", &["main", "lob\nby", "--full"]));
    assert!(full.ends_with(&format!("{}\n", "ff".repeat(1000))));
    let none = failure(&party_data(folder.path(), "show", &["main", "none"]));
    assert!(none.contains("main/none has stored nothing"), "{none}");
    assert_eq!(party_data(folder.path(), "show", &["Main", "none"]).status.code(), Some(2));
}

#[tokio::test]
async fn party_data_brings_a_copy_into_a_new_folder_and_one_room_into_an_old_one() {
    let engine = filled().await;
    let folder = folder_with(&engine).await;
    let place = tempfile::tempdir().unwrap();
    let (copy, new) = (place.path().join("copy.ndjson"), place.path().join("new"));
    let copy_text = copy.to_str().unwrap();
    out(&party_data(folder.path(), "export", &["-o", copy_text]));
    let behind_head = |copy: &str| copy.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
    let all = behind_head(&std::fs::read_to_string(&copy).unwrap());
    assert!(all == behind_head(&exported(&engine, Selection::All).await));

    out(&party_data(&new, "import", &[copy_text]));
    assert!(behind_head(&out(&party_data(&new, "export", &[]))) == all);
    let again = failure(&party_data(&new, "import", &[copy_text]));
    assert!(again.contains("has data already") && again.contains("nothing was imported"), "{again}");
    let one = ["--party", "main", "--room", "007", "--replace", copy_text];
    let said = party_data(&new, "import", &one);
    out(&said);
    assert!(
        String::from_utf8_lossy(&said.stderr).contains("rooms 1, alarms 0, keys 1; replaced: rooms 1"),
        "{said:?}"
    );
    let none = failure(&party_data(&new, "import", &["--party", "none", copy_text]));
    assert!(none.contains("has no such room"), "{none}");
    assert!(behind_head(&out(&party_data(&new, "export", &[]))) == all);

    // By stdin, under its own name too.
    for (folder, args) in [("piped", &[][..]), ("named", &["/dev/stdin"])] {
        let folder = place.path().join(folder);
        out(&import_piped(&folder, args, &std::fs::read(&copy).unwrap()));
        assert!(behind_head(&out(&party_data(&folder, "export", &[]))) == all);
    }
}

#[tokio::test]
async fn party_data_replaces_nothing_by_a_copy_that_was_cut_on_its_way() {
    let engine = filled().await;
    let folder = folder_with(&engine).await;
    let copy = exported(&engine, Selection::All).await.into_bytes();
    let before = out(&party_data(folder.path(), "list", &[]));

    let said = failure(&import_piped(folder.path(), &["--replace"], &copy[..copy.len() - (1 << 20)]));

    assert!(said.contains("cut") && said.contains("nothing was imported"), "{said}");
    assert!(out(&party_data(folder.path(), "list", &[])) == before);
    let none = ["--replace", "--party", "none"];
    let said = failure(&import_piped(folder.path(), &none, &copy));
    assert!(said.contains("has no such room"), "{said}");
    let said = failure(&import_piped(&folder.path().join("new"), &none[1..], &copy));
    assert!(said.contains("has no such room"), "{said}");
    let replaced = import_piped(folder.path(), &["--replace"], &copy);
    out(&replaced);
    assert!(String::from_utf8_lossy(&replaced.stderr).contains("replaced: rooms 603"), "{replaced:?}");
    assert!(out(&party_data(folder.path(), "list", &[])) == before);
}

#[tokio::test]
async fn party_data_makes_no_folder_for_what_it_refuses() {
    let place = tempfile::tempdir().unwrap();
    let (none, file) = (place.path().join("none"), place.path().join("copy.ndjson"));
    std::fs::write(&file, format!("{HEAD}\n{ROOM_A}\n{ENTRY_A}\n")).unwrap();
    for command in ["list", "export", "check"] {
        let said = failure(&party_data(&none, command, &[]));
        assert!(said.contains("is not there"), "{said}");
    }
    failure(&party_data(&none, "show", &["main", "a"]));
    let said = failure(&party_data(&none, "import", &[file.to_str().unwrap()]));
    assert!(said.contains("line 4") && said.contains("cut"), "{said}");
    let said = failure(&party_data(&none, "import", &["no-such-file"]));
    assert!(said.contains("no-such-file cannot be read"), "{said}");
    assert!(!none.exists());
    // A folder without rooms is none, and stays as it is.
    std::fs::create_dir(&none).unwrap();
    failure(&party_data(&none, "list", &[]));
    assert_eq!(std::fs::read_dir(&none).unwrap().count(), 0);
    assert_eq!(party_data(&none, "shred", &[]).status.code(), Some(2));
}

#[tokio::test]
async fn party_data_refuses_a_folder_in_use_a_damaged_one_and_one_of_a_later_version() {
    let folder = folder_with(&filled().await).await;
    let engine = RedbEngine::open(folder.path()).unwrap();
    for command in ["list", "export", "check"] {
        let said = failure(&party_data(folder.path(), command, &[]));
        assert!(said.contains("is in use") && said.contains("/-/export"), "{said}");
    }
    drop(engine);

    let database = Database::open(folder.path().join("rooms.redb")).unwrap();
    let txn = database.begin_write().unwrap();
    txn.open_table(TableDefinition::<&str, u64>::new("meta")).unwrap().insert("format", 2).unwrap();
    txn.commit().unwrap();
    drop(database);
    for command in ["list", "export", "check"] {
        let said = failure(&party_data(folder.path(), command, &[]));
        assert!(said.contains("has format 2"), "{said}");
    }

    std::fs::write(folder.path().join("rooms.redb"), vec![7; 100_000]).unwrap();
    for command in ["list", "export", "check"] {
        let said = failure(&party_data(folder.path(), command, &[]));
        assert!(said.contains("cannot be opened") && said.contains("backup"), "{said}");
    }
}

/// As by `| head -1`.
#[tokio::test]
async fn party_data_whose_reader_leaves_is_no_failure() {
    let engine = MemoryEngine::new();
    for number in 0..3000 {
        store(&engine, &main_room(&format!("{number:0100}")), puts(&[("k", b"v")])).await;
    }
    let folder = folder_with(&engine).await;
    for command in ["list", "export"] {
        let mut listing = Command::new(program("party-data"))
            .arg(command)
            .arg(folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = String::new();
        BufReader::new(listing.stdout.take().unwrap()).read_line(&mut first).unwrap();
        assert!(first.len() > 50, "{first}");
        let ended = listing.wait_with_output().unwrap();
        assert!(ended.status.success() && ended.stderr.is_empty(), "{ended:?}");
    }
}

#[tokio::test]
async fn check_finds_what_does_not_agree_and_says_what_can_be_done() {
    let engine = MemoryEngine::new();
    for room in ["a", "b", "c"] {
        let mut writes = puts(&[("k", b"v")]);
        writes.set_alarm(alarm("x", 5, 7, 1));
        store(&engine, &main_room(room), writes).await;
    }
    let folder = folder_with(&engine).await;
    let clean = out(&party_data(folder.path(), "check", &[]));
    assert_eq!(clean, "checked: rooms 3, alarms 3, keys 3, defects 0\n");

    let rooms = TableDefinition::<(&str, &str), u64>::new("rooms");
    let values = TableDefinition::<(u64, &str), &[u8]>::new("values");
    let alarms = TableDefinition::<(u64, &str), (u64, u64, u32)>::new("alarms");
    let due = TableDefinition::<(u64, &str, &str, &str), ()>::new("due");
    let database = Database::open(folder.path().join("rooms.redb")).unwrap();
    let txn = database.begin_write().unwrap();
    {
        let mut rooms = txn.open_table(rooms).unwrap();
        rooms.insert(("Main", "a"), 3).unwrap();
        rooms.insert(("main", "d"), 0).unwrap();
        txn.open_table(values).unwrap().insert((9, "lost"), &b"v"[..]).unwrap();
        txn.open_table(alarms).unwrap().insert((8, "lost"), (1, 1, 0)).unwrap();
        let mut due = txn.open_table(due).unwrap();
        due.remove((7, "main", "b", "x")).unwrap();
        due.insert((6, "main", "c", "x"), ()).unwrap();
        due.insert((6, "main", "gone", ""), ()).unwrap();
    }
    txn.commit().unwrap();
    drop(database);
    let told = check(folder.path()).unwrap().defects;
    let no_alarm = |room: &str, name: &str| Defect::NoAlarm {
        party: "main".into(),
        room: room.into(),
        name: name.into(),
    };
    let expected = [
        Defect::Name { party: "Main".into(), room: "a".into() },
        Defect::NeverDue { room: main_room("b"), name: "x".into() },
        Defect::SharedNumber { room: main_room("d"), number: 0 },
        // The alarm of `a`, which is that of `d` too now.
        Defect::NeverDue { room: main_room("d"), name: "x".into() },
        Defect::Keys { number: 9 },
        Defect::Alarms { number: 8 },
        no_alarm("c", "x"),
        no_alarm("gone", ""),
    ];
    assert_eq!(told, expected);

    let checked = party_data(folder.path(), "check", &[]);
    assert_eq!(checked.status.code(), Some(1));
    let said = String::from_utf8(checked.stdout).unwrap();
    assert_eq!(said.lines().count(), expected.len() + 3);
    assert!(said.contains("keys lie under number 9, which no room has"), "{said}");
    assert!(said.contains("party-data export") && said.contains("party-data import"), "{said}");

    // Which is true: what is brought over is in order.
    let copy = party_data(folder.path(), "export", &[]);
    let new = tempfile::tempdir().unwrap();
    let to = RedbEngine::open(new.path()).unwrap();
    Import::default().run(&to, &copy.stdout[..]).await.unwrap();
    drop(to);
    assert_eq!(check(new.path()).unwrap().defects, []);
}

#[tokio::test]
async fn the_first_line_tells_when_and_by_which_version() {
    let copy = exported(&MemoryEngine::new(), Selection::All).await;
    let version = env!("CARGO_PKG_VERSION");
    let head =
        format!(r#"{{"type":"export","format":1,"at":"2026-02-03T04:05:06.789Z","version":"{version}"}}"#);
    assert_eq!(copy, format!("{head}\n{{\"type\":\"end\",\"rooms\":0,\"alarms\":0,\"entries\":0}}\n"));
    let before_1970 = Export::begin(&MemoryEngine::new(), Selection::All, SystemTime::UNIX_EPOCH).await;
    assert!(before_1970.is_ok());
}
