//! How rooms of a party live, where it is not as the host says.

use std::time::Duration;

/// What a new connection does to older ones of the same id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum DuplicateIds {
    /// Nothing: all are listed, and all get broadcasts.
    #[default]
    Allow,
    /// The older ones are closed with 4409 `Replaced by a newer connection`, as soon as
    /// `on_connect` of the new one has ended well: all are listed while it runs. One that is
    /// refused, or that `on_connect` itself closes, replaces nobody. `on_close` of an older
    /// one is told 4409, and not [`last_of_id`](crate::Close::last_of_id).
    ///
    /// A client that reconnects by itself when it is closed, as `partysocket` does, comes
    /// back with its id and replaces the newer one in turn: two pages with one id would go
    /// on for ever. Let such a client stop at 4409.
    Replace,
}

/// The fields of [`PartyOptions`] that stand in for a limit of the host, and how each is set.
macro_rules! party_options {
    ($($(#[$doc:meta])* $name:ident: $kind:ty,)*) => {
        /// How rooms of a party live: [`PartyServer::OPTIONS`](crate::PartyServer::OPTIONS).
        ///
        /// A limit that is not given is the host's; what happens when it is reached, and which
        /// values are legal, stands there, with the field of the same name of
        /// `partyrs_runtime::Config`. A value that makes no sense is refused when the host is
        /// built, with the name of the party. `TestRoom` heeds `duplicate_ids` and `stream_bodies`,
        /// and nothing else.
        ///
        /// # Examples
        ///
        /// ```
        /// # use std::time::Duration;
        /// # use partyrs::prelude::*;
        /// # struct Chat;
        /// impl PartyServer for Chat {
        ///     type Message = String;
        ///
        ///     const OPTIONS: PartyOptions = PartyOptions::DEFAULT
        ///         .duplicate_ids(DuplicateIds::Replace)
        ///         .message_bytes_max(4096)
        ///         .idle_after(Duration::from_secs(300));
        ///
        ///     async fn on_start(_: &Room) -> Result<Self> {
        ///         Ok(Chat)
        ///     }
        /// }
        /// ```
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct PartyOptions {
            /// What a new connection does to older ones of the same id.
            pub duplicate_ids: DuplicateIds,
            /// Whether a room leaves memory while clients are connected.
            pub hibernate: bool,
            /// Whether a plain request comes to its hook before its body.
            pub stream_bodies: bool,
            $($(#[$doc])* pub $name: Option<$kind>,)*
        }

        impl PartyOptions {
            /// Everything as the host says.
            pub const DEFAULT: Self = Self {
                duplicate_ids: DuplicateIds::Allow,
                hibernate: false,
                stream_bodies: false,
                $($name: None,)*
            };

            /// What a new connection does to older ones of the same id.
            #[must_use]
            pub const fn duplicate_ids(mut self, duplicate_ids: DuplicateIds) -> Self {
                self.duplicate_ids = duplicate_ids;
                self
            }

            /// Whether a room leaves memory while clients are connected; default no.
            ///
            /// When nothing has come to it for `hibernate_after`, and no task, commit or output of
            /// it is under way and no response body that it feeds is open, the server value is
            /// dropped. The connections stay, with their ids, tags, state, extensions and order,
            /// and clients notice nothing. The next message, request,
            /// alarm, call, arrival or departure wakes the room: `on_start` builds a new server,
            /// and finds the connections in `room.connections()`. Pings are answered by the host
            /// and wake nobody. If `on_start` fails then, the connections are closed with 1011.
            ///
            /// A [`Socket`](crate::Socket) that the server holds does not keep its room awake: it
            /// goes with the server, and the other room sees it closed with 1001; `on_start` may
            /// open it anew. A task that reads from a socket does keep the room awake.
            ///
            /// So what the server must know afterwards it keeps in storage or in the state of
            /// its connections; what it keeps in fields alone is gone.
            #[must_use]
            pub const fn hibernate(mut self, hibernate: bool) -> Self {
                self.hibernate = hibernate;
                self
            }

            /// Whether a plain request comes to its hook before its body, which is then read
            /// by [`Request::body_stream`](crate::Request::body_stream) alone: for what is
            /// longer than memory should hold. Default: no. `body_bytes_max` counts all of the
            /// body, and `body_timeout` is the time between two of its pieces.
            #[must_use]
            pub const fn stream_bodies(mut self, stream_bodies: bool) -> Self {
                self.stream_bodies = stream_bodies;
                self
            }

            $(
                $(#[$doc])*
                #[must_use]
                pub const fn $name(mut self, $name: $kind) -> Self {
                    self.$name = Some($name);
                    self
                }
            )*
        }
    };
}

party_options! {
    /// Longest message from a client, in bytes.
    message_bytes_max: usize,
    /// Longest body of a plain request, in bytes.
    body_bytes_max: usize,
    /// Time for a body to arrive.
    body_timeout: Duration,
    /// Longest state of a connection, in bytes as encoded.
    connection_state_bytes_max: usize,
    /// Events that wait in one room's mailbox.
    mailbox_events_max: usize,
    /// Payload bytes that wait in one room's mailbox.
    mailbox_bytes_max: usize,
    /// Commits of one room on their way to the disk.
    commits_pending_max: usize,
    /// What of one room waits for the disk, writes and output, in bytes.
    held_bytes_max: usize,
    /// Bytes that wait for one slow client.
    outbox_bytes_max: usize,
    /// After how long a silence a client is pinged.
    ping_every: Duration,
    /// How long a client that was pinged may stay silent.
    ping_timeout: Duration,
    /// How long a room without connections stays in memory.
    idle_after: Duration,
    /// How long a silent room with connections stays awake, if `hibernate` is on.
    hibernate_after: Duration,
    /// A hook that runs longer is logged.
    hook_warn_after: Duration,
    /// A hook that runs longer is ended like a panic; static hooks too.
    hook_timeout: Duration,
    /// Panics and hook time-outs that one room survives within `restart_window`.
    restarts_max: usize,
    /// The time in which panics are counted for `restarts_max`.
    restart_window: Duration,
}

impl Default for PartyOptions {
    fn default() -> Self {
        Self::DEFAULT
    }
}
