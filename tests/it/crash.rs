//! Kill -9 of a real server process: nothing that a client saw is lost.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use partyrs_runtime::testing::soon;

const ROUNDS: u64 = 25;
const WRITERS: u64 = 3;

/// So that the last 200 messages, which a newcomer is shown, are all of a round.
const MESSAGES_PER_WRITER: u64 = 60;

/// What the server says when it accepts connections, before its address.
const LISTENS: &str = "listening on http://";

/// A server process; killed when it is dropped.
struct Server {
    child: Child,
    addr: SocketAddr,
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

impl Server {
    /// Starts the chat example on this data and waits until it accepts connections.
    async fn start(data: &Path) -> Self {
        let mut child = Command::new(example("chat"))
            .env("PARTYRS_ADDR", "127.0.0.1:0")
            .env("PARTYRS_DATA", data)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the chat example starts");
        let said = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let listens =
            move || said.map_while(Result::ok).find_map(|line| line.strip_prefix(LISTENS)?.parse().ok());
        let addr = soon(tokio::task::spawn_blocking(listens)).await.expect("lines of text");
        Self { child, addr: addr.expect("an address, on which it listens") }
    }

    /// Kill -9.
    fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it has ended");
    }

    async fn connect(&self, room: u64) -> Socket {
        let url = format!("ws://{}/parties/main/round-{room}", self.addr);
        soon(connect_async(url)).await.expect("a WebSocket").0
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has been killed already, in most cases.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program of the workspace: beside the tests, or where `cargo xtask test` says.
pub(crate) fn example(name: &str) -> PathBuf {
    let beside = || {
        let test = std::env::current_exe().expect("the path of this test");
        test.ancestors().nth(2).expect("target/debug/deps/it").to_owned()
    };
    let program = std::env::var_os("PARTYRS_EXAMPLES_DIR").map_or_else(beside, PathBuf::from).join(name);
    assert!(program.exists(), "{} is not built: run `cargo xtask test`, or `cargo build`", program.display());
    program
}

/// Writes until it is done or the server is gone; returns the messages that it saw, by id.
async fn write(mut socket: Socket, writer: u64) -> BTreeMap<String, Value> {
    let mut seen = BTreeMap::new();
    let join = json!({ "type": "join", "name": format!("writer {writer}") });
    let mut next = socket.send(Message::text(join.to_string())).await;
    let mut sent = 0;
    while next.is_ok() && sent < MESSAGES_PER_WRITER {
        sent += 1;
        let text = format!("{writer}: {sent}");
        next = socket.send(Message::text(json!({ "type": "say", "text": text }).to_string())).await;
        // Waits for its own message, and notes what others say meanwhile.
        while let Some(Ok(Message::Text(frame))) = socket.next().await {
            let frame: Value = serde_json::from_str(&frame).expect("JSON");
            if frame["type"] == "said" {
                let message = &frame["message"];
                seen.insert(message["id"].as_str().expect("an id").to_owned(), message.clone());
                if message["text"] == text.as_str() {
                    break;
                }
            }
        }
    }
    seen
}

/// A small generator (xorshift), so that a printed seed replays the moments of the kills.
fn random(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_message_that_any_client_saw_survives_kill_9() {
    let from_env = std::env::var("PARTYRS_SEED").ok().and_then(|seed| seed.parse().ok());
    let mut seed = from_env.unwrap_or_else(|| u64::from(std::process::id()) * 0x9e37_79b9 + 1);
    println!("PARTYRS_SEED={seed}");
    let data = tempfile::tempdir().unwrap();
    let mut server = Server::start(data.path()).await;
    let mut seen_count = 0;
    for round in 0..ROUNDS {
        let mut writers = Vec::new();
        for writer in 0..WRITERS {
            writers.push(tokio::spawn(write(server.connect(round).await, writer)));
        }
        let delay = Duration::from_micros(random(&mut seed) % 60_000);
        // The moment of the kill is what is random here; nothing is waited for.
        tokio::time::sleep(delay).await;
        server.kill();
        let mut seen = BTreeMap::new();
        for writer in writers {
            seen.extend(soon(writer).await.expect("a writer that ends"));
        }

        server = Server::start(data.path()).await;
        let welcome = soon(server.connect(round).await.next()).await.expect("a frame").expect("a frame");
        let welcome: Value = serde_json::from_str(welcome.to_text().unwrap()).expect("JSON");
        let stored: BTreeMap<&str, &Value> = welcome["messages"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|message| (message["id"].as_str().expect("an id"), message))
            .collect();
        for (id, message) in &seen {
            assert_eq!(stored.get(id.as_str()), Some(&message), "round {round}, killed after {delay:?}");
        }
        let ids: Vec<&str> = stored.keys().copied().collect();
        let counted: Vec<String> = (1..=ids.len()).map(|number| format!("{number:012}")).collect();
        assert_eq!(ids, counted, "round {round}: the history has a hole");
        seen_count += seen.len();
    }
    println!("{seen_count} messages seen in {ROUNDS} rounds, none lost");
    assert!(seen_count > 0, "no message was ever seen: the kills came too early");
}
