//! Every limit of a host, with its default and what happens when it is reached.

use std::fmt;
use std::time::Duration;

use partyrs::storage::StorageLimits;
use partyrs::{PartyName, PartyOptions};

/// The limits and times of a host; change them by `Host::builder().config(|config| ..)`.
///
/// They are checked once, when the host is built. A party may have some of them of its own:
/// [`PartyOptions`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Threads that rooms live on; a room and its connections stay on one. Default: the
    /// available cores. At least 1.
    pub shards: usize,
    /// Longest message from a client, in bytes. Default 1 MiB. Over it: close 1009.
    pub message_bytes_max: usize,
    /// Longest body of a plain request, in bytes. Default 8 MiB. Over it: 413; where the party
    /// streams bodies, as an error of the stream.
    pub body_bytes_max: usize,
    /// Time for a body to arrive. Default 30 s. Over it: 408. Where the party streams bodies:
    /// the time for the client to send the next piece, and for the room to ask for it; over
    /// it the stream ends with an error, and what is not read is thrown away.
    pub body_timeout: Duration,
    /// Longest state of a connection, in bytes as encoded. Default 16 KiB. Over it: an error to the hook.
    pub connection_state_bytes_max: usize,
    /// Longest key and value in storage, in bytes, the value as encoded, and longest name of an
    /// alarm. Default 2 KiB, 2 MiB and 256 bytes. Over it: an error to the hook.
    pub storage: StorageLimits,
    /// Events that wait in one room's mailbox. Default 1024. At it: the reader of the socket
    /// waits, and so TCP holds up that client; a plain request is answered 503 after 5 s; a
    /// handle waits up to `call_timeout`.
    pub mailbox_events_max: usize,
    /// Payload bytes that wait in one room's mailbox. Default 16 MiB. At it: as above. One
    /// event may be longer than this; it then waits until no other payload does.
    pub mailbox_bytes_max: usize,
    /// Commits of one room on their way to the disk. Default 64. At it: the room takes no
    /// event until one has landed. Looked at between events: what one hook does is not limited.
    pub commits_pending_max: usize,
    /// What of one room waits for the disk: keys and values on their way, and the output that waits
    /// for them, with the payload bytes of frames, of chunks and of responses that are no streams, and
    /// 128 bytes for each output. Default 16 MiB. At it: as above.
    pub held_bytes_max: usize,
    /// Bytes that wait for one slow client, beyond what the system's socket buffer holds.
    /// Default 4 MiB; a frame longer than that cannot be sent to a client that does not read
    /// along. Over it: the client has `close_timeout` to take what waits and the Close 1013
    /// behind it. As much may wait of a response body that a room feeds, in all that the hooks
    /// of one turn write; over it the connection is cut.
    pub outbox_bytes_max: usize,
    /// WebSocket connections of the host. Default: the descriptor limit, raised as far as
    /// the system lets us, less 64. At it: an upgrade is answered 503. Plain requests are not counted.
    pub connections_max: Option<usize>,
    /// Open rooms of the host. Default 1,000,000. At it, for a room that is not open: a plain
    /// request is answered 503, a WebSocket is accepted and closed with 1013, a call gets
    /// `CallError::Unavailable`.
    pub rooms_max: usize,
    /// `LobbyServer::on_fetch` hooks that run at once. Default 1024. At it: the request waits for
    /// one of them to end, and is answered 503 after 5 s.
    pub fetches_max: usize,
    /// Time for the head of a request to arrive, from its first byte or from the beginning of
    /// the connection, and for TLS to be agreed on. Default 10 s. Over it: the connection is
    /// closed without an answer.
    pub header_timeout: Duration,
    /// How long a connection may be idle between two requests, and how long its client may take
    /// nothing of an answer that waits for it, a 101 included. Default 75 s. Over it: the connection
    /// is closed.
    pub keep_alive_timeout: Duration,
    /// How long a client may take to answer a Close, and to take what was sent before it.
    /// Default 5 s. Over it: the socket is cut, and `on_close` gets 1006. As long at
    /// most, and 8 MiB at most, the host reads and throws away what a client sends behind an
    /// early answer or after the host's Close.
    pub close_timeout: Duration,
    /// After how long a silence a client is pinged; whatever it sends ends the silence. Default
    /// 30 s. A client with a backlog in its outbox gets no ping: what waits stands in for it.
    /// Rooms have no part in pings. `Duration::MAX` does without.
    pub ping_every: Duration,
    /// How long a client that was pinged may stay silent. Default 20 s. After it: its socket
    /// is cut, and `on_close` gets 1006. Who sends something that the host has not read yet,
    /// as its room is busy, or takes what waits for it, however slowly, is not silent.
    pub ping_timeout: Duration,
    /// How long a room without connections, tasks, open response bodies and unwritten commits
    /// stays in memory.
    /// Default 30 s. After it: the server value is dropped; the next visitor starts it again.
    pub idle_after: Duration,
    /// How long a room with connections, without tasks and unwritten commits, stays awake
    /// when nothing comes to it, if its party says [`hibernate`](PartyOptions::hibernate).
    /// Default 10 s. After it: the server value is dropped, the connections stay; whatever
    /// comes next wakes the room.
    pub hibernate_after: Duration,
    /// A hook that runs longer is logged with its room. Default 1 s.
    pub hook_warn_after: Duration,
    /// A hook that runs longer is ended like a panic, at a place where it waits. Default 30 s.
    /// A static hook and `LobbyServer::on_fetch` too; their request is answered 500. So is that of
    /// an `on_socket` that has not accepted its client; once it has, this is its time from when the
    /// client has left. `on_cron` has no limit. A hook that blocks its thread cannot be ended: it stops its shard, and is logged
    /// when it returns.
    pub hook_timeout: Duration,
    /// How long a call by a `RoomHandle` may take, its wait in the mailbox included. Default
    /// 10 s. Over it: `CallError::TimedOut`; the work may still be done.
    pub call_timeout: Duration,
    /// Panics and hook time-outs that one room survives within `restart_window`. Default 3. At
    /// one more: its connections are closed with 1011, requests are answered 500, and the room
    /// closes; the next visitor starts it again.
    pub restarts_max: usize,
    /// The time in which panics are counted for `restarts_max`. Default 60 s.
    pub restart_window: Duration,
    /// How long a shutdown may take: running hooks, commits, and a Close 1012 to everybody, to
    /// up to 100 at once, to more at 1,000 per second or as fast as half of this time asks
    /// for. Default 10 s. Over it: what is left is cut.
    pub shutdown_grace: Duration,
}

/// A setting that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// Whose `OPTIONS` say so; `None` for the host's.
    party: Option<PartyName>,
    setting: &'static str,
    found: String,
    legal: &'static str,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            shards: std::thread::available_parallelism().map_or(1, usize::from),
            message_bytes_max: 1 << 20,
            body_bytes_max: 8 << 20,
            body_timeout: Duration::from_secs(30),
            connection_state_bytes_max: 16 << 10,
            storage: StorageLimits::default(),
            mailbox_events_max: 1024,
            mailbox_bytes_max: 16 << 20,
            commits_pending_max: 64,
            held_bytes_max: 16 << 20,
            outbox_bytes_max: 4 << 20,
            connections_max: None,
            rooms_max: 1_000_000,
            fetches_max: 1024,
            header_timeout: Duration::from_secs(10),
            keep_alive_timeout: Duration::from_secs(75),
            close_timeout: Duration::from_secs(5),
            ping_every: Duration::from_secs(30),
            ping_timeout: Duration::from_secs(20),
            idle_after: Duration::from_secs(30),
            hibernate_after: Duration::from_secs(10),
            hook_warn_after: Duration::from_secs(1),
            hook_timeout: Duration::from_secs(30),
            call_timeout: Duration::from_secs(10),
            restarts_max: 3,
            restart_window: Duration::from_secs(60),
            shutdown_grace: Duration::from_secs(10),
        }
    }
}

impl Config {
    /// These limits, but for those that the party has of its own; refuses what makes no sense
    /// among them. The host's own have been checked.
    pub(crate) fn of_party(&self, party: &PartyName, options: &PartyOptions) -> Result<Self, ConfigError> {
        macro_rules! overridden {
            ($($setting:ident)*) => {
                Self { $($setting: options.$setting.unwrap_or(self.$setting),)* ..self.clone() }
            };
        }
        let config = overridden! {
            message_bytes_max body_bytes_max body_timeout connection_state_bytes_max
            mailbox_events_max mailbox_bytes_max commits_pending_max held_bytes_max outbox_bytes_max
            ping_every ping_timeout idle_after hibernate_after hook_warn_after hook_timeout
            restarts_max restart_window
        };
        config.check().map_err(|error| ConfigError { party: Some(party.clone()), ..error })?;
        Ok(config)
    }

    /// Refuses what makes no sense, by name.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        const SHARDS_MAX: usize = 1024;
        const BYTES_MAX: usize = u32::MAX as usize;
        let counts = [
            ("shards", self.shards, 1, SHARDS_MAX, "1 to 1024"),
            ("message_bytes_max", self.message_bytes_max, 1, BYTES_MAX, "1 to 4294967295 bytes"),
            ("body_bytes_max", self.body_bytes_max, 0, BYTES_MAX, "0 to 4294967295 bytes"),
            ("storage.key_bytes_max", self.storage.key_bytes_max, 1, 65_535, "1 to 65535 bytes"),
            ("storage.value_bytes_max", self.storage.value_bytes_max, 1, 1 << 30, "1 to 1073741824 bytes"),
            (
                "storage.alarm_name_bytes_max",
                self.storage.alarm_name_bytes_max,
                1,
                65_535,
                "1 to 65535 bytes",
            ),
            ("mailbox_events_max", self.mailbox_events_max, 1, 1 << 24, "1 to 16777216"),
            ("mailbox_bytes_max", self.mailbox_bytes_max, 1, BYTES_MAX, "1 to 4294967295 bytes"),
            ("commits_pending_max", self.commits_pending_max, 1, 65_536, "1 to 65536"),
            ("held_bytes_max", self.held_bytes_max, 1, usize::MAX, "at least 1 byte"),
            ("outbox_bytes_max", self.outbox_bytes_max, 1, usize::MAX, "at least 1 byte"),
            ("connections_max", self.connections_max.unwrap_or(1), 1, usize::MAX, "at least 1"),
            ("rooms_max", self.rooms_max, 1, usize::MAX, "at least 1"),
            ("fetches_max", self.fetches_max, 1, 1 << 24, "1 to 16777216"),
        ];
        for (setting, value, least, most, legal) in counts {
            if !(least..=most).contains(&value) {
                return Err(ConfigError { party: None, setting, found: value.to_string(), legal });
            }
        }
        let times = [
            ("body_timeout", self.body_timeout),
            ("header_timeout", self.header_timeout),
            ("keep_alive_timeout", self.keep_alive_timeout),
            ("close_timeout", self.close_timeout),
            ("ping_every", self.ping_every),
            ("ping_timeout", self.ping_timeout),
            ("idle_after", self.idle_after),
            ("hibernate_after", self.hibernate_after),
            ("hook_warn_after", self.hook_warn_after),
            ("hook_timeout", self.hook_timeout),
            ("call_timeout", self.call_timeout),
            ("restart_window", self.restart_window),
            ("shutdown_grace", self.shutdown_grace),
        ];
        for (setting, value) in times {
            if value.is_zero() {
                let (found, legal) = ("0".to_owned(), "longer than 0");
                return Err(ConfigError { party: None, setting, found, legal });
            }
        }
        Ok(())
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { party, setting, found, legal } = self;
        write!(f, "setting `{setting}`")?;
        if let Some(party) = party {
            write!(f, " of the party `{party}`")?;
        }
        write!(f, " is {found}, but must be {legal}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_legal() {
        assert_eq!(Config::default().check(), Ok(()));
    }

    #[test]
    fn a_nonsensical_setting_is_refused_by_name_with_the_legal_range() {
        let refused = |change: fn(&mut Config)| {
            let mut config = Config::default();
            change(&mut config);
            config.check().unwrap_err().to_string()
        };
        assert_eq!(refused(|c| c.shards = 0), "setting `shards` is 0, but must be 1 to 1024");
        assert_eq!(
            refused(|c| c.message_bytes_max = 0),
            "setting `message_bytes_max` is 0, but must be 1 to 4294967295 bytes"
        );
        assert_eq!(
            refused(|c| c.hook_timeout = Duration::ZERO),
            "setting `hook_timeout` is 0, but must be longer than 0"
        );
        assert!(refused(|c| c.mailbox_events_max = 0).contains("`mailbox_events_max`"));
    }
}
