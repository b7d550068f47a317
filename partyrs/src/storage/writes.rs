//! The writes of one commit, and how they lie over what is stored.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::engine::StoredAlarm;
use super::list::KeyRange;

/// The writes of one commit: at most one per key and one per alarm, and whether all else,
/// alarms included, is removed first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Writes {
    clear: bool,
    entries: BTreeMap<String, Option<Bytes>>,
    alarms: BTreeMap<String, Option<StoredAlarm>>,
}

/// What a layer of writes knows of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// It was put.
    Value(Bytes),
    /// It was deleted.
    Absent,
    /// This layer does not say; the one below does.
    AskEngine,
}

impl Writes {
    /// Without any write.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether there is nothing to commit.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.clear && self.entries.is_empty() && self.alarms.is_empty()
    }

    /// Whether everything stored before is removed first, alarms included.
    #[must_use]
    pub fn clears(&self) -> bool {
        self.clear
    }

    /// The writes by key: a value, or `None` for a deletion.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = (&str, Option<&Bytes>)> {
        self.entries.iter().map(|(key, value)| (key.as_str(), value.as_ref()))
    }

    /// The changes of alarms by name, which is empty for the one without: a new time, or
    /// `None` for a deletion.
    pub fn alarms(&self) -> impl ExactSizeIterator<Item = (&str, Option<&StoredAlarm>)> {
        self.alarms.iter().map(|(name, alarm)| (name.as_str(), alarm.as_ref()))
    }

    /// Bytes of all keys and values, and of alarms roughly.
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        const ALARM_BYTES: usize = 32;
        let values = self.entries.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, Bytes::len));
        let alarms = self.alarms.keys().map(|name| name.len() + ALARM_BYTES);
        values.chain(alarms).sum()
    }

    /// Writes a value.
    pub fn put(&mut self, key: String, value: Bytes) {
        self.entries.insert(key, Some(value));
    }

    /// Writes a deletion.
    pub fn delete(&mut self, key: String) {
        self.entries.insert(key, None);
    }

    /// Sets an alarm; one of the same name is replaced.
    pub fn set_alarm(&mut self, alarm: StoredAlarm) {
        self.alarms.insert(alarm.name.clone(), Some(alarm));
    }

    /// Deletes the alarm of this name; empty for the one without.
    pub fn delete_alarm(&mut self, name: String) {
        self.alarms.insert(name, None);
    }

    /// Removes everything, what these writes put and set included.
    pub fn delete_all(&mut self) {
        self.clear = true;
        self.entries.clear();
        self.alarms.clear();
    }

    /// What these writes say of the alarm `name`: `None` if nothing, else the alarm if there is one.
    pub(crate) fn known_alarm(&self, name: &str) -> Option<Option<&StoredAlarm>> {
        match self.alarms.get(name) {
            Some(alarm) => Some(alarm.as_ref()),
            None => self.clear.then_some(None),
        }
    }

    /// What these writes know of `key`.
    #[must_use]
    pub fn known(&self, key: &str) -> Known {
        match self.entries.get(key) {
            Some(Some(bytes)) => Known::Value(bytes.clone()),
            Some(None) => Known::Absent,
            None if self.clear => Known::Absent,
            None => Known::AskEngine,
        }
    }

    /// Lays `later` writes over these.
    pub fn extend(&mut self, later: &Self) {
        if later.clear {
            self.delete_all();
        }
        self.entries.extend(later.entries.iter().map(|(key, value)| (key.clone(), value.clone())));
        self.alarms.extend(later.alarms.iter().map(|(name, alarm)| (name.clone(), alarm.clone())));
    }

    /// What to ask the engine so that [`Writes::merge`] can answer `range`: as many entries
    /// more as these writes may take away.
    pub(crate) fn range_for_engine(&self, range: &KeyRange) -> KeyRange {
        let deletions_count =
            self.entries.iter().filter(|(key, value)| value.is_none() && range.contains(key)).count();
        let mut asked = range.clone();
        asked.limit = range.limit.map(|limit| limit.saturating_add(deletions_count));
        asked
    }

    /// Lays these writes over what the engine found for [`Writes::range_for_engine`].
    pub(crate) fn merge(&self, range: &KeyRange, stored: Vec<(String, Bytes)>) -> Vec<(String, Bytes)> {
        let mut merged: BTreeMap<String, Bytes> = stored.into_iter().collect();
        for (key, value) in self.entries.iter().filter(|(key, _)| range.contains(key)) {
            match value {
                Some(bytes) => merged.insert(key.clone(), bytes.clone()),
                None => merged.remove(key),
            };
        }
        let limit = range.limit.unwrap_or(usize::MAX);
        if range.reverse {
            merged.into_iter().rev().take(limit).collect()
        } else {
            merged.into_iter().take(limit).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Bound;

    use super::*;

    /// A small generator (xorshift), so that a failure is the same in every run.
    fn random(seed: &mut u64, below: usize) -> usize {
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        usize::try_from(*seed % below as u64).unwrap()
    }

    fn key(seed: &mut u64) -> String {
        format!("k{}", random(seed, 12))
    }

    fn range(seed: &mut u64) -> KeyRange {
        let mut range = KeyRange::all();
        let bound = |seed: &mut u64| match random(seed, 3) {
            0 => Bound::Unbounded,
            1 => Bound::Included(key(seed)),
            _ => Bound::Excluded(key(seed)),
        };
        (range.start, range.end) = (bound(seed), bound(seed));
        range.limit = [None, Some(1), Some(3)][random(seed, 3)];
        range.reverse = random(seed, 2) == 1;
        range
    }

    fn select(stored: &BTreeMap<String, Bytes>, range: &KeyRange) -> Vec<(String, Bytes)> {
        let mut entries: Vec<_> = stored.clone().into_iter().filter(|(key, _)| range.contains(key)).collect();
        if range.reverse {
            entries.reverse();
        }
        entries.truncate(range.limit.unwrap_or(usize::MAX));
        entries
    }

    /// Lists random ranges over random layers, against a map in which all is applied.
    #[test]
    fn a_listing_over_pending_writes_is_that_of_a_store_which_has_them() {
        let mut seed = 7;
        for _ in 0..20_000 {
            let stored: BTreeMap<String, Bytes> =
                (0..random(&mut seed, 8)).map(|_| (key(&mut seed), Bytes::from("old"))).collect();
            let mut pending = Writes::new();
            let mut applied = stored.clone();
            for _ in 0..random(&mut seed, 3) {
                let mut layer = Writes::new();
                for _ in 0..random(&mut seed, 5) {
                    match random(&mut seed, 8) {
                        0 => {
                            layer.delete_all();
                            applied.clear();
                        }
                        1..=3 => {
                            let key = key(&mut seed);
                            applied.remove(&key);
                            layer.delete(key);
                        }
                        _ => {
                            let key = key(&mut seed);
                            applied.insert(key.clone(), Bytes::from("new"));
                            layer.put(key, Bytes::from("new"));
                        }
                    }
                }
                pending.extend(&layer);
            }
            let range = range(&mut seed);
            let found = if pending.clears() {
                Vec::new()
            } else {
                select(&stored, &pending.range_for_engine(&range))
            };
            assert_eq!(pending.merge(&range, found), select(&applied, &range), "{range:?} {pending:?}");
        }
    }
}
