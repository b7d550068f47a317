//! A protocol as a TypeScript module, printed from its JSON Schema.
//!
//! What is printed is what `schemars` makes of types and serde's attributes, which is a small part
//! of JSON Schema. What is not known is `unknown`, and never a type that is not sent.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde_json::{Map, Value};

use super::Document;
use super::document::{CLIENT_MESSAGE, ROOM_MESSAGE, target};
use super::messages::BINARY;
use super::rules::{MAX_BYTES, MIN_BYTES};

/// The longest list of a fixed length that is written as a tuple.
const TUPLE_LEN_MAX: u64 = 16;

/// The whole module.
pub(super) fn print(document: &Document) -> String {
    let [client, room] = [CLIENT_MESSAGE, ROOM_MESSAGE].map(|name| document.definition(name));
    let party = document.party();
    let mut module = format!(
        r#"// What clients and rooms of the party `{party}` say to each other, and a client that speaks it.
// Written by partyrs from the Rust types; a change here is lost when it is written again.

import PartySocket, {{ type PartySocketOptions }} from "partysocket";
"#
    );
    declare(&mut module, CLIENT_MESSAGE, client, "What a client may send.");
    declare(&mut module, ROOM_MESSAGE, room, "What a room sends.");
    for (name, schema) in document.definitions() {
        if name != CLIENT_MESSAGE && name != ROOM_MESSAGE {
            declare(&mut module, name, schema, "");
        }
    }
    module.push_str(&parse(room));
    module.push_str(&connect(party.as_str(), client, room));
    module
}

/// `parse`, by the tag if there is one.
fn parse(room: &Value) -> String {
    let Some(tag) = tag(room) else {
        return r#"
/** The message in the data of a text frame; `undefined` if that is not JSON. */
export function parse(data: unknown): RoomMessage | undefined {
  if (typeof data !== "string") return undefined;
  try {
    return JSON.parse(data) as RoomMessage;
  } catch {
    return undefined;
  }
}
"#
        .to_owned();
    };
    let names: BTreeSet<_> =
        messages(room).filter_map(|message| message["properties"][tag].get("const")).map(text_of).collect();
    let names = names.into_iter().collect::<Vec<_>>().join(", ");
    let tag = text_of(&tag.into());
    format!(
        r#"
/** The values of {tag} that this module knows. */
const NAMES: ReadonlySet<unknown> = new Set([{names}]);

/**
 * The message in the data of a text frame; `undefined` if it is none that this module knows, as that of a
 * room which is newer. Its other keys are not looked at: they are as the room's types say.
 */
export function parse(data: unknown): RoomMessage | undefined {{
  if (typeof data !== "string") return undefined;
  let message: unknown;
  try {{
    message = JSON.parse(data);
  }} catch {{
    return undefined;
  }}
  if (typeof message !== "object" || message === null || !({tag} in message)) return undefined;
  return NAMES.has(message[{tag}]) ? (message as RoomMessage) : undefined;
}}
"#
    )
}

/// `connect`, and the class of what it returns.
fn connect(party: &str, client: &Value, room: &Value) -> String {
    let is_binary = |schema: &Value| schema.get(BINARY).is_some();
    let (fields, set_up, receive, on_binary) = match is_binary(room) {
        false => ("", "", "", ""),
        true => (
            "  readonly #binaryListeners = new Set<(data: ArrayBuffer) => void>();\n",
            "    socket.binaryType = \"arraybuffer\";\n",
            "    if (data instanceof ArrayBuffer) {\n      \
                   for (const listener of [...this.#binaryListeners]) listener(data);\n      return;\n    }\n",
            r#"
  /** Calls `listener` with each binary frame, until the function that it returns is called. */
  onBinary(listener: (data: ArrayBuffer) => void): () => void {
    this.#binaryListeners.add(listener);
    return () => void this.#binaryListeners.delete(listener);
  }
"#,
        ),
    };
    let on = tag(room).map_or_else(String::new, |tag| {
        let (key, tag) = (key(tag), text_of(&tag.into()));
        format!(
            r#"
  /** Calls `listener` with each message of this {tag}, until the function that it returns is called. */
  on<Name extends RoomMessage[{tag}]>(
    name: Name,
    listener: (message: Extract<RoomMessage, {{ {key}: Name }}>) => void,
  ): () => void {{
    return this.onMessage((message) => {{
      if (message[{tag}] === name) listener(message as Extract<RoomMessage, {{ {key}: Name }}>);
    }});
  }}
"#
        )
    });
    let send = match client.get("not") {
        Some(_) => "",
        None => {
            r#"
  /** Sends it, and says whether it has left; if not, it waits for a connection. */
  send(message: ClientMessage): boolean {
    return this.socket.send(JSON.stringify(message));
  }
"#
        }
    };
    let send_binary = match is_binary(client) {
        false => "",
        true => {
            r#"
  /** Sends a binary frame, and says whether it has left; if not, it waits for a connection. */
  sendBinary(data: ArrayBuffer | ArrayBufferView<ArrayBuffer> | Blob): boolean {
    return this.socket.send(data);
  }
"#
        }
    };
    format!(
        r#"
/** Connects to a room, by the options of `PartySocket`. Listeners that are added at once miss nothing. */
export function connect(options: PartySocketOptions): Connection {{
  return new Connection(new PartySocket({{ party: "{party}", ...options }}));
}}

/** A connection to a room, which comes back by itself when it is lost. */
export class Connection {{
  /** What is below: `open`, `close` and `error` events, `reconnect()`, `updateProperties(..)`. */
  readonly socket: PartySocket;
  readonly #listeners = new Set<(message: RoomMessage) => void>();
  readonly #unknownListeners = new Set<(data: unknown) => void>();
{fields}
  constructor(socket: PartySocket) {{
    this.socket = socket;
{set_up}    socket.addEventListener("message", (event) => this.#receive(event.data));
  }}
{on}
  /** Calls `listener` with each message, until the function that it returns is called. */
  onMessage(listener: (message: RoomMessage) => void): () => void {{
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }}

  /** Calls `listener` with the data of each frame that is no message which this module knows. */
  onUnknown(listener: (data: unknown) => void): () => void {{
    this.#unknownListeners.add(listener);
    return () => void this.#unknownListeners.delete(listener);
  }}
{on_binary}{send}{send_binary}
  /** Closes the connection for good. */
  close(code?: number, reason?: string): void {{
    this.socket.close(code, reason);
  }}

  #receive(data: unknown): void {{
{receive}    const message = parse(data);
    if (message === undefined) {{
      for (const listener of [...this.#unknownListeners]) listener(data);
    }} else {{
      for (const listener of [...this.#listeners]) listener(message);
    }}
  }}
}}
"#
    )
}

fn tag(messages: &Value) -> Option<&str> {
    messages["discriminator"]["propertyName"].as_str()
}

/// The messages of a direction, one by one.
fn messages(schema: &Value) -> impl Iterator<Item = &Value> {
    schema["oneOf"].as_array().into_iter().flatten()
}

fn declare(module: &mut String, name: &str, schema: &Value, docs: &str) {
    let comment = match comment_of(schema, "") {
        comment if comment.is_empty() => comment_of(&serde_json::json!({ "description": docs }), ""),
        comment => comment,
    };
    let name = type_name(name);
    let _ = match messages(schema).count() {
        0 => write!(module, "\n{comment}export type {name} = {};\n", print_type(schema, 0)),
        _ => {
            let _ = write!(module, "\n{comment}export type {name} =");
            for choice in messages(schema) {
                let comment = comment_of(choice, "  ");
                let _ = write!(module, "\n{comment}  | {}", bracketed(&print_type(choice, 4)));
            }
            writeln!(module, ";")
        }
    };
}

/// The type, at this depth of indentation.
fn print_type(schema: &Value, depth: usize) -> String {
    let Some(keys) = schema.as_object() else {
        return (if *schema == false { "never" } else { "unknown" }).to_owned();
    };
    // What stands side by side holds together.
    let mut parts = Vec::new();
    if let Some(name) = keys.get("$ref").and_then(Value::as_str).and_then(target) {
        parts.push(type_name(&name));
    }
    for word in ["oneOf", "anyOf"] {
        if let Some(choices) = keys.get(word).and_then(Value::as_array) {
            parts.push(join(choices, " | ", depth));
        }
    }
    let own = if let Some(value) = keys.get("const") {
        Some(text_of(value))
    } else if let Some(values) = keys.get("enum").and_then(Value::as_array) {
        Some(values.iter().map(text_of).collect::<Vec<_>>().join(" | "))
    } else if keys.contains_key("not") {
        Some("never".to_owned())
    } else {
        let has_others = !parts.is_empty() || keys.contains_key("allOf");
        print_kinds(keys, depth, has_others)
    };
    parts.extend(own);
    if let Some(all) = keys.get("allOf").and_then(Value::as_array) {
        parts.push(join(all, " & ", depth));
    }
    match &parts[..] {
        [] => "unknown".to_owned(),
        [one] => one.clone(),
        several => several.iter().map(|part| bracketed(part)).collect::<Vec<_>>().join(" & "),
    }
}

fn join(schemas: &[Value], by: &str, depth: usize) -> String {
    let print = |schema: &Value| match schema.as_object() {
        // What may be anything beside others need not have their keys.
        Some(words) if words.is_empty() && by == " | " => "{}".to_owned(),
        _ => print_type(schema, depth),
    };
    let mut parts: Vec<_> = schemas.iter().map(print).collect();
    parts.dedup();
    match &parts[..] {
        [one] => one.clone(),
        several => several.iter().map(|part| bracketed(part)).collect::<Vec<_>>().join(by),
    }
}

/// What `type` says, which may be a list.
fn print_kinds(keys: &Map<String, Value>, depth: usize, has_others: bool) -> Option<String> {
    let kinds: Vec<&str> = match keys.get("type")? {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => return None,
    };
    let mut parts = Vec::new();
    for kind in kinds {
        parts.push(match kind {
            "integer" | "number" => "number".to_owned(),
            "string" | "boolean" | "null" => kind.to_owned(),
            "array" => print_list(keys, depth),
            "object" if has_others && !says_keys(keys) => continue,
            "object" => print_object(keys, depth),
            _ => "unknown".to_owned(),
        });
    }
    parts.dedup();
    (!parts.is_empty()).then(|| parts.join(" | "))
}

fn print_list(keys: &Map<String, Value>, depth: usize) -> String {
    if let Some(items) = keys.get("prefixItems").and_then(Value::as_array) {
        let items: Vec<_> = items.iter().map(|item| print_type(item, depth)).collect();
        return format!("[{}]", items.join(", "));
    }
    let item = keys.get("items").map_or_else(|| "unknown".to_owned(), |item| print_type(item, depth));
    let count = |word: &str| keys.get(word).and_then(Value::as_u64);
    match (count("minItems"), count("maxItems")) {
        (Some(least), Some(most)) if least == most && most <= TUPLE_LEN_MAX => {
            let items: Vec<_> = (0..most).map(|_| item.clone()).collect();
            format!("[{}]", items.join(", "))
        }
        _ => format!("{}[]", bracketed(&item)),
    }
}

fn print_object(keys: &Map<String, Value>, depth: usize) -> String {
    let required: Vec<_> = keys
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let mut properties: Vec<_> =
        keys.get("properties").and_then(Value::as_object).into_iter().flatten().collect();
    // The tag is what one looks for; then in the order of the code, as far as it is known.
    properties.sort_by_key(|(name, schema)| {
        let place = required.iter().position(|required| required == name);
        (schema.get("const").is_none(), place.unwrap_or(usize::MAX))
    });
    let indent = " ".repeat(depth + 2);
    let mut lines = String::new();
    for (name, schema) in properties {
        let mark = if required.contains(&name.as_str()) { "" } else { "?" };
        let (comment, ty) = (comment_of(schema, &indent), print_type(schema, depth + 2));
        let _ = writeln!(lines, "{comment}{indent}{}{mark}: {ty};", key(name));
    }
    // One short key needs no line of its own.
    let is_closed = keys.get("additionalProperties").is_none_or(|others| *others == false);
    if is_closed && lines.lines().count() == 1 && lines.len() < 80 {
        return format!("{{ {} }}", lines.trim().trim_end_matches(';'));
    }
    let others = [keys.get("additionalProperties"), keys.get("patternProperties").and_then(first)];
    let others = others.into_iter().flatten().find(|others| others.is_object() || **others == true);
    match (lines.is_empty(), others) {
        (true, None) => "{ [key: string]: never }".to_owned(),
        (true, Some(others)) => format!("{{ [key: string]: {} }}", print_type(others, depth)),
        (false, None) => format!("{{\n{lines}{}}}", " ".repeat(depth)),
        // TypeScript has no word for "all keys but those".
        (false, Some(_)) => format!("{{\n{lines}{indent}[key: string]: unknown;\n{}}}", " ".repeat(depth)),
    }
}

fn says_keys(keys: &Map<String, Value>) -> bool {
    ["properties", "additionalProperties", "patternProperties"]
        .iter()
        .filter_map(|word| keys.get(*word).and_then(Value::as_object))
        .any(|object| !object.is_empty())
}

fn first(schemas: &Value) -> Option<&Value> {
    schemas.as_object()?.values().next()
}

/// The comment above something, with its rules; nothing, if there is nothing to say.
fn comment_of(schema: &Value, indent: &str) -> String {
    let docs = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    let lines: Vec<String> = docs.lines().map(str::to_owned).chain(rules(schema)).collect();
    // The end of a comment in a comment.
    let lines: Vec<_> = lines.iter().map(|line| line.replace("*/", "*\\/")).collect();
    match &lines[..] {
        [] => String::new(),
        [line] => format!("{indent}/** {line} */\n"),
        lines => {
            let lines: String =
                lines.iter().map(|line| format!("{indent} * {line}").trim_end().to_owned() + "\n").collect();
            format!("{indent}/**\n{lines}{indent} */\n")
        }
    }
}

/// What the types do not say, in words.
fn rules(schema: &Value) -> Option<String> {
    let format = schema.get("format").and_then(Value::as_str).unwrap_or_default();
    let mut rules = Vec::new();
    for (least, most, unit) in [
        ("minLength", "maxLength", "characters"),
        ("minItems", "maxItems", "items"),
        ("minProperties", "maxProperties", "keys"),
        (MIN_BYTES, MAX_BYTES, "bytes in UTF-8"),
        ("minimum", "maximum", ""),
    ] {
        // What the type has by itself is no news.
        let limit = |word: &str| schema.get(word).filter(|limit| !is_natural(format, word, limit));
        rules.extend(match (limit(least), limit(most)) {
            (None, None) => None,
            (Some(least), Some(most)) if least == most => match most.as_u64() {
                Some(count) if unit == "items" && count <= TUPLE_LEN_MAX => None,
                _ => Some(format!("Exactly {}.", count(most, unit))),
            },
            (Some(least), Some(most)) => Some(format!("{least} to {}.", count(most, unit))),
            (Some(least), None) => Some(format!("At least {}.", count(least, unit))),
            (None, Some(most)) => Some(format!("At most {}.", count(most, unit))),
        });
    }
    if let Some(pattern) = schema.get("pattern").and_then(Value::as_str) {
        rules.push(format!("Matches `{pattern}`."));
    }
    (!rules.is_empty()).then(|| rules.join(" "))
}

/// `unit` is in the plural, or empty.
fn count(limit: &Value, unit: &str) -> String {
    match (limit.as_u64(), unit.split_once("s ").or_else(|| Some((unit.strip_suffix('s')?, "")))) {
        (Some(1), Some((one, behind))) => format!("1 {one} {behind}").trim_end().to_owned(),
        _ => format!("{limit} {unit}").trim_end().to_owned(),
    }
}

/// Whether the limit is that of the type.
fn is_natural(format: &str, word: &str, limit: &Value) -> bool {
    let is_least = word == "minimum";
    match format {
        "uint8" | "uint16" | "uint32" | "uint64" | "uint128" | "uint" if is_least => {
            limit.as_i64() == Some(0)
        }
        "int8" => limit.as_i64() == Some(if is_least { i8::MIN } else { i8::MAX }.into()),
        "int16" => limit.as_i64() == Some(if is_least { i16::MIN } else { i16::MAX }.into()),
        "int32" => limit.as_i64() == Some(if is_least { i32::MIN } else { i32::MAX }.into()),
        "int64" | "int" => limit.as_i64() == Some(if is_least { i64::MIN } else { i64::MAX }),
        "uint8" => limit.as_u64() == Some(u8::MAX.into()),
        "uint16" => limit.as_u64() == Some(u16::MAX.into()),
        "uint32" => limit.as_u64() == Some(u32::MAX.into()),
        "uint64" | "uint" => limit.as_u64() == Some(u64::MAX),
        "int128" | "uint128" => limit.is_f64(),
        _ => false,
    }
}

/// As a key of an object: bare if it can be.
fn key(name: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '$';
    match name.starts_with(|first: char| plain(first) && !first.is_ascii_digit()) && name.chars().all(plain) {
        true => name.to_owned(),
        false => text_of(&name.into()),
    }
}

/// As the name of a type. Names are as [`Document::of`] made them, or from a file that a person has changed.
fn type_name(name: &str) -> String {
    let plain = |letter: char| letter.is_alphanumeric() || letter == '_';
    name.chars().map(|letter| if plain(letter) { letter } else { '_' }).collect()
}

fn text_of(value: &Value) -> String {
    value.to_string()
}

/// In brackets, if it is several types; those within braces, brackets or quotes are in some already.
fn bracketed(ty: &str) -> String {
    let (mut depth, mut is_text, mut is_escape) = (0_usize, false, false);
    let is_several = ty.char_indices().any(|(at, letter)| {
        match letter {
            _ if is_escape => is_escape = false,
            '\\' => is_escape = is_text,
            '"' => is_text = !is_text,
            _ if is_text => {}
            '{' | '[' | '(' => depth += 1,
            '}' | ']' | ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && !is_text && (ty[at..].starts_with(" | ") || ty[at..].starts_with(" & "))
    });
    if is_several { format!("({ty})") } else { ty.to_owned() }
}
