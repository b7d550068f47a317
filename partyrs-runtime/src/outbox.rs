//! What waits for one slow client: whole frames, in order, and how many bytes they are.
//!
//! Of frames with a key only the newest waits. The one that it replaces leaves a gap, which
//! costs less than closing up; gaps are closed when they are more than the frames.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use rustc_hash::FxHashMap;

/// Gaps that are not worth closing.
const GAPS_MIN: usize = 32;

/// The frames that wait for one client.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// A gap has no bytes.
    kept: VecDeque<Kept>,
    bytes: usize,
    gaps_count: usize,
    /// Whether some of the first entry is written: it cannot be replaced any more.
    first_has_begun: bool,
    /// How many entries have left the front; with it, numbers of entries become places.
    left_count: u64,
    /// Number of the entry of each key; may name one that has left.
    newest: FxHashMap<Arc<str>, u64>,
}

#[derive(Debug)]
struct Kept {
    bytes: Bytes,
    key: Option<Arc<str>>,
}

impl Outbox {
    /// Bytes that wait.
    pub(crate) fn len_bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Adds frames behind all others.
    pub(crate) fn push(&mut self, bytes: Bytes) {
        self.push_kept(Kept { bytes, key: None });
    }

    /// Adds one frame behind all others, and takes out an older one of the same key.
    pub(crate) fn push_newest(&mut self, key: &Arc<str>, bytes: Bytes) {
        if let Some(older) = self.newest.get(key).copied() {
            self.take_out(older);
        }
        self.newest.insert(Arc::clone(key), self.left_count + self.kept.len() as u64);
        self.push_kept(Kept { bytes, key: Some(Arc::clone(key)) });
    }

    /// The bytes to be written next.
    pub(crate) fn first(&mut self) -> Option<&[u8]> {
        while self.kept.front().is_some_and(|kept| kept.bytes.is_empty()) {
            self.pop_front();
            self.gaps_count = self.gaps_count.saturating_sub(1);
        }
        self.kept.front().map(|kept| &kept.bytes[..])
    }

    /// So many bytes of the first entry are written.
    pub(crate) fn written(&mut self, count: usize) {
        let Some(first) = self.kept.front_mut() else { return };
        first.bytes.advance(count);
        self.bytes -= count;
        self.first_has_begun = true;
        if first.bytes.is_empty() {
            self.pop_front();
        }
    }

    /// Drops everything.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    fn push_kept(&mut self, kept: Kept) {
        if !kept.bytes.is_empty() {
            self.bytes += kept.bytes.len();
            self.kept.push_back(kept);
        }
    }

    fn pop_front(&mut self) {
        self.kept.pop_front();
        self.left_count += 1;
        self.first_has_begun = false;
        if self.kept.is_empty() {
            // Nothing that is named here waits any more.
            self.newest = FxHashMap::default();
        }
    }

    fn take_out(&mut self, number: u64) {
        let Some(place) = number.checked_sub(self.left_count) else { return };
        if place == 0 && self.first_has_begun {
            return;
        }
        let place = usize::try_from(place).unwrap_or(usize::MAX);
        if let Some(older) = self.kept.get_mut(place) {
            self.bytes -= older.bytes.len();
            self.gaps_count += usize::from(!older.bytes.is_empty());
            *older = Kept { bytes: Bytes::new(), key: None };
        }
        if self.gaps_count > GAPS_MIN.max(self.kept.len() / 2) {
            self.close_gaps();
        }
    }

    fn close_gaps(&mut self) {
        let before = self.kept.len();
        self.kept.retain(|kept| !kept.bytes.is_empty());
        self.left_count += (before - self.kept.len()) as u64;
        self.gaps_count = 0;
        let keyed = (self.left_count..).zip(&self.kept);
        let newest = keyed.filter_map(|(number, kept)| Some((Arc::clone(kept.key.as_ref()?), number)));
        self.newest = newest.collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(outbox: &mut Outbox, chunk: usize) -> String {
        let mut all = Vec::new();
        while let Some(first) = outbox.first() {
            let count = first.len().min(chunk);
            all.extend_from_slice(&first[..count]);
            outbox.written(count);
        }
        assert!(outbox.is_empty() && outbox.newest.is_empty());
        String::from_utf8(all).unwrap()
    }

    fn newest(outbox: &mut Outbox, key: &str, text: &str) {
        outbox.push_newest(&key.into(), Bytes::copy_from_slice(text.as_bytes()));
    }

    #[test]
    fn the_newest_of_a_key_waits_in_its_own_place() {
        let mut outbox = Outbox::default();
        newest(&mut outbox, "a", "a1 ");
        outbox.push("x ".into());
        newest(&mut outbox, "b", "b1 ");
        newest(&mut outbox, "a", "a2 ");
        newest(&mut outbox, "a", "a3 ");
        assert_eq!(outbox.len_bytes(), 8);
        assert_eq!(drain(&mut outbox, 2), "x b1 a3 ");
    }

    #[test]
    fn a_frame_that_has_begun_is_finished() {
        let mut outbox = Outbox::default();
        newest(&mut outbox, "a", "a1 ");
        outbox.first();
        outbox.written(1);
        newest(&mut outbox, "a", "a2 ");
        newest(&mut outbox, "a", "a3 ");
        assert_eq!(drain(&mut outbox, 100), "1 a3 ");
    }

    #[test]
    fn a_client_that_never_reads_keeps_one_frame_of_each_key() {
        let mut outbox = Outbox::default();
        outbox.push("x ".into());
        for round in 0..10_000 {
            for key in ["a", "b", "c"] {
                newest(&mut outbox, key, &format!("{key}{round} "));
            }
        }
        assert!(outbox.kept.len() <= 3 * GAPS_MIN, "{}", outbox.kept.len());
        assert_eq!(drain(&mut outbox, 3), "x a9999 b9999 c9999 ");
    }
}
