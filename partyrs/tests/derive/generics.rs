//! Messages with parameters.

use std::{borrow::Cow, collections::BTreeMap, fmt::Debug, marker::PhantomData};

use partyrs::{FromFrame, IntoFrame, Validate};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{read, written};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Point {
    x: u8,
}

#[test]
fn a_parameter_needs_no_more_than_its_fields_do() {
    #[derive(Debug, PartialEq, FromFrame, IntoFrame)]
    enum Ask<T, P = u8> {
        Put { item: T, items: Vec<Option<T>> },
        Move(T),
        Name(PhantomData<P>),
    }
    // serde knows nothing of it, and need not.
    #[derive(Debug, PartialEq)]
    struct Marker;

    let put: Ask<Point, Marker> = Ask::Put { item: Point { x: 1 }, items: vec![None, Some(Point { x: 2 })] };
    assert_eq!(written(&put), r#"{"type":"Put","item":{"x":1},"items":[null,{"x":2}]}"#);
    assert_eq!(read::<Ask<Point, Marker>>(&written(&put)).unwrap(), put);
    let text = r#"{"x":3,"type":"Move"}"#;
    assert_eq!(read::<Ask<Point>>(text).unwrap(), Ask::Move(Point { x: 3 }));
    assert_eq!(written(Ask::<Point>::Name(PhantomData)), r#"{"type":"Name"}"#);
}

#[test]
fn bounds_and_associated_types_and_lengths_are_kept() {
    trait Game {
        type Turn: Debug + PartialEq;
    }
    #[derive(Debug, PartialEq)]
    struct Chess;
    impl Game for Chess {
        type Turn = Point;
    }
    #[derive(Debug, PartialEq, FromFrame, IntoFrame)]
    enum Ask<G: Game, const N: usize>
    where
        [G::Turn; N]: Debug,
    {
        Play { turn: G::Turn, turns: [G::Turn; N] },
    }
    let play: Ask<Chess, 1> = Ask::Play { turn: Point { x: 1 }, turns: [Point { x: 2 }] };
    assert_eq!(written(&play), r#"{"type":"Play","turn":{"x":1},"turns":[{"x":2}]}"#);
    assert_eq!(read::<Ask<Chess, 1>>(&written(&play)).unwrap(), play);
}

#[test]
fn one_type_may_borrow_when_written_and_own_when_read() {
    #[derive(Debug, PartialEq, FromFrame, IntoFrame)]
    enum Chat<'a> {
        Say { text: Cow<'a, str> },
    }
    let text = String::from("hi");
    let frame = written(Chat::Say { text: Cow::Borrowed(&text) });
    let said: Chat<'static> = read(&frame).unwrap();
    assert_eq!(said, Chat::Say { text: Cow::Owned(text) });
}

#[test]
fn what_is_written_may_borrow_from_several_places() {
    #[derive(IntoFrame)]
    enum Tell<'users, 'text, T: ?Sized> {
        State { users: &'users [&'text str], last: &'text T },
        Scores(&'users BTreeMap<&'text str, u32>),
    }
    let last = String::from("bye");
    let users = [&last[..1], &last[1..]];
    let state = Tell::State { users: &users, last: last.as_str() };
    assert_eq!(written(&state), r#"{"type":"State","users":["b","ye"],"last":"bye"}"#);
    let scores = BTreeMap::from([(&last[..], 3)]);
    assert_eq!(written(Tell::<str>::Scores(&scores)), r#"{"type":"Scores","bye":3}"#);
}

#[test]
fn a_message_may_hold_others_of_its_kind() {
    #[derive(Debug, PartialEq, Serialize, Deserialize, FromFrame, IntoFrame)]
    #[serde(bound = "T: Serialize + DeserializeOwned", tag = "type")]
    enum Ask<T> {
        Batch { asks: Vec<Self> },
        Put { item: T },
    }
    let batch = Ask::Batch { asks: vec![Ask::Put { item: 1_u8 }, Ask::Batch { asks: vec![] }] };
    let text = r#"{"type":"Batch","asks":[{"type":"Put","item":1},{"type":"Batch","asks":[]}]}"#;
    assert_eq!(written(&batch), text);
    assert_eq!(read::<Ask<u8>>(text).unwrap(), batch);
}

#[test]
fn a_struct_may_have_parameters() {
    #[derive(Debug, PartialEq, FromFrame, IntoFrame)]
    struct Page<T> {
        items: Vec<T>,
    }
    let page = Page { items: vec![1_u8, 2] };
    assert_eq!(written(&page), r#"{"items":[1,2]}"#);
    assert_eq!(read::<Page<u8>>(r#"{"items":[1,2]}"#).unwrap(), page);
}

#[test]
fn what_stands_inside_may_have_parameters_and_rules_and_hold_itself() {
    #[derive(Debug, Deserialize, Validate)]
    struct Node<T> {
        #[frame(nested)]
        item: T,
        #[frame(nested)]
        #[serde(bound(deserialize = "T: Deserialize<'de>"))]
        left: Option<Box<Self>>,
        #[frame(nested)]
        #[serde(bound(deserialize = "T: Deserialize<'de>"))]
        others: Vec<Node<T>>,
    }
    #[derive(Debug, Deserialize, Validate)]
    struct Leaf {
        #[frame(range(max = 3))]
        x: u8,
    }
    #[derive(Debug, FromFrame)]
    enum Ask<T> {
        Put {
            #[frame(nested)]
            node: Node<T>,
        },
    }
    let node = |x: u8, others: &str| format!(r#"{{"item":{{"x":{x}}},"left":null,"others":[{others}]}}"#);
    let ask = |x: u8| format!(r#"{{"type":"Put","node":{}}}"#, node(3, &node(x, "")));
    assert!(read::<Ask<Leaf>>(&ask(3)).is_ok());
    let broken = read::<Ask<Leaf>>(&ask(4)).expect_err("over");
    assert_eq!(broken.client_text(), "`Put.node.others[0].item.x` must be at most 3");
}
