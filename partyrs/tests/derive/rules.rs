//! Messages whose values break a rule.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
};

use partyrs::{FromFrame, ParseError, Rule, Validate, Violation, bytes::Bytes};
use serde::Deserialize;

use crate::read;

/// The broken rule, in the words for clients.
#[track_caller]
fn broken<T: FromFrame>(text: &str) -> String {
    let error = read::<T>(text).err().expect("was read");
    assert!(matches!(error, ParseError::Invalid(_)), "{error}");
    error.client_text()
}

#[derive(Debug, FromFrame)]
#[frame(rename_all = "lowercase")]
enum Ask {
    Chat {
        #[frame(len(min = 1, max = 5))]
        content: String,
        #[frame(len(max = 3))]
        to: Option<String>,
    },
    Upload {
        #[frame(bytes(max = 4))]
        text: String,
        #[frame(bytes(min = 1, max = 2))]
        bytes: Vec<u8>,
    },
    Seat {
        #[frame(range(min = 1, max = 40))]
        row: u8,
        #[frame(range(min = -0.5, max = 0.5))]
        shift: f64,
        #[frame(range(min = ROW_MIN))]
        from: i64,
    },
    Invite {
        #[frame(len(min = 1, max = 2), inner(len(max = 3)))]
        names: Vec<Option<String>>,
        #[frame(len(max = 1))]
        scores: BTreeMap<String, u8>,
        #[frame(inner(inner(range(max = 2))))]
        grid: [Vec<u8>; 2],
    },
    Leave,
}

const ROW_MIN: i64 = -3;

#[test]
fn a_value_at_its_limit_is_read() {
    for text in [
        r#"{"type":"chat","content":"1","to":"123"}"#,
        r#"{"type":"chat","content":"12345"}"#,
        // Characters, however many bytes or UTF-16 units each of them has.
        r#"{"type":"chat","content":"\ud83c\udf89🎉日本é"}"#,
        r#"{"type":"upload","text":"1234","bytes":[1]}"#,
        r#"{"type":"upload","text":"日","bytes":[1,2]}"#,
        r#"{"type":"seat","row":1,"shift":0.5,"from":-3}"#,
        r#"{"type":"seat","row":40,"shift":-0.5,"from":9007199254740993}"#,
        r#"{"type":"invite","names":[null,"123"],"scores":{"a":1},"grid":[[2],[]]}"#,
        r#"{"type":"leave"}"#,
    ] {
        assert!(read::<Ask>(text).is_ok(), "{text}: {:?}", read::<Ask>(text));
    }
}

#[test]
fn a_value_past_its_limit_is_named_with_its_place_and_its_rule() {
    for (text, answer) in [
        (r#"{"type":"chat","content":""}"#, "`chat.content` must have 1 to 5 characters"),
        (r#"{"type":"chat","content":"123456"}"#, "`chat.content` must have 1 to 5 characters"),
        (r#"{"content":"1","to":"1234","type":"chat"}"#, "`chat.to` must have at most 3 characters"),
        (r#"{"type":"upload","text":"日日","bytes":[1]}"#, "`upload.text` must have at most 4 bytes"),
        (r#"{"type":"upload","text":"","bytes":[]}"#, "`upload.bytes` must have 1 to 2 bytes"),
        (r#"{"type":"upload","text":"","bytes":[1,2,3]}"#, "`upload.bytes` must have 1 to 2 bytes"),
        (r#"{"type":"seat","row":0,"shift":0,"from":0}"#, "`seat.row` must be between 1 and 40"),
        (r#"{"type":"seat","row":41,"shift":0,"from":0}"#, "`seat.row` must be between 1 and 40"),
        (r#"{"type":"seat","row":1,"shift":0.51,"from":0}"#, "`seat.shift` must be between -0.5 and 0.5"),
        (r#"{"type":"seat","row":1,"shift":0,"from":-4}"#, "`seat.from` must be at least -3"),
        (
            r#"{"type":"invite","names":[],"scores":{},"grid":[[],[]]}"#,
            "`invite.names` must have 1 to 2 items",
        ),
        (
            r#"{"type":"invite","names":[null,"1234"],"scores":{},"grid":[[],[]]}"#,
            "`invite.names[1]` must have at most 3 characters",
        ),
        (
            r#"{"type":"invite","names":[null],"scores":{"a":1,"b":2},"grid":[[],[]]}"#,
            "`invite.scores` must have at most 1 item",
        ),
        (
            r#"{"type":"invite","names":[null],"scores":{},"grid":[[1],[0,3]]}"#,
            "`invite.grid[1][1]` must be at most 2",
        ),
    ] {
        assert_eq!(broken::<Ask>(text), answer, "{text}");
    }
}

#[test]
fn logs_and_programs_learn_more_than_clients_but_never_the_value() {
    let error = read::<Ask>(r#"{"type":"chat","content":"secret"}"#).unwrap_err();
    assert_eq!(error.to_string(), "rule `len` broken: `chat.content` must have 1 to 5 characters, not 6");
    let violation = error.violation().expect("a rule is broken");
    assert_eq!(violation.path(), "chat.content");
    let len = Rule::Len { min: Some(1), max: Some(5), found: 6, unit: "characters" };
    assert_eq!(violation.rule(), &len);
    assert_eq!(violation.rule().name(), "len");
    assert!(!format!("{error:?} {error} {}", error.client_text()).contains("secret"));
    // The values are right in themselves before rules are looked at.
    assert!(matches!(read::<Ask>(r#"{"type":"chat","content":7}"#), Err(ParseError::Field { .. })));
}

#[test]
fn a_function_may_be_a_rule() {
    fn is_even(number: &u32) -> Result<(), &'static str> {
        if number.is_multiple_of(2) { Ok(()) } else { Err("must be even") }
    }
    fn is_short(text: &str) -> Result<(), String> {
        if text.len() < 3 { Ok(()) } else { Err("é".repeat(1000)) }
    }
    fn in_order(ask: &Pair) -> Result<(), String> {
        if ask.from <= ask.to { Ok(()) } else { Err("`from` comes after `to`".to_owned()) }
    }
    #[derive(Debug, FromFrame)]
    #[frame(check = "in_order")]
    struct Pair {
        #[frame(custom = "is_even", custom = "is_even", range(max = 10))]
        from: u32,
        to: u32,
        #[frame(inner(custom = "is_short"))]
        names: Vec<String>,
    }
    assert!(read::<Pair>(r#"{"from":2,"to":3,"names":["ab"]}"#).is_ok());
    assert_eq!(broken::<Pair>(r#"{"from":1,"to":3,"names":[]}"#), "`from`: must be even");
    assert_eq!(broken::<Pair>(r#"{"from":12,"to":3,"names":[]}"#), "`from` must be at most 10");
    assert_eq!(broken::<Pair>(r#"{"from":4,"to":3,"names":[]}"#), "`from` comes after `to`");
    let long = broken::<Pair>(r#"{"from":2,"to":3,"names":["a","abc"]}"#);
    assert_eq!(long, format!("`names[1]`: {}", "é".repeat(200)));
}

/// Its items have another order than those of the frame, so no place in it is told.
#[test]
fn an_item_of_a_set_is_told_without_a_number() {
    #[derive(Debug, FromFrame)]
    struct Ask {
        #[frame(default, inner(len(max = 2)))]
        sorted: BTreeSet<String>,
        #[frame(default, inner(inner(range(max = 2))))]
        rows: Vec<HashSet<u8>>,
    }
    assert!(read::<Ask>(r#"{"sorted":["zz","aa"],"rows":[[1,2],[]]}"#).is_ok());
    let answer = broken::<Ask>(r#"{"sorted":["zz","aaa"]}"#);
    assert_eq!(answer, "`sorted[]` must have at most 2 characters");
    assert_eq!(broken::<Ask>(r#"{"rows":[[1],[2,3]]}"#), "`rows[1][]` must be at most 2");
}

/// `INF` and `nan` are numbers to whoever reads them as text.
#[test]
fn a_limit_may_be_a_constant_of_any_name() {
    const INF: u32 = 1;
    const NAN: u32 = 9;
    #[derive(Debug, FromFrame)]
    struct Ask {
        #[frame(range(min = INF, max = 8))]
        row: u32,
        #[frame(default, range(min = 0, max = NAN))]
        seat: u32,
    }
    assert!(read::<Ask>(r#"{"row":1}"#).is_ok());
    assert_eq!(broken::<Ask>(r#"{"row":9}"#), "`row` must be between 1 and 8");
    assert_eq!(broken::<Ask>(r#"{"row":1,"seat":10}"#), "`seat` must be between 0 and 9");
}

/// What stands inside a message, with rules of its own.
mod nested {
    use super::*;

    #[derive(Debug, Deserialize, Validate)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Item {
        #[frame(len(min = 1))]
        item_name: String,
        #[serde(rename = "n", default)]
        #[frame(range(max = 3))]
        count: u8,
        #[serde(rename(serialize = "out", deserialize = "in"), default)]
        #[frame(nested)]
        inner: Option<Box<Item>>,
    }

    #[derive(Debug, Deserialize, Validate)]
    struct Name(#[frame(len(max = 2))] String);

    #[derive(Debug, Deserialize, Validate)]
    struct Pair(#[expect(dead_code, reason = "only read")] u8, #[frame(range(max = 1))] u8);

    #[derive(Debug, Deserialize, Validate)]
    #[serde(tag = "kind", rename_all_fields = "camelCase")]
    enum Shape {
        Line {
            #[frame(nested)]
            first_name: Name,
        },
        Dot,
        #[serde(rename_all = "UPPERCASE")]
        Loud {
            #[frame(range(max = 1))]
            level: u8,
        },
    }

    #[derive(Debug, Deserialize, Validate)]
    #[frame(check = "Whole::is_right")]
    struct Whole {
        from: u8,
        to: u8,
    }

    impl Whole {
        fn is_right(&self) -> Result<(), &'static str> {
            if self.from < self.to { Ok(()) } else { Err("nothing is in between") }
        }
    }

    #[derive(Debug, FromFrame)]
    enum Ask<T> {
        Put {
            #[frame(nested)]
            items: Vec<Item>,
            #[frame(nested)]
            more: T,
        },
        Move(#[frame(nested)] Item),
        Draw(#[frame(nested)] Shape),
        Pick(#[frame(nested)] Whole),
    }

    #[test]
    fn its_path_is_that_of_its_keys() {
        for (text, answer) in [
            (
                r#"{"type":"Put","items":[{"itemName":"a"},{"itemName":""}],"more":[]}"#,
                "`Put.items[1].itemName` must have at least 1 character",
            ),
            (
                r#"{"type":"Put","items":[{"itemName":"a","in":{"itemName":"b","n":4}}],"more":[]}"#,
                "`Put.items[0].in.n` must be at most 3",
            ),
            (
                r#"{"type":"Put","items":[],"more":["ab","abc"]}"#,
                "`Put.more[1]` must have at most 2 characters",
            ),
            (r#"{"itemName":"a","n":4,"type":"Move"}"#, "`Move.n` must be at most 3"),
            (
                r#"{"type":"Draw","kind":"Line","firstName":"abc"}"#,
                "`Draw.firstName` must have at most 2 characters",
            ),
            (r#"{"type":"Draw","kind":"Loud","LEVEL":2}"#, "`Draw.LEVEL` must be at most 1"),
            (r#"{"type":"Pick","from":1,"to":1}"#, "`Pick`: nothing is in between"),
        ] {
            assert_eq!(broken::<Ask<Vec<Name>>>(text), answer, "{text}");
        }
        assert!(read::<Ask<Vec<Name>>>(r#"{"type":"Draw","kind":"Dot"}"#).is_ok());
        let pairs = read::<Ask<Vec<Pair>>>(r#"{"type":"Put","items":[],"more":[[9,1],[1,2]]}"#).err();
        assert_eq!(pairs.expect("over").client_text(), "`Put.more[1][1]` must be at most 1");
    }

    #[test]
    fn a_hand_written_one_says_its_own_words() {
        #[derive(Debug, Deserialize)]
        struct Even(u8);
        impl Validate for Even {
            fn validate(&self) -> Result<(), Violation> {
                if self.0.is_multiple_of(2) { Ok(()) } else { Err(Violation::new("odd").under("half")) }
            }
        }
        let text = r#"{"type":"Put","items":[],"more":[2,3]}"#;
        assert_eq!(broken::<Ask<Vec<Even>>>(text), "`Put.more[1].half`: odd");
    }
}

#[test]
fn every_kind_of_variant_may_have_rules() {
    #[derive(Debug, FromFrame)]
    #[frame(content = "data", rename_all = "lowercase")]
    enum Ask {
        Names(#[frame(len(max = 1))] Vec<String>),
        Line(#[expect(dead_code, reason = "only read")] u8, #[frame(range(max = 3))] u8),
        #[frame(other)]
        Unknown(#[frame(len(max = 4))] String),
        #[frame(binary)]
        Upload(#[frame(bytes(max = 2))] Bytes),
        Rest {
            #[frame(flatten, len(max = 1))]
            rest: HashMap<String, u8>,
            #[frame(default, rename = "s", len(max = 1))]
            set: BTreeSet<Cow<'static, str>>,
        },
    }
    assert_eq!(broken::<Ask>(r#"{"type":"names","data":["a","b"]}"#), "`names` must have at most 1 item");
    assert_eq!(broken::<Ask>(r#"{"type":"line","data":[9,4]}"#), "`line[1]` must be at most 3");
    assert_eq!(broken::<Ask>(r#"{"type":"abcde"}"#), "`Unknown` must have at most 4 characters");
    assert_eq!(broken::<Ask>(r#"{"type":"rest","data":{"a":1,"b":1}}"#), "`rest` must have at most 1 item");
    assert_eq!(
        broken::<Ask>(r#"{"type":"rest","data":{"a":1,"s":["a","b"]}}"#),
        "`rest.s` must have at most 1 item"
    );
    let error = Ask::from_frame(partyrs::Frame::binary(vec![0; 3])).unwrap_err();
    assert_eq!(error.client_text(), "`Upload` must have at most 2 bytes");
    assert!(Ask::from_frame(partyrs::Frame::binary(vec![0; 2])).is_ok());
}

#[cfg(feature = "pattern")]
#[test]
fn a_string_may_have_a_pattern() {
    #[derive(Debug, FromFrame)]
    struct Join {
        #[frame(pattern("^[a-zà-ÿ]+$"), pattern("^.{1,5}$"))]
        name: Option<String>,
        #[frame(inner(pattern(r"^\p{Lu}$")))]
        initials: Vec<Cow<'static, str>>,
    }
    assert!(read::<Join>(r#"{"name":"zoë","initials":["Z","Ü"]}"#).is_ok());
    assert_eq!(broken::<Join>(r#"{"name":"Zoë","initials":[]}"#), "`name` must match `^[a-zà-ÿ]+$`");
    assert_eq!(broken::<Join>(r#"{"name":"abcdef","initials":[]}"#), "`name` must match `^.{1,5}$`");
    assert_eq!(broken::<Join>(r#"{"initials":["Z","z"]}"#), r"`initials[1]` must match `^\p{Lu}$`");
}
