//! Messages out of JSON text.
//!
//! An object is read in one pass when its tag comes first: the entries behind the tag go
//! straight into the fields of the variant. When the tag comes later, one pass finds it and
//! skips all else, and a second one reads the fields. Nothing of the object is kept in
//! between, so a frame costs time in proportion to its length and no memory but what its
//! message owns.
//!
//! The difficulty is a payload: its type is the user's, and must not see the tag among its
//! keys. So its keys pass through [`Entries`], which takes the tag out.

use std::{cell::Cell, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{
        DeserializeSeed, Error, IgnoredAny, IntoDeserializer, MapAccess, SeqAccess, Visitor,
        value::MapAccessDeserializer,
    },
    forward_to_deserialize_any,
};

use crate::{Frame, ParseError};

/// How much of an unknown tag an error tells.
const FOUND_CHARS_MAX: usize = 64;

/// What `#[derive(FromFrame)]` writes for the item itself.
pub trait ReadMessage: Sized {
    /// Reads variant number `variant` (0 for a struct) out of `entries`, to their end.
    fn read<'de, M: MapAccess<'de>>(variant: usize, entries: Entries<'_, M>) -> Result<Self, M::Error>;
}

/// The entries of one object, in the order in which they came, without the tag.
#[derive(Debug)]
pub struct Entries<'a, M> {
    map: M,
    /// `None` for a struct.
    tag: Option<&'static str>,
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

/// Looks for the tag; if it comes first, reads the message on the way.
struct FirstPass<'a, E> {
    tag: &'static str,
    names: &'static [&'static str],
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
    names: &'static [&'static str],
}

/// Reads a key and hands it on as `str`, without a copy.
struct KeyAs<F>(F);

/// Reads a key for a payload, unless it is the tag.
struct KeyBesideTag<K> {
    tag: Option<&'static str>,
    seed: K,
}

/// A key on its way to a payload.
enum Key<K, V> {
    /// It is the tag; the seed waits for another.
    Tag(K),
    Other(V),
}

/// A key's text; as with serde_json's own keys, a map may have numbers or booleans for keys.
struct KeyText<'a, E> {
    text: &'a str,
    error: PhantomData<E>,
}

/// The entries, as the payload's type sees them.
struct Payload<'a, M>(Entries<'a, M>);

/// Stands for the value of a field that never came.
struct Missing<E> {
    name: &'static str,
    error: PhantomData<E>,
}

/// Reads an enum's message; `names` are its tags, in the order of its variants.
pub fn read_message<E: ReadMessage>(
    frame: &Frame,
    tag: &'static str,
    names: &'static [&'static str],
) -> Result<E, ParseError> {
    let text = frame.as_text().ok_or(ParseError::NotText)?;
    if !text.trim_start_matches([' ', '\t', '\n', '\r']).starts_with('{') {
        let json: Result<IgnoredAny, _> = serde_json::from_str(text);
        return Err(json.map_or_else(ParseError::Json, |_| ParseError::NotAnObject { tag }));
    }
    let failed = Cell::new(None);
    match read_map(text, FirstPass { tag, names, failed: &failed, message: PhantomData }, &failed)? {
        Found::Message(message) => Ok(message),
        Found::Tag(Tag::Known(variant)) => {
            let second_pass = SecondPass { variant, tag: Some(tag), failed: &failed, message: PhantomData };
            read_map(text, second_pass, &failed)
        }
        Found::Tag(Tag::Unknown(found)) => Err(ParseError::UnknownTag { tag, found, expected: names }),
        Found::Tag(Tag::NotAString) => Err(ParseError::TagNotAString { tag }),
        Found::Nothing => Err(ParseError::MissingTag { tag }),
    }
}

/// Reads a struct's message.
pub fn read_object<S: ReadMessage>(frame: &Frame) -> Result<S, ParseError> {
    let text = frame.as_text().ok_or(ParseError::NotText)?;
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

impl<'de, M: MapAccess<'de>> Entries<'_, M> {
    /// The next key by its place in `keys`, or `keys.len()` if it is none of them.
    pub fn next_key(&mut self, keys: &[&str]) -> Result<Option<usize>, M::Error> {
        let place = |found: &str| keys.iter().position(|key| *key == found).unwrap_or(keys.len());
        self.map.next_key_seed(KeyAs(place))
    }

    /// A place for the field `name`.
    #[inline]
    pub fn slot<T: for<'any> Deserialize<'any>>(&self, name: &'static str) -> Slot<T, M, M::Error> {
        Slot {
            name,
            value: None,
            read: M::next_value,
            missing: |name| T::deserialize(Missing { name, error: PhantomData }),
        }
    }

    /// Reads the value of this key.
    #[inline]
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

    /// Skips all that is left.
    pub fn skip_all(&mut self) -> Result<(), M::Error> {
        skip_entries(&mut self.map)
    }

    /// Reads all entries but the tag as a `T`.
    pub fn payload<T: for<'any> Deserialize<'any>>(self) -> Result<T, M::Error> {
        T::deserialize(Payload(self))
    }
}

impl<T, M, E> Slot<T, M, E> {
    /// The field, once all entries are read.
    #[inline]
    pub fn take(self) -> Result<T, E> {
        match self.value {
            Some(value) => Ok(value),
            None => (self.missing)(self.name),
        }
    }
}

/// The entries as a payload's type reads them.
impl<'de, M: MapAccess<'de>> MapAccess<'de> for Entries<'_, M> {
    type Error = M::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, M::Error> {
        let mut seed = seed;
        loop {
            match self.map.next_key_seed(KeyBesideTag { tag: self.tag, seed })? {
                None => return Ok(None),
                Some(Key::Other(key)) => return Ok(Some(key)),
                Some(Key::Tag(unused)) => seed = unused,
            }
            self.skip()?;
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
        while let Some(is_tag) = map.next_key_seed(KeyAs(|key: &str| key == self.tag))? {
            if !is_tag {
                map.next_value::<IgnoredAny>()?;
                is_first = false;
                continue;
            }
            return match map.next_value_seed(TagValue { names: self.names })? {
                Tag::Known(variant) if is_first => {
                    let entries = Entries { map, tag: Some(self.tag), failed: self.failed };
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
        E::read(self.variant, Entries { map, tag: self.tag, failed: self.failed })
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
        Ok(match self.names.iter().position(|name| *name == found) {
            Some(variant) => Tag::Known(variant),
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

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<R, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<R, F: FnOnce(&str) -> R> Visitor<'_> for KeyAs<F> {
    type Value = R;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<R, E> {
        Ok((self.0)(key))
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

    fn deserialize_unit<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, M::Error> {
        self.0.skip_all()?;
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

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, M::Error> {
        visitor.visit_some(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        mut self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, M::Error> {
        // The first key is the enum's own tag; what else there is it does not look at.
        let value = MapAccessDeserializer::new(&mut self.0).deserialize_enum(name, variants, visitor)?;
        self.0.skip_all()?;
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

fn skip_entries<'de, M: MapAccess<'de>>(map: &mut M) -> Result<(), M::Error> {
    while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
    Ok(())
}
