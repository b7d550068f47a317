//! What `#[frame(..)]` says beyond names; where serde knows the same, its answer is the measure.

use std::collections::BTreeMap;

use partyrs::{Frame, FromFrame, IntoFrame, ParseError, bytes::Bytes};
use serde::{Deserialize, Serialize};

use crate::{read, refusal, written};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Point {
    x: i8,
    y: i8,
}

/// The content under a key of its own.
mod content {
    use super::*;

    #[derive(Debug, Clone, PartialEq, FromFrame, IntoFrame, Serialize, Deserialize)]
    #[frame(tag = "kind", content = "data", rename_all = "snake_case")]
    #[serde(tag = "kind", content = "data", rename_all = "snake_case")]
    enum Ask {
        Leave,
        Nudge {},
        Say { text: String, kind: Option<u8> },
        Seat(u8),
        Point(Point),
        Names(Vec<String>),
        Maybe(Option<bool>),
        Line(Point, Point, String),
    }

    #[test]
    fn each_shape_is_what_serde_makes_of_it() {
        let point = Point { x: 1, y: -1 };
        for message in [
            Ask::Leave,
            Ask::Nudge {},
            Ask::Say { text: "hi".into(), kind: Some(1) },
            Ask::Seat(7),
            Ask::Point(point.clone()),
            Ask::Names(vec!["ada".into(), "bob".into()]),
            Ask::Maybe(None),
            Ask::Line(point.clone(), point.clone(), "red".into()),
        ] {
            let text = serde_json::to_string(&message).unwrap();
            assert_eq!(written(&message), text);
            assert_eq!(read::<Ask>(&text).unwrap(), message, "{text}");
        }
    }

    #[test]
    fn tag_and_content_may_come_in_any_order_and_with_others() {
        for text in [
            r#"{"kind":"say","data":{"text":"hi"}}"#,
            r#"{"data":{"text":"hi"},"kind":"say"}"#,
            r#"{"x":[1],"data":{"text":"hi","y":{}},"y":1,"kind":"say","z":null}"#,
        ] {
            assert_eq!(read::<Ask>(text).unwrap(), Ask::Say { text: "hi".into(), kind: None }, "{text}");
        }
        assert_eq!(read::<Ask>(r#"{"kind":"maybe"}"#).unwrap(), Ask::Maybe(None));
        assert_eq!(read::<Ask>(r#"{"kind":"leave","data":1}"#).unwrap(), Ask::Leave);
    }

    #[test]
    fn what_is_wrong_in_the_content_is_told() {
        for (text, answer) in [
            (r#"{"kind":"say"}"#, "missing field `data` at line 1 column 14"),
            (r#"{"kind":"nudge"}"#, "missing field `data` at line 1 column 16"),
            (r#"{"kind":"seat"}"#, "missing field `data` at line 1 column 15"),
            (r#"{"kind":"say","data":{}}"#, "missing field `text` at line 1 column 23"),
            (
                r#"{"kind":"say","data":{"text":1}}"#,
                "field `text`: invalid type: integer `1`, expected a string at line 1 column 30",
            ),
            (
                r#"{"kind":"seat","data":256}"#,
                "field `data`: invalid value: integer `256`, expected u8 at line 1 column 25",
            ),
            (r#"{"kind":"nudge","data":{},"data":{}}"#, "duplicate field `data` at line 1 column 32"),
            (
                r#"{"kind":"say","data":[1]}"#,
                "invalid type: sequence, expected a JSON object at line 1 column 21",
            ),
        ] {
            assert_eq!(refusal::<Ask>(text), answer, "{text}");
        }
    }
}

#[test]
fn an_alias_is_read_and_never_written() {
    #[derive(Debug, PartialEq, FromFrame, IntoFrame)]
    #[frame(rename_all = "lowercase")]
    enum Ask {
        Leave,
        #[frame(alias = "speak", alias = "tell")]
        Say {
            #[frame(alias = "message")]
            #[frame(alias = "words")]
            text: String,
        },
    }
    for text in [
        r#"{"type":"say","text":"hi"}"#,
        r#"{"type":"speak","message":"hi"}"#,
        r#"{"words":"hi","type":"tell"}"#,
    ] {
        let said: Ask = read(text).unwrap();
        assert_eq!(written(said), r#"{"type":"say","text":"hi"}"#, "{text}");
    }
    let answer = "duplicate field `text` at line 1 column 31";
    assert_eq!(refusal::<Ask>(r#"{"type":"say","text":"","words":""}"#), answer);
    assert_eq!(refusal::<Ask>(r#"{"type":"x"}"#), "unknown type `x`, expected one of `leave`, `say`");
}

#[test]
fn what_never_came_is_what_default_says() {
    fn red() -> String {
        "red".to_owned()
    }

    #[derive(Debug, PartialEq, FromFrame)]
    enum Ask<T> {
        Draw {
            #[frame(default)]
            width: u8,
            #[frame(default = "red")]
            colour: String,
            #[frame(default = "Vec::new")]
            marks: Vec<u8>,
            #[frame(default)]
            what: T,
        },
    }
    let draw = Ask::Draw { width: 0, colour: "red".into(), marks: vec![], what: 0_u8 };
    assert_eq!(read::<Ask<u8>>(r#"{"type":"Draw"}"#).unwrap(), draw);
    let draw = Ask::Draw { width: 2, colour: "blue".into(), marks: vec![1], what: 3_u8 };
    let text = r#"{"type":"Draw","width":2,"colour":"blue","marks":[1],"what":3}"#;
    assert_eq!(read::<Ask<u8>>(text).unwrap(), draw);
    // It stands for what never came, not for what is wrong.
    assert!(matches!(
        read::<Ask<u8>>(r#"{"type":"Draw","width":null}"#),
        Err(ParseError::Field { field: "width", .. })
    ));

    #[derive(Debug, PartialEq, FromFrame)]
    #[frame(default)]
    struct Seat {
        number: u8,
        #[frame(default)]
        row: u8,
    }
    impl Default for Seat {
        fn default() -> Self {
            Self { number: 7, row: 7 }
        }
    }
    assert_eq!(read::<Seat>("{}").unwrap(), Seat { number: 7, row: 0 });
    assert_eq!(read::<Seat>(r#"{"number":1}"#).unwrap(), Seat { number: 1, row: 0 });
}

#[test]
fn a_skipped_field_is_neither_read_nor_written() {
    /// Nothing that serde knows.
    #[derive(Debug, Default, PartialEq)]
    struct Secret(u8);

    fn seven() -> Secret {
        Secret(7)
    }

    #[derive(Debug, PartialEq, FromFrame, IntoFrame)]
    enum Ask {
        Say {
            #[frame(skip)]
            from: Secret,
            text: String,
            #[frame(skip, default = "seven")]
            to: Secret,
        },
        Hush {
            #[frame(skip)]
            from: Secret,
        },
    }
    let text = r#"{"type":"Say","text":"hi"}"#;
    let said = Ask::Say { from: Secret(0), text: "hi".into(), to: Secret(7) };
    assert_eq!(read::<Ask>(r#"{"type":"Say","from":[1],"text":"hi","to":{}}"#).unwrap(), said);
    assert_eq!(written(said), text);
    assert_eq!(written(Ask::Hush { from: Secret(1) }), r#"{"type":"Hush"}"#);
    assert_eq!(read::<Ask>(r#"{"type":"Hush","from":1}"#).unwrap(), Ask::Hush { from: Secret(0) });
}

/// Every field is left out or not, in every combination; serde says what that looks like.
#[test]
fn a_field_may_be_left_out_wherever_it_stands() {
    #[derive(Serialize, IntoFrame)]
    #[serde(tag = "type")]
    enum Tell {
        Cursor {
            #[serde(skip_serializing_if = "Option::is_none")]
            #[frame(skip_serializing_if = "Option::is_none")]
            a: Option<u8>,
            b: u8,
            #[serde(skip_serializing_if = "Option::is_none")]
            #[frame(skip_serializing_if = "Option::is_none")]
            c: Option<u8>,
        },
    }
    #[derive(Serialize, IntoFrame)]
    struct Bare {
        #[serde(skip_serializing_if = "Option::is_none")]
        #[frame(skip_serializing_if = "Option::is_none")]
        a: Option<u8>,
        #[serde(skip_serializing_if = "Option::is_none")]
        #[frame(skip_serializing_if = "Option::is_none")]
        b: Option<u8>,
        #[serde(flatten)]
        #[frame(flatten)]
        rest: BTreeMap<String, u8>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        #[frame(skip_serializing_if = "Vec::is_empty")]
        c: Vec<u8>,
    }
    for bits in 0..16_u8 {
        let some = |bit: u8| (bits & bit > 0).then_some(bit);
        let cursor = Tell::Cursor { a: some(1), b: 0, c: some(2) };
        assert_eq!(written(&cursor), serde_json::to_string(&cursor).unwrap());
        let rest = some(4).map(|bit| ("r".to_owned(), bit)).into_iter().collect();
        let bare = Bare { a: some(1), b: some(2), rest, c: some(8).into_iter().collect() };
        assert_eq!(written(&bare), serde_json::to_string(&bare).unwrap());
    }
}

/// A field that takes the keys that are left.
mod flatten {
    use super::*;

    #[derive(Debug, PartialEq, FromFrame, IntoFrame, Serialize, Deserialize)]
    #[serde(tag = "type")]
    enum Ask {
        Map {
            id: u8,
            #[frame(flatten)]
            #[serde(flatten)]
            rest: BTreeMap<String, serde_json::Value>,
            last: Option<u8>,
        },
        Struct {
            #[frame(flatten)]
            #[serde(flatten)]
            point: Point,
            id: u8,
        },
        Only {
            #[frame(flatten)]
            #[serde(flatten)]
            rest: BTreeMap<String, u8>,
        },
    }

    #[test]
    fn it_takes_what_no_other_field_has() {
        for text in [
            r#"{"type":"Map","id":1,"a":[1,{}],"last":2,"b":"c"}"#,
            r#"{"a":{"type":1},"type":"Map","b":null,"id":1}"#,
            r#"{"type":"Map","id":1}"#,
            r#"{"type":"Struct","x":1,"id":1,"y":2}"#,
            r#"{"type":"Struct","id":1,"y":2,"more":[],"x":1}"#,
            r#"{"type":"Only","x":1,"y":2}"#,
            r#"{"type":"Only"}"#,
        ] {
            let ask: Ask = read(text).unwrap();
            assert_eq!(ask, serde_json::from_str::<Ask>(text).unwrap(), "{text}");
            assert_eq!(written(&ask), serde_json::to_string(&ask).unwrap(), "{text}");
            assert_eq!(read::<Ask>(&written(&ask)).unwrap(), ask, "{text}");
        }
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        assert_eq!(
            refusal::<Ask>(r#"{"type":"Struct","x":1,"id":1}"#),
            "missing field `y` at line 1 column 30"
        );
        assert_eq!(
            refusal::<Ask>(r#"{"type":"Struct","x":1,"y":2}"#),
            "missing field `id` at line 1 column 29"
        );
        assert_eq!(
            refusal::<Ask>(r#"{"type":"Map","a":1,"id":"x"}"#),
            "field `id`: invalid type: string \"x\", expected u8 at line 1 column 28"
        );
        let answer = "duplicate field `id` at line 1 column 31";
        assert_eq!(refusal::<Ask>(r#"{"type":"Map","id":1,"a":1,"id":2}"#), answer);
    }

    #[test]
    fn an_option_is_none_if_no_key_is_left_for_it() {
        #[derive(Debug, PartialEq, FromFrame, IntoFrame)]
        enum Ask {
            Struct {
                id: u8,
                #[frame(flatten)]
                point: Option<Point>,
            },
            Map {
                #[frame(flatten)]
                seats: Option<BTreeMap<u8, u8>>,
                last: Option<u8>,
            },
            Payload(Maybe),
        }
        type Maybe = Option<Point>;

        let point = Some(Point { x: 1, y: 2 });
        let seats = Some(BTreeMap::from([(1, 2), (7, 8)]));
        for message in [
            Ask::Struct { id: 1, point: None },
            Ask::Struct { id: 1, point: point.clone() },
            Ask::Map { seats: None, last: Some(1) },
            Ask::Map { seats, last: None },
            Ask::Payload(None),
            Ask::Payload(point.clone()),
        ] {
            assert_eq!(read::<Ask>(&written(&message)).unwrap(), message);
        }
        let text = r#"{"id":1,"type":"Struct"}"#;
        assert_eq!(read::<Ask>(text).unwrap(), Ask::Struct { id: 1, point: None });
        let text = r#"{"y":2,"id":1,"type":"Struct","\u0078":1}"#;
        assert_eq!(read::<Ask>(text).unwrap(), Ask::Struct { id: 1, point });
        // One that has begun is to be whole.
        let answer = refusal::<Ask>(r#"{"type":"Struct","id":1,"x":1}"#);
        assert_eq!(answer, "missing field `y` at line 1 column 30");
        let answer = refusal::<Ask>(r#"{"type":"Struct","id":1,"x":1,"x":1}"#);
        assert_eq!(answer, "duplicate field `x` at line 1 column 33");
        assert!(refusal::<Ask>(r#"{"type":"Struct","id":1"#).starts_with("not valid JSON"));
    }

    #[test]
    fn a_type_that_does_not_read_to_the_end_leaves_nothing_behind() {
        #[derive(Debug, PartialEq, FromFrame)]
        struct Late {
            #[frame(flatten)]
            nothing: (),
            id: u8,
        }
        assert_eq!(read::<Late>(r#"{"a":1,"id":2,"b":3}"#).unwrap(), Late { nothing: (), id: 2 });
        assert!(refusal::<Late>(r#"{"a":1,"id":2,"b":3"#).starts_with("not valid JSON"));
    }
}

#[test]
fn unknown_keys_are_refused_if_so_asked() {
    #[derive(Debug, PartialEq, FromFrame)]
    #[frame(deny_unknown_fields)]
    enum Ask {
        Say {
            #[frame(alias = "words")]
            text: String,
        },
        Leave,
        Nudge {},
        Move(Point),
    }
    assert!(read::<Ask>(r#"{"type":"Say","words":"hi","type":1}"#).is_ok());
    assert!(read::<Ask>(r#"{"text":"hi","type":"Say"}"#).is_ok());
    assert!(read::<Ask>(r#"{"type":"Move","x":1,"y":2,"z":3}"#).is_ok(), "the payload decides");
    for (text, answer) in [
        (
            r#"{"type":"Say","text":"hi","to":1}"#,
            "unknown field `to`, expected `text` or `words` at line 1 column 30",
        ),
        (
            r#"{"to":1,"type":"Say","text":"hi"}"#,
            "unknown field `to`, expected `text` or `words` at line 1 column 5",
        ),
        (r#"{"type":"Leave","a":1}"#, "unknown field `a`, there are no fields at line 1 column 19"),
        (r#"{"type":"Nudge","a":1}"#, "unknown field `a`, there are no fields at line 1 column 19"),
    ] {
        assert_eq!(refusal::<Ask>(text), answer, "{text}");
    }
    let long = format!(r#"{{"type":"Leave","{}":1}}"#, "é".repeat(10_000));
    assert!(refusal::<Ask>(&long).chars().count() < 150);

    #[derive(Debug, PartialEq, FromFrame)]
    #[frame(deny_unknown_fields, tag = "t", content = "c")]
    enum Within {
        Leave,
        Say { text: String },
        Seat(u8),
    }
    assert_eq!(read::<Within>(r#"{"t":"Leave","c":null}"#).unwrap(), Within::Leave);
    for text in [
        r#"{"t":"Leave","x":1}"#,
        r#"{"t":"Seat","c":1,"x":1}"#,
        r#"{"t":"Say","c":{"text":"hi"},"x":1}"#,
        r#"{"t":"Say","c":{"text":"hi","x":1}}"#,
    ] {
        assert!(refusal::<Within>(text).starts_with("unknown field `x`, "), "{text}");
    }

    #[derive(Debug, PartialEq, FromFrame)]
    #[frame(deny_unknown_fields)]
    struct Seat {
        number: u8,
    }
    assert!(read::<Seat>(r#"{"number":1}"#).is_ok());
    assert!(refusal::<Seat>(r#"{"number":1,"type":1}"#).starts_with("unknown field `type`, "));
}

#[test]
fn an_unknown_tag_may_have_a_variant() {
    #[derive(Debug, PartialEq, FromFrame, IntoFrame)]
    enum Keeps {
        Leave,
        #[frame(other)]
        Unknown(String),
    }
    #[derive(Debug, PartialEq, FromFrame, IntoFrame)]
    enum Names {
        #[frame(other)]
        Unknown {
            r#type: String,
        },
        Leave,
    }
    #[derive(Debug, PartialEq, FromFrame, IntoFrame)]
    enum Forgets {
        #[frame(other, rename = "what")]
        Unknown,
        Leave,
    }
    let long = "é".repeat(1000);
    for tag in ["x", "Unknown", "", "\\\"", &long] {
        for text in [format!(r#"{{"type":"{tag}","x":[1]}}"#), format!(r#"{{"x":[1],"type":"{tag}"}}"#)] {
            let tag = tag.replace('\\', "");
            assert_eq!(read::<Keeps>(&text).unwrap(), Keeps::Unknown(tag.clone()), "{text}");
            assert_eq!(read::<Names>(&text).unwrap(), Names::Unknown { r#type: tag }, "{text}");
            assert_eq!(read::<Forgets>(&text).unwrap(), Forgets::Unknown, "{text}");
        }
    }
    assert_eq!(read::<Keeps>(r#"{"type":"Leave"}"#).unwrap(), Keeps::Leave);
    assert_eq!(read::<Forgets>(r#"{"type":"Leave"}"#).unwrap(), Forgets::Leave);
    assert_eq!(refusal::<Keeps>("{}"), "missing key `type`");
    assert_eq!(refusal::<Keeps>(r#"{"type":1}"#), "the key `type` must be a string");
    assert!(refusal::<Keeps>(r#"{"type":"x","#).starts_with("not valid JSON"));
    assert_eq!(written(Keeps::Unknown("\"".into())), r#"{"type":"\""}"#);
    assert_eq!(written(Names::Unknown { r#type: "x".into() }), r#"{"type":"x"}"#);
    assert_eq!(written(Forgets::Unknown), r#"{"type":"what"}"#);
}

#[test]
fn a_binary_frame_may_have_a_variant() {
    #[derive(Debug, PartialEq, FromFrame, IntoFrame)]
    enum Ask {
        Leave,
        #[frame(binary)]
        Upload(Bytes),
    }
    #[derive(Debug, PartialEq, FromFrame, IntoFrame)]
    enum Copies {
        Leave,
        #[frame(binary)]
        Upload(Vec<u8>),
    }
    #[derive(IntoFrame)]
    enum Borrows<'a> {
        #[frame(binary)]
        Upload(&'a [u8]),
    }
    for bytes in [&b""[..], b"\xff\0", br#"{"type":"Leave"}"#] {
        let frame = Frame::binary(bytes.to_vec());
        let upload = Ask::from_frame(frame.clone()).unwrap();
        assert_eq!(upload, Ask::Upload(Bytes::copy_from_slice(bytes)));
        assert_eq!(upload.into_frame().unwrap(), frame);
        let upload = Copies::from_frame(frame.clone()).unwrap();
        assert_eq!(upload, Copies::Upload(bytes.to_vec()));
        assert_eq!(upload.into_frame().unwrap(), frame);
        assert_eq!(Borrows::Upload(bytes).into_frame().unwrap(), frame);
    }
    assert_eq!(read::<Ask>(r#"{"type":"Leave"}"#).unwrap(), Ask::Leave);
    assert_eq!(read::<Copies>(r#"{"type":"Leave"}"#).unwrap(), Copies::Leave);
    assert_eq!(refusal::<Ask>(r#"{"type":"Upload"}"#), "unknown type `Upload`, expected one of `Leave`");
}

#[test]
fn bytes_are_shared_with_their_frame() {
    #[derive(FromFrame)]
    enum Ask {
        #[frame(binary)]
        Upload(Bytes),
    }
    let bytes = Bytes::from_static(b"abc");
    let Ask::Upload(read) = Ask::from_frame(Frame::Binary(bytes.clone())).unwrap();
    assert_eq!(read.as_ptr(), bytes.as_ptr());
}

/// A payload's type has attributes of its own, which are serde's.
#[test]
fn what_serde_is_told_of_a_payload_holds() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Shape {
        line_width: u8,
        #[serde(default = "Shape::any", skip_serializing_if = "String::is_empty")]
        colour: String,
        #[serde(rename = "to", alias = "till")]
        end: End,
        #[serde(flatten)]
        rest: BTreeMap<String, u8>,
    }
    impl Shape {
        fn any() -> String {
            "any".to_owned()
        }
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum End {
        Seat(u8),
        At(Point),
        Named { name: String },
    }
    #[derive(Debug, PartialEq, FromFrame, IntoFrame, Serialize, Deserialize)]
    #[serde(tag = "type")]
    enum Ask {
        Payload(Shape),
        Field { shape: Shape },
        Open(End),
    }
    for text in [
        r#"{"type":"Payload","lineWidth":1,"colour":"red","to":7,"z":1}"#,
        r#"{"type":"Payload","till":{"x":1,"y":2},"lineWidth":1}"#,
        r#"{"lineWidth":1,"to":{"name":"bob"},"type":"Payload"}"#,
        r#"{"type":"Field","shape":{"lineWidth":1,"till":{"name":"bob"},"type":3}}"#,
        r#"{"type":"Open","x":1,"y":2}"#,
        r#"{"name":"bob","type":"Open"}"#,
    ] {
        let ask: Ask = read(text).unwrap();
        assert_eq!(ask, serde_json::from_str::<Ask>(text).unwrap(), "{text}");
        assert_eq!(written(&ask), serde_json::to_string(&ask).unwrap(), "{text}");
        assert_eq!(read::<Ask>(&written(&ask)).unwrap(), ask, "{text}");
    }
}
