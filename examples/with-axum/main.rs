//! Rooms inside an axum application, beside its own pages, JSON API and middleware.
//!
//! ```sh
//! cargo run --bin with-axum
//! ```
//!
//! Then open <http://127.0.0.1:1999> in two windows and clap. In another shell:
//!
//! ```sh
//! curl -X POST http://127.0.0.1:1999/api/halls/main    # claps from outside, and both windows see it
//! curl -i http://127.0.0.1:1999/api/halls/main         # how many, and what the middleware added
//! ```
//!
//! What to learn here:
//!
//! * `Host::start` gives a host without a listener of its own. Its `service()` is a
//!   `tower::Service`, here the router's fallback: so rooms, WebSockets included, are at the
//!   addresses where `partysocket` looks for them.
//! * A handler of the application reaches a room by `parties()`, as one room reaches another.
//! * A middleware around all of it sees every request, those of rooms too, and the answers to
//!   upgrades.
//! * The client's address is put in by a middleware, because only the outer server knows it.
//! * One signal ends both: the host is told, and the server ends when the host begins to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::{ConnectInfo, Path, Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::{self, Next};
use axum::response::{Html, Response};
use axum::routing::get;
use axum::{Json, Router};
use partyrs::prelude::{ConnectContext, Connection, FromFrame, IntoFrame, PartyServer, Room};
use partyrs::{Parties, RoomHandle};
use partyrs_runtime::{Host, HostError, HostService, RemoteAddr};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// A room that counts how often its visitors clap.
struct Hall {
    claps: u64,
}

/// What a client sends: `{"type":"clap"}`.
#[derive(FromFrame)]
#[frame(rename_all = "kebab-case")]
enum Ask {
    Clap,
}

/// What clients hear: `{"type":"claps","claps":7}`, at first and after each clap.
#[derive(IntoFrame)]
#[frame(rename_all = "kebab-case")]
enum Tell {
    Claps { claps: u64 },
}

#[tokio::main]
async fn main() -> partyrs_runtime::Result {
    partyrs_examples::log_to_stderr();
    let addr = std::env::var("PARTYRS_ADDR").unwrap_or_else(|_| "127.0.0.1:1999".to_owned());
    let addr: SocketAddr = addr.parse().map_err(|_| HostError::Addr(addr))?;

    let host = Host::builder().party::<Hall>("main").build()?.start_from_env()?;
    let app = app(host.parties(), host.service()).into_make_service_with_connect_info::<SocketAddr>();

    let listener = TcpListener::bind(addr).await.map_err(|source| HostError::Listen { addr, source })?;
    println!("listening on http://{addr}");
    let server = axum::serve(listener, app).with_graceful_shutdown(host.stopping());
    let (served, stopped) = tokio::join!(async { server.await }, host.stopped_by_signal());
    served.map_err(HostError::System)?;
    stopped
}

/// The whole application: its own routes first, and the rooms for everything else.
fn app(parties: Parties, rooms: HostService) -> Router {
    let script = ([(CONTENT_TYPE, "text/javascript")], include_str!("../collab/public/partysocket.js"));
    Router::new()
        .route("/", get(async || Html(include_str!("page.html"))))
        .route("/partysocket.js", get(async move || script))
        .route("/api/halls/{hall}", get(claps).post(clap))
        .with_state(parties)
        .fallback_service(rooms)
        .layer(middleware::from_fn_with_state(Arc::default(), number))
        .layer(middleware::from_fn(with_addr))
}

async fn claps(State(parties): State<Parties>, Path(hall): Path<String>) -> Result<Json<Value>, StatusCode> {
    let claps = hall_named(&parties, &hall)?.run(async |hall, _| Ok(hall.claps)).await;
    Ok(Json(json!({ "claps": claps.map_err(unavailable)? })))
}

async fn clap(State(parties): State<Parties>, Path(hall): Path<String>) -> Result<Json<Value>, StatusCode> {
    let claps = hall_named(&parties, &hall)?.run(async |hall, room| hall.clap(room)).await;
    Ok(Json(json!({ "claps": claps.map_err(unavailable)? })))
}

fn hall_named(parties: &Parties, hall: &str) -> Result<RoomHandle<Hall>, StatusCode> {
    let halls = parties.party::<Hall>("main").map_err(unavailable)?;
    halls.room(hall).map_err(|_| StatusCode::BAD_REQUEST)
}

/// What a client is told when a room cannot be asked, such as while the program ends.
fn unavailable(_: impl std::error::Error) -> StatusCode {
    StatusCode::SERVICE_UNAVAILABLE
}

/// Numbers all requests, to show that none goes past it.
async fn number(State(count): State<Arc<AtomicU64>>, request: Request, next: Next) -> Response {
    let number = count.fetch_add(1, Ordering::Relaxed) + 1;
    let mut response = next.run(request).await;
    response.headers_mut().insert("x-request-number", number.into());
    response
}

/// Tells the rooms who is connected to the outer server.
async fn with_addr(ConnectInfo(addr): ConnectInfo<SocketAddr>, mut request: Request, next: Next) -> Response {
    request.extensions_mut().insert(RemoteAddr(addr));
    next.run(request).await
}

impl PartyServer for Hall {
    type Message = Ask;

    async fn on_start(room: &Room) -> partyrs::Result<Self> {
        Ok(Hall { claps: room.storage().get("claps").await?.unwrap_or(0) })
    }

    async fn on_connect(
        &mut self,
        _: &Room,
        connection: &Connection,
        _: &ConnectContext,
    ) -> partyrs::Result<()> {
        Ok(connection.send(Tell::Claps { claps: self.claps })?)
    }

    async fn on_message(&mut self, room: &Room, _: &Connection, Ask::Clap: Ask) -> partyrs::Result<()> {
        self.clap(room)?;
        Ok(())
    }
}

impl Hall {
    fn clap(&mut self, room: &Room) -> partyrs::Result<u64> {
        self.claps += 1;
        room.storage().put("claps", &self.claps)?;
        room.broadcast(Tell::Claps { claps: self.claps })?;
        Ok(self.claps)
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::{self, Method};
    use http_body_util::BodyExt;
    use partyrs_runtime::testing::{TestHost, soon};
    use tower::ServiceExt;

    use super::*;

    /// Asks the application as a server would; status, number of the request and body.
    async fn ask(app: &Router, method: Method, path: &str) -> (u16, String, String) {
        let request = http::Request::builder().method(method).uri(path);
        let request = request.extension(ConnectInfo(SocketAddr::from(([192, 0, 2, 1], 7))));
        let response = soon(app.clone().oneshot(request.body(Body::empty()).expect("a request"))).await;
        let response = response.expect("a router does not fail");
        let number = response.headers()["x-request-number"].to_str().expect("a number").to_owned();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        (status, number, String::from_utf8(body.into()).expect("text"))
    }

    #[tokio::test]
    async fn the_api_and_the_sockets_clap_in_one_hall() {
        let host = TestHost::start::<Hall>().await;
        let app = app(host.parties(), host.service());
        let mut ada = host.join("main").await;
        assert_eq!(ada.next_text().await, r#"{"type":"claps","claps":0}"#);
        ada.send(r#"{"type":"clap"}"#).await;
        assert_eq!(ada.next_text().await, r#"{"type":"claps","claps":1}"#);

        let posted = ask(&app, Method::POST, "/api/halls/main").await;
        assert_eq!(posted, (200, "1".into(), r#"{"claps":2}"#.into()));
        assert_eq!(ada.next_text().await, r#"{"type":"claps","claps":2}"#);
        let read = ask(&app, Method::GET, "/api/halls/main").await;
        assert_eq!(read, (200, "2".into(), r#"{"claps":2}"#.into()));
    }

    #[tokio::test]
    async fn pages_are_the_applications_and_the_rest_is_the_hosts() {
        let host = TestHost::start::<Hall>().await;
        let app = app(host.parties(), host.service());
        assert!(ask(&app, Method::GET, "/").await.2.contains("<title>"));
        assert!(ask(&app, Method::GET, "/partysocket.js").await.2.contains("partysocket"));
        assert_eq!(ask(&app, Method::PUT, "/api/halls/main").await.0, 405);
        let long = format!("/api/halls/{}", "x".repeat(1025));
        assert_eq!(ask(&app, Method::GET, &long).await.0, 400);
        let other = ask(&app, Method::GET, "/nowhere").await;
        assert_eq!((other.0, other.2), (404, "Not found".into()), "as the host says it");
        assert_eq!(other.1, "5", "and the middleware has seen it");
    }
}
