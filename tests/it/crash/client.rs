//! Clients of a ledger, over real sockets, who write down what they did and saw.
//!
//! A client ends when its work is done or its server is gone, whatever comes first. What it heard
//! until then, to the last byte that is in its socket, counts as confirmed.

use std::net::SocketAddr;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use partyrs_runtime::testing::soon;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::ledger::{ACCOUNTS_COUNT, Act, Ask, Dump, End, Entry, Tell, Way};
use super::random::Random;

/// An alarm that no test lives to see.
pub(crate) const FAR_MS: u64 = 3_600_000;

/// Asks that a client sends before it waits for the last of them, at most.
const BATCH_MAX: u64 = 4;

/// What one client did and saw, over one connection.
#[derive(Debug, Default)]
pub(crate) struct Witness {
    /// Unique among those of a room; of a [`Load`] it ends with `.0` if it only listens.
    pub(crate) name: String,
    /// In the order in which they were sent, whether they arrived or not.
    pub(crate) asked: Vec<Ask>,
    /// In the order in which it came.
    pub(crate) heard: Vec<Tell>,
    /// Status and entry of each answer to a plain request.
    pub(crate) answers: Vec<(String, u16, Option<Entry>)>,
}

/// What the clients of one round do.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    /// Of each of these rooms.
    pub(crate) rooms: Vec<String>,
    /// Unique among all rounds; the ids of asks begin with it.
    pub(crate) round: String,
    /// Those who ask by frames; one more asks by plain requests, and one only listens.
    pub(crate) clients_count: usize,
    /// How often each of them waits for what it asked for.
    pub(crate) batches_count: usize,
    /// An alarm goes off within this time, unless it is one of the far ones.
    pub(crate) alarm_within_ms: u64,
}

/// A client in a room.
#[derive(Debug)]
pub(crate) struct Member {
    socket: WebSocketStream<TcpStream>,
    pub(crate) witness: Witness,
}

impl Load {
    /// Starts all its clients, each with its random decisions; returns what each saw, with its room.
    pub(crate) fn start(&self, addr: SocketAddr, random: &mut Random) -> JoinSet<(String, Witness)> {
        let mut clients = JoinSet::new();
        for room in &self.rooms {
            for number in 0..self.clients_count + 2 {
                let witness = Witness::named(format!("{}.{number}", self.round));
                let (load, room, random) = (self.clone(), room.clone(), random.fork());
                clients.spawn(async move {
                    let witness = match number {
                        0 => listen(addr, &room, witness).await,
                        1 => load.request(addr, &room, random, witness).await,
                        _ => load.converse(addr, &room, random, witness).await,
                    };
                    (room, witness)
                });
            }
        }
        clients
    }

    /// Asks by frames.
    async fn converse(&self, addr: SocketAddr, room: &str, mut random: Random, witness: Witness) -> Witness {
        let mut member = match Member::join(addr, room, witness).await {
            Ok(member) => member,
            Err(witness) => return witness,
        };
        for _ in 0..self.batches_count {
            let mut last = String::new();
            for left in (0..=random.below(BATCH_MAX)).rev() {
                let mut ask = self.ask(&member.witness, &mut random);
                if left == 0 {
                    // Its answer shows that all before it have been handled.
                    ask.end = End::Well;
                    ask.way = Way::Hook;
                }
                last = ask.last_id();
                member.ask(ask).await;
            }
            if !member.done(&last).await {
                break;
            }
        }
        member.witness
    }

    /// Asks by plain requests.
    async fn request(
        &self,
        addr: SocketAddr,
        room: &str,
        mut random: Random,
        mut witness: Witness,
    ) -> Witness {
        for _ in 0..self.batches_count {
            let mut ask = self.ask(&witness, &mut random);
            ask.way = Way::Hook;
            if !witness.request(addr, room, ask).await {
                break;
            }
        }
        witness
    }

    fn ask(&self, witness: &Witness, random: &mut Random) -> Ask {
        let place = |random: &mut Random| random.index(ACCOUNTS_COUNT);
        let act = match random.below(8) {
            0 => Act::Note,
            1 => {
                let within = if random.one_in(4) { FAR_MS + 1 } else { self.alarm_within_ms };
                let after_ms = if within > FAR_MS { FAR_MS } else { random.below(within) };
                let end = if random.one_in(6) { End::ErrFirst } else { End::Well };
                // A retry comes after 2 s, so only few fail at first.
                let end = if self.alarm_within_ms > 2000 { end } else { End::Well };
                Act::Remind { after_ms, end }
            }
            _ => {
                let (from, to) = (place(random), place(random));
                Act::Transfer { from, to, amount: 1 + i64::try_from(random.below(50)).expect("small") }
            }
        };
        let ends = [End::ErrFirst, End::PanicFirst, End::Err, End::Err, End::Panic, End::Refuse];
        let end = if random.one_in(5) { ends[random.index(ends.len())] } else { End::Well };
        let way = match random.below(10) {
            0 => Way::Run,
            1 => Way::Task,
            _ => Way::Hook,
        };
        let id = format!("{}.{}", witness.name, witness.asked.len());
        Ask { id, act, is_synced: random.one_in(8), end, way }
    }
}

/// Only listens.
async fn listen(addr: SocketAddr, room: &str, witness: Witness) -> Witness {
    let mut member = match Member::join(addr, room, witness).await {
        Ok(member) => member,
        Err(witness) => return witness,
    };
    while member.hear().await.is_ok() {}
    member.witness
}

impl Witness {
    pub(crate) fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Asks by a plain request; tells whether there was an answer.
    pub(crate) async fn request(&mut self, addr: SocketAddr, room: &str, ask: Ask) -> bool {
        let (id, body) = (ask.id.clone(), serde_json::to_vec(&ask).expect("an ask has a JSON form"));
        self.asked.push(ask);
        let Some((status, body)) = http(addr, "POST", room, body).await else { return false };
        let entry = (status == 200).then(|| serde_json::from_slice(&body).expect("an entry as JSON"));
        self.answers.push((id, status, entry));
        true
    }
}

impl Member {
    /// Joins this room; gives the witness back if there is nobody any more who accepts it.
    pub(crate) async fn join(addr: SocketAddr, room: &str, witness: Witness) -> Result<Self, Witness> {
        let Ok(tcp) = soon(TcpStream::connect(addr)).await else { return Err(witness) };
        let url = format!("ws://{addr}/party/{room}");
        match soon(tokio_tungstenite::client_async(url, tcp)).await {
            Ok((socket, _)) => Ok(Self { socket, witness }),
            Err(_) => Err(witness),
        }
    }

    /// Asks; whether it went out, what is heard next will show.
    pub(crate) async fn ask(&mut self, ask: Ask) {
        let text = serde_json::to_string(&ask).expect("an ask has a JSON form");
        self.witness.asked.push(ask);
        self.send(text).await;
    }

    pub(crate) async fn send(&mut self, text: impl Into<String>) {
        // As above.
        let _ = soon(self.socket.send(Message::text(text.into()))).await;
    }

    /// Listens until the entry `id` is confirmed to this client; tells whether it was.
    pub(crate) async fn done(&mut self, id: &str) -> bool {
        while let Ok(tell) = self.hear().await {
            if matches!(tell, Tell::Done(entry) if entry.id == id) {
                return true;
            }
        }
        false
    }

    /// What comes next; the code of the Close if that is one, 1006 if the socket just ends.
    pub(crate) async fn hear(&mut self) -> Result<Tell, u16> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => {
                    let tell: Tell = serde_json::from_str(&text).expect("what a ledger tells");
                    self.witness.heard.push(tell.clone());
                    return Ok(tell);
                }
                Some(Ok(Message::Close(close))) => return Err(close.map_or(1005, |close| close.code.into())),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(1006),
            }
        }
    }

    /// Closes, and returns what was seen.
    pub(crate) async fn leave(mut self) -> Witness {
        let _ = self.socket.close(None).await;
        while soon(self.hear()).await.is_ok() {}
        self.witness
    }
}

/// Status and body of the answer, if there is one.
pub(crate) async fn http(addr: SocketAddr, method: &str, room: &str, body: Vec<u8>) -> Option<(u16, Bytes)> {
    let answer = async {
        let tcp = TcpStream::connect(addr).await.ok()?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tcp)).await.ok()?;
        let connection = tokio::spawn(connection);
        let request = http::Request::builder().method(method).uri(format!("/party/{room}"));
        let request = request.header(http::header::HOST, addr.to_string()).body(Full::new(Bytes::from(body)));
        let response = sender.send_request(request.expect("a request")).await.ok()?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.ok()?.to_bytes();
        connection.abort();
        Some((status, body))
    };
    soon(answer).await
}

/// All that a room has.
pub(crate) async fn dump(addr: SocketAddr, room: &str) -> Dump {
    let (status, body) = http(addr, "GET", room, Vec::new()).await.expect("a server that answers");
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    serde_json::from_slice(&body).expect("a dump as JSON")
}
