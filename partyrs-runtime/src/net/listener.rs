//! Accepting TCP connections and speaking HTTP/1.1 on them.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use partyrs::Body;
use partyrs::seam::BodyWatch;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::linger::Lingering;
use super::patience::Patience;
use super::stream::Stream;
use crate::state::State;

/// How long to wait when the system has no descriptor left for a connection.
const ACCEPT_BACK_OFF: Duration = Duration::from_millis(50);

/// Held by each HTTP connection; when the last is dropped, all requests have been answered.
pub(crate) type StillOpen = mpsc::Sender<Infallible>;

/// Whether the body under way on a connection was cut since its client reads too slowly. hyper does
/// not look at a body while it is stuck in writing what came before.
#[derive(Default)]
struct SlowReader(Mutex<Option<BodyWatch>>);

/// Accepts connections until it is dropped; each is served by a task of its own.
pub(crate) async fn accept_all(state: &Arc<State>, listener: &TcpListener, open: &StillOpen) {
    loop {
        match listener.accept().await {
            Ok((tcp, remote_addr)) => match tcp.set_nodelay(true) {
                Ok(()) => {
                    let served = serve_one(Arc::clone(state), tcp, remote_addr, open.clone());
                    drop(tokio::spawn(state.over.clone().run_until_cancelled_owned(served)));
                }
                Err(error) => tracing::debug!(%remote_addr, %error, "client left before it was served"),
            },
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                state.clock.sleep(ACCEPT_BACK_OFF).await;
            }
        }
    }
}

/// Answers the requests of one client, until it ends or the host shuts down. Cut when the host
/// has ended: a client that takes nothing would hold the storage open.
async fn serve_one(state: Arc<State>, tcp: TcpStream, remote_addr: SocketAddr, open: StillOpen) {
    match greet(&state, tcp).await {
        Ok(stream) => {
            let answer = |request| super::http::serve(Arc::clone(&state), request, remote_addr);
            if let Err(reason) = speak_http(&state, stream, answer, state.draining.wait()).await {
                tracing::debug!(%remote_addr, reason, "HTTP connection ended");
            }
        }
        Err(error) => tracing::debug!(%remote_addr, %error, "TLS could not be agreed on"),
    }
    drop(open);
}

/// Speaks HTTP/1.1 on one connection, as long as its client does what it must in time; if not, the
/// reason is for the log. When `stop` ends, the request that is being answered is the last one.
pub(super) async fn speak_http<F>(
    state: &State,
    stream: Stream,
    answer: impl Fn(Request<Incoming>) -> F,
    stop: impl Future<Output = ()>,
) -> Result<(), String>
where
    F: Future<Output = Response<Body>> + Send,
{
    let patience = Patience::new(&state.clock, &state.config);
    let lingering = Lingering::new(stream, Arc::clone(&patience), state.clock.clone(), &state.config);
    let mut builder = hyper::server::conn::http1::Builder::new();
    // hyper's own begins when it waits for a head, and knows no idle connections.
    builder.header_read_timeout(None);
    let slow_reader = SlowReader::default();
    let service = service_fn(|request| {
        patience.busy();
        let answer = answer(request);
        let (patience, slow_reader) = (&patience, &slow_reader);
        async move {
            let mut response = answer.await;
            slow_reader.watch(response.extensions_mut().remove());
            Ok::<_, Infallible>(patience.with(response))
        }
    });
    let mut connection = pin!(builder.serve_connection(TokioIo::new(lingering), service).with_upgrades());
    let mut stop = pin!(stop);
    let mut is_stopping = false;
    poll_fn(|cx| {
        if !is_stopping && stop.as_mut().poll(cx).is_ready() {
            is_stopping = true;
            connection.as_mut().graceful_shutdown();
        }
        if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
            return Poll::Ready(ended.map_err(|error| error.to_string()));
        }
        if slow_reader.poll(cx).is_ready() {
            return Poll::Ready(Err("client reads too slowly".to_owned()));
        }
        patience.poll(cx).map(|reason| Err(reason.to_owned()))
    })
    .await
}

/// Agrees on TLS with the client, if this host speaks it, within `header_timeout`.
async fn greet(state: &State, tcp: TcpStream) -> io::Result<Stream> {
    let Some(tls) = &state.tls else { return Ok(Stream::Plain(tcp)) };
    tokio::select! {
        biased;
        greeted = state.clock.timeout(state.config.header_timeout, tls.accept(tcp)) => match greeted {
            Some(stream) => Ok(Stream::Tls(Box::new(stream?))),
            None => Err(io::ErrorKind::TimedOut.into()),
        },
        () = state.draining.wait() => Err(io::ErrorKind::Interrupted.into()),
    }
}

impl SlowReader {
    /// A new body is under way, or one that no room feeds.
    fn watch(&self, body: Option<BodyWatch>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = body;
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let body = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        body.as_ref().map_or(Poll::Pending, |body| body.poll_too_slow(cx))
    }
}
