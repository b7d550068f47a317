//! Rules for values, in the words of JSON Schema.

use std::borrow::Cow;
use std::collections::BTreeSet;

use schemars::{Schema, SchemaGenerator};
use serde_json::{Number, Value};

use super::document::target;
use crate::__private::{RuleSink, Step, ToldRule};

/// How few bytes a string may have in UTF-8, for which JSON Schema has no word.
pub(super) const MIN_BYTES: &str = "x-minBytes";
/// How many.
pub(super) const MAX_BYTES: &str = "x-maxBytes";

/// Writes the rules that it is told into the schema of a value, and into those of the types inside it.
pub(super) struct Book<'a> {
    generator: &'a mut SchemaGenerator,
    schema: &'a mut Schema,
    /// The value whose rules are being told.
    place: Place,
    /// Types whose rules have been told, or are being told further out: a type may hold itself.
    told: BTreeSet<String>,
}

/// Where a schema stands.
#[derive(Clone, Default)]
struct Place {
    /// The definition; `None` for the schema of the value itself.
    definition: Option<String>,
    /// The steps from there on, as a JSON Pointer (RFC 6901).
    pointer: String,
}

impl<'a> Book<'a> {
    pub(super) fn new(generator: &'a mut SchemaGenerator, schema: &'a mut Schema) -> Self {
        Self { generator, schema, place: Place::default(), told: BTreeSet::new() }
    }

    fn at(&mut self, place: &Place) -> Option<&mut Value> {
        match &place.definition {
            Some(name) => self.generator.definitions_mut().get_mut(name)?.pointer_mut(&place.pointer),
            None if place.pointer.is_empty() => None,
            None => self.schema.pointer_mut(&place.pointer),
        }
    }

    /// A look at it, which a place without steps has too.
    fn look(&self, place: &Place) -> Option<&Value> {
        match &place.definition {
            Some(name) => self.generator.definitions().get(name)?.pointer(&place.pointer),
            None => self.schema.as_value().pointer(&place.pointer),
        }
    }

    /// Where these steps lead from the value.
    fn go(&self, path: &[Step]) -> Option<Place> {
        let mut place = self.place.clone();
        for step in path {
            place = self.behind_references(place)?;
            match step {
                Step::Key(key) => {
                    let key = key.replace('~', "~0").replace('/', "~1");
                    place.pointer.push_str(&format!("/properties/{key}"));
                }
                Step::Items => place.pointer.push_str("/items"),
            }
        }
        self.look(&place).is_some().then_some(place)
    }

    /// Where what is meant is said: the definition, and of a value or `null` the value.
    fn behind_references(&self, mut place: Place) -> Option<Place> {
        loop {
            let schema = self.look(&place)?;
            if let Some(name) = definition_of(schema) {
                place = Place { definition: Some(name), pointer: String::new() };
                continue;
            }
            let choices = schema.get("anyOf").and_then(Value::as_array).into_iter().flatten();
            let mut others = choices.enumerate().filter(|(_, choice)| choice["type"] != "null");
            match (others.next(), others.next()) {
                (Some((index, _)), None) => place.pointer.push_str(&format!("/anyOf/{index}")),
                _ => return Some(place),
            }
        }
    }

    fn insert(&mut self, place: &Place, word: &str, value: Value) {
        if place.definition.is_none() && place.pointer.is_empty() {
            self.schema.insert(word.to_owned(), value);
        } else if let Some(keys) = self.at(place).and_then(Value::as_object_mut) {
            keys.insert(word.to_owned(), value);
        }
    }
}

impl RuleSink for Book<'_> {
    fn rule(&mut self, path: &[Step], rule: ToldRule) {
        let Some(place) = self.go(path) else { return };
        let Some(schema) = self.look(&place) else { return };
        let number = |limit: Option<String>| limit.and_then(|limit| limit.parse::<Number>().ok());
        let value = |limit: Option<usize>| limit.map(Value::from);
        let limits = match (rule, &kinds(schema, self.generator)[..]) {
            (ToldRule::Len(min, max), ["string"]) => [("minLength", value(min)), ("maxLength", value(max))],
            (ToldRule::Len(min, max) | ToldRule::Bytes(min, max), ["array"]) => {
                [("minItems", value(min)), ("maxItems", value(max))]
            }
            (ToldRule::Len(min, max), ["object"]) => {
                [("minProperties", value(min)), ("maxProperties", value(max))]
            }
            // A type of the user's own, of which only its `Length` knows what is counted.
            (ToldRule::Len(..), _) => return,
            (ToldRule::Bytes(min, max), _) => [(MIN_BYTES, value(min)), (MAX_BYTES, value(max))],
            (ToldRule::Range(min, max), _) => {
                [("minimum", number(min).map(Value::Number)), ("maximum", number(max).map(Value::Number))]
            }
            (ToldRule::Pattern(pattern), _) => [("pattern", Some(pattern.into())), ("", None)],
        };
        for (word, limit) in limits {
            if let Some(limit) = limit {
                self.insert(&place, word, limit);
            }
        }
    }

    fn nested(&mut self, path: &[Step], tell: fn(&mut dyn RuleSink)) {
        let Some(place) = self.go(path).and_then(|place| self.behind_references(place)) else { return };
        if let Place { definition: Some(name), pointer } = &place
            && pointer.is_empty()
            && !self.told.insert(name.clone())
        {
            return;
        }
        let outer = std::mem::replace(&mut self.place, place);
        tell(self);
        self.place = outer;
    }
}

/// The schema to which a reference refers.
pub(super) fn resolve<'a>(schema: &'a Value, generator: &'a SchemaGenerator) -> &'a Value {
    definition_of(schema).and_then(|name| generator.definitions().get(&name)).unwrap_or(schema)
}

/// The definition to which a schema refers.
fn definition_of(schema: &Value) -> Option<String> {
    schema.get("$ref")?.as_str().and_then(target).map(Cow::into_owned)
}

/// The types that a value may have, besides `null` where there are others.
pub(super) fn kinds<'a>(schema: &'a Value, generator: &'a SchemaGenerator) -> Vec<&'a str> {
    let schema = resolve(schema, generator);
    let mut kinds: Vec<&str> = match schema.get("type") {
        Some(Value::String(kind)) => vec![kind],
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => {
            let choices = schema.get("anyOf").and_then(Value::as_array).into_iter().flatten();
            choices.filter_map(|choice| resolve(choice, generator).get("type")?.as_str()).collect()
        }
    };
    if kinds.len() > 1 {
        kinds.retain(|kind| *kind != "null");
    }
    kinds
}
