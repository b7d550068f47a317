//! PartyKit's programming model for Rust: small stateful servers, one per room.

mod frame;

pub use frame::{EncodeError, Frame, FromFrame, IntoFrame, Json, ParseError};

/// Derives [`FromFrame`](trait@FromFrame) for an enum, one variant for each message, or for a struct.
///
/// ```
/// use partyrs::{Frame, FromFrame};
///
/// #[derive(Debug, PartialEq, FromFrame)]
/// #[frame(rename_all = "kebab-case", rename_all_fields = "camelCase")]
/// enum Ask {
///     Sit { seat_number: u8, name: Option<String> },
///     #[frame(rename = "quit")]
///     LeaveTable,
/// }
///
/// let ask = Ask::from_frame(Frame::text(r#"{"type":"sit","seatNumber":3}"#))?;
/// assert_eq!(ask, Ask::Sit { seat_number: 3, name: None });
///
/// let error = Ask::from_frame(Frame::text(r#"{"type":"stand"}"#)).unwrap_err();
/// assert_eq!(error.to_string(), "unknown type `stand`, expected one of `sit`, `quit`");
/// # Ok::<(), partyrs::ParseError>(())
/// ```
pub use partyrs_macros::FromFrame;

/// Derives [`IntoFrame`](trait@IntoFrame) for an enum, one variant for each message, or for a struct.
///
/// ```
/// use partyrs::{Frame, IntoFrame};
///
/// #[derive(IntoFrame)]
/// #[frame(tag = "kind", rename_all = "camelCase")]
/// enum Tell<'a> {
///     UserJoined { name: &'a str },
///     #[frame(rename = "bye")]
///     TableClosed,
/// }
///
/// let joined = Tell::UserJoined { name: "ada" };
/// assert_eq!((&joined).into_frame()?, Frame::text(r#"{"kind":"userJoined","name":"ada"}"#));
/// assert_eq!(Tell::TableClosed.into_frame()?, Frame::text(r#"{"kind":"bye"}"#));
/// # Ok::<(), partyrs::EncodeError>(())
/// ```
pub use partyrs_macros::IntoFrame;

/// What the code that the derives write calls. Not for use by hand.
#[doc(hidden)]
pub mod __private;
