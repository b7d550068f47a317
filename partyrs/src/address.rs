//! What rooms are called: party names, room ids, and the two together.

use std::fmt;
use std::sync::Arc;

/// Name of a registered party, such as `main` or `chat`: `[a-z0-9_-]+`, case-sensitive.
///
/// Cloning is cheap. The host checks names when it is built.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartyName(Arc<str>);

/// Id of a room within its party: any UTF-8 text of 1 to 1,024 bytes.
///
/// It is the percent-decoded path segment of the room's URL. The same text is used in
/// URLs, handles, storage and logs. Cloning is cheap.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoomId(Arc<str>);

/// Which room: a party and an id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct RoomAddress {
    /// The party that serves it.
    pub party: PartyName,
    /// The room's id within the party.
    pub room: RoomId,
}

/// A text that is no party name or no room id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// Party names are made of `a-z`, `0-9`, `_` and `-`, and are not empty.
    #[error("party name {0:?} must be one or more of a-z, 0-9, _ and -")]
    Party(String),
    /// Room ids have 1 to 1,024 bytes.
    #[error("room id of {len_bytes} bytes must have 1 to 1024")]
    Room {
        /// Length of the refused text.
        len_bytes: usize,
    },
}

/// Longest room id, in bytes.
const ROOM_ID_BYTES_MAX: usize = 1024;

impl PartyName {
    /// Checks `name` and takes it as a party's name.
    ///
    /// # Errors
    ///
    /// [`NameError::Party`] if it is empty or has any other character than `a-z0-9_-`.
    pub fn new(name: &str) -> Result<Self, NameError> {
        let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
        if name.is_empty() || !name.bytes().all(legal) {
            return Err(NameError::Party(name.to_owned()));
        }
        Ok(Self(name.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl RoomId {
    /// Checks `id` and takes it as a room's id.
    ///
    /// # Errors
    ///
    /// [`NameError::Room`] if it is empty or longer than 1,024 bytes.
    pub fn new(id: &str) -> Result<Self, NameError> {
        if id.is_empty() || id.len() > ROOM_ID_BYTES_MAX {
            return Err(NameError::Room { len_bytes: id.len() });
        }
        Ok(Self(id.into()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl RoomAddress {
    /// The room `room` of the party `party`.
    #[must_use]
    pub fn new(party: PartyName, room: RoomId) -> Self {
        Self { party, room }
    }
}

impl fmt::Display for PartyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PartyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for RoomId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RoomId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Written as `party/room`, with the room escaped, so that it stays on one line of a log.
impl fmt::Display for RoomAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.party, self.room.as_str().escape_debug())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_party_name_is_lower_case_digits_underscore_and_dash() {
        assert!(PartyName::new("my-party_2").is_ok());
        for wrong in ["", "Main", "a b", "ä", "a/b"] {
            assert!(PartyName::new(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_room_id_has_at_most_1024_bytes() {
        assert!(RoomId::new(&"x".repeat(1024)).is_ok());
        assert_eq!(RoomId::new(&"x".repeat(1025)), Err(NameError::Room { len_bytes: 1025 }));
        assert!(RoomId::new("").is_err());
    }
}
