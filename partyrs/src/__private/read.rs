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

use std::{cell::Cell, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{
        DeserializeSeed, Error, IgnoredAny, IntoDeserializer, MapAccess, SeqAccess, Unexpected, Visitor,
        value::MapAccessDeserializer,
    },
    forward_to_deserialize_any,
};

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

/// Reads a key for a payload, unless it is the tag or among `keys`.
struct KeyBesideTag<K> {
    tag: Option<&'static str>,
    keys: &'static [&'static str],
    seed: K,
}

/// Reads the tag's value, and refuses another than this.
struct Guessed<'a>(&'a str);

/// A key on its way to a payload.
enum Key<K, V> {
    /// It is the tag; the seed waits for another.
    Tag(K),
    /// It is this one of the keys that are not the payload's; so is the seed.
    Taken(usize, K),
    Other(V),
}

/// A key's text; as with serde_json's own keys, a map may have numbers or booleans for keys.
struct KeyText<'a, E> {
    text: &'a str,
    error: PhantomData<E>,
}

/// The entries, as the payload's type sees them.
struct Payload<'a, M>(&'a mut M);

/// Entries whose first key has been read to see whether there is one.
struct FromFirst<'a, M> {
    first: Option<String>,
    map: &'a mut M,
}

/// The entries that no other field has; those of other fields go to `take`.
struct Rest<'a, 'e, M, F> {
    entries: &'a mut Entries<'e, M>,
    keys: &'static [&'static str],
    take: F,
}

/// Reads the object under the key for the content.
struct ContentObject<'a, E> {
    variant: usize,
    failed: &'a Cell<Option<&'static str>>,
    message: PhantomData<E>,
}

/// Stands for the value of a field that never came.
struct Missing<E> {
    name: &'static str,
    error: PhantomData<E>,
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

/// The entries as a payload's type reads them.
impl<'de, M: Source<'de>> MapAccess<'de> for Entries<'_, M> {
    type Error = M::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, M::Error> {
        let mut seed = seed;
        loop {
            match self.map.next_key_seed(KeyBesideTag { tag: self.tag, keys: &[], seed })? {
                None => return Ok(None),
                Some(Key::Other(key)) => return Ok(Some(key)),
                Some(Key::Tag(unused) | Key::Taken(_, unused)) => seed = unused,
            }
            self.skip_tag()?;
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, M::Error> {
        self.map.next_value_seed(seed)
    }
}

/// What is left of them.
impl<'de, 'e, M, F> MapAccess<'de> for Rest<'_, 'e, M, F>
where
    M: Source<'de>,
    F: FnMut(&mut Entries<'e, M>, usize) -> Result<(), M::Error>,
{
    type Error = M::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, M::Error> {
        let mut seed = seed;
        loop {
            let key = KeyBesideTag { tag: self.entries.tag, keys: self.keys, seed };
            match self.entries.map.next_key_seed(key)? {
                None => return Ok(None),
                Some(Key::Other(key)) => return Ok(Some(key)),
                Some(Key::Tag(unused)) => {
                    seed = unused;
                    self.entries.skip_tag()?;
                }
                Some(Key::Taken(place, unused)) => {
                    seed = unused;
                    (self.take)(self.entries, place)?;
                }
            }
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, M::Error> {
        self.entries.map.next_value_seed(seed)
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

impl<'de, M: MapAccess<'de>> MapAccess<'de> for FromFirst<'_, M> {
    type Error = M::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, M::Error> {
        match self.first.take() {
            Some(first) => seed.deserialize(KeyText { text: &first, error: PhantomData }).map(Some),
            None => self.map.next_key_seed(seed),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, M::Error> {
        self.map.next_value_seed(seed)
    }
}

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

impl<'de, K: DeserializeSeed<'de>> DeserializeSeed<'de> for KeyBesideTag<K> {
    type Value = Key<K, K::Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de, K: DeserializeSeed<'de>> Visitor<'de> for KeyBesideTag<K> {
    type Value = Key<K, K::Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        if self.tag == Some(text) {
            return Ok(Key::Tag(self.seed));
        }
        if let Some(place) = self.keys.iter().position(|key| *key == text) {
            return Ok(Key::Taken(place, self.seed));
        }
        self.seed.deserialize(KeyText { text, error: PhantomData }).map(Key::Other)
    }
}

/// Keys that are read as numbers or booleans come as such if the text is one.
macro_rules! parse_key {
    ($($deserialize:ident => $visit:ident,)*) => {$(
        fn $deserialize<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
            match self.text.parse() {
                Ok(value) => visitor.$visit(value),
                Err(_) => visitor.visit_str(self.text),
            }
        }
    )*};
}

impl<'de, E: Error> Deserializer<'de> for KeyText<'_, E> {
    type Error = E;

    parse_key! {
        deserialize_bool => visit_bool,
        deserialize_i8 => visit_i8,
        deserialize_i16 => visit_i16,
        deserialize_i32 => visit_i32,
        deserialize_i64 => visit_i64,
        deserialize_i128 => visit_i128,
        deserialize_u8 => visit_u8,
        deserialize_u16 => visit_u16,
        deserialize_u32 => visit_u32,
        deserialize_u64 => visit_u64,
        deserialize_u128 => visit_u128,
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        visitor.visit_str(self.text)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, E> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, E> {
        visitor.visit_enum(self.text.into_deserializer())
    }

    forward_to_deserialize_any! {
        f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct
        identifier ignored_any
    }
}

impl<'de, M: MapAccess<'de>> Deserializer<'de> for Payload<'_, M> {
    type Error = M::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, M::Error> {
        visitor.visit_map(self.0)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, M::Error> {
        skip_entries(self.0)?;
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, M::Error> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, M::Error> {
        visitor.visit_newtype_struct(self)
    }

    /// Whoever has `None` writes no key.
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, M::Error> {
        match self.0.next_key()? {
            None => visitor.visit_none(),
            first => visitor.visit_some(Payload(&mut FromFirst { first, map: self.0 })),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, M::Error> {
        // The first key is the enum's own tag; what else there is it does not look at.
        let value = MapAccessDeserializer::new(&mut *self.0).deserialize_enum(name, variants, visitor)?;
        skip_entries(self.0)?;
        Ok(value)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

impl<'de, E: Error> Deserializer<'de> for Missing<E> {
    type Error = E;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, E> {
        Err(E::missing_field(self.name))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        visitor.visit_none()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
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
mod tests {
    use std::{collections::BTreeMap, fmt::Debug};

    use proptest::{
        prelude::*,
        test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
    };
    use serde::Deserialize;

    use super::{ReadMessage, Shape, read_quickly, read_with_care};
    use crate::{Frame, FromFrame};

    #[derive(Debug, PartialEq, FromFrame)]
    enum Beside {
        Unit,
        Fields {
            a: u8,
            b: Option<String>,
        },
        Payload(Point),
        Map(BTreeMap<String, i8>),
        Odd {
            #[frame(rename = "a\"b")]
            quoted: Option<u8>,
            #[frame(rename = "\\")]
            backslash: Option<u8>,
            #[frame(rename = "é", alias = "\n")]
            accent: Option<u8>,
        },
        Rest {
            a: u8,
            #[frame(flatten)]
            rest: BTreeMap<String, i8>,
        },
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Point {
        a: u8,
        c: Option<bool>,
    }

    #[derive(Debug, PartialEq, FromFrame)]
    #[frame(tag = "t", content = "c", deny_unknown_fields)]
    enum Under {
        Unit,
        Fields {
            a: u8,
        },
        One(u8),
        #[frame(other)]
        Other(String),
    }

    const BESIDE: Shape = Shape {
        tag: "type",
        names: &["Unit", "Fields", "Payload", "Map", "Odd", "Rest"],
        aliases: &[],
        keeps_other: false,
    };

    const UNDER: Shape =
        Shape { tag: "t", names: &["Unit", "Fields", "One"], aliases: &[], keeps_other: true };

    /// Both ways come to the same message or the same error.
    fn agrees<E: FromFrame + ReadMessage + Debug>(
        shape: &'static Shape,
        text: &str,
    ) -> Result<(), TestCaseError> {
        let message = E::from_frame(Frame::text(text));
        prop_assert_eq!(
            format!("{message:?}"),
            format!("{:?}", read_with_care::<E>(text, shape)),
            "{}",
            text
        );
        Ok(())
    }

    #[test]
    fn the_quick_way_comes_to_what_the_careful_one_does() {
        const ENTRIES: [&str; 41] = [
            r#""type":"Unit""#,
            r#""type":"Fields""#,
            r#""type":"Payload""#,
            r#""type":"Map""#,
            r#""type":"Rest""#,
            r#""type":"Odd""#,
            r#""a"b":1"#,
            r#""a\"b":1"#,
            r#""é":1"#,
            "\"\n\":1",
            r#""\n":1"#,
            r#""\":1"#,
            r#""type":"Nobody""#,
            r#""type":1"#,
            r#""type":"\u0055nit""#,
            r#""\u0074ype":"Fields""#,
            r#""t\u0079pe":"Unit""#,
            r#" "type" : "Fields" "#,
            r#""t":"Unit""#,
            r#""t":"Fields""#,
            r#""t":"One""#,
            r#""t":"Nobody""#,
            r#""\u0074":"One""#,
            r#""c":{"a":1}"#,
            r#""c":{"a":1,"t":"Unit"}"#,
            r#""c":3"#,
            r#""a":1"#,
            r#""a":2"#,
            r#""a":300"#,
            r#""a":"type""#,
            r#""a":"\"type\":\"Unit\"""#,
            r#""b":"x""#,
            r#""b":null"#,
            r#""b":",\"type\":""#,
            r#""c":true"#,
            r#""c":null"#,
            r#""x":-1"#,
            r#""x":{"type":"Unit"}"#,
            r#""x":[{"a":1,"type":"Unit"}]"#,
            r#""x":"\\""#,
            r#""\\":5"#,
        ];
        let entries = proptest::collection::vec(prop::sample::select(&ENTRIES[..]), 0..6);
        let text = (entries, prop::sample::select(vec!["}", "}", "}", "}", " }\n", "", "}}", ",}"]))
            .prop_map(|(entries, end)| format!("{{{}{end}", entries.join(",")));
        let config = Config { cases: 20_000, failure_persistence: None, ..Config::default() };
        let seed = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        TestRunner::new_with_rng(config, seed)
            .run(&text, |text| agrees::<Beside>(&BESIDE, &text).and_then(|()| agrees::<Under>(&UNDER, &text)))
            .unwrap_or_else(|error| panic!("{error}"));
    }

    #[test]
    fn a_message_out_of_the_ordinary_in_one_place_only_is_read_quickly() {
        for text in [
            r#"{"type":"Fields","a":1,"b":"x"}"#,
            r#"{"a":1,"b":"x","type":"Fields"}"#,
            r#"{"a":1,"type":"Fields","b":"x"}"#,
            r#"{"a":1,"b":"\"x\\\n\ud83d\ude00","type":"Fields"}"#,
            r#"{"type":"Fields","a":1,"y":[{},1e400,"\n"],"\u0062":"x"}"#,
            r#"{"y":{"type":"Unit"},"a":1,"type":"Fields"}"#,
            r#"{"type":"Fields","ab":2,"a":1,"":0}"#,
            r#"{"type":"Fields","a":1,"type":"Unit"}"#,
            r#"{"type":"Unit","a":1,"type":"Unit"}"#,
            r#"{"a":1,"type":"Unit","type":"Unit"}"#,
            r#"{"type":"Payload","a":1,"c":null}"#,
            r#"{"a":1,"c":true,"type":"Payload"}"#,
            r#"{"type":"Map","a":1}"#,
            r#"{"a":1,"type":"Map"}"#,
            r#"{"x":-1,"a":1,"type":"Rest"}"#,
            " {\n  \"type\" : \"Unit\"\r\n}\t",
            " {\n  \"a\" : 1 , \"type\" : \"Unit\"\r\n}\t",
        ] {
            assert!(read_quickly::<Beside>(text, &BESIDE).is_some(), "{text}");
        }
    }

    /// Of two tags the first counts, so what the last one says must be refused.
    #[test]
    fn a_tag_at_the_end_counts_only_if_no_other_came_before() {
        for text in [
            r#"{"a":1,"type":"Fields","type":"Unit"}"#,
            r#"{"a":1,"type":"Fields","b":"x","type":"Unit"}"#,
            r#"{"a":1,"\u0074ype":"Fields","type":"Unit"}"#,
            r#"{"a":1,"type":"Fields","type":"Payload"}"#,
            r#"{"a":1,"type":"Fields","type":"Map"}"#,
            r#"{"a":1,"type":"Fields","type":"Rest"}"#,
        ] {
            assert!(read_quickly::<Beside>(text, &BESIDE).is_none(), "{text}");
            assert!(
                matches!(Beside::from_frame(Frame::text(text)), Ok(Beside::Fields { a: 1, .. })),
                "{text}"
            );
        }
    }
}
