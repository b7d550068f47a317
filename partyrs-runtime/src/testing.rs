//! A real host on port 0, for tests: real sockets, a clock that the test moves, and the same
//! data after a kill.

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use partyrs::storage::{MemoryEngine, StorageEngine};
use partyrs::{Frame, IntoFrame, Parties, PartyServer, RoomAddress, RoomId};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{self, Message, Utf8Bytes};

use crate::builder::Builder;
use crate::clock::Clock;
use crate::event::RoomEvent;
use crate::host::{Host, HostError};
use crate::serve::END_PATIENCE;
use crate::service::HostService;
use crate::state::State;

/// How long a test waits for something that must happen.
const DEADLINE: Duration = Duration::from_secs(20);

/// A real host on a free port of the loopback address.
///
/// Its clock stands still until [`TestHost::advance`]: no room is idle and nothing times out
/// before that. Dropping it ends the host at once.
///
/// # Examples
///
/// ```
/// # use partyrs::prelude::*;
/// # use partyrs_runtime::testing::TestHost;
/// # struct Echo;
/// # impl PartyServer for Echo {
/// #     type Message = String;
/// #     async fn on_start(_: &Room) -> Result<Self> { Ok(Echo) }
/// #     async fn on_message(&mut self, _: &Room, sender: &Connection, text: String) -> Result<()> {
/// #         Ok(sender.send(text)?)
/// #     }
/// # }
/// # #[tokio::main]
/// # async fn main() {
/// let host = TestHost::start::<Echo>().await;
/// let mut ada = host.join("lobby").await;
/// ada.send("hi").await;
/// assert_eq!(ada.next().await, Frame::text("hi"));
/// # }
/// ```
pub struct TestHost {
    addr: SocketAddr,
    admin_addr: Option<SocketAddr>,
    service: HostService,
    clock: Clock,
    state: Arc<State>,
    stop: Option<oneshot::Sender<()>>,
    served: Option<JoinHandle<Result<(), HostError>>>,
    /// Ends when nothing of the host is left, its storage included.
    gone: Option<oneshot::Receiver<Infallible>>,
}

/// A WebSocket client of a [`TestHost`].
pub struct TestClient {
    socket: WebSocketStream<TcpStream>,
}

impl TestHost {
    /// A host that serves `S` as the party `main`, with storage in memory.
    ///
    /// # Panics
    ///
    /// If the loopback address has no free port.
    pub async fn start<S: PartyServer>() -> Self {
        Self::of(Host::builder().party::<S>("main")).await
    }

    /// A host from a builder; it gets storage in memory and a clock that stands still, both unless told otherwise.
    ///
    /// # Panics
    ///
    /// If the builder is refused, or the loopback address has no free port.
    pub async fn of(builder: Builder) -> Self {
        let engine: Arc<dyn StorageEngine> = Arc::new(MemoryEngine::new());
        Self::try_of(builder.storage_unless_set(engine)).await.expect("a host that can be built")
    }

    /// As [`TestHost::of`], with the builder's own storage.
    ///
    /// # Errors
    ///
    /// What the host refuses.
    pub async fn try_of(builder: Builder) -> Result<Self, HostError> {
        let clock = Clock::manual();
        let host = builder.clock(clock.clone()).build()?;
        let mut running = host.set_up(Some(SocketAddr::from(([127, 0, 0, 1], 0))))?;
        let gone = running.gone.take();
        let addr = running.addr().expect("a port that is bound has an address");
        let (admin_addr, service) = (running.admin_addr(), running.service());
        let state = Arc::clone(&running.state);
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(running.serve(async {
            // Ends when it is told to, or when the test is over.
            drop(stopped.await);
        }));
        Ok(Self { addr, admin_addr, service, clock, state, stop: Some(stop), served: Some(served), gone })
    }

    /// Where the host listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where the host tells how it is, if its builder was given an admin address.
    #[must_use]
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin_addr
    }

    /// The host as a service, for a test of what is around it: its rooms are those of
    /// [`TestHost::addr`].
    #[must_use]
    pub fn service(&self) -> HostService {
        self.service.clone()
    }

    /// The parties of the host: the way to its rooms for the code of the test.
    #[must_use]
    pub fn parties(&self) -> Parties {
        self.state.host_lobby().parties()
    }

    /// What [`Room::now`](partyrs::Room::now) tells: at first the time at which the host was
    /// started, in whole milliseconds.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        self.clock.wall()
    }

    /// Moves the host's clock: idle times and time-outs happen now, and alarms go off.
    pub fn advance(&self, time: Duration) {
        self.clock.advance(time);
    }

    /// Makes the room `room` of the party `main`, or of the first one if none is called
    /// that, give up its server, whatever its `OPTIONS` say, and returns when it has: as soon
    /// as its hooks, tasks and commits have ended. Its connections stay, and what comes next
    /// wakes it. A room without connections closes instead; one that is not open stays closed.
    ///
    /// # Panics
    ///
    /// If `room` is no room id, or if the room does not come to rest within 20 s.
    pub async fn hibernate(&self, room: &str) {
        let party = self.state.party(self.state.main_party()).expect("a host has a party");
        let room = RoomId::new(room).expect("a room id");
        self.hibernate_at(&RoomAddress::new(party.name().clone(), room)).await;
    }

    /// As [`TestHost::hibernate`], for a room of any party.
    ///
    /// # Panics
    ///
    /// If the room does not come to rest within 20 s.
    pub async fn hibernate_at(&self, room: &RoomAddress) {
        let Some(mailbox) = self.state.registry.mailbox(room) else { return };
        let (lull, lulled) = oneshot::channel();
        soon(async {
            match mailbox.push(RoomEvent::Lull(lull)).await {
                // The sender is dropped by a room that ends instead.
                Ok(()) => drop(lulled.await),
                Err(_) => mailbox.gone().await,
            }
        })
        .await;
    }

    /// Number of open rooms.
    #[must_use]
    pub fn rooms_count(&self) -> usize {
        self.state.registry.rooms_count()
    }

    /// Number of WebSockets.
    #[must_use]
    pub fn connections_count(&self) -> usize {
        self.state.connections_count()
    }

    /// A client of the room `room` of the party `main`.
    ///
    /// # Panics
    ///
    /// If the host refuses it.
    pub async fn join(&self, room: &str) -> TestClient {
        self.connect(&format!("/party/{room}")).await
    }

    /// A client at this path and query.
    ///
    /// # Panics
    ///
    /// If the host refuses it.
    pub async fn connect(&self, path: &str) -> TestClient {
        self.try_connect(path).await.expect("a WebSocket that is accepted")
    }

    /// A client at this path and query, or the HTTP answer that refused it.
    ///
    /// # Errors
    ///
    /// The answer that the client got instead of 101.
    ///
    /// # Panics
    ///
    /// If there is no answer.
    pub async fn try_connect(&self, path: &str) -> Result<TestClient, Response<Bytes>> {
        let tcp = TcpStream::connect(self.addr).await.expect("the host listens");
        let url = format!("ws://{}{path}", self.addr);
        match soon(tokio_tungstenite::client_async(url, tcp)).await {
            Ok((socket, _)) => Ok(TestClient { socket }),
            Err(tungstenite::Error::Http(response)) => {
                Err(response.map(|body| body.unwrap_or_default().into()))
            }
            Err(error) => panic!("no answer to the upgrade: {error}"),
        }
    }

    /// A plain GET.
    ///
    /// # Panics
    ///
    /// If there is no answer.
    pub async fn get(&self, path: &str) -> Response<Bytes> {
        let request = Request::get(path).body(Bytes::new()).expect("a path that is a URI");
        self.request(request).await
    }

    /// A plain request; its URI is a path. A `Host` header is added.
    ///
    /// # Panics
    ///
    /// If there is no answer.
    pub async fn request(&self, request: Request<impl Into<Bytes>>) -> Response<Bytes> {
        let mut request = request.map(|body| Full::new(body.into()));
        let host = self.addr.to_string().parse().expect("an address is a header value");
        request.headers_mut().entry(http::header::HOST).or_insert(host);
        soon(async {
            let tcp = TcpStream::connect(self.addr).await.expect("the host listens");
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(tcp)).await.expect("HTTP/1.1");
            let connection = tokio::spawn(connection);
            let response = sender.send_request(request).await.expect("an answer");
            let (parts, body) = response.into_parts();
            let body = body.collect().await.expect("a whole body").to_bytes();
            connection.abort();
            Response::from_parts(parts, body)
        })
        .await
    }

    /// Waits until `condition` holds; it is asked again whenever other tasks have run.
    ///
    /// # Panics
    ///
    /// If it does not hold within 20 s.
    pub async fn until(&self, condition: impl Fn(&Self) -> bool) {
        soon(async {
            while !condition(self) {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// Shuts the host down gracefully and waits for its end. The storage engine is closed when this returns.
    ///
    /// # Panics
    ///
    /// If it does not end, or its storage has failed.
    pub async fn stop(mut self) {
        drop(self.stop.take());
        self.ended().await.expect("a host whose storage has not failed");
    }

    /// Waits until the host ends by itself. The storage engine is closed when this returns.
    ///
    /// # Errors
    ///
    /// Why it has ended.
    ///
    /// # Panics
    ///
    /// If it does not end.
    pub async fn ended(mut self) -> Result<(), HostError> {
        let ended = match self.served.take() {
            Some(served) => soon(served).await.expect("a host that ends without a panic"),
            None => Ok(()),
        };
        self.gone().await;
        ended
    }

    /// Begins a graceful shutdown.
    pub fn begin_stop(&mut self) {
        drop(self.stop.take());
    }

    /// Ends the host at once: sockets are cut, hooks dropped, nothing is finished. The
    /// storage engine is closed when this returns.
    pub async fn kill(mut self) {
        if let Some(served) = self.served.take() {
            served.abort();
            // Its only end is the one that was asked for.
            drop(served.await);
        }
        self.gone().await;
    }

    /// Lets go of the host, and waits until connections that were cut have done so too, each in
    /// a task of its own; a hook that blocks its thread is not waited for.
    async fn gone(mut self) {
        let (state, gone) = (Arc::clone(&self.state), self.gone.take());
        drop(self);
        crate::serve::end(state).await;
        if let Some(gone) = gone {
            let _ = tokio::time::timeout(END_PATIENCE, gone).await;
        }
    }
}

impl TestClient {
    /// Sends one message.
    ///
    /// # Panics
    ///
    /// If it has no frame form, or the socket is closed.
    pub async fn send(&mut self, message: impl IntoFrame) {
        let message = match message.into_frame().expect("a message with a frame form") {
            Frame::Text(text) => {
                Message::Text(Utf8Bytes::try_from(text.as_bytes().clone()).expect("text is UTF-8"))
            }
            Frame::Binary(bytes) => Message::Binary(bytes),
        };
        soon(self.socket.send(message)).await.expect("an open socket");
    }

    /// The next frame.
    ///
    /// # Panics
    ///
    /// If the socket ends instead, or nothing comes within 20 s.
    pub async fn next(&mut self) -> Frame {
        self.try_next().await.unwrap_or_else(|close| panic!("socket ended instead: {close:?}"))
    }

    /// The next frame as text.
    ///
    /// # Panics
    ///
    /// As [`TestClient::next`], and if the frame is binary.
    pub async fn next_text(&mut self) -> String {
        self.next().await.as_text().expect("a text frame").to_owned()
    }

    /// The next frame, or code and reason of the Close: 1005 if it has none, 1006 if the
    /// socket ended without one.
    ///
    /// # Errors
    ///
    /// The end of the socket.
    pub async fn try_next(&mut self) -> Result<Frame, (u16, String)> {
        loop {
            match soon(self.socket.next()).await {
                Some(Ok(Message::Text(text))) => return Ok(Frame::text(text.as_str())),
                Some(Ok(Message::Binary(bytes))) => return Ok(Frame::Binary(bytes)),
                Some(Ok(Message::Close(close))) => {
                    // So that the answer to it goes out.
                    drop(self.socket.flush().await);
                    let parts = |close: tungstenite::protocol::CloseFrame| {
                        (close.code.into(), close.reason.as_str().to_owned())
                    };
                    return Err(close.map_or((1005, String::new()), parts));
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Err(_)) | None => return Err((1006, String::new())),
            }
        }
    }

    /// Code and reason of the Close that comes; frames before it are passed over.
    pub async fn closed(&mut self) -> (u16, String) {
        loop {
            if let Err(close) = self.try_next().await {
                return close;
            }
        }
    }

    /// Shows that nothing has come: a ping is answered, and there was no frame before the pong.
    ///
    /// # Panics
    ///
    /// If a frame or the end comes first.
    pub async fn hears_nothing(&mut self) {
        self.socket.send(Message::Ping("?".into())).await.expect("an open socket");
        match soon(self.socket.next()).await {
            Some(Ok(Message::Pong(_))) => {}
            other => panic!("expected nothing, got {other:?}"),
        }
    }

    /// Closes the socket, with or without code, and waits for the answer; returns its code.
    pub async fn close(mut self, close: Option<(u16, &str)>) -> (u16, String) {
        let frame = close.map(|(code, reason)| tungstenite::protocol::CloseFrame {
            code: code.into(),
            reason: Utf8Bytes::from(reason),
        });
        drop(self.socket.close(frame).await);
        self.closed().await
    }

    /// The TCP socket below, for what no good client does.
    pub fn tcp(&mut self) -> &mut TcpStream {
        self.socket.get_mut()
    }
}

/// Waits for what must happen.
///
/// # Panics
///
/// If it does not happen within 20 s.
pub async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("it happens within 20 s")
}

/// A host that its test has left: its threads end.
impl Drop for TestHost {
    fn drop(&mut self) {
        if let Some(served) = self.served.take() {
            served.abort();
        }
        self.state.registry.end();
    }
}

impl fmt::Debug for TestHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TestHost({})", self.addr)
    }
}

impl fmt::Debug for TestClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TestClient")
    }
}
