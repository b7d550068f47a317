//! How connections end: the Close frames a party may send, and what `on_close` is told.

use std::fmt;

/// A code and a reason that a server may close a connection with (RFC 6455, section 7.4).
///
/// Codes: 1000, 1001, 1008, 1011 to 1014 and 3000 to 4999. The reason has at most 123
/// bytes, for a control frame has room for no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseFrame {
    code: u16,
    reason: String,
}

/// How a connection ended, as [`PartyServer::on_close`](crate::PartyServer::on_close) sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Close {
    /// The code: the client's, or the server's that the client has answered; 1005 when the
    /// client gave none, 1006 when the socket was lost or the client answered no ping, 1009 when a message was too long,
    /// 1002 or 1007 when the client broke the protocol, 1013 when it read too slowly, 4409 when
    /// a newer connection of its id replaced it and the party wants that.
    pub code: u16,
    /// The reason that came with the code; may be empty.
    pub reason: String,
    /// Whether both sides exchanged Close frames.
    pub was_clean: bool,
    /// Whether no other connection of the same id is listed any more.
    ///
    /// `partysocket` keeps its id over reconnects, and the new socket often comes before the
    /// old one is known to be lost. Presence by id is removed only when this is true.
    pub last_of_id: bool,
}

/// Why a connection cannot be closed so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseError {
    /// The code is reserved, or no close code at all.
    #[error("close code {0} is not 1000, 1001, 1008, 1011-1014 or 3000-4999")]
    Code(u16),
    /// The reason does not fit into a Close frame.
    #[error("close reason of {len_bytes} bytes is over the limit of 123")]
    Reason {
        /// Length of the refused reason.
        len_bytes: usize,
    },
}

/// Longest reason in bytes: 125 of a control frame less 2 for the code.
const REASON_BYTES_MAX: usize = 123;

impl CloseFrame {
    /// Checks a code and a reason.
    ///
    /// # Errors
    ///
    /// [`CloseError`] if a server must not send this code, or the reason is over 123 bytes.
    pub fn new(code: u16, reason: impl Into<String>) -> Result<Self, CloseError> {
        let reason = reason.into();
        if !matches!(code, 1000 | 1001 | 1008 | 1011..=1014 | 3000..=4999) {
            return Err(CloseError::Code(code));
        }
        if reason.len() > REASON_BYTES_MAX {
            return Err(CloseError::Reason { len_bytes: reason.len() });
        }
        Ok(Self { code, reason })
    }

    /// The close code.
    #[must_use]
    pub fn code(&self) -> u16 {
        self.code
    }

    /// The reason; may be empty.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl fmt::Display for CloseFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.reason)
    }
}

impl Close {
    /// How a connection ended; `last_of_id` is filled in by the room.
    #[must_use]
    pub fn new(code: u16, reason: impl Into<String>, was_clean: bool) -> Self {
        Self { code, reason: reason.into(), was_clean, last_of_id: true }
    }

    /// The socket was lost without a Close frame: 1006.
    #[must_use]
    pub fn lost() -> Self {
        Self::new(1006, "", false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_codes_that_a_server_may_send_are_taken() {
        for code in [1000, 1001, 1008, 1011, 1012, 1013, 1014, 3000, 4999] {
            assert!(CloseFrame::new(code, "").is_ok(), "{code}");
        }
        for code in [0, 999, 1002, 1004, 1005, 1006, 1007, 1009, 1010, 1015, 2999, 5000] {
            assert_eq!(CloseFrame::new(code, ""), Err(CloseError::Code(code)));
        }
    }

    #[test]
    fn a_reason_has_at_most_123_bytes() {
        assert!(CloseFrame::new(4000, "x".repeat(123)).is_ok());
        assert_eq!(CloseFrame::new(4000, "x".repeat(124)), Err(CloseError::Reason { len_bytes: 124 }));
    }
}
