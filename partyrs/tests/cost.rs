//! What reading a message may cost: allocations, counted.

use partyrs::{Frame, FromFrame};
use serde::{Deserialize, de::DeserializeOwned};

mod protocol;

use protocol::{Ask, Item, frames};

/// Allocations of reading `text` with the derive, the frame itself left out.
fn allocations(text: &str) -> u64 {
    let frame = Frame::text(text);
    let mut message = None;
    let counted = allocation_counter::measure(|| message = Some(Ask::from_frame(frame)));
    message.expect("was run").expect("is a message");
    counted.count_total
}

/// The same for serde and a type that has the fields alone.
fn allocations_of<T: DeserializeOwned>(text: &str) -> u64 {
    let mut message = None;
    let counted = allocation_counter::measure(|| message = Some(serde_json::from_str::<T>(text)));
    drop(message.expect("was run").expect("is a message"));
    counted.count_total
}

#[test]
fn a_message_allocates_what_its_fields_own_and_no_more() {
    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only read")]
    struct Patch {
        document: String,
        version: u64,
        text: String,
    }
    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only read")]
    struct Sort {
        items: Vec<Item>,
    }
    for (name, text) in frames() {
        let most = match name.split(',').next() {
            Some("join") => 2,
            Some("chat") => 1,
            Some("cursor") => 0,
            Some("patch") => allocations_of::<Patch>(&text),
            // The skipping of nested values in the first pass needs one to keep count.
            _ => allocations_of::<Sort>(&text) + u64::from(name.ends_with("last")),
        };
        assert!(allocations(&text) <= most, "{name}: {} allocations, not {most}", allocations(&text));
    }
}
