//! A failure at every hook, before and after its writes: the data stay right, and others go on.

use std::sync::Arc;

use partyrs::storage::MemoryEngine;
use partyrs_runtime::testing::{TestHost, soon};

use super::check::{History, Violation};
use super::client::{Member, Witness, dump, http};
use super::faults::Fault;
use super::ledger::{self, Act, Ask, End, Plan, Tell, Way};

const HOOKS: [&str; 14] = [
    "on_start",
    "on_start again",
    "connection_tags",
    "on_connect",
    "on_message",
    "on_invalid",
    "on_close",
    "on_request",
    "on_alarm",
    "on_error",
    "run",
    "task",
    "on_before_connect",
    "on_before_request",
];

const ENDS: [End; 4] = [End::ErrFirst, End::PanicFirst, End::Err, End::Panic];

pub(super) const CASES_COUNT: u64 = (HOOKS.len() * ENDS.len()) as u64;

const ROOM: &str = "lobby";

/// Lets each hook fail in each way; returns how many entries were confirmed by others meanwhile.
pub(super) async fn at_every_hook(fault: Option<Fault>) -> Result<usize, String> {
    let mut confirmed = 0;
    for hook in HOOKS {
        for end in ENDS {
            let case = Case::begin(Plan::of(fault)).await;
            confirmed +=
                case.run(hook, end).await.map_err(|violation| format!("{hook}, {end:?}: {violation}"))?;
        }
    }
    Ok(confirmed)
}

struct Case {
    engine: Arc<MemoryEngine>,
    host: TestHost,
    plan: Plan,
    /// Has done nothing but what is in `asked`.
    planner: Witness,
    history: History,
}

impl Case {
    async fn begin(plan: Plan) -> Self {
        let engine = Arc::new(MemoryEngine::new());
        let host = TestHost::of(ledger::host(&plan).storage(engine.clone())).await;
        Self { engine, host, plan, planner: Witness::named("planner"), history: History::default() }
    }

    async fn run(mut self, hook: &'static str, end: End) -> Result<usize, Violation> {
        let failing = Ask::note("failing").ending(end);
        let member = match hook {
            "on_start" => {
                self.plan("on_start", failing);
                // It is refused, or comes so late that it is the next visitor already.
                let mut early = self.join("early").await;
                let heard = soon(early.hear()).await;
                assert!(matches!(heard, Err(1011) | Ok(Tell::Welcome { .. })), "{heard:?}");
                self.settled().await;
                self.history.witnesses.push(early.witness);
                self.join("member").await
            }
            _ => self.run_with_member(hook, failing).await,
        };
        self.go_on(member).await
    }

    /// The failure comes while a member is in the room.
    async fn run_with_member(&mut self, hook: &'static str, failing: Ask) -> Member {
        let addr = self.host.addr();
        let mut member = self.join("member").await;
        member.ask(Ask::note("before")).await;
        assert!(soon(member.done("before")).await);
        let end = failing.end;
        match hook {
            "on_start again" => {
                // A failure of one hook restarts the room, and that fails too: the member is sent away.
                self.plan("on_start", failing);
                member.ask(Ask::note("restarting").ending(End::Panic)).await;
                while soon(member.hear()).await.is_ok() {}
                self.history.witnesses.push(member.witness);
                return self.join("another member").await;
            }
            "connection_tags" | "on_connect" => {
                self.plan(hook, failing);
                let mut refused = self.join("refused").await;
                let mut heard = soon(refused.hear()).await;
                while heard.is_ok() {
                    heard = soon(refused.hear()).await;
                }
                assert_eq!(heard, Err(1011));
                self.history.witnesses.push(refused.witness);
            }
            "on_before_connect" => {
                self.plan(hook, failing);
                let refused = Member::join(addr, ROOM, Witness::named("refused")).await;
                assert!(refused.is_err(), "a handshake that fails with 500");
            }
            "on_before_request" => {
                self.plan(hook, failing);
                let (status, _) = http(addr, "GET", ROOM, Vec::new()).await.expect("an answer");
                assert_eq!(status, 500);
            }
            "on_request" => {
                let mut witness = Witness::named("by request");
                assert!(witness.request(addr, ROOM, failing).await);
                self.history.witnesses.push(witness);
            }
            "on_close" => {
                let leaving = self.join("leaving").await;
                self.plan(hook, failing);
                self.history.witnesses.push(leaving.leave().await);
            }
            "on_invalid" => {
                self.plan(hook, failing);
                member.send("no ask").await;
            }
            "on_error" => {
                self.plan(hook, failing);
                member.ask(Ask::note("failing first").ending(End::Err)).await;
            }
            "on_alarm" => {
                self.plan("on_error", Ask::note("on_error"));
                let remind = Ask { act: Act::Remind { after_ms: 1000, end }, ..Ask::note("alarm") };
                member.ask(remind).await;
                assert!(soon(member.done("alarm")).await);
                self.host.advance(std::time::Duration::from_secs(1));
                self.settled().await;
                self.host.advance(std::time::Duration::from_secs(2));
                let mut tell = soon(member.hear()).await.expect("an open socket");
                while !matches!(&tell, Tell::Told(entry) if entry.id == "alarm!") {
                    tell = soon(member.hear()).await.expect("an open socket");
                }
            }
            "on_message" => {
                self.plan("on_error", Ask::note("on_error"));
                member.ask(failing).await;
            }
            "run" | "task" => {
                let way = if hook == "run" { Way::Run } else { Way::Task };
                self.plan("on_error", Ask::note("on_error"));
                member.ask(Ask { way, ..failing }).await;
            }
            _ => unreachable!("{hook} is no hook"),
        }
        self.settled().await;
        member
    }

    /// Others are served, and the room is as it must be, before and after a restart of the host.
    async fn go_on(mut self, mut member: Member) -> Result<usize, Violation> {
        let mut other = self.join("other").await;
        other.ask(Ask { act: Act::Transfer { from: 0, to: 1, amount: 7 }, ..Ask::note("after") }).await;
        assert!(soon(other.done("after")).await, "the room serves others");
        member.ask(Ask::note("after, too")).await;
        assert!(soon(member.done("after, too")).await, "the room serves its member");
        let found = dump(self.host.addr(), ROOM).await;
        let witnesses = [member.witness, other.witness, self.planner];
        self.history.witnesses.extend(witnesses);
        self.history.check(found)?;
        self.host.kill().await;
        let host = TestHost::of(ledger::host(&self.plan).storage(self.engine)).await;
        self.history.check(dump(host.addr(), ROOM).await)
    }

    fn plan(&mut self, hook: &'static str, ask: Ask) {
        self.planner.asked.push(ask.clone());
        self.plan.set(hook, ask);
    }

    /// Waits until everything planned has begun.
    async fn settled(&self) {
        self.host.until(|_| !self.plan.is_open()).await;
    }

    async fn join(&self, name: &str) -> Member {
        Member::join(self.host.addr(), ROOM, Witness::named(name)).await.expect("a socket that is accepted")
    }
}
