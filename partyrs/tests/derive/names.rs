//! Tags and keys.

use partyrs::{FromFrame, IntoFrame};

use crate::{read, refusal, written};

#[test]
fn names_are_those_of_the_code_unless_told_otherwise() {
    #[derive(Debug, PartialEq, FromFrame, IntoFrame)]
    enum Ask {
        LeaveTable {
            r#for: u8,
            seat_no: u8,
        },
        #[allow(non_camel_case_types)]
        r#try,
    }
    let leave = Ask::LeaveTable { r#for: 1, seat_no: 2 };
    assert_eq!(written(&leave), r#"{"type":"LeaveTable","for":1,"seat_no":2}"#);
    assert_eq!(read::<Ask>(&written(&leave)).unwrap(), leave);
    assert_eq!(read::<Ask>(r#"{"type":"try"}"#).unwrap(), Ask::r#try);
}

#[test]
fn the_tag_has_the_name_it_is_given() {
    #[derive(Debug, PartialEq, FromFrame, IntoFrame)]
    #[frame(tag = "kind")]
    enum Ask {
        Sit { r#type: u8 },
    }
    let sit = Ask::Sit { r#type: 1 };
    assert_eq!(written(&sit), r#"{"kind":"Sit","type":1}"#);
    assert_eq!(read::<Ask>(r#"{"type":1,"kind":"Sit"}"#).unwrap(), sit);
    assert_eq!(refusal::<Ask>("{}"), "missing key `kind`");
    assert_eq!(refusal::<Ask>(r#"{"kind":"x"}"#), "unknown kind `x`, expected one of `Sit`");
}

#[test]
fn rename_wins_over_rename_all() {
    #[derive(Debug, PartialEq, FromFrame, IntoFrame)]
    #[frame(rename_all = "camelCase")]
    #[frame(rename_all_fields = "SCREAMING-KEBAB-CASE")]
    enum Ask {
        #[frame(rename = "Leave Table")]
        LeaveTable {
            seat_no: u8,
            #[frame(rename = "why")]
            given_reason: u8,
        },
        SitDown,
    }
    let leave = Ask::LeaveTable { seat_no: 1, given_reason: 2 };
    assert_eq!(written(&leave), r#"{"type":"Leave Table","SEAT-NO":1,"why":2}"#);
    assert_eq!(read::<Ask>(&written(&leave)).unwrap(), leave);
    assert_eq!(written(Ask::SitDown), r#"{"type":"sitDown"}"#);
}

#[test]
fn names_of_any_characters_are_written_and_read() {
    #[derive(Debug, PartialEq, FromFrame, IntoFrame)]
    #[frame(tag = "\"\\\u{0}é{}")]
    enum Ask {
        #[frame(rename = "\n🎉")]
        Say {
            #[frame(rename = "")]
            empty: u8,
            #[frame(rename = "\t\"")]
            quote: u8,
        },
        #[frame(rename = "{}")]
        Braces,
        #[frame(rename = "\\")]
        Point(std::collections::BTreeMap<String, u8>),
    }
    let point = std::collections::BTreeMap::from([("x".to_owned(), 1)]);
    for message in [Ask::Say { empty: 1, quote: 2 }, Ask::Braces, Ask::Point(point)] {
        let text = written(&message);
        assert!(serde_json::from_str::<serde_json::Value>(&text).unwrap().is_object(), "{text}");
        assert_eq!(read::<Ask>(&text).unwrap(), message, "{text}");
    }
}

/// Both sides of a table that has one row for each case, and serde's answer as the measure.
#[test]
fn each_case_is_what_serde_makes_of_it() {
    macro_rules! cases {
        ($($case:literal)*) => {$({
            #[derive(serde::Serialize, FromFrame, IntoFrame)]
            #[serde(tag = "type", rename_all = $case, rename_all_fields = $case)]
            #[frame(rename_all = $case, rename_all_fields = $case)]
            #[expect(non_snake_case, reason = "for the sake of the test")]
            enum Ask {
                A,
                LeaveTable { seat_number: u8, x: u8, _private: u8, two__words: u8, camelCase: u8, v2_x: u8 },
                HTTPServer { a: u8 },
                V2Sit,
            }
            let leave =
                Ask::LeaveTable { seat_number: 1, x: 2, _private: 3, two__words: 4, camelCase: 5, v2_x: 6 };
            for message in [Ask::A, leave, Ask::HTTPServer { a: 1 }, Ask::V2Sit] {
                let text = serde_json::to_string(&message).unwrap();
                assert_eq!(written(&message), text, "{}", $case);
                assert_eq!(written(read::<Ask>(&text).unwrap()), text, "{}", $case);
            }

            #[derive(serde::Serialize, IntoFrame)]
            #[serde(rename_all = $case)]
            #[frame(rename_all = $case)]
            struct Seat {
                seat_number: u8,
            }
            let seat = Seat { seat_number: 1 };
            assert_eq!(written(&seat), serde_json::to_string(&seat).unwrap(), "{}", $case);
        })*};
    }
    cases! {
        "lowercase" "UPPERCASE" "PascalCase" "camelCase" "snake_case" "SCREAMING_SNAKE_CASE" "kebab-case"
        "SCREAMING-KEBAB-CASE"
    }
}
