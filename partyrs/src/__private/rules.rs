//! The rules that `#[frame(..)]` knows, each as a function of a value and its limits.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    fmt::Display,
};

use bytes::Bytes;

use crate::{Rule, Violation};

/// What `#[derive(FromFrame)]` writes for an item with rules.
pub trait CheckMessage {
    /// Looks at all rules up to the first that is broken.
    fn check(&self) -> Result<(), Violation>;
}

/// Is told the rules of a type, for those who describe it.
pub trait RuleSink {
    /// What stands there, from the value on, keeps this rule.
    fn rule(&mut self, path: &[Step], rule: ToldRule);

    /// What stands there keeps the rules that `tell` tells.
    fn nested(&mut self, path: &[Step], tell: fn(&mut dyn RuleSink));
}

/// A step from a value to one inside it.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// The value of this key.
    Key(&'static str),
    /// Each item of a list.
    Items,
}

/// A rule as it stands in the code; numbers are written out.
#[derive(Clone, Debug)]
pub enum ToldRule {
    /// `len`.
    Len(Option<usize>, Option<usize>),
    /// `bytes`.
    Bytes(Option<usize>, Option<usize>),
    /// `range`.
    Range(Option<String>, Option<String>),
    /// `pattern`.
    Pattern(&'static str),
}

impl ToldRule {
    /// `range`, for values of this type.
    pub fn range<T: Display>(min: Option<T>, max: Option<T>) -> Self {
        let [min, max] = [min, max].map(|limit| limit.map(|limit| limit.to_string()));
        Self::Range(min, max)
    }
}

/// What `len` counts.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no length that `len` could look at",
    note = "`len` is for strings and collections, and for an `Option` of one that is written as `Option<..>`; for others write `custom = \"..\"`"
)]
pub trait Length {
    /// What is counted.
    const UNIT: &'static str;

    /// How many there are.
    fn length(&self) -> usize;
}

/// What `bytes` counts.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no bytes that `bytes` could count",
    note = "`bytes` is for strings and bytes, and for an `Option` of one that is written as `Option<..>`; for others write `custom = \"..\"`"
)]
pub trait ByteLength {
    /// How many there are.
    fn byte_length(&self) -> usize;
}

/// What `inner` goes through.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no items that `inner` could look at",
    note = "`inner` is for lists and sets, and for an `Option` of one that is written as `Option<..>`; for others write `custom = \"..\"`"
)]
pub trait Items {
    /// One of them.
    type Item;

    /// Whether they come in the order of the frame.
    const KEEPS_ORDER: bool;

    /// All of them.
    fn items(&self) -> impl Iterator<Item = &Self::Item>;
}

macro_rules! texts {
    ($($text:ty),*) => {$(
        impl Length for $text {
            const UNIT: &'static str = "characters";

            fn length(&self) -> usize {
                self.chars().count()
            }
        }

        impl ByteLength for $text {
            fn byte_length(&self) -> usize {
                self.len()
            }
        }
    )*};
}

texts!(str, String, Box<str>, Cow<'_, str>);

macro_rules! collections {
    ($([$($param:tt)*] $collection:ty;)*) => {$(
        impl<$($param)*> Length for $collection {
            const UNIT: &'static str = "items";

            fn length(&self) -> usize {
                self.len()
            }
        }
    )*};
}

collections! {
    [T] [T];
    [T] Vec<T>;
    [T] Box<[T]>;
    [T] VecDeque<T>;
    [T] BTreeSet<T>;
    [T, S] HashSet<T, S>;
    [K, V] BTreeMap<K, V>;
    [K, V, S] HashMap<K, V, S>;
}

macro_rules! items {
    ($([$($param:tt)*] $list:ty, $keeps_order:literal;)*) => {$(
        impl<$($param)*> Items for $list {
            type Item = T;

            const KEEPS_ORDER: bool = $keeps_order;

            fn items(&self) -> impl Iterator<Item = &T> {
                self.iter()
            }
        }
    )*};
}

items! {
    [T] [T], true;
    [T, const N: usize] [T; N], true;
    [T] Vec<T>, true;
    [T] Box<[T]>, true;
    [T] VecDeque<T>, true;
    [T] BTreeSet<T>, false;
    [T, S] HashSet<T, S>, false;
}

macro_rules! bytes {
    ($($bytes:ty),*) => {$(
        impl ByteLength for $bytes {
            fn byte_length(&self) -> usize {
                self.len()
            }
        }
    )*};
}

bytes!([u8], Vec<u8>, Box<[u8]>, Bytes);

/// `len`.
pub fn len<T: Length + ?Sized>(value: &T, min: Option<usize>, max: Option<usize>) -> Result<(), Violation> {
    let found = value.length();
    if is_between(&found, min.as_ref(), max.as_ref()) {
        return Ok(());
    }
    Err(Violation::of(Rule::Len { min, max, found, unit: T::UNIT }))
}

/// `bytes`.
pub fn byte_len<T: ByteLength + ?Sized>(
    value: &T,
    min: Option<usize>,
    max: Option<usize>,
) -> Result<(), Violation> {
    let found = value.byte_length();
    if is_between(&found, min.as_ref(), max.as_ref()) {
        return Ok(());
    }
    Err(Violation::of(Rule::Bytes { min, max, found }))
}

/// `range`.
pub fn range<T: PartialOrd + Display>(value: &T, min: Option<T>, max: Option<T>) -> Result<(), Violation> {
    if is_between(value, min.as_ref(), max.as_ref()) {
        return Ok(());
    }
    let [min, max] = [min, max].map(|limit| limit.map(|limit| limit.to_string()));
    Err(Violation::of(Rule::Range { min, max }))
}

/// `inner`.
pub fn each<T: Items + ?Sized>(
    value: &T,
    mut check: impl FnMut(&T::Item) -> Result<(), Violation>,
) -> Result<(), Violation> {
    let at = |index, violation: Violation| match T::KEEPS_ORDER {
        true => violation.at_index(index),
        // Which place the item had in the frame nobody knows any more.
        false => violation.under("[]"),
    };
    value.items().enumerate().try_for_each(|(index, item)| check(item).map_err(|broken| at(index, broken)))
}

/// `custom` and `check`.
pub fn custom<E: Display>(told: Result<(), E>) -> Result<(), Violation> {
    told.map_err(Violation::new)
}

/// A value that has no place in the order, such as NaN, is not between.
fn is_between<T: PartialOrd>(value: &T, min: Option<&T>, max: Option<&T>) -> bool {
    min.is_none_or(|min| value >= min) && max.is_none_or(|max| value <= max)
}

/// The regular expression of one `pattern`, compiled when it is first asked.
#[cfg(feature = "pattern")]
#[derive(Debug)]
pub struct Pattern {
    text: &'static str,
    regex: std::sync::OnceLock<regex::Regex>,
}

#[cfg(feature = "pattern")]
impl Pattern {
    /// Takes a regular expression that the derive has compiled before.
    #[must_use]
    pub const fn new(text: &'static str) -> Self {
        Self { text, regex: std::sync::OnceLock::new() }
    }

    /// `pattern`.
    pub fn check<T: AsRef<str> + ?Sized>(&self, value: &T) -> Result<(), Violation> {
        let compile = || regex::Regex::new(self.text).expect("the derive has compiled it too");
        match self.regex.get_or_init(compile).is_match(value.as_ref()) {
            true => Ok(()),
            false => Err(Violation::of(Rule::Pattern(self.text))),
        }
    }
}
