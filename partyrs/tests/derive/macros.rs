//! Messages that a macro declares.

use std::{collections::BTreeMap, fmt::Debug};

use partyrs::{Connection, Dispatch, FromFrame, IntoFrame, Room, Validate};
use serde::{Deserialize, Serialize};

use crate::read;

#[track_caller]
fn comes_back<T: FromFrame + PartialEq + Debug>(message: &T)
where
    for<'a> &'a T: IntoFrame,
{
    let frame = message.into_frame().expect("has a frame form");
    assert_eq!(&T::from_frame(frame).expect("was read"), message);
}

/// What is written for a type, a path or a rule takes its place from it, and so from the macro; the
/// names beside it must be the same all the same.
#[test]
fn a_macro_may_write_every_part_of_a_message() {
    struct Nobody;
    macro_rules! declare {
        ($ask:ident, $under:ident, $part:ident) => {
            #[derive(Clone, Debug, PartialEq, FromFrame, IntoFrame, Dispatch)]
            #[frame(check = "never")]
            enum $ask {
                Say {
                    #[frame(len(max = 2), custom = "never", default = "String::new")]
                    text: String,
                    #[frame(skip_serializing_if = "Option::is_none", inner(range(min = 1)))]
                    parts: Option<Vec<u8>>,
                    #[frame(flatten)]
                    rest: BTreeMap<String, u8>,
                },
                Move(#[frame(nested)] $part),
                #[frame(other)]
                Unknown(String),
                #[frame(binary)]
                Upload(#[frame(bytes(max = 2))] Vec<u8>),
            }
            #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Validate)]
            struct $part {
                #[frame(range(max = 9))]
                x: u8,
            }
            #[derive(Clone, Debug, PartialEq, FromFrame, IntoFrame)]
            #[frame(content = "data")]
            enum $under {
                One(Option<u8>),
                Two(u8, String),
                Fields { x: u8 },
            }
        };
    }
    declare!(Ask, Under, Part);
    #[expect(clippy::unnecessary_wraps, reason = "a rule has a result")]
    fn never<T: ?Sized>(_: &T) -> Result<(), &'static str> {
        Ok(())
    }

    comes_back(&Ask::Say { text: "hi".to_owned(), parts: Some(vec![1]), rest: [("a".to_owned(), 1)].into() });
    comes_back(&Ask::Move(Part { x: 9 }));
    comes_back(&Ask::Unknown("what".to_owned()));
    comes_back(&Ask::Upload(vec![1]));
    comes_back(&Under::One(None));
    comes_back(&Under::Two(1, "a".to_owned()));
    comes_back(&Under::Fields { x: 1 });
    assert!(read::<Ask>(r#"{"type":"Move","x":10}"#).is_err());
    let _ = Ask::dispatch::<Nobody>;
    impl AskHandler for Nobody {
        async fn say(
            &mut self,
            _: &Room,
            _: &Connection,
            _: String,
            _: Option<Vec<u8>>,
            _: BTreeMap<String, u8>,
        ) -> partyrs::Result<()> {
            Ok(())
        }

        async fn r#move(&mut self, _: &Room, _: &Connection, _: Part) -> partyrs::Result<()> {
            Ok(())
        }

        async fn unknown(&mut self, _: &Room, _: &Connection, _: String) -> partyrs::Result<()> {
            Ok(())
        }

        async fn upload(&mut self, _: &Room, _: &Connection, _: Vec<u8>) -> partyrs::Result<()> {
            Ok(())
        }
    }
}
