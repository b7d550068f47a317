//! Which way a message is read makes no difference.

use std::{collections::BTreeMap, fmt::Debug};

use proptest::{
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use serde::Deserialize;

use super::{ReadMessage, Shape, read_quickly, read_with_care};
use crate::{Frame, FromFrame};

#[derive(Debug, PartialEq, FromFrame)]
enum Beside {
    Unit,
    Fields {
        a: u8,
        b: Option<String>,
    },
    Payload(Point),
    Map(BTreeMap<String, i8>),
    Odd {
        #[frame(rename = "a\"b")]
        quoted: Option<u8>,
        #[frame(rename = "\\")]
        backslash: Option<u8>,
        #[frame(rename = "é", alias = "\n")]
        accent: Option<u8>,
    },
    Rest {
        a: u8,
        #[frame(flatten)]
        rest: BTreeMap<String, i8>,
    },
}

#[derive(Debug, PartialEq, Deserialize)]
struct Point {
    a: u8,
    c: Option<bool>,
}

#[derive(Debug, PartialEq, FromFrame)]
#[frame(tag = "t", content = "c", deny_unknown_fields)]
enum Under {
    Unit,
    Fields {
        a: u8,
    },
    One(u8),
    #[frame(other)]
    Other(String),
}

const BESIDE: Shape = Shape {
    tag: "type",
    names: &["Unit", "Fields", "Payload", "Map", "Odd", "Rest"],
    aliases: &[],
    keeps_other: false,
};

const UNDER: Shape = Shape { tag: "t", names: &["Unit", "Fields", "One"], aliases: &[], keeps_other: true };

/// Both ways come to the same message or the same error.
fn agrees<E: FromFrame + ReadMessage + Debug>(
    shape: &'static Shape,
    text: &str,
) -> Result<(), TestCaseError> {
    let message = E::from_frame(Frame::text(text));
    prop_assert_eq!(format!("{message:?}"), format!("{:?}", read_with_care::<E>(text, shape)), "{}", text);
    Ok(())
}

#[test]
fn the_quick_way_comes_to_what_the_careful_one_does() {
    const ENTRIES: [&str; 41] = [
        r#""type":"Unit""#,
        r#""type":"Fields""#,
        r#""type":"Payload""#,
        r#""type":"Map""#,
        r#""type":"Rest""#,
        r#""type":"Odd""#,
        r#""a"b":1"#,
        r#""a\"b":1"#,
        r#""é":1"#,
        "\"\n\":1",
        r#""\n":1"#,
        r#""\":1"#,
        r#""type":"Nobody""#,
        r#""type":1"#,
        r#""type":"\u0055nit""#,
        r#""\u0074ype":"Fields""#,
        r#""t\u0079pe":"Unit""#,
        r#" "type" : "Fields" "#,
        r#""t":"Unit""#,
        r#""t":"Fields""#,
        r#""t":"One""#,
        r#""t":"Nobody""#,
        r#""\u0074":"One""#,
        r#""c":{"a":1}"#,
        r#""c":{"a":1,"t":"Unit"}"#,
        r#""c":3"#,
        r#""a":1"#,
        r#""a":2"#,
        r#""a":300"#,
        r#""a":"type""#,
        r#""a":"\"type\":\"Unit\"""#,
        r#""b":"x""#,
        r#""b":null"#,
        r#""b":",\"type\":""#,
        r#""c":true"#,
        r#""c":null"#,
        r#""x":-1"#,
        r#""x":{"type":"Unit"}"#,
        r#""x":[{"a":1,"type":"Unit"}]"#,
        r#""x":"\\""#,
        r#""\\":5"#,
    ];
    let entries = proptest::collection::vec(prop::sample::select(&ENTRIES[..]), 0..6);
    let text = (entries, prop::sample::select(vec!["}", "}", "}", "}", " }\n", "", "}}", ",}"]))
        .prop_map(|(entries, end)| format!("{{{}{end}", entries.join(",")));
    let config = Config { cases: 20_000, failure_persistence: None, ..Config::default() };
    let seed = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    TestRunner::new_with_rng(config, seed)
        .run(&text, |text| agrees::<Beside>(&BESIDE, &text).and_then(|()| agrees::<Under>(&UNDER, &text)))
        .unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn a_message_out_of_the_ordinary_in_one_place_only_is_read_quickly() {
    for text in [
        r#"{"type":"Fields","a":1,"b":"x"}"#,
        r#"{"a":1,"b":"x","type":"Fields"}"#,
        r#"{"a":1,"type":"Fields","b":"x"}"#,
        r#"{"a":1,"b":"\"x\\\n\ud83d\ude00","type":"Fields"}"#,
        r#"{"type":"Fields","a":1,"y":[{},1e400,"\n"],"\u0062":"x"}"#,
        r#"{"y":{"type":"Unit"},"a":1,"type":"Fields"}"#,
        r#"{"type":"Fields","ab":2,"a":1,"":0}"#,
        r#"{"type":"Fields","a":1,"type":"Unit"}"#,
        r#"{"type":"Unit","a":1,"type":"Unit"}"#,
        r#"{"a":1,"type":"Unit","type":"Unit"}"#,
        r#"{"type":"Payload","a":1,"c":null}"#,
        r#"{"a":1,"c":true,"type":"Payload"}"#,
        r#"{"type":"Map","a":1}"#,
        r#"{"a":1,"type":"Map"}"#,
        r#"{"x":-1,"a":1,"type":"Rest"}"#,
        " {\n  \"type\" : \"Unit\"\r\n}\t",
        " {\n  \"a\" : 1 , \"type\" : \"Unit\"\r\n}\t",
    ] {
        assert!(read_quickly::<Beside>(text, &BESIDE).is_some(), "{text}");
    }
}

/// Of two tags the first counts, so what the last one says must be refused.
#[test]
fn a_tag_at_the_end_counts_only_if_no_other_came_before() {
    for text in [
        r#"{"a":1,"type":"Fields","type":"Unit"}"#,
        r#"{"a":1,"type":"Fields","b":"x","type":"Unit"}"#,
        r#"{"a":1,"\u0074ype":"Fields","type":"Unit"}"#,
        r#"{"a":1,"type":"Fields","type":"Payload"}"#,
        r#"{"a":1,"type":"Fields","type":"Map"}"#,
        r#"{"a":1,"type":"Fields","type":"Rest"}"#,
    ] {
        assert!(read_quickly::<Beside>(text, &BESIDE).is_none(), "{text}");
        assert!(matches!(Beside::from_frame(Frame::text(text)), Ok(Beside::Fields { a: 1, .. })), "{text}");
    }
}
