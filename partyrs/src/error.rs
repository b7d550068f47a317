//! What a hook may fail with, and what a client may see of it.
//!
//! An error has a cause, for the log, and at most one public face, for the client. They
//! are never mixed: without a face the client gets a fixed text.

use std::error::Error as StdError;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::close::CloseFrame;
use crate::connection::ConnectionId;
use http::StatusCode;

/// The result of a hook.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Cause = Box<dyn StdError + Send + Sync + 'static>;

/// Why a hook failed.
///
/// Any [`std::error::Error`] becomes one by `?`. The client sees nothing of it, the log all.
/// With [`Error::status`] or [`Error::close`] it is an *answer*: the client gets it, the
/// hook's writes are dropped, nothing is logged as a failure, and `on_error` does not run. If
/// there were writes to drop, the room restarts in place as after any failure, for its
/// memory must agree with its storage.
///
/// ```
/// use partyrs::{Error, Result};
///
/// fn age(text: &str) -> Result<u8> {
///     let age: u8 = text.parse()?; // the client sees 500, the log sees why
///     if age < 18 {
///         return Err(Error::status(403, "adults only")); // the client sees 403 and this text
///     }
///     Ok(age)
/// }
/// # assert!(age("x").is_err() && age("20").is_ok());
/// ```
pub struct Error {
    face: Face,
    cause: Option<Cause>,
}

/// What an error shows to the client.
#[derive(Clone, Debug)]
enum Face {
    None,
    Status(StatusCode, String),
    Close(CloseFrame),
}

/// Which hook it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Hook {
    /// `on_start`
    Start,
    /// `connection_tags`
    ConnectionTags,
    /// `on_connect`
    Connect,
    /// `on_message`
    Message,
    /// `on_invalid`
    Invalid,
    /// `on_close`
    Close,
    /// `on_request`
    Request,
    /// `on_alarm`
    Alarm,
    /// `on_error`
    Error,
    /// Work given to [`RoomHandle::run`](crate::RoomHandle::run).
    Run,
    /// A task given to [`Room::spawn`](crate::Room::spawn).
    Task,
}

/// A hook or task that failed, as [`PartyServer::on_error`](crate::PartyServer::on_error) sees it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Failure {
    /// The hook that failed.
    pub hook: Hook,
    /// The connection that it served, if it served one.
    pub connection: Option<ConnectionId>,
    /// What it failed with. For a panic: its text.
    pub error: Error,
    /// Whether it was a panic or a hook that ran longer than `hook_timeout`.
    pub panicked: bool,
}

impl Error {
    /// An error without a public face: from a text, a boxed error, an `anyhow::Error`.
    ///
    /// Types that implement [`std::error::Error`] need no call: `?` converts them.
    pub fn new(cause: impl Into<Cause>) -> Self {
        Self { face: Face::None, cause: Some(cause.into()) }
    }

    /// An answer to an HTTP request: this status with `text` as the body, `text/plain`. To
    /// a [`RoomHandle::run`](crate::RoomHandle::run): [`CallError::Refused`](crate::CallError::Refused).
    ///
    /// In a hook of a connection it counts as an error without a face. So does a `status` that
    /// is no final HTTP status (200 to 999); the log says so.
    pub fn status(status: u16, text: impl Into<String>) -> Self {
        match StatusCode::from_u16(status) {
            Ok(status) if !status.is_informational() => {
                Self { face: Face::Status(status, text.into()), cause: None }
            }
            _ => Self::new(format!("Error::status({status}) is no final HTTP status")),
        }
    }

    /// An answer to a connection: closes it with `code` and `reason`, from any hook that serves one.
    ///
    /// In `on_request` it counts as an error without a face. So does a code or a reason
    /// which [`Connection::close`](crate::Connection::close) would refuse; the log says so.
    pub fn close(code: u16, reason: impl Into<String>) -> Self {
        match CloseFrame::new(code, reason) {
            Ok(close) => Self { face: Face::Close(close), cause: None },
            Err(wrong) => Self::new(wrong),
        }
    }

    /// The status and text for an HTTP client, if this is such an answer.
    #[must_use]
    pub fn public_status(&self) -> Option<(StatusCode, &str)> {
        match &self.face {
            Face::Status(status, text) => Some((*status, text)),
            Face::None | Face::Close(_) => None,
        }
    }

    /// The code and reason for a connection, if this is such an answer.
    #[must_use]
    pub fn public_close(&self) -> Option<&CloseFrame> {
        match &self.face {
            Face::Close(close) => Some(close),
            Face::None | Face::Status(..) => None,
        }
    }

    /// Whether the client of `hook` is told this error as its answer; else it is a failure.
    #[must_use]
    pub fn is_answer_to(&self, hook: Hook) -> bool {
        match &self.face {
            Face::None => false,
            Face::Status(..) => matches!(hook, Hook::Request | Hook::Run),
            Face::Close(_) => !matches!(
                hook,
                Hook::Start | Hook::Request | Hook::Alarm | Hook::Run | Hook::Error | Hook::Task
            ),
        }
    }

    /// What it was made from, if it has a cause.
    #[must_use]
    pub fn cause(&self) -> Option<&(dyn StdError + Send + Sync + 'static)> {
        self.cause.as_deref()
    }
}

// `Error` itself does not implement `std::error::Error`: this conversion could not exist beside it.
impl<E: StdError + Send + Sync + 'static> From<E> for Error {
    fn from(cause: E) -> Self {
        Self::new(cause)
    }
}

/// The cause with all its sources, joined by `: `; for an answer, the answer.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.face, &self.cause) {
            (Face::Status(status, text), _) => write!(f, "{status}: {text}"),
            (Face::Close(close), _) => write!(f, "close {close}"),
            (Face::None, None) => f.write_str("unknown error"),
            (Face::None, Some(cause)) => {
                // User code, and shown where nobody expects any: in a log line, in an answer.
                let text = catch_unwind(AssertUnwindSafe(|| text_of(&**cause)));
                f.write_str(text.as_deref().unwrap_or("an error that panics when it is shown"))
            }
        }
    }
}

fn text_of(cause: &dyn StdError) -> String {
    let mut text = cause.to_string();
    let mut source = cause.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// An error ends outside of the hook that returned it, so a panic of the cause's ends here.
impl Drop for Error {
    fn drop(&mut self) {
        if let Some(cause) = self.cause.take() {
            // The panic hook has reported it.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(cause)));
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({self})")
    }
}

impl Failure {
    /// A failure from its parts; for hosts.
    #[must_use]
    pub fn new(hook: Hook, connection: Option<ConnectionId>, error: Error, panicked: bool) -> Self {
        Self { hook, connection, error, panicked }
    }
}

impl Hook {
    /// The hook's name as users write it, for logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "on_start",
            Self::ConnectionTags => "connection_tags",
            Self::Connect => "on_connect",
            Self::Message => "on_message",
            Self::Invalid => "on_invalid",
            Self::Close => "on_close",
            Self::Request => "on_request",
            Self::Alarm => "on_alarm",
            Self::Error => "on_error",
            Self::Run => "run",
            Self::Task => "spawned task",
        }
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_std_error_converts_and_shows_no_face() {
        let error: Error = "x".parse::<u8>().unwrap_err().into();
        assert!(error.public_status().is_none() && error.public_close().is_none());
        assert_eq!(error.to_string(), "invalid digit found in string");
    }

    #[test]
    fn an_impossible_face_counts_as_none_and_says_why() {
        assert!(Error::status(99, "x").public_status().is_none());
        assert!(Error::status(101, "x").public_status().is_none());
        let error = Error::close(1006, "x");
        assert!(error.public_close().is_none());
        assert!(error.to_string().contains("1006"), "{error}");
    }

    #[test]
    fn texts_and_boxed_errors_become_causes() {
        assert_eq!(Error::new("lost the dice").to_string(), "lost the dice");
        let boxed: Box<dyn StdError + Send + Sync> = "boxed".into();
        assert_eq!(Error::new(boxed).to_string(), "boxed");
    }
}
