//! Frames of any bytes to a protocol that uses every attribute: no panic, and what is read is
//! written and read again to the same text.

#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use partyrs::{Frame, FromFrame, IntoFrame, Validate};
use serde::{Deserialize, Serialize};

#[derive(FromFrame, IntoFrame)]
#[frame(rename_all = "kebab-case")]
enum Beside {
    Leave,
    #[frame(alias = "speak")]
    Say {
        #[frame(alias = "message", len(min = 1, max = 20), pattern("^[^<>]*$"))]
        text: String,
        #[frame(default, range(max = 3))]
        level: u8,
        #[frame(skip_serializing_if = "Option::is_none", inner(nested))]
        points: Option<Vec<Point>>,
        #[frame(flatten)]
        rest: BTreeMap<String, Tree>,
    },
    Move(#[frame(nested)] Point),
    #[frame(other)]
    Other(String),
    #[frame(binary)]
    Upload(#[frame(bytes(max = 64))] Vec<u8>),
}

#[derive(FromFrame, IntoFrame)]
#[frame(tag = "t", content = "c", deny_unknown_fields)]
enum Under {
    Leave,
    Say { text: String, to: Option<String> },
    Seat(i64),
    Line(Point, Tree),
}

#[derive(Serialize, Deserialize, Validate)]
struct Point {
    #[frame(range(min = -100, max = 100))]
    x: i16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    y: Option<bool>,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Tree {
    Leaf(i32),
    Text(String),
    List(Vec<Tree>),
}

fuzz_target!(|bytes: &[u8]| {
    comes_back::<Beside>(Frame::binary(bytes.to_vec()));
    if let Ok(text) = std::str::from_utf8(bytes) {
        comes_back::<Beside>(Frame::text(text));
        comes_back::<Under>(Frame::text(text));
    }
});

fn comes_back<T: FromFrame + IntoFrame>(frame: Frame) {
    match T::from_frame(frame) {
        Err(error) => assert!(error.client_text().len() < 4096),
        Ok(message) => {
            let written = message.into_frame().expect("has a frame form");
            let again = T::from_frame(written.clone()).expect("is read again");
            assert_eq!(again.into_frame().expect("has a frame form"), written);
        }
    }
}
