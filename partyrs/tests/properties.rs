//! Properties of the derives over generated messages and over rubbish, with seeds that do not
//! change: what is written is read again, serde gives the same answer where it has the same
//! shape, and no text costs more than its length.

use std::collections::BTreeMap;
use std::time::Instant;

use partyrs::{Frame, FromFrame, IntoFrame};
use proptest::{
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Point {
    x: i64,
    #[serde(rename = "why", default, skip_serializing_if = "Option::is_none")]
    y: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Tree {
    Leaf(i32),
    Named { name: String },
    List(Vec<Tree>),
}

/// Beside the tag.
#[derive(Clone, Debug, PartialEq, FromFrame, IntoFrame, Serialize, Deserialize)]
#[frame(rename_all = "kebab-case")]
#[serde(tag = "type", rename_all = "kebab-case")]
enum Beside {
    Nothing,
    NoFields {},
    Fields {
        text: String,
        #[frame(rename = "n", alias = "number")]
        #[serde(rename = "n", alias = "number")]
        number: u64,
        maybe: Option<bool>,
        #[frame(default, skip_serializing_if = "Vec::is_empty")]
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        list: Vec<Point>,
        tree: Tree,
    },
    Payload(Point),
    Map(BTreeMap<String, i8>),
    Rest {
        id: i16,
        #[frame(flatten)]
        #[serde(flatten)]
        rest: BTreeMap<String, Tree>,
    },
    #[frame(rename = "a \"b\" \\ é")]
    #[serde(rename = "a \"b\" \\ é")]
    Odd {
        float: f64,
        letter: char,
        pair: (u8, String),
    },
}

/// Under a key of its own.
#[derive(Clone, Debug, PartialEq, FromFrame, IntoFrame, Serialize, Deserialize)]
#[frame(tag = "t", content = "c")]
#[serde(tag = "t", content = "c")]
enum Under {
    Nothing,
    Fields { text: String, maybe: Option<bool> },
    One(Tree),
    Two(i8, Point),
}

/// Keys that are not those of the messages.
fn key() -> impl Strategy<Value = String> {
    "[x-z\"\\\\é\u{1}]{0,4}".prop_filter("taken", |key| key != "x")
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), "[a-z]{0,12}"]
}

fn point() -> impl Strategy<Value = Point> {
    (any::<i64>(), proptest::option::of(text())).prop_map(|(x, y)| Point { x, y })
}

fn tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![any::<i32>().prop_map(Tree::Leaf), text().prop_map(|name| Tree::Named { name })];
    leaf.prop_recursive(4, 16, 4, |tree| proptest::collection::vec(tree, 0..4).prop_map(Tree::List))
}

fn beside() -> impl Strategy<Value = Beside> {
    let list = || proptest::collection::vec(point(), 0..4);
    let fields = (text(), any::<u64>(), any::<Option<bool>>(), list(), tree());
    let map = proptest::collection::btree_map(key(), any::<i8>(), 0..4);
    let rest = (any::<i16>(), proptest::collection::btree_map(key(), tree(), 0..4));
    let odd =
        ((-8000..8000_i32).prop_map(|eighths| f64::from(eighths) / 8.0), any::<char>(), any::<u8>(), text());
    prop_oneof![
        Just(Beside::Nothing),
        Just(Beside::NoFields {}),
        fields.prop_map(|(text, number, maybe, list, tree)| Beside::Fields {
            text,
            number,
            maybe,
            list,
            tree
        }),
        point().prop_map(Beside::Payload),
        map.prop_map(Beside::Map),
        rest.prop_map(|(id, rest)| Beside::Rest { id, rest }),
        odd.prop_map(|(float, letter, small, text)| Beside::Odd { float, letter, pair: (small, text) }),
    ]
}

fn under() -> impl Strategy<Value = Under> {
    prop_oneof![
        Just(Under::Nothing),
        (text(), any::<Option<bool>>()).prop_map(|(text, maybe)| Under::Fields { text, maybe }),
        tree().prop_map(Under::One),
        (any::<i8>(), point()).prop_map(|(small, point)| Under::Two(small, point)),
    ]
}

/// Runs `cases` of them, always the same ones.
fn each<S: Strategy>(cases: u32, strategy: &S, claim: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let seed = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    TestRunner::new_with_rng(config, seed).run(strategy, claim).unwrap_or_else(|error| panic!("{error}"));
}

fn read<T: FromFrame>(text: &str) -> Option<T> {
    T::from_frame(Frame::text(text)).ok()
}

fn written<T>(message: &T) -> String
where
    for<'a> &'a T: IntoFrame,
{
    message.into_frame().expect("has a frame form").as_text().expect("is text").to_owned()
}

/// The same object with its entries in another order.
fn turned(text: &str) -> String {
    let serde_json::Value::Object(entries) = serde_json::from_str(text).expect("is JSON") else {
        panic!("is no object: {text}");
    };
    let turned: Vec<_> =
        entries.iter().rev().map(|(key, value)| format!("{}:{value}", serde_json::json!(key))).collect();
    format!("{{{}}}", turned.join(","))
}

#[test]
fn what_is_written_is_what_serde_writes_and_is_read_again_in_any_order() {
    each(1500, &beside(), |message| {
        let text = written(&message);
        prop_assert_eq!(&text, &serde_json::to_string(&message).expect("is written"));
        prop_assert_eq!(read::<Beside>(&text), Some(message.clone()), "{}", text);
        prop_assert_eq!(read::<Beside>(&turned(&text)), Some(message), "{}", turned(&text));
        Ok(())
    });
    each(1500, &under(), |message| {
        let text = written(&message);
        prop_assert_eq!(&text, &serde_json::to_string(&message).expect("is written"));
        prop_assert_eq!(read::<Under>(&text), Some(message.clone()), "{}", text);
        prop_assert_eq!(read::<Under>(&turned(&text)), Some(message), "{}", turned(&text));
        Ok(())
    });
}

/// Pieces from which nearly right frames are made.
fn rubbish() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => proptest::sample::select(vec![
            "{", "}", "[", "]", ",", ":", "\"", "\\", "\\u0074", "\\ud83c", "\\uzzzz", " ", "\n", "\u{1}", "null",
            "true", "1", "-", "1e999", "-0", "0.", "99999999999999999999999999", "\"type\"", "\"t\\u0079pe\"",
            "\"fields\"", "\"payload\"", "\"rest\"", "\"text\":\"\"", "\"n\":1", "\"number\":2", "\"x\":1",
            "\"tree\":", "{\"type\":\"", "\"type\":\"map\"", "\"t\":\"Two\"", "\"c\":[1,{\"x\":1}]", "\"c\":",
        ]).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

/// A written frame with some of its characters changed, cut out or repeated.
fn mutated() -> impl Strategy<Value = String> {
    let text = prop_oneof![
        beside().prop_map(|message| written(&message)),
        under().prop_map(|message| written(&message))
    ];
    let change = (any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..4_u8, any::<char>());
    (text, proptest::collection::vec(change, 1..6)).prop_map(|(text, changes)| {
        let mut letters: Vec<char> = text.chars().collect();
        for (from, to, kind, letter) in changes {
            if letters.is_empty() {
                break;
            }
            let (from, to) = (from.index(letters.len()), to.index(letters.len()));
            let (from, to) = (from.min(to), from.max(to).min(from.min(to) + 12));
            match kind {
                0 => letters[from] = letter,
                1 => drop(letters.drain(from..to)),
                2 => letters.extend_from_within(from..to),
                _ => {
                    let piece: Vec<_> = letters[from..to].to_vec();
                    drop(letters.splice(to..to, piece));
                }
            }
        }
        letters.into_iter().collect()
    })
}

/// Whatever both read is the same, whoever reads it; where they differ on purpose, ours is no panic.
#[test]
fn rubbish_is_an_answer_and_never_a_panic_nor_dear() {
    each(6000, &prop_oneof![rubbish(), mutated()], |text| {
        for frame in [Frame::text(text.clone()), Frame::binary(text.clone().into_bytes())] {
            let mut told = 0;
            let counted = allocation_counter::measure(|| {
                let _ = Beside::from_frame(frame.clone());
                if let Err(error) = Under::from_frame(frame.clone()) {
                    told = error.client_text().len();
                }
            });
            prop_assert!(told < 1500, "{} bytes: {}", told, text);
            // Fields of 48 bytes for each two bytes of text, that they grow into, and what errors say.
            let most = 400 * text.len() as u64 + 8192;
            prop_assert!(counted.bytes_total < most, "{} bytes for {:?}", counted.bytes_total, text);
        }
        Ok(())
    });
}

/// Texts of a length that is asked for, each a different trouble.
const MAKES: [fn(usize) -> String; 15] = [
    |n| format!(r#"{{"type":"fields","tree":{}"#, "[".repeat(n)),
    |n| format!(r#"{{"x":{},"type":"nothing"}}"#, "[".repeat(n) + &"]".repeat(n)),
    |n| r#"{"x":"#.repeat(n),
    |n| format!(r#"{{"type":"fields","n":{}}}"#, "9".repeat(n)),
    |n| format!(r#"{{"type":"nothing"{}}}"#, r#","type":"map""#.repeat(n)),
    |n| format!(r#"{{{}"type":"nothing"}}"#, r#""\u0078":1,"#.repeat(n)),
    |n| format!(r#"{{"type":"{}"}}"#, "\\u00e9".repeat(n)),
    |n| format!(r#"{{"type":"rest","id":1{}}}"#, r#","x":1"#.repeat(n)),
    |n| format!(r#"{{"type":"fields"{}}}"#, r#","text":"a""#.repeat(n)),
    |n| format!(r#"{{"type":"fields","text":"{}","n":1,"tree":1}}"#, "\\n".repeat(n)),
    |n| format!(r#"{{"c":[{}1],"t":"Two"}}"#, "1,".repeat(n)),
    |n| "{\"type\":".repeat(n),
    |n| format!(r#"{{"list":[{}],"type":"fields","text":"","n":1,"tree":1}}"#, odd_points(n)),
    |n| format!(r#"{{"type":"fields","text":"","n":1,"tree":1,"list":[{}]}}"#, odd_points(n)),
    |n| {
        let keys: String = (0..n).map(|key| format!(r#""\u0078{key}":{{"name":"\u00e9"}},"#)).collect();
        format!(r#"{{{keys}"id":1,"type":"rest"}}"#)
    },
];

/// Objects that no reader may take in one glance.
fn odd_points(count: usize) -> String {
    vec![r#"{"x":-0,"why":"\u00e9\n"}"#; count].join(",")
}

/// What is twice as long allocates twice as much at most, whatever it is.
#[test]
fn no_text_allocates_more_than_in_proportion_to_its_length() {
    let cost = |make: fn(usize) -> String, n: usize| {
        let frame = Frame::text(make(n));
        let counted = allocation_counter::measure(|| {
            let _ = (Beside::from_frame(frame.clone()), Under::from_frame(frame.clone()));
        });
        (counted.count_total, counted.bytes_total)
    };
    for (index, make) in MAKES.into_iter().enumerate() {
        let ((small_count, small_bytes), (large_count, large_bytes)) =
            (cost(make, 4_000), cost(make, 16_000));
        assert!(large_count <= 4 * small_count + 64, "{index}: {small_count} and {large_count}");
        assert!(large_bytes <= 5 * small_bytes + 65_536, "{index}: {small_bytes} and {large_bytes}");
    }
}

/// A reader that looks at all that it has read again and again takes 4,096 times as long for what is 64
/// times as long. Between that and 64 is so much room that no machine's other work fills it every time.
#[test]
fn no_text_takes_much_longer_than_in_proportion_to_its_length() {
    const TIMES: usize = 64;
    let time = |make: fn(usize) -> String, n: usize| {
        let frame = Frame::text(make(n));
        let start = Instant::now();
        let _ = (Beside::from_frame(frame.clone()), Under::from_frame(frame));
        start.elapsed()
    };
    for (index, make) in MAKES.into_iter().enumerate() {
        let is_linear = (0..10).any(|_| {
            let (small, large) = (time(make, 1_000), time(make, TIMES * 1_000));
            large < small * (8 * TIMES as u32)
        });
        assert!(is_linear, "text {index}");
    }
}
