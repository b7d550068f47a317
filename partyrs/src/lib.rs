//! PartyKit's programming model for Rust: small stateful servers, one per room.

mod frame;

pub use frame::{EncodeError, Frame, FromFrame, IntoFrame, Json, ParseError};
pub use partyrs_macros::{FromFrame, IntoFrame};

/// What the code that the derives write calls. Not for use by hand.
#[doc(hidden)]
pub mod __private;
