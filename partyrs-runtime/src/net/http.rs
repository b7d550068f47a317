//! Plain HTTP: from a request to a room's `on_request`, and the answers of the host's own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderValue, RETRY_AFTER};
use http::{Request, Response, StatusCode};
use partyrs::storage::CommitError;
use partyrs::{Admission, Body, Error, Head, RoomAddress, RoomId};
use tokio::sync::oneshot;

use super::route::Route;
use super::{body, cors, lobby_socket, upgrade};
use crate::event::{Refusal, RoomEvent};
use crate::lobby::{FetchError, Lobby};
use crate::party::Party;
use crate::state::State;

/// How long a plain request waits for a place in a full mailbox, or for one of `fetches_max`.
const PATIENCE: Duration = Duration::from_secs(5);

/// Which room of which party a request is for.
pub(crate) struct Target {
    pub(crate) party: Arc<dyn Party>,
    pub(crate) address: RoomAddress,
    pub(crate) remote_addr: SocketAddr,
}

/// Answers one request, whatever it is.
pub(crate) async fn serve<B>(
    state: Arc<State>,
    request: Request<B>,
    remote_addr: SocketAddr,
) -> Response<Body>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let policy = state.cors.as_ref().filter(|_| !upgrade::is_asked(&request));
    let Some(grant) = policy.map(|policy| policy.grant(request.headers())) else {
        return answer(state, request, remote_addr).await;
    };
    let mut response = if cors::is_preflight(&request) {
        cors::preflight()
    } else {
        answer(state, request, remote_addr).await
    };
    grant.add_to(&mut response);
    response
}

async fn answer<B>(state: Arc<State>, request: Request<B>, remote_addr: SocketAddr) -> Response<Body>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    if state.draining.is_set() {
        return unavailable();
    }
    match Route::of(request.uri().path(), &state.prefix, state.main_party()) {
        Route::Room { party, room } => match target(&state, &party, room, remote_addr) {
            Some(target) if upgrade::is_asked(&request) => upgrade::accept(state, target, request).await,
            Some(target) => to_room(state, target, request).await,
            None => text(StatusCode::NOT_FOUND, format!("Party {party} not found")),
        },
        Route::BadRoom(wrong) => text(StatusCode::BAD_REQUEST, wrong),
        Route::Elsewhere => match &state.lobby {
            Some(lobby) if upgrade::is_asked(&request) => {
                match lobby_socket::offer(&state, lobby, request, remote_addr).await {
                    Ok(response) => response,
                    Err(request) => elsewhere(&state, request, remote_addr).await,
                }
            }
            _ => elsewhere(&state, request, remote_addr).await,
        },
    }
}

fn target(state: &State, party: &str, room: RoomId, remote_addr: SocketAddr) -> Option<Target> {
    let party = Arc::clone(state.party_named(party)?);
    let address = RoomAddress::new(party.name().clone(), room);
    Some(Target { party, address, remote_addr })
}

/// What is no room: a static file, else what the lobby says, else a page that says so, else a text.
async fn elsewhere<B>(state: &State, request: Request<B>, remote_addr: SocketAddr) -> Response<Body>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (parts, body) = request.into_parts();
    let asked = Request::from_parts(parts.clone(), ());
    if let Some(assets) = &state.assets
        && let Some(response) = assets.find(&asked).await
    {
        return response;
    }
    if let Some(lobby) = &state.lobby
        && let Some(response) = to_lobby(state, lobby, parts, body, remote_addr).await
    {
        return response;
    }
    if let Some(assets) = &state.assets
        && let Some(response) = assets.instead(&asked).await
    {
        return response;
    }
    text(StatusCode::NOT_FOUND, "Not found")
}

/// What `on_fetch` answers, or what is answered in its place.
async fn to_lobby<B>(
    state: &State,
    lobby: &Lobby,
    parts: http::request::Parts,
    body: B,
    remote_addr: SocketAddr,
) -> Option<Response<Body>>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let body = match body::read(&state.clock, &state.config, body).await {
        Ok(body) => body,
        Err(refusal) => return Some(text(refusal.status(), refusal.to_string())),
    };
    let Some(Some(place)) = state.clock.timeout(PATIENCE, lobby.place()).await else {
        let fetches_max = state.config.fetches_max;
        tracing::warn!(fetches_max, "too many on_fetch hooks run, request answered 503");
        return Some(unavailable());
    };
    let request = partyrs::Request::new(Head::new(parts), body, remote_addr);
    match lobby.fetch(state, request, place).await {
        Ok(response) => response.map(partyrs::Response::into_http),
        Err(FetchError::Failed(error)) => Some(failed(state, &error)),
        Err(FetchError::Over) => Some(unavailable()),
    }
}

async fn to_room<B>(state: Arc<State>, target: Target, request: Request<B>) -> Response<Body>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (parts, body) = request.into_parts();
    let mut head = Head::new(parts);
    let lobby = target.lobby(&state);
    let hook = target.party.before_request(&mut head, &lobby);
    match in_time(&state, &target, hook).await {
        Ok(Admission::Admit) => {}
        Ok(Admission::Respond(response)) => return response.into_http(),
        Ok(Admission::Close(close)) => return text(StatusCode::FORBIDDEN, close.reason()),
        Err(error) => return before_hook_failed(&state, &target, "on_before_request", &error),
    }
    let (config, remote_addr) = (target.party.config(), target.remote_addr);
    let request = if target.party.streams_bodies() {
        let streamed = body::stream(&state.clock, config, body);
        streamed.map(|body| partyrs::Request::streamed(head, body, remote_addr))
    } else {
        let whole = body::read(&state.clock, config, body).await;
        whole.map(|body| partyrs::Request::new(head, body, remote_addr))
    };
    let request = match request {
        Ok(request) => request,
        Err(refusal) => return text(refusal.status(), refusal.to_string()),
    };
    let (reply, answer) = oneshot::channel();
    let event = RoomEvent::Request { request: Box::new(request), reply };
    let delivery = state.registry.deliver(&state, &target.party, &target.address, event);
    match state.clock.timeout(PATIENCE, delivery).await {
        Some(Ok(())) => {}
        Some(Err(_)) => return unavailable(),
        None => {
            tracing::warn!(room = %target.address, "mailbox is full, request answered 503");
            return unavailable();
        }
    }
    match answer.await {
        Ok(Ok(response)) => response.into_http(),
        Ok(Err(refusal)) => refused(&refusal),
        // The room ended in the middle of the hook.
        Err(_) => unavailable(),
    }
}

impl Target {
    /// What the static hooks see.
    pub(crate) fn lobby(&self, state: &State) -> partyrs::Lobby {
        let (env, calls) = (Arc::clone(&state.env), Arc::clone(&state.calls));
        partyrs::Lobby::new(self.address.clone(), self.remote_addr, env, calls)
    }
}

/// A static hook, ended when its time is over.
pub(crate) async fn in_time(
    state: &State,
    target: &Target,
    hook: impl Future<Output = partyrs::Result<Admission>>,
) -> partyrs::Result<Admission> {
    let limit = target.party.config().hook_timeout;
    let late = || Err(Error::new(format!("hook ran longer than hook_timeout ({limit:?})")));
    state.clock.timeout(limit, hook).await.unwrap_or_else(late)
}

/// The answer when a static hook failed: its own, or 500.
pub(crate) fn before_hook_failed(
    state: &State,
    target: &Target,
    hook: &'static str,
    error: &Error,
) -> Response<Body> {
    if error.public_status().is_none() {
        tracing::error!(room = %target.address, hook, %error, "hook failed");
    }
    failed(state, error)
}

/// The answer when a hook outside of rooms failed: its own, or 500.
pub(crate) fn failed(state: &State, error: &Error) -> Response<Body> {
    match error.public_status() {
        Some((status, answer)) => text(status, answer),
        None => text(StatusCode::INTERNAL_SERVER_ERROR, state.failure_text(error)),
    }
}

fn refused(refusal: &Refusal) -> Response<Body> {
    match refusal {
        Refusal::StartFailed { text: failure } => text(StatusCode::INTERNAL_SERVER_ERROR, &**failure),
        Refusal::Broken => text(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error"),
        Refusal::CommitFailed(CommitError::Full) => {
            retry_later(text(StatusCode::INSUFFICIENT_STORAGE, "Storage is full"))
        }
        Refusal::CommitFailed(_) => retry_later(text(StatusCode::SERVICE_UNAVAILABLE, "Storage failed")),
        Refusal::Unavailable => unavailable(),
    }
}

/// 503 with `Retry-After`.
pub(crate) fn unavailable() -> Response<Body> {
    retry_later(text(StatusCode::SERVICE_UNAVAILABLE, "Try again later"))
}

fn retry_later(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
    response
}

/// An answer of the host's own.
pub(crate) fn text(status: StatusCode, text: impl Into<String>) -> Response<Body> {
    partyrs::Response::text(text).with_status(status).into_http()
}
