//! What a change to messages breaks, and for whom, in the words that a person reads.

#![cfg(feature = "protocol")]

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use partyrs::protocol::{Document, Protocol};
use partyrs::{FromFrame, IntoFrame, Json, Protocol};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

/// What breaks if messages of type `Was` become those of type `Now` in both directions.
fn breaks<Was: Protocol, Now: Protocol>() -> Vec<String> {
    breaks_between(&Document::of::<Was, Was>("main"), &Document::of::<Now, Now>("main"))
}

fn breaks_between(was: &Document, now: &Document) -> Vec<String> {
    // What is kept in a file is what was described.
    let [was, now] = [was, now].map(|document| Document::from_json(&document.to_json()).expect("our own"));
    assert_eq!(was.breaks_since(&was), []);
    assert_eq!(now.breaks_since(&now), []);
    now.breaks_since(&was).iter().map(ToString::to_string).collect()
}

/// What breaks if one enum becomes the other; their variants are given.
macro_rules! change {
    ($(#[$was_attr:meta])* { $($was:tt)* } => $(#[$now_attr:meta])* { $($now:tt)* }) => {{
        mod was {
            use super::*;
            #[derive(FromFrame, IntoFrame, Protocol)]
            #[frame(rename_all = "kebab-case")]
            $(#[$was_attr])*
            pub(super) enum Message { $($was)* }
        }
        mod now {
            use super::*;
            #[derive(FromFrame, IntoFrame, Protocol)]
            #[frame(rename_all = "kebab-case")]
            $(#[$now_attr])*
            pub(super) enum Message { $($now)* }
        }
        breaks::<was::Message, now::Message>()
    }};
}

/// Types of values, all of the same name.
macro_rules! types {
    ($($module:ident: $(#[$attr:meta])* $kind:ident { $($body:tt)* })*) => {$(
        mod $module {
            use super::*;
            #[derive(Serialize, Deserialize, JsonSchema)]
            #[serde(rename_all = "kebab-case")]
            $(#[$attr])*
            pub(super) $kind Shape { $($body)* }
        }
    )*};
}

#[derive(FromFrame, IntoFrame, Protocol)]
#[frame(rename_all = "kebab-case")]
enum Set<T> {
    Set { to: T },
}

/// What breaks if the type of a value is changed.
fn value<Was, Now>() -> Vec<String>
where
    Was: DeserializeOwned + Serialize + JsonSchema + Send + 'static,
    Now: DeserializeOwned + Serialize + JsonSchema + Send + 'static,
{
    breaks::<Set<Was>, Set<Now>>()
}

/// Each change with what it breaks below it; nothing, if it breaks nothing.
#[track_caller]
fn assert_told(changes: &[(&str, Vec<String>)], expected: &str) {
    let mut told = String::new();
    for (change, breaks) in changes {
        told.push_str(&format!("\n{change}\n"));
        for found in breaks {
            told.push_str(&format!("    {found}\n"));
        }
    }
    assert_eq!(told.trim(), expected.trim(), "\n{told}");
}

#[test]
fn messages_come_and_go() {
    let changes = [
        ("nothing", change!({ Say, Move { x: u8 } } => { Say, Move { x: u8 } })),
        ("order", change!({ Say, Move { x: u8 } } => { Move { x: u8 }, Say })),
        ("added", change!({ Say } => { Say, Move })),
        ("removed", change!({ Say, Move } => { Say })),
        ("renamed", change!({ Say } => { Tell })),
        ("renamed with alias", change!({ Say } => { #[frame(alias = "say")] Tell })),
        ("alias added", change!({ Say } => { #[frame(alias = "tell")] Say })),
        ("alias removed", change!({ #[frame(alias = "tell")] Say } => { Say })),
        (
            "alias becomes the name",
            change!({ #[frame(alias = "tell")] Say } => { #[frame(alias = "say")] Tell }),
        ),
        (
            "alias becomes a message of its own",
            change!(
                { #[frame(alias = "tell")] Say { text: String } }
                => { Say { text: String }, Tell { to: u8 } }
            ),
        ),
        (
            "names swapped",
            change!({ Say { a: u8 }, Move { b: u8 } } => {
                #[frame(rename = "move")] Say { a: u8 },
                #[frame(rename = "say")] Move { b: u8 },
            }),
        ),
        (
            "names that are hard to print",
            change!({ #[frame(rename = "a\n`b`\u{7}")] Say } => { #[frame(rename = "é")] Say }),
        ),
    ];
    assert_told(
        &changes,
        r##"
nothing

order

added
    what rooms send, `move`: it is new; earlier clients do not know it

removed
    what clients send, `move`: rooms no longer know it; clients that send it get an error
    what rooms send, `move`: rooms no longer send it; earlier clients may wait for it

renamed
    what clients send, `say`: rooms no longer know it; clients that send it get an error
    what rooms send, `tell`: it is new; earlier clients do not know it
    what rooms send, `say`: rooms no longer send it; earlier clients may wait for it

renamed with alias
    what rooms send, `tell`: it is new; earlier clients do not know it
    what rooms send, `say`: rooms no longer send it; earlier clients may wait for it

alias added

alias removed
    what clients send, `say`: rooms no longer know its other name "tell"; clients that use it get an error

alias becomes the name
    what rooms send, `tell`: it is new; earlier clients do not know it
    what rooms send, `say`: rooms no longer send it; earlier clients may wait for it

alias becomes a message of its own
    what clients send, `tell.text`: rooms no longer read it; what clients say there is lost
    what clients send, `tell.to`: it is new and required; clients that do not know it are refused
    what rooms send, `tell`: it is new; earlier clients do not know it

names swapped
    what clients send, `say.a`: rooms no longer read it; what clients say there is lost
    what clients send, `say.b`: it is new and required; clients that do not know it are refused
    what clients send, `move.b`: rooms no longer read it; what clients say there is lost
    what clients send, `move.a`: it is new and required; clients that do not know it are refused
    what rooms send, `move.b`: rooms no longer send it; earlier clients count on it
    what rooms send, `say.a`: rooms no longer send it; earlier clients count on it

names that are hard to print
    what clients send, `a\n`b`\u{7}`: rooms no longer know it; clients that send it get an error
    what rooms send, `é`: it is new; earlier clients do not know it
    what rooms send, `a\n`b`\u{7}`: rooms no longer send it; earlier clients may wait for it
"##,
    );
}

#[test]
fn messages_of_one_direction_come_and_go() {
    type One = Set<u8>;
    let changes = [
        (
            "clients may say something",
            breaks_between(&Document::of::<(), One>("main"), &Document::of::<One, One>("main")),
        ),
        (
            "clients may say nothing",
            breaks_between(&Document::of::<One, One>("main"), &Document::of::<(), One>("main")),
        ),
        (
            "rooms say something",
            breaks_between(&Document::of::<One, ()>("main"), &Document::of::<One, One>("main")),
        ),
        (
            "rooms say nothing",
            breaks_between(&Document::of::<One, One>("main"), &Document::of::<One, ()>("main")),
        ),
        (
            "rooms say nothing, and had no tag",
            breaks_between(&Document::of::<(), Json<u8>>("main"), &Document::of::<(), ()>("main")),
        ),
        (
            "clients may say nothing, and had no tag",
            breaks_between(&Document::of::<Json<u8>, ()>("main"), &Document::of::<(), ()>("main")),
        ),
        (
            "nobody says anything",
            breaks_between(&Document::of::<(), ()>("main"), &Document::of::<(), ()>("main")),
        ),
    ];
    assert_told(
        &changes,
        r##"
clients may say something

clients may say nothing
    what clients send, `set`: rooms no longer know it; clients that send it get an error

rooms say something
    what rooms send, `set`: it is new; earlier clients do not know it
    what rooms send, `error`: it is new; earlier clients do not know it

rooms say nothing
    what rooms send, `set`: rooms no longer send it; earlier clients may wait for it
    what rooms send, `error`: rooms no longer send it; earlier clients may wait for it

rooms say nothing, and had no tag
    what rooms send, `every message`: rooms no longer send any; earlier clients may wait for them

clients may say nothing, and had no tag
    what clients send, `every message`: it can no longer be an integer; clients that send that are refused

nobody says anything
"##,
    );
}

#[test]
fn the_tag_and_the_content_are_for_every_message() {
    let changes = [
        ("tag", change!({ Say } => #[frame(tag = "op")] { Say })),
        (
            "content",
            change!(
                #[frame(content = "data")] { Say { text: String }, Stop }
                => #[frame(content = "body")] { Say { text: String }, Stop }
            ),
        ),
        (
            "content where there was none",
            change!(
                { Say { text: String }, Stop } => #[frame(content = "data")] { Say { text: String }, Stop }
            ),
        ),
        ("tag where there was none", breaks::<Json<BTreeMap<String, u8>>, Set<u8>>()),
        ("no tag any more", breaks::<Set<u8>, Json<BTreeMap<String, u8>>>()),
    ];
    assert_told(
        &changes,
        r##"
tag
    what clients send, `every message`: it has the tag `op` now, and had the tag `type`; clients that send the earlier one get an error
    what rooms send, `every message`: it has the tag `op` now, and had the tag `type`, by which earlier clients know it

content
    what clients send, `say.data`: rooms no longer read it; what clients say there is lost
    what clients send, `say.body`: it is new and required; clients that do not know it are refused
    what rooms send, `say.data`: rooms no longer send it; earlier clients count on it

content where there was none
    what clients send, `say.text`: rooms no longer read it; what clients say there is lost
    what clients send, `say.data`: it is new and required; clients that do not know it are refused
    what rooms send, `say.text`: rooms no longer send it; earlier clients count on it

tag where there was none
    what clients send, `every message`: it has the tag `type` now, and had no tag; clients that send the earlier one get an error
    what rooms send, `every message`: it has the tag `type` now, and had no tag, by which earlier clients know it

no tag any more
    what clients send, `every message`: it has no tag now, and had the tag `type`; clients that send the earlier one get an error
    what rooms send, `every message`: it has no tag now, and had the tag `type`, by which earlier clients know it
"##,
    );
}

#[test]
fn keys_come_and_go() {
    let changes = [
        ("added, required", change!({ Say { a: u8 } } => { Say { a: u8, b: u8 } })),
        ("added, with a default", change!({ Say { a: u8 } } => { Say { a: u8, #[frame(default)] b: u8 } })),
        ("added, optional", change!({ Say { a: u8 } } => { Say { a: u8, b: Option<u8> } })),
        (
            "added, optional and left out",
            change!(
                { Say { a: u8 } }
                => { Say { a: u8, #[frame(skip_serializing_if = "Option::is_none")] b: Option<u8> } }
            ),
        ),
        ("removed", change!({ Say { a: u8, b: u8 } } => { Say { a: u8 } })),
        (
            "removed, optional",
            change!(
                { Say { a: u8, #[frame(skip_serializing_if = "Option::is_none")] b: Option<u8> } }
                => { Say { a: u8 } }
            ),
        ),
        ("renamed", change!({ Say { a: u8 } } => { Say { b: u8 } })),
        ("renamed with alias", change!({ Say { a: u8 } } => { Say { #[frame(alias = "a")] b: u8 } })),
        (
            "renamed with alias, and another type",
            change!(
                { Say { a: u8 } } => { Say { #[frame(alias = "a")] b: String } }
            ),
        ),
        ("alias removed", change!({ Say { #[frame(alias = "b")] a: u8 } } => { Say { a: u8 } })),
        (
            "alias becomes a key of its own",
            change!(
                { Say { #[frame(alias = "b")] a: u8 } } => { Say { a: u8, #[frame(default)] b: u8 } }
            ),
        ),
        ("default added", change!({ Say { a: u8 } } => { Say { #[frame(default)] a: u8 } })),
        ("default removed", change!({ Say { #[frame(default)] a: u8 } } => { Say { a: u8 } })),
        ("option added", change!({ Say { a: u8 } } => { Say { a: Option<u8> } })),
        ("option removed", change!({ Say { a: Option<u8> } } => { Say { a: u8 } })),
        (
            "left out sometimes",
            change!(
                { Say { a: Option<u8> } } => { Say { #[frame(skip_serializing_if = "Option::is_none")] a: Option<u8> } }
            ),
        ),
        (
            "never left out any more",
            change!(
                { Say { #[frame(skip_serializing_if = "Option::is_none")] a: Option<u8> } } => { Say { a: Option<u8> } }
            ),
        ),
        ("docs", change!({ Say { a: u8 } } => { /** Says. */ Say { /** What. */ a: u8 } })),
    ];
    assert_told(
        &changes,
        r##"
added, required
    what clients send, `say.b`: it is new and required; clients that do not know it are refused

added, with a default

added, optional

added, optional and left out

removed
    what clients send, `say.b`: rooms no longer read it; what clients say there is lost
    what rooms send, `say.b`: rooms no longer send it; earlier clients count on it

removed, optional
    what clients send, `say.b`: rooms no longer read it; what clients say there is lost

renamed
    what clients send, `say.a`: rooms no longer read it; what clients say there is lost
    what clients send, `say.b`: it is new and required; clients that do not know it are refused
    what rooms send, `say.a`: rooms no longer send it; earlier clients count on it

renamed with alias
    what rooms send, `say.a`: rooms no longer send it; earlier clients count on it

renamed with alias, and another type
    what clients send, `say.a`: it is a string now, and was an integer; clients that send that are refused
    what rooms send, `say.a`: rooms no longer send it; earlier clients count on it

alias removed
    what clients send, `say.a`: rooms no longer know its other name "b"; what clients say there is lost

alias becomes a key of its own
    what clients send, `say.a`: rooms no longer know its other name "b"; what clients say there is lost

default added

default removed
    what clients send, `say.a`: it is required now; clients that leave it out are refused

option added
    what rooms send, `say.a`: it may be null now; earlier clients do not expect that

option removed
    what clients send, `say.a`: it can no longer be null; clients that send that are refused
    what clients send, `say.a`: it is required now; clients that leave it out are refused

left out sometimes
    what rooms send, `say.a`: it may be missing now; earlier clients count on it

never left out any more

docs
"##,
    );
}

#[test]
fn keys_that_are_not_known_are_refused_or_kept() {
    let changes = [
        ("refused now", change!({ Say { a: u8 } } => #[frame(deny_unknown_fields)] { Say { a: u8 } })),
        ("ignored now", change!(#[frame(deny_unknown_fields)] { Say { a: u8 } } => { Say { a: u8 } })),
        (
            "refused, and one is added",
            change!(
                #[frame(deny_unknown_fields)] { Say { a: u8 } }
                => #[frame(deny_unknown_fields)] { Say { a: u8, #[frame(default)] b: u8 } }
            ),
        ),
        (
            "refused, and one is removed",
            change!(
                #[frame(deny_unknown_fields)] { Say { a: u8, #[frame(default)] b: u8 } }
                => #[frame(deny_unknown_fields)] { Say { a: u8 } }
            ),
        ),
        (
            "kept now",
            change!(
                { Say { a: u8 } } => { Say { a: u8, #[frame(flatten)] rest: BTreeMap<String, Value> } }
            ),
        ),
        (
            "kept now, if they are numbers",
            change!(
                { Say { a: u8 } } => { Say { a: u8, #[frame(flatten)] rest: BTreeMap<String, u8> } }
            ),
        ),
        (
            "no longer kept",
            change!(
                { Say { a: u8, #[frame(flatten)] rest: BTreeMap<String, Value> } } => { Say { a: u8 } }
            ),
        ),
        (
            "kept, and one of them has a name now",
            change!(
                { Say { #[frame(flatten)] rest: BTreeMap<String, Value> } }
                => { Say { #[frame(default)] a: u8, #[frame(flatten)] rest: BTreeMap<String, Value> } }
            ),
        ),
        (
            "other values are kept",
            change!(
                { Say { #[frame(flatten)] rest: BTreeMap<String, u8> } }
                => { Say { #[frame(flatten)] rest: BTreeMap<String, u32> } }
            ),
        ),
    ];
    assert_told(
        &changes,
        r##"
refused now
    what clients send, `say.*`: other keys are refused now; clients that send some get an error

ignored now

refused, and one is added

refused, and one is removed
    what clients send, `say.b`: rooms no longer know it; clients that send it get an error
    what rooms send, `say.b`: rooms no longer send it; earlier clients count on it

kept now

kept now, if they are numbers
    what clients send, `say.*`: it is an integer now, and was anything; clients that send that are refused

no longer kept
    what clients send, `say.*`: rooms no longer read other keys; what clients say there is lost

kept, and one of them has a name now
    what clients send, `say.a`: it is an integer now, and was anything; clients that send that are refused

other values are kept
    what rooms send, `say.*`: it may be more than 255 now; earlier clients expect no more
"##,
    );
}

#[test]
fn numbers_grow_and_shrink() {
    let changes = [
        ("u8 to u32", value::<u8, u32>()),
        ("u32 to u8", value::<u32, u8>()),
        ("i64 to i32", value::<i64, i32>()),
        ("u64 to i64", value::<u64, i64>()),
        ("u64 to u128", value::<u64, u128>()),
        ("u32 to f64", value::<u32, f64>()),
        ("f64 to i32", value::<f64, i32>()),
        ("f64 to f32", value::<f64, f32>()),
        ("u8 to NonZero", value::<u8, std::num::NonZero<u8>>()),
        ("u8 to bool", value::<u8, bool>()),
        ("u8 to String", value::<u8, String>()),
        ("u8 to any", value::<u8, Value>()),
        ("any to u8", value::<Value, u8>()),
        ("char to String", value::<char, String>()),
        ("unit to u8", value::<(), u8>()),
    ];
    assert_told(
        &changes,
        r##"
u8 to u32
    what rooms send, `set.to`: it may be more than 255 now; earlier clients expect no more

u32 to u8
    what clients send, `set.to`: more than 255 is refused now; the limit was 4294967295

i64 to i32
    what clients send, `set.to`: more than 2147483647 is refused now; the limit was 9223372036854775807
    what clients send, `set.to`: less than -2147483648 is refused now; the limit was -9223372036854775808

u64 to i64
    what clients send, `set.to`: more than 9223372036854775807 is refused now; the limit was 18446744073709551615
    what rooms send, `set.to`: it may be less than 0 now; earlier clients expect no less

u64 to u128
    what rooms send, `set.to`: it may be more than 18446744073709551615 now; earlier clients expect no more

u32 to f64
    what rooms send, `set.to`: it is a number now, and was an integer, which earlier clients expect

f64 to i32
    what clients send, `set.to`: it is an integer now, and was a number; clients that send that are refused

f64 to f32

u8 to NonZero
    what clients send, `set.to`: less than 1 is refused now; the limit was 0

u8 to bool
    what clients send, `set.to`: it is a boolean now, and was an integer; clients that send that are refused
    what rooms send, `set.to`: it is a boolean now, and was an integer, which earlier clients expect

u8 to String
    what clients send, `set.to`: it is a string now, and was an integer; clients that send that are refused
    what rooms send, `set.to`: it is a string now, and was an integer, which earlier clients expect

u8 to any
    what rooms send, `set.to`: it is anything now, and was an integer, which earlier clients expect

any to u8
    what clients send, `set.to`: it is an integer now, and was anything; clients that send that are refused

char to String
    what rooms send, `set.to`: it may have more than 1 character now; earlier clients expect no more
    what rooms send, `set.to`: it may have fewer than 1 character now; earlier clients expect no fewer

unit to u8
    what clients send, `set.to`: it is an integer now, and was null; clients that send that are refused
    what rooms send, `set.to`: it is an integer now, and was null, which earlier clients expect
"##,
    );
}

#[test]
fn lists_and_maps_are_compared_by_what_is_in_them() {
    let changes = [
        ("items", value::<Vec<u32>, Vec<u8>>()),
        ("array to list", value::<[u8; 3], Vec<u8>>()),
        ("array grows", value::<[u8; 3], [u8; 5]>()),
        ("tuple grows", value::<(u8, bool), (u8, bool, u8)>()),
        ("tuple changes", value::<(u8, bool), (u8, String)>()),
        ("tuple to list", value::<(u8, u16), Vec<u32>>()),
        ("list to tuple", value::<Vec<u8>, (u8, u8)>()),
        ("list to set", value::<Vec<u8>, BTreeSet<u8>>()),
        ("list to map", value::<Vec<u8>, BTreeMap<String, u8>>()),
        ("lists of lists", value::<Vec<Vec<Option<u8>>>, Vec<Vec<u8>>>()),
        ("values", value::<BTreeMap<String, u32>, BTreeMap<String, u8>>()),
        ("values by number", value::<HashMap<u32, u32>, HashMap<u32, u8>>()),
        ("any key to a number", value::<BTreeMap<String, u8>, BTreeMap<u32, u8>>()),
        ("a number to any key", value::<BTreeMap<u32, u8>, BTreeMap<String, u8>>()),
        ("a number to a signed one", value::<BTreeMap<u32, u8>, BTreeMap<i32, u8>>()),
        ("a signed number to one without", value::<BTreeMap<i32, u8>, BTreeMap<u32, u8>>()),
        ("any to list", value::<Value, Vec<Value>>()),
    ];
    assert_told(
        &changes,
        r##"
items
    what clients send, `set.to[]`: more than 255 is refused now; the limit was 4294967295

array to list
    what rooms send, `set.to`: it may have more than 3 items now; earlier clients expect no more
    what rooms send, `set.to`: it may have fewer than 3 items now; earlier clients expect no fewer

array grows
    what clients send, `set.to`: fewer than 5 items are refused now; the limit was 3
    what rooms send, `set.to`: it may have more than 3 items now; earlier clients expect no more

tuple grows
    what clients send, `set.to`: fewer than 3 items are refused now; the limit was 2
    what rooms send, `set.to`: it may have more than 2 items now; earlier clients expect no more

tuple changes
    what clients send, `set.to[1]`: it is a string now, and was a boolean; clients that send that are refused
    what rooms send, `set.to[1]`: it is a string now, and was a boolean, which earlier clients expect

tuple to list
    what rooms send, `set.to`: it may have more than 2 items now; earlier clients expect no more
    what rooms send, `set.to`: it may have fewer than 2 items now; earlier clients expect no fewer
    what rooms send, `set.to[0]`: it may be more than 255 now; earlier clients expect no more
    what rooms send, `set.to[1]`: it may be more than 65535 now; earlier clients expect no more

list to tuple
    what clients send, `set.to`: more than 2 items are refused now; there was no limit
    what clients send, `set.to`: fewer than 2 items are refused now; there was no limit

list to set
    what clients send, `set.to`: items that it has twice count once now; what clients say by them is lost

list to map
    what clients send, `set.to`: it is an object now, and was a list; clients that send that are refused
    what rooms send, `set.to`: it is an object now, and was a list, which earlier clients expect

lists of lists
    what clients send, `set.to[][]`: it can no longer be null; clients that send that are refused

values
    what clients send, `set.to.*`: more than 255 is refused now; the limit was 4294967295

values by number
    what clients send, `set.to.*`: more than 255 is refused now; the limit was 4294967295

any key to a number
    what clients send, `set.to.*`: other keys are refused now; clients that send some get an error

a number to any key
    what rooms send, `set.to.*`: there may be other keys now; earlier clients do not expect them

a number to a signed one
    what rooms send, `set.to.*`: there may be other keys now; earlier clients do not expect them

a signed number to one without
    what clients send, `set.to.*`: other keys are refused now; clients that send some get an error

any to list
    what clients send, `set.to`: it is a list now, and was anything; clients that send that are refused
"##,
    );
}

types! {
    red: enum { Red, Green }
    blue: enum { Red, Green, Blue }
    documented: enum { Red, /** As grass is. */ Green }
    outside: enum { Dot, Circle { r: u32 }, Line(u8, u8) }
    outside_more: enum { Dot, Circle { r: u32 }, Line(u8, u8), Square { a: u8 } }
    outside_less: enum { Dot, Circle { r: u8 } }
    inside: #[serde(tag = "kind")] enum { Dot, Circle { r: u32 } }
    inside_more: #[serde(tag = "kind")] enum { Dot, Circle { r: u32 }, Square { a: u8 } }
    inside_less: #[serde(tag = "kind")] enum { Circle { r: u8 } }
    inside_other: #[serde(tag = "type")] enum { Dot, Circle { r: u32 } }
    beside: #[serde(tag = "k", content = "v")] enum { Dot, Circle { r: u32 } }
    beside_more: #[serde(tag = "k", content = "v")] enum { Dot, Circle { r: u32 }, Square(u8) }
    beside_less: #[serde(tag = "k", content = "v")] enum { Dot, Circle { r: u8 } }
    beside_other: #[serde(tag = "k", content = "w")] enum { Dot, Circle { r: u32 } }
    untagged: #[serde(untagged)] enum { Number(u32), Named { name: String }, List(Vec<u8>) }
    untagged_more: #[serde(untagged)] enum { Number(u32), Text(String), Named { name: String }, List(Vec<u8>) }
    untagged_less: #[serde(untagged)] enum { Number(u32), Named { name: u8 } }
}

#[test]
fn enums_gain_and_lose_variants() {
    let changes = [
        ("String to enum", value::<String, red::Shape>()),
        ("enum to String", value::<red::Shape, String>()),
        ("enum to char", value::<red::Shape, char>()),
        ("one more name", value::<red::Shape, blue::Shape>()),
        ("one name less", value::<blue::Shape, red::Shape>()),
        ("docs", value::<red::Shape, documented::Shape>()),
        ("outside, more", value::<outside::Shape, outside_more::Shape>()),
        ("outside, less", value::<outside::Shape, outside_less::Shape>()),
        ("inside, more", value::<inside::Shape, inside_more::Shape>()),
        ("inside, less", value::<inside::Shape, inside_less::Shape>()),
        ("inside, another tag", value::<inside::Shape, inside_other::Shape>()),
        ("beside, more", value::<beside::Shape, beside_more::Shape>()),
        ("beside, less", value::<beside::Shape, beside_less::Shape>()),
        ("beside, another content", value::<beside::Shape, beside_other::Shape>()),
        ("untagged, more", value::<untagged::Shape, untagged_more::Shape>()),
        ("untagged, less", value::<untagged::Shape, untagged_less::Shape>()),
        ("outside to inside", value::<outside::Shape, inside::Shape>()),
        ("optional, less", value::<Option<inside::Shape>, Option<inside_less::Shape>>()),
    ];
    assert_told(
        &changes,
        r##"
String to enum
    what clients send, `set.to`: it can no longer be a string other than "red", "green"; clients that send others are refused

enum to String
    what rooms send, `set.to`: it may be a string other than "red", "green" now; earlier clients do not expect others

enum to char
    what clients send, `set.to`: it can no longer be "red"; clients that send that are refused
    what clients send, `set.to`: it can no longer be "green"; clients that send that are refused
    what rooms send, `set.to`: it may be a string other than "red", "green" now; earlier clients do not expect others

one more name
    what rooms send, `set.to`: it may be "blue" now; earlier clients do not expect that

one name less
    what clients send, `set.to`: it can no longer be "blue"; clients that send that are refused

docs

outside, more
    what rooms send, `set.to`: it may be an object with "square" now; earlier clients do not expect that

outside, less
    what clients send, `set.to.circle.r`: more than 255 is refused now; the limit was 4294967295
    what clients send, `set.to`: it can no longer be an object with "line"; clients that send that are refused

inside, more
    what rooms send, `set.to`: it may be an object with "kind": "square" now; earlier clients do not expect that

inside, less
    what clients send, `set.to`: it can no longer be an object with "kind": "dot"; clients that send that are refused
    what clients send, `set.to[kind="circle"].r`: more than 255 is refused now; the limit was 4294967295

inside, another tag
    what clients send, `set.to`: it can no longer be an object with "kind": "dot"; clients that send that are refused
    what clients send, `set.to`: it can no longer be an object with "kind": "circle"; clients that send that are refused
    what rooms send, `set.to`: it may be an object with "type": "dot" now; earlier clients do not expect that
    what rooms send, `set.to`: it may be an object with "type": "circle" now; earlier clients do not expect that

beside, more
    what rooms send, `set.to`: it may be an object with "k": "square" now; earlier clients do not expect that

beside, less
    what clients send, `set.to[k="circle"].v.r`: more than 255 is refused now; the limit was 4294967295

beside, another content
    what clients send, `set.to[k="circle"].v`: rooms no longer read it; what clients say there is lost
    what clients send, `set.to[k="circle"].w`: it is new and required; clients that do not know it are refused
    what rooms send, `set.to[k="circle"].v`: rooms no longer send it; earlier clients count on it

untagged, more
    what rooms send, `set.to`: it may be a string now; earlier clients do not expect that

untagged, less
    what clients send, `set.to.name`: it is an integer now, and was a string; clients that send that are refused
    what clients send, `set.to`: it can no longer be a list; clients that send that are refused
    what rooms send, `set.to.name`: it is an integer now, and was a string, which earlier clients expect

outside to inside
    what clients send, `set.to`: it can no longer be "dot"; clients that send that are refused
    what clients send, `set.to`: it can no longer be an object with "circle"; clients that send that are refused
    what clients send, `set.to`: it can no longer be an object with "line"; clients that send that are refused
    what rooms send, `set.to`: it may be an object with "kind": "dot" now; earlier clients do not expect that
    what rooms send, `set.to`: it may be an object with "kind": "circle" now; earlier clients do not expect that

optional, less
    what clients send, `set.to`: it can no longer be an object with "kind": "dot"; clients that send that are refused
    what clients send, `set.to[kind="circle"].r`: more than 255 is refused now; the limit was 4294967295
"##,
    );
}

#[test]
fn keys_of_an_enum_beside_the_tag_are_compared() {
    let changes = [
        ("more", change!({ Draw(inside::Shape) } => { Draw(inside_more::Shape) })),
        ("less", change!({ Draw(inside::Shape) } => { Draw(inside_less::Shape) })),
        (
            "flattened, more",
            change!(
                { Draw { a: u8, #[frame(flatten)] shape: inside::Shape } }
                => { Draw { a: u8, #[frame(flatten)] shape: inside_more::Shape } }
            ),
        ),
        (
            "flattened, less",
            change!(
                { Draw { a: u8, #[frame(flatten)] shape: inside::Shape } }
                => { Draw { a: u8, #[frame(flatten)] shape: inside_less::Shape } }
            ),
        ),
        (
            "flattened or not is the same",
            change!(
                { Draw(inside::Shape) } => { Draw { #[frame(flatten)] shape: inside::Shape } }
            ),
        ),
    ];
    assert_told(
        &changes,
        r##"
more
    what rooms send, `draw`: it may be an object with "kind": "square" now; earlier clients do not expect that

less
    what clients send, `draw`: it can no longer be an object with "kind": "dot"; clients that send that are refused
    what clients send, `draw[kind="circle"].r`: more than 255 is refused now; the limit was 4294967295

flattened, more
    what rooms send, `draw`: it may be an object with "kind": "square" now; earlier clients do not expect that

flattened, less
    what clients send, `draw`: it can no longer be an object with "kind": "dot"; clients that send that are refused
    what clients send, `draw[kind="circle"].r`: more than 255 is refused now; the limit was 4294967295

flattened or not is the same
"##,
    );
}

types! {
    point: struct { x: i64, y: i64 }
    point_with_z: struct { x: i64, y: i64, #[serde(default, skip_serializing_if = "Option::is_none")] z: Option<i64> }
    point_of_u8: struct { x: u8, y: i64 }
    strict: #[serde(deny_unknown_fields)] struct { x: i64, y: i64 }
    strict_with_z: #[serde(deny_unknown_fields)] struct { x: i64, y: i64, #[serde(default)] z: i64 }
    tree: struct { value: u32, children: Vec<Shape> }
    tree_of_u8: struct { value: u8, children: Vec<Shape> }
    list: struct { value: u32, next: Option<Box<Shape>> }
    list_of_u8: struct { value: u8, next: Option<Box<Shape>> }
    expression: #[serde(untagged)] enum { Number(u32), Sum(Box<Shape>, Box<Shape>), Not { not: Box<Shape> } }
    expression_of_u8: #[serde(untagged)] enum { Number(u8), Sum(Box<Shape>, Box<Shape>), Not { not: Box<Shape> } }
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Line<T> {
    from: T,
    to: T,
}

#[test]
fn types_in_types_are_compared_and_each_change_is_told_once() {
    let changes = [
        ("key added", value::<point::Shape, point_with_z::Shape>()),
        ("narrowed", value::<point::Shape, point_of_u8::Shape>()),
        ("narrowed, twice in a type", value::<Line<point::Shape>, Line<point_of_u8::Shape>>()),
        (
            "narrowed, in a list in an option",
            value::<Option<Vec<point::Shape>>, Option<Vec<point_of_u8::Shape>>>(),
        ),
        ("beside the tag", change!({ Move(point::Shape) } => { Move(point_of_u8::Shape) })),
        (
            "beside the tag or in the message is the same",
            change!(
                { Move(point::Shape) } => { Move { x: i64, y: i64 } }
            ),
        ),
        ("strict now", value::<point::Shape, strict::Shape>()),
        ("strict, and a key added", value::<strict::Shape, strict_with_z::Shape>()),
        ("strict, and a key removed", value::<strict_with_z::Shape, strict::Shape>()),
        ("recursive by a list", value::<tree::Shape, tree_of_u8::Shape>()),
        ("recursive by an option", value::<list::Shape, list_of_u8::Shape>()),
        ("recursive by variants", value::<expression::Shape, expression_of_u8::Shape>()),
        ("one becomes another that holds itself", value::<tree::Shape, list::Shape>()),
    ];
    assert_told(
        &changes,
        r##"
key added

narrowed
    what clients send, `set.to.x`: more than 255 is refused now; the limit was 9223372036854775807
    what clients send, `set.to.x`: less than 0 is refused now; the limit was -9223372036854775808

narrowed, twice in a type
    what clients send, `set.to.from.x`: more than 255 is refused now; the limit was 9223372036854775807
    what clients send, `set.to.from.x`: less than 0 is refused now; the limit was -9223372036854775808
    what clients send, `set.to.to`: the same as at `set.to.from`

narrowed, in a list in an option
    what clients send, `set.to[].x`: more than 255 is refused now; the limit was 9223372036854775807
    what clients send, `set.to[].x`: less than 0 is refused now; the limit was -9223372036854775808

beside the tag
    what clients send, `move.x`: more than 255 is refused now; the limit was 9223372036854775807
    what clients send, `move.x`: less than 0 is refused now; the limit was -9223372036854775808

beside the tag or in the message is the same

strict now
    what clients send, `set.to.*`: other keys are refused now; clients that send some get an error

strict, and a key added

strict, and a key removed
    what clients send, `set.to.z`: rooms no longer know it; clients that send it get an error
    what rooms send, `set.to.z`: rooms no longer send it; earlier clients count on it

recursive by a list
    what clients send, `set.to.value`: more than 255 is refused now; the limit was 4294967295

recursive by an option
    what clients send, `set.to.next.value`: more than 255 is refused now; the limit was 4294967295
    what clients send, `set.to.value`: more than 255 is refused now; the limit was 4294967295

recursive by variants
    what clients send, `set.to`: more than 255 is refused now; the limit was 4294967295

one becomes another that holds itself
    what clients send, `set.to.children`: rooms no longer read it; what clients say there is lost
    what rooms send, `set.to.children`: rooms no longer send it; earlier clients count on it
"##,
    );
}

#[test]
fn rules_become_tighter_and_looser() {
    let changes = [
        (
            "len tighter",
            change!(
                { Say { #[frame(len(min = 1, max = 9))] a: String } }
                => { Say { #[frame(len(min = 2, max = 8))] a: String } }
            ),
        ),
        (
            "len looser",
            change!(
                { Say { #[frame(len(min = 2, max = 8))] a: String } }
                => { Say { #[frame(len(min = 1, max = 9))] a: String } }
            ),
        ),
        (
            "len added",
            change!(
                { Say { a: Vec<u8> } } => { Say { #[frame(len(max = 8))] a: Vec<u8> } }
            ),
        ),
        (
            "len removed",
            change!(
                { Say { #[frame(len(max = 8))] a: Vec<u8> } } => { Say { a: Vec<u8> } }
            ),
        ),
        (
            "len of a map",
            change!(
                { Say { a: BTreeMap<String, u8> } } => { Say { #[frame(len(min = 1))] a: BTreeMap<String, u8> } }
            ),
        ),
        (
            "len of at least nothing",
            change!(
                { Say { a: String } } => { Say { #[frame(len(min = 0))] a: String } }
            ),
        ),
        (
            "bytes",
            change!(
                { Say { #[frame(bytes(max = 9))] a: String } } => { Say { #[frame(bytes(max = 8))] a: String } }
            ),
        ),
        (
            "range tighter",
            change!(
                { Say { #[frame(range(min = -5, max = 5))] a: i32 } }
                => { Say { #[frame(range(min = 0, max = 4))] a: i32 } }
            ),
        ),
        (
            "range by one where floats cannot tell",
            change!(
                { Say { #[frame(range(max = 18446744073709551615))] a: u64 } }
                => { Say { #[frame(range(max = 18446744073709551614))] a: u64 } }
            ),
        ),
        (
            "range of an option",
            change!(
                { Say { a: Option<f64> } } => { Say { #[frame(range(max = 0.5))] a: Option<f64> } }
            ),
        ),
        (
            "items",
            change!(
                { Say { a: Vec<String> } } => { Say { #[frame(inner(len(max = 3)))] a: Vec<String> } }
            ),
        ),
    ];
    assert_told(
        &changes,
        r##"
len tighter
    what clients send, `say.a`: more than 8 characters are refused now; the limit was 9
    what clients send, `say.a`: fewer than 2 characters are refused now; the limit was 1

len looser

len added
    what clients send, `say.a`: more than 8 items are refused now; there was no limit

len removed

len of a map
    what clients send, `say.a`: fewer than 1 key are refused now; there was no limit

len of at least nothing

bytes
    what clients send, `say.a`: more than 8 bytes are refused now; the limit was 9

range tighter
    what clients send, `say.a`: more than 4 is refused now; the limit was 5
    what clients send, `say.a`: less than 0 is refused now; the limit was -5

range by one where floats cannot tell
    what clients send, `say.a`: more than 18446744073709551614 is refused now; the limit was 18446744073709551615

range of an option
    what clients send, `say.a`: more than 0.5 is refused now; there was no limit

items
    what clients send, `say.a[]`: more than 3 characters are refused now; there was no limit
"##,
    );
}

#[cfg(feature = "pattern")]
#[test]
fn a_pattern_is_the_same_or_another() {
    let changes = [
        ("added", change!({ Say { a: String } } => { Say { #[frame(pattern("^a$"))] a: String } })),
        (
            "changed",
            change!(
                { Say { #[frame(pattern("^a$"))] a: String } } => { Say { #[frame(pattern("^[ab]$"))] a: String } }
            ),
        ),
        ("removed", change!({ Say { #[frame(pattern("^a$"))] a: String } } => { Say { a: String } })),
    ];
    assert_told(
        &changes,
        r##"
added
    what clients send, `say.a`: it has the pattern "^a$" now; clients that send others are refused

changed
    what clients send, `say.a`: it has the pattern "^[ab]$" now; clients that send others are refused

removed
"##,
    );
}

#[test]
fn binary_frames_come_and_go() {
    let changes = [
        ("added", change!({ Say } => { Say, #[frame(binary)] Raw(Bytes) })),
        ("removed", change!({ Say, #[frame(binary)] Raw(Bytes) } => { Say })),
        ("renamed", change!({ Say, #[frame(binary)] Raw(Bytes) } => { Say, #[frame(binary)] Blob(Bytes) })),
    ];
    assert_told(
        &changes,
        r##"
added
    what rooms send, `binary frames`: they are new; earlier clients do not expect them

removed
    what clients send, `binary frames`: rooms no longer take them; clients that send them get an error
    what rooms send, `binary frames`: rooms no longer send them; earlier clients may wait for them

renamed
"##,
    );
}

#[test]
fn messages_without_a_tag_are_compared_like_values() {
    #[derive(FromFrame, IntoFrame, Protocol)]
    struct Was {
        text: String,
        at: u32,
    }
    #[derive(FromFrame, IntoFrame, Protocol)]
    struct Now {
        text: String,
        at: u8,
        by: String,
    }
    let changes = [
        ("struct", breaks::<Was, Now>()),
        ("Json", breaks::<Json<Vec<u32>>, Json<Vec<u8>>>()),
        ("Json of a struct, and a struct", breaks::<Json<point::Shape>, Json<Line<u8>>>()),
    ];
    assert_told(
        &changes,
        r##"
struct
    what clients send, `at`: more than 255 is refused now; the limit was 4294967295
    what clients send, `by`: it is new and required; clients that do not know it are refused

Json
    what clients send, `[]`: more than 255 is refused now; the limit was 4294967295

Json of a struct, and a struct
    what clients send, `x`: rooms no longer read it; what clients say there is lost
    what clients send, `y`: rooms no longer read it; what clients say there is lost
    what clients send, `from`: it is new and required; clients that do not know it are refused
    what clients send, `to`: it is new and required; clients that do not know it are refused
    what rooms send, `x`: rooms no longer send it; earlier clients count on it
    what rooms send, `y`: rooms no longer send it; earlier clients count on it
"##,
    );
}
