//! What a change to a protocol breaks for clients that know the earlier one.
//!
//! One question answers both directions: can who reads by one schema read all that is written
//! by another? Earlier clients write and today's rooms read; today's rooms write and earlier
//! clients read. A schema is taken apart into the forms that a value may have, and each form
//! that is written must be one of those that are read. Where that is not known, they count as
//! different: a break may be told that is none, never the other way round.
//!
//! The difficulty is that types hold themselves, and that which form is meant is often seen only
//! far inside: a pair of schemas that is being compared counts as equal within itself, and each
//! pair is answered once, as long as nothing that the answer rests on turns out wrong.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::mem;

use serde_json::{Number, Value, json};

use super::document::{CLIENT_MESSAGE, ROOM_MESSAGE, target};
use super::forms::{Form, Limit, SIGNED, UNSIGNED, aliases, at_most, forms};
use super::messages::BINARY;
use super::{Document, Sender, walk};

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

    /// Where: the name of a message, and behind dots the keys, such as `say.text`; behind a list stands
    /// `[]`, and for keys without a name `*`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }
}

/// In one line, whatever the names are.
impl fmt::Display for Break {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = match self.sender {
            Sender::Client => "what clients send",
            Sender::Room => "what rooms send",
        };
        for letter in format!("{who}, `{}`: {}", self.path, self.change).chars() {
            match letter.is_control() {
                true => write!(f, "{}", letter.escape_default())?,
                false => fmt::Write::write_char(f, letter)?,
            }
        }
        Ok(())
    }
}

/// What breaks for clients of `earlier` if rooms speak `now`.
pub(super) fn find(earlier: &Document, now: &Document) -> Vec<Break> {
    let same = same_definitions(earlier, now);
    let mut breaks = Vec::new();
    for (sender, name, writer, reader) in
        [(Sender::Client, CLIENT_MESSAGE, earlier, now), (Sender::Room, ROOM_MESSAGE, now, earlier)]
    {
        let mut reading = Reading::new(sender, writer, reader, &same);
        reading.messages(writer.definition(name), reader.definition(name));
        breaks.append(&mut reading.found);
    }
    breaks
}

/// How deep values may lie in each other to be compared.
const DEPTH_MAX: usize = 64;
/// How many pairs of values are compared in one direction.
const PAIRS_MAX: usize = 100_000;

/// One who reads, by the schemas of a document, what another has written by those of another.
struct Reading<'a> {
    sender: Sender,
    writer: &'a Document,
    reader: &'a Document,
    /// Definitions that mean the same in both documents.
    same: &'a BTreeSet<String>,
    /// Schemas that were met, by their text.
    ids: HashMap<String, usize>,
    /// Pairs that are being compared further out.
    within: BTreeSet<Pair>,
    /// Pairs that were found to fit, and the same in the order in which they were.
    fits: HashSet<Pair>,
    trail: Vec<Pair>,
    differs: HashSet<Pair>,
    /// Where the breaks of a pair are told.
    told: BTreeMap<Pair, String>,
    pairs_count: usize,
    /// Whether only the answer is wanted: the first break ends it.
    is_trial: bool,
    found: Vec<Break>,
}

/// What is written, and what is read.
type Pair = (usize, usize);

impl<'a> Reading<'a> {
    fn new(sender: Sender, writer: &'a Document, reader: &'a Document, same: &'a BTreeSet<String>) -> Self {
        Self {
            sender,
            writer,
            reader,
            same,
            ids: HashMap::new(),
            within: BTreeSet::new(),
            fits: HashSet::new(),
            trail: Vec::new(),
            differs: HashSet::new(),
            told: BTreeMap::new(),
            pairs_count: 0,
            is_trial: false,
            found: Vec::new(),
        }
    }

    fn messages(&mut self, written: &Value, read: &Value) {
        let is_client = self.sender == Sender::Client;
        match (written.get(BINARY).is_some(), read.get(BINARY).is_some()) {
            (true, false) if is_client => {
                self.tell("binary frames", "rooms no longer take them; clients that send them get an error");
            }
            (true, false) => self.tell("binary frames", "they are new; earlier clients do not expect them"),
            (false, true) if !is_client => {
                self.tell("binary frames", "rooms no longer send them; earlier clients may wait for them");
            }
            _ => {}
        }
        let [tag, read_tag] =
            [written, read].map(|schema| schema["discriminator"]["propertyName"].as_str().map(str::to_owned));
        let (writes, reads) = (is_some(written), is_some(read));
        match (&tag, &read_tag) {
            _ if !writes && (is_client || !reads) => {}
            (Some(tag), Some(read_tag)) if tag == read_tag => self.tagged(tag, written, read),
            // Who has no messages has no tag.
            (Some(tag), _) if !reads => self.tagged(tag, written, &Value::Bool(false)),
            (_, Some(tag)) if !writes => self.tagged(tag, &Value::Bool(false), read),
            (None, None) if !writes => {
                self.tell("", "rooms no longer send any; earlier clients may wait for them");
            }
            (None, None) => self.value("", written, read),
            _ => {
                let text = |tag: &Option<String>| {
                    tag.as_ref().map_or("no tag".to_owned(), |tag| format!("the tag `{tag}`"))
                };
                let [was, is] = if is_client { [&tag, &read_tag] } else { [&read_tag, &tag] }.map(text);
                self.tell(
                    "",
                    match self.sender {
                        Sender::Client => format!(
                            "it has {is} now, and had {was}; clients that send the earlier one get an error"
                        ),
                        Sender::Room => {
                            format!("it has {is} now, and had {was}, by which earlier clients know it")
                        }
                    },
                );
            }
        }
    }

    /// Messages that the same tag tells apart.
    fn tagged(&mut self, tag: &str, written: &Value, read: &Value) {
        let [writes, reads] = [written, read].map(|schema| messages(schema, tag));
        for (names, message) in &writes {
            for (index, name) in names.iter().enumerate() {
                match (reads.iter().find(|(known, _)| knows(self.sender, known, name)), index) {
                    (Some((_, known)), _) => self.value(name, message, known),
                    (None, 0) if self.sender == Sender::Client => {
                        self.tell(name, "rooms no longer know it; clients that send it get an error");
                    }
                    (None, 0) => self.tell(name, "it is new; earlier clients do not know it"),
                    (None, _) if self.sender == Sender::Client => {
                        let other = format!(
                            "rooms no longer know its other name {name:?}; clients that use it get an error"
                        );
                        self.tell(names.first().unwrap_or(name), other);
                    }
                    (None, _) => {}
                }
                // What rooms send has one name.
                if self.sender == Sender::Room {
                    break;
                }
            }
        }
        if self.sender == Sender::Room {
            for name in reads.iter().filter_map(|(names, _)| names.first()) {
                if !writes.iter().any(|(written, _)| written.first() == Some(name)) {
                    self.tell(name, "rooms no longer send it; earlier clients may wait for it");
                }
            }
        }
    }

    /// Any value that is written by `written` is to be one that `read` describes.
    fn value(&mut self, path: &str, written: &Value, read: &Value) {
        let is_answered = self.is_trial && !self.found.is_empty();
        if is_answered || (written == read && refers_only_to(written, self.same)) {
            return;
        }
        let pair = (self.id(written), self.id(read));
        if self.within.contains(&pair) || self.fits.contains(&pair) {
            return;
        }
        if self.is_trial && self.differs.contains(&pair) {
            return self.tell(path, "");
        }
        let refers = !refers_only_to(written, &BTreeSet::new()) && !refers_only_to(read, &BTreeSet::new());
        if let Some(first) = self.told.get(&pair).filter(|_| !self.is_trial) {
            let same = format!("the same as at `{first}`");
            return self.tell(path, same);
        }
        self.pairs_count += 1;
        if self.within.len() >= DEPTH_MAX || self.pairs_count > PAIRS_MAX {
            return self.tell(path, "it has changed, and is too large to say whether that breaks anything");
        }
        let (found, trail) = (self.found.len(), self.trail.len());
        self.within.insert(pair);
        self.forms(path, written, read);
        self.within.remove(&pair);
        if self.found.len() == found {
            self.fits.insert(pair);
            self.trail.push(pair);
            return;
        }
        self.forget(trail);
        self.differs.insert(pair);
        if refers && !self.is_trial {
            self.told.insert(pair, path.to_owned());
        }
    }

    /// What was found since then may rest on what has turned out wrong.
    fn forget(&mut self, trail: usize) {
        for pair in self.trail.drain(trail..) {
            self.fits.remove(&pair);
        }
    }

    fn id(&mut self, schema: &Value) -> usize {
        let next = self.ids.len();
        *self.ids.entry(schema.to_string()).or_insert(next)
    }

    fn forms(&mut self, path: &str, written: &Value, read: &Value) {
        let forms = (forms(written, self.writer), forms(read, self.reader));
        let (Some(writes), Some(reads)) = forms else {
            return self
                .tell(path, "it has changed, and has too many forms to say whether that breaks anything");
        };
        match (&writes[..], &reads[..]) {
            ([written], [read]) => self.form(path, written, read),
            _ => writes.iter().for_each(|form| self.one_of(path, form, &reads)),
        }
    }

    /// One of the forms that are read is to be this one.
    fn one_of(&mut self, path: &str, written: &Form, reads: &[Form]) {
        if reads.iter().any(|read| self.fits(written, read)) {
            return;
        }
        let like = reads.iter().filter(|read| !self.is_trial && written.is_like(read));
        if let Some(read) = like.min_by_key(|read| Reverse(written.shared_count(read))) {
            let path = match written.tags().next() {
                Some((key, name)) => format!("{path}[{key}={name}]"),
                None => path.to_owned(),
            };
            return self.form(&path, written, read);
        }
        let named = reads.iter().filter(|read| written.only.is_none() && read.only.is_some());
        let named: Vec<_> = named.filter(|read| read.kind == written.kind).map(ToString::to_string).collect();
        let named = named.join(", ");
        self.tell(
            path,
            match (self.sender, named.is_empty()) {
                (Sender::Client, true) => format!("it can no longer be {written}; clients that send that are refused"),
                (Sender::Client, false) => {
                    format!("it can no longer be {written} other than {named}; clients that send others are refused")
                }
                (Sender::Room, true) => format!("it may be {written} now; earlier clients do not expect that"),
                (Sender::Room, false) => {
                    format!("it may be {written} other than {named} now; earlier clients do not expect others")
                }
            },
        );
    }

    fn fits(&mut self, written: &Form, read: &Form) -> bool {
        let trail = self.trail.len();
        let found = mem::take(&mut self.found);
        let was_trial = mem::replace(&mut self.is_trial, true);
        self.form("", written, read);
        self.is_trial = was_trial;
        let fits = mem::replace(&mut self.found, found).is_empty();
        if !fits {
            self.forget(trail);
        }
        fits
    }

    fn form(&mut self, path: &str, written: &Form, read: &Form) {
        let is_kind = match (written.kind.as_deref(), read.kind.as_deref()) {
            (_, None) | (Some("integer"), Some("number")) => true,
            (written, read) => written == read,
        };
        let is_one = match (&written.only, &read.only) {
            (Some(value), _) => read.takes(value),
            (None, only) => only.is_none(),
        };
        if !is_kind || !is_one {
            return self.differs(path, written, read);
        }
        for (word, rule) in read.rules.difference(&written.rules) {
            self.tell(
                path,
                match (self.sender, word.as_str()) {
                    (Sender::Client, "uniqueItems") => {
                        "items that it has twice count once now; what clients say by them is lost".to_owned()
                    }
                    (Sender::Room, "uniqueItems") => {
                        "it may have the same item twice now; earlier clients do not expect that".to_owned()
                    }
                    (Sender::Client, _) => {
                        format!("it has the {word} {rule} now; clients that send others are refused")
                    }
                    (Sender::Room, _) => {
                        format!("it need not have the {word} {rule} any more, on which earlier clients count")
                    }
                },
            );
        }
        if written.only.is_some() {
            return;
        }
        self.limits(path, written, read);
        if written.may_be("array") && read.may_be("array") {
            self.list(path, written, read);
        }
        if written.may_be("object") && read.may_be("object") {
            self.object(path, written, read);
        }
    }

    fn limits(&mut self, path: &str, written: &Form, read: &Form) {
        for (word, limit) in &read.limits {
            let Some(Limit { is_least, of }) = Limit::of(word) else { continue };
            let writes = written.limits.get(word);
            if writes
                .is_some_and(|writes| if is_least { at_most(limit, writes) } else { at_most(writes, limit) })
            {
                continue;
            }
            let is_one = limit.as_u64() == Some(1);
            let of = if is_one { of.trim_end_matches('s') } else { of };
            let (beyond, expect) = match (word.as_str(), is_least, of) {
                ("exclusiveMinimum", ..) => (format!("{limit} or less"), "less"),
                ("exclusiveMaximum", ..) => (format!("{limit} or more"), "more"),
                (_, true, "") => (format!("less than {limit}"), "less"),
                (_, true, _) => (format!("fewer than {limit}{of}"), "fewer"),
                (_, false, _) => (format!("more than {limit}{of}"), "more"),
            };
            let (be, is) = if of.is_empty() { ("be", "is") } else { ("have", "are") };
            let was =
                writes.map_or("there was no limit".to_owned(), |writes| format!("the limit was {writes}"));
            self.tell(
                path,
                match self.sender {
                    Sender::Client => format!("{beyond} {is} refused now; {was}"),
                    Sender::Room => {
                        format!("it may {be} {beyond} now; earlier clients expect no {expect}")
                    }
                },
            );
        }
    }

    fn list(&mut self, path: &str, written: &Form, read: &Form) {
        let any = Value::Bool(true);
        let item = |form: &Form, index: usize| {
            form.first.get(index).or(form.rest.as_ref()).cloned().unwrap_or_else(|| any.clone())
        };
        let fixed = written.first.len().max(read.first.len());
        let most = written.limits.get("maxItems").and_then(Number::as_u64).unwrap_or(u64::MAX);
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        for index in 0..fixed.min(most) {
            self.value(&format!("{path}[{index}]"), &item(written, index), &item(read, index));
        }
        if most > fixed {
            self.value(&format!("{path}[]"), &item(written, fixed), &item(read, fixed));
        }
    }

    fn object(&mut self, path: &str, written: &Form, read: &Form) {
        let place = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        let mut met = BTreeSet::new();
        for (name, value) in &written.named {
            if *value == false {
                continue;
            }
            if let Some(known) = read.name_of(name) {
                if written.required.contains(name) {
                    met.insert(known);
                }
                self.aliases(&place(name), value, known, read);
            }
            self.key(&place(name), name, value, read);
        }
        for name in read.required.iter().filter(|name| !met.contains(name.as_str())) {
            self.tell(
                &place(name),
                match (self.sender, written.named.contains_key(name)) {
                    (Sender::Client, true) => "it is required now; clients that leave it out are refused",
                    (Sender::Client, false) => {
                        "it is new and required; clients that do not know it are refused"
                    }
                    (Sender::Room, true) => "it may be missing now; earlier clients count on it",
                    (Sender::Room, false) => "rooms no longer send it; earlier clients count on it",
                },
            );
        }
        // Keys that have no name where they are written may be one of those where they are read.
        for (name, value) in read.named.iter().filter(|(name, _)| !written.named.contains_key(*name)) {
            for writes in written.unnamed(name) {
                self.value(&place(name), writes, value);
            }
        }
        self.others(&place("*"), written, read);
    }

    /// What is written under this key.
    fn key(&mut self, place: &str, name: &str, value: &Value, read: &Form) {
        if let Some(known) = read.name_of(name) {
            return self.value(place, value, &read.named[known]);
        }
        let reads: Vec<_> = read.unnamed(name).collect();
        let is_lost = reads.is_empty() || reads.iter().all(|schema| **schema == false);
        match (self.sender, read.others.is_some()) {
            (Sender::Client, false) if is_lost => {
                self.tell(place, "rooms no longer read it; what clients say there is lost");
            }
            (Sender::Client, true) if is_lost => {
                self.tell(place, "rooms no longer know it; clients that send it get an error");
            }
            // A client is to ignore what it does not know.
            (Sender::Room, _) if is_lost => {}
            _ => reads.into_iter().for_each(|schema| self.value(place, value, schema)),
        }
    }

    /// The other names of a key must still be names of the same one.
    fn aliases(&mut self, place: &str, value: &Value, known: &str, read: &Form) {
        let is_client = self.sender == Sender::Client;
        for alias in aliases(value).filter(|_| is_client) {
            if read.name_of(alias) != Some(known) {
                let other =
                    format!("rooms no longer know its other name {alias:?}; what clients say there is lost");
                self.tell(place, other);
            }
        }
    }

    /// Keys that have no name on either side.
    fn others(&mut self, place: &str, written: &Form, read: &Form) {
        let any = Value::Bool(true);
        let closed = Value::Bool(false);
        for (pattern, value) in &written.patterns {
            let known = read.patterns.get(pattern).or_else(|| {
                let is_unsigned = pattern == UNSIGNED;
                read.patterns.get(SIGNED).filter(|_| is_unsigned)
            });
            match (known, &read.others) {
                (Some(known), _) => self.value(place, value, known),
                (None, Some(others)) => self.more(place, value, others),
                (None, None) if self.sender == Sender::Client => {
                    self.tell(place, "rooms no longer read other keys; what clients say there is lost");
                }
                (None, None) => {}
            }
        }
        let writes = match self.sender {
            // Rooms write what they know.
            Sender::Room => written.others.as_ref().unwrap_or(&closed),
            // Who knows no other keys may send some all the same, since they are ignored.
            Sender::Client => written.others.as_ref().unwrap_or(&any),
        };
        if *writes == false {
            return;
        }
        for (_, value) in read.patterns.iter().filter(|(pattern, _)| !written.patterns.contains_key(*pattern))
        {
            self.value(place, writes, value);
        }
        match &read.others {
            Some(others) => self.more(place, writes, others),
            None if self.sender == Sender::Client && written.others.is_some() => {
                self.tell(place, "rooms no longer read other keys; what clients say there is lost");
            }
            None => {}
        }
    }

    fn more(&mut self, place: &str, writes: &Value, reads: &Value) {
        match (*reads == false, self.sender) {
            (true, Sender::Client) => {
                self.tell(place, "other keys are refused now; clients that send some get an error");
            }
            (true, Sender::Room) => {
                self.tell(place, "there may be other keys now; earlier clients do not expect them");
            }
            (false, _) => self.value(place, writes, reads),
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
        let found = Break { sender: self.sender, path: path.to_owned(), change: change.into() };
        if !self.found.contains(&found) {
            self.found.push(found);
        }
    }
}

/// The messages of a direction, by their names, without the tag.
fn messages(schema: &Value, tag: &str) -> Vec<(Vec<String>, Value)> {
    let messages = schema["oneOf"].as_array().into_iter().flatten();
    let named = messages.map(|message| {
        let name = &message["properties"][tag];
        let names = name["const"].as_str().into_iter().chain(aliases(name)).map(str::to_owned).collect();
        let mut message = message.clone();
        if let Some(keys) = message.get_mut("properties").and_then(Value::as_object_mut) {
            keys.remove(tag);
        }
        if let Some(required) = message.get_mut("required").and_then(Value::as_array_mut) {
            required.retain(|key| *key != tag);
        }
        (names, message)
    });
    named.collect()
}

fn knows(sender: Sender, known: &[String], name: &String) -> bool {
    match sender {
        Sender::Client => known.contains(name),
        Sender::Room => known.first() == Some(name),
    }
}

/// Whether there are messages.
fn is_some(schema: &Value) -> bool {
    schema.get("not").is_none_or(|not| *not != json!({}))
}

/// Definitions that are the same in both, and refer to such only.
fn same_definitions(one: &Document, other: &Document) -> BTreeSet<String> {
    let equal = one.definitions().filter(|(name, schema)| other.find(name) == Some(*schema));
    let mut same: BTreeSet<String> = equal.map(|(name, _)| name.clone()).collect();
    loop {
        let count = same.len();
        let kept = same.iter().filter(|name| refers_only_to(one.definition(name), &same));
        same = kept.cloned().collect();
        if same.len() == count {
            return same;
        }
    }
}

fn refers_only_to(schema: &Value, names: &BTreeSet<String>) -> bool {
    let is_other = |to: &str| target(to).is_none_or(|name| !names.contains(&*name));
    walk::reference(schema, &is_other).is_none()
}
