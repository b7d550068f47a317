//! Messages into JSON text.
//!
//! The written code knows the braces, the tag and the keys as literals; here the values
//! come between them, into a buffer that each thread has. How long a message is, is known when it is written;
//! then the frame gets a buffer of that size, and that is all that is allocated.

use std::cell::Cell;

use bytestring::ByteString;
use serde::Serialize;

use super::scan::string_len;
use crate::{EncodeError, Frame};

/// Up to this size a thread keeps its buffer for the next message.
const BUFFER_BYTES_MAX: usize = 64 * 1024;

thread_local! {
    /// Empty while a message is being written: one that is written meanwhile has a buffer of its own.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// What `#[derive(IntoFrame)]` writes for the item itself; both of its `IntoFrame` impls call it.
pub trait WriteMessage {
    /// The message as a frame.
    fn write(&self) -> Result<Frame, EncodeError>;
}

/// The JSON of one message as far as it is written; an object that is still open.
#[derive(Debug)]
pub struct Text {
    json: Vec<u8>,
}

impl Text {
    /// Begins with `json`: the opening brace, and what follows it that is known beforehand.
    #[must_use]
    pub fn starting(json: &str) -> Self {
        let mut buffer = BUFFER.try_with(Cell::take).unwrap_or_default();
        buffer.clear();
        let mut text = Self { json: buffer };
        text.literal(json);
        text
    }

    /// Adds JSON that is known beforehand.
    pub fn literal(&mut self, json: &str) {
        self.json.extend_from_slice(json.as_bytes());
    }

    /// Adds a key that is known beforehand, with the comma before it and the colon behind;
    /// without the comma if it is the first of its object.
    pub fn key(&mut self, json: &str) {
        let is_first = self.json.last() == Some(&b'{');
        self.literal(if is_first { &json[1..] } else { json });
    }

    /// Adds a value after its key.
    pub fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        serde_json::to_writer(&mut self.json, value).map_err(EncodeError::Json)
    }

    /// Adds the keys of `payload` after what is there; a payload without any (a unit struct) adds none.
    /// None of them may be in `taken`, which has JSON strings.
    pub fn payload<T: Serialize + ?Sized>(
        &mut self,
        variant: &'static str,
        taken: &[&'static str],
        payload: &T,
    ) -> Result<(), EncodeError> {
        let start = self.json.len();
        self.value(payload)?;
        if let Some(key) = key_among(&self.json[start..], taken) {
            return Err(EncodeError::KeyTaken { variant, key });
        }
        let is_first = self.json[..start].last() == Some(&b'{');
        // The payload has been written as an object of its own. Its brace gives way to the
        // comma after the keys before it, and its end to the end that all messages get.
        match &self.json[start..] {
            b"null" => self.json.truncate(start),
            [b'{', inner @ .., b'}'] if inner.trim_ascii().is_empty() => self.json.truncate(start),
            [b'{', .., b'}'] if is_first => {
                self.json.remove(start);
                self.json.pop();
            }
            [b'{', .., b'}'] => {
                self.json[start] = b',';
                self.json.pop();
            }
            _ => return Err(EncodeError::NotAnObject { variant }),
        }
        Ok(())
    }

    /// Closes what is open.
    #[must_use]
    pub fn ending(mut self, json: &str) -> Frame {
        self.literal(json);
        let frame = Frame::text(std::str::from_utf8(&self.json).expect("serde_json writes UTF-8"));
        if self.json.capacity() <= BUFFER_BYTES_MAX {
            // A thread that ends needs none any more.
            let _ = BUFFER.try_with(|buffer| buffer.set(self.json));
        }
        frame
    }
}

/// The first of `keys` that the JSON has as a key, if it is an object.
fn key_among(json: &[u8], keys: &[&'static str]) -> Option<&'static str> {
    let (mut rest, mut depth) = (json, 0_usize);
    loop {
        let at = rest.iter().position(|byte| matches!(byte, b'"' | b'{' | b'[' | b'}' | b']'))?;
        let found = &rest[at..];
        match found[0] {
            b'"' => {
                let (text, behind) = found.split_at(string_len(&found[1..])? + 2);
                // At this depth a colon makes the difference between a key and a value.
                if depth == 1
                    && behind.trim_ascii_start().starts_with(b":")
                    && let Some(key) = keys.iter().find(|key| is_same(key, text))
                {
                    return Some(key);
                }
                rest = behind;
                continue;
            }
            b'{' => depth += 1,
            // There are no keys in a list, and what is in it is too deep.
            b'[' => depth += 2,
            b']' => depth = depth.saturating_sub(2),
            _ => depth = depth.saturating_sub(1),
        }
        rest = &found[1..];
    }
}

/// Whether two JSON strings say the same. Other programs may write a letter as an escape.
fn is_same(key: &str, text: &[u8]) -> bool {
    let read = |text: &[u8]| serde_json::from_slice::<String>(text).ok();
    key.as_bytes() == text || (text.contains(&b'\\') && read(text) == read(key.as_bytes()))
}

/// A message that is always the same; nothing is allocated.
#[must_use]
pub fn constant(json: &'static str) -> Frame {
    Frame::Text(ByteString::from_static(json))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::{Text, key_among};
    use crate::Frame;

    #[test]
    fn a_key_is_found_however_its_letters_are_written() {
        let keys = ["\"type\"", "\"\\t\\\"\""];
        for (json, found) in [
            (r#"{"type":1}"#, Some(0)),
            (r#"{"a":{"type":1}, "\u0074yp\u0065" : 1}"#, Some(0)),
            (r#"{"\u0009\u0022":1}"#, Some(1)),
            (r#"{"Type":1,"\\type":1,"a":"type","b":["type"],"c":{"type":1}}"#, None),
            (r#"["type"]"#, None),
            (r#""type""#, None),
        ] {
            assert_eq!(key_among(json.as_bytes(), &keys), found.map(|index: usize| keys[index]), "{json}");
        }
    }

    /// A value that writes a message while it is written itself.
    struct Meanwhile<'a>(&'a RefCell<Option<Frame>>);

    impl serde::Serialize for Meanwhile<'_> {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut inner = Text::starting("{\"inner\":");
            inner.value(&1).map_err(serde::ser::Error::custom)?;
            self.0.replace(Some(inner.ending("}")));
            serializer.serialize_u8(2)
        }
    }

    #[test]
    fn messages_that_are_written_within_each_other_do_not_mix() {
        let inner = RefCell::new(None);
        let mut outer = Text::starting("{\"outer\":");
        outer.value(&Meanwhile(&inner)).expect("is written");
        assert_eq!(outer.ending("}"), Frame::text(r#"{"outer":2}"#));
        assert_eq!(inner.take(), Some(Frame::text(r#"{"inner":1}"#)));
    }
}
