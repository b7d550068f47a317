//! A schema taken apart into the forms that a value may have.
//!
//! What JSON Schema says of a value in many places (references, choices, lists of all that must hold)
//! becomes a list of [`Form`]s, each of which says all there is to say of it at once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::{Map, Number, Value, json};

use super::Document;
use super::document::target;
use super::messages::{ALIASES, BINARY};
use super::rules::{MAX_BYTES, MIN_BYTES};

/// How many forms a value may have to be compared.
const FORMS_MAX: usize = 1024;

/// One of the forms that a value may have: all that is said of it at once.
#[derive(Debug, Clone, Default)]
pub(super) struct Form {
    /// As JSON Schema names it; `None` if it may be of any.
    pub(super) kind: Option<String>,
    /// The one value that it may be.
    pub(super) only: Option<Value>,
    pub(super) limits: BTreeMap<String, Number>,
    /// All else that is asked of it, which can only be the same or not: word and value.
    pub(super) rules: BTreeSet<(String, String)>,
    pub(super) named: BTreeMap<String, Value>,
    pub(super) required: BTreeSet<String>,
    /// Keys that are told by a regular expression.
    pub(super) patterns: BTreeMap<String, Value>,
    /// What all other keys are; `None` if nothing is said of them.
    pub(super) others: Option<Value>,
    /// Of a list, what comes first.
    pub(super) first: Vec<Value>,
    /// And what then.
    pub(super) rest: Option<Value>,
}

/// Keys that are whole numbers, as schemars writes it.
pub(super) const UNSIGNED: &str = r"^\d+$";
pub(super) const SIGNED: &str = r"^-?\d+$";

/// Words that ask nothing of a value, and those that [`collect`] and [`Form::of`] know.
const KNOWN: [&str; 29] = [
    ALIASES,
    BINARY,
    "$comment",
    "$defs",
    "$id",
    "$ref",
    "$schema",
    "additionalProperties",
    "allOf",
    "anyOf",
    "const",
    "default",
    "deprecated",
    "description",
    "discriminator",
    "enum",
    "examples",
    "items",
    "not",
    "oneOf",
    "patternProperties",
    "prefixItems",
    "properties",
    "readOnly",
    "required",
    "title",
    "type",
    "unevaluatedProperties",
    "writeOnly",
];

impl Form {
    fn of_kind(kind: &Value) -> Self {
        Self { kind: kind.as_str().map(str::to_owned), ..Self::default() }
    }

    fn of_value(value: &Value) -> Self {
        let kind = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(number) if integer(number).is_some() => "integer",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        Self { only: Some(value.clone()), ..Self::of_kind(&kind.into()) }
    }

    /// It is known only that it is the same as what has the same text.
    fn unknown(schema: &Value) -> Self {
        Self { rules: BTreeSet::from([("schema".to_owned(), schema.to_string())]), ..Self::default() }
    }

    /// What is said beside the words that join schemas.
    pub(super) fn of(words: &Map<String, Value>) -> Self {
        let kind = words.get("type").filter(|kind| kind.is_string()).unwrap_or(&Value::Null);
        let mut form = Self::of_kind(kind);
        let format = words.get("format").and_then(Value::as_str).unwrap_or_default();
        for (word, limit) in limits_of(format) {
            form.limits.insert(word.to_owned(), limit);
        }
        for (word, value) in words {
            match (Limit::of(word), value) {
                (Some(limit), Value::Number(number)) => {
                    // No text, list or object has less than nothing.
                    if !limit.is_least || limit.of.is_empty() || number.as_f64() != Some(0.0) {
                        form.limits.insert(word.clone(), number.clone());
                    }
                }
                _ if KNOWN.contains(&word.as_str()) || (word == "format" && is_number_format(format)) => {}
                _ if word == "uniqueItems" && *value == false => {}
                _ => {
                    form.rules.insert((word.clone(), value.to_string()));
                }
            }
        }
        let object = |word: &str| words.get(word).and_then(Value::as_object).into_iter().flatten();
        let array = |word: &str| words.get(word).and_then(Value::as_array).into_iter().flatten();
        form.named = object("properties").map(|(name, value)| (name.clone(), value.clone())).collect();
        form.patterns =
            object("patternProperties").map(|(name, value)| (name.clone(), value.clone())).collect();
        form.required = array("required").filter_map(Value::as_str).map(str::to_owned).collect();
        form.others = words.get("additionalProperties").cloned();
        form.first = array("prefixItems").cloned().collect();
        form.rest = words.get("items").cloned();
        form
    }

    /// What is of both forms; `None` if nothing is.
    fn meet(&self, other: &Self) -> Option<Self> {
        let kind = match (self.kind.as_deref(), other.kind.as_deref()) {
            (Some("integer"), Some("number")) | (Some("number"), Some("integer")) => Some("integer"),
            (Some(one), Some(other)) if one != other => return None,
            (one, other) => one.or(other),
        };
        let only = match (&self.only, &other.only) {
            (Some(one), Some(other)) if one != other => return None,
            (one, other) => one.as_ref().or(other.as_ref()),
        };
        let mut met = self.clone();
        met.kind = kind.map(str::to_owned);
        met.only = only.cloned();
        for (word, limit) in &other.limits {
            let is_least = Limit::of(word).is_some_and(|limit| limit.is_least);
            let mine = met.limits.entry(word.clone()).or_insert_with(|| limit.clone());
            if at_most(mine, limit) == is_least {
                *mine = limit.clone();
            }
        }
        met.rules.extend(other.rules.iter().cloned());
        met.required.extend(other.required.iter().cloned());
        for (name, value) in &mut met.named {
            let others = other.named.get(name).into_iter();
            let unnamed = other.unnamed(name).filter(|_| !other.named.contains_key(name));
            others.chain(unnamed).for_each(|other| *value = both(value, other));
        }
        for (name, value) in other.named.iter().filter(|(name, _)| !self.named.contains_key(*name)) {
            let value = self.unnamed(name).fold(value.clone(), |value, mine| both(&value, mine));
            met.named.insert(name.clone(), value);
        }
        for (pattern, value) in &mut met.patterns {
            if let Some(other) = other.patterns.get(pattern).or(other.others.as_ref()) {
                *value = both(value, other);
            }
        }
        for (pattern, value) in
            other.patterns.iter().filter(|(pattern, _)| !self.patterns.contains_key(*pattern))
        {
            let value = self.others.iter().fold(value.clone(), |value, mine| both(&value, mine));
            met.patterns.insert(pattern.clone(), value);
        }
        met.say_others(other.others.as_ref());
        let both_items = |index: usize| {
            let items = [self, other].map(|form| form.first.get(index).or(form.rest.as_ref()));
            items.into_iter().flatten().fold(Value::Bool(true), |item, other| both(&item, other))
        };
        met.first = (0..self.first.len().max(other.first.len())).map(both_items).collect();
        met.rest = match (&self.rest, &other.rest) {
            (Some(mine), Some(other)) => Some(both(mine, other)),
            (mine, other) => mine.as_ref().or(other.as_ref()).cloned(),
        };
        let lacks = |name: &String| met.named.get(name).is_some_and(|value| *value == false);
        let is_possible = met.only.as_ref().is_none_or(|only| met.allows(only));
        (is_possible && !met.required.iter().any(lacks)).then_some(met)
    }

    fn say_others(&mut self, others: Option<&Value>) {
        self.others = match (&self.others, others) {
            (Some(mine), Some(others)) => Some(both(mine, others)),
            (mine, others) => mine.as_ref().or(others).cloned(),
        };
    }

    pub(super) fn may_be(&self, kind: &str) -> bool {
        self.kind.as_deref().is_none_or(|mine| mine == kind)
    }

    /// The key that this is a name of.
    pub(super) fn name_of(&self, name: &str) -> Option<&str> {
        let by_alias = || self.named.iter().find(|(_, schema)| aliases(schema).any(|alias| alias == name));
        let (name, _) = self.named.get_key_value(name).or_else(by_alias)?;
        Some(name)
    }

    /// What is said of a key that has no name here. A pattern that is not known may be one of it, or not.
    pub(super) fn unnamed(&self, name: &str) -> impl Iterator<Item = &Value> {
        let digits = name.strip_prefix('-').unwrap_or(name);
        let is_signed = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let is_unsigned = is_signed && digits.len() == name.len();
        let matches = move |pattern: &str| match pattern {
            SIGNED => Some(is_signed),
            UNSIGNED => Some(is_unsigned),
            _ => None,
        };
        let is_matched = self.patterns.keys().any(|pattern| matches(pattern) == Some(true));
        let patterns = self.patterns.iter().filter(move |(pattern, _)| matches(pattern) != Some(false));
        patterns.map(|(_, value)| value).chain(self.others.as_ref().filter(|_| !is_matched))
    }

    /// Whether it is one of this form; its kind is.
    pub(super) fn takes(&self, value: &Value) -> bool {
        match &self.only {
            Some(only) => only == value,
            None => !value.is_array() && !value.is_object() && self.allows(value),
        }
    }

    /// Whether it is within the limits.
    fn allows(&self, value: &Value) -> bool {
        let fits = |least: &str, most: &str, count: Number| {
            self.limits.get(least).is_none_or(|least| at_most(least, &count))
                && self.limits.get(most).is_none_or(|most| at_most(&count, most))
        };
        let exceeds = |word: &str, number: &Number| {
            self.limits.get(word).is_none_or(|limit| at_most(limit, number) != at_most(number, limit))
        };
        match value {
            Value::Number(number) => {
                fits("minimum", "maximum", number.clone())
                    && exceeds("exclusiveMinimum", number)
                    && exceeds("exclusiveMaximum", number)
                    && fits("exclusiveMinimum", "exclusiveMaximum", number.clone())
            }
            Value::String(text) => {
                fits("minLength", "maxLength", text.chars().count().into())
                    && fits(MIN_BYTES, MAX_BYTES, text.len().into())
            }
            _ => true,
        }
    }

    /// The keys by whose value one tells such forms apart.
    pub(super) fn tags(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.named.iter().filter_map(|(name, value)| Some((name, value.get("const")?)))
    }

    /// Whether it makes sense to say in what the two differ.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        if self.only.is_some() || other.only.is_some() || self.kind.is_none() || self.kind != other.kind {
            return false;
        }
        let is_object = self.kind.as_deref() == Some("object");
        !is_object
            || (self.tags().eq(other.tags()) && (self.named.is_empty() || self.shared_count(other) > 0))
    }

    pub(super) fn shared_count(&self, other: &Self) -> usize {
        self.named.keys().filter(|name| other.named.contains_key(*name)).count()
    }
}

/// In a few words.
impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(value) = &self.only {
            return write!(f, "{value}");
        }
        match self.kind.as_deref() {
            None if self.rules.is_empty() => f.write_str("anything"),
            None => f.write_str("something else"),
            Some("null") => f.write_str("null"),
            Some("integer") => f.write_str("an integer"),
            Some("array") => f.write_str("a list"),
            Some("object") => match (self.tags().next(), self.required.first()) {
                (Some((name, value)), _) => write!(f, "an object with {name:?}: {value}"),
                (None, Some(name)) => write!(f, "an object with {name:?}"),
                (None, None) => f.write_str("an object"),
            },
            Some(kind) => write!(f, "a {kind}"),
        }
    }
}

/// What a word limits.
pub(super) struct Limit {
    pub(super) is_least: bool,
    /// What is counted, behind a space; nothing, if it is the number itself.
    pub(super) of: &'static str,
}

impl Limit {
    pub(super) fn of(word: &str) -> Option<Self> {
        let (is_least, of) = match word {
            "minimum" | "exclusiveMinimum" => (true, ""),
            "maximum" | "exclusiveMaximum" => (false, ""),
            "minLength" => (true, " characters"),
            "maxLength" => (false, " characters"),
            "minItems" => (true, " items"),
            "maxItems" => (false, " items"),
            "minProperties" => (true, " keys"),
            "maxProperties" => (false, " keys"),
            MIN_BYTES => (true, " bytes"),
            MAX_BYTES => (false, " bytes"),
            _ => return None,
        };
        Some(Self { is_least, of })
    }
}

fn is_number_format(format: &str) -> bool {
    matches!(format, "float" | "double") || !limits_of(format).is_empty()
}

/// The limits that the format of a number has, and that are not said. Floats of every size read all numbers.
fn limits_of(format: &str) -> Vec<(&'static str, Number)> {
    let power = |exponent: i32| Number::from_f64(2_f64.powi(exponent));
    let (least, most): (Option<Number>, Option<Number>) = match format {
        "int8" => (Some(i8::MIN.into()), Some(i8::MAX.into())),
        "int16" => (Some(i16::MIN.into()), Some(i16::MAX.into())),
        "int32" => (Some(i32::MIN.into()), Some(i32::MAX.into())),
        "int64" | "int" => (Some(i64::MIN.into()), Some(i64::MAX.into())),
        "int128" => (Number::from_f64(-(2_f64.powi(127))), power(127)),
        "uint8" => (Some(0.into()), Some(u8::MAX.into())),
        "uint16" => (Some(0.into()), Some(u16::MAX.into())),
        "uint32" => (Some(0.into()), Some(u32::MAX.into())),
        "uint64" | "uint" => (Some(0.into()), Some(u64::MAX.into())),
        "uint128" => (Some(0.into()), power(128)),
        _ => (None, None),
    };
    [("minimum", least), ("maximum", most)]
        .into_iter()
        .filter_map(|(word, limit)| Some((word, limit?)))
        .collect()
}

pub(super) fn at_most(one: &Number, other: &Number) -> bool {
    match (integer(one), integer(other)) {
        (Some(one), Some(other)) => one <= other,
        _ => one.as_f64().zip(other.as_f64()).is_some_and(|(one, other)| one <= other),
    }
}

/// The number, if it is a whole one; exactly, where floats are not.
fn integer(number: &Number) -> Option<i128> {
    let whole = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
    let float = number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() < 2_f64.powi(126));
    #[expect(clippy::cast_possible_truncation, reason = "it is a whole number, and not too large")]
    whole.or_else(|| float.map(|float| float as i128))
}

/// The forms that a value may have, one by one; `None` if there are too many.
pub(super) fn forms(schema: &Value, document: &Document) -> Option<Vec<Form>> {
    collect(schema, document, &mut Vec::new())
}

fn collect(schema: &Value, document: &Document, within: &mut Vec<String>) -> Option<Vec<Form>> {
    let words = match schema {
        Value::Object(words) => words,
        Value::Bool(true) => return Some(vec![Form::default()]),
        Value::Bool(false) => return Some(Vec::new()),
        _ => return Some(vec![Form::unknown(schema)]),
    };
    let mut forms = vec![Form::of(words)];
    let array = |word: &str| words.get(word).and_then(Value::as_array);
    if let Some(kinds) = array("type") {
        forms = meet(&forms, &kinds.iter().map(Form::of_kind).collect::<Vec<_>>())?;
    }
    if let Some(value) = words.get("const") {
        forms = meet(&forms, &[Form::of_value(value)])?;
    }
    if let Some(values) = array("enum") {
        forms = meet(&forms, &values.iter().map(Form::of_value).collect::<Vec<_>>())?;
    }
    if let Some(reference) = words.get("$ref") {
        let name = reference.as_str().and_then(target);
        let target = match name.and_then(|name| Some((document.find(&name)?, name.into_owned()))) {
            // What may be itself adds nothing to what it may be.
            Some((_, name)) if within.contains(&name) => Vec::new(),
            Some((schema, name)) => {
                within.push(name);
                let forms = collect(schema, document, within);
                within.pop();
                forms?
            }
            None => vec![Form::unknown(reference)],
        };
        forms = meet(&forms, &target)?;
    }
    for schema in array("allOf").into_iter().flatten() {
        forms = meet(&forms, &collect(schema, document, within)?)?;
    }
    for choices in ["oneOf", "anyOf"].into_iter().filter_map(array) {
        let choices: Option<Vec<_>> =
            choices.iter().map(|choice| collect(choice, document, within)).collect();
        forms = meet(&forms, &choices?.concat())?;
    }
    if let Some(others) = words.get("unevaluatedProperties") {
        forms.iter_mut().for_each(|form| form.say_others(Some(others)));
    }
    match words.get("not") {
        None => {}
        Some(not) if *not == true || *not == json!({}) => forms.clear(),
        Some(not) => forms.iter_mut().for_each(|form| {
            form.rules.insert(("not".to_owned(), not.to_string()));
        }),
    }
    Some(forms)
}

/// What is of a form of each.
fn meet(forms: &[Form], others: &[Form]) -> Option<Vec<Form>> {
    if forms.len() * others.len() > FORMS_MAX {
        return None;
    }
    let pairs = forms.iter().flat_map(|form| others.iter().map(move |other| form.meet(other)));
    Some(pairs.flatten().collect())
}

/// What is one of both.
fn both(one: &Value, other: &Value) -> Value {
    if one == other || *other == true {
        return one.clone();
    }
    match (one, other) {
        (Value::Bool(false), _) | (_, Value::Bool(false)) => false.into(),
        (Value::Bool(true), _) => other.clone(),
        _ => {
            let parts = |schema: &Value| match schema.as_object() {
                Some(words) if words.len() == 1 => words.get("allOf").and_then(Value::as_array).cloned(),
                _ => None,
            };
            let mut all = parts(one).unwrap_or_else(|| vec![one.clone()]);
            for part in parts(other).unwrap_or_else(|| vec![other.clone()]) {
                if !all.contains(&part) {
                    all.push(part);
                }
            }
            json!({ "allOf": all })
        }
    }
}

/// What else a client may call it.
pub(super) fn aliases(schema: &Value) -> impl Iterator<Item = &str> {
    schema.get(ALIASES).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}
