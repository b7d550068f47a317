//! The protocols of several parties as one AsyncAPI document.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::document::{CLIENT_MESSAGE, ROOM_MESSAGE, target};
use super::messages::BINARY;
use super::{Document, walk};

/// An [AsyncAPI 3.0](https://www.asyncapi.com/docs/reference/specification/v3.0.0) document of these parties: a
/// channel for each, which is the address of its rooms, and an operation for each direction. The service that it
/// describes is the host: it receives what clients send, and sends what rooms do.
///
/// `title` and `version` are those of the program. Schemas are in the words that AsyncAPI shares with JSON Schema
/// draft 7, in which `$ref` has nothing beside it, and the types of a tuple stand under `items`.
///
/// ```
/// use partyrs::protocol::{Document, asyncapi};
/// use partyrs::{IntoFrame, Protocol};
///
/// #[derive(IntoFrame, Protocol)]
/// enum Tell {
///     Tick { count: u32 },
/// }
///
/// let document = asyncapi("Clocks", "1.2.0", &[Document::of::<(), Tell>("clock")]);
/// assert_eq!(document["channels"]["clock"]["address"], "/parties/clock/{room}");
/// ```
#[must_use]
pub fn asyncapi(title: &str, version: &str, documents: &[Document]) -> Value {
    let mut parts = Parts::default();
    for document in documents {
        parts.add(document);
    }
    json!({
        "asyncapi": "3.0.0",
        "info": { "title": title, "version": version },
        "defaultContentType": "application/json",
        "channels": parts.channels,
        "operations": parts.operations,
        "components": { "messages": parts.messages, "schemas": parts.schemas },
    })
}

/// What the parties have brought.
#[derive(Default)]
struct Parts {
    channels: Map<String, Value>,
    operations: Map<String, Value>,
    messages: Map<String, Value>,
    schemas: Map<String, Value>,
    taken: BTreeSet<String>,
}

impl Parts {
    fn add(&mut self, document: &Document) {
        let party = document.party().as_str();
        let channel = self.key(party);
        let types: BTreeMap<String, String> = document
            .definitions()
            .filter(|(name, _)| *name != CLIENT_MESSAGE && *name != ROOM_MESSAGE)
            .map(|(name, _)| (name.clone(), self.key(&format!("{party}-{name}"))))
            .collect();
        for (name, key) in &types {
            self.schemas.insert(key.clone(), convert(document.definition(name), &types));
        }
        let mut messages = Map::new();
        for (action, definition) in [("receive", CLIENT_MESSAGE), ("send", ROOM_MESSAGE)] {
            let mut references = Vec::new();
            for (name, message) in messages_of(document.definition(definition), &types) {
                let key = self.key(&format!("{party}-{action}-{name}"));
                references.push(json!({ "$ref": format!("#/channels/{channel}/messages/{key}") }));
                messages.insert(key.clone(), json!({ "$ref": format!("#/components/messages/{key}") }));
                self.messages.insert(key, message);
            }
            if !references.is_empty() {
                let operation = json!({
                    "action": action,
                    "channel": { "$ref": format!("#/channels/{channel}") },
                    "messages": references,
                });
                self.operations.insert(format!("{channel}-{action}"), operation);
            }
        }
        let described = json!({
            "address": format!("/parties/{party}/{{room}}"),
            "description": format!("A WebSocket to a room of the party `{party}`."),
            "parameters": { "room": { "description": "Any name; each is a room of its own." } },
            "messages": messages,
            "bindings": { "ws": { "method": "GET" } },
        });
        self.channels.insert(channel, described);
    }

    /// A key that AsyncAPI takes, and that nothing else has.
    fn key(&mut self, name: &str) -> String {
        let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
        let mut key: String = name.chars().map(|letter| if plain(letter) { letter } else { '_' }).collect();
        while !self.taken.insert(key.clone()) {
            key.push('_');
        }
        key
    }
}

/// The messages of one direction, with what they are called.
fn messages_of(schema: &Value, types: &BTreeMap<String, String>) -> Vec<(String, Value)> {
    let describe = |name: &str, schema: &Value| {
        let mut message = json!({ "name": name, "payload": convert(schema, types) });
        if let Some(docs) = schema.get("description") {
            message["description"] = docs.clone();
        }
        (name.to_owned(), message)
    };
    let mut messages = Vec::new();
    match schema["discriminator"]["propertyName"].as_str() {
        Some(tag) => {
            for message in schema["oneOf"].as_array().into_iter().flatten() {
                let name = message["properties"][tag]["const"].as_str().unwrap_or_default();
                messages.push(describe(name, message));
            }
        }
        None if schema.get("not").is_some() => {}
        None => messages.push(describe("message", schema)),
    }
    if let Some(binary) = schema.get(BINARY) {
        let message = json!({
            "name": "binary frame",
            "contentType": "application/octet-stream",
            "description": binary["description"],
        });
        messages.push(("binary-frame".to_owned(), message));
    }
    messages
}

/// The schema in the words of draft 7.
fn convert(schema: &Value, types: &BTreeMap<String, String>) -> Value {
    let mut schema = schema.clone();
    walk::each(&mut schema, |words| {
        if let Some(first) = words.remove("prefixItems")
            && let Some(rest) = words.insert("items".to_owned(), first)
        {
            words.insert("additionalItems".to_owned(), rest);
        }
        let Some(to) = words.remove("$ref") else { return };
        let name = to.as_str().and_then(target).and_then(|name| types.get(&*name));
        let reference =
            json!({ "$ref": name.map_or(to, |name| format!("#/components/schemas/{name}").into()) });
        if words.is_empty() {
            words.extend(reference.as_object().cloned().unwrap_or_default());
        } else if let Some(all) = words.entry("allOf").or_insert_with(|| json!([])).as_array_mut() {
            all.push(reference);
        }
    });
    schema
}
