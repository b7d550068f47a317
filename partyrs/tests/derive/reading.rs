//! Frames that are messages.

use std::collections::{BTreeMap, HashMap};

use partyrs::FromFrame;
use serde::Deserialize;

use crate::{read, written};

#[derive(Debug, PartialEq, FromFrame, partyrs::IntoFrame)]
#[frame(tag = "type", rename_all = "kebab-case")]
enum Ask {
    Say { text: String, to: Option<String> },
    Move(Point),
    Nudge {},
    LeaveTable,
}

#[derive(Debug, PartialEq, Deserialize, serde::Serialize)]
struct Point {
    x: f32,
    y: f32,
}

fn say(text: &str) -> Ask {
    Ask::Say { text: text.into(), to: None }
}

#[test]
fn each_shape_of_variant_is_read() {
    let to_bob = Ask::Say { text: "hi".into(), to: Some("bob".into()) };
    assert_eq!(read::<Ask>(r#"{"type":"say","text":"hi","to":"bob"}"#).unwrap(), to_bob);
    assert_eq!(
        read::<Ask>(r#"{"type":"move","x":1,"y":-2.5}"#).unwrap(),
        Ask::Move(Point { x: 1.0, y: -2.5 })
    );
    assert_eq!(read::<Ask>(r#"{"type":"nudge"}"#).unwrap(), Ask::Nudge {});
    assert_eq!(read::<Ask>(r#"{"type":"leave-table"}"#).unwrap(), Ask::LeaveTable);
}

#[test]
fn the_tag_may_stand_anywhere() {
    for text in [
        r#"{"type":"move","x":1,"y":2}"#,
        r#"{"x":1,"type":"move","y":2}"#,
        r#"{"y":2,"x":1,"type":"move"}"#,
        "\r\n\t { \"y\" : 2 , \"x\" : 1 , \"type\" : \"move\" } \n",
    ] {
        assert_eq!(read::<Ask>(text).unwrap(), Ask::Move(Point { x: 1.0, y: 2.0 }), "{text}");
    }
    assert_eq!(read::<Ask>(r#"{"text":"hi","type":"say"}"#).unwrap(), say("hi"));
    assert_eq!(read::<Ask>(r#"{"a":[{"type":"say"}],"type":"leave-table"}"#).unwrap(), Ask::LeaveTable);
}

#[test]
fn keys_of_no_field_are_ignored_whatever_they_hold() {
    let noise = r#""a":[1,{"type":"x"}],"b":{"c":null},"":-1e3,"d":true"#;
    for text in [
        format!(r#"{{"type":"say",{noise},"text":"hi"}}"#),
        format!(r#"{{{noise},"text":"hi","type":"say",{noise}}}"#),
    ] {
        assert_eq!(read::<Ask>(&text).unwrap(), say("hi"), "{text}");
    }
    for name in ["nudge", "leave-table"] {
        assert!(read::<Ask>(&format!(r#"{{"type":"{name}",{noise}}}"#)).is_ok(), "{name}");
        assert!(read::<Ask>(&format!(r#"{{{noise},"type":"{name}"}}"#)).is_ok(), "{name}");
    }
}

#[test]
fn an_option_may_be_absent_or_null() {
    assert_eq!(read::<Ask>(r#"{"type":"say","text":"hi"}"#).unwrap(), say("hi"));
    assert_eq!(read::<Ask>(r#"{"type":"say","text":"hi","to":null}"#).unwrap(), say("hi"));
}

#[test]
fn of_two_tags_the_first_counts() {
    assert_eq!(read::<Ask>(r#"{"type":"leave-table","type":"say"}"#).unwrap(), Ask::LeaveTable);
    assert_eq!(read::<Ask>(r#"{"type":"say","type":"x","text":"hi"}"#).unwrap(), say("hi"));
    assert_eq!(read::<Ask>(r#"{"text":"hi","type":"say","type":7}"#).unwrap(), say("hi"));
    let text = r#"{"type":"move","x":1,"type":"say","y":2}"#;
    assert_eq!(read::<Ask>(text).unwrap(), Ask::Move(Point { x: 1.0, y: 2.0 }));
}

#[test]
fn escapes_are_understood_in_keys_and_tags_and_values() {
    let text = r#"{"\u0074ype":"s\u0061y","te\u0078t":"\ud83c\udf89 \"\\\n"}"#;
    assert_eq!(read::<Ask>(text).unwrap(), say("🎉 \"\\\n"));
    let text = r#"{"te\u0078t":"é","t\u0079pe":"\u0073ay"}"#;
    assert_eq!(read::<Ask>(text).unwrap(), say("é"));
    let text = r#"{"\u0078":1,"y":2,"\u0074ype":"move"}"#;
    assert_eq!(read::<Ask>(text).unwrap(), Ask::Move(Point { x: 1.0, y: 2.0 }));
}

#[test]
fn what_was_written_is_read_again() {
    let messages = [
        say("\u{0} \u{1f} \" \\ / \u{2028} 日本語 🎉"),
        Ask::Say { text: String::new(), to: Some("x".repeat(10_000)) },
        Ask::Move(Point { x: 1e-30, y: f32::MAX }),
        Ask::Nudge {},
        Ask::LeaveTable,
    ];
    for message in messages {
        assert_eq!(read::<Ask>(&written(&message)).unwrap(), message);
    }
}

#[test]
fn a_struct_is_an_object_without_a_tag() {
    #[derive(Debug, PartialEq, FromFrame, partyrs::IntoFrame)]
    #[frame(rename_all = "camelCase")]
    struct Seat {
        seat_number: u8,
        #[frame(rename = "type")]
        kind: Option<String>,
    }
    let seat = Seat { seat_number: 7, kind: Some("window".into()) };
    assert_eq!(read::<Seat>(r#"{"type":"window","x":[],"seatNumber":7}"#).unwrap(), seat);
    assert_eq!(read::<Seat>(&written(&seat)).unwrap(), seat);

    #[derive(Debug, PartialEq, FromFrame)]
    struct Refresh {}
    assert_eq!(read::<Refresh>(r#"{"x":1}"#).unwrap(), Refresh {});
}

/// Types that see their keys, each in its own way: none may see the tag.
mod payloads {
    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Strict {
        x: u8,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Open {
        x: u8,
        #[serde(flatten)]
        rest: BTreeMap<String, u8>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Wrapped(Strict);

    #[derive(Debug, PartialEq, Deserialize)]
    struct Nothing;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(tag = "kind")]
    enum Tagged {
        A { x: u8 },
    }

    #[derive(Debug, PartialEq, Deserialize)]
    enum Outside {
        B { x: u8 },
    }

    #[derive(Debug, PartialEq, Eq, Hash, Deserialize)]
    struct Number(u32);

    type Maybe = Option<Strict>;

    #[derive(Debug, PartialEq, FromFrame)]
    enum Ask {
        Strict(Strict),
        Boxed(Box<Strict>),
        Maybe(Maybe),
        Open(Open),
        Wrapped(Wrapped),
        Nothing(Nothing),
        Unit(()),
        Tagged(Tagged),
        Outside(Outside),
        Strings(HashMap<String, String>),
        Numbers(HashMap<u32, u8>),
        Wrapping(HashMap<Number, u8>),
        Flags(HashMap<bool, u8>),
        Value(serde_json::Value),
    }

    #[test]
    fn no_payload_sees_the_tag() {
        let map = |key: &str, value: u8| BTreeMap::from([(key.to_owned(), value)]);
        let strings = HashMap::from([("a".to_owned(), "b".to_owned())]);
        let cases = [
            ("Strict", r#""x":1"#, Ask::Strict(Strict { x: 1 })),
            ("Boxed", r#""x":1"#, Ask::Boxed(Box::new(Strict { x: 1 }))),
            ("Maybe", r#""x":1"#, Ask::Maybe(Some(Strict { x: 1 }))),
            ("Open", r#""x":1,"y":2"#, Ask::Open(Open { x: 1, rest: map("y", 2) })),
            ("Wrapped", r#""x":1"#, Ask::Wrapped(Wrapped(Strict { x: 1 }))),
            ("Nothing", r#""x":1"#, Ask::Nothing(Nothing)),
            ("Unit", r#""x":1"#, Ask::Unit(())),
            ("Tagged", r#""x":1,"kind":"A""#, Ask::Tagged(Tagged::A { x: 1 })),
            ("Outside", r#""B":{"x":1}"#, Ask::Outside(Outside::B { x: 1 })),
            ("Strings", r#""\u0061":"b""#, Ask::Strings(strings)),
            ("Numbers", r#""7":1"#, Ask::Numbers(HashMap::from([(7, 1)]))),
            ("Wrapping", r#""7":1"#, Ask::Wrapping(HashMap::from([(Number(7), 1)]))),
            ("Flags", r#""true":1"#, Ask::Flags(HashMap::from([(true, 1)]))),
            ("Value", r#""x":[1]"#, Ask::Value(serde_json::json!({ "x": [1] }))),
        ];
        for (name, entries, message) in cases {
            for text in [
                format!(r#"{{"type":"{name}",{entries}}}"#),
                format!(r#"{{{entries},"type":"{name}"}}"#),
                format!(r#"{{"type":"{name}","type":0,{entries},"type":[]}}"#),
                format!(r#"{{{entries},"type":"{name}","type":0}}"#),
            ] {
                assert_eq!(read::<Ask>(&text).unwrap(), message, "{text}");
            }
        }
    }
}

/// serde's own `tag` reads into a tree first, and loses these on the way.
#[test]
fn a_field_sees_the_text_itself() {
    #[derive(Debug, PartialEq, FromFrame)]
    enum Ask {
        Count { large: u128, by_seat: HashMap<u8, i128> },
    }
    let large = u128::MAX;
    let count = Ask::Count { large, by_seat: HashMap::from([(1, i128::MIN)]) };
    let entries = format!(r#""large":{large},"by_seat":{{"1":{}}}"#, i128::MIN);
    assert_eq!(read::<Ask>(&format!(r#"{{"type":"Count",{entries}}}"#)).unwrap(), count);
    assert_eq!(read::<Ask>(&format!(r#"{{{entries},"type":"Count"}}"#)).unwrap(), count);
}
