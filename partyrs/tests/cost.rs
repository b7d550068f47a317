//! What reading and writing a message may cost: allocations, counted.

use std::collections::BTreeMap;

use bytes::Bytes;
use partyrs::{Frame, FromFrame, IntoFrame, MessagePack};
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

/// How long it is, whatever that is: nothing grows on the way, and nothing is kept that is not sent.
#[test]
fn a_message_that_is_written_allocates_its_frame_and_no_more() {
    #[derive(partyrs::IntoFrame)]
    enum Tell<'a> {
        Said { text: &'a str, at: u64 },
        Ping,
    }
    let write = |len: usize| {
        let text = "x".repeat(len);
        let mut frame = None;
        let counted = allocation_counter::measure(|| {
            frame = Some(Tell::Said { text: &text, at: 7 }.into_frame());
        });
        let frame = frame.expect("was run").expect("is a message");
        (counted, frame.as_text().expect("is text").len() as u64)
    };
    // The longest that the thread keeps a buffer for, which is there from then on.
    write(30_000);
    for len in [0, 1, 40, 128, 129, 4096, 29_999] {
        let (counted, frame_len) = write(len);
        assert_eq!((counted.count_total, counted.bytes_total), (1, frame_len), "{len} characters");
    }
    // One that is far longer leaves nothing behind.
    let (counted, frame_len) = write(1_000_000);
    assert!(counted.bytes_current <= frame_len as i64, "{} for {frame_len}", counted.bytes_current);
    assert_eq!(allocation_counter::measure(|| drop(Tell::Ping.into_frame())).count_total, 0);
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "only read")]
struct Pair {
    first: String,
    second: Vec<Item>,
}

/// MessagePack says how long a thing is before it comes; whoever says four billion has not sent them.
#[test]
fn a_length_that_is_only_told_is_not_allocated() {
    fn read<T: DeserializeOwned + Send + 'static>(bytes: &[u8]) -> u64 {
        let frame = Frame::Binary(Bytes::copy_from_slice(bytes));
        let mut message = None;
        let counted = allocation_counter::measure(|| message = Some(MessagePack::<T>::from_frame(frame)));
        assert!(message.expect("was run").is_err(), "{bytes:x?}");
        counted.bytes_max
    }
    // The lengths of bytes, of an extension, of a text, an array and a map, in four bytes.
    for head in [0xc6, 0xc9, 0xdb, 0xdd, 0xdf] {
        let bytes = [head, 0xff, 0xff, 0xff, 0xff, 1, 2, 3];
        let most = [
            read::<Vec<u64>>(&bytes),
            read::<String>(&bytes),
            read::<serde_json::Value>(&bytes),
            read::<BTreeMap<u8, u8>>(&bytes),
            read::<Pair>(&bytes),
        ];
        // serde makes room for at most 1 MiB before what is told has come; the rest is an error's text.
        assert!(most.iter().all(|most| *most <= (1 << 20) + 1024), "{head:x}: {most:?}");
    }
}
