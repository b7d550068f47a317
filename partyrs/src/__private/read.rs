//! Messages out of JSON text.
//!
//! An object is read in one pass when its tag comes first: the entries behind the tag go
//! straight into the fields of the variant. When the tag comes last, it is looked at there, and
//! the pass shows whether it was the tag; when it comes in between, [`find_tag`] looks for it. Nothing of the
//! object is kept in between, so a frame costs time in proportion to its length and no memory but
//! what its message owns.
//!
//! That is the quick way, by [`Quick`]. It accepts what it is sure of, and has no words for the
//! rest: such a text is read again by serde_json, which either says what is wrong with it and where, or reads
//! it as well.
//!
//! The difficulty is a payload: its type is the user's, and must not see the tag among its
//! keys. So its keys pass through [`Entries`], which takes the tag out. A field that takes
//! what keys are left is read in the same way: its type is handed the whole object, and
//! [`Rest`] puts the entries of the other fields aside, into their slots, as they come.

mod payload;

use std::{cell::Cell, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor},
};

use self::payload::{Missing, Payload, Rest};
use super::{
    quick::Quick,
    scan::{find_tag, tag_at_end},
};
use crate::{Frame, ParseError};

/// How much of an unknown tag an error tells.
const FOUND_CHARS_MAX: usize = 64;

/// What `#[derive(FromFrame)]` writes for the item itself.
pub trait ReadMessage: Sized {
    /// Reads variant number `variant` (0 for a struct) out of `entries`, to their end.
    fn read<'de, M: Source<'de>>(variant: usize, entries: Entries<'_, M>) -> Result<Self, M::Error>;

    /// The same out of the object under the key for the content.
    fn read_content<'de, M: Source<'de>>(variant: usize, entries: Entries<'_, M>) -> Result<Self, M::Error> {
        Self::read(variant, entries)
    }

    /// The message for a tag that nobody has, if there is one.
    fn other(tag: String) -> Option<Self> {
        drop(tag);
        None
    }
}

/// Where the entries of an object come from.
pub trait Source<'de>: MapAccess<'de> {
    /// Goes behind the next key if it is easily seen to be one of `keys`, and tells its place among them.
    /// None of them may need an escape in JSON.
    fn take_key(&mut self, keys: &[&str]) -> Option<usize> {
        let _ = keys;
        None
    }
}

/// What is known of an enum's messages beforehand.
#[derive(Debug)]
pub struct Shape {
    /// The key that says which message it is.
    pub tag: &'static str,
    /// Its values, in the order of the variants that have one.
    pub names: &'static [&'static str],
    /// What else they may be, and which variant that is.
    pub aliases: &'static [(&'static str, usize)],
    /// Whether a variant keeps a tag that nobody has.
    pub keeps_other: bool,
}

/// The entries of one object, in the order in which they came, without the tag.
#[derive(Debug)]
pub struct Entries<'a, M> {
    map: M,
    /// `None` for a struct.
    tag: Option<&'static str>,
    /// What the tag must be wherever it comes, if that is not known yet but taken for granted.
    guess: Option<&'a str>,
    /// The field whose value could not be read; written here, read when the error is reported.
    failed: &'a Cell<Option<&'static str>>,
}

/// Where a field waits for its value.
///
/// How to read a `T` comes with it as two functions: so only [`Entries::slot`] asks for a
/// bound on `T`, and a type that lacks it is one error, where the written code names it.
#[derive(Debug)]
pub struct Slot<T, M, E> {
    name: &'static str,
    value: Option<T>,
    /// Takes the value of the entry whose key has just been read.
    read: fn(&mut M) -> Result<T, E>,
    /// What stands for a value that never came: `None` for an `Option`, else an error.
    missing: fn(&'static str) -> Result<T, E>,
}

/// Entries of any kind.
struct Any<M>(M);

/// Looks for the tag; if it comes first, reads the message on the way.
struct FirstPass<'a, E> {
    shape: &'static Shape,
    failed: &'a Cell<Option<&'static str>>,
    message: PhantomData<E>,
}

/// Reads the message of a variant that is known.
struct SecondPass<'a, E> {
    variant: usize,
    tag: Option<&'static str>,
    failed: &'a Cell<Option<&'static str>>,
    message: PhantomData<E>,
}

/// What the first pass has found.
enum Found<E> {
    /// The tag came first.
    Message(E),
    /// The tag came later, or it names no message.
    Tag(Tag),
    /// There is no tag.
    Nothing,
}

/// The value of the tag.
enum Tag {
    /// The variant's place among the names.
    Known(usize),
    /// The beginning of what was found.
    Unknown(String),
    NotAString,
}

/// Reads the tag's value, of whatever kind it is.
struct TagValue {
    shape: &'static Shape,
}

/// Reads a key and hands it on as `str`, without a copy.
struct KeyAs<F>(F);

/// Reads a key, and refuses one that is neither the tag nor among `keys`.
struct KnownKey {
    tag: Option<&'static str>,
    keys: &'static [&'static str],
}

/// Reads the tag's value, and refuses another than this.
struct Guessed<'a>(&'a str);

/// Reads the object under the key for the content.
struct ContentObject<'a, E> {
    variant: usize,
    failed: &'a Cell<Option<&'static str>>,
    message: PhantomData<E>,
}

/// Reads an enum's message.
#[inline]
pub fn read_message<E: ReadMessage>(frame: &Frame, shape: &'static Shape) -> Result<E, ParseError> {
    let text = frame.as_text().ok_or(ParseError::NotText)?;
    match read_quickly(text, shape) {
        Some(message) => Ok(message),
        None => read_with_care(text, shape),
    }
}

/// Reads a struct's message.
#[inline]
pub fn read_object<S: ReadMessage>(frame: &Frame) -> Result<S, ParseError> {
    let text = frame.as_text().ok_or(ParseError::NotText)?;
    let mut quick = Quick::new(text);
    match read_all(&mut quick, 0, None, None) {
        Some(message) => Ok(message),
        None => read_object_with_care(text),
    }
}

/// The message, if there is nothing odd about the text.
#[inline]
fn read_quickly<E: ReadMessage>(text: &str, shape: &'static Shape) -> Option<E> {
    let tag = shape.tag;
    let mut quick = Quick::new(text);
    let (name, guess) = match quick.leading(tag) {
        Some(name) => (name, None),
        None => match tag_at_end(text, tag) {
            Some(name) => (name, Some(name)),
            None => (find_tag(text, tag)?, None),
        },
    };
    read_all(&mut quick, shape.variant(name)?, Some(tag), guess)
}

/// Reads what is left, which is to be the rest of an object and nothing else.
#[inline(always)]
fn read_all<E: ReadMessage>(
    quick: &mut Quick<'_>,
    variant: usize,
    tag: Option<&'static str>,
    guess: Option<&str>,
) -> Option<E> {
    let failed = Cell::new(None);
    let map = quick.entries()?;
    let message = E::read(variant, Entries { map, tag, guess, failed: &failed }).ok()?;
    quick.end().then_some(message)
}

#[cold]
fn read_with_care<E: ReadMessage>(text: &str, shape: &'static Shape) -> Result<E, ParseError> {
    let tag = shape.tag;
    if !text.starts_with('{') && !text.trim_start_matches([' ', '\t', '\n', '\r']).starts_with('{') {
        let json: Result<IgnoredAny, _> = serde_json::from_str(text);
        return Err(json.map_or_else(ParseError::Json, |_| ParseError::NotAnObject { tag }));
    }
    let failed = Cell::new(None);
    match read_map(text, FirstPass { shape, failed: &failed, message: PhantomData }, &failed)? {
        Found::Message(message) => Ok(message),
        Found::Tag(Tag::Known(variant)) => {
            let second_pass = SecondPass { variant, tag: Some(tag), failed: &failed, message: PhantomData };
            read_map(text, second_pass, &failed)
        }
        Found::Tag(Tag::Unknown(found)) => {
            if shape.keeps_other
                && let Some(message) = E::other(found.clone())
            {
                return Ok(message);
            }
            Err(ParseError::UnknownTag { tag, found, expected: shape.names })
        }
        Found::Tag(Tag::NotAString) => Err(ParseError::TagNotAString { tag }),
        Found::Nothing => Err(ParseError::MissingTag { tag }),
    }
}

#[cold]
fn read_object_with_care<S: ReadMessage>(text: &str) -> Result<S, ParseError> {
    let failed = Cell::new(None);
    read_map(text, SecondPass { variant: 0, tag: None, failed: &failed, message: PhantomData }, &failed)
}

/// Reads the whole text, which must be one object.
fn read_map<'de, V: Visitor<'de>>(
    text: &'de str,
    visitor: V,
    failed: &Cell<Option<&'static str>>,
) -> Result<V::Value, ParseError> {
    let mut json = serde_json::Deserializer::from_str(text);
    let value = json.deserialize_map(visitor).and_then(|value| json.end().map(|()| value));
    value.map_err(|error| match failed.get() {
        Some(field) if error.is_data() => ParseError::Field { field, error },
        _ => ParseError::Json(error),
    })
}

impl Shape {
    /// The variant with this tag.
    #[inline]
    fn variant(&self, tag: &str) -> Option<usize> {
        let by_alias =
            || self.aliases.iter().find_map(|(alias, variant)| (*alias == tag).then_some(*variant));
        self.names.iter().position(|name| *name == tag).or_else(by_alias)
    }
}

impl<'de, M: Source<'de>> Entries<'_, M> {
    /// The next key by its place in `keys`, or `keys.len()` if it is none of them. None of them may
    /// need an escape in JSON.
    #[inline(always)]
    pub fn next_plain_key(&mut self, keys: &'static [&'static str]) -> Result<Option<usize>, M::Error> {
        match self.map.take_key(keys) {
            Some(place) => Ok(Some(place)),
            None => self.next_key(keys),
        }
    }

    /// The next key by its place in `keys`, or `keys.len()` if it is none of them.
    #[inline(always)]
    pub fn next_key(&mut self, keys: &'static [&'static str]) -> Result<Option<usize>, M::Error> {
        loop {
            let tag = if self.guess.is_some() { self.tag } else { None };
            let next = self.map.next_key_seed(KeyAs(|found: &str| match place(keys, found) {
                place if place == keys.len() && tag == Some(found) => place + 1,
                place => place,
            }))?;
            match next {
                Some(place) if place > keys.len() => self.skip_tag()?,
                _ => return Ok(next),
            }
        }
    }

    /// The same for an object that has no other keys: one that is neither the tag nor in
    /// `keys` is an error.
    #[inline(always)]
    pub fn next_known_key(&mut self, keys: &'static [&'static str]) -> Result<Option<usize>, M::Error> {
        loop {
            match self.map.next_key_seed(KnownKey { tag: self.tag, keys })? {
                Some(place) if place == keys.len() => self.skip_tag()?,
                next => return Ok(next),
            }
        }
    }

    /// A place for the field `name`.
    #[inline(always)]
    pub fn slot<T: for<'any> Deserialize<'any>>(&self, name: &'static str) -> Slot<T, M, M::Error> {
        Slot {
            name,
            value: None,
            read: M::next_value,
            missing: |name| T::deserialize(Missing { name, error: PhantomData }),
        }
    }

    /// Reads the value of this key.
    #[inline(always)]
    pub fn read<T>(&mut self, slot: &mut Slot<T, M, M::Error>) -> Result<(), M::Error> {
        if slot.value.is_some() {
            return Err(Error::duplicate_field(slot.name));
        }
        let value = (slot.read)(&mut self.map).inspect_err(|_| self.failed.set(Some(slot.name)))?;
        slot.value = Some(value);
        Ok(())
    }

    /// Skips the value of this key.
    pub fn skip(&mut self) -> Result<(), M::Error> {
        self.map.next_value().map(|IgnoredAny| ())
    }

    /// Skips the value of the tag, which is what it was guessed to be, or else an error.
    fn skip_tag(&mut self) -> Result<(), M::Error> {
        match self.guess {
            Some(guess) => self.map.next_value_seed(Guessed(guess)),
            None => self.skip(),
        }
    }

    /// Skips all that is left.
    pub fn skip_all(&mut self) -> Result<(), M::Error> {
        if self.guess.is_none() {
            return skip_entries(&mut self.map);
        }
        while self.next_key(&[])?.is_some() {
            self.skip()?;
        }
        Ok(())
    }

    /// Skips what is left, which is to have no other keys than the tag and `keys`.
    pub fn expect_no_more(&mut self, keys: &'static [&'static str]) -> Result<(), M::Error> {
        while self.next_known_key(keys)?.is_some() {
            self.skip()?;
        }
        Ok(())
    }

    /// Reads all entries but the tag as a `T`.
    pub fn payload<T: for<'any> Deserialize<'any>>(self) -> Result<T, M::Error> {
        let mut entries = self;
        T::deserialize(Payload(&mut entries))
    }

    /// Reads all entries but the tag and those of `keys` as a `T`; the latter go to `take`,
    /// by their place in `keys`.
    pub fn rest<T, F>(&mut self, keys: &'static [&'static str], take: F) -> Result<T, M::Error>
    where
        T: for<'any> Deserialize<'any>,
        F: FnMut(&mut Self, usize) -> Result<(), M::Error>,
    {
        let mut rest = Rest { entries: self, keys, take };
        let value = T::deserialize(Payload(&mut rest))?;
        skip_entries(&mut rest)?;
        Ok(value)
    }

    /// Reads variant number `variant` out of the object under the key for the content; beside
    /// it and the tag there may be other keys unless `is_strict`.
    pub fn content<E: ReadMessage>(
        mut self,
        variant: usize,
        content: &'static [&'static str; 1],
        is_strict: bool,
    ) -> Result<E, M::Error> {
        let mut message = None;
        while let Some(key) = if is_strict { self.next_known_key(content) } else { self.next_key(content) }? {
            if key > 0 {
                self.skip()?;
            } else if message.is_some() {
                return Err(Error::duplicate_field(content[0]));
            } else {
                let object = ContentObject { variant, failed: self.failed, message: PhantomData };
                message = Some(self.map.next_value_seed(object)?);
            }
        }
        message.ok_or_else(|| Error::missing_field(content[0]))
    }
}

impl<T, M, E> Slot<T, M, E> {
    /// The field, once all entries are read.
    #[inline(always)]
    pub fn take(self) -> Result<T, E> {
        match self.value {
            Some(value) => Ok(value),
            None => (self.missing)(self.name),
        }
    }

    /// The field, once all entries are read, or what stands in for it.
    #[inline(always)]
    pub fn take_or(self, standby: impl FnOnce() -> T) -> T {
        self.value.unwrap_or_else(standby)
    }
}

impl<'de, M: MapAccess<'de>> MapAccess<'de> for Any<M> {
    type Error = M::Error;

    #[inline]
    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, M::Error> {
        self.0.next_key_seed(seed)
    }

    #[inline]
    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, M::Error> {
        self.0.next_value_seed(seed)
    }
}

impl<'de, M: MapAccess<'de>> Source<'de> for Any<M> {}

impl<'de, E: ReadMessage> Visitor<'de> for FirstPass<'_, E> {
    type Value = Found<E>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Found<E>, M::Error> {
        let mut is_first = true;
        while let Some(is_tag) = map.next_key_seed(KeyAs(|key: &str| key == self.shape.tag))? {
            if !is_tag {
                map.next_value::<IgnoredAny>()?;
                is_first = false;
                continue;
            }
            return match map.next_value_seed(TagValue { shape: self.shape })? {
                Tag::Known(variant) if is_first => {
                    let entries = Entries {
                        map: Any(map),
                        tag: Some(self.shape.tag),
                        guess: None,
                        failed: self.failed,
                    };
                    E::read(variant, entries).map(Found::Message)
                }
                // The rest is read all the same: an answer about the tag of a text that is
                // not JSON would send its author looking in the wrong place.
                tag => skip_entries(&mut map).map(|()| Found::Tag(tag)),
            };
        }
        Ok(Found::Nothing)
    }
}

impl<'de, E: ReadMessage> Visitor<'de> for SecondPass<'_, E> {
    type Value = E;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<E, M::Error> {
        E::read(self.variant, Entries { map: Any(map), tag: self.tag, guess: None, failed: self.failed })
    }
}

impl<'de> DeserializeSeed<'de> for TagValue {
    type Value = Tag;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tag, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for TagValue {
    type Value = Tag;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_str<E: Error>(self, found: &str) -> Result<Tag, E> {
        Ok(match self.shape.variant(found) {
            Some(variant) => Tag::Known(variant),
            None if self.shape.keeps_other => Tag::Unknown(found.to_owned()),
            None => Tag::Unknown(found.chars().take(FOUND_CHARS_MAX).collect()),
        })
    }

    fn visit_unit<E: Error>(self) -> Result<Tag, E> {
        Ok(Tag::NotAString)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Tag, E> {
        Ok(Tag::NotAString)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Tag, E> {
        Ok(Tag::NotAString)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Tag, E> {
        Ok(Tag::NotAString)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Tag, E> {
        Ok(Tag::NotAString)
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Tag, S::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Tag::NotAString)
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Tag, M::Error> {
        skip_entries(&mut map)?;
        Ok(Tag::NotAString)
    }
}

impl<'de, R, F: FnOnce(&str) -> R> DeserializeSeed<'de> for KeyAs<F> {
    type Value = R;

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<R, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<R, F: FnOnce(&str) -> R> Visitor<'_> for KeyAs<F> {
    type Value = R;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    #[inline]
    fn visit_str<E: Error>(self, key: &str) -> Result<R, E> {
        Ok((self.0)(key))
    }
}

impl<'de> DeserializeSeed<'de> for KnownKey {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KnownKey {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<usize, E> {
        let place = place(self.keys, key);
        if place == self.keys.len() && self.tag != Some(key) {
            let shown: String = key.chars().take(FOUND_CHARS_MAX).collect();
            return Err(E::unknown_field(&shown, self.keys));
        }
        Ok(place)
    }
}

impl<'de> DeserializeSeed<'de> for Guessed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Guessed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0)
    }

    fn visit_str<E: Error>(self, found: &str) -> Result<(), E> {
        if found == self.0 { Ok(()) } else { Err(E::invalid_value(Unexpected::Str(found), &self)) }
    }
}

impl<'de, E: ReadMessage> DeserializeSeed<'de> for ContentObject<'_, E> {
    type Value = E;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<E, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, E: ReadMessage> Visitor<'de> for ContentObject<'_, E> {
    type Value = E;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<E, M::Error> {
        E::read_content(self.variant, Entries { map: Any(map), tag: None, guess: None, failed: self.failed })
    }
}

/// Where `found` stands among `keys`; behind them if it does not.
#[inline(always)]
fn place(keys: &[&str], found: &str) -> usize {
    keys.iter().position(|key| *key == found).unwrap_or(keys.len())
}

fn skip_entries<'de, M: MapAccess<'de>>(map: &mut M) -> Result<(), M::Error> {
    while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
    Ok(())
}

#[cfg(test)]
mod tests;
