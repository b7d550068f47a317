//! What the quick way reads is what serde_json reads.

use std::{collections::BTreeMap, fmt::Debug};

use proptest::{
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use serde::{
    Deserialize,
    de::{DeserializeOwned, IgnoredAny, value::MapAccessDeserializer},
};

use super::Quick;

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "only read and shown")]
enum Kind {
    Plain,
    #[serde(rename = "a\"b")]
    Quoted,
    One(Vec<u8>),
    Two(i8, String),
    Named {
        x: Option<f64>,
    },
}

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "only read and shown")]
struct Named {
    #[serde(default)]
    id: u16,
    text: Option<String>,
    kind: Option<Box<Kind>>,
    #[serde(default)]
    unit: (),
}

/// Arrays within each other, without a detour by serde_json.
#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "only read and shown")]
struct Nest(Vec<Nest>);

/// Arrays within each other, by serde_json.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
#[expect(dead_code, reason = "only read and shown")]
enum Tree {
    Leaf(i64),
    Text(String),
    List(Vec<Tree>),
    Map(BTreeMap<String, Tree>),
}

/// A type that makes do without a value.
#[derive(Debug)]
struct IfAny<T>(Option<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for IfAny<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(IfAny(T::deserialize(deserializer).ok()))
    }
}

/// The entries of the object that the text is, if they are read, as text that tells all.
fn by_quick<T: DeserializeOwned + Debug>(text: &str) -> Option<String> {
    let mut quick = Quick::new(text);
    let entries = quick.entries()?;
    let read = BTreeMap::<String, T>::deserialize(MapAccessDeserializer::new(entries)).ok()?;
    quick.end().then(|| format!("{read:?}"))
}

fn by_serde_json<T: DeserializeOwned + Debug>(text: &str) -> Option<String> {
    serde_json::from_str::<BTreeMap<String, T>>(text).ok().map(|read| format!("{read:?}"))
}

fn agrees<T: DeserializeOwned + Debug>(text: &str) -> Result<(), TestCaseError> {
    prop_assert_eq!(by_quick::<T>(text), by_serde_json::<T>(text), "{} {}", std::any::type_name::<T>(), text);
    Ok(())
}

/// The same where the quick way may pass.
fn agrees_or_passes<T: DeserializeOwned + Debug>(text: &str) -> Result<(), TestCaseError> {
    if by_quick::<T>(text).is_some() { agrees::<T>(text) } else { Ok(()) }
}

macro_rules! for_each_type {
    ($check:ident($text:expr): $($ty:ty),* $(,)?) => { $($check::<$ty>($text)?;)* };
}

fn all_agree(text: &str) -> Result<(), TestCaseError> {
    for_each_type!(agrees(text):
        String, char, bool, (), u8, i8, u16, i32, u32, i64, u64, u128, i128, f32, f64,
        Option<String>, Option<u8>, Box<str>, Vec<String>, Vec<f64>, Vec<Vec<bool>>, (i8, String), [u64; 2],
        BTreeMap<String, i64>, BTreeMap<u8, bool>, BTreeMap<i64, IgnoredAny>, BTreeMap<Option<char>, u64>,
        Kind, Vec<Kind>, BTreeMap<String, Kind>, Named, Vec<Named>, Nest, Tree, Vec<Tree>,
        serde_json::Value, Vec<serde_json::Value>, serde_json::Number, IgnoredAny,
    );
    for_each_type!(agrees_or_passes(text):
        IfAny<u8>, IfAny<String>, IfAny<f64>, IfAny<Nest>, IfAny<Tree>, Vec<IfAny<Kind>>, BTreeMap<String, IfAny<i64>>,
        BTreeMap<bool, u8>, BTreeMap<i128, u8>,
    );
    Ok(())
}

const NUMBERS: [&str; 58] = [
    "0",
    "-0",
    "-0.0",
    "00",
    "-00",
    "01",
    "-",
    "-1",
    "1.",
    "1.5",
    ".5",
    "-.5",
    "+1",
    "1e400",
    "1e-400",
    "0e400",
    "1E5",
    "1e",
    "1e+",
    "1e+2",
    "1.e2",
    "1.5e3",
    "1.5E-3",
    "00.5",
    "0.5",
    "255",
    "256",
    "-128",
    "-129",
    "65535",
    "2147483648",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "-9223372036854775809",
    "18446744073709551615",
    "18446744073709551616",
    "99999999999999999999999999",
    "9007199254740992.0",
    "9007199254740993.0",
    "900719925474099.1",
    "900719925474099.3",
    "0.30000000000000004",
    "0.1",
    "312.3333333333333",
    "1e22",
    "1e23",
    "5e-324",
    "1.7976931348623157e308",
    "1.8e308",
    "0.00000000000000000000001",
    "0.0000000000000000000001",
    "3.4028236e38",
    "340282366920938463463374607431768211456",
    "1_000",
    "0x10",
    "NaN",
    "1 2",
];

const STRINGS: [&str; 38] = [
    "a",
    "abcdefg",
    "abcdefgh",
    "é",
    "😀",
    "\\\"",
    "\\\\",
    "\\/",
    "\\b\\f\\n\\r\\t",
    "\\u0041",
    "\\u00e9",
    "\\uD83D\\uDE00",
    "\\ud83d",
    "\\ud83dx",
    "\\ud83d\\n",
    "\\ud83d\\ud83d\\ude00",
    "\\ude00",
    "\\ude00\\ud83d",
    "\\u12",
    "\\u+123",
    "\\uzzzz",
    "\\u00é",
    "\\",
    "\\x",
    "\\'",
    "\\\u{1}",
    "\u{0}",
    "\u{1f}",
    "\u{7f}",
    "\u{80}",
    "\u{2028}",
    "\n",
    "\t",
    "'",
    "/",
    "\\u0000",
    "Plain",
    "a\\\"b",
];

const OTHERS: [&str; 40] = [
    "true",
    "false",
    "null",
    "tru",
    "nul",
    "True",
    "nulll",
    "truefalse",
    "[]",
    "{}",
    "[,]",
    "[1,]",
    "[,1]",
    "[1 2]",
    "[1,2]",
    "[ 1 , 2 ]",
    "[true,false]",
    "[\"a\",\"b\"]",
    "[[],[true]]",
    "[[]",
    "{\"a\":1}",
    "{\"1\":true}",
    "{\"-1\":true,\"2\":false}",
    "{\" 1\":true}",
    "{\"1 \":true}",
    "{\"300\":true}",
    "{\"1.0\":true}",
    "{a:1}",
    "{\"a\" 1}",
    "{\"a\":1,}",
    "{\"One\":[1,2]}",
    "{\"Two\":[1,\"x\"]}",
    "{\"Named\":{\"x\":1}}",
    "{\"Named\":{\"x\":null},\"b\":1}",
    "{\"id\":1,\"text\":\"x\",\"kind\":\"Plain\",\"unit\":null}",
    "{\"id\":70000}",
    "{\"y\":[{}],\"text\":null}",
    "[1,\"x\"]",
    "\u{feff}1",
    "",
];

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(&NUMBERS[..]).prop_map(str::to_owned),
        1 => any::<i64>().prop_map(|number| number.to_string()),
        1 => (any::<i32>(), 0..8_i32).prop_map(|(number, shift)| (f64::from(number) / 10_f64.powi(shift)).to_string()),
        1 => any::<f64>().prop_map(|number| format!("{number:?}")),
        2 => "-?[0-9]{1,20}(\\.[0-9]{0,24})?([eE][-+]?[0-9]{1,3})?",
    ]
}

fn string() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => prop::sample::select(&STRINGS[..7]),
        2 => prop::sample::select(&STRINGS[..]),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
}

fn value() -> impl Strategy<Value = String> {
    let others = prop::sample::select(&OTHERS[..]).prop_map(str::to_owned);
    let list = |part: BoxedStrategy<String>| {
        proptest::collection::vec(part, 0..5).prop_map(|parts| format!("[{}]", parts.join(",")))
    };
    let object = (string(), number(), string(), string())
        .prop_map(|(first, number, second, string)| format!("{{{first}:{number},{second} : {string}}}"));
    prop_oneof![
        4 => number(),
        4 => string(),
        3 => others,
        2 => list(number().boxed()),
        2 => list(string().boxed()),
        1 => object,
    ]
}

#[test]
fn what_the_quick_way_reads_is_what_serde_json_reads() {
    let blank = prop::sample::select(vec!["", "", "", " ", "\n", "\t\r", "\u{b}", "\u{a0}", "\u{0}"]);
    let behind = prop::sample::select(vec!["", "", "", "", " \n", "x", "\u{0}", "}", ",\"w\":1"]);
    let text = (value(), blank, behind).prop_map(|(value, blank, behind)| {
        format!("{blank}{{{blank}\"v\"{blank}:{blank}{value}{blank}}}{behind}")
    });
    let config = Config { cases: 4000, failure_persistence: None, ..Config::default() };
    let seed = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    TestRunner::new_with_rng(config, seed)
        .run(&text, |text| all_agree(&text))
        .unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn each_odd_value_is_read_as_serde_json_reads_it() {
    let strings = STRINGS.iter().map(|string| format!("\"{string}\""));
    let values = NUMBERS.into_iter().chain(OTHERS).map(str::to_owned).chain(strings);
    for value in values {
        for text in [
            format!("{{\"v\":{value}}}"),
            format!("{{\"v\":{value},\"w\":{value}}}"),
            format!("{{\"v\":{value}"),
            format!("{{{value}:1}}"),
            value,
        ] {
            all_agree(&text).unwrap_or_else(|error| panic!("{error}"));
        }
    }
}

/// A mark is not carried on to bytes that are plain, wherever the string ends.
#[test]
fn strings_of_any_length_are_read() {
    for len in 0..70 {
        for odd in ["", "\\n", "\u{1}", "é", "\\u00e9", "!", "#", "[", "]", "\u{a0}"] {
            let plain = "!#[]\u{7f} abcdefghijklm".repeat(4);
            for text in [
                format!("{{\"v\":\"{}{odd}\"}}", &plain[..len]),
                format!("{{\"v\":\"{odd}{}{odd}\\\"\"}}", &plain[..len]),
                format!("{{\"v\":\"{}{odd}", &plain[..len]),
            ] {
                agrees::<String>(&text).unwrap_or_else(|error| panic!("{error}"));
            }
        }
    }
}

#[test]
fn a_string_without_escapes_is_lent_from_the_text() {
    for inner in ["", "a", "abcdefghijklmnop", "é😀\u{7f}\u{80}\u{a0}\u{ff}\u{2028} and so on", "'/[{}]:,"]
    {
        assert_eq!(Quick::new(&format!("\"{inner}\" ")).plain_string(), Some(inner));
    }
}

/// So serde_json may read numbers in the one or the other of its two ways.
#[test]
fn a_number_that_is_read_here_is_the_nearest_float() {
    let number = "-?(0|[1-9][0-9]{0,18})\\.[0-9]{1,24}";
    let config = Config { cases: 20_000, failure_persistence: None, ..Config::default() };
    let seed = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let nearest = |text: &str| text.parse::<f64>().expect("is a number").to_bits();
    TestRunner::new_with_rng(config, seed)
        .run(&number, |text| {
            if let Some(read) = Quick::new(&text).fraction() {
                prop_assert_eq!(read.to_bits(), nearest(&text), "{}", text);
            }
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
    for (text, is_read) in [
        ("312.25", true),
        ("-0.0", true),
        ("900719925474099.2", true),
        ("900719925474099.3", false),
        ("0.0000000000000000000001", true),
        ("0.00000000000000000000001", false),
    ] {
        let read = Quick::new(text).fraction();
        assert_eq!(read.map(f64::to_bits), is_read.then(|| nearest(text)), "{text}");
    }
}

/// The object itself is one of the 127.
#[test]
fn depth_ends_where_it_ends_for_serde_json() {
    let nested = |open: &str, value: &str, close: &str, depth: usize| {
        format!("{{\"v\":{}{value}{}}}", open.repeat(depth), close.repeat(depth))
    };
    fn check<T: DeserializeOwned + Debug>(text: &str, is_read: bool) {
        assert_eq!(by_quick::<T>(text).is_some(), is_read, "{} {text}", std::any::type_name::<T>());
        assert_eq!(by_serde_json::<T>(text).is_some(), is_read, "{} {text}", std::any::type_name::<T>());
    }
    for (depth, is_read) in [(1, true), (60, true), (126, true), (127, false), (128, false), (300, false)] {
        check::<Nest>(&nested("[", "", "]", depth), is_read);
        check::<Tree>(&nested("[", "", "]", depth), is_read);
        check::<serde_json::Value>(&nested("[", "\"[[\\\"[\"", "]", depth), is_read);
        check::<serde_json::Value>(&nested("{\"a\":", "1", "}", depth), is_read);
        // One more is read by ourselves, and the rest handed over.
        check::<Vec<serde_json::Value>>(&nested("[", "1", "]", depth), is_read);
        check::<BTreeMap<String, Tree>>(&nested("{\"a\":", "1", "}", depth), is_read);
    }
    let ignored = nested("[", "", "]", 500);
    assert_eq!(by_serde_json::<IgnoredAny>(&ignored).as_deref(), Some("{\"v\": IgnoredAny}"));
    assert_eq!(by_quick::<IgnoredAny>(&ignored), None, "it is left to serde_json");
}
