//! What a change to a protocol breaks for clients that know the earlier one.
//!
//! One question answers both directions: can who reads by one schema read all that is written
//! by another? Earlier clients write and today's rooms read; today's rooms write and earlier
//! clients read. Schemas are compared by what they are made of, so where nothing is known of a pair of them
//! they count as different: a break may be told that is none, never the other way round.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::{Map, Number, Value};

use super::document::{CLIENT_MESSAGE, ROOM_MESSAGE, target};
use super::messages::{ALIASES, BINARY};
use super::rules::{MAX_BYTES, MIN_BYTES};
use super::{Document, Sender};

/// Something that clients which know an earlier protocol can no longer do, or read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Break {
    sender: Sender,
    path: String,
    change: String,
}

impl Break {
    /// Who sends what has changed: if it is the client, rooms no longer take it; if it is the
    /// room, clients cannot read it.
    #[must_use]
    pub const fn sender(&self) -> Sender {
        self.sender
    }

    /// Where: the name of a message, and behind dots the keys, such as `say.text`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl fmt::Display for Break {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = match self.sender {
            Sender::Client => "what clients send",
            Sender::Room => "what rooms send",
        };
        write!(f, "{who}, `{}`: {}", self.path, self.change)
    }
}

/// What breaks for clients of `earlier` if rooms speak `now`.
pub(super) fn find(earlier: &Document, now: &Document) -> Vec<Break> {
    let mut breaks = Vec::new();
    for (sender, name, writer, reader) in
        [(Sender::Client, CLIENT_MESSAGE, earlier, now), (Sender::Room, ROOM_MESSAGE, now, earlier)]
    {
        let mut reading = Reading { sender, writer, reader, within: BTreeSet::new(), found: Vec::new() };
        reading.messages(writer.definition(name), reader.definition(name));
        breaks.append(&mut reading.found);
    }
    breaks
}

/// One who reads, by the schemas of a document, what another has written by those of another.
struct Reading<'a> {
    sender: Sender,
    writer: &'a Document,
    reader: &'a Document,
    /// Pairs of definitions that are being compared further out: types may hold themselves.
    within: BTreeSet<(String, String)>,
    found: Vec<Break>,
}

/// One of the forms that a value may have.
#[derive(Debug)]
struct Form {
    keys: Map<String, Value>,
}

/// What is known of an object's keys.
#[derive(Debug, Default)]
struct Keys {
    named: Map<String, Value>,
    required: BTreeSet<String>,
    /// What all others are; `None` if nothing is said of them.
    others: Option<Value>,
}

impl Reading<'_> {
    fn messages(&mut self, written: &Value, read: &Value) {
        let tag = |schema: &Value| schema["discriminator"]["propertyName"].as_str().map(str::to_owned);
        let (is_empty, tags) = (is_never(written), [tag(written), tag(read)]);
        if written.get(BINARY).is_some() && read.get(BINARY).is_none() {
            self.tell(
                "binary frames",
                match self.sender {
                    Sender::Client => "rooms no longer take them; clients that send them get an error",
                    Sender::Room => "they are new; earlier clients do not expect them",
                },
            );
        }
        let before = if self.sender == Sender::Client { written } else { read };
        if is_empty && (self.sender == Sender::Client || is_never(read)) {
            return;
        }
        if tags[0] != tags[1] && !is_never(before) {
            let (now, then) = match self.sender {
                Sender::Client => (&tags[1], &tags[0]),
                Sender::Room => (&tags[0], &tags[1]),
            };
            let text = |tag: &Option<String>| {
                tag.as_ref().map_or("no tag".to_owned(), |tag| format!("the tag `{tag}`"))
            };
            self.tell("every message", format!("it has {} now, and had {}", text(now), text(then)));
            return;
        }
        let Some(tag) = &tags[0] else {
            self.value("", written, read);
            return;
        };
        let [writes, reads] = [forms(written, self.writer), forms(read, self.reader)]
            .map(|forms| forms.into_iter().map(|form| (form.names(tag), form)).collect::<Vec<_>>());
        for (names, form) in &writes {
            let Some(name) = names.first() else { continue };
            match reads.iter().find(|(known, _)| known.contains(name)) {
                Some((_, known)) => self.form(name, form, known),
                None => self.tell(
                    name,
                    match self.sender {
                        Sender::Client => "rooms no longer know it; clients that send it get an error",
                        Sender::Room => "it is new; earlier clients do not know it",
                    },
                ),
            }
        }
        if self.sender == Sender::Room {
            for (names, _) in &reads {
                let Some(name) = names.first() else { continue };
                if !writes.iter().any(|(written, _)| written.contains(name)) {
                    self.tell(name, "rooms no longer send it; earlier clients may wait for it");
                }
            }
        }
    }

    /// Any value that is written by `written` is to be one that `read` describes.
    fn value(&mut self, path: &str, written: &Value, read: &Value) {
        let pair = [written, read].map(|schema| schema.get("$ref").and_then(Value::as_str));
        let pair = match pair {
            [Some(written), Some(read)] => Some((written.to_owned(), read.to_owned())),
            _ => None,
        };
        if let Some(pair) = &pair
            && !self.within.insert(pair.clone())
        {
            return;
        }
        let (writes, reads) = (forms(written, self.writer), forms(read, self.reader));
        match (&writes[..], &reads[..]) {
            ([written], [read]) => self.form(path, written, read),
            _ => {
                for form in &writes {
                    self.one_of(path, form, &reads);
                }
            }
        }
        if let Some(pair) = pair {
            self.within.remove(&pair);
        }
    }

    /// One of the forms that are read is to be this one.
    fn one_of(&mut self, path: &str, written: &Form, reads: &[Form]) {
        let mut nearest: Option<Vec<Break>> = None;
        for read in reads {
            let mut trial = Reading {
                sender: self.sender,
                writer: self.writer,
                reader: self.reader,
                within: self.within.clone(),
                found: Vec::new(),
            };
            trial.form(path, written, read);
            if trial.found.is_empty() {
                return;
            }
            let is_like = written.is_like(read, self.writer, self.reader);
            if is_like && nearest.as_ref().is_none_or(|nearest| trial.found.len() < nearest.len()) {
                nearest = Some(trial.found);
            }
        }
        match nearest {
            Some(breaks) => self.found.extend(breaks),
            None => {
                let form = written.to_string();
                self.tell(
                    path,
                    match self.sender {
                        Sender::Client => {
                            format!("it can no longer be {form}; clients that send that are refused")
                        }
                        Sender::Room => format!("it may be {form} now; earlier clients do not expect that"),
                    },
                );
            }
        }
    }

    fn form(&mut self, path: &str, written: &Form, read: &Form) {
        if let Some(value) = written.keys.get("const") {
            if !read.takes(value) {
                self.differs(path, written, read);
            }
            return;
        }
        if read.keys.contains_key("const") {
            return self.differs(path, written, read);
        }
        match (written.kind(), read.kind()) {
            (_, None) if !read.says_keys() => return,
            (Some("integer"), Some("number")) => {}
            (written_kind, read_kind) if written_kind == read_kind => {}
            _ => return self.differs(path, written, read),
        }
        self.limits(path, written, read);
        for word in ["pattern", "format"] {
            let is_number = matches!(read.kind(), Some("integer" | "number"));
            let [old, new] = [&written.keys, &read.keys].map(|keys| keys.get(word));
            if let Some(new) = new.filter(|new| !(is_number || old == Some(*new))) {
                let new = new.clone();
                self.tell(
                    path,
                    match self.sender {
                        Sender::Client => {
                            format!("it has the {word} {new} now; clients that send others are refused")
                        }
                        Sender::Room => format!(
                            "it need not have the {word} {new} any more, on which earlier clients count"
                        ),
                    },
                );
            }
        }
        match read.kind() {
            Some("array") => self.list(path, written, read),
            Some("object") | None => self.object(path, written, read),
            _ => {}
        }
    }

    fn limits(&mut self, path: &str, written: &Form, read: &Form) {
        for (word, is_least) in [
            ("minimum", true),
            ("maximum", false),
            ("exclusiveMinimum", true),
            ("exclusiveMaximum", false),
            ("minLength", true),
            ("maxLength", false),
            ("minItems", true),
            ("maxItems", false),
            ("minProperties", true),
            ("maxProperties", false),
            (MIN_BYTES, true),
            (MAX_BYTES, false),
        ] {
            let Some(reads) = read.limit(word) else { continue };
            // No text, list or object has less than nothing.
            if is_least && word != "minimum" && word != "exclusiveMinimum" && reads == 0.0 {
                continue;
            }
            let writes = written.limit(word);
            let fits = writes.is_some_and(|writes| if is_least { writes >= reads } else { writes <= reads });
            if !fits {
                let [writes, reads] = [written, read].map(|form| form.limit_text(word));
                let word = word.trim_start_matches("x-");
                self.tell(path, match self.sender {
                    Sender::Client => format!("`{word}` is {reads} now, and was {writes}; what is beyond is refused"),
                    Sender::Room => format!("`{word}` is {writes} now, and was {reads}; earlier clients expect no more than that"),
                });
            }
        }
    }

    fn list(&mut self, path: &str, written: &Form, read: &Form) {
        let items = format!("{path}[]");
        let any = Value::Bool(true);
        let [writes, reads] =
            [written, read].map(|form| form.keys.get("prefixItems").and_then(Value::as_array));
        let [rest, read_rest] = [written, read].map(|form| form.keys.get("items").unwrap_or(&any));
        match (writes, reads) {
            (None, None) => self.value(&items, rest, read_rest),
            (Some(writes), None) => writes.iter().for_each(|item| self.value(&items, item, read_rest)),
            (Some(writes), Some(reads)) if writes.len() == reads.len() => {
                for (index, (written, read)) in writes.iter().zip(reads).enumerate() {
                    self.value(&format!("{path}[{index}]"), written, read);
                }
            }
            _ => self.differs(path, written, read),
        }
    }

    fn object(&mut self, path: &str, written: &Form, read: &Form) {
        let (writes, reads) = (Keys::of(&written.keys, self.writer), Keys::of(&read.keys, self.reader));
        let mut met = BTreeSet::new();
        for (name, value) in &writes.named {
            let place = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            let known = reads.named.get_key_value(name).or_else(|| {
                reads.named.iter().find(|(_, schema)| aliases(schema).any(|alias| alias == name))
            });
            match (known, &reads.others) {
                (Some((known, schema)), _) => {
                    if writes.required.contains(name) {
                        met.insert(known.clone());
                    }
                    self.value(&place, value, schema);
                }
                (None, Some(Value::Bool(false))) => self.tell(
                    &place,
                    match self.sender {
                        Sender::Client => "rooms no longer know it; clients that send it get an error",
                        Sender::Room => "it is new; earlier clients take no other keys than they know",
                    },
                ),
                (None, Some(others)) => self.value(&place, value, others),
                (None, None) if self.sender == Sender::Client => {
                    self.tell(&place, "rooms no longer read it; what clients say there is lost");
                }
                (None, None) => {}
            }
        }
        for name in reads.required.difference(&met) {
            let place = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            let is_known = writes.named.contains_key(name);
            self.tell(
                &place,
                match (self.sender, is_known) {
                    (Sender::Client, true) => "it is required now; clients that leave it out are refused",
                    (Sender::Client, false) => {
                        "it is new and required; clients that do not know it are refused"
                    }
                    (Sender::Room, true) => "it may be missing now; earlier clients count on it",
                    (Sender::Room, false) => "rooms no longer send it; earlier clients count on it",
                },
            );
        }
        let others = format!("{path}.*");
        match (&writes.others, &reads.others) {
            (Some(Value::Bool(false)) | None, _) | (_, None) => {}
            (Some(writes), Some(reads)) => self.value(&others, writes, reads),
        }
    }

    fn differs(&mut self, path: &str, written: &Form, read: &Form) {
        self.tell(
            path,
            match self.sender {
                Sender::Client => {
                    format!("it is {read} now, and was {written}; clients that send that are refused")
                }
                Sender::Room => format!("it is {written} now, and was {read}, which earlier clients expect"),
            },
        );
    }

    fn tell(&mut self, path: &str, change: impl Into<String>) {
        let path = if path.is_empty() { "every message" } else { path };
        self.found.push(Break { sender: self.sender, path: path.to_owned(), change: change.into() });
    }
}

impl Form {
    /// The values of the tag by which the reader knows this message.
    fn names(&self, tag: &str) -> Vec<String> {
        let schema = &self.keys.get("properties").map_or(&Value::Null, |properties| &properties[tag]);
        let name = schema.get("const").and_then(Value::as_str);
        name.into_iter().chain(aliases(schema)).map(str::to_owned).collect()
    }

    fn kind(&self) -> Option<&str> {
        self.keys.get("type").and_then(Value::as_str)
    }

    fn says_keys(&self) -> bool {
        ["properties", "allOf", "not"].iter().any(|word| self.keys.contains_key(*word))
    }

    /// Whether a value is one of this form, as far as `const` and `type` tell.
    fn takes(&self, value: &Value) -> bool {
        if let Some(only) = self.keys.get("const") {
            return only == value || aliases_of(&self.keys).any(|alias| value == alias);
        }
        match (self.kind(), value) {
            (None, _)
            | (Some("null"), Value::Null)
            | (Some("boolean"), Value::Bool(_))
            | (Some("number"), Value::Number(_)) => true,
            (Some("string"), Value::String(_)) => {
                !self.keys.contains_key("pattern") && !self.keys.contains_key("format")
            }
            (Some("integer"), Value::Number(number)) => number.is_i64() || number.is_u64(),
            _ => false,
        }
    }

    /// Whether it makes sense to say in what the two differ.
    fn is_like(&self, other: &Self, mine: &Document, others: &Document) -> bool {
        if self.keys.contains_key("const") || self.kind() != other.kind() {
            return false;
        }
        if self.kind() != Some("object") {
            return true;
        }
        // Of variants with a tag of their own, those with the same tag.
        let [mine, others] = [Keys::of(&self.keys, mine), Keys::of(&other.keys, others)];
        let tags = |keys: &Keys| -> Vec<(String, Value)> {
            let named = keys
                .named
                .iter()
                .filter_map(|(name, value)| Some((name.clone(), value.get("const")?.clone())));
            named.collect()
        };
        let (tags, other_tags) = (tags(&mine), tags(&others));
        match tags.is_empty() && other_tags.is_empty() {
            true => mine.named.keys().eq(others.named.keys()),
            false => tags == other_tags,
        }
    }

    /// A limit that is said, or that the format of a number has.
    fn limit(&self, word: &str) -> Option<f64> {
        let said = self.keys.get(word).and_then(Value::as_f64);
        let format = self.keys.get("format").and_then(Value::as_str).unwrap_or_default();
        said.or_else(|| match (word, format) {
            ("minimum", "int32") => Some(i32::MIN.into()),
            ("maximum", "int32") => Some(i32::MAX.into()),
            ("maximum", "uint32") => Some(u32::MAX.into()),
            ("minimum", "int64" | "int") => Some(-(2_f64.powi(63))),
            ("maximum", "int64" | "int") => Some(2_f64.powi(63)),
            ("maximum", "uint64" | "uint") => Some(2_f64.powi(64)),
            ("minimum", "int128") => Some(-(2_f64.powi(127))),
            ("maximum", "int128") => Some(2_f64.powi(127)),
            ("maximum", "uint128") => Some(2_f64.powi(128)),
            _ => None,
        })
    }

    fn limit_text(&self, word: &str) -> String {
        let by_format = || self.limit(word).and_then(Number::from_f64).map(Value::Number);
        self.keys
            .get(word)
            .cloned()
            .or_else(by_format)
            .map_or("not there".to_owned(), |limit| limit.to_string())
    }
}

/// In a few words.
impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(value) = self.keys.get("const") {
            return write!(f, "{value}");
        }
        match (self.kind(), self.keys.get("format").and_then(Value::as_str)) {
            (Some("null"), _) => f.write_str("null"),
            (Some("array"), _) => f.write_str("a list"),
            (Some("object"), _) => {
                let named = self.keys.get("properties").and_then(Value::as_object);
                let tag =
                    named.into_iter().flatten().find_map(|(name, value)| Some((name, value.get("const")?)));
                match tag {
                    Some((name, value)) => write!(f, "an object with {name:?}: {value}"),
                    None => f.write_str("an object"),
                }
            }
            (Some(kind), Some(format)) => write!(f, "a {kind} ({format})"),
            (Some("integer"), None) => f.write_str("an integer"),
            (Some(kind), None) => write!(f, "a {kind}"),
            (None, _) if self.keys.contains_key("not") => f.write_str("nothing"),
            (None, _) => f.write_str("anything"),
        }
    }
}

impl Keys {
    fn of(schema: &Map<String, Value>, document: &Document) -> Self {
        let mut keys = Self::default();
        keys.add(schema, document, 0);
        keys
    }

    fn add(&mut self, schema: &Map<String, Value>, document: &Document, depth: usize) {
        if let Some(named) = schema.get("properties").and_then(Value::as_object) {
            self.named.extend(named.clone());
        }
        let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
        self.required.extend(required.filter_map(Value::as_str).map(str::to_owned));
        if let Some(others) = schema.get("additionalProperties") {
            self.others = Some(others.clone()).filter(|others| *others != true);
        }
        // An object that holds itself among its own keys has no end, so there is none.
        let all = schema.get("allOf").and_then(Value::as_array).into_iter().flatten();
        for part in all.filter(|_| depth < DEPTH_MAX) {
            if let Some(part) = resolve(part, document).as_object() {
                self.add(part, document, depth + 1);
            }
        }
    }
}

/// How far references are followed that lead to references.
const DEPTH_MAX: usize = 16;

/// The forms that a value may have, one by one.
fn forms(schema: &Value, document: &Document) -> Vec<Form> {
    let mut forms = Vec::new();
    collect(schema, document, 0, &mut forms);
    forms
}

fn collect(schema: &Value, document: &Document, depth: usize, forms: &mut Vec<Form>) {
    let schema = resolve(schema, document);
    let Some(keys) = schema.as_object() else {
        if schema != false {
            forms.push(Form { keys: Map::new() });
        }
        return;
    };
    if is_never(&schema) {
        return;
    }
    for word in ["oneOf", "anyOf"] {
        let Some(choices) = keys.get(word).and_then(Value::as_array).filter(|_| depth < DEPTH_MAX) else {
            continue;
        };
        // What stands beside the choices holds for each of them.
        let mut beside = keys.clone();
        for word in [word, "description", "title", "default", "discriminator"] {
            beside.remove(word);
        }
        for choice in choices {
            let choice = resolve(choice, document);
            let mut choice = choice.as_object().cloned().unwrap_or_default();
            for (word, value) in &beside {
                join(&mut choice, word, value);
            }
            collect(&choice.into(), document, depth + 1, forms);
        }
        return;
    }
    if let Some(values) = keys.get("enum").and_then(Value::as_array) {
        let constant = |value: &Value| Form { keys: Map::from_iter([("const".to_owned(), value.clone())]) };
        return forms.extend(values.iter().map(constant));
    }
    if let Some(kinds) = keys.get("type").and_then(Value::as_array) {
        return forms.extend(kinds.iter().map(|kind| {
            let mut keys = keys.clone();
            keys.insert("type".to_owned(), kind.clone());
            Form { keys }
        }));
    }
    forms.push(Form { keys: keys.clone() });
}

/// Adds what another schema says by this word.
fn join(schema: &mut Map<String, Value>, word: &str, value: &Value) {
    match (schema.get_mut(word), value) {
        (Some(Value::Object(mine)), Value::Object(others)) => mine.extend(others.clone()),
        (Some(Value::Array(mine)), Value::Array(others)) => mine.extend(others.iter().cloned()),
        (Some(_), _) => {}
        (None, value) => {
            schema.insert(word.to_owned(), value.clone());
        }
    }
}

/// The schema, or what it refers to, with what stands beside the reference.
fn resolve(schema: &Value, document: &Document) -> Value {
    let mut schema = schema.clone();
    for _ in 0..DEPTH_MAX {
        let Some(name) = schema.get("$ref").and_then(Value::as_str).and_then(target) else { break };
        let mut resolved = document.definition(name).clone();
        if let (Some(resolved), Some(beside)) = (resolved.as_object_mut(), schema.as_object()) {
            for (word, value) in beside.iter().filter(|(word, _)| *word != "$ref") {
                resolved.insert(word.clone(), value.clone());
            }
        }
        schema = resolved;
    }
    schema
}

fn is_never(schema: &Value) -> bool {
    *schema == false || schema.get("not").is_some_and(|not| not.as_object().is_some_and(Map::is_empty))
}

fn aliases(schema: &Value) -> impl Iterator<Item = &str> {
    schema.as_object().into_iter().flat_map(aliases_of)
}

fn aliases_of(schema: &Map<String, Value>) -> impl Iterator<Item = &str> {
    schema.get(ALIASES).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}
