//! Both directions of a party's protocol as one JSON Schema.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::{Map, Value, json};

use super::{Break, Protocol, Sender, breaks, messages, typescript, walk};
use crate::PartyName;

/// The definition of what clients send.
pub(super) const CLIENT_MESSAGE: &str = "ClientMessage";
/// The definition of what rooms send.
pub(super) const ROOM_MESSAGE: &str = "RoomMessage";

/// The tag of the default answer to a frame that cannot be read.
const ERROR: &str = "error";

/// The protocol of a party: what its clients send, and what its rooms send.
///
/// It is a JSON Schema (draft 2020-12) with a definition for each type of a value, and two
/// for the messages: `#/$defs/ClientMessage` and `#/$defs/RoomMessage`. What JSON Schema has no word
/// for stands in annotations: `x-aliases` (names that the room takes too), `x-minBytes` and `x-maxBytes`
/// (of a string in UTF-8), `x-binary` (binary frames are messages too).
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    party: PartyName,
    schema: Value,
}

/// A text is no protocol of a party.
#[derive(Debug, thiserror::Error)]
#[error("not a protocol that partyrs wrote: {0}")]
pub struct DocumentError(pub(super) String);

impl Document {
    /// The protocol of the party with this name, under which the host has it.
    ///
    /// What a room answers by itself to a frame that it cannot read is a message of its too, called `error`,
    /// if rooms tag their messages with `type` and have none of this name. In other protocols clients are told
    /// nothing of that answer; there `on_invalid` is to send a message that they know.
    ///
    /// # Panics
    ///
    /// If `party` is no name of a party.
    #[must_use]
    pub fn of<FromClients: Protocol, FromRoom: Protocol>(party: &str) -> Self {
        let party = PartyName::new(party).unwrap_or_else(|error| panic!("{error}"));
        let mut client = messages::Messages::new(Sender::Client);
        FromClients::describe(&mut client);
        let mut room = messages::Messages::new(Sender::Room);
        FromRoom::describe(&mut room);
        if room.tag_key() == Some("type") && !room.has(ERROR) {
            room.message(ERROR, messages::describe_error);
        }
        let [mut client, mut room] = [client.into_schema(), room.into_schema()].map(Direction::new);
        let names = || room.definitions.keys().chain(client.definitions.keys()).cloned().collect();
        let plain = renames(&names(), |name| Some(plain(name)).filter(|plain| plain != name));
        for direction in [&mut client, &mut room] {
            direction.rename(&plain);
        }
        client.step_aside(&room.definitions, "Input");
        let mut definitions = room.definitions;
        definitions.extend(client.definitions);
        definitions.insert(CLIENT_MESSAGE.to_owned(), client.messages);
        definitions.insert(ROOM_MESSAGE.to_owned(), room.messages);
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": party.as_str(),
            "$defs": definitions,
        });
        Self { party, schema }
    }

    /// Reads what [`Document::to_json`] wrote.
    ///
    /// # Errors
    ///
    /// [`DocumentError`] if the text is something else.
    pub fn from_json(text: &str) -> Result<Self, DocumentError> {
        let schema: Value = serde_json::from_str(text).map_err(|error| DocumentError(error.to_string()))?;
        let party = schema["title"].as_str().ok_or_else(|| DocumentError("it has no `title`".to_owned()))?;
        let party = PartyName::new(party).map_err(|error| DocumentError(error.to_string()))?;
        for name in [CLIENT_MESSAGE, ROOM_MESSAGE] {
            let messages = &schema["$defs"][name];
            if !messages.is_object() && !messages.is_boolean() {
                return Err(DocumentError(format!("it has no definition of `{name}`")));
            }
            let Some(tag) = messages.get("discriminator") else { continue };
            let tag = tag["propertyName"].as_str().unwrap_or_default();
            let mut messages = messages.get("oneOf").and_then(Value::as_array).into_iter().flatten();
            if !messages.all(|message| message["properties"][tag]["const"].is_string()) {
                return Err(DocumentError(format!(
                    "one of the messages in `{name}` does not say its `{tag}`"
                )));
            }
        }
        let document = Self { party, schema };
        let is_missing = |to: &str| target(to).is_none_or(|name| document.find(&name).is_none());
        match walk::reference(&document.schema, &is_missing) {
            Some(to) => Err(DocumentError(format!("it refers to `{to}`, of which it has no definition"))),
            None => Ok(document),
        }
    }

    /// The party's name.
    #[must_use]
    pub const fn party(&self) -> &PartyName {
        &self.party
    }

    /// The JSON Schema of all messages.
    #[must_use]
    pub const fn json_schema(&self) -> &Value {
        &self.schema
    }

    /// The JSON Schema as text, always the same for the same protocol.
    #[must_use]
    pub fn to_json(&self) -> String {
        format!("{:#}\n", self.schema)
    }

    /// A TypeScript module: the types of all messages, `parse` for what a room sends, and `connect`, which is
    /// `partysocket` with these types.
    ///
    /// Types are as serde writes and reads JSON: 64-bit integers are `number`, which is exact up to 2^53;
    /// bytes are lists of numbers unless their type says otherwise.
    #[must_use]
    pub fn to_typescript(&self) -> String {
        typescript::print(self)
    }

    /// What breaks if `earlier` is the protocol that clients know, and rooms now speak this one; nothing, if
    /// every message of those clients is still understood, and every message of rooms is one that they know.
    ///
    /// A client is to ignore keys that it does not know. Numbers with a fraction are all of one size.
    ///
    /// What cannot be known counts as a break: whether a pattern or a format takes all that another did, and what
    /// has changed in values that lie more than 64 deep in each other or have more than 1024 forms.
    #[must_use]
    pub fn breaks_since(&self, earlier: &Self) -> Vec<Break> {
        breaks::find(earlier, self)
    }

    pub(super) fn definitions(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.schema["$defs"].as_object().into_iter().flatten()
    }

    pub(super) fn definition(&self, name: &str) -> &Value {
        &self.schema["$defs"][name]
    }

    pub(super) fn find(&self, name: &str) -> Option<&Value> {
        self.schema["$defs"].get(name)
    }
}

impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the protocol of party `{}`", self.party)
    }
}

/// Names that the TypeScript module uses for something else, and those that no type may have there.
const RESERVED: &str = "
    ArrayBuffer ArrayBufferView Blob ClientMessage Connection Event Extract JSON Map MessageEvent Object PartySocket
    PartySocketOptions ReadonlySet RoomMessage Set Uint8Array connect parse
    any bigint boolean never null number object string symbol undefined unknown void
    await break case catch class const continue debugger default delete do else enum export extends false finally
    for function if implements import in instanceof interface let new package private protected public return
    static super switch this throw true try typeof var while with yield
";

/// A name that a type may have in TypeScript.
fn plain(name: &str) -> String {
    let is_plain = |letter: char| letter.is_alphabetic() || letter.is_ascii_digit() || letter == '_';
    let mut plain: String = name.chars().map(|letter| if is_plain(letter) { letter } else { '_' }).collect();
    if plain.is_empty() || plain.starts_with(|first: char| first.is_ascii_digit()) {
        plain.insert(0, '_');
    }
    if RESERVED.split_whitespace().any(|reserved| reserved == plain) {
        plain.push('_');
    }
    plain
}

/// New names for those of `names` that need one; each stays one of its own.
fn renames(names: &BTreeSet<String>, new_name: impl Fn(&str) -> Option<String>) -> BTreeMap<String, String> {
    let mut taken = names.clone();
    let mut renamed = BTreeMap::new();
    for name in names {
        let Some(mut new_name) = new_name(name) else { continue };
        while !taken.insert(new_name.clone()) {
            new_name.push('_');
        }
        renamed.insert(name.clone(), new_name);
    }
    renamed
}

/// The messages of one direction, and the types of their values.
struct Direction {
    messages: Value,
    definitions: Map<String, Value>,
}

impl Direction {
    fn new((mut messages, mut definitions): (Value, Map<String, Value>)) -> Self {
        definitions
            .values_mut()
            .chain([&mut messages])
            .for_each(|schema| walk::each(schema, say_what_integers_hold));
        Self { messages, definitions }
    }

    /// Gives types that look different in the other direction another name, and those that
    /// hold one of them.
    fn step_aside(&mut self, others: &Map<String, Value>, suffix: &str) {
        let mut different: BTreeSet<String> = BTreeSet::new();
        loop {
            let found = self.definitions.iter().filter(|(name, schema)| {
                let Some(other) = others.get(*name) else { return false };
                *schema != other || refers_to(schema, &different)
            });
            let found: BTreeSet<String> = found.map(|(name, _)| name.clone()).collect();
            if found.len() == different.len() {
                break;
            }
            different = found;
        }
        let names = self.definitions.keys().chain(others.keys()).cloned().collect();
        self.rename(&renames(&names, |name| different.contains(name).then(|| format!("{name}{suffix}"))));
    }

    fn rename(&mut self, renamed: &BTreeMap<String, String>) {
        let definitions = std::mem::take(&mut self.definitions).into_iter();
        self.definitions = definitions
            .map(|(name, mut schema)| {
                point_to(&mut schema, renamed);
                (renamed.get(&name).cloned().unwrap_or(name), schema)
            })
            .collect();
        point_to(&mut self.messages, renamed);
    }
}

/// Adds to an integer the limits of its type, where only the name of the type is there.
fn say_what_integers_hold(schema: &mut Map<String, Value>) {
    let format = schema.get("format").and_then(Value::as_str).unwrap_or_default();
    let [min, max]: [Value; 2] = match format {
        "int32" => [i32::MIN.into(), i32::MAX.into()],
        "uint32" => [0.into(), u32::MAX.into()],
        "int64" | "int" => [i64::MIN.into(), i64::MAX.into()],
        "uint64" | "uint" => [0.into(), u64::MAX.into()],
        "int128" => [(-(2_f64.powi(127))).into(), 2_f64.powi(127).into()],
        "uint128" => [0.into(), 2_f64.powi(128).into()],
        _ => return,
    };
    for (word, limit) in [("minimum", min), ("maximum", max)] {
        schema.entry(word).or_insert(limit);
    }
}

/// Whether somewhere in the schema stands a reference to one of these definitions.
fn refers_to(schema: &Value, names: &BTreeSet<String>) -> bool {
    let is_one = |to: &str| target(to).is_some_and(|name| names.contains(&*name));
    walk::reference(schema, &is_one).is_some()
}

fn point_to(schema: &mut Value, renamed: &BTreeMap<String, String>) {
    walk::each(schema, |words| {
        let Some(Value::String(to)) = words.get_mut("$ref") else { return };
        if let Some(name) = target(to).and_then(|name| renamed.get(&*name)) {
            *to = format!("{DEFINITIONS}{}", utf8_percent_encode(name, NON_ALPHANUMERIC_OR_LINE));
        }
    });
}

/// What stands before the name of a definition, where something refers to it.
const DEFINITIONS: &str = "#/$defs/";
const NON_ALPHANUMERIC_OR_LINE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_');

/// The definition to which a reference refers. A reference is a URI, so its letters may stand there encoded.
pub(super) fn target(reference: &str) -> Option<Cow<'_, str>> {
    let name = percent_decode_str(reference.strip_prefix(DEFINITIONS)?).decode_utf8().ok()?;
    if name.contains('~') { Some(name.replace("~1", "/").replace("~0", "~").into()) } else { Some(name) }
}
