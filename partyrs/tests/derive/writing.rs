//! Messages as frames.

use std::collections::{BTreeMap, HashMap};

use partyrs::{EncodeError, Frame, IntoFrame};
use serde::Serialize;

use crate::written;

#[derive(IntoFrame)]
#[frame(rename_all = "kebab-case")]
enum Tell<'a> {
    Said { from: &'a str, text: &'a str },
    Moved(Point),
    Nudged {},
    TableClosed,
}

#[derive(Clone, Serialize)]
struct Point {
    x: f32,
    y: f32,
}

#[test]
fn the_tag_comes_first_and_the_fields_follow_in_their_order() {
    assert_eq!(
        written(Tell::Said { from: "ada", text: "hi" }),
        r#"{"type":"said","from":"ada","text":"hi"}"#
    );
    assert_eq!(written(Tell::Moved(Point { x: 1.0, y: -2.5 })), r#"{"type":"moved","x":1.0,"y":-2.5}"#);
    assert_eq!(written(Tell::Nudged {}), r#"{"type":"nudged"}"#);
    assert_eq!(written(Tell::TableClosed), r#"{"type":"table-closed"}"#);
}

#[test]
fn a_reference_is_written_like_its_value() {
    let told = Tell::Said { from: "ada", text: "hi" };
    assert_eq!(written(&told), written(told));
}

#[test]
fn text_of_all_kinds_is_escaped_as_json_asks() {
    let text = "\" \\ \n \u{1} / 日本語 🎉";
    let frame = written(Tell::Said { from: "", text });
    assert_eq!(frame, r#"{"type":"said","from":"","text":"\" \\ \n \u0001 / 日本語 🎉"}"#);
}

#[test]
fn a_struct_is_written_without_a_tag() {
    #[derive(IntoFrame)]
    struct State<'a> {
        users: Vec<&'a str>,
        #[frame(rename = "type")]
        kind: Option<u8>,
    }
    assert_eq!(
        written(State { users: vec!["ada", "bob"], kind: None }),
        r#"{"users":["ada","bob"],"type":null}"#
    );

    #[derive(IntoFrame)]
    struct Refresh {}
    assert_eq!(written(Refresh {}), "{}");
}

/// Types that become an object, each in its own way.
mod payloads {
    use super::*;

    #[derive(Serialize)]
    struct Empty {}

    #[derive(Serialize)]
    struct Nothing;

    #[derive(Serialize)]
    struct Wrapped(Point);

    #[derive(Serialize)]
    struct Open {
        x: u8,
        #[serde(flatten)]
        rest: BTreeMap<String, u8>,
        #[serde(skip_serializing_if = "Option::is_none")]
        absent: Option<u8>,
    }

    #[derive(Serialize)]
    #[serde(tag = "kind")]
    enum Tagged {
        A { x: u8 },
    }

    #[derive(Serialize)]
    enum Outside {
        B { x: u8 },
        C(u8, u8),
    }

    #[derive(IntoFrame)]
    enum Tell<'a> {
        Empty(Empty),
        Nothing(Nothing),
        Unit(()),
        Wrapped(Wrapped),
        Boxed(Box<Point>),
        Borrowed(&'a Point),
        Open(Open),
        Tagged(Tagged),
        Outside(Outside),
        Map(BTreeMap<u8, &'a str>),
        Value(serde_json::Value),
    }

    #[test]
    fn the_keys_of_a_payload_follow_the_tag() {
        let point = Point { x: 0.0, y: 1.0 };
        let open = |rest| Open { x: 1, rest, absent: None };
        let cases = [
            (Tell::Empty(Empty {}), r#"{"type":"Empty"}"#),
            (Tell::Nothing(Nothing), r#"{"type":"Nothing"}"#),
            (Tell::Unit(()), r#"{"type":"Unit"}"#),
            (Tell::Wrapped(Wrapped(point.clone())), r#"{"type":"Wrapped","x":0.0,"y":1.0}"#),
            (Tell::Boxed(Box::new(point.clone())), r#"{"type":"Boxed","x":0.0,"y":1.0}"#),
            (Tell::Borrowed(&point), r#"{"type":"Borrowed","x":0.0,"y":1.0}"#),
            (Tell::Open(open(BTreeMap::from([("y".into(), 2)]))), r#"{"type":"Open","x":1,"y":2}"#),
            (Tell::Tagged(Tagged::A { x: 1 }), r#"{"type":"Tagged","kind":"A","x":1}"#),
            (Tell::Outside(Outside::B { x: 1 }), r#"{"type":"Outside","B":{"x":1}}"#),
            (Tell::Outside(Outside::C(1, 2)), r#"{"type":"Outside","C":[1,2]}"#),
            (Tell::Map(BTreeMap::from([(7, "}")])), r#"{"type":"Map","7":"}"}"#),
            (Tell::Map(BTreeMap::new()), r#"{"type":"Map"}"#),
            (Tell::Value(serde_json::json!({ "x": {} })), r#"{"type":"Value","x":{}}"#),
        ];
        for (message, frame) in cases {
            assert_eq!(written(message), frame);
        }
    }

    #[test]
    fn a_payload_that_is_no_object_is_refused() {
        use serde_json::json;

        for value in [json!(1), json!("{}"), json!([]), json!([{}]), json!(true)] {
            let error = Tell::Value(value).into_frame().unwrap_err();
            assert!(matches!(error, EncodeError::NotAnObject { variant: "Value" }));
            assert_eq!(error.to_string(), "the payload of `Value` is not an object in JSON");
        }
    }
}

#[test]
fn a_value_without_a_json_form_is_refused() {
    #[derive(IntoFrame)]
    enum Tell {
        Seats { seats: HashMap<Vec<u8>, u8> },
        Payload(HashMap<(), u8>),
    }
    let seats = HashMap::from([(vec![1], 2)]);
    assert!(matches!(Tell::Seats { seats }.into_frame(), Err(EncodeError::Json(_))));
    let payload = HashMap::from([((), 2)]);
    assert!(matches!(Tell::Payload(payload).into_frame(), Err(EncodeError::Json(_))));
}

#[test]
fn a_message_that_is_always_the_same_shares_its_bytes() {
    let frames = [(); 2].map(|()| Tell::TableClosed.into_frame().unwrap());
    let [Frame::Text(first), Frame::Text(second)] = frames else { panic!("not text") };
    assert_eq!(first.as_ptr(), second.as_ptr());
}

/// A browser takes the last of two equal keys, and so would see another message; and the names of
/// users are keys of maps.
#[test]
fn what_stands_beside_the_tag_may_not_have_a_key_that_is_taken() {
    type Map = BTreeMap<String, serde_json::Value>;

    #[derive(IntoFrame)]
    #[frame(tag = "\t\"kind")]
    enum Tell {
        Scores(Map),
        State {
            #[frame(skip_serializing_if = "Option::is_none")]
            id: Option<u8>,
            #[frame(flatten)]
            rest: Map,
            last: u8,
        },
    }
    #[derive(IntoFrame)]
    #[frame(content = "data")]
    enum Within {
        Scores(Map),
        State {
            id: u8,
            #[frame(flatten)]
            rest: Map,
        },
    }
    let map = |key: &str| -> Map {
        let odd = serde_json::json!(["\"", {"type": 1, "\t\"kind": 1, "id": 1, "last": 1}, "last", "id"]);
        [("a".to_owned(), odd), (key.to_owned(), "id".into())].into()
    };
    let taken = |message: Result<Frame, EncodeError>| match message {
        Err(EncodeError::KeyTaken { variant, key }) => Some((variant, key)),
        other => other.map(|_| None).expect("no other error"),
    };
    let kind = "\t\"kind";
    let state = |key: &str| taken(Tell::State { id: None, rest: map(key), last: 1 }.into_frame());
    let within = |key: &str| taken(Within::State { id: 1, rest: map(key) }.into_frame());
    assert_eq!(taken(Tell::Scores(map(kind)).into_frame()), Some(("Scores", r#""\t\"kind""#)));
    assert_eq!(taken(Tell::Scores(map("type")).into_frame()), None);
    assert_eq!(state(kind), Some(("rest", r#""\t\"kind""#)));
    assert_eq!(state("id"), Some(("rest", r#""id""#)));
    assert_eq!(state("last"), Some(("rest", r#""last""#)));
    assert_eq!(state("type"), None);
    assert_eq!(within("id"), Some(("rest", r#""id""#)));
    assert_eq!(within("type"), None);
    assert_eq!(taken(Within::Scores(map("type")).into_frame()), None);
    assert_eq!(
        Tell::Scores(map(kind)).into_frame().unwrap_err().to_string(),
        r#"the payload of `Scores` has the key "\t\"kind", which the message has already; give it a key of its own to stand under"#
    );
}
