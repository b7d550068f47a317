//! Messages as MessagePack, in binary frames.

use std::io::Cursor;

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use crate::{EncodeError, Frame, FromFrame, IntoFrame, ParseError};

/// How deep arrays and maps may lie within each other, as in JSON.
const DEPTH_MAX: usize = 128;

/// A message that is [MessagePack](https://github.com/msgpack/msgpack/blob/master/spec.md): `T` by its serde
/// implementation, in a binary frame. For clients that send many numbers, to whom JSON is too long.
///
/// As a party's `Message` it accepts binary frames only, with one value and nothing behind it. Structs are maps
/// with the names of their fields as keys, as the libraries of browsers read them; bytes are lists of numbers
/// unless their type says otherwise (`serde_bytes`). An enum of messages gets its tag from serde:
/// `#[serde(tag = "type")]`.
///
/// ```
/// use bytes::Bytes;
/// use partyrs::{Frame, FromFrame, IntoFrame, MessagePack};
///
/// #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
/// #[serde(tag = "type", rename_all = "kebab-case")]
/// enum Move {
///     Step { x: i32, y: i32 },
/// }
///
/// let frame = MessagePack(Move::Step { x: 1, y: -1 }).into_frame()?;
/// assert_eq!(frame, Frame::Binary(Bytes::from_static(b"\x83\xa4type\xa4step\xa1x\x01\xa1y\xff")));
/// let MessagePack(step) = MessagePack::<Move>::from_frame(frame)?;
/// assert_eq!(step, Move::Step { x: 1, y: -1 });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct MessagePack<T>(pub T);

impl<T: DeserializeOwned + Send + 'static> FromFrame for MessagePack<T> {
    fn from_frame(frame: Frame) -> Result<Self, ParseError> {
        let bytes = Bytes::from_frame(frame)?;
        let mut packed = rmp_serde::Deserializer::new(Cursor::new(&bytes[..]));
        packed.set_max_depth(DEPTH_MAX);
        let value = T::deserialize(&mut packed).map_err(ParseError::MessagePack)?;
        match packed.position() {
            read if read == bytes.len() as u64 => Ok(Self(value)),
            read => Err(ParseError::Other(format!("the message ends after {read} of {} bytes", bytes.len()))),
        }
    }
}

impl<T: Serialize> IntoFrame for MessagePack<T> {
    fn into_frame(self) -> Result<Frame, EncodeError> {
        rmp_serde::to_vec_named(&self.0)
            .map(|bytes| Frame::Binary(bytes.into()))
            .map_err(EncodeError::MessagePack)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bytes::Bytes;
    use serde::{Deserialize, Serialize};

    use super::MessagePack;
    use crate::{Frame, FromFrame, IntoFrame, ParseError};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Track {
        name: String,
        points: Vec<(f32, f32)>,
        note: Option<String>,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Nest(Vec<Nest>);

    fn read<T: serde::de::DeserializeOwned + Send + 'static>(bytes: &[u8]) -> Result<T, ParseError> {
        MessagePack::from_frame(Frame::Binary(Bytes::copy_from_slice(bytes))).map(|MessagePack(value)| value)
    }

    #[test]
    fn what_is_written_is_read() {
        let track = || Track { name: "é".into(), points: vec![(0.5, -1.0); 300], note: None };
        let frame = MessagePack(track()).into_frame().expect("has a form");
        assert_eq!(MessagePack::from_frame(frame).expect("is one"), MessagePack(track()));
    }

    #[test]
    fn what_is_cut_or_goes_on_is_no_message() {
        let track = Track { name: "a".into(), points: vec![(1.0, 2.0)], note: Some("b".into()) };
        let Frame::Binary(whole) = MessagePack(&track).into_frame().expect("has a form") else {
            panic!("binary")
        };
        for end in 0..whole.len() {
            assert!(read::<Track>(&whole[..end]).is_err(), "{end} bytes");
        }
        let error = read::<Track>(&[&whole[..], &[0xc0]].concat()).expect_err("one byte more");
        assert_eq!(
            error.to_string(),
            format!("the message ends after {} of {} bytes", whole.len(), whole.len() + 1)
        );
        assert!(matches!(MessagePack::<Track>::from_frame(Frame::text("{}")), Err(ParseError::NotBinary)));
    }

    #[test]
    fn a_length_that_is_not_there_is_an_error_and_depth_has_an_end() {
        // An array, a map, a string, bytes and an extension of four billion.
        for head in [0xdd, 0xdf, 0xdb, 0xc6, 0xc9] {
            assert!(read::<Vec<u8>>(&[head, 0xff, 0xff, 0xff, 0xff, 1]).is_err());
            assert!(read::<String>(&[head, 0xff, 0xff, 0xff, 0xff, b'a']).is_err());
            assert!(read::<BTreeMap<u8, u8>>(&[head, 0xff, 0xff, 0xff, 0xff, 1, 1]).is_err());
        }
        let nested = |depth: usize| [&vec![0x91; depth - 1][..], &[0x90]].concat();
        assert!(read::<Nest>(&nested(super::DEPTH_MAX - 1)).is_ok());
        assert!(read::<Nest>(&nested(super::DEPTH_MAX)).is_err());
        assert!(read::<Nest>(&nested(1_000_000)).is_err());
    }

    #[test]
    fn an_error_is_short_and_has_no_position_of_json() {
        let error = read::<Track>(b"\x81\xa4name\xc0").expect_err("null is no name");
        assert_eq!(
            error.client_text(),
            "not the MessagePack of a message: invalid type: unit value, expected a string"
        );
        let long =
            MessagePack(BTreeMap::from([("name", "x".repeat(5000))])).into_frame().expect("has a form");
        assert!(
            MessagePack::<BTreeMap<String, u8>>::from_frame(long).expect_err("text").client_text().len()
                < 300
        );
    }
}
