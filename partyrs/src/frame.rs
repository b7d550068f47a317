//! Frames, and how a party's messages become frames and come out of them.
//!
//! A frame is what one WebSocket message carries: text or bytes. This module never
//! looks at a socket; it only converts. The conversions run user code (serde), so
//! the host calls them where a panic is caught.

use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::error::Category;

use crate::Violation;

/// One WebSocket message as on the wire: UTF-8 text or bytes.
///
/// Cloning shares the payload.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Frame {
    /// A text message.
    Text(ByteString),
    /// A binary message.
    Binary(Bytes),
}

/// What a client sent, as one of the party's own types.
///
/// Implemented for [`Frame`] (anything), [`String`] (text), [`Bytes`] (binary), [`Json<T>`] and
/// [`MessagePack<T>`](crate::MessagePack); for a protocol of several messages derive it on an enum.
///
/// ```
/// use partyrs::{Frame, FromFrame};
///
/// #[derive(Debug, PartialEq, FromFrame)]
/// #[frame(tag = "type", rename_all = "kebab-case")]
/// enum Ask {
///     Say { text: String },
///     LeaveTable,
/// }
///
/// let ask = Ask::from_frame(Frame::text(r#"{"type":"say","text":"hi"}"#))?;
/// assert_eq!(ask, Ask::Say { text: "hi".into() });
/// # Ok::<(), partyrs::ParseError>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be read from a client's frame",
    note = "add `#[derive(partyrs::FromFrame)]` to `{Self}`, or use `partyrs::Json<{Self}>`"
)]
pub trait FromFrame: Sized + Send + 'static {
    /// Reads one message out of one frame.
    ///
    /// # Errors
    ///
    /// [`ParseError`] says what is wrong and where; its text may be shown to the client.
    fn from_frame(frame: Frame) -> Result<Self, ParseError>;
}

/// What a party sends: anything that has one frame form.
///
/// Implemented for [`Frame`], strings, bytes, [`Json<T>`] and [`MessagePack<T>`](crate::MessagePack);
/// derive it on an enum or struct of your own. Deriving accepts lifetimes, so that a message can borrow.
///
/// ```
/// use partyrs::{Frame, IntoFrame};
///
/// #[derive(IntoFrame)]
/// #[frame(tag = "type", rename_all = "kebab-case")]
/// enum Tell<'a> {
///     Said { from: &'a str, text: &'a str },
/// }
///
/// let frame = Tell::Said { from: "ada", text: "hi" }.into_frame()?;
/// assert_eq!(frame, Frame::text(r#"{"type":"said","from":"ada","text":"hi"}"#));
/// # Ok::<(), partyrs::EncodeError>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be sent to a client",
    note = "add `#[derive(partyrs::IntoFrame)]` to `{Self}`, or wrap it: `partyrs::Json(..)`"
)]
pub trait IntoFrame {
    /// Writes the message as one frame.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] if the value has no frame form, such as a map with keys that are no strings.
    fn into_frame(self) -> Result<Frame, EncodeError>;

    /// What becomes of the message for a client that is behind; kept unless said otherwise
    /// by [`IntoFrame::volatile`] or [`IntoFrame::latest`].
    fn when_behind(&self) -> WhenBehind {
        WhenBehind::Keep
    }

    /// The same message, which a client that is behind may miss: a cursor that will move
    /// again, a tick of a game.
    ///
    /// A client is behind when something still waits for it in its outbox. Everybody else
    /// gets the message in its place.
    fn volatile(self) -> Volatile<Self>
    where
        Self: Sized,
    {
        Volatile(self)
    }

    /// The same message, of which a client that is behind gets only the newest with this
    /// `key`: the cursor of one user, the score, the state of one object.
    ///
    /// A newer one also replaces an older that still waits for a commit, if both are for the same connections. One
    /// that follows a write of the running hook replaces only those of the same commit, for
    /// the hook may yet fail.
    ///
    /// ```
    /// # use partyrs::prelude::*;
    /// # struct Board;
    /// # impl PartyServer for Board {
    /// #     type Message = String;
    /// #     async fn on_start(_: &Room) -> Result<Self> { Ok(Board) }
    /// async fn on_message(&mut self, room: &Room, sender: &Connection, cursor: String) -> Result<()> {
    ///     let key = format!("cursor:{}", sender.id());
    ///     room.broadcast_except(cursor.latest(key), &[sender.id()])?;
    ///     Ok(())
    /// }
    /// # }
    /// ```
    fn latest(self, key: impl Into<Arc<str>>) -> Latest<Self>
    where
        Self: Sized,
    {
        Latest { message: self, key: key.into() }
    }
}

/// What becomes of a message for a client that is behind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WhenBehind {
    /// It waits for its turn.
    #[default]
    Keep,
    /// It is not sent.
    Drop,
    /// It waits, and replaces an older one of the same key that waits.
    KeepNewest(Arc<str>),
}

/// A message that a client which is behind may miss; made by [`IntoFrame::volatile`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Volatile<M>(M);

/// A message of which a client that is behind gets only the newest of its key; made by
/// [`IntoFrame::latest`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Latest<M> {
    message: M,
    key: Arc<str>,
}

/// A message that is JSON text: `T` by its serde implementation, without a tag.
///
/// As a party's `Message` it accepts text frames only. To send a value that has no
/// `IntoFrame`, wrap it: `room.broadcast(Json(&scores))`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Json<T>(pub T);

/// Why a client's frame did not become a message.
///
/// The text is meant for logs, and [`ParseError::client_text`] for the client: it says what is
/// wrong and where. Both are short however long the frame is, and repeat of the frame at most
/// a few words: an unknown tag, or a value of the wrong kind. They differ for a broken rule.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// The party reads text, and the frame is binary.
    #[error("expected a text message, got a binary one")]
    NotText,
    /// The party reads bytes, and the frame is text.
    #[error("expected a binary message, got a text one")]
    NotBinary,
    /// The frame is not JSON, or not of the shape that the message has. The text of the
    /// cause says where: line and column.
    #[error("{}{}", not_json(.0), Short(.0))]
    Json(serde_json::Error),
    /// The frame is not MessagePack, or not of the shape that the message has.
    #[error("not the MessagePack of a message: {}", Short(.0))]
    MessagePack(rmp_serde::decode::Error),
    /// A field is there, but its value is of the wrong kind.
    #[error("field `{field}`: {}", Short(.error))]
    Field {
        /// The field's key in the frame.
        field: &'static str,
        /// What its type has to say, with line and column.
        error: serde_json::Error,
    },
    /// The frame is JSON, but no object.
    #[error("expected a JSON object with the key `{tag}`")]
    NotAnObject {
        /// The key that says which message it is.
        tag: &'static str,
    },
    /// The object has no key that says which message it is.
    #[error("missing key `{tag}`")]
    MissingTag {
        /// The key that was looked for.
        tag: &'static str,
    },
    /// The key that says which message it is holds no string.
    #[error("the key `{tag}` must be a string")]
    TagNotAString {
        /// The key that was looked at.
        tag: &'static str,
    },
    /// The party knows no message of this name.
    #[error("unknown {tag} `{found}`, expected one of {}", Names(.expected))]
    UnknownTag {
        /// The key that was looked at.
        tag: &'static str,
        /// What the client sent, cut after 64 characters.
        found: String,
        /// The names that the party knows.
        expected: &'static [&'static str],
    },
    /// The frame is a message, but one of its values breaks a rule.
    #[error(transparent)]
    Invalid(Violation),
    /// Text of the user's own, from a hand-written [`FromFrame`].
    #[error("{0}")]
    Other(String),
}

/// Why a message could not be written as a frame.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The value's serde implementation failed, or it has no JSON form.
    #[error("message has no JSON form")]
    Json(#[source] serde_json::Error),
    /// The value's serde implementation failed, or it has no form in MessagePack.
    #[error("message has no MessagePack form")]
    MessagePack(#[source] rmp_serde::encode::Error),
    /// The payload of a variant such as `Move(Point)` is a number, a list or the like, so
    /// that it has no keys to write beside the tag.
    #[error("the payload of `{variant}` is not an object in JSON")]
    NotAnObject {
        /// The variant's name in the frame.
        variant: &'static str,
    },
    /// What stands beside the tag, such as the keys of a map, has a key that the message has already.
    /// Of two equal keys one reader takes the first and another the last.
    #[error(
        "the payload of `{variant}` has the key {key}, which the message has already; give it a key of its own to stand under"
    )]
    KeyTaken {
        /// The variant's name in the frame, or that of the field under `flatten`.
        variant: &'static str,
        /// The key, in quotes.
        key: &'static str,
    },
}

/// Writes the text of an error that repeats what the client sent, cut after 200 characters.
struct Short<'a, E>(&'a E);

/// An error of a reader, which may tell a place in the text.
trait Placed: std::fmt::Display {
    /// Line and column; line 0 is none.
    fn place(&self) -> (usize, usize);
}

/// serde's own words for a text that is no JSON at all do not say so.
fn not_json(error: &serde_json::Error) -> &'static str {
    match error.classify() {
        Category::Syntax | Category::Eof => "not valid JSON: ",
        Category::Data | Category::Io => "",
    }
}

/// Writes `a`, `b`, `c` between backticks, for error texts.
struct Names<'a>(&'a [&'static str]);

impl Frame {
    /// A text frame.
    pub fn text(text: impl Into<ByteString>) -> Self {
        Self::Text(text.into())
    }

    /// A binary frame.
    pub fn binary(bytes: impl Into<Bytes>) -> Self {
        Self::Binary(bytes.into())
    }

    /// The text, if it is a text frame.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Binary(_) => None,
        }
    }

    /// The payload, text or not.
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }

    /// Length of the payload in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.payload().len()
    }

    /// Whether the payload is empty; an empty frame is a message like any other.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.payload().is_empty()
    }
}

impl FromFrame for Frame {
    fn from_frame(frame: Frame) -> Result<Self, ParseError> {
        Ok(frame)
    }
}

impl FromFrame for String {
    fn from_frame(frame: Frame) -> Result<Self, ParseError> {
        match frame {
            Frame::Text(text) => Ok(text.to_string()),
            Frame::Binary(_) => Err(ParseError::NotText),
        }
    }
}

impl FromFrame for Bytes {
    fn from_frame(frame: Frame) -> Result<Self, ParseError> {
        match frame {
            Frame::Binary(bytes) => Ok(bytes),
            Frame::Text(_) => Err(ParseError::NotBinary),
        }
    }
}

impl<T: DeserializeOwned + Send + 'static> FromFrame for Json<T> {
    fn from_frame(frame: Frame) -> Result<Self, ParseError> {
        let text = frame.as_text().ok_or(ParseError::NotText)?;
        serde_json::from_str(text).map(Json).map_err(ParseError::Json)
    }
}

impl<M: IntoFrame> IntoFrame for Volatile<M> {
    fn into_frame(self) -> Result<Frame, EncodeError> {
        self.0.into_frame()
    }

    fn when_behind(&self) -> WhenBehind {
        WhenBehind::Drop
    }
}

impl<M: IntoFrame> IntoFrame for Latest<M> {
    fn into_frame(self) -> Result<Frame, EncodeError> {
        self.message.into_frame()
    }

    fn when_behind(&self) -> WhenBehind {
        WhenBehind::KeepNewest(Arc::clone(&self.key))
    }
}

impl IntoFrame for Frame {
    fn into_frame(self) -> Result<Frame, EncodeError> {
        Ok(self)
    }
}

impl IntoFrame for &Frame {
    fn into_frame(self) -> Result<Frame, EncodeError> {
        Ok(self.clone())
    }
}

impl IntoFrame for String {
    fn into_frame(self) -> Result<Frame, EncodeError> {
        Ok(Frame::text(self))
    }
}

impl IntoFrame for &String {
    fn into_frame(self) -> Result<Frame, EncodeError> {
        Ok(Frame::text(self.as_str()))
    }
}

impl IntoFrame for &str {
    fn into_frame(self) -> Result<Frame, EncodeError> {
        Ok(Frame::text(self))
    }
}

impl IntoFrame for Bytes {
    fn into_frame(self) -> Result<Frame, EncodeError> {
        Ok(Frame::Binary(self))
    }
}

impl IntoFrame for Vec<u8> {
    fn into_frame(self) -> Result<Frame, EncodeError> {
        Ok(Frame::binary(self))
    }
}

impl IntoFrame for &[u8] {
    fn into_frame(self) -> Result<Frame, EncodeError> {
        Ok(Frame::Binary(Bytes::copy_from_slice(self)))
    }
}

impl<T: Serialize> IntoFrame for Json<T> {
    fn into_frame(self) -> Result<Frame, EncodeError> {
        serde_json::to_string(&self.0).map(Frame::text).map_err(EncodeError::Json)
    }
}

impl ParseError {
    /// A text of your own, for a [`FromFrame`] written by hand. The client sees it.
    pub fn other(text: impl Into<String>) -> Self {
        Self::Other(text.into())
    }

    /// What a client may know of it: what is wrong, where, and what is asked for.
    #[must_use]
    pub fn client_text(&self) -> String {
        match self {
            Self::Invalid(violation) => violation.client_text(),
            told => told.to_string(),
        }
    }

    /// The broken rule, if that is what it is.
    #[must_use]
    pub fn violation(&self) -> Option<&Violation> {
        match self {
            Self::Invalid(violation) => Some(violation),
            _ => None,
        }
    }
}

impl Placed for serde_json::Error {
    fn place(&self) -> (usize, usize) {
        (self.line(), self.column())
    }
}

impl Placed for rmp_serde::decode::Error {
    fn place(&self) -> (usize, usize) {
        (0, 0)
    }
}

impl<E: Placed> std::fmt::Display for Short<'_, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = self.0.to_string();
        match text.char_indices().nth(200) {
            None => f.write_str(&text),
            Some((end, _)) => {
                write!(f, "{}…", &text[..end])?;
                // 0 is for an error without a place, from the type's own code.
                match self.0.place() {
                    (0, _) => Ok(()),
                    (line, column) => write!(f, " at line {line} column {column}"),
                }
            }
        }
    }
}

impl std::fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, name) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}`{name}`")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_party_refuses_binary_and_a_bytes_party_refuses_text() {
        assert!(matches!(String::from_frame(Frame::binary("x")), Err(ParseError::NotText)));
        assert!(matches!(Bytes::from_frame(Frame::text("x")), Err(ParseError::NotBinary)));
    }

    #[test]
    fn json_errors_say_what_is_wrong_and_where() {
        #[derive(Debug, serde::Deserialize)]
        struct Move {
            #[expect(dead_code, reason = "only parsed")]
            x: i32,
        }
        let error = Json::<Move>::from_frame(Frame::text(r#"{"y":1}"#)).unwrap_err();
        assert_eq!(error.to_string(), "missing field `x` at line 1 column 7");
    }

    #[test]
    fn a_json_error_is_short_whatever_the_client_sent() {
        let long = format!("\"{}\"", "é".repeat(100_000));
        let error = Json::<u32>::from_frame(Frame::text(long)).unwrap_err().to_string();
        assert!(error.starts_with("invalid type: string \"éé"), "{error}");
        assert!(error.ends_with("é… at line 1 column 200002"), "{error}");
        assert!(error.chars().count() < 250, "{error}");
    }

    #[test]
    fn an_unknown_tag_names_what_is_known() {
        let error = ParseError::UnknownTag { tag: "type", found: "x".into(), expected: &["join", "say"] };
        assert_eq!(error.to_string(), "unknown type `x`, expected one of `join`, `say`");
    }
}
