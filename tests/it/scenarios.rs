//! The scenarios that the originals' own tests and a long look at them gave, by number.
//!
//! Where a test of another module shows a scenario already, the list names it; where none did, it
//! is here. What the host does otherwise on purpose is said. Yjs (47 to 60) is not there yet; 61 to 70, with the real `partysocket`, are in
//! `tests/js`.
//!
//! * 1, 7, 11: `addresses::a_room_is_at_its_party_and_id_and_the_rest_reaches_the_hook_untouched`,
//!   `addresses::what_names_no_room_is_not_found_and_opens_none`.
//! * 2: [`a_room_can_tell_the_address_that_its_client_used`],
//!   `host::a_program_says_where_it_listens_and_serves_there`.
//! * 3: `http::a_party_without_on_request_answers_404`. 404, not 500: the room has no such resource.
//! * 4: `addresses::the_short_address_is_that_of_main_or_else_of_the_first_party`,
//!   `host::a_host_without_a_party_is_refused_with_an_example`. No party must be called `main`.
//! * 5: `assets::files_are_served_with_their_type_and_index_html_for_a_folder`.
//! * 6: `addresses::an_unknown_party_is_404_by_name_for_upgrades_too`.
//! * 8: `addresses::what_names_no_room_is_not_found_and_opens_none`. They end as 404 while there is
//!   no `on_fetch`.
//! * 9: `http::every_method_reaches_the_hook_and_its_answer_passes_unchanged`.
//! * 10: `upgrade::a_good_upgrade_is_answered_as_the_protocol_says`,
//!   `upgrade::what_on_connect_sends_comes_first_while_others_broadcast`,
//!   `connections::the_id_is_the_first_pk_of_the_query_form_decoded`.
//! * 12: `connections::without_a_pk_each_connection_has_a_fresh_random_id`,
//!   `connections::the_id_is_the_first_pk_of_the_query_form_decoded`.
//! * 13: `connections::text_stays_text_and_binary_stays_binary_the_empty_ones_too`.
//! * 14: `connections::a_failing_on_message_is_not_told_to_the_client_and_its_connection_lives`.
//! * 15: `upgrade::upgrade_is_answered_before_the_room_has_started`,
//!   `upgrade::messages_wait_until_on_connect_has_ended`. The socket is open before `on_connect`, since
//!   `partysocket` gives up after 4 s; the order of the messages is as in the originals.
//! * 16: [`all_who_come_while_a_room_starts_see_one_start`].
//! * 17: [`every_hook_can_read_the_name_of_its_room`].
//! * 18: `http::a_failed_start_is_500_to_all_who_waited_and_the_next_visitor_starts_it_again`; 22 of the
//!   wire for sockets: `upgrade::a_room_that_fails_to_start_closes_all_who_wait_and_the_next_visitor_starts_it_again`.
//! * 19: `calls::a_call_goes_from_room_to_room_and_its_reply_comes_back`,
//!   `handles::work_runs_as_a_hook_and_brings_its_result_back`. There is no server value before
//!   `on_start` has made it.
//! * 20: `upgrade::a_before_hook_may_answer_with_any_response_and_opens_no_room`,
//!   `http::a_before_hook_that_answers_fails_or_panics_opens_no_room`.
//! * 21: `upgrade::a_before_hook_that_admits_hands_its_extensions_and_headers_to_the_room`,
//!   `http::an_admitted_request_reaches_the_room_as_the_before_hook_left_it`.
//! * 22: `upgrade::a_before_hook_that_fails_is_answered_500_and_tells_nothing`,
//!   [`a_before_hook_runs_once_for_each_request`]. 500 and a fixed text, not 401 and the message: a hook
//!   that fails has not refused anybody.
//! * 23: [`what_the_before_hook_knows_reaches_the_room_and_no_client_can_forge_it`],
//!   `host::values_of_the_program_reach_rooms_and_static_hooks_by_type`. There are no props: a room is
//!   started for all who come, so what belongs to one of them reaches the hooks of that one, by an
//!   extension, and what belongs to the program is its `env`.
//! * 24: [`the_host_adds_no_cors_headers_of_its_own`]. Switching CORS on is not there yet.
//! * 25, 26: [`tags_and_state_of_a_connection_are_kept_for_it`].
//! * 27: `upgrade::connection_tags_at_their_limits_are_taken`,
//!   `upgrade::connection_tags_over_a_limit_close_with_1011`.
//! * 28, 44: `hibernation::a_silent_room_gives_up_its_server_and_the_next_message_starts_it_anew`,
//!   `options::the_state_of_a_connection_is_as_long_as_its_party_allows`.
//! * 29, 30, 32: `close::a_clients_close_is_answered_with_its_code_and_reason_and_tcp_ends`; the party
//!   there closes in `on_close`, too late to change anything.
//! * 31: [`an_on_close_that_fails_or_panics_does_not_spoil_the_close`].
//! * 33: `close::a_clients_close_without_code_is_answered_with_an_empty_one`.
//! * 34: `close::a_cut_socket_is_lost_and_no_failure`, `close::a_reset_socket_is_lost_and_no_failure`.
//! * 35: `close::a_reset_socket_is_lost_and_no_failure`,
//!   `close::a_client_that_does_not_answer_a_close_is_lost_after_the_time_for_it`. A transport error is
//!   never a failure of the room, whether the socket was closing or open.
//! * 36: `close::a_close_of_the_rooms_has_its_code_and_reason_and_is_told_once`,
//!   `connections::closed_connections_are_not_listed_and_get_no_broadcast`.
//! * 37: `connections::the_close_of_an_older_connection_leaves_the_newer_of_its_id`,
//!   [`an_old_socket_that_dies_50_s_late_takes_nobody_along`].
//! * 38: `connections::broadcasts_go_on_while_members_are_lost`,
//!   `connections::closed_connections_are_not_listed_and_get_no_broadcast`.
//! * 39: a host has no sockets that are not its own.
//! * 40: `alarms::an_alarm_wakes_a_room_that_has_left_memory_at_its_time_and_not_before`. Time is
//!   moved instead of the alarm being forced.
//! * 41: `alarms::an_alarm_that_always_fails_is_called_seven_times_at_times_that_double_and_then_dropped`.
//! * 42: `alarms::alarms_and_their_retries_survive_a_host_that_is_killed`,
//!   `alarms::an_alarm_and_its_retry_survive_kill_9`.
//! * 43: `alarms::delete_all_deletes_alarms_too_and_those_set_after_it_stay`.
//! * 45: `hibernation::sleepers_are_listed_in_their_order_and_get_broadcasts_of_whatever_wakes_the_room`.
//! * 46: `storage::a_hook_reads_its_own_writes_in_every_way`,
//!   `storage::keys_and_values_pass_at_their_limit_and_are_refused_one_past_it`,
//!   [`a_list_has_the_keys_that_it_names_in_their_order`],
//!   [`any_number_of_keys_can_be_stored_read_and_deleted_at_once`]. No rule of 128 keys, and a deletion,
//!   which is only collected, does not say what was there.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use partyrs::http;
use partyrs::prelude::*;
use partyrs::storage::{MemoryEngine, StorageEngine};
use partyrs_runtime::Host;
use partyrs_runtime::storage::RedbEngine;
use partyrs_runtime::testing::{TestClient, TestHost};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::parties::{Reports, reports};

/// The room of the example, as the program of it has it.
#[path = "../../examples/collab/room.rs"]
mod collab;

/// The list above names every scenario and only tests that there are.
#[test]
fn every_scenario_is_in_the_list_by_tests_that_exist() {
    let tests = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("it");
    let this = include_str!("scenarios.rs");
    let list: Vec<&str> = this.lines().map_while(|line| line.strip_prefix("//!")).collect();

    let mut numbers = Vec::new();
    for item in list.iter().filter_map(|line| line.strip_prefix(" * ")) {
        let (of_item, _) = item.split_once(':').unwrap();
        numbers.extend(of_item.split(", ").map(|number| number.parse::<u32>().unwrap()));
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=46).collect::<Vec<u32>>());

    let is_part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_:".contains(&byte);
    let list = list.join("\n");
    let mut names_count = 0;
    for name in list.split('`').filter(|code| code.contains('_') && code.bytes().all(is_part)) {
        let (source, function) = match name.rsplit_once("::") {
            Some((module, function)) => {
                let file = tests.join(module.replace("::", "/")).with_extension("rs");
                (std::fs::read_to_string(file).unwrap_or_default(), function)
            }
            // A hook, or a test of this module in brackets.
            None if name.starts_with("on_") => continue,
            None => (this.to_owned(), name),
        };
        assert!(source.contains(&format!("fn {function}()")), "{name}");
        names_count += 1;
    }
    assert!(names_count > 40, "only {names_count} tests were found in the list");
}

/// Answers with the address that a client used.
struct Address;

impl PartyServer for Address {
    type Message = Frame;

    async fn on_start(_: &Room) -> Result<Self> {
        Ok(Address)
    }

    async fn on_request(&mut self, _: &Room, request: Request) -> Result<Response> {
        let host = request.header("host").unwrap_or_default();
        Ok(Response::text(format!("http://{host}{}", request.uri())))
    }
}

#[tokio::test]
async fn a_room_can_tell_the_address_that_its_client_used() {
    let host = TestHost::start::<Address>().await;
    let authority = host.addr().to_string();
    let request = http::Request::get("/party/theroom/a?b=c").header("host", &authority).body("").unwrap();
    assert_eq!(host.request(request).await.body(), &format!("http://{authority}/party/theroom/a?b=c"));
}

/// Starts when it is let, and tells how often it has.
struct Starts {
    number: usize,
}

#[derive(Clone)]
struct Gate(Arc<Semaphore>);

#[derive(Clone, Default)]
struct Count(Arc<AtomicUsize>);

impl PartyServer for Starts {
    type Message = Frame;

    async fn on_start(room: &Room) -> Result<Self> {
        let number = room.env::<Count>()?.0.fetch_add(1, Ordering::SeqCst) + 1;
        room.env::<Gate>()?.0.acquire().await?.forget();
        Ok(Self { number })
    }

    async fn on_connect(&mut self, _: &Room, connection: &Connection, _: &ConnectContext) -> Result<()> {
        Ok(connection.send(self.number.to_string())?)
    }

    async fn on_request(&mut self, _: &Room, _: Request) -> Result<Response> {
        Ok(Response::text(self.number.to_string()))
    }
}

#[tokio::test]
async fn all_who_come_while_a_room_starts_see_one_start() {
    let (gate, count) = (Gate(Arc::new(Semaphore::new(0))), Count::default());
    let builder = Host::builder().party::<Starts>("main").env(gate.clone()).env(count.clone());
    let host = TestHost::of(builder).await;
    // Both are open, while the room is not.
    let (mut ada, mut bob) = (host.join("lobby").await, host.join("lobby").await);
    let (answer, ()) = tokio::join!(host.get("/party/lobby"), async {
        host.until(|_| count.0.load(Ordering::SeqCst) == 1).await;
        gate.0.add_permits(9);
    });
    assert_eq!((ada.next_text().await, bob.next_text().await), ("1".into(), "1".into()));
    assert_eq!(answer.body(), "1");
    assert_eq!(count.0.load(Ordering::SeqCst), 1);
}

/// Reports the id of its room in every hook.
struct Named;

impl PartyServer for Named {
    type Message = Frame;

    async fn on_start(room: &Room) -> Result<Self> {
        report(room, "on_start")?;
        Ok(Named)
    }

    async fn connection_tags(&mut self, room: &Room, _: &Connection, _: &ConnectContext) -> Result<Vec<Tag>> {
        report(room, "connection_tags")?;
        Ok(Vec::new())
    }

    async fn on_connect(&mut self, room: &Room, _: &Connection, _: &ConnectContext) -> Result<()> {
        report(room, "on_connect")
    }

    async fn on_message(&mut self, room: &Room, _: &Connection, _: Frame) -> Result<()> {
        report(room, "on_message")?;
        Err(Error::new("as told"))
    }

    async fn on_error(&mut self, room: &Room, _: &Failure) {
        report(room, "on_error").unwrap();
    }

    async fn on_request(&mut self, room: &Room, _: Request) -> Result<Response> {
        report(room, "on_request")?;
        Ok(Response::text(""))
    }

    async fn on_close(&mut self, room: &Room, _: &Connection, _: &Close) -> Result<()> {
        report(room, "on_close")
    }
}

fn report(room: &Room, hook: &str) -> Result<()> {
    room.env::<Reports>()?.add(format!("{hook} of {} {}", room.party(), room.id()));
    Ok(())
}

#[tokio::test]
async fn every_hook_can_read_the_name_of_its_room() {
    let (reports, mut seen) = reports();
    let host = TestHost::of(Host::builder().party::<Named>("main").env(reports)).await;
    let mut ada = host.connect("/party/tea%20r%C3%B6m").await;
    ada.send("x").await;
    ada.hears_nothing().await;
    ada.close(None).await;
    let hooks = ["on_start", "connection_tags", "on_connect", "on_message", "on_error", "on_close"];
    for hook in hooks {
        assert_eq!(seen.next().await, format!("{hook} of main tea röm"));
    }
    host.get("/party/tea%20r%C3%B6m").await;
    assert_eq!(seen.next().await, "on_request of main tea röm");
}

/// At the door it counts who comes, and gives everybody a badge.
struct Door;

#[derive(Clone)]
struct Badge(String);

impl PartyServer for Door {
    type Message = Frame;

    async fn on_start(_: &Room) -> Result<Self> {
        Ok(Door)
    }

    async fn on_connect(&mut self, _: &Room, connection: &Connection, _: &ConnectContext) -> Result<()> {
        let badge = connection.extension::<Badge>().map_or("none", |badge| &badge.0);
        Ok(connection.send(badge)?)
    }

    async fn on_request(&mut self, _: &Room, request: Request) -> Result<Response> {
        let badge = request.extension::<Badge>().map_or("none", |badge| &badge.0);
        let headers = request.headers().keys().map(http::HeaderName::as_str).collect::<Vec<_>>().join(",");
        Ok(Response::text(format!("{badge} {headers}")))
    }

    async fn on_before_connect(head: &mut Head, lobby: &Lobby) -> Result<Admission> {
        let_in(head, lobby)
    }

    async fn on_before_request(head: &mut Head, lobby: &Lobby) -> Result<Admission> {
        let_in(head, lobby)
    }
}

fn let_in(head: &mut Head, lobby: &Lobby) -> Result<Admission> {
    lobby.env::<Count>()?.0.fetch_add(1, Ordering::SeqCst);
    let badge = Badge(format!("Ãda ☕ for {}", lobby.room()));
    head.extensions_mut().insert(badge);
    Ok(Admission::Admit)
}

#[tokio::test]
async fn a_before_hook_runs_once_for_each_request() {
    let count = Count::default();
    let host = TestHost::of(Host::builder().party::<Door>("main").env(count.clone())).await;
    let mut ada = host.join("lobby").await;
    ada.next_text().await;
    assert_eq!(count.0.load(Ordering::SeqCst), 1);
    host.get("/party/lobby").await;
    host.get("/party/other").await;
    assert_eq!(count.0.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn what_the_before_hook_knows_reaches_the_room_and_no_client_can_forge_it() {
    let host = TestHost::of(Host::builder().party::<Door>("main").env(Count::default())).await;
    assert_eq!(host.join("lobby").await.next_text().await, "Ãda ☕ for lobby");
    let forged = http::Request::get("/party/lobby").header("x-partykit-props", "e30=").header("badge", "x");
    let answer = host.request(forged.body("").unwrap()).await;
    let text = String::from_utf8(answer.body().to_vec()).unwrap();
    let headers = text.strip_prefix("Ãda ☕ for lobby ").unwrap();
    // What the client sent is there and means nothing; the host has put nothing beside it.
    let mut headers: Vec<&str> = headers.split(',').filter(|name| *name != "content-length").collect();
    headers.sort_unstable();
    assert_eq!(headers, ["badge", "host", "x-partykit-props"]);
}

#[tokio::test]
async fn the_host_adds_no_cors_headers_of_its_own() {
    let host = TestHost::start::<Address>().await;
    for (method, path) in
        [("GET", "/party/x"), ("OPTIONS", "/party/x"), ("GET", "/"), ("OPTIONS", "/parties/no/x")]
    {
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("origin", "http://elsewhere.example")
            .header("access-control-request-method", "POST");
        let answer = host.request(request.body("").unwrap()).await;
        let added = answer.headers().keys().find(|name| name.as_str().starts_with("access-control-"));
        assert_eq!(added, None, "{method} {path}");
    }
}

/// Counts in the state of each connection.
struct Counter;

impl PartyServer for Counter {
    type Message = String;

    async fn on_start(_: &Room) -> Result<Self> {
        Ok(Counter)
    }

    async fn connection_tags(&mut self, _: &Room, _: &Connection, _: &ConnectContext) -> Result<Vec<Tag>> {
        Ok(vec!["red".to_owned(), "blue".to_owned()])
    }

    async fn on_connect(&mut self, _: &Room, connection: &Connection, _: &ConnectContext) -> Result<()> {
        Ok(connection.set_state(&json!({ "count": 1 }))?)
    }

    async fn on_message(&mut self, room: &Room, sender: &Connection, message: String) -> Result<()> {
        let state: Option<Value> = sender.state()?;
        let count = state.and_then(|state| state["count"].as_u64()).unwrap_or_default();
        match message.as_str() {
            "increment" => sender.set_state(&json!({ "count": count + 1 }))?,
            "get" => sender.send(count.to_string())?,
            "tags" => {
                let red = room.connections_tagged("red").count();
                sender.send(format!("{} {red}", sender.tags().join(",")))?;
            }
            _ => panic!("as told"),
        }
        Ok(())
    }
}

/// Of the originals' two modes there is one here; a restart of the room stands for the other.
#[tokio::test]
async fn tags_and_state_of_a_connection_are_kept_for_it() {
    let host = TestHost::start::<Counter>().await;
    let mut ada = host.connect("/party/lobby?_pk=ada").await;
    let mut bob = host.connect("/party/lobby?_pk=bob").await;
    assert_eq!(asked(&mut ada, "get").await, "1");
    ada.send("increment").await;
    assert_eq!((asked(&mut ada, "get").await, asked(&mut bob, "get").await), ("2".into(), "1".into()));
    assert_eq!(asked(&mut ada, "tags").await, "ada,red,blue 2");

    bob.send("panic").await;
    assert_eq!((asked(&mut ada, "get").await, asked(&mut bob, "get").await), ("2".into(), "1".into()));
    assert_eq!(asked(&mut ada, "tags").await, "ada,red,blue 2");
}

async fn asked(client: &mut TestClient, question: &str) -> String {
    client.send(question).await;
    client.next_text().await
}

/// Fails when somebody leaves.
struct Clingy;

impl PartyServer for Clingy {
    type Message = Frame;

    async fn on_start(_: &Room) -> Result<Self> {
        Ok(Clingy)
    }

    async fn on_close(&mut self, _: &Room, _: &Connection, close: &Close) -> Result<()> {
        assert_ne!(close.reason, "panic", "as told");
        Err(Error::new("as told"))
    }

    async fn on_request(&mut self, room: &Room, _: Request) -> Result<Response> {
        Ok(Response::text(room.connections_count().to_string()))
    }
}

#[tokio::test]
async fn an_on_close_that_fails_or_panics_does_not_spoil_the_close() {
    let host = TestHost::start::<Clingy>().await;
    let mut bob = host.join("lobby").await;
    for reason in ["fail", "panic"] {
        let ada = host.join("lobby").await;
        assert_eq!(ada.close(Some((1000, reason))).await, (1000, reason.to_owned()));
        host.until(|host| host.connections_count() == 1).await;
    }
    bob.hears_nothing().await;
    assert_eq!(host.get("/party/lobby").await.body(), "1");
}

/// On the originals the newer socket hears nothing any more.
#[tokio::test]
async fn an_old_socket_that_dies_50_s_late_takes_nobody_along() {
    let host = TestHost::start::<collab::Collab>().await;
    let mut bob = user(&host, "bob").await;
    let old = user(&host, "ada").await;
    assert_eq!(heard(&mut bob).await["user"]["id"], "ada");
    let mut new = host.connect("/party/desk?_pk=ada").await;
    assert_eq!(heard(&mut new).await["users"].as_array().map(Vec::len), Some(2));

    // Those who live show it; the old socket is silent, as one is behind a dead network.
    for _ in 0..5 {
        host.advance(Duration::from_secs(10));
        new.hears_nothing().await;
        bob.hears_nothing().await;
    }
    drop(old);
    host.until(|host| host.connections_count() == 2).await;

    bob.send(r#"{"type":"cursor","x":1,"y":2}"#).await;
    assert_eq!(heard(&mut new).await["type"], "cursor", "and nobody has left before");
    let mut guest = host.join("desk").await;
    let users: Vec<Value> = heard(&mut guest).await["users"].as_array().unwrap().clone();
    assert_eq!(users.iter().map(|user| &user["id"]).collect::<Vec<_>>(), ["ada", "bob"]);

    new.close(Some((1000, ""))).await;
    assert_eq!(heard(&mut bob).await, json!({ "type": "user-left", "id": "ada" }));
}

/// Somebody who has joined the room `desk` under this id and name.
async fn user(host: &TestHost, name: &str) -> TestClient {
    let mut client = host.connect(&format!("/party/desk?_pk={name}")).await;
    assert_eq!(heard(&mut client).await["type"], "state");
    client.send(json!({ "type": "join", "name": name }).to_string()).await;
    assert_eq!(heard(&mut client).await["user"]["name"], name);
    client
}

async fn heard(client: &mut TestClient) -> Value {
    serde_json::from_str(&client.next_text().await).unwrap()
}

/// Stores what its first client asks for, in a hook of its own, and lists it in another.
struct Cabinet;

const KEYS: [&str; 8] = ["k", "é", "B", "a", "Z", "p:1", "p:2", "p:3"];

/// How many keys are stored at once: one more than the originals allow.
const KEYS_COUNT: usize = 129;

impl PartyServer for Cabinet {
    type Message = String;

    async fn on_start(_: &Room) -> Result<Self> {
        Ok(Cabinet)
    }

    async fn on_message(&mut self, room: &Room, sender: &Connection, message: String) -> Result<()> {
        let storage = room.storage();
        let many = || (0..KEYS_COUNT).map(|number| format!("many:{number:03}"));
        match message.as_str() {
            "put" => storage.put_many(KEYS.map(|key| (key, key)))?,
            "put many" => storage.put_many(many().map(|key| (key, 7)))?,
            "get many" => sender.send(storage.get_many::<u32, _>(many()).await?.len().to_string())?,
            "delete many" => storage.delete_many(many()),
            "delete all" => storage.delete_all(),
            "put nothing" => storage.put("nothing", &None::<u32>)?,
            list => {
                let list = list.split(' ').fold(List::all(), |list, word| match word.split_once('=') {
                    Some(("prefix", prefix)) => List::prefix(prefix),
                    Some(("start", key)) => list.start(key),
                    Some(("start_after", key)) => list.start_after(key),
                    Some(("end", key)) => list.end(key),
                    Some(("limit", limit)) => list.limit(limit.parse().unwrap()),
                    _ if word == "reverse" => list.reverse(),
                    _ => list,
                });
                sender.send(match storage.list_bytes(list).await {
                    Ok(found) => found.into_iter().map(|(key, _)| key).collect::<Vec<_>>().join(" "),
                    Err(error) => error.to_string(),
                })?;
            }
        }
        Ok(())
    }
}

/// A client of a cabinet over each engine that there is.
async fn cabinets() -> Vec<(TestClient, TestHost, Option<tempfile::TempDir>)> {
    let folder = tempfile::tempdir().unwrap();
    let redb = RedbEngine::open(folder.path()).unwrap();
    let engines: [(Arc<dyn StorageEngine>, _); 2] =
        [(Arc::new(MemoryEngine::new()), None), (Arc::new(redb), Some(folder))];
    let mut cabinets = Vec::new();
    for (engine, folder) in engines {
        let host = TestHost::of(Host::builder().party::<Cabinet>("main").storage(engine)).await;
        cabinets.push((host.join("lobby").await, host, folder));
    }
    cabinets
}

#[tokio::test]
async fn a_list_has_the_keys_that_it_names_in_their_order() {
    for (mut ada, _host, _folder) in cabinets().await {
        ada.send("put").await;
        for (list, keys) in [
            ("all", "B Z a k p:1 p:2 p:3 é"),
            ("reverse", "é p:3 p:2 p:1 k a Z B"),
            ("start=a end=p:2", "a k p:1"),
            ("start_after=a end=p:2", "k p:1"),
            ("start=aa", "k p:1 p:2 p:3 é"),
            ("prefix=p:", "p:1 p:2 p:3"),
            ("prefix=p: start_after=p:1", "p:2 p:3"),
            ("prefix=p: reverse limit=2", "p:3 p:2"),
            ("start=a end=p:2 reverse limit=1", "p:1"),
            ("limit=1", "B"),
            ("limit=99", "B Z a k p:1 p:2 p:3 é"),
            ("prefix=none", ""),
            ("start=k end=a", ""),
        ] {
            assert_eq!(asked(&mut ada, list).await, keys, "{list}");
        }
        for impossible in ["limit=0", "start=a start_after=b"] {
            let told = asked(&mut ada, impossible).await;
            assert!(told.contains("limit") || told.contains("start_after"), "{impossible}: {told}");
        }
    }
}

#[tokio::test]
async fn any_number_of_keys_can_be_stored_read_and_deleted_at_once() {
    for (mut ada, _host, _folder) in cabinets().await {
        assert_eq!(asked(&mut ada, "get many").await, "0");
        ada.send("put many").await;
        assert_eq!(asked(&mut ada, "get many").await, KEYS_COUNT.to_string());
        ada.send("put").await;
        ada.send("delete many").await;
        assert_eq!(asked(&mut ada, "get many").await, "0");
        assert_eq!(asked(&mut ada, "limit=2").await, "B Z");
        ada.send("delete all").await;
        assert_eq!(asked(&mut ada, "all").await, "");
        // What is stored as nothing is there, other than on the originals, which refuse it.
        ada.send("put nothing").await;
        assert_eq!(asked(&mut ada, "all").await, "nothing");
    }
}
