//! A host as a `tower::Service`, for the server that it is nested in.
//!
//! The difficulty is that such a service may live longer than its host, in a router that nobody
//! takes apart. So it keeps nothing of the host alive, and when the host is gone it says so.

use std::convert::Infallible;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Method, Request, Response, StatusCode};
use partyrs::Body;
use partyrs::seam::BodyWatch;
use tokio::sync::mpsc::WeakSender;
use tower_service::Service;

use crate::net::http::{text, unavailable};
use crate::net::listener::StillOpen;
use crate::state::State;

/// A host inside another server: got by [`RunningHost::service`](crate::RunningHost::service).
///
/// It answers every request, by rooms, static files, `on_fetch` or 404, and never fails: give it
/// what no route of yours is for, as `axum::Router::fallback_service` does. All that a host does
/// beside its own listener stays: before-hooks, allowed origins, CORS, every limit. What a
/// middleware puts into the extensions of a request is what a before-hook finds there, and then
/// [`Connection::extension`](partyrs::Connection::extension): a login of the outer server reaches
/// the rooms so. It lives as long as the connection.
///
/// **WebSockets.** The outer server must speak HTTP/1.1 by hyper and serve with upgrades, as
/// `axum::serve` does. A TCP or Unix socket is then taken from it, and moves to the thread of its
/// room. Any other stream, such as TLS, stays with the runtime of the outer server, which must
/// live as long, and costs somewhat more. A WebSocket over HTTP/2 (extended CONNECT) is answered
/// 501; browsers ask for it where a server offers that, and do not try again by HTTP/1.1, so an
/// axum with the feature `http2` must not offer `h2` to them.
///
/// **Paths.** What is stripped (`Router::nest_service("/live", ..)`) the host never sees: rooms are
/// at `/live/parties/..` then, while [`Connection::uri`](partyrs::Connection::uri) and
/// [`Head::uri`](partyrs::Head::uri) begin with `/parties`. What the client has asked for is in
/// axum's `OriginalUri` among the extensions. Static files that are folders redirect to an
/// address without what was stripped: serve them where nothing is.
///
/// **The client's address** is what [`RemoteAddr`] says, which a middleware puts in, else `0.0.0.0:0`.
///
/// **What the outer server sees to:** TLS, time-outs while heads of requests come and between
/// requests, how many connections there are and how long a slow reader of a plain answer is
/// waited for (its room gives the body up at `outbox_bytes_max`), and that a refusal arrives
/// although the client is still sending. [`Config::header_timeout`](crate::Config::header_timeout)
/// is without meaning, and [`Config::keep_alive_timeout`](crate::Config::keep_alive_timeout) but for
/// a 101 that the outer server does not send.
///
/// When the host shuts down, or has ended, requests are answered 503.
///
/// # Panics
///
/// Its future, outside of a tokio runtime with I/O and time.
///
/// # Cancel safety
///
/// Dropping the future of a plain request does not end a hook that a room has begun. An upgrade
/// whose future is dropped comes to nothing. Of one whose 101 it has given, and that is not sent, the
/// room may see a client that joins and is lost (1006).
#[derive(Clone)]
pub struct HostService {
    state: Weak<State>,
    open: WeakSender<Infallible>,
}

/// Where a request comes from: what a middleware puts into its extensions, so that hooks find it as
/// `remote_addr`.
///
/// # Examples
///
/// For axum, served by `app.into_make_service_with_connect_info::<SocketAddr>()`:
///
/// ```
/// use std::net::SocketAddr;
///
/// use axum::extract::{ConnectInfo, Request};
/// use axum::middleware::{self, Next};
/// use axum::response::Response;
/// use partyrs_runtime::{HostService, RemoteAddr};
///
/// fn app(rooms: HostService) -> axum::Router {
///     axum::Router::new().fallback_service(rooms).layer(middleware::from_fn(with_addr))
/// }
///
/// async fn with_addr(ConnectInfo(addr): ConnectInfo<SocketAddr>, mut request: Request, next: Next) -> Response {
///     request.extensions_mut().insert(RemoteAddr(addr));
///     next.run(request).await
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemoteAddr(pub SocketAddr);

impl HostService {
    pub(crate) fn new(state: &Arc<State>, open: &StillOpen) -> Self {
        Self { state: Arc::downgrade(state), open: open.downgrade() }
    }

    async fn answer<B>(self, mut request: Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        // A shutdown waits for those who hold the second.
        let (Some(state), Some(_open)) = (self.state.upgrade(), self.open.upgrade()) else {
            return unavailable();
        };
        if request.method() == Method::CONNECT {
            tracing::info!(
                "CONNECT refused; if it is a WebSocket over HTTP/2, the server must not offer that"
            );
            return text(StatusCode::NOT_IMPLEMENTED, "WebSockets are spoken over HTTP/1.1 only");
        }
        let unknown = RemoteAddr((Ipv4Addr::UNSPECIFIED, 0).into());
        let RemoteAddr(remote_addr) = request.extensions_mut().remove().unwrap_or(unknown);
        let mut response = crate::net::http::serve(state, request, remote_addr).await;
        // For a listener of ours alone.
        response.extensions_mut().remove::<BodyWatch>();
        response
    }
}

impl<B> Service<Request<B>> for HostService
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    /// Always ready: who comes at a limit is answered 503.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move { Ok(service.answer(request).await) })
    }
}

impl fmt::Debug for HostService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HostService")
    }
}
