//! What is seen of each kind of output at each moment of failure: the table of `ARCHITECTURE.md`,
//! read from there and played cell by cell against a real host.
//!
//! A row is one test. The table holds what must come out, so no cell is without a test, and a
//! cell that says something else than the host does fails with its row and column.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use partyrs::prelude::*;
use partyrs::storage::CommitError;
use partyrs::{CallError, Parties, SocketSender};
use partyrs_runtime::Host;
use partyrs_runtime::testing::{TestClient, TestHost, soon};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::held::HeldEngine;
use crate::http::raw::Raw;
use crate::parties::{Reports, Seen, reports};

const OUT: &str = "out";
const MARKER: &str = "marker";

/// What a hook of an [`Actor`] does.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Plan {
    output: Output,
    place: Place,
    end: Ending,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Output {
    Frame,
    Broadcast,
    Close,
    /// None but what becomes of the connection whose message it was.
    Connection,
    Response,
    Chunk,
    EndOfBody,
    Call,
    ReplyOfCall,
    ReplyOfRun,
    Task,
    Socket,
    SocketFrame,
    Alarm,
    State,
    Join,
}

/// Before or after the first write of the hook.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Place {
    Before,
    After,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Ending {
    Well,
    Fails,
    Panics,
    Hangs,
    Answers,
}

/// What goes wrong, and when.
#[derive(Clone, Debug)]
enum Moment {
    HookEnds(Ending),
    CommitFails(CommitError),
    EarlierCommitFails,
    /// While the commit is on its way; whether it reaches the disk.
    Killed {
        lands: bool,
    },
    ClientIsGone,
    Shutdown,
}

/// The columns of the table, each with all ways in which it comes.
fn moments(column: &str) -> Vec<Moment> {
    let failed = || CommitError::Failed("the disk is gone".into());
    match column {
        "the hook fails" => [Ending::Fails, Ending::Panics, Ending::Hangs].map(Moment::HookEnds).into(),
        "it answers" => vec![Moment::HookEnds(Ending::Answers)],
        "its commit fails" => vec![Moment::CommitFails(failed())],
        "the disk is full" => vec![Moment::CommitFails(CommitError::Full)],
        "an earlier commit fails" => vec![Moment::EarlierCommitFails],
        "the process is killed" => vec![Moment::Killed { lands: false }, Moment::Killed { lands: true }],
        "the client is gone" => vec![Moment::ClientIsGone],
        "shutdown" => vec![Moment::Shutdown],
        other => panic!("no moment is called {other:?}"),
    }
}

/// Does what its messages, requests, calls and newcomers say.
struct Actor {
    reports: Reports,
    feed: Option<RoomBody>,
    socket: Option<Socket>,
}

/// The socket to the other room that the test holds.
#[derive(Clone, Default)]
struct Line(Arc<Mutex<Option<SocketSender>>>);

impl Call for Plan {
    type Reply = ();
}

impl PartyServer for Actor {
    type Message = String;

    async fn on_start(room: &Room) -> Result<Self> {
        Ok(Self { reports: room.env::<Reports>()?.clone(), feed: None, socket: None })
    }

    async fn on_connect(
        &mut self,
        room: &Room,
        connection: &Connection,
        context: &ConnectContext,
    ) -> Result<()> {
        if let Some(plan) = context.head().query("plan") {
            return self.act(room, Some(connection), serde_json::from_str(&plan)?).await;
        }
        room.broadcast(format!("joined {}", connection.id()))?;
        Ok(())
    }

    async fn on_message(&mut self, room: &Room, sender: &Connection, text: String) -> Result<()> {
        match serde_json::from_str(&text) {
            Ok(plan) => self.act(room, Some(sender), plan).await,
            Err(_) => room.broadcast(text).map(drop).map_err(Error::from),
        }
    }

    async fn on_request(&mut self, room: &Room, request: Request) -> Result<Response> {
        if request.uri().path().ends_with("/feed") {
            let (feed, response) = room.body();
            self.feed = Some(feed);
            return Ok(response);
        }
        self.act(room, None, request.json()?).await?;
        Ok(Response::text("done"))
    }

    async fn on_close(&mut self, room: &Room, connection: &Connection, _: &Close) -> Result<()> {
        room.broadcast(format!("gone {}", connection.id()))?;
        Ok(())
    }

    async fn on_error(&mut self, _: &Room, _: &Failure) {
        self.reports.add("failed");
    }
}

impl Answers<Plan> for Actor {
    async fn answer(&mut self, room: &Room, plan: Plan) -> Result<()> {
        self.act(room, None, plan).await
    }
}

impl Actor {
    async fn act(&mut self, room: &Room, actor: Option<&Connection>, plan: Plan) -> Result<()> {
        if plan.place == Place::After {
            room.storage().put("k", "v")?;
        }
        self.reports.add("begun");
        match self.put_out(room, actor, plan).await {
            Ok(()) => self.reports.add("did it"),
            Err(CallError::Unsynced) => self.reports.add("refused"),
            Err(error) => return Err(error.into()),
        }
        if plan.place == Place::Before {
            room.storage().put("k", "v")?;
        }
        match (plan.end, actor) {
            (Ending::Well, _) => Ok(()),
            (Ending::Fails, _) => Err(Error::new("as told")),
            (Ending::Panics, _) => panic!("as told"),
            (Ending::Hangs, _) => std::future::pending().await,
            (Ending::Answers, Some(_)) => Err(Error::close(4003, "as told")),
            (Ending::Answers, None) => Err(Error::status(409, "as told")),
        }
    }

    async fn put_out(
        &mut self,
        room: &Room,
        actor: Option<&Connection>,
        plan: Plan,
    ) -> Result<(), CallError> {
        let actor = || actor.expect("a connection acts");
        match plan.output {
            Output::Connection
            | Output::Response
            | Output::ReplyOfCall
            | Output::ReplyOfRun
            | Output::Join => {}
            Output::Frame => actor().send(OUT).unwrap(),
            Output::Broadcast => assert!(room.broadcast(OUT).unwrap() > 0),
            Output::Close => actor().close(4000, OUT).unwrap(),
            Output::Chunk => self.feed.as_ref().unwrap().write(room, OUT).unwrap(),
            Output::EndOfBody => self.feed = None,
            Output::Call => {
                let work = async |_: &mut Self, room: &Room| {
                    room.broadcast(OUT)?;
                    Ok(())
                };
                other_room(&room.parties()).run(work).await?;
            }
            Output::Task => self.spawn(room, plan.place).await,
            Output::Socket => {
                self.socket = Some(other_room(&room.parties()).socket_at("/?_pk=opened").await?);
            }
            Output::SocketFrame => {
                let Line(line) = room.env::<Line>().unwrap();
                line.lock().unwrap().as_ref().unwrap().send(OUT).unwrap();
            }
            Output::Alarm => room.storage().set_alarm(Duration::from_secs(1 << 20)).unwrap(),
            Output::State => actor().set_state("new").unwrap(),
        }
        Ok(())
    }

    /// Before the first write it waits until the task has started, so that it is seen to end.
    async fn spawn(&mut self, room: &Room, place: Place) {
        struct Ends(Reports);
        impl Drop for Ends {
            fn drop(&mut self) {
                self.0.add("task dropped");
            }
        }
        let (reports, ends) = (self.reports.clone(), Ends(self.reports.clone()));
        let started = Arc::new(Notify::new());
        let starts = Arc::clone(&started);
        room.spawn(async move {
            let _ends = ends;
            reports.add("task started");
            starts.notify_one();
            std::future::pending().await
        });
        if place == Place::Before {
            started.notified().await;
        }
    }
}

fn actor_room(parties: &Parties) -> RoomHandle<Actor> {
    parties.party::<Actor>("main").unwrap().room("stage").unwrap()
}

fn other_room(parties: &Parties) -> RoomHandle<Actor> {
    parties.party::<Actor>("main").unwrap().room("other").unwrap()
}

/// What a client has heard, and the code of its end.
#[derive(Debug, Default)]
struct View {
    frames: Vec<String>,
    end: Option<u16>,
}

impl View {
    fn has(&self, text: &str) -> bool {
        self.frames.iter().any(|frame| frame == text)
    }

    /// Reads until `last`, or the end.
    async fn read(&mut self, client: &mut TestClient, last: &str) {
        while !self.has(last) && self.end.is_none() {
            match client.try_next().await {
                Ok(frame) => self.frames.push(frame.as_text().unwrap().to_owned()),
                Err((code, _)) => self.end = Some(code),
            }
        }
    }
}

/// What makes the hook run.
enum Asker {
    Message,
    Request(Raw),
    Call(JoinHandle<Result<(), CallError>>),
    Newcomer(Box<TestClient>),
}

/// A room with two members, of which `ada` acts, a reader of a body that the room feeds, a second
/// room with a guest and a socket to it, and a third room.
struct Stage {
    plan: Plan,
    engine: Arc<HeldEngine>,
    host: Option<TestHost>,
    parties: Parties,
    ada: Option<TestClient>,
    bob: TestClient,
    guest: TestClient,
    bystander: TestClient,
    reader: Raw,
    /// The chunk that has come of the body.
    body: Option<Vec<u8>>,
    line: Socket,
    seen: Seen,
    log: Vec<String>,
    heard_by_ada: View,
    heard_by_bob: View,
    heard_by_guest: View,
}

async fn host_on(engine: &Arc<HeldEngine>, reports: Reports, line: Line) -> TestHost {
    let builder = Host::builder().party::<Actor>("main").storage(Arc::clone(engine) as _);
    let builder = builder.env(reports).env(line).config(|config| {
        // The clock is moved by hand, and only hook_timeout is meant.
        (config.ping_every, config.call_timeout) = (Duration::MAX, Duration::MAX);
    });
    TestHost::of(builder).await
}

async fn member(host: &TestHost, room: &str, id: &str) -> TestClient {
    let mut client = host.connect(&format!("/party/{room}?_pk={id}")).await;
    assert_eq!(client.next_text().await, format!("joined {id}"));
    client
}

impl Stage {
    async fn set(output: Output, place: Place) -> Self {
        let engine = Arc::new(HeldEngine::new());
        engine.recover();
        let ((reports, seen), line) = (reports(), Line::default());
        let host = host_on(&engine, reports, line.clone()).await;
        let mut bob = member(&host, "stage", "bob").await;
        let ada = member(&host, "stage", "ada").await;
        assert_eq!(bob.next_text().await, "joined ada");
        let mut guest = member(&host, "other", "guest").await;
        let bystander = member(&host, "third", "bystander").await;
        let mut reader = Raw::connect(&host).await;
        reader.send("GET /party/stage/feed HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
        assert_eq!(reader.head().await.status, 200);
        let parties = host.parties();
        let socket = other_room(&parties).socket_at("/?_pk=line").await.unwrap();
        assert_eq!(guest.next_text().await, "joined line");
        *line.0.lock().unwrap() = Some(socket.sender());
        Self {
            plan: Plan { output, place, end: Ending::Well },
            engine,
            host: Some(host),
            parties,
            ada: Some(ada),
            bob,
            guest,
            bystander,
            reader,
            body: None,
            line: socket,
            seen,
            log: Vec::new(),
            heard_by_ada: View::default(),
            heard_by_bob: View::default(),
            heard_by_guest: View::default(),
        }
    }

    fn host(&self) -> &TestHost {
        self.host.as_ref().expect("a host that has not ended")
    }

    /// Waits until this has been reported.
    async fn reported(&mut self, what: &str) {
        while !self.log.iter().any(|report| report == what) {
            let report = self.seen.next().await;
            self.log.push(report);
        }
    }

    /// Makes the hook run.
    async fn ask(&mut self) -> Asker {
        let plan = self.plan;
        let text = serde_json::to_string(&plan).unwrap();
        match plan.output {
            Output::Response => {
                let mut raw = Raw::connect(self.host()).await;
                let length = text.len();
                raw.send(format!(
                    "POST /party/stage HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{text}"
                ))
                .await;
                Asker::Request(raw)
            }
            Output::ReplyOfRun => {
                let room = actor_room(&self.parties);
                Asker::Call(tokio::spawn(async move {
                    room.run(async move |actor, room| actor.act(room, None, plan).await).await
                }))
            }
            Output::ReplyOfCall => {
                let room = actor_room(&self.parties);
                Asker::Call(tokio::spawn(async move { room.call(plan).await }))
            }
            Output::Join => {
                let query: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
                let path = format!("/party/stage?_pk=newcomer&plan={query}");
                Asker::Newcomer(Box::new(self.host().connect(&path).await))
            }
            _ => {
                self.ada.as_mut().unwrap().send(text).await;
                Asker::Message
            }
        }
    }

    /// Makes the hook run, and returns when its commit is on its way and what it has sent before its
    /// first write has left.
    async fn ask_held(&mut self) -> Asker {
        let before = self.engine.arrived_count();
        self.engine.hold();
        let asker = self.ask().await;
        self.host().until(|_| self.engine.arrived_count() > before).await;
        match self.plan.place {
            Place::Before => self.out_has_left().await,
            Place::After => self.nothing_has_left().await,
        }
        asker
    }

    async fn out_has_left(&mut self) {
        let ada = self.ada.as_mut().unwrap();
        match self.plan.output {
            Output::Frame | Output::Broadcast | Output::Close => self.heard_by_ada.read(ada, OUT).await,
            Output::Call | Output::SocketFrame => self.heard_by_guest.read(&mut self.guest, OUT).await,
            Output::Socket => self.heard_by_guest.read(&mut self.guest, "joined opened").await,
            Output::Chunk | Output::EndOfBody => self.body = self.reader.chunk().await,
            _ => {}
        }
    }

    async fn nothing_has_left(&mut self) {
        match self.plan.output {
            Output::Frame | Output::Broadcast | Output::Close => {
                self.ada.as_mut().unwrap().hears_nothing().await;
            }
            Output::Chunk | Output::EndOfBody => {
                // Whatever has left the room has been read by the task of its connection then.
                assert_eq!(self.host().get("/").await.status(), 404);
                assert!(self.reader.is_quiet());
            }
            _ => {}
        }
    }

    /// A hook that never ends is ended by the clock.
    async fn time_passes_until_it_fails(&mut self) {
        while !self.log.iter().any(|report| report == "failed") {
            self.host().advance(Duration::from_secs(1));
            tokio::task::yield_now().await;
            self.log.extend(self.seen.all());
        }
    }

    /// Reads what all have heard in a room that goes on.
    async fn read_to_marker(&mut self) {
        soon(actor_room(&self.parties).broadcast(MARKER)).await.unwrap();
        self.heard_by_bob.read(&mut self.bob, MARKER).await;
        assert_eq!(self.heard_by_bob.end, None, "bob stays");
        if let Some(ada) = &mut self.ada {
            self.heard_by_ada.read(ada, MARKER).await;
        }
        self.read_guest().await;
    }

    /// Reads what all have heard in a room that has ended.
    async fn read_to_end(&mut self) {
        self.heard_by_bob.read(&mut self.bob, "the end").await;
        if let Some(ada) = &mut self.ada {
            self.heard_by_ada.read(ada, "the end").await;
        }
    }

    async fn read_guest(&mut self) {
        // The host may have ended, and the guest with it.
        let _ = self.line.send(MARKER);
        self.heard_by_guest.read(&mut self.guest, MARKER).await;
    }

    /// Everything up to the moment, and what everybody sees then.
    async fn play(&mut self, moment: &Moment) -> Asker {
        match moment {
            Moment::HookEnds(end) => {
                self.plan.end = *end;
                let asker = self.ask().await;
                self.reported("begun").await;
                if *end == Ending::Hangs {
                    self.time_passes_until_it_fails().await;
                }
                self.read_to_marker().await;
                asker
            }
            Moment::CommitFails(error) => {
                let asker = self.ask_held().await;
                self.engine.fail_with(error.clone());
                self.read_to_end().await;
                self.engine.recover();
                self.read_guest().await;
                asker
            }
            Moment::EarlierCommitFails => {
                self.engine.hold();
                let before = self.engine.arrived_count();
                let room = actor_room(&self.parties);
                tokio::spawn(async move {
                    room.run(async |_, room| Ok(room.storage().put("earlier", "v")?)).await
                });
                self.host().until(|_| self.engine.arrived_count() > before).await;
                let asker = self.ask().await;
                let waits = self.plan.place == Place::Before
                    && matches!(self.plan.output, Output::Call | Output::Socket | Output::Task);
                let refused = self.plan.place == Place::After
                    && matches!(self.plan.output, Output::Call | Output::Socket);
                self.reported(if waits {
                    "begun"
                } else if refused {
                    "refused"
                } else {
                    "did it"
                })
                .await;
                self.nothing_has_left().await;
                self.engine.fail_with(CommitError::Failed("the disk is gone".into()));
                self.read_to_end().await;
                self.engine.recover();
                self.read_guest().await;
                asker
            }
            Moment::Killed { lands } => {
                self.engine.land_before_holding(*lands);
                let asker = self.ask_held().await;
                soon(self.host.take().unwrap().kill()).await;
                self.read_to_end().await;
                self.read_guest().await;
                self.engine.recover();
                asker
            }
            Moment::ClientIsGone => {
                let asker = self.ask_held().await;
                let asker = self.client_goes(asker).await;
                self.engine.recover();
                self.read_to_marker().await;
                assert!(!self.log_has("failed"));
                assert_eq!(self.stored().await.as_deref(), Some("v"), "the hook's write is kept");
                asker
            }
            Moment::Shutdown => {
                let asker = self.ask_held().await;
                self.host.as_mut().unwrap().begin_stop();
                assert_eq!(self.bystander.closed().await.0, 1012);
                self.heard_by_guest.read(&mut self.guest, "the end").await;
                self.engine.recover();
                self.read_to_end().await;
                asker
            }
        }
    }

    /// Whoever asked goes away, and for a body who reads it.
    async fn client_goes(&mut self, asker: Asker) -> Asker {
        let before = self.host().connections_count();
        match (self.plan.output, asker) {
            (Output::Chunk | Output::EndOfBody, asker) => {
                self.reader = Raw::connect(self.host()).await;
                return asker;
            }
            (_, Asker::Message) => self.ada = None,
            (_, Asker::Newcomer(newcomer)) => drop(newcomer),
            (_, Asker::Request(raw)) => {
                drop(raw);
                return Asker::Message;
            }
            (_, Asker::Call(call)) => {
                call.abort();
                return Asker::Message;
            }
        }
        self.host().until(|host| host.connections_count() < before).await;
        Asker::Message
    }

    /// What is stored, in a room that is opened again if it has ended.
    async fn stored(&self) -> Option<String> {
        soon(actor_room(&self.parties).run(async |_, room| Ok(room.storage().get("k").await?))).await.unwrap()
    }

    /// Whether the alarm is set, as a host tells that begins anew if this one ends.
    async fn has_alarm(self, moment: &Moment) -> bool {
        let Self { engine, host, ada, bob, guest, bystander, reader, line, .. } = self;
        let host = match (moment, host) {
            (Moment::Killed { .. } | Moment::Shutdown, host) => {
                drop((ada, bob, guest, bystander, reader, line));
                if let Some(host) = host {
                    host.stop().await;
                }
                host_on(&engine, reports().0, Line::default()).await
            }
            (_, host) => host.unwrap(),
        };
        let room = actor_room(&host.parties());
        soon(room.run(async |_, room| Ok(room.storage().get_alarm().is_some()))).await.unwrap()
    }

    /// What is seen, as the table says it.
    async fn outcome(mut self, moment: &Moment, asker: Asker) -> String {
        let is_gone = matches!(moment, Moment::ClientIsGone);
        let is_held = !matches!(moment, Moment::HookEnds(_) | Moment::EarlierCommitFails);
        let is_refused = self.log_has("refused");
        let sent = |is_sent: bool| if is_sent { "sent" } else { "never" }.to_owned();
        let code = |end: Option<u16>| end.map_or("open".to_owned(), |code| code.to_string());
        match self.plan.output {
            Output::Response | Output::ReplyOfCall | Output::ReplyOfRun if is_gone => "dropped".to_owned(),
            Output::Frame | Output::Close | Output::Chunk | Output::EndOfBody
                if is_gone && self.plan.place == Place::After =>
            {
                "dropped".to_owned()
            }
            Output::Connection if is_gone => "closed".to_owned(),
            Output::Frame => sent(self.heard_by_ada.has(OUT)),
            Output::Broadcast if is_gone && self.heard_by_bob.has(OUT) => "to the others".to_owned(),
            Output::Broadcast => {
                assert_eq!(self.heard_by_ada.has(OUT), self.heard_by_bob.has(OUT));
                sent(self.heard_by_ada.has(OUT))
            }
            Output::Close | Output::Connection => code(self.heard_by_ada.end),
            Output::Chunk if self.body.is_some() => sent(self.body.as_deref() == Some(OUT.as_bytes())),
            Output::Chunk => {
                let rest = String::from_utf8(self.reader.rest_or_reset().await).unwrap();
                sent(rest.contains(OUT))
            }
            // `out_has_left` has read it.
            Output::EndOfBody if self.plan.place == Place::Before && is_held => "ends".to_owned(),
            Output::EndOfBody => {
                let rest = String::from_utf8(self.reader.rest_or_reset().await).unwrap();
                if rest.ends_with("0\r\n\r\n") { "ends" } else { "cut" }.to_owned()
            }
            Output::Response => {
                let Asker::Request(mut raw) = asker else { panic!("a request asks") };
                let answer = String::from_utf8(if matches!(moment, Moment::Killed { .. }) {
                    raw.rest_or_reset().await
                } else {
                    raw.head().await.head.into_bytes()
                });
                let answer = answer.unwrap();
                match answer.split(' ').nth(1) {
                    Some("200") => "sent".to_owned(),
                    Some(status) => status.to_owned(),
                    None => "cut".to_owned(),
                }
            }
            Output::ReplyOfCall | Output::ReplyOfRun => {
                let Asker::Call(call) = asker else { panic!("a call asks") };
                match soon(call).await.unwrap() {
                    Ok(()) => "sent".to_owned(),
                    Err(CallError::Refused { status, .. }) => format!("Refused {status}"),
                    Err(error) => format!("{error:?}"),
                }
            }
            Output::Join => {
                let Asker::Newcomer(mut newcomer) = asker else {
                    return if self.heard_by_bob.has("gone newcomer") { "on_close" } else { "stays" }
                        .to_owned();
                };
                let is_listed = matches!(moment, Moment::Shutdown) && self.heard_by_bob.end == Some(1012);
                assert!(is_listed || !self.heard_by_bob.has("gone newcomer"), "it never was a member");
                newcomer.closed().await.0.to_string()
            }
            Output::Call | Output::Socket if is_refused => "refused".to_owned(),
            Output::Call => if self.heard_by_guest.has(OUT) { "made" } else { "never" }.to_owned(),
            Output::Task if is_gone => {
                self.reported("task started").await;
                "starts".to_owned()
            }
            Output::Task => {
                self.reported("task dropped").await;
                if self.log_has("task started") { "ends" } else { "never" }.to_owned()
            }
            Output::Socket if !self.heard_by_guest.has("joined opened") => "never".to_owned(),
            Output::Socket if is_gone => "stays".to_owned(),
            Output::Socket => {
                self.heard_by_guest.read(&mut self.guest, "gone opened").await;
                "closed".to_owned()
            }
            Output::SocketFrame => sent(self.heard_by_guest.has(OUT)),
            Output::Alarm => if self.has_alarm(moment).await { "set" } else { "not set" }.to_owned(),
            Output::State if self.heard_by_ada.end.is_some() || is_gone => "gone".to_owned(),
            Output::State => {
                let room = actor_room(&self.parties);
                let state = room.run(async |_, room| {
                    let ada = room.connections_tagged("ada").next().expect("ada is here");
                    Ok(ada.state::<String>()?)
                });
                if soon(state).await.unwrap().is_some() { "new" } else { "as before" }.to_owned()
            }
        }
    }

    fn log_has(&mut self, what: &str) -> bool {
        self.log.extend(self.seen.all());
        self.log.iter().any(|report| report == what)
    }
}

async fn play(output: Output, place: Place, moment: Moment) -> String {
    let mut stage = Stage::set(output, place).await;
    let asker = stage.play(&moment).await;
    stage.outcome(&moment, asker).await
}

/// Plays all cells of the row `name`, before and after the first write.
async fn row(name: &str, output: Output) {
    let table = table();
    let cells = table.iter().find(|cells| cells[0] == name);
    let cells = cells.unwrap_or_else(|| panic!("the table has no row {name:?}"));
    let mut wrong = Vec::new();
    for (column, cell) in table[0].iter().zip(cells).skip(1) {
        let (before, after) = cell.split_once(" / ").unwrap_or((cell, cell));
        for (place, expected) in [(Place::Before, before), (Place::After, after)] {
            let mut seen = Vec::new();
            for moment in moments(column) {
                // A task of its own, so that a cell which panics is told by its row and column too.
                let played = tokio::spawn(play(output, place, moment)).await;
                seen.push(played.unwrap_or_else(|error| error.to_string()));
            }
            seen.dedup();
            // Whether a commit under way has landed when the process is killed, nobody was told.
            let seen = if seen == ["not set", "set"] { "either".to_owned() } else { seen.join(", ") };
            if seen != expected {
                wrong.push(format!("{name}, {column}, {place:?}: {seen}, and not {expected}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Head and rows of the table, their cells without marks.
fn table() -> Vec<Vec<String>> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../ARCHITECTURE.md");
    let document = std::fs::read_to_string(path).unwrap();
    let (_, section) = document.split_once("\n## What is seen of a hook that fails\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    rows.map(|row| row.replace('`', "").split(" | ").map(|cell| cell.trim().to_owned()).collect()).collect()
}

#[test]
fn every_row_of_the_table_has_a_test_and_no_cell_is_empty() {
    let this = include_str!("outcomes.rs");
    let table = table();
    for cells in &table {
        assert_eq!(cells.len(), table[0].len(), "{cells:?}");
        assert!(cells.iter().all(|cell| !cell.is_empty()), "{cells:?}");
    }
    assert_eq!(table[0].len(), 9);
    assert_eq!(table.len(), 17, "a row that was taken out is no longer promised");
    for cells in table.iter().skip(1) {
        assert!(
            this.contains(&format!("    row(\"{}\", Output::", cells[0])),
            "no test plays {:?}",
            cells[0]
        );
    }
}

#[tokio::test]
async fn a_frame_to_one_is_seen_as_the_table_says() {
    row("a frame to one", Output::Frame).await;
}

#[tokio::test]
async fn a_broadcast_is_seen_as_the_table_says() {
    row("a broadcast", Output::Broadcast).await;
}

#[tokio::test]
async fn a_close_is_seen_as_the_table_says() {
    row("a close(4000, ..)", Output::Close).await;
}

#[tokio::test]
async fn the_connection_of_the_hook_is_seen_as_the_table_says() {
    row("the hook's connection", Output::Connection).await;
}

#[tokio::test]
async fn a_response_is_seen_as_the_table_says() {
    row("a response", Output::Response).await;
}

#[tokio::test]
async fn a_chunk_of_a_body_is_seen_as_the_table_says() {
    row("a chunk of room.body()", Output::Chunk).await;
}

#[tokio::test]
async fn the_end_of_a_body_is_seen_as_the_table_says() {
    row("the end of room.body()", Output::EndOfBody).await;
}

#[tokio::test]
async fn a_call_to_another_room_is_seen_as_the_table_says() {
    row("a call to another room", Output::Call).await;
}

#[tokio::test]
async fn the_reply_of_a_call_is_seen_as_the_table_says() {
    row("the reply of a call", Output::ReplyOfCall).await;
}

#[tokio::test]
async fn the_reply_of_a_run_is_seen_as_the_table_says() {
    row("the reply of RoomHandle::run", Output::ReplyOfRun).await;
}

#[tokio::test]
async fn a_task_is_seen_as_the_table_says() {
    row("room.spawn", Output::Task).await;
}

#[tokio::test]
async fn a_socket_to_another_room_is_seen_as_the_table_says() {
    row("a socket to another room", Output::Socket).await;
}

#[tokio::test]
async fn a_frame_to_another_room_is_seen_as_the_table_says() {
    row("a frame on such a socket", Output::SocketFrame).await;
}

#[tokio::test]
async fn an_alarm_is_seen_as_the_table_says() {
    row("an alarm that is set", Output::Alarm).await;
}

#[tokio::test]
async fn connection_state_is_seen_as_the_table_says() {
    row("connection state", Output::State).await;
}

#[tokio::test]
async fn a_join_is_seen_as_the_table_says() {
    row("a join (on_connect)", Output::Join).await;
}
