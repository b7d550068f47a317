//! Which keys a listing is about.

use std::ops::Bound;

/// Which keys to list, how many, and in which direction.
///
/// Keys sort by bytes. Conditions narrow each other: `prefix("a:").start("a:5")` lists the
/// keys that begin with `a:` and do not come before `a:5`.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct List {
    prefix: Option<String>,
    start: Option<String>,
    start_after: Option<String>,
    end: Option<String>,
    limit: Option<usize>,
    reverse: bool,
}

/// A range of keys in the words of an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyRange {
    /// Where it begins, in the order of bytes.
    pub start: Bound<String>,
    /// Where it ends.
    pub end: Bound<String>,
    /// How many entries at most.
    pub limit: Option<usize>,
    /// From the end to the beginning; a limit counts from the end then.
    pub reverse: bool,
}

impl List {
    /// All keys.
    pub fn all() -> Self {
        Self::default()
    }

    /// Keys that begin with `prefix`.
    pub fn prefix(prefix: impl Into<String>) -> Self {
        Self { prefix: Some(prefix.into()), ..Self::default() }
    }

    /// Keys from `key` on, `key` included. Not together with [`List::start_after`].
    pub fn start(mut self, key: impl Into<String>) -> Self {
        self.start = Some(key.into());
        self
    }

    /// Keys after `key`, `key` left out. Not together with [`List::start`].
    pub fn start_after(mut self, key: impl Into<String>) -> Self {
        self.start_after = Some(key.into());
        self
    }

    /// Keys before `key`, `key` left out.
    pub fn end(mut self, key: impl Into<String>) -> Self {
        self.end = Some(key.into());
        self
    }

    /// At most `limit` entries; 0 is refused.
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = Some(limit);
        self
    }

    /// From the last key to the first. The range stays the same; a limit counts from its end.
    pub fn reverse(mut self) -> Self {
        self.reverse = true;
        self
    }

    pub(crate) fn into_range(self) -> Result<KeyRange, &'static str> {
        if self.limit == Some(0) {
            return Err("limit of a listing must be at least 1");
        }
        let mut start = match (self.start, self.start_after) {
            (Some(_), Some(_)) => return Err("a listing has `start` or `start_after`, not both"),
            (Some(key), None) => Bound::Included(key),
            (None, Some(key)) => Bound::Excluded(key),
            (None, None) => Bound::Unbounded,
        };
        let mut end = self.end.map_or(Bound::Unbounded, Bound::Excluded);
        if let Some(prefix) = self.prefix {
            if let Some(after) = first_after_prefix(&prefix)
                && !matches!(&end, Bound::Excluded(key) if *key < after)
            {
                end = Bound::Excluded(after);
            }
            let is_later = |key: &String| *key >= prefix;
            if !matches!(&start, Bound::Included(key) | Bound::Excluded(key) if is_later(key)) {
                start = Bound::Included(prefix);
            }
        }
        Ok(KeyRange { start, end, limit: self.limit, reverse: self.reverse })
    }
}

impl KeyRange {
    /// Every key of a room.
    #[must_use]
    pub fn all() -> Self {
        Self { start: Bound::Unbounded, end: Bound::Unbounded, limit: None, reverse: false }
    }

    /// Whether `key` lies in it.
    #[must_use]
    pub fn contains(&self, key: &str) -> bool {
        let begun = match &self.start {
            Bound::Included(start) => key >= start.as_str(),
            Bound::Excluded(start) => key > start.as_str(),
            Bound::Unbounded => true,
        };
        let ended = match &self.end {
            Bound::Included(end) => key > end.as_str(),
            Bound::Excluded(end) => key >= end.as_str(),
            Bound::Unbounded => false,
        };
        begun && !ended
    }

    /// Whether no key can lie in it: it ends before it begins.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match (&self.start, &self.end) {
            (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
            (Bound::Included(start), Bound::Included(end)) => start > end,
            (
                Bound::Included(start) | Bound::Excluded(start),
                Bound::Included(end) | Bound::Excluded(end),
            ) => start >= end,
        }
    }
}

/// The first text, in the order of bytes, that comes after all that begin with `prefix`.
///
/// UTF-8 sorts as its code points do, so the last character is raised by one; where it is
/// the highest there is, the one before it.
fn first_after_prefix(prefix: &str) -> Option<String> {
    let mut after = prefix.to_owned();
    while let Some(last) = after.pop() {
        if let Some(next) = ((last as u32 + 1)..=(char::MAX as u32)).find_map(char::from_u32) {
            after.push(next);
            return Some(after);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(list: List) -> KeyRange {
        list.into_range().unwrap()
    }

    #[test]
    fn a_prefix_holds_what_begins_with_it_and_nothing_else() {
        for prefix in ["a", "a:", "é", "a\u{d7ff}", "a\u{10ffff}", "\u{10ffff}"] {
            let range = range(List::prefix(prefix));
            assert!(range.contains(prefix));
            assert!(range.contains(&format!("{prefix}\u{10ffff}x")));
            assert!(!range.contains(&prefix[..prefix.len() - prefix.chars().last().unwrap().len_utf8()]));
            if let Some(after) = first_after_prefix(prefix) {
                assert!(!range.contains(&after), "{prefix:?} {after:?}");
            }
        }
    }

    #[test]
    fn conditions_narrow_each_other() {
        let range = range(List::prefix("a").start("a5").end("a9"));
        assert!(range.contains("a5") && range.contains("a89"));
        assert!(!range.contains("a4") && !range.contains("a9") && !range.contains("b"));
        let range = super::List::prefix("b").start_after("a").end("z").into_range().unwrap();
        assert!(range.contains("b") && !range.contains("az") && !range.contains("c"));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        assert!(List::all().limit(0).into_range().is_err());
        assert!(List::all().start("a").start_after("a").into_range().is_err());
    }

    #[test]
    fn a_range_that_ends_before_it_begins_is_empty() {
        assert!(range(List::all().start("b").end("a")).is_empty());
        assert!(range(List::all().start("a").end("a")).is_empty());
        assert!(range(List::prefix("c").end("b")).is_empty());
        assert!(!range(List::all().start("a").end("b")).is_empty());
    }
}
