//! What is written of messages with names, docs and types that are hard.

#![cfg(feature = "protocol")]
#![expect(dead_code, reason = "the types are only described")]

use std::borrow::Cow;
use std::collections::BTreeMap;

use partyrs::protocol::Document;
use partyrs::{Frame, FromFrame, IntoFrame, Json, Protocol};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Serialize, Deserialize, JsonSchema)]
struct Array {
    a: u8,
}
#[derive(Serialize, Deserialize, JsonSchema)]
struct Promise {
    b: u8,
}
#[derive(Serialize, Deserialize, JsonSchema)]
#[expect(non_camel_case_types, reason = "TypeScript has a type of this name")]
struct string {
    c: u8,
}
#[derive(Serialize, Deserialize, JsonSchema)]
#[expect(clippy::upper_case_acronyms, reason = "the module has a constant of this name")]
struct NAMES {
    d: u8,
}
#[derive(Serialize, Deserialize, JsonSchema)]
struct ReadonlySet {
    d: u8,
}
#[derive(Serialize, Deserialize, JsonSchema)]
struct Größe {
    e: u8,
}
#[derive(Serialize, Deserialize, JsonSchema)]
struct Grüße {
    f: u8,
}
#[derive(Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "a/b~c d")]
struct Slash {
    g: u8,
}
#[derive(Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "a_b_c_d")]
struct Slashed {
    h: u8,
}
#[derive(Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "7up")]
struct Digit {
    h: u8,
}
#[derive(Serialize, Deserialize, JsonSchema)]
struct ClientMessage {
    i: u8,
}
#[derive(Serialize, Deserialize, JsonSchema)]
struct ClientMessage_ {
    j: u8,
}
#[derive(Serialize, Deserialize, JsonSchema)]
struct Wrapper<T> {
    of: T,
}
mod first {
    use super::*;
    #[derive(Serialize, Deserialize, JsonSchema)]
    pub(super) struct Point {
        x: u8,
    }
}
mod second {
    use super::*;
    #[derive(Serialize, Deserialize, JsonSchema)]
    pub(super) struct Point {
        y: Option<u8>,
    }
}
#[derive(Serialize, Deserialize, JsonSchema)]
struct PointInput {
    z: u8,
}
#[derive(Serialize, Deserialize, JsonSchema)]
struct Point2Input {
    z: Option<u8>,
}
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Strict {
    s: u8,
}
#[derive(Serialize, Deserialize, JsonSchema)]
enum Never {}
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind")]
enum Lone {
    Only { x: u8 },
}
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind")]
enum Two {
    One { x: u8 },
    Other,
}
mod hex {
    pub(super) fn serialize<S: serde::Serializer>(number: &u32, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{number:x}"))
    }
    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
        let text = <String as serde::Deserialize>::deserialize(deserializer)?;
        u32::from_str_radix(&text, 16).map_err(serde::de::Error::custom)
    }
}
#[derive(Serialize, Deserialize, JsonSchema)]
struct Colour {
    #[serde(with = "hex")]
    #[schemars(with = "String")]
    rgb: u32,
}

#[derive(FromFrame, IntoFrame, Protocol)]
enum Names {
    A {
        array: Array,
        promise: Promise,
        string: string,
        names: NAMES,
        set: ReadonlySet,
    },
    B {
        size: Größe,
        greetings: Grüße,
        slash: Slash,
        slashed: Slashed,
        digit: Digit,
    },
    C {
        client: ClientMessage,
        other: ClientMessage_,
    },
    D {
        points: Wrapper<first::Point>,
        numbers: Wrapper<u8>,
        more: Wrapper<second::Point>,
        input: PointInput,
        i2: Point2Input,
    },
    Strict(Strict),
    #[frame(rename = "a \"b\"\n\u{2028} `${x}` \\ */ é")]
    Odd {
        #[frame(rename = "__proto__")]
        proto: u8,
        #[frame(rename = "quote\"s")]
        quotes: u8,
        #[frame(rename = "new\nline")]
        line: u8,
        #[frame(rename = "constructor")]
        constructor: u8,
        #[frame(rename = "é")]
        accent: u8,
        #[frame(rename = "")]
        empty: u8,
    },
    /// Ends */ here, and `${more}`, \u{0} \r\n and /* begins.
    ///
    ///
    /// # Head
    Docs {
        /** one */
        a: u8,
        #[doc = "carriage\r\nreturn\u{2028}line */\u{0}"]
        b: u8,
        #[doc = "*"]
        #[doc = "/"]
        c: u8,
    },
    Never {
        never: Option<Never>,
    },
    Lone(Lone),
    Two(Two),
    FlatLone {
        #[frame(flatten)]
        lone: Lone,
    },
    FlatOption {
        n: u8,
        #[frame(flatten)]
        two: Option<Two>,
    },
    FlatPoint {
        n: u8,
        #[frame(flatten)]
        two: Option<first::Point>,
    },
    FlatStrict {
        n: u8,
        #[frame(flatten)]
        strict: Strict,
    },
    Held {
        boxed: Box<first::Point>,
        shared: Wrapper<Box<u8>>,
        cow: Cow<'static, str>,
    },
    Colour(Colour),
    Map(BTreeMap<String, u8>),
}

/// The names of the types that the TypeScript module has.
fn type_names(document: &Document) -> Vec<String> {
    let module = document.to_typescript();
    let types = module.lines().filter_map(|line| line.strip_prefix("export type "));
    types.map(|line| line.split(' ').next().unwrap_or_default().to_owned()).collect()
}

/// The message of this name in what clients or rooms send.
fn message<'a>(document: &'a Document, sender: &str, name: &str) -> &'a Value {
    let messages = document.json_schema()["$defs"][sender]["oneOf"].as_array().expect("messages");
    let has_name = |message: &&Value| message["properties"]["type"]["const"] == name;
    messages.iter().find(has_name).expect("a message of this name")
}

#[test]
fn each_type_has_a_name_of_its_own_that_typescript_takes() {
    let document = Document::of::<Names, Names>("names");
    assert_eq!(
        type_names(&document),
        [
            "ClientMessage",
            "RoomMessage",
            "Array",
            "ClientMessage_",
            "ClientMessage__",
            "Colour",
            "Größe",
            "Grüße",
            "Lone",
            "NAMES",
            "Never",
            "Point",
            "Point2",
            "Point2Input",
            "Point2InputInput",
            "Point2Input_",
            "PointInput",
            "Promise",
            "ReadonlySet_",
            "Strict",
            "Two",
            "Wrapper",
            "Wrapper2",
            "Wrapper3",
            "Wrapper3Input",
            "_7up",
            "a_b_c_d",
            "a_b_c_d_",
            "string_",
        ]
    );
    // Each is still what it was, and all that is referred to is there.
    let defs = &document.json_schema()["$defs"];
    for (name, key) in [
        ("ClientMessage_", "j"),
        ("ClientMessage__", "i"),
        ("Größe", "e"),
        ("Grüße", "f"),
        ("PointInput", "z"),
        ("a_b_c_d", "h"),
        ("a_b_c_d_", "g"),
    ] {
        assert!(defs[name]["properties"][key].is_object(), "{name}: {}", defs[name]);
    }
    assert_eq!(Document::from_json(&document.to_json()).expect("our own"), document);
    assert_eq!(document.breaks_since(&document), []);
}

/// A type that looks different in both directions takes a name that a type of the other direction has.
#[test]
fn a_name_for_one_direction_is_not_that_of_a_type_of_the_other() {
    #[derive(FromFrame, Protocol)]
    enum Ask {
        Move { to: second::Point },
    }
    #[derive(IntoFrame, Protocol)]
    enum Tell {
        Moved { to: second::Point, by: PointInput },
    }
    let document = Document::of::<Ask, Tell>("main");
    let defs = &document.json_schema()["$defs"];
    assert_eq!(defs["PointInput"]["required"], json!(["z"]));
    assert_eq!(defs["Point"]["required"], json!(["y"]));
    let asked = &message(&document, "ClientMessage", "Move")["properties"]["to"]["$ref"];
    assert_eq!(asked, "#/$defs/PointInput_");
    assert_eq!(defs["PointInput_"]["required"], Value::Null);
}

/// The letters of a name stand encoded where something refers to it.
#[test]
fn a_strict_type_with_any_name_takes_the_tag() {
    #[derive(Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Schlüssel {
        bits: u8,
    }
    #[derive(FromFrame, Protocol)]
    enum Ask {
        Open(Schlüssel),
        Try { one: Box<Schlüssel> },
    }
    let document = Document::of::<Ask, ()>("main");
    let open = message(&document, "ClientMessage", "Open");
    assert_eq!(open["required"], json!(["type", "bits"]));
    let one = &message(&document, "ClientMessage", "Try")["properties"]["one"];
    assert_eq!(*one, json!({ "$ref": "#/$defs/Schl%C3%BCssel" }));
    assert!(document.to_typescript().contains("one: Schlüssel"));
}

#[test]
fn names_and_docs_are_written_so_that_they_end_where_they_should() {
    let module = Document::of::<Names, Names>("names").to_typescript();
    for line in [
        r#"      "quote\"s": number;"#,
        r#"      "new\nline": number;"#,
        r#"      "": number;"#,
        "      __proto__: number;",
        "   * Ends *\\/ here, and `${more}`, \\u{0} \\r\\n and /* begins.",
        "       * carriage",
    ] {
        assert!(module.lines().any(|found| found == line), "{line}");
    }
    // All but the tag, which stands in quotes.
    let others = || module.lines().filter(|line| !line.contains("`${x}`"));
    let ends: usize = others().map(|line| line.matches("*/").count()).sum();
    assert_eq!(ends, others().filter(|line| line.trim_end().ends_with("*/")).count());
    assert_eq!(ends, others().filter(|line| line.contains("/**")).count());
}

/// Strict or not, it must take the tag.
#[test]
fn keys_of_a_strict_type_stand_beside_the_tag() {
    let document = Document::of::<Names, Names>("names");
    for sender in ["ClientMessage", "RoomMessage"] {
        let strict = message(&document, sender, "Strict");
        assert_eq!(strict["required"], json!(["type", "s"]));
        assert_eq!(strict["additionalProperties"], false);
        assert_eq!(strict["properties"].as_object().map(serde_json::Map::len), Some(2));
    }
}

/// `None` is written and read without keys.
#[test]
fn keys_of_an_option_beside_others_are_described() {
    let document = Document::of::<Names, Names>("names");
    for (name, ty) in [("FlatOption", "Two"), ("FlatPoint", "Point")] {
        let within = json!({ "$ref": format!("#/$defs/{ty}") });
        for sender in ["ClientMessage", "RoomMessage"] {
            assert_eq!(message(&document, sender, name)["allOf"], json!([{ "anyOf": [within, {}] }]));
        }
    }
    let none = Names::FlatOption { n: 1, two: None };
    let frame = (&none).into_frame().expect("a frame");
    assert_eq!(frame, Frame::text(r#"{"type":"FlatOption","n":1}"#));
    assert!(matches!(Names::from_frame(frame), Ok(Names::FlatOption { n: 1, two: None })));
}

#[test]
fn messages_that_borrow_and_have_parameters_are_described() {
    #[derive(IntoFrame, Protocol)]
    enum Tell<'a, T, const N: usize> {
        Said { by: &'a str, text: Cow<'a, str>, what: &'a [T], boxed: Box<T>, array: Vec<[u8; N]> },
        One(Wrapper<T>),
    }
    let document = Document::of::<(), Tell<'_, u8, 2>>("main");
    assert!(document.to_typescript().contains("array: [number, number][];"), "{}", document.to_typescript());
}

#[test]
fn a_party_may_have_any_json_for_messages() {
    let document = Document::of::<Json<Value>, Json<Value>>("main");
    assert_eq!(Document::from_json(&document.to_json()).expect("our own"), document);
    assert_eq!(document.breaks_since(&document), []);
    assert!(document.to_typescript().contains("export type ClientMessage = unknown;"));
}
