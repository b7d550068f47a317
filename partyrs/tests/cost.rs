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
    struct Sort {
        items: Vec<Item>,
    }
    for (name, text) in frames() {
        let most = match name.split(',').next() {
            Some("join" | "patch") => 2,
            Some("chat") => 1,
            Some("cursor") => 0,
            _ => allocations_of::<Sort>(&text),
        };
        assert_eq!(allocations(&text), most, "{name}");
    }
}

/// A text of nothing but escapes is six times as long as what it says.
#[test]
fn a_text_with_many_escapes_keeps_no_more_memory_than_twice_its_length() {
    for escape in ["\\u0430", "\\n", "\\ud83d\\ude00", "a", "abcdefghijk\\u0041"] {
        let frame = Frame::text(format!(r#"{{"type":"join","name":"{}"}}"#, escape.repeat(1000)));
        let Ok(Ask::Join { name, .. }) = Ask::from_frame(frame) else { panic!("is no message") };
        assert!(name.capacity() <= 2 * name.len() + 16, "{escape}: {} for {}", name.capacity(), name.len());
    }
}
