//! One WebSocket of a room, as hooks see it.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{Extensions, Uri};
use serde::{Serialize, de::DeserializeOwned};

use crate::close::{CloseError, CloseFrame};
use crate::frame::{EncodeError, IntoFrame};
use crate::head::Head;
use crate::ledger::Ledger;
use crate::seam::Effect;

/// Id of a connection: the `_pk` of `partysocket`, or a fresh random one. 1 to 256 bytes.
///
/// Several connections may have the same id, for `partysocket` keeps its id when it
/// reconnects. Cloning is cheap.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(Arc<str>);

/// A label of a connection, by which [`Room::connections_tagged`](crate::Room::connections_tagged)
/// finds it: 1 to 256 bytes. The id is a tag itself.
pub type Tag = String;

/// Which socket, within one opening of a room: no two are alike, even if they have the same
/// id. Keys rise in the order of arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionKey(pub u64);

/// One WebSocket of a room.
///
/// Hooks get it borrowed. To address it later, keep its [`ConnectionId`].
#[derive(Debug)]
pub struct Connection {
    key: ConnectionKey,
    id: ConnectionId,
    uri: Uri,
    remote_addr: SocketAddr,
    protocol: Option<Box<str>>,
    /// Written by the host before `on_connect`, read-only afterwards.
    tags: Vec<Tag>,
    extensions: Extensions,
    /// MessagePack; written by hooks, put back by the host when a hook fails.
    state: Mutex<Option<Bytes>>,
    state_bytes_max: usize,
    /// Whether it is listed: from its joining until `close` or the end of the socket.
    open: AtomicBool,
    ledger: Arc<Ledger>,
}

/// What `on_connect` and `connection_tags` see beside the connection: the head of the
/// upgrade request, as the before-hook left it. Gone after `on_connect`.
#[derive(Debug)]
pub struct ConnectContext {
    head: Head,
}

/// Why connection state was not kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The state is left as it was.
    #[error("connection state of {len_bytes} bytes is over the limit of {limit_bytes}")]
    TooLong {
        /// Length of the refused state, as encoded.
        len_bytes: usize,
        /// `connection_state_bytes_max` of this host.
        limit_bytes: usize,
    },
    /// The value's serde implementation failed; the state is left as it was.
    #[error("connection state cannot be encoded")]
    Encode(#[source] rmp_serde::encode::Error),
    /// The state is not a `T`.
    #[error("connection state is not of the type asked for")]
    Decode(#[source] rmp_serde::decode::Error),
}

/// What a connection is made of; given by the host.
#[derive(Debug)]
pub struct NewConnection {
    /// The id, from the URL or random.
    pub id: ConnectionId,
    /// Path and query of the upgrade request.
    pub uri: Uri,
    /// The client's address as TCP knows it.
    pub remote_addr: SocketAddr,
    /// The subprotocol that the before-hook selected.
    pub protocol: Option<Box<str>>,
    /// What the before-hook left.
    pub extensions: Extensions,
    /// Longest state in bytes.
    pub state_bytes_max: usize,
}

/// The connections of a room, in order of arrival.
#[derive(Debug, Default)]
pub(crate) struct Members {
    by_key: BTreeMap<ConnectionKey, Connection>,
    /// Keys by id, oldest first. Never holds an empty list.
    by_id: BTreeMap<ConnectionId, Vec<ConnectionKey>>,
}

impl Connection {
    pub(crate) fn new(key: ConnectionKey, new: NewConnection, ledger: Arc<Ledger>) -> Self {
        let NewConnection { id, uri, remote_addr, protocol, extensions, state_bytes_max } = new;
        let tags = vec![id.as_str().to_owned()];
        let (state, open) = (Mutex::new(None), AtomicBool::new(true));
        Self { key, id, uri, remote_addr, protocol, tags, extensions, state, state_bytes_max, open, ledger }
    }

    /// The id. Not unique: see [`ConnectionId`].
    #[must_use]
    pub fn id(&self) -> &ConnectionId {
        &self.id
    }

    /// Path and query of the upgrade request, as the client sent them.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// The id, and what [`connection_tags`](crate::PartyServer::connection_tags) returned.
    #[must_use]
    pub fn tags(&self) -> &[Tag] {
        &self.tags
    }

    /// The client's address as TCP knows it; behind a proxy, the proxy's.
    #[must_use]
    pub fn remote_addr(&self) -> SocketAddr {
        self.remote_addr
    }

    /// The subprotocol that the before-hook selected, if any: [`Head::select_protocol`].
    #[must_use]
    pub fn protocol(&self) -> Option<&str> {
        self.protocol.as_deref()
    }

    /// Typed data that the before-hook put into the head's extensions. Lives as long as the socket.
    #[must_use]
    pub fn extension<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.extensions.get()
    }

    /// Sends one message to this connection.
    ///
    /// It leaves in order with all other output of the room, behind the commits that it
    /// follows. A connection that is closed or gone gets nothing. One whose outbox is full
    /// (`outbox_bytes_max`, default 4 MiB) is closed with 1013.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] if `message` has no frame form.
    pub fn send(&self, message: impl IntoFrame) -> Result<(), EncodeError> {
        let when_behind = message.when_behind();
        let frame = message.into_frame()?;
        if self.is_open() {
            self.ledger.emit(Effect::Send { to: self.key, frame, when_behind });
        }
        Ok(())
    }

    /// Closes the connection with this code and reason.
    ///
    /// It leaves the list and its input ends at once; the Close leaves behind what was sent
    /// before. `on_close` runs when the socket has really ended: when the client has answered,
    /// or after `close_timeout` (default 5 s) with 1006. Closing twice does nothing. If the
    /// hook fails after a write that came before this, the connection stays open.
    ///
    /// # Errors
    ///
    /// [`CloseError`] if the code is not 1000, 1001, 1008, 1011-1014 or 3000-4999, or the
    /// reason is over 123 bytes; the connection stays open then.
    pub fn close(&self, code: u16, reason: impl Into<String>) -> Result<(), CloseError> {
        let close = CloseFrame::new(code, reason)?;
        self.close_with(Some(close));
        Ok(())
    }

    /// Closes the connection without code and reason; the client sees 1005.
    pub fn close_without_code(&self) {
        self.close_with(None);
    }

    pub(crate) fn close_with(&self, close: Option<CloseFrame>) {
        if self.open.swap(false, Ordering::Relaxed) {
            self.ledger.close(self.key, close);
        }
    }

    /// The state that was set last, or `None`.
    ///
    /// # Errors
    ///
    /// [`StateError::Decode`] if it is not a `T`.
    pub fn state<T: DeserializeOwned>(&self) -> Result<Option<T>, StateError> {
        let bytes = self.state_bytes();
        bytes.map(|bytes| rmp_serde::from_slice(&bytes).map_err(StateError::Decode)).transpose()
    }

    /// Keeps `state` with the connection, as long as the socket lives; it survives restarts
    /// of the room in place, not of the host. It is kept as MessagePack with field names.
    ///
    /// Part of the hook: if that fails the state is what it was before, and the room
    /// restarts. It is not stored, so output that follows it waits for nothing.
    ///
    /// # Errors
    ///
    /// [`StateError`] if the encoded state is over `connection_state_bytes_max` (default
    /// 16 KiB) or serde fails; the state is left as it was.
    pub fn set_state(&self, state: &(impl Serialize + ?Sized)) -> Result<(), StateError> {
        let bytes = rmp_serde::to_vec_named(state).map_err(StateError::Encode)?;
        if bytes.len() > self.state_bytes_max {
            return Err(StateError::TooLong { len_bytes: bytes.len(), limit_bytes: self.state_bytes_max });
        }
        let previous = self.put_state(Some(bytes.into()));
        self.ledger.note_state(self.key, previous);
        Ok(())
    }

    /// Forgets the state. Part of the hook, as [`Connection::set_state`] is.
    pub fn clear_state(&self) {
        let previous = self.put_state(None);
        self.ledger.note_state(self.key, previous);
    }

    /// Which socket this is; for hosts.
    #[must_use]
    pub fn key(&self) -> ConnectionKey {
        self.key
    }

    /// Whether it is listed: nobody has closed it, as far as the room knows.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed)
    }

    pub(crate) fn reopen(&self) {
        self.open.store(true, Ordering::Relaxed);
    }

    /// Marks it as not listed, without a Close; whether it was listed.
    pub(crate) fn leave(&self) -> bool {
        self.open.swap(false, Ordering::Relaxed)
    }

    pub(crate) fn add_tags(&mut self, tags: Vec<Tag>) {
        self.tags.extend(tags);
        let mut seen = Vec::with_capacity(self.tags.len());
        self.tags.retain(|tag| {
            !seen.contains(tag) && {
                seen.push(tag.clone());
                true
            }
        });
    }

    pub(crate) fn put_state(&self, state: Option<Bytes>) -> Option<Bytes> {
        let mut slot = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut slot, state)
    }

    fn state_bytes(&self) -> Option<Bytes> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ConnectContext {
    /// What the upgrade request was; for hosts.
    #[must_use]
    pub fn new(head: Head) -> Self {
        Self { head }
    }

    /// The head of the upgrade request. What the before-hook put into its extensions is
    /// read by [`Connection::extension`].
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }
}

impl Members {
    pub(crate) fn insert(&mut self, connection: Connection) {
        self.by_id.entry(connection.id.clone()).or_default().push(connection.key);
        self.by_key.insert(connection.key, connection);
    }

    pub(crate) fn remove(&mut self, key: ConnectionKey) -> Option<Connection> {
        let connection = self.by_key.remove(&key)?;
        if let Some(keys) = self.by_id.get_mut(&connection.id) {
            keys.retain(|other| *other != key);
            if keys.is_empty() {
                self.by_id.remove(&connection.id);
            }
        }
        Some(connection)
    }

    pub(crate) fn take(&mut self) -> Vec<Connection> {
        std::mem::take(self).by_key.into_values().collect()
    }

    pub(crate) fn get(&self, key: ConnectionKey) -> Option<&Connection> {
        self.by_key.get(&key)
    }

    pub(crate) fn get_mut(&mut self, key: ConnectionKey) -> Option<&mut Connection> {
        self.by_key.get_mut(&key)
    }

    /// All of one id, oldest first, closed ones included.
    pub(crate) fn with_id(&self, id: &ConnectionId) -> impl DoubleEndedIterator<Item = &Connection> {
        let keys = self.by_id.get(id).map_or(&[][..], Vec::as_slice);
        keys.iter().filter_map(|key| self.by_key.get(key))
    }

    /// All, in order of arrival, closed ones included.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Connection> {
        self.by_key.values()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }
}

impl ConnectionId {
    /// Takes a text as a connection id; the host has checked its length.
    #[must_use]
    pub fn new(id: &str) -> Self {
        Self(id.into())
    }

    /// The id as text. It comes from the client: escape it where you show it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for ConnectionId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
