//! What the derives promise: which frames become which messages, and the other way round.

mod attributes;
mod generics;
mod macros;
mod methods;
mod names;
mod reading;
mod refusing;
mod rules;
mod writing;

use partyrs::{Frame, FromFrame, IntoFrame, ParseError};

/// Reads a text frame.
fn read<T: FromFrame>(text: &str) -> Result<T, ParseError> {
    T::from_frame(Frame::text(text))
}

/// The client's answer to a text frame that is no message.
#[track_caller]
fn refusal<T: FromFrame + std::fmt::Debug>(text: &str) -> String {
    read::<T>(text).expect_err("was read").to_string()
}

/// The text of a message's frame.
#[track_caller]
fn written(message: impl IntoFrame) -> String {
    let frame = message.into_frame().expect("has a frame form");
    frame.as_text().expect("is a text frame").to_owned()
}
