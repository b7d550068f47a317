//! Frames that are no messages, and what their sender is told.

use partyrs::{Frame, FromFrame, ParseError};
use serde::Deserialize;

use crate::{read, refusal};

#[derive(Debug, PartialEq, FromFrame)]
#[frame(rename_all = "kebab-case")]
enum Ask {
    Say { text: String, at: Option<u32> },
    Move(Point),
    LeaveTable,
    Tree { tree: Tree },
}

#[derive(Debug, PartialEq, Deserialize)]
struct Point {
    x: f32,
    y: f32,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Tree(Vec<Tree>);

#[derive(Debug, PartialEq, FromFrame)]
struct Seat {
    number: u8,
}

#[test]
fn a_binary_frame_is_no_message() {
    let frame = Frame::binary(r#"{"type":"leave-table"}"#);
    assert!(matches!(Ask::from_frame(frame.clone()), Err(ParseError::NotText)));
    assert!(matches!(Seat::from_frame(frame), Err(ParseError::NotText)));
}

#[test]
fn what_is_no_object_is_told_so() {
    for text in ["1", "null", "\"say\"", "[]", r#" [{"type":"leave-table"}] "#] {
        assert!(matches!(read::<Ask>(text), Err(ParseError::NotAnObject { tag: "type" })), "{text}");
    }
    assert_eq!(refusal::<Ask>("1"), "expected a JSON object with the key `type`");
    assert_eq!(refusal::<Seat>("1"), "invalid type: integer `1`, expected a JSON object at line 1 column 1");
}

#[test]
fn text_that_is_not_json_is_told_where_it_goes_wrong() {
    for (text, answer) in [
        ("", "EOF while parsing a value at line 1 column 0"),
        ("hello", "expected value at line 1 column 1"),
        ("[1", "EOF while parsing a list at line 1 column 2"),
        ("{", "EOF while parsing an object at line 1 column 1"),
        ("{\n\"type\":\n}", "expected value at line 3 column 1"),
        (r#"{"type":"say""#, "EOF while parsing an object at line 1 column 13"),
        (r#"{"type":"leave-table"} x"#, "trailing characters at line 1 column 24"),
        (r#"{"type":"leave-table",}"#, "trailing comma at line 1 column 23"),
        (r#"{"type":"leave-table","x":tru}"#, "expected ident at line 1 column 30"),
        (r#"{"x":1,"type":"leave-table"}{}"#, "trailing characters at line 1 column 29"),
        (r#"{"type":"nobody","x":}"#, "expected value at line 1 column 22"),
        (r#"{"x":1,"type":7,"y":}"#, "expected value at line 1 column 21"),
    ] {
        assert_eq!(refusal::<Ask>(text), format!("not valid JSON: {answer}"), "{text}");
        assert!(matches!(read::<Ask>(text), Err(ParseError::Json(_))), "{text}");
    }
}

#[test]
fn a_tag_that_is_missing_or_no_string_is_told_so() {
    for text in ["{}", r#"{"text":"hi"}"#, r#"{"Type":"say"}"#, r#"{"x":{"type":"say"}}"#] {
        assert!(matches!(read::<Ask>(text), Err(ParseError::MissingTag { tag: "type" })), "{text}");
    }
    for value in ["null", "true", "7", "-7", "7.5", "[]", r#"[["say"]]"#, "{}", r#"{"type":"say"}"#] {
        for text in [format!(r#"{{"type":{value},"x":1}}"#), format!(r#"{{"x":1,"type":{value}}}"#)] {
            assert!(matches!(read::<Ask>(&text), Err(ParseError::TagNotAString { tag: "type" })), "{text}");
        }
    }
}

#[test]
fn an_unknown_tag_is_told_the_known_ones() {
    let answer = "unknown type `shout`, expected one of `say`, `move`, `leave-table`, `tree`";
    assert_eq!(refusal::<Ask>(r#"{"type":"shout","text":"hi"}"#), answer);
    assert_eq!(refusal::<Ask>(r#"{"text":"hi","type":"shout"}"#), answer);
    assert_eq!(refusal::<Ask>(r#"{"type":"sh\u006fut"}"#), answer);
}

#[test]
fn of_an_unknown_tag_64_characters_are_repeated() {
    let text = format!(r#"{{"type":"{}"}}"#, "é".repeat(100_000));
    let Err(ParseError::UnknownTag { found, .. }) = read::<Ask>(&text) else { panic!("was read") };
    assert_eq!(found, "é".repeat(64));
}

#[test]
fn a_missing_field_is_named() {
    for (text, answer) in [
        (r#"{"type":"say"}"#, "missing field `text` at line 1 column 14"),
        (r#"{"at":1,"type":"say"}"#, "missing field `text` at line 1 column 21"),
        (r#"{"type":"move","x":1}"#, "missing field `y` at line 1 column 21"),
    ] {
        assert_eq!(refusal::<Ask>(text), answer, "{text}");
    }
    assert_eq!(refusal::<Seat>("{}"), "missing field `number` at line 1 column 2");
}

#[test]
fn a_field_of_the_wrong_kind_is_named() {
    for (text, answer) in [
        (
            r#"{"type":"say","text":7}"#,
            "field `text`: invalid type: integer `7`, expected a string at line 1 column 22",
        ),
        (
            "{\"type\":\"say\",\n\"at\":-1}",
            "field `at`: invalid value: integer `-1`, expected u32 at line 2 column 7",
        ),
        (
            r#"{"text":null,"type":"say"}"#,
            "field `text`: invalid type: null, expected a string at line 1 column 12",
        ),
        (r#"{"type":"move","x":"1","y":2}"#, "invalid type: string \"1\", expected f32 at line 1 column 22"),
    ] {
        assert_eq!(refusal::<Ask>(text), answer, "{text}");
    }
    assert!(matches!(
        read::<Ask>(r#"{"type":"say","text":7}"#),
        Err(ParseError::Field { field: "text", .. })
    ));
    assert!(matches!(read::<Seat>(r#"{"number":256}"#), Err(ParseError::Field { field: "number", .. })));
    // Broken text is not the field's fault.
    assert!(matches!(read::<Ask>(r#"{"type":"say","text":"hi"#), Err(ParseError::Json(_))));
}

#[test]
fn a_field_that_comes_twice_is_refused() {
    let answer = "duplicate field `text` at line 1 column 31";
    assert_eq!(refusal::<Ask>(r#"{"type":"say","text":"a","text":"b"}"#), answer);
}

#[test]
fn a_long_value_of_the_wrong_kind_is_not_sent_back_whole() {
    let text = format!(r#"{{"type":"say","text":"hi","at":"{}"}}"#, "x".repeat(1 << 20));
    let answer = refusal::<Ask>(&text);
    assert!(answer.starts_with("field `at`: invalid type: string \"xxx"), "{answer}");
    assert!(answer.len() < 300, "{} bytes", answer.len());
}

#[test]
fn a_payload_that_is_no_object_is_refused() {
    type Text = String;

    #[derive(Debug, FromFrame)]
    enum Ask {
        Say(#[expect(dead_code, reason = "only read")] Text),
    }
    let answer = refusal::<Ask>(r#"{"type":"Say","text":"hi"}"#);
    assert_eq!(answer, "invalid type: map, expected a string at line 1 column 13");
}

#[test]
fn no_depth_of_nesting_is_too_much() {
    const DEPTH: usize = 100_000;
    let open = "[".repeat(DEPTH);
    let whole = format!("{open}{}", "]".repeat(DEPTH));
    let objects = r#"{"x":"#.repeat(DEPTH);

    // A value that is kept has a limit, so that no stack is exhausted ...
    for text in
        [format!(r#"{{"type":"tree","tree":{whole}}}"#), format!(r#"{{"tree":{whole},"type":"tree"}}"#)]
    {
        assert!(
            refusal::<Ask>(&text).starts_with("not valid JSON: recursion limit exceeded at line 1 column")
        );
    }
    // ... one that is skipped takes no stack, and may be as deep as it likes ...
    for text in [
        format!(r#"{{"type":"leave-table","x":{whole}}}"#),
        format!(r#"{{"x":{whole},"type":"leave-table"}}"#),
    ] {
        assert_eq!(read::<Ask>(&text).unwrap(), Ask::LeaveTable);
    }
    // ... and neither gets by unfinished.
    for text in [
        open.clone(),
        objects.clone(),
        format!(r#"{{"type":{open}"#),
        format!(r#"{{"type":{objects}"#),
        format!(r#"{{"type":"leave-table","x":{open}"#),
        format!(r#"{{"x":{open}"#),
        format!(r#"{{"x":{objects}"#),
        format!(r#"{{"type":"say","text":{open}"#),
        format!(r#"{{"type":"move","x":{open}"#),
    ] {
        assert!(read::<Ask>(&text).is_err());
    }
    assert!(matches!(read::<Ask>(&whole), Err(ParseError::NotAnObject { .. })));
    assert!(matches!(read::<Ask>(&format!(r#"{{"type":{whole}}}"#)), Err(ParseError::TagNotAString { .. })));
}

#[test]
fn a_value_that_is_kept_may_be_126_deep() {
    let tree = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(read::<Ask>(&format!(r#"{{"type":"tree","tree":{}}}"#, tree(126))).is_ok());
    assert!(read::<Ask>(&format!(r#"{{"tree":{},"type":"tree"}}"#, tree(126))).is_ok());
    assert!(read::<Ask>(&format!(r#"{{"type":"tree","tree":{}}}"#, tree(127))).is_err());
}

/// Cuts a frame at every place and changes every byte of it: whatever comes is an answer.
#[test]
fn no_broken_frame_makes_the_reader_panic() {
    let frames = [
        r#"{"type":"say","text":"h\u00e9\ud83c\udf89","at":12}"#,
        r#"{"at":12,"x":[1,{"y":null}],"text":"hi","type":"say"}"#,
        r#"{"type":"move","x":1.5e3,"y":-2,"z":true}"#,
        r#"{"type":"tree","tree":[[],[[]]]}"#,
    ];
    for frame in frames {
        assert!(read::<Ask>(frame).is_ok(), "{frame}");
        for end in 0..frame.len() {
            assert!(read::<Ask>(&frame[..end]).is_err(), "{}", &frame[..end]);
            for other in 0..=0x7f_u8 {
                let mut bytes = frame.as_bytes().to_vec();
                bytes[end] = other;
                let _ = read::<Ask>(std::str::from_utf8(&bytes).unwrap());
            }
        }
    }
}
