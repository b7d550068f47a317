//! The written code stands among any names of the user's, needs no crate but `partyrs`, and
//! warns of nothing.

#![deny(
    deprecated,
    elided_lifetimes_in_paths,
    explicit_outlives_requirements,
    let_underscore_drop,
    missing_docs,
    non_local_definitions,
    private_bounds,
    private_interfaces,
    redundant_lifetimes,
    single_use_lifetimes,
    trivial_casts,
    unreachable_pub,
    unused,
    unused_lifetimes,
    unused_qualifications,
    unused_results
)]
#![deny(clippy::all, clippy::pedantic, clippy::nursery)]

// From here on `::serde` and `::serde_json` are other crates.
#[expect(unused_extern_crates, reason = "only their names count")]
extern crate partyrs as serde;
#[expect(unused_extern_crates, reason = "only their names count")]
extern crate partyrs as serde_json;

use partyrs::{
    Connection, Dispatch as Methods, Frame, FromFrame as Reads, IntoFrame as Writes, Result, Room,
};

/// A module in which nothing is called what it seems.
#[no_implicit_prelude]
pub mod names {
    #![allow(dead_code, non_camel_case_types, missing_docs, missing_debug_implementations)]
    #![allow(clippy::all, clippy::pedantic, clippy::nursery)]

    use ::std::{clone::Clone, cmp::PartialEq, fmt::Debug};

    macro_rules! decoys {
        ($($name:ident)*) => {$( pub struct $name; )*};
    }
    decoys! {
        Box Cell Connection Dispatch Entries Err Error Frame FromFrame Future IntoFrame Ok Option ParseError
        ReadMessage Result Room Send Sized Some Text Vec WriteMessage bool key map read str text u8 usize
    }
    pub mod core {}
    pub mod std {}
    pub mod partyrs {}
    pub trait Decoy {
        fn read(&self) {}
        fn write(&self) {}
        fn slot(&self) {}
        fn take(&self) {}
        fn value(&self) {}
        fn payload(&self) {}
        fn into_frame(&self) {}
        fn from_frame(&self) {}
    }
    impl<T> Decoy for T {}

    #[derive(Clone, Debug, PartialEq, ::partyrs::FromFrame, ::partyrs::IntoFrame)]
    pub enum Ask<M, E> {
        Ok { map: M, key: E, self_: ::std::primitive::u8, __entries: ::std::primitive::u8 },
        Err(::std::collections::BTreeMap<::std::string::String, M>),
        None {},
        Error,
        Value,
    }
    impl<M, E> Ask<M, E> {
        pub fn read(&self) {}
        pub fn write(&self) {}
        pub fn into_frame(&self) {}
    }

    #[derive(Clone, Debug, PartialEq, ::partyrs::FromFrame, ::partyrs::IntoFrame)]
    pub struct Wait {
        pub __variant: ::std::primitive::u8,
        pub __frame: ::std::primitive::u8,
        pub __text: ::std::primitive::u8,
        pub __field1: ::std::primitive::u8,
    }

    #[derive(::partyrs::FromFrame, ::partyrs::Dispatch)]
    pub enum Play<__Room> {
        Dispatch { server: ::std::primitive::u8, room: __Room, sender: ::std::option::Option<__Room> },
        Server { this: ::std::primitive::u8, __field0: ::std::primitive::u16 },
        Self_,
    }
    pub struct Table(pub Wait);
    impl<__Room: ::std::marker::Send> PlayHandler<__Room> for Table {
        async fn dispatch(
            &mut self,
            _: &::partyrs::Room,
            _: &::partyrs::Connection,
            server: ::std::primitive::u8,
            _: __Room,
            _: ::std::option::Option<__Room>,
        ) -> ::partyrs::Result<()> {
            self.0.__frame = server;
            ::std::result::Result::Ok(())
        }

        async fn server(
            &mut self,
            _: &::partyrs::Room,
            _: &::partyrs::Connection,
            this: ::std::primitive::u8,
            _: ::std::primitive::u16,
        ) -> ::partyrs::Result<()> {
            self.0.__variant = this;
            ::std::result::Result::Ok(())
        }

        async fn self_(&mut self, _: &::partyrs::Room, _: &::partyrs::Connection) -> ::partyrs::Result<()> {
            ::std::result::Result::Ok(())
        }
    }

    /// Every attribute at once.
    #[derive(Clone, Debug, PartialEq, ::partyrs::FromFrame, ::partyrs::IntoFrame)]
    #[frame(content = "data", check = "no_rule")]
    pub enum All<M> {
        Line(#[frame(range(max = 3))] ::std::primitive::u8, M),
        Draw {
            #[frame(skip)]
            key: ::std::primitive::u8,
            #[frame(
                alias = "t",
                default,
                len(max = 9),
                skip_serializing_if = "::std::string::String::is_empty"
            )]
            text: ::std::string::String,
            #[frame(flatten)]
            rest: ::std::collections::BTreeMap<::std::string::String, ::std::primitive::u8>,
            #[frame(inner(inner(range(max = 3))))]
            parts: ::std::vec::Vec<[::std::primitive::u8; 1]>,
        },
        #[frame(other)]
        Other(::std::string::String),
        #[frame(binary)]
        Binary(#[frame(bytes(max = 9))] ::std::vec::Vec<::std::primitive::u8>),
    }

    /// What stands in it.
    #[derive(Clone, Debug, PartialEq, ::partyrs::FromFrame, ::partyrs::IntoFrame, ::partyrs::Validate)]
    #[frame(deny_unknown_fields, default)]
    pub struct Part {
        #[frame(inner(inner(range(min = 1))))]
        pub __item0: ::std::option::Option<::std::vec::Vec<::std::vec::Vec<::std::primitive::u8>>>,
    }
    impl ::std::default::Default for Part {
        fn default() -> Self {
            Self { __item0: ::std::option::Option::None }
        }
    }

    fn no_rule<M>(_: &All<M>) -> ::std::result::Result<(), ::std::string::String> {
        ::std::result::Result::Ok(())
    }
}

/// A message whose fields rustc and the user would rather not see used.
#[derive(Clone, Debug, PartialEq, Eq, Reads, Writes)]
#[frame(rename_all = "camelCase")]
pub enum Old {
    /// Long gone.
    #[deprecated]
    Say {
        /// What was said.
        text: String,
    },
    /// Still there.
    Leave,
}

/// A message with methods.
#[derive(Debug, Methods)]
pub enum Turn {
    /// Played.
    Play {
        /// Where.
        seat: u8,
    },
    /// Out of use.
    #[deprecated]
    Pass,
    #[expect(missing_docs, reason = "the method must have some all the same")]
    Resign,
}

/// What a method of `Turn` can be.
#[derive(Debug)]
pub struct Nobody;

impl TurnHandler for Nobody {
    async fn play(&mut self, _: &Room, _: &Connection, _: u8) -> Result<()> {
        Ok(())
    }

    async fn pass(&mut self, _: &Room, _: &Connection) -> Result<()> {
        Ok(())
    }

    async fn resign(&mut self, _: &Room, _: &Connection) -> Result<()> {
        Ok(())
    }
}

/// Borrows.
#[derive(Clone, Debug, Writes)]
pub enum Tell<'a> {
    /// What was said.
    Said(&'a std::collections::BTreeMap<String, String>),
}

#[track_caller]
fn comes_back<T: Reads + Clone + PartialEq + std::fmt::Debug>(message: &T)
where
    for<'a> &'a T: Writes,
{
    let frame: Frame = message.into_frame().expect("was written");
    assert_eq!(&T::from_frame(frame).expect("was read"), message);
}

#[test]
fn names_of_the_user_do_not_get_in_the_way() {
    use names::Ask;

    comes_back(&Ask::Ok { map: 1_u8, key: 2_u8, self_: 3, __entries: 4 });
    comes_back(&Ask::<_, u8>::Err([("x".to_owned(), 1_u8)].into()));
    comes_back(&Ask::<u8, u8>::None {});
    comes_back(&Ask::<u8, u8>::Error);
    comes_back(&Ask::<u8, u8>::Value);
    comes_back(&names::Wait { __variant: 1, __frame: 2, __text: 3, __field1: 4 });
    comes_back(&Old::Leave);
    comes_back(&names::Part { __item0: Some(vec![vec![1]]) });
    comes_back(&names::All::Other::<u8>("what".to_owned()));
    comes_back(&names::All::Binary::<u8>(vec![1]));
    comes_back(&names::All::Line(1, 2_u8));
}

#[test]
fn a_message_may_be_declared_inside_a_function_or_by_a_macro() {
    macro_rules! message {
        ($name:ident, $tag:literal, $case:expr, $payload:ty) => {
            #[derive(Clone, Debug, PartialEq, Reads, Writes)]
            #[frame(tag = $tag, rename_all = "kebab-case")]
            enum $name {
                #[frame(rename = $tag)]
                Say { text: $payload },
            }
        };
    }
    message!(Ask, "kind", "kebab-case", String);
    comes_back(&Ask::Say { text: "hi".to_owned() });
}

/// The derive stands in the macro, and what it reads, types and rules, where the macro is called.
#[test]
fn a_macro_may_be_given_the_variants_of_a_message() {
    macro_rules! message {
        ($name:ident { $($variants:tt)* }) => {
            #[derive(Clone, Debug, PartialEq, Reads, Writes)]
            #[cfg_attr(feature = "protocol", derive(partyrs::Protocol))]
            enum $name { $($variants)* }
        };
    }
    message!(Ask {
        Say {
            #[frame(len(max = 5), bytes(min = 1), custom = "anything")]
            text: String,
            #[frame(default, range(max = 3), skip_serializing_if = "Option::is_none")]
            count: Option<u8>,
            #[frame(inner(len(max = 2)))]
            words: Vec<String>,
            #[frame(flatten)]
            rest: std::collections::BTreeMap<String, u8>,
        },
        Map(std::collections::BTreeMap<String, u8>),
        #[frame(binary)]
        Raw(Vec<u8>),
    });
    fn anything(text: &str) -> std::result::Result<(), String> {
        if text.is_empty() { Err("nothing".to_owned()) } else { Ok(()) }
    }
    comes_back(&Ask::Say { text: "hi".to_owned(), count: None, words: Vec::new(), rest: [].into() });
    comes_back(&Ask::Map([("x".to_owned(), 1)].into()));
    comes_back(&Ask::Raw(vec![1]));
}

#[test]
fn a_message_with_methods_may_be_declared_by_a_macro() {
    macro_rules! declare {
        ($variant:ident, $field:ident: $ty:ty) => {
            #[derive(Methods)]
            enum Ask {
                $variant { $field: $ty },
                Leave,
            }
        };
    }
    declare!(Say, text: String);

    impl AskHandler for Nobody {
        async fn say(&mut self, _: &Room, _: &Connection, _: String) -> Result<()> {
            Ok(())
        }

        async fn leave(&mut self, _: &Room, _: &Connection) -> Result<()> {
            Ok(())
        }
    }
    // That it compiles is what is shown.
    drop((Ask::dispatch::<Nobody>, Ask::Say { text: String::new() }, Ask::Leave));
}
