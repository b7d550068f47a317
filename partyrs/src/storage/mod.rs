//! The storage of one room, as a hook sees it.
//!
//! Keys are text and sort by bytes. Values are MessagePack with field names through serde,
//! or raw bytes. Writes only collect in the open commit of the running hook; reads see them
//! at once, and those of earlier hooks that are still on their way to the disk. So a read
//! is answered by three layers: the open commit, the commits in flight, the engine.

mod engine;
mod list;
mod memory;
mod writes;

use std::collections::BTreeMap;
use std::task::Poll;
use std::time::SystemTime;

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

pub use engine::{
    Commit, CommitError, DueAlarm, DueAlarms, EngineError, Opened, Snapshot, StorageEngine, StoredAlarm,
    StoredEntries,
};
pub use list::{KeyRange, List};
pub use memory::MemoryEngine;
pub use writes::{Known, Writes};

use crate::alarm::{When, time_of};
use crate::room::Room;

/// The storage of one room; got by [`Room::storage`].
///
/// Writes are part of the running hook: they are kept together when it returns `Ok`, and
/// dropped together when it fails. Reads see them at once. Cost of a write: encoding, and a
/// place in a map. Cost of a read: decoding, and a question to the engine unless the value is
/// still on its way to the disk; so keep in `self` what is read often.
///
/// Keys are text, at most 2 KiB, and sort by bytes. Values are MessagePack with field names,
/// at most 2 MiB, or raw bytes.
///
/// Alarms are kept here too: [`Storage::set_alarm`] makes the room call
/// [`on_alarm`](crate::PartyServer::on_alarm) at its time, from sleep and after a restart as well.
///
/// # Examples
///
/// ```
/// # use partyrs::prelude::*;
/// # async fn hook(room: &Room) -> Result<()> {
/// let visits: u32 = room.storage().get("visits").await?.unwrap_or(0);
/// room.storage().put("visits", &(visits + 1))?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Storage<'a> {
    room: &'a Room,
}

/// Limits of one room's storage; set by the host.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct StorageLimits {
    /// Longest key in bytes; default 2 KiB. A longer one is refused.
    pub key_bytes_max: usize,
    /// Longest value in bytes, as encoded; default 2 MiB. A longer one is refused.
    pub value_bytes_max: usize,
    /// Longest name of an alarm in bytes; default 256. A longer one is refused.
    pub alarm_name_bytes_max: usize,
}

/// Why storage did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// Nothing was written.
    #[error("key of {len_bytes} bytes is over the limit of {limit_bytes}")]
    KeyTooLong {
        /// Length of the refused key.
        len_bytes: usize,
        /// `key_bytes_max` of this host.
        limit_bytes: usize,
    },
    /// Nothing was written.
    #[error("value of {len_bytes} bytes at key {key:?} is over the limit of {limit_bytes}")]
    ValueTooLong {
        /// Where it was to be written.
        key: String,
        /// Length of the refused value, as encoded.
        len_bytes: usize,
        /// `value_bytes_max` of this host.
        limit_bytes: usize,
    },
    /// The value's serde implementation failed; nothing was written.
    #[error("value for key {key:?} cannot be stored")]
    Encode {
        /// Where it was to be written.
        key: String,
        /// What serde says.
        source: rmp_serde::encode::Error,
    },
    /// What is stored is not a `T`; it is left as it is.
    #[error("value at key {key:?} is not of the type asked for")]
    Decode {
        /// Where it was read.
        key: String,
        /// What serde says.
        source: rmp_serde::decode::Error,
    },
    /// The listing asks for something that cannot be.
    #[error("{0}")]
    List(&'static str),
    /// No alarm was set.
    #[error("name of an alarm has {len_bytes} bytes, but must have 1 to {limit_bytes}")]
    AlarmName {
        /// Length of the refused name.
        len_bytes: usize,
        /// `alarm_name_bytes_max` of this host.
        limit_bytes: usize,
    },
    /// No alarm was set.
    #[error("time of an alarm must be after 1970")]
    AlarmTime,
    /// The engine could not read.
    #[error("storage cannot be read")]
    Engine(#[from] EngineError),
}

impl Default for StorageLimits {
    fn default() -> Self {
        Self { key_bytes_max: 2 << 10, value_bytes_max: 2 << 20, alarm_name_bytes_max: 256 }
    }
}

impl<'a> Storage<'a> {
    pub(crate) fn of(room: &'a Room) -> Self {
        Self { room }
    }

    /// Stores `value` under `key`; an older value is replaced.
    ///
    /// # Errors
    ///
    /// [`StorageError`] if the key or the encoded value is over its limit, or serde fails.
    /// Nothing is written then, and should the hook fail, the room restarts.
    pub fn put(&self, key: impl Into<String>, value: &(impl Serialize + ?Sized)) -> Result<(), StorageError> {
        let key = key.into();
        // User code: it runs before the ledger is touched.
        match rmp_serde::to_vec_named(value) {
            Ok(bytes) => self.put_bytes(key, bytes),
            Err(source) => {
                self.room.ledger().put_was_refused();
                Err(StorageError::Encode { key, source })
            }
        }
    }

    /// Stores raw bytes under `key`; read them back by [`Storage::get_bytes`].
    ///
    /// # Errors
    ///
    /// As [`Storage::put`].
    pub fn put_bytes(&self, key: impl Into<String>, value: impl Into<Bytes>) -> Result<(), StorageError> {
        self.room.ledger().put(key.into(), value.into())
    }

    /// Stores several values; an older value of a key is replaced.
    ///
    /// # Errors
    ///
    /// As [`Storage::put`], at the first that is refused; those before it stay in the commit.
    pub fn put_many<K, V>(&self, entries: impl IntoIterator<Item = (K, V)>) -> Result<(), StorageError>
    where
        K: Into<String>,
        V: Serialize,
    {
        entries.into_iter().try_for_each(|(key, value)| self.put(key, &value))
    }

    /// Removes `key`, if it is there.
    pub fn delete(&self, key: impl Into<String>) {
        self.room.ledger().delete(key.into());
    }

    /// Removes several keys, those that are there.
    pub fn delete_many<K: Into<String>>(&self, keys: impl IntoIterator<Item = K>) {
        keys.into_iter().for_each(|key| self.delete(key));
    }

    /// Removes everything that this room has stored, what this hook has put included, and all
    /// its alarms.
    pub fn delete_all(&self) {
        self.room.ledger().delete_all();
    }

    /// Sets the room's alarm: at its time [`on_alarm`](crate::PartyServer::on_alarm) is called,
    /// in this room, opened again if it has left memory, and after a restart of the host. An
    /// alarm that was set before is replaced.
    ///
    /// `when` is a [`SystemTime`], or a [`Duration`](std::time::Duration) from
    /// [`Room::now`] on. A time in the past goes off at once; none goes off early. It counts as
    /// a write: it is kept when the hook returns `Ok`, and dropped when it fails. Times are
    /// kept in milliseconds, rounded up.
    ///
    /// A room has one alarm of this kind and any number of named ones
    /// ([`Storage::set_alarm_named`]); they are in memory while the room is.
    ///
    /// # Errors
    ///
    /// [`StorageError::AlarmTime`] for a time that is not after 1970. No alarm is set then, and
    /// should the hook fail, the room restarts.
    ///
    /// # Examples
    ///
    /// ```
    /// # use partyrs::prelude::*;
    /// # use std::time::Duration;
    /// # async fn hook(room: &Room) -> Result<()> {
    /// room.storage().set_alarm(Duration::from_secs(60))?;
    /// room.storage().set_alarm_named("cleanup", room.now() + Duration::from_secs(3600))?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_alarm(&self, when: impl Into<When>) -> Result<(), StorageError> {
        self.room.ledger().set_alarm("", when.into().unix_ms(self.room.now()))
    }

    /// As [`Storage::set_alarm`], for the alarm of this name; the others are left alone.
    ///
    /// # Errors
    ///
    /// As [`Storage::set_alarm`], and [`StorageError::AlarmName`] for a name that is empty or
    /// longer than `alarm_name_bytes_max` (default 256 bytes).
    pub fn set_alarm_named(&self, name: &str, when: impl Into<When>) -> Result<(), StorageError> {
        self.room.ledger().check_alarm_name(name)?;
        self.room.ledger().set_alarm(name, when.into().unix_ms(self.room.now()))
    }

    /// The time that the room's alarm is set to, if it is. One that waits to be called again
    /// after a failure has the time that it was set to.
    ///
    /// In `on_alarm` the alarm that called it is `None`, unless it was set again.
    #[must_use]
    pub fn get_alarm(&self) -> Option<SystemTime> {
        self.room.ledger().alarm("").map(time_of)
    }

    /// As [`Storage::get_alarm`], for the alarm of this name.
    #[must_use]
    pub fn get_alarm_named(&self, name: &str) -> Option<SystemTime> {
        // The empty name is that of the other alarm inside, and no name for users.
        Some(name)
            .filter(|name| !name.is_empty())
            .and_then(|name| self.room.ledger().alarm(name))
            .map(time_of)
    }

    /// Names and times of all alarms of the room, as [`Storage::get_alarm`] tells them, in the
    /// order of the names' bytes; the one without a name comes first.
    #[must_use]
    pub fn alarms(&self) -> Vec<(Option<String>, SystemTime)> {
        let alarms = self.room.ledger().alarms().into_iter();
        alarms.map(|(name, ms)| (Some(name).filter(|name| !name.is_empty()), time_of(ms))).collect()
    }

    /// Deletes the room's alarm, if it is set. In `on_alarm`, and in `on_error` after it, it
    /// is not called again then, if the hook and its commit end well.
    pub fn delete_alarm(&self) {
        self.room.ledger().delete_alarm("");
    }

    /// As [`Storage::delete_alarm`], for the alarm of this name.
    pub fn delete_alarm_named(&self, name: &str) {
        if !name.is_empty() {
            self.room.ledger().delete_alarm(name);
        }
    }

    /// The value under `key`.
    ///
    /// # Errors
    ///
    /// [`StorageError`] if the value is not a `T`, or the engine cannot read.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, StorageError> {
        let bytes = self.get_bytes(key).await?;
        bytes.map(|bytes| decode(key, &bytes)).transpose()
    }

    /// The raw bytes under `key`.
    ///
    /// # Errors
    ///
    /// [`StorageError::Engine`] if the engine cannot read.
    ///
    /// # Cancel safety
    ///
    /// As [`Storage::get`].
    pub async fn get_bytes(&self, key: &str) -> Result<Option<Bytes>, StorageError> {
        match self.room.ledger().known(key) {
            Known::Value(bytes) => Ok(Some(bytes)),
            Known::Absent => Ok(None),
            Known::AskEngine => {
                let keys = [key.to_owned()];
                let mut found = self.room.host().engine()?.get(self.room.address(), &keys).await?;
                Ok(found.pop().flatten())
            }
        }
    }

    /// The values under `keys`, those that are there, in the order of the keys' bytes. The
    /// engine is asked once.
    ///
    /// # Errors
    ///
    /// As [`Storage::get`].
    ///
    /// # Cancel safety
    ///
    /// As [`Storage::get`].
    pub async fn get_many<T, K>(
        &self,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<BTreeMap<String, T>, StorageError>
    where
        T: DeserializeOwned,
        K: Into<String>,
    {
        let mut found = BTreeMap::new();
        let mut unknown = Vec::new();
        for key in keys.into_iter().map(Into::into) {
            match self.room.ledger().known(&key) {
                Known::Value(bytes) => {
                    found.insert(key, bytes);
                }
                Known::Absent => {}
                Known::AskEngine => unknown.push(key),
            }
        }
        if !unknown.is_empty() {
            let values = self.room.host().engine()?.get(self.room.address(), &unknown).await?;
            let there = unknown.into_iter().zip(values);
            found.extend(there.filter_map(|(key, value)| value.map(|bytes| (key, bytes))));
        }
        found.into_iter().map(|(key, bytes)| Ok((key.clone(), decode(&key, &bytes)?))).collect()
    }

    /// Keys and values in the order of the keys' bytes: all, or what [`List`] asks for.
    ///
    /// They are all in memory at once: ask for pages (`limit`, `start_after`) where there may be many.
    ///
    /// # Errors
    ///
    /// [`StorageError`] if the listing asks for something that cannot be, a value is not a
    /// `T`, or the engine cannot read.
    ///
    /// # Cancel safety
    ///
    /// As [`Storage::get`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use partyrs::prelude::*;
    /// # async fn hook(room: &Room) -> Result<()> {
    /// let newest = List::prefix("message:").limit(200).reverse();
    /// let messages: Vec<(String, String)> = room.storage().list(newest).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn list<T: DeserializeOwned>(&self, list: List) -> Result<Vec<(String, T)>, StorageError> {
        let entries = self.list_bytes(list).await?;
        entries.into_iter().map(|(key, bytes)| Ok((key.clone(), decode(&key, &bytes)?))).collect()
    }

    /// As [`Storage::list`], with the values as raw bytes.
    ///
    /// # Errors
    ///
    /// As [`Storage::list`].
    ///
    /// # Cancel safety
    ///
    /// As [`Storage::get`].
    pub async fn list_bytes(&self, list: List) -> Result<Vec<(String, Bytes)>, StorageError> {
        let range = list.into_range().map_err(StorageError::List)?;
        // Taken before the engine is asked: a commit that lands meanwhile is then seen twice, never not at all.
        let pending = self.room.ledger().pending_writes();
        if pending.clears() {
            return Ok(pending.merge(&range, Vec::new()));
        }
        let asked = pending.range_for_engine(&range);
        let stored = self.room.host().engine()?.list(self.room.address(), &asked).await?;
        Ok(pending.merge(&range, stored))
    }

    /// Ends the commit here and waits until it and all earlier ones of the room are on disk.
    ///
    /// What follows is a commit of its own: should the hook fail later, what was written
    /// before this stays, and so do connection state and closes. If the commit fails, this
    /// never returns: the hook ends here and the room closes (its connections with 1011, or
    /// 1013 when the disk is full).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends only the waiting: the commit has ended with the first poll
    /// and goes to the disk.
    pub async fn sync(&self) {
        let number = self.room.ledger().seal();
        std::future::poll_fn(|cx| {
            let durable = self.room.ledger().is_durable_or_wake(number, cx.waker());
            if durable { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

fn decode<T: DeserializeOwned>(key: &str, bytes: &[u8]) -> Result<T, StorageError> {
    rmp_serde::from_slice(bytes).map_err(|source| StorageError::Decode { key: key.to_owned(), source })
}
