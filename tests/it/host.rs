//! Starting a host: settings, folders and ports that cannot be used.

use std::ffi::OsStr;
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use http::header::RETRY_AFTER;
use partyrs::prelude::*;
use partyrs_runtime::testing::{TestHost, soon};
use partyrs_runtime::{Builder, Config, Host};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::parties::Everybody;

/// The text with which the builder refuses.
fn refusal(change: impl FnOnce(Builder) -> Builder) -> String {
    let builder = change(Host::builder().party::<Everybody>("main"));
    builder.build().expect_err("a refusal").to_string()
}

#[test]
fn a_bad_party_name_is_refused_with_what_is_legal() {
    for name in ["", "Main", "a b", "ä", "a/b", "a.b", "%61", "a\n"] {
        assert_eq!(
            refusal(|builder| builder.party::<Everybody>(name)),
            format!("party name {name:?} must be one or more of a-z, 0-9, _ and -")
        );
    }
    let builder = Host::builder().party::<Everybody>("my-party_2");
    assert!(builder.build().is_ok());
}

#[test]
fn two_parties_of_one_name_are_refused_by_name() {
    assert_eq!(
        refusal(|builder| builder.party::<Everybody>("chat").party::<Everybody>("main")),
        "two parties are called `main`; give one of them another name"
    );
}

#[test]
fn a_host_without_a_party_is_refused_with_an_example() {
    assert_eq!(
        Host::builder().build().expect_err("a refusal").to_string(),
        "the host has no party; give it one with `.party::<Chat>(\"main\")`"
    );
}

#[test]
fn a_prefix_that_no_url_can_have_is_refused() {
    for prefix in ["", "/", "/api", "api/", "a//b", "Api", "a b", "..", "a/../b", "%61"] {
        let text = refusal(|builder| builder.prefix(prefix));
        assert!(text.starts_with(&format!("prefix {prefix:?} must be ")), "{text}");
    }
    for prefix in ["parties", "api/v1/rooms", "x/party", "party_"] {
        let builder = Host::builder().party::<Everybody>("main").prefix(prefix);
        assert!(builder.build().is_ok(), "{prefix}");
    }
}

#[test]
fn a_prefix_below_the_short_address_is_refused() {
    for prefix in ["party", "party/x"] {
        let text = refusal(|builder| builder.prefix(prefix));
        assert!(text.starts_with(&format!("prefix {prefix:?} must ")), "{text}");
        assert!(text.ends_with("; the first must not be \"party\""), "{text}");
    }
}

type SetCount = fn(&mut Config, usize);
type SetTime = fn(&mut Config, Duration);

/// Settings that are numbers, with their ranges.
const COUNTS: [(&str, SetCount, usize, usize, &str); 14] = {
    const BYTES_MAX: usize = u32::MAX as usize;
    [
        ("shards", |c, n| c.shards = n, 1, 1024, "1 to 1024"),
        ("message_bytes_max", |c, n| c.message_bytes_max = n, 1, BYTES_MAX, "1 to 4294967295 bytes"),
        ("body_bytes_max", |c, n| c.body_bytes_max = n, 0, BYTES_MAX, "0 to 4294967295 bytes"),
        ("storage.key_bytes_max", |c, n| c.storage.key_bytes_max = n, 1, 65_535, "1 to 65535 bytes"),
        (
            "storage.value_bytes_max",
            |c, n| c.storage.value_bytes_max = n,
            1,
            1 << 30,
            "1 to 1073741824 bytes",
        ),
        (
            "storage.alarm_name_bytes_max",
            |c, n| c.storage.alarm_name_bytes_max = n,
            1,
            65_535,
            "1 to 65535 bytes",
        ),
        ("mailbox_events_max", |c, n| c.mailbox_events_max = n, 1, 1 << 24, "1 to 16777216"),
        ("mailbox_bytes_max", |c, n| c.mailbox_bytes_max = n, 1, BYTES_MAX, "1 to 4294967295 bytes"),
        ("commits_pending_max", |c, n| c.commits_pending_max = n, 1, 65_536, "1 to 65536"),
        ("held_bytes_max", |c, n| c.held_bytes_max = n, 1, usize::MAX, "at least 1 byte"),
        ("outbox_bytes_max", |c, n| c.outbox_bytes_max = n, 1, usize::MAX, "at least 1 byte"),
        ("connections_max", |c, n| c.connections_max = Some(n), 1, usize::MAX, "at least 1"),
        ("rooms_max", |c, n| c.rooms_max = n, 1, usize::MAX, "at least 1"),
        ("fetches_max", |c, n| c.fetches_max = n, 1, 1 << 24, "1 to 16777216"),
    ]
};

/// Settings that are times; all but 0 are legal.
const TIMES: [(&str, SetTime); 13] = [
    ("body_timeout", |c, time| c.body_timeout = time),
    ("header_timeout", |c, time| c.header_timeout = time),
    ("keep_alive_timeout", |c, time| c.keep_alive_timeout = time),
    ("close_timeout", |c, time| c.close_timeout = time),
    ("ping_every", |c, time| c.ping_every = time),
    ("ping_timeout", |c, time| c.ping_timeout = time),
    ("idle_after", |c, time| c.idle_after = time),
    ("hibernate_after", |c, time| c.hibernate_after = time),
    ("hook_warn_after", |c, time| c.hook_warn_after = time),
    ("hook_timeout", |c, time| c.hook_timeout = time),
    ("call_timeout", |c, time| c.call_timeout = time),
    ("restart_window", |c, time| c.restart_window = time),
    ("shutdown_grace", |c, time| c.shutdown_grace = time),
];

/// Settings of which every value makes sense.
const ANY: [(&str, SetCount); 2] = [
    ("connection_state_bytes_max", |c, n| c.connection_state_bytes_max = n),
    ("restarts_max", |c, n| c.restarts_max = n),
];

/// The names of the fields of a value, as `{:#?}` shows it; those of a value within it follow a dot.
pub(crate) fn fields_of(value: &impl std::fmt::Debug) -> Vec<String> {
    let shown = format!("{value:#?}");
    let mut within = String::new();
    let mut fields = Vec::new();
    for line in shown.lines() {
        let depth = line.len() - line.trim_start().len();
        let Some((name, value)) = line.trim_start().split_once(": ") else { continue };
        match (depth, value.ends_with('{')) {
            (4, true) => name.clone_into(&mut within),
            (4, false) => fields.push(name.to_owned()),
            _ => fields.push(format!("{within}.{name}")),
        }
    }
    fields.sort();
    fields
}

/// So that no new setting is left out of the tests below.
#[test]
fn every_setting_of_the_host_has_a_case() {
    let counts = COUNTS.iter().map(|(name, ..)| *name);
    let others = TIMES.iter().map(|(name, _)| *name).chain(ANY.iter().map(|(name, _)| *name));
    let mut cases: Vec<&str> = counts.chain(others).collect();
    cases.sort_unstable();
    assert_eq!(fields_of(&Config::default()), cases);
}

/// Each setting just within its range and just outside of it.
#[test]
fn a_setting_out_of_its_range_is_refused_by_name_with_the_range() {
    let build = |set: SetCount, value| {
        Host::builder().party::<Everybody>("main").config(|config| set(config, value)).build()
    };
    for (name, set, least, most, legal) in COUNTS {
        assert!(build(set, least).is_ok(), "{name} {least}");
        assert!(build(set, most).is_ok(), "{name} {most}");
        for outside in [least.checked_sub(1), most.checked_add(1)].into_iter().flatten() {
            assert_eq!(
                build(set, outside).expect_err("a refusal").to_string(),
                format!("setting `{name}` is {outside}, but must be {legal}")
            );
        }
    }
    for (name, set) in ANY {
        for legal in [0, usize::MAX] {
            assert!(build(set, legal).is_ok(), "{name} {legal}");
        }
    }
}

#[test]
fn a_time_of_zero_is_refused_by_name() {
    for (name, set) in TIMES {
        assert_eq!(
            refusal(|builder| builder.config(|config| set(config, Duration::ZERO))),
            format!("setting `{name}` is 0, but must be longer than 0")
        );
        for legal in [Duration::from_nanos(1), Duration::MAX] {
            let builder = Host::builder().party::<Everybody>("main");
            assert!(builder.config(|config| set(config, legal)).build().is_ok(), "{name} {legal:?}");
        }
    }
}

// The data folder.

fn stored(folder: &Path) -> Builder {
    Host::builder().party::<Everybody>("main").data(folder)
}

/// The text with which a host refuses its data folder.
async fn data_refusal(folder: &Path) -> String {
    TestHost::try_of(stored(folder)).await.expect_err("a refusal").to_string()
}

#[tokio::test]
async fn a_data_folder_is_made_with_those_above_it() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("a/b/data");
    let host = TestHost::try_of(stored(&data)).await.unwrap();
    host.join("tea").await;
    host.stop().await;
    assert!(data.is_dir());
}

#[tokio::test]
async fn a_data_folder_that_cannot_be_is_refused_by_name_with_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "precious").unwrap();
    std::fs::create_dir_all(folder.path().join("taken/rooms.redb")).unwrap();
    let too_long = folder.path().join("x".repeat(300));
    for wrong in
        [file.clone(), file.join("below"), folder.path().join("taken"), too_long, "/proc/data".into()]
    {
        let text = data_refusal(&wrong).await;
        let named = format!("data folder {} cannot be used: ", wrong.display());
        assert!(text.starts_with(&named), "{text}");
        assert!(text.ends_with("; name a folder that can be made and written, with PARTYRS_DATA"), "{text}");
    }
    assert_eq!(std::fs::read(&file).unwrap(), b"precious");
}

#[tokio::test]
async fn a_data_file_that_is_none_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rooms.redb");
    for garbage in [&b"x"[..], &[7; 10_000]] {
        std::fs::write(&file, garbage).unwrap();
        let text = data_refusal(folder.path()).await;
        assert!(text.starts_with(&format!("data file {} cannot be opened: ", file.display())), "{text}");
        assert!(text.ends_with("; restore it from a backup, or move it away to begin anew"), "{text}");
        assert_eq!(std::fs::read(&file).unwrap(), garbage);
    }
}

#[tokio::test]
async fn a_data_folder_in_use_by_another_host_is_refused_until_that_one_ends() {
    let folder = tempfile::tempdir().unwrap();
    let host = TestHost::try_of(stored(folder.path())).await.unwrap();
    assert_eq!(data_refusal(folder.path()).await, in_use(folder.path()));
    host.join("tea").await;
    host.stop().await;
    TestHost::try_of(stored(folder.path())).await.unwrap().kill().await;
    TestHost::try_of(stored(folder.path())).await.unwrap().stop().await;
}

fn in_use(folder: &Path) -> String {
    format!(
        "data folder {} is in use by another process; stop that one, or name another folder with PARTYRS_DATA",
        folder.display()
    )
}

// A program of its own.

/// Set in the environment of a test binary that is to be a server; the value is its data folder by program.
const SERVER: &str = "PARTYRS_TEST_SERVER";

/// A server in a process of its own; it is killed with the test.
struct Server {
    child: Child,
    addr: String,
}

/// No claim of its own: the program that the tests below start.
#[test]
fn server_program() {
    let Some(data) = std::env::var_os(SERVER) else { return };
    let serve = async { stored(Path::new(&data)).build()?.serve_from_env().await };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    if let Err(error) = runtime.block_on(serve) {
        // As a `main` that returns it.
        eprintln!("Error: {error:?}");
        std::process::exit(1);
    }
}

/// The program above, on any port, with its data in `data`.
fn program(data: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
    command.args(["host::server_program", "--exact", "--nocapture"]);
    command.env(SERVER, data).env("PARTYRS_ADDR", "127.0.0.1:0").env_remove("PARTYRS_DATA");
    command
}

impl Server {
    /// Starts the program and waits until it says where it listens.
    async fn start(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("a program that starts");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let addr = soon(async {
            loop {
                let line = lines.next_line().await.expect("text").expect("it says where it listens");
                if let Some((_, addr)) = line.split_once("listening on http://") {
                    return addr.to_owned();
                }
            }
        });
        Self { addr: addr.await, child }
    }

    /// Status line of a GET.
    async fn get(&self, path: &str) -> String {
        soon(async {
            let mut tcp = TcpStream::connect(&self.addr).await.expect("it listens there");
            let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
            tcp.write_all(request.as_bytes()).await.expect("it reads");
            let mut answer = String::new();
            tcp.read_to_string(&mut answer).await.expect("it answers");
            answer.lines().next().unwrap_or_default().to_owned()
        })
        .await
    }

    async fn kill(mut self) {
        soon(self.child.kill()).await.expect("it can be killed");
    }
}

/// How a program ends that cannot serve, and what it says.
async fn ends(mut command: Command) -> (ExitStatus, String) {
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = soon(command.output()).await.expect("a program that starts");
    (output.status, String::from_utf8(output.stderr).expect("text"))
}

/// The program ends with a failure and says `text`.
async fn refuses(command: Command, text: &str) {
    let (status, said) = ends(command).await;
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains(text), "{text:?} is not in {said:?}");
}

#[tokio::test]
async fn a_program_says_where_it_listens_and_serves_there() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(program(&folder.path().join("data"))).await;
    assert_eq!(server.get("/nothing").await, "HTTP/1.1 404 Not Found");
    assert!(folder.path().join("data").is_dir());
    server.kill().await;
}

#[tokio::test]
async fn partyrs_data_goes_before_the_folder_of_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let (by_program, by_environment) = (folder.path().join("program"), folder.path().join("environment"));
    let mut command = program(&by_program);
    command.env("PARTYRS_DATA", &by_environment);
    let server = Server::start(command).await;
    assert!(by_environment.is_dir() && !by_program.exists());
    server.kill().await;
}

#[tokio::test]
async fn an_address_that_is_none_is_refused_by_variable_and_value() {
    let folder = tempfile::tempdir().unwrap();
    for wrong in [
        "nonsense",
        "",
        "127.0.0.1",
        "127.0.0.1:65536",
        "localhost:",
        "example:1999",
        ":1999",
        "http://127.0.0.1:1",
    ] {
        let mut command = program(folder.path());
        command.env("PARTYRS_ADDR", wrong);
        let text =
            format!("PARTYRS_ADDR is {wrong:?}, but must be an address and a port, such as 127.0.0.1:1999");
        refuses(command, &text).await;
    }
}

#[tokio::test]
async fn localhost_is_an_address() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = program(folder.path());
    command.env("PARTYRS_ADDR", "localhost:0");
    let server = Server::start(command).await;
    assert!(server.addr.starts_with("127.0.0.1:"), "{}", server.addr);
    server.kill().await;
}

#[tokio::test]
async fn an_address_that_is_no_text_is_refused_and_not_replaced_by_the_default() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = program(folder.path());
    command.env("PARTYRS_ADDR", OsStr::from_bytes(b"\xff:1999"));
    refuses(command, "PARTYRS_ADDR is \"\u{fffd}:1999\", but must be an address and a port").await;
}

/// It would be taken for the current folder.
#[tokio::test]
async fn an_empty_data_folder_of_the_environment_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = program(&folder.path().join("data"));
    command.env("PARTYRS_DATA", "").current_dir(folder.path());
    refuses(command, "PARTYRS_DATA is empty, but must name a folder; unset it for the default").await;
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn an_admin_address_of_the_environment_is_used_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let with = |addr: &str, token: Option<&str>| {
        let mut command = program(&folder.path().join("data"));
        command.env("PARTYRS_ADMIN_ADDR", addr);
        token.map(|token| command.env("PARTYRS_ADMIN_TOKEN", token));
        command
    };
    refuses(with("9600", None), "PARTYRS_ADMIN_ADDR is \"9600\", but must be an address and a port").await;
    refuses(with("0.0.0.0:0", None), "is reached from other machines, so it needs a token").await;
    refuses(
        with("127.0.0.1:0", Some("short")),
        "the admin token, of `.admin_token(..)` or PARTYRS_ADMIN_TOKEN, must have at least 16",
    )
    .await;
    let mut alone = program(&folder.path().join("data"));
    alone.env("PARTYRS_ADMIN_TOKEN", "0123456789abcdef");
    refuses(alone, "there is an admin token, but no admin address").await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap();
    let text = format!("cannot listen on the admin address {addr}: Address already in use");
    refuses(with(&addr.to_string(), None), &text).await;
    let server = Server::start(with("127.0.0.1:0", Some("0123456789abcdef"))).await;
    server.kill().await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_refused_by_address_and_the_data_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap();
    let mut command = program(&data);
    command.env("PARTYRS_ADDR", addr.to_string());
    let text = format!(
        "cannot listen on {addr}: Address already in use (os error 98); choose another address with PARTYRS_ADDR=127.0.0.1:PORT"
    );
    refuses(command, &text).await;
    assert!(!data.exists());
}

#[tokio::test]
async fn a_data_folder_in_use_by_another_process_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(program(folder.path())).await;
    refuses(program(folder.path()), &in_use(folder.path())).await;
    assert_eq!(data_refusal(folder.path()).await, in_use(folder.path()));
    server.kill().await;
    TestHost::try_of(stored(folder.path())).await.unwrap().stop().await;
}

#[tokio::test]
async fn a_data_folder_of_the_environment_that_cannot_be_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let mut command = program(folder.path());
    command.env("PARTYRS_DATA", &file);
    refuses(command, &format!("data folder {} cannot be used: ", file.display())).await;
}

/// Runs where `cargo xtask test` has built the programs and says so.
#[tokio::test]
async fn the_example_programs_say_where_they_listen() {
    let Some(programs) = std::env::var_os("PARTYRS_EXAMPLES_DIR").map(PathBuf::from) else { return };
    for (name, arguments) in [("chat", &[][..]), ("refresh", &[]), ("bench", &["0", "1"])] {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(programs.join(name));
        command.args(arguments);
        command.env("PARTYRS_ADDR", "127.0.0.1:0").env("PARTYRS_DATA", folder.path());
        command.env("REFRESH_SECRET", "s3cret").current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        let server = Server::start(command).await;
        assert!(server.get("/parties/nope/x").await.contains("404"), "{name}");
        server.kill().await;
    }
}

// Limits and what a host gives to its rooms.

#[tokio::test]
async fn one_socket_too_many_is_503_until_another_leaves() {
    let builder = Host::builder().party::<Everybody>("main");
    let host = TestHost::of(builder.config(|config| config.connections_max = Some(2))).await;
    let (ada, mut bob) = (host.join("tea").await, host.join("coffee").await);
    let refused = host.try_connect("/party/tea").await.expect_err("a refusal");
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()[RETRY_AFTER], "5");
    assert_eq!(host.get("/party/tea").await.body(), "Not implemented");

    ada.close(Some((1000, ""))).await;
    host.until(|host| host.connections_count() == 1).await;
    let mut eve = host.join("coffee").await;
    eve.send("hi").await;
    assert_eq!(bob.next_text().await, "hi");
}

/// Answers with the env value that it finds: in the static hook, or in the room.
struct Greeter {
    greeting: String,
}

struct Greeting(&'static str);

impl PartyServer for Greeter {
    type Message = Frame;

    async fn on_start(room: &Room) -> Result<Self> {
        let greeting = room.env::<Greeting>().map_or(String::new(), |greeting| greeting.0.to_owned());
        Ok(Self { greeting })
    }

    async fn on_before_request(head: &mut Head, lobby: &Lobby) -> Result<Admission> {
        if head.query("static").is_some() {
            let Greeting(text) = lobby.env()?;
            return Ok(Admission::Respond(Response::text(format!("{text} {}", lobby.env::<u8>()?))));
        }
        Ok(Admission::Admit)
    }

    async fn on_before_connect(_: &mut Head, lobby: &Lobby) -> Result<Admission> {
        lobby.env::<Greeting>()?;
        Ok(Admission::Admit)
    }

    async fn on_connect(&mut self, room: &Room, connection: &Connection, _: &ConnectContext) -> Result<()> {
        Ok(connection.send(room.env::<Greeting>()?.0)?)
    }

    async fn on_request(&mut self, room: &Room, request: Request) -> Result<Response> {
        if request.query("panic").is_some() {
            panic!("the dice are lost");
        }
        Ok(Response::text(format!("{} {}", self.greeting, room.env::<u8>()?)))
    }
}

#[tokio::test]
async fn values_of_the_program_reach_rooms_and_static_hooks_by_type() {
    let builder = Host::builder().party::<Greeter>("main").env(Greeting("first")).env(7_u8);
    let host = TestHost::of(builder.env(Greeting("hello"))).await;
    assert_eq!(host.get("/party/a").await.body(), "hello 7");
    assert_eq!(host.get("/party/a?static").await.body(), "hello 7");
    assert_eq!(host.join("a").await.next_text().await, "hello");
}

#[tokio::test]
async fn a_missing_value_is_an_error_that_names_the_type() {
    let host = TestHost::of(Host::builder().party::<Greeter>("main").debug_errors(true)).await;
    for (path, name) in [("/party/a", "u8"), ("/party/a?static", "it::host::Greeting")] {
        let answer = host.get(path).await;
        assert_eq!(answer.status(), 500, "{path}");
        let text =
            format!("the host has no env value of type {name}; give it one with `Host::builder().env(..)`");
        assert_eq!(answer.body(), &text, "{path}");
    }
}

#[tokio::test]
async fn details_of_errors_are_shown_only_when_debug_errors_is_on() {
    let off = Host::builder().party::<Greeter>("main");
    let on = Host::builder().party::<Greeter>("main").debug_errors(true);
    let (off, on) = (TestHost::of(off).await, TestHost::of(on).await);
    for (path, detail) in [
        ("/party/a", "no env value of type u8"),
        ("/party/a?panic", "the dice are lost"),
        ("/party/a?static", "no env value of type"),
    ] {
        let answer = off.get(path).await;
        assert_eq!((answer.status().as_u16(), &answer.body()[..]), (500, &b"Internal Server Error"[..]));
        let answer = on.get(path).await;
        let text = String::from_utf8_lossy(answer.body());
        assert!(answer.status() == 500 && text.contains(detail), "{path}: {text}");
    }
    for (host, shown) in [(off, false), (on, true)] {
        let refused = host.try_connect("/party/a").await.expect_err("a refusal");
        let text = String::from_utf8_lossy(refused.body()).into_owned();
        assert_eq!((refused.status().as_u16(), text.contains("Greeting")), (500, shown), "{text}");
    }
}

/// Cannot start, and its static hook never ends.
struct Stuck;

impl PartyServer for Stuck {
    type Message = Frame;

    async fn on_start(_: &Room) -> Result<Self> {
        Err(Error::new("no dice in the box"))
    }

    async fn on_before_request(head: &mut Head, _: &Lobby) -> Result<Admission> {
        if head.query("hang").is_some() {
            std::future::pending::<()>().await;
        }
        Ok(Admission::Admit)
    }
}

#[tokio::test]
async fn why_a_room_did_not_start_is_shown_only_when_debug_errors_is_on() {
    let host = TestHost::of(Host::builder().party::<Stuck>("main")).await;
    assert_eq!(host.get("/party/a").await.body(), "Internal Server Error");
    let host = TestHost::of(Host::builder().party::<Stuck>("main").debug_errors(true)).await;
    assert_eq!(host.get("/party/a").await.body(), "no dice in the box");
}

#[tokio::test]
async fn a_static_hook_that_never_ends_is_ended_by_hook_timeout() {
    let host = TestHost::of(Host::builder().party::<Stuck>("main").debug_errors(true)).await;
    let mut request = std::pin::pin!(host.get("/party/a?hang"));
    let answer = loop {
        tokio::select! {
            biased;
            answer = &mut request => break answer,
            () = tokio::task::yield_now() => host.advance(std::time::Duration::from_secs(31)),
        }
    };
    assert_eq!(answer.status(), 500);
    assert_eq!(answer.body(), "hook ran longer than hook_timeout (30s)");
}
