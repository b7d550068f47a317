//! The admin address: whether the host lives and takes clients, what rooms it has, and a copy of them.
//!
//! It is for those who run the host, on an address of its own, and off unless asked for. It
//! shows keys and sizes, and what is stored only in an export, which is never given without a token.
//! To look at a room does not open it.
//!
//! The difficulty is who asks. On a loopback address every program of the machine may, and so
//! may every web page that its user visits, if a name of the page's own leads to the loopback
//! address; so without a token the `Host` header must be an address or `localhost`.

use std::collections::BTreeMap;
use std::fmt;
use std::future::pending;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream;
use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::uri::Authority;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use partyrs::storage::{EngineError, StoredAlarm, StoredEntries};
use partyrs::{Body, PartyName, RoomAddress, RoomId};
use serde_json::{Value, json};
use subtle::ConstantTimeEq;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::http::text;
use super::listener::speak_http;
use super::route::Route;
use super::stream::Stream;
use crate::backup::{Export, Selection};
use crate::registry::Status;
use crate::state::State;

/// Rooms and keys on one page.
const PAGE: usize = 1000;

/// Connections at a time; the next one waits.
const CONNECTIONS_MAX: usize = 64;

/// Exports at a time; the next one is answered 503. Each takes memory, and keeps old pages of the storage.
const EXPORTS_MAX: usize = 4;

/// How long to wait when a connection cannot be accepted.
const ACCEPT_BACK_OFF: Duration = Duration::from_millis(50);

const BEARER: &[u8] = b"Bearer ";

const EXPORT: &str = "/-/export";

/// What whoever asks must show; without it only programs of this machine can ask.
#[derive(Clone)]
pub(crate) struct Token(String);

/// What the connections of one admin address share.
#[derive(Clone)]
struct Admin {
    state: Arc<State>,
    token: Option<Token>,
    exports: Arc<Semaphore>,
}

/// Answers at the admin address until it is dropped.
pub(crate) async fn serve(state: &Arc<State>, listener: &TcpListener, token: Option<&Token>) {
    let exports = Arc::new(Semaphore::new(EXPORTS_MAX));
    let admin = Admin { state: Arc::clone(state), token: token.cloned(), exports };
    let mut connections = JoinSet::new();
    loop {
        while connections.len() >= CONNECTIONS_MAX {
            connections.join_next().await;
        }
        match listener.accept().await {
            Ok((tcp, _)) => {
                // Those that have ended are forgotten.
                while connections.try_join_next().is_some() {}
                connections.spawn(serve_one(admin.clone(), tcp));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection to the admin address could not be accepted");
                state.clock.sleep(ACCEPT_BACK_OFF).await;
            }
        }
    }
}

async fn serve_one(admin: Admin, tcp: TcpStream) {
    let answer = |request: Request<Incoming>| {
        let admin = &admin;
        async move { answer(admin, &request.map(drop)).await }
    };
    // It goes on while the host drains, to tell that it does.
    if let Err(reason) = speak_http(&admin.state, Stream::Plain(tcp), answer, pending()).await {
        tracing::debug!(reason, "connection to the admin address ended");
    }
}

async fn answer(admin: &Admin, request: &Request<()>) -> Response<Body> {
    let (state, path) = (&admin.state, request.uri().path());
    let mut response = match path {
        _ if !matches!(*request.method(), Method::GET | Method::HEAD) => {
            text(StatusCode::METHOD_NOT_ALLOWED, "Only GET and HEAD")
        }
        // These tell nothing, and those who ask for them in a loop rarely have a token.
        "/-/health" => text(StatusCode::OK, "ok"),
        "/-/ready" if state.draining.is_set() => text(StatusCode::SERVICE_UNAVAILABLE, "draining"),
        "/-/ready" => text(StatusCode::OK, "ready"),
        _ => match refusal(request, admin.token.as_ref()) {
            Some(refusal) => refusal,
            None if path == EXPORT || path.starts_with("/-/export/") => export(admin, path).await,
            None => look(state, request).await,
        },
    };
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The answer to whoever may not look.
fn refusal(request: &Request<()>, token: Option<&Token>) -> Option<Response<Body>> {
    let Some(token) = token else {
        let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let wrong = "The admin address is asked by its number, or as localhost";
        return (!is_local(host)).then(|| text(StatusCode::FORBIDDEN, wrong));
    };
    let shown = request.headers().get(AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
    // The scheme has no letter case (RFC 9110, section 11.1), the token has.
    let (scheme, shown) = shown.split_at(shown.len().min(BEARER.len()));
    if scheme.eq_ignore_ascii_case(BEARER) && shown.ct_eq(token.0.as_bytes()).into() {
        return None;
    }
    let mut refusal = text(StatusCode::UNAUTHORIZED, "The header `Authorization: Bearer <token>` is needed");
    refusal.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    Some(refusal)
}

/// Whether a `Host` header names an address, or this machine.
fn is_local(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let host = authority.host();
    let number = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || number.parse::<IpAddr>().is_ok()
}

async fn look(state: &Arc<State>, request: &Request<()>) -> Response<Body> {
    let path = request.uri().path();
    let query = request.uri().query().unwrap_or_default();
    let asked = |name: &str| {
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    };
    let found = match (path, asked("party")) {
        ("/-/rooms", None) => Ok(parties(state)),
        ("/-/rooms", Some(party)) => match state.party_named(&party) {
            Some(party) => rooms(state, party.name(), asked("after")).await,
            None => return text(StatusCode::NOT_FOUND, format!("Party {party} not found")),
        },
        _ => match Route::of(path, "-/rooms", state.main_party()) {
            Route::Room { party, room } if path.starts_with("/-/") => match state.party_named(&party) {
                Some(party) => {
                    let address = RoomAddress::new(party.name().clone(), room);
                    one_room(state, &address, asked("after")).await
                }
                None => return text(StatusCode::NOT_FOUND, format!("Party {party} not found")),
            },
            Route::BadRoom(wrong) => return text(StatusCode::BAD_REQUEST, wrong),
            _ => return text(StatusCode::NOT_FOUND, "Not found"),
        },
    };
    let answer = found.map(|found| partyrs::Response::json(&found));
    match answer {
        Ok(Ok(answer)) => answer.into_http(),
        Ok(Err(error)) => {
            tracing::error!(%error, "what was found has no JSON form");
            text(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
        }
        Err(error) => unreadable(&error),
    }
}

fn unreadable(error: &EngineError) -> Response<Body> {
    tracing::error!(%error, "storage cannot be read");
    text(StatusCode::INTERNAL_SERVER_ERROR, format!("Storage cannot be read: {error}"))
}

/// A copy of all rooms, those of a party, or one, as of now; it is read as fast as the client takes it.
async fn export(admin: &Admin, path: &str) -> Response<Body> {
    let state = &admin.state;
    if admin.token.is_none() {
        // It shows everything that is stored, and any program of the machine could ask for it.
        let needed = "An export needs a token: `.admin_token(..)` or PARTYRS_ADMIN_TOKEN";
        return text(StatusCode::FORBIDDEN, needed);
    }
    let selection = match path.strip_prefix("/-/export/") {
        None => Selection::All,
        // Parties that are not registered any more may have stored something.
        Some(party) if !party.contains('/') => match PartyName::new(party) {
            Ok(party) => Selection::Party(party),
            Err(_) => return text(StatusCode::NOT_FOUND, "Not found"),
        },
        Some(_) => match Route::of(path, "-/export", state.main_party()) {
            Route::Room { party, room } => match PartyName::new(&party) {
                Ok(party) => Selection::Room(RoomAddress::new(party, room)),
                Err(_) => return text(StatusCode::NOT_FOUND, "Not found"),
            },
            Route::BadRoom(wrong) => return text(StatusCode::BAD_REQUEST, wrong),
            Route::Elsewhere => return text(StatusCode::NOT_FOUND, "Not found"),
        },
    };
    let Ok(permit) = Arc::clone(&admin.exports).try_acquire_owned() else {
        let many = format!("There are {EXPORTS_MAX} exports under way; ask again when one has ended");
        let mut refusal = text(StatusCode::SERVICE_UNAVAILABLE, many);
        refusal.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("10"));
        return refusal;
    };
    let is_some = selection != Selection::All;
    let mut export = match Export::begin(&*state.engine, selection, state.clock.wall()).await {
        Ok(export) => export,
        Err(error) => return unreadable(&error),
    };
    let first = match export.next().await {
        Ok(first) => first,
        Err(error) => return unreadable(&error),
    };
    if is_some && export.counts().rooms == 0 {
        return text(StatusCode::NOT_FOUND, "Nothing is stored there");
    }
    let lines = stream::try_unfold((first, export, permit), async |(first, mut export, permit)| {
        let lines = match first {
            Some(first) => Some(first),
            None => export.next().await.inspect_err(|error| {
                tracing::error!(%error, "storage cannot be read, an export was cut");
            })?,
        };
        Ok::<_, EngineError>(lines.map(|lines| (lines, (None, export, permit))))
    });
    let ndjson = HeaderValue::from_static("application/x-ndjson");
    partyrs::Response::stream(lines).with_header(CONTENT_TYPE, ndjson).into_http()
}

/// All parties, and what is open of them.
fn parties(state: &State) -> Value {
    let of_party = |name: &PartyName| {
        let (mut rooms_count, mut connections_count) = (0, 0);
        state.registry.each_open(|room, status| {
            if room.party == *name {
                rooms_count += 1;
                connections_count += status.connections_count();
            }
        });
        json!({ "party": name.as_str(), "open_rooms": rooms_count, "connections": connections_count })
    };
    let parties: Vec<Value> = state.parties.iter().map(|party| of_party(party.name())).collect();
    json!({ "parties": parties })
}

/// One page of the rooms of a party that are open or have stored something, by id.
async fn rooms(state: &State, party: &PartyName, after: Option<String>) -> Result<Value, EngineError> {
    let after = after.and_then(|after| RoomId::new(&after).ok());
    // One more than a page, to know whether it is the last.
    let stored = state.engine.snapshot().await?.rooms(party, after.as_ref(), PAGE + 1).await?;
    let mut found: BTreeMap<RoomId, Option<Arc<Status>>> =
        stored.into_iter().map(|room| (room, None)).collect();
    state.registry.each_open(|RoomAddress { party: of, room, .. }, status| {
        let is_behind = after.as_ref().is_none_or(|after| room > after);
        let is_on_page = found.len() <= PAGE || found.last_key_value().is_some_and(|(last, _)| room <= last);
        if of == party && is_behind && is_on_page {
            found.insert(room.clone(), Some(Arc::clone(status)));
            if found.len() > PAGE + 1 {
                found.pop_last();
            }
        }
    });
    let has_more = found.len() > PAGE;
    let describe = |(room, status): (RoomId, Option<Arc<Status>>)| {
        let mut described = described(status.as_deref());
        described["room"] = room.as_str().into();
        described
    };
    let page: Vec<Value> = found.into_iter().take(PAGE).map(describe).collect();
    let last = page.last().map(|room| room["room"].clone()).filter(|_| has_more);
    Ok(json!({ "party": party.as_str(), "rooms": page, "next_after": last }))
}

/// One room: its connections, its alarms, and one page of its keys with the lengths of their values.
async fn one_room(state: &State, room: &RoomAddress, after: Option<String>) -> Result<Value, EngineError> {
    let snapshot = state.engine.snapshot().await?;
    let StoredEntries { entries, has_more, .. } = snapshot.entries(room, after.as_deref(), PAGE).await?;
    let alarms = snapshot.alarms(room).await?;
    let last = entries.last().map(|(key, _)| key.clone()).filter(|_| has_more);
    let keys = entries.into_iter().map(|(key, value)| json!({ "key": key, "bytes": value.len() }));
    let mut described = described(state.registry.status(room).as_deref());
    described["party"] = room.party.as_str().into();
    described["room"] = room.room.as_str().into();
    described["alarms"] = alarms.iter().map(alarm).collect();
    described["keys"] = keys.collect();
    described["next_after"] = last.into();
    Ok(described)
}

fn described(status: Option<&Status>) -> Value {
    let connections_count = status.map_or(0, Status::connections_count);
    let state = match status {
        None => "closed",
        Some(status) if status.hibernates() => "hibernating",
        Some(_) => "open",
    };
    json!({ "state": state, "connections": connections_count })
}

fn alarm(alarm: &StoredAlarm) -> Value {
    let StoredAlarm { name, scheduled_ms, due_ms, retry, .. } = alarm;
    let name = Some(name).filter(|name| !name.is_empty());
    json!({ "name": name, "scheduled_ms": scheduled_ms, "due_ms": due_ms, "retry": retry })
}

impl Token {
    /// Shorter ones can be guessed.
    pub(crate) const BYTES_MIN: usize = 16;

    pub(crate) fn new(token: String) -> Self {
        Self(token)
    }

    /// Whether it is long enough, and can stand in a header.
    pub(crate) fn is_legal(&self) -> bool {
        self.0.len() >= Self::BYTES_MIN && self.0.bytes().all(|byte| byte.is_ascii_graphic())
    }
}

/// Whether only programs of the same machine reach this address.
pub(crate) fn is_loopback(addr: SocketAddr) -> bool {
    addr.ip().to_canonical().is_loopback()
}

/// A secret: never shown.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_local_if_it_is_a_number_or_localhost() {
        for host in ["localhost", "LOCALHOST:1", "127.0.0.1:2", "[::1]:3", "10.0.0.7"] {
            assert!(is_local(host), "{host}");
        }
        for host in ["", "evil.example", "localhost.evil.example:1", "127.0.0.1.evil.example", "a b"] {
            assert!(!is_local(host), "{host}");
        }
    }
}
