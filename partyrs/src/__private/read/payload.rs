//! The keys that are left, as the type of a payload or of a field with `flatten` reads them.
//!
//! The tag and the keys of other fields pass by: the tag is skipped, a key of a field is handed to
//! whoever reads those.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserializer,
    de::{DeserializeSeed, Error, IntoDeserializer, MapAccess, Visitor, value::MapAccessDeserializer},
    forward_to_deserialize_any,
};

use super::{Entries, Source, skip_entries};

/// Reads a key for a payload, unless it is the tag or among `keys`.
struct KeyBesideTag<K> {
    tag: Option<&'static str>,
    keys: &'static [&'static str],
    seed: K,
}

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
pub(super) struct Payload<'a, M>(pub(super) &'a mut M);

/// Entries whose first key has been read to see whether there is one.
struct FromFirst<'a, M> {
    first: Option<String>,
    map: &'a mut M,
}

/// The entries that no other field has; those of other fields go to `take`.
pub(super) struct Rest<'a, 'e, M, F> {
    pub(super) entries: &'a mut Entries<'e, M>,
    pub(super) keys: &'static [&'static str],
    pub(super) take: F,
}

/// Stands for the value of a field that never came.
pub(super) struct Missing<E> {
    pub(super) name: &'static str,
    pub(super) error: PhantomData<E>,
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
