//! What is written of messages with names, docs and types that are hard.

#![cfg(feature = "protocol")]
#![recursion_limit = "512"]
#![expect(dead_code, reason = "the types are only described")]

use std::borrow::Cow;
use std::collections::BTreeMap;

use partyrs::protocol::Document;
use partyrs::{Frame, FromFrame, IntoFrame, Json, Protocol, Validate};
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

/// What a room answers by itself stands beside the tag, wherever its messages have theirs.
#[test]
fn the_default_error_is_described_as_it_is_sent() {
    #[derive(IntoFrame, Protocol)]
    #[frame(content = "data")]
    enum Tell {
        Said { text: String },
    }
    let document = Document::of::<(), Tell>("main");
    let error = message(&document, "RoomMessage", "error");
    assert_eq!(error["required"], json!(["type", "error"]));
    assert!(error["properties"].get("path").is_some() && error["properties"].get("data").is_none());
    let said = message(&document, "RoomMessage", "Said");
    assert_eq!(said["required"], json!(["type", "data"]));
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Keyword {
    x: u8,
}

/// Keys that are called as words of JSON Schema are, and values that look like schemas.
#[derive(FromFrame, IntoFrame, Protocol)]
enum Keywords {
    All {
        default: Keyword,
        #[frame(rename = "const")]
        constant: Keyword,
        #[frame(rename = "enum")]
        choice: Vec<Keyword>,
        #[frame(rename = "$ref")]
        reference: Keyword,
        examples: BTreeMap<String, Keyword>,
        properties: Schemalike,
    },
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Schemalike {
    #[serde(default = "schemalike")]
    of: Value,
}

fn schemalike() -> Value {
    json!({ "format": "int32", "$ref": "#/$defs/Keyword" })
}

#[test]
fn keys_and_values_that_look_like_words_of_a_schema_are_none() {
    let document = Document::of::<Keywords, Keywords>("main");
    assert_eq!(Document::from_json(&document.to_json()).expect("is one"), document);
    let schemalike_type = &document.json_schema()["$defs"]["Schemalike"];
    assert_eq!(schemalike_type["properties"]["of"]["default"], schemalike());

    let asyncapi = partyrs::protocol::asyncapi("a", "1", &[document]);
    let payload = &asyncapi["components"]["messages"]["main-receive-All"]["payload"]["properties"];
    for key in ["default", "const", "$ref"] {
        assert_eq!(payload[key]["$ref"], "#/components/schemas/main-Keyword", "{key}");
    }
    assert_eq!(payload["enum"]["items"]["$ref"], "#/components/schemas/main-Keyword");
    assert_eq!(payload["examples"]["additionalProperties"]["$ref"], "#/components/schemas/main-Keyword");
}

#[test]
fn several_texts_with_braces_are_one_item_of_a_list() {
    #[derive(Serialize, JsonSchema)]
    #[schemars(inline)]
    enum Brace {
        #[serde(rename = "{")]
        Open,
        #[serde(rename = "\"[")]
        Close,
    }
    #[derive(IntoFrame, Protocol)]
    enum Tell {
        Braces { list: Vec<Brace> },
    }
    let module = Document::of::<(), Tell>("main").to_typescript();
    assert!(module.contains(r#"list: ("{" | "\"[")[];"#), "{module}");
}

/// Each type holds the next twice: their rules are told once for each type.
#[test]
fn rules_of_types_that_hold_each_other_often_are_told_in_time() {
    #[derive(Serialize, Deserialize, JsonSchema, Validate)]
    struct End {
        #[frame(range(max = 7))]
        end: u8,
    }
    macro_rules! chain {
        ($name:ident $($rest:ident)+) => {
            chain!($($rest)+);
            chain!(@ $name $($rest)+);
        };
        ($name:ident) => {};
        (@ $name:ident $next:ident $($rest:ident)*) => {
            #[derive(Serialize, Deserialize, JsonSchema, Validate)]
            struct $name {
                #[frame(nested)]
                left: Option<Box<$next>>,
                #[frame(nested)]
                right: Option<Box<$next>>,
            }
        };
    }
    chain!(T01 T02 T03 T04 T05 T06 T07 T08 T09 T10 T11 T12 T13 T14 T15 T16 T17 T18 T19 T20
        T21 T22 T23 T24 T25 T26 T27 T28 T29 T30 T31 T32 T33 T34 T35 T36 T37 T38 T39 End);
    #[derive(FromFrame, Protocol)]
    enum Ask {
        Grow {
            #[frame(nested)]
            tree: T01,
        },
    }
    let document = Document::of::<Ask, ()>("main");
    assert_eq!(document.json_schema()["$defs"]["End"]["properties"]["end"]["maximum"], 7);
}
