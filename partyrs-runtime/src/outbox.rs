//! What waits for one slow client: whole frames, in order, and how many bytes they are.
//!
//! A part of a batch is shared only where it is at least half of it, so that a backlog does
//! not pin the memory of others; short pieces are gathered, for one by one they would cost
//! many times their bytes.
//!
//! Of frames with a key only the newest waits. The one that it replaces leaves a gap, which
//! costs less than closing up; gaps are closed when they are more than the frames.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use rustc_hash::FxHashMap;

/// Gaps that are not worth closing.
const GAPS_MIN: usize = 32;

/// At this length what is gathered becomes an entry.
const GATHERED_BYTES: usize = 64 << 10;

/// An entry costs this much beside its bytes, roughly; a shorter piece is gathered.
const SHARED_BYTES_MIN: usize = 256;

/// The frames that wait for one client.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// A gap has no bytes.
    kept: VecDeque<Kept>,
    /// Copies that come behind the entries.
    gathered: BytesMut,
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

    /// Adds a part of a batch, which is whole frames or the rest of some.
    pub(crate) fn keep(&mut self, batch: &Bytes, part: Range<usize>) {
        if part.len() * 2 >= batch.len() && part.len() >= SHARED_BYTES_MIN {
            self.end_gathering();
            self.push(Kept { bytes: batch.slice(part), key: None });
        } else {
            self.keep_copy(&batch[part]);
        }
    }

    /// Adds a copy of these bytes.
    pub(crate) fn keep_copy(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len();
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() >= GATHERED_BYTES {
            self.end_gathering();
        }
    }

    /// Adds one frame behind all others, and takes out an older one of the same key.
    pub(crate) fn keep_newest(&mut self, key: &Arc<str>, frame: &[u8]) {
        self.end_gathering();
        if let Some(older) = self.newest.get(key).copied() {
            self.take_out(older);
        }
        self.newest.insert(Arc::clone(key), self.left_count + self.kept.len() as u64);
        self.push(Kept { bytes: Bytes::copy_from_slice(frame), key: Some(Arc::clone(key)) });
    }

    /// The bytes to be written next.
    pub(crate) fn first(&mut self) -> Option<&[u8]> {
        while self.kept.front().is_some_and(|kept| kept.bytes.is_empty()) {
            self.pop_front();
            self.gaps_count = self.gaps_count.saturating_sub(1);
        }
        if self.kept.is_empty() {
            self.end_gathering();
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

    fn push(&mut self, kept: Kept) {
        self.bytes += kept.bytes.len();
        self.kept.push_back(kept);
    }

    fn end_gathering(&mut self) {
        if !self.gathered.is_empty() {
            let bytes = std::mem::take(&mut self.gathered).freeze();
            self.kept.push_back(Kept { bytes, key: None });
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
        outbox.keep_newest(&key.into(), text.as_bytes());
    }

    #[test]
    fn the_newest_of_a_key_waits_in_its_own_place() {
        let mut outbox = Outbox::default();
        newest(&mut outbox, "a", "a1 ");
        outbox.keep_copy(b"x ");
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
        outbox.keep_copy(b"x ");
        for round in 0..10_000 {
            for key in ["a", "b", "c"] {
                newest(&mut outbox, key, &format!("{key}{round} "));
            }
        }
        assert!(outbox.kept.len() <= 3 * GAPS_MIN, "{}", outbox.kept.len());
        assert_eq!(drain(&mut outbox, 3), "x a9999 b9999 c9999 ");
    }

    #[test]
    fn short_pieces_are_gathered_and_long_ones_shared_and_their_order_stays() {
        let long = Bytes::from(vec![7; 1000]);
        let mut outbox = Outbox::default();
        let mut expected = Vec::new();
        for number in 0..200_000_u32 {
            outbox.keep_copy(&number.to_be_bytes()[2..]);
            expected.extend_from_slice(&number.to_be_bytes()[2..]);
            if number % 50_000 == 0 {
                outbox.keep(&long, 100..700);
                expected.extend_from_slice(&long[100..700]);
                outbox.keep(&long, 700..900);
                expected.extend_from_slice(&long[700..900]);
            }
        }
        assert_eq!(outbox.bytes, expected.len());
        assert!(outbox.kept.len() < 20, "{} pieces", outbox.kept.len());

        let mut written = Vec::new();
        while let Some(front) = outbox.first() {
            let count = front.len().min(999);
            written.extend_from_slice(&front[..count]);
            outbox.written(count);
        }

        assert!(written == expected && outbox.is_empty());
    }
}
