//! A server for `tests/js` that sends back what it has read: every form of a message that the derives know,
//! and every type of a value that JSON has a form for.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bytes::Bytes;
use partyrs::prelude::*;
use partyrs::protocol::{Document, asyncapi};
use partyrs::{MessagePack, Protocol, Validate};
use partyrs_runtime::Host;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Messages that say what they are beside what they say.
#[derive(FromFrame, IntoFrame, Protocol)]
#[frame(rename_all = "kebab-case", rename_all_fields = "camelCase")]
enum Every {
    /// No keys.
    Nothing,
    /// Numbers, as JSON has them.
    Numbers { small: u8, signed: i16, large: i64, largest: u64, single: f32, double: f64, wide: u128 },
    /// Texts.
    ///
    /// In two paragraphs, and with the end of a comment: */
    Texts {
        text: String,
        letter: char,
        #[frame(rename = "with \"quotes\"")]
        quoted: String,
    },
    /// What may be missing or null.
    Options {
        maybe: Option<u32>,
        #[frame(default, skip_serializing_if = "Option::is_none")]
        left_out: Option<String>,
        #[frame(default)]
        or_zero: u8,
        nested: Option<Option<bool>>,
    },
    /// Lists and tuples.
    Lists {
        list: Vec<String>,
        pair: (u8, String),
        three: [u8; 3],
        matrix: Vec<Vec<f64>>,
        options: Vec<Option<u8>>,
    },
    /// Maps.
    Maps {
        by_name: BTreeMap<String, Vec<u8>>,
        by_number: HashMap<u32, bool>,
        of_maps: BTreeMap<String, BTreeMap<String, u8>>,
    },
    /// What is not JSON by itself.
    Others { bytes: Bytes, when: jiff::Timestamp, wait: Duration, any: serde_json::Value, unit: () },
    /// A list of all figures.
    Figures { figures: Vec<Figure>, ids: Vec<Id>, colour: Colour, tree: Tree },
    /// The keys of a struct stand beside the tag.
    Move(Point),
    /// So do those of an enum with a tag of its own.
    Draw(Figure),
    /// Keys of a struct beside others.
    Flat {
        name: String,
        #[frame(flatten)]
        point: Point,
    },
    /// All keys that are left.
    Rest {
        name: String,
        #[frame(flatten)]
        rest: BTreeMap<String, serde_json::Value>,
    },
    /// A rule for each of its values.
    Ruled {
        #[frame(len(min = 1, max = 5))]
        name: String,
        #[frame(range(min = -1, max = 1), default)]
        sign: i8,
        #[frame(inner(bytes(max = 4)), len(max = 2))]
        words: Vec<String>,
        #[frame(pattern("^[a-z]*$"))]
        slug: Option<String>,
    },
    /// Rules that the types of the values have.
    Nested {
        #[frame(nested, len(max = 2))]
        seats: Vec<Seat>,
    },
    /// Bytes, as they are.
    #[frame(binary)]
    Binary(Bytes),
}

/// Where something is.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Point {
    from_left: f64,
    #[serde(default)]
    from_top: f64,
    /// Nobody's, at first.
    owner: Option<String>,
}

/// It has rules of its own, and may hold others.
#[derive(Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase")]
struct Seat {
    #[frame(range(min = 1, max = 40))]
    row_number: u8,
    #[frame(inner(len(max = 3)))]
    names: Vec<String>,
    #[frame(nested)]
    ticket: Option<Ticket>,
    #[frame(nested, len(max = 1))]
    beside: Vec<Seat>,
}

/// No longer than that.
#[derive(Serialize, Deserialize, JsonSchema, Validate)]
struct Ticket(#[frame(len(min = 2, max = 4))] String);

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", content = "value", rename_all = "kebab-case")]
enum Figure {
    /// By its radius.
    Circle(f64),
    Line {
        ends: (Point, Point),
    },
    DotDot,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Id {
    Number(u64),
    Text(String),
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Colour {
    Red,
    /// As grass is.
    Green,
}

/// It holds itself.
#[derive(Serialize, Deserialize, JsonSchema)]
struct Tree {
    children: Vec<Tree>,
}

/// The same with what they say under a key of its own.
#[derive(FromFrame, IntoFrame, Protocol)]
#[frame(tag = "op", content = "data", rename_all = "SCREAMING_SNAKE_CASE", deny_unknown_fields)]
enum Apart {
    Nothing,
    Empty {},
    Fields { name: String, maybe: Option<u8> },
    One(u32),
    Perhaps(Option<u32>),
    Several(u8, String),
    Many(Vec<Point>),
}

/// Sends messages back that are MessagePack.
struct Packed;

#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
enum Pack {
    Track {
        name: String,
        points: Vec<(f64, f64)>,
        note: Option<String>,
        large: i64,
        by_name: BTreeMap<String, bool>,
    },
    Stop,
}

impl PartyServer for Packed {
    type Message = MessagePack<Pack>;

    async fn on_start(_: &Room) -> Result<Self> {
        Ok(Packed)
    }

    async fn on_message(&mut self, _: &Room, sender: &Connection, message: MessagePack<Pack>) -> Result<()> {
        sender.send(message)?;
        Ok(())
    }
}

/// Says at `/asyncapi.json` what the parties say.
struct Site;

impl LobbyServer for Site {
    async fn on_fetch(&self, request: Request, _: &HostLobby) -> Result<Option<Response>> {
        if request.uri().path() != "/asyncapi.json" {
            return Ok(None);
        }
        Ok(Some(Response::json(&asyncapi("Every message", "1.0.0", &documents()))?))
    }
}

fn documents() -> [Document; 2] {
    [Document::of::<Every, Every>("every"), Document::of::<Apart, Apart>("apart")]
}

/// Sends each message back to who sent it.
struct Echo<M>(std::marker::PhantomData<fn() -> M>);

#[tokio::main]
async fn main() -> partyrs_runtime::Result {
    let host =
        Host::builder().party::<Echo<Every>>("every").party::<Echo<Apart>>("apart").party::<Packed>("packed");
    host.lobby(Site).build()?.serve_from_env().await
}

impl<M: FromFrame> PartyServer for Echo<M>
where
    for<'a> &'a M: IntoFrame,
{
    type Message = M;

    async fn on_start(_: &Room) -> Result<Self> {
        Ok(Echo(std::marker::PhantomData))
    }

    async fn on_message(&mut self, _: &Room, sender: &Connection, message: M) -> Result<()> {
        sender.send(&message)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use partyrs::protocol::KeepError;

    use super::*;

    #[test]
    fn the_protocol_is_the_one_that_the_page_knows() -> Result<(), KeepError> {
        documents().iter().try_for_each(|document| document.keep("js/protocol"))
    }
}
