//! The party of the crash tests: accounts and a numbered log of all that happened to them.
//!
//! Whatever a client asks becomes one entry of the log, in one hook with the accounts that it
//! changes, the number of entries and the alarm that it sets. So the log alone says what everything
//! else must be, in storage and in memory. An ask also says how its hook is to end, so that failures
//! stand among all the rest; what they wrote must leave no trace.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use partyrs::prelude::*;
use partyrs_runtime::{Builder, Host};
use serde::{Deserialize, Serialize};

use super::faults::Fault;

/// Accounts of a room, and what each has at first.
pub(crate) const ACCOUNTS_COUNT: usize = 4;
pub(crate) const BALANCE: i64 = 1000;

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ask {
    /// Unique among all asks of a room, over all restarts.
    pub(crate) id: String,
    pub(crate) act: Act,
    /// Syncs after the act, and then makes one more entry, by [`Ask::second_id`].
    #[serde(default)]
    pub(crate) is_synced: bool,
    #[serde(default)]
    pub(crate) end: End,
    #[serde(default)]
    pub(crate) way: Way,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Act {
    /// Only the entry.
    Note,
    Transfer {
        from: usize,
        to: usize,
        amount: i64,
    },
    /// Sets an alarm for this time from now; its hook ends so when it is called first.
    Remind {
        after_ms: u64,
        end: End,
    },
}

/// How a hook ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum End {
    #[default]
    Well,
    /// Fails before it wrote.
    ErrFirst,
    PanicFirst,
    /// Fails after it wrote.
    Err,
    Panic,
    /// Answers by [`Error::status`] after it wrote.
    Refuse,
}

/// Where an ask is worked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Way {
    /// In the hook that it came to.
    #[default]
    Hook,
    /// In a `run` from a spawned task.
    Run,
    /// As `Run`, but it is the task that ends as the ask says, before the `run` or after it.
    Task,
}

/// An entry of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// 1 for the first of the room.
    pub(crate) number: u64,
    /// That of the ask, or what follows from it.
    pub(crate) id: String,
    pub(crate) deed: Deed,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Deed {
    Note,
    Transfer {
        from: usize,
        to: usize,
        amount: i64,
    },
    Remind {
        due_ms: u64,
        end: End,
    },
    /// The alarm of a `Remind`; its id is [`ring_id`].
    Ring {
        at_ms: u64,
    },
}

/// What a client hears.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Tell {
    /// By `on_connect`: how many entries there are.
    Welcome { count: u64 },
    /// To all.
    Told(Entry),
    /// To who asked.
    Done(Entry),
}

/// What a room has, in memory or in storage, beside its log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Books {
    pub(crate) count: u64,
    pub(crate) accounts: Vec<i64>,
}

/// Everything that a room has: the answer to a GET.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Dump {
    pub(crate) memory: Books,
    pub(crate) stored: Books,
    pub(crate) log: Vec<Entry>,
    /// Names of the alarms that are set.
    pub(crate) alarms: Vec<String>,
    /// What time it was for the room.
    pub(crate) now_ms: u64,
}

/// What a test has in mind for the rooms of a host: given by `.env(..)`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    /// What is wrong with the party, if anything.
    pub(crate) fault: Option<Fault>,
    /// What is to be done in the next run of a hook that no client can ask, by the hook's name.
    asks: Arc<Mutex<BTreeMap<&'static str, Ask>>>,
    /// For [`Fault::MemoryKept`]: memory that outlives the server, by room.
    kept: Arc<Mutex<BTreeMap<String, Books>>>,
}

/// The server of one room.
pub(crate) struct Ledger {
    books: Books,
    plan: Plan,
    /// For [`Fault::BroadcastsSwapped`].
    late: Option<Tell>,
}

/// A host of ledgers.
pub(crate) fn host(plan: &Plan) -> Builder {
    let host = Host::builder().party::<Ledger>("main").env(plan.clone());
    host.config(|config| {
        config.restarts_max = usize::MAX;
        config.ping_every = Duration::MAX;
    })
}

impl Ask {
    pub(crate) fn note(id: impl Into<String>) -> Self {
        Self { id: id.into(), act: Act::Note, is_synced: false, end: End::Well, way: Way::Hook }
    }

    pub(crate) fn ending(self, end: End) -> Self {
        Self { end, ..self }
    }

    pub(crate) fn second_id(&self) -> String {
        format!("{}~", self.id)
    }

    /// The id of its last entry, if it ends well.
    pub(crate) fn last_id(&self) -> String {
        if self.is_synced { self.second_id() } else { self.id.clone() }
    }

    /// The ids of the entries that it may make.
    pub(crate) fn ids(&self) -> Vec<String> {
        match (self.end, self.way) {
            (End::ErrFirst | End::PanicFirst, _) => vec![],
            (End::Well, _) | (_, Way::Task) if !self.is_synced => vec![self.id.clone()],
            (End::Well, _) | (_, Way::Task) => vec![self.id.clone(), self.second_id()],
            _ if self.is_synced => vec![self.id.clone()],
            _ => vec![],
        }
    }
}

impl End {
    fn before(self) -> Result<()> {
        match self {
            Self::ErrFirst => Err(Error::new("an error before the write, as asked")),
            Self::PanicFirst => panic("a panic before the write, as asked"),
            _ => Ok(()),
        }
    }

    fn after(self) -> Result<()> {
        match self {
            Self::Err => Err(Error::new("an error after the write, as asked")),
            Self::Panic => panic("a panic after the write, as asked"),
            Self::Refuse => Err(Error::status(409, "refused, as asked")),
            _ => Ok(()),
        }
    }
}

impl Books {
    pub(crate) fn new() -> Self {
        Self { count: 0, accounts: vec![BALANCE; ACCOUNTS_COUNT] }
    }

    /// What they are after this entry.
    pub(crate) fn apply(&mut self, entry: &Entry) {
        if let Deed::Transfer { from, to, amount } = entry.deed {
            self.accounts[from] -= amount;
            self.accounts[to] += amount;
        }
        self.count += 1;
    }

    async fn load(room: &Room) -> Result<Self> {
        let count = room.storage().get("count").await?.unwrap_or(0);
        let accounts: Vec<(String, i64)> = room.storage().list(List::prefix("account/")).await?;
        Ok(Self { count, accounts: accounts.into_iter().map(|(_, balance)| balance).collect() })
    }

    fn store(&self, room: &Room, places: impl IntoIterator<Item = usize>) -> Result<()> {
        for place in places {
            room.storage().put(format!("account/{place}"), &self.accounts[place])?;
        }
        Ok(room.storage().put("count", &self.count)?)
    }
}

impl Plan {
    pub(crate) fn of(fault: Option<Fault>) -> Self {
        Self { fault, ..Self::default() }
    }

    /// The next run of this hook does what `ask` says.
    pub(crate) fn set(&self, hook: &'static str, ask: Ask) {
        self.asks.lock().unwrap_or_else(PoisonError::into_inner).insert(hook, ask);
    }

    /// Whether a hook has still to do what was set for it.
    pub(crate) fn is_open(&self) -> bool {
        !self.asks.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    fn take(&self, hook: &'static str) -> Option<Ask> {
        self.asks.lock().unwrap_or_else(PoisonError::into_inner).remove(hook)
    }

    /// As `take`, in a hook that has no room.
    fn end(&self, hook: &'static str) -> Result<Admission> {
        if let Some(ask) = self.take(hook) {
            ask.end.before()?;
            ask.end.after()?;
        }
        Ok(Admission::Admit)
    }
}

impl PartyServer for Ledger {
    type Message = Json<Ask>;

    async fn on_start(room: &Room) -> Result<Self> {
        let plan = room.env::<Plan>()?.clone();
        let mut books = Books::load(room).await?;
        if books.accounts.is_empty() {
            books = Books::new();
            books.store(room, 0..ACCOUNTS_COUNT)?;
        }
        if plan.fault == Some(Fault::MemoryKept)
            && let Some(kept) =
                plan.kept.lock().unwrap_or_else(PoisonError::into_inner).get(room.id().as_str())
        {
            books = kept.clone();
        }
        let mut ledger = Ledger { books, plan, late: None };
        ledger.planned(room, "on_start").await?;
        Ok(ledger)
    }

    async fn connection_tags(&mut self, room: &Room, _: &Connection, _: &ConnectContext) -> Result<Vec<Tag>> {
        self.planned(room, "connection_tags").await?;
        Ok(Vec::new())
    }

    async fn on_connect(&mut self, room: &Room, connection: &Connection, _: &ConnectContext) -> Result<()> {
        connection.send(Json(Tell::Welcome { count: self.books.count }))?;
        self.planned(room, "on_connect").await
    }

    async fn on_message(&mut self, room: &Room, sender: &Connection, Json(ask): Json<Ask>) -> Result<()> {
        self.work_at(room, Some(sender), ask).await
    }

    async fn on_invalid(&mut self, room: &Room, _: &Connection, _: &ParseError) -> Result<()> {
        self.planned(room, "on_invalid").await
    }

    async fn on_close(&mut self, room: &Room, _: &Connection, _: &Close) -> Result<()> {
        self.planned(room, "on_close").await
    }

    async fn on_request(&mut self, room: &Room, request: Request) -> Result<Response> {
        if request.method() == http::Method::GET {
            return Response::json(&self.dump(room).await?);
        }
        let ask: Ask = request.json()?;
        Response::json(&self.perform(room, None, &ask).await?)
    }

    async fn on_alarm(&mut self, room: &Room, alarm: &Alarm) -> Result<()> {
        let id = alarm.name.clone().unwrap_or_default();
        let set: Option<End> = room.storage().get(&format!("reminder/{id}")).await?;
        let end = if alarm.retry == 0 { set.unwrap_or_default() } else { End::Well };
        end.before()?;
        self.enter(room, None, ring_id(&id), Deed::Ring { at_ms: now_ms(room) })?;
        end.after()
    }

    async fn on_error(&mut self, room: &Room, _: &Failure) {
        if self.planned(room, "on_error").await.is_err() {
            // This hook has no result, so an error is a panic here.
            panic("an error, as asked");
        }
    }

    async fn on_before_connect(_: &mut Head, lobby: &Lobby) -> Result<Admission> {
        lobby.env::<Plan>()?.end("on_before_connect")
    }

    async fn on_before_request(_: &mut Head, lobby: &Lobby) -> Result<Admission> {
        lobby.env::<Plan>()?.end("on_before_request")
    }
}

impl Ledger {
    async fn planned(&mut self, room: &Room, hook: &'static str) -> Result<()> {
        match self.plan.take(hook) {
            Some(ask) => self.perform(room, None, &ask).await.map(drop),
            None => Ok(()),
        }
    }

    async fn work_at(&mut self, room: &Room, sender: Option<&Connection>, ask: Ask) -> Result<()> {
        if ask.way == Way::Hook {
            return self.perform(room, sender, &ask).await.map(drop);
        }
        let handle = room.handle::<Self>();
        room.spawn(async move {
            let end = ask.end;
            if ask.way == Way::Run {
                // Its failure was that of the hook, which is told to nobody here.
                let _ = handle.run(async move |ledger, room| ledger.perform(room, None, &ask).await).await;
                return Ok(());
            }
            end.before()?;
            let ask = ask.ending(End::Well);
            handle.run(async move |ledger, room| ledger.perform(room, None, &ask).await).await?;
            end.after()
        });
        Ok(())
    }

    /// Does what is asked, and ends as is asked; returns its first entry.
    async fn perform(&mut self, room: &Room, sender: Option<&Connection>, ask: &Ask) -> Result<Entry> {
        ask.end.before()?;
        let deed = self.deed(room, &ask.act);
        if self.plan.fault == Some(Fault::AppliedTwice) {
            self.enter(room, sender, ask.id.clone(), deed.clone())?;
        }
        let entry = self.enter(room, sender, ask.id.clone(), deed)?;
        if ask.is_synced {
            room.storage().sync().await;
            self.enter(room, sender, ask.second_id(), Deed::Note)?;
        }
        match ask.end.after() {
            Err(error) if self.plan.fault != Some(Fault::WritesKept) => Err(error),
            _ => Ok(entry),
        }
    }

    fn deed(&self, room: &Room, act: &Act) -> Deed {
        match *act {
            Act::Note => Deed::Note,
            Act::Transfer { from, to, amount } => Deed::Transfer { from, to, amount },
            Act::Remind { after_ms, end } => Deed::Remind { due_ms: now_ms(room) + after_ms, end },
        }
    }

    /// Makes an entry, with all that belongs to it, and tells of it.
    fn enter(&mut self, room: &Room, sender: Option<&Connection>, id: String, deed: Deed) -> Result<Entry> {
        let entry = Entry { number: self.books.count + 1, id, deed };
        self.books.apply(&entry);
        match &entry.deed {
            Deed::Transfer { from, to, .. } => self.books.store(room, [*from, *to])?,
            _ => self.books.store(room, [])?,
        }
        if let Deed::Remind { due_ms, end } = &entry.deed {
            room.storage().put(format!("reminder/{}", entry.id), end)?;
            room.storage().set_alarm_named(&entry.id, UNIX_EPOCH + Duration::from_millis(*due_ms))?;
        }
        room.storage().put(format!("log/{:012}", entry.number), &entry)?;
        if self.plan.fault == Some(Fault::MemoryKept) {
            let mut kept = self.plan.kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.insert(room.id().as_str().to_owned(), self.books.clone());
        }
        self.tell(room, Tell::Told(entry.clone()))?;
        if let Some(sender) = sender {
            sender.send(Json(Tell::Done(entry.clone())))?;
        }
        Ok(entry)
    }

    fn tell(&mut self, room: &Room, tell: Tell) -> Result<()> {
        if self.plan.fault != Some(Fault::BroadcastsSwapped) {
            room.broadcast(Json(tell))?;
        } else if let Some(late) = self.late.take() {
            room.broadcast(Json(tell))?;
            room.broadcast(Json(late))?;
        } else {
            self.late = Some(tell);
        }
        Ok(())
    }

    async fn dump(&self, room: &Room) -> Result<Dump> {
        let log: Vec<(String, Entry)> = room.storage().list(List::prefix("log/")).await?;
        let alarms = room.storage().alarms();
        Ok(Dump {
            memory: self.books.clone(),
            stored: Books::load(room).await?,
            log: log.into_iter().map(|(_, entry)| entry).collect(),
            alarms: alarms.into_iter().map(|(name, _)| name.unwrap_or_default()).collect(),
            now_ms: now_ms(room),
        })
    }
}

/// Panics without a word on the terminal: there are many, and all are asked for.
fn panic(text: &'static str) -> ! {
    std::panic::resume_unwind(Box::new(text))
}

/// The id of the entry that the alarm of a `Remind` makes.
pub(crate) fn ring_id(id: &str) -> String {
    format!("{id}!")
}

fn now_ms(room: &Room) -> u64 {
    let since = room.now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
