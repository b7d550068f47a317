//! Derives for the message protocols of partyrs.

/// Reads a message out of a frame.
#[proc_macro_derive(FromFrame, attributes(frame))]
pub fn from_frame(_: proc_macro::TokenStream) -> proc_macro::TokenStream {
    proc_macro::TokenStream::new()
}

/// Writes a message as a frame.
#[proc_macro_derive(IntoFrame, attributes(frame))]
pub fn into_frame(_: proc_macro::TokenStream) -> proc_macro::TokenStream {
    proc_macro::TokenStream::new()
}
