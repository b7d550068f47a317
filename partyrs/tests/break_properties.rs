//! What counts as no break breaks nothing: over generated types and changes of them, with seeds
//! that do not change, every value that is sent is one that is read.

#![cfg(feature = "protocol")]

use partyrs::protocol::{Document, Sender};
use proptest::{
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use serde_json::{Map, Value, json};

/// Types as schemars writes them.
#[derive(Clone, Debug)]
enum Type {
    Any,
    Null,
    Bool,
    Float,
    Integer(&'static str),
    Range(i64, i64),
    Text(u64, Option<u64>),
    Names(Vec<&'static str>),
    List(Box<Type>, u64, Option<u64>),
    Tuple(Vec<Type>),
    Map(Box<Type>),
    ByNumber(&'static str, Box<Type>),
    Struct(Vec<Key>, Others),
    Tagged(Vec<Key>, Vec<(&'static str, Vec<Key>)>),
    Union(Vec<Type>),
    Defined(usize),
}

#[derive(Clone, Debug)]
struct Key {
    name: &'static str,
    of: Type,
    is_required: bool,
}

#[derive(Clone, Debug)]
enum Others {
    Ignored,
    Refused,
    Of(Box<Type>),
}

/// A type, and those to which it may refer.
#[derive(Clone, Debug)]
struct Schema {
    root: Type,
    defined: Vec<Type>,
}

const KEYS: [&str; 4] = ["a", "b", "7", "kind"];
const TAGS: [&str; 4] = ["dot", "line", "ring", "a"];
const FORMATS: [(&str, i128, i128); 6] = [
    ("uint8", 0, u8::MAX as i128),
    ("int8", i8::MIN as i128, i8::MAX as i128),
    ("uint32", 0, u32::MAX as i128),
    ("int32", i32::MIN as i128, i32::MAX as i128),
    ("int64", i64::MIN as i128, i64::MAX as i128),
    ("uint64", 0, u64::MAX as i128),
];
const NUMBERS: [&str; 2] = [r"^\d+$", r"^-?\d+$"];

/// Choices, all of which follow from a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, count: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % count as u64).unwrap_or(0)
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    fn some<T: Copy>(&mut self, choices: &[T]) -> Vec<T> {
        let chosen: Vec<T> = choices.iter().copied().filter(|_| self.one_in(2)).collect();
        if chosen.is_empty() { vec![self.of(choices)] } else { chosen }
    }

    fn ty(&mut self, depth: usize) -> Type {
        match self.below(if depth == 0 { 8 } else { 17 }) {
            0 => Type::Null,
            1 => Type::Bool,
            2 => Type::Float,
            3 => Type::Integer(self.of(&FORMATS).0),
            4 => Type::Range(self.of(&[-5, 0]), self.of(&[3, 300])),
            5 => Type::Text(self.of(&[0, 1, 2]), self.of(&[None, Some(2), Some(4)])),
            6 => Type::Names(self.some(&TAGS)),
            7 if self.one_in(4) => Type::Any,
            7 => Type::Text(0, None),
            8 => Type::List(Box::new(self.ty(depth - 1)), self.of(&[0, 1]), self.of(&[None, Some(2)])),
            9 => Type::Tuple((0..1 + self.below(3)).map(|_| self.ty(depth - 1)).collect()),
            10 => Type::Map(Box::new(self.ty(depth - 1))),
            11 => Type::ByNumber(self.of(&NUMBERS), Box::new(self.ty(depth - 1))),
            12 | 13 => Type::Struct(self.keys(depth - 1), self.others(depth - 1)),
            14 => {
                let keys = if self.one_in(2) { Vec::new() } else { self.keys(depth - 1) };
                let variants = self.some(&TAGS).into_iter().map(|tag| (tag, self.keys(depth - 1)));
                Type::Tagged(keys, variants.collect())
            }
            15 => Type::Union((0..1 + self.below(3)).map(|_| self.ty(depth - 1)).collect()),
            _ => Type::Defined(self.below(2)),
        }
    }

    fn keys(&mut self, depth: usize) -> Vec<Key> {
        let names = self.some(&KEYS[..3]);
        names.into_iter().map(|name| Key { name, of: self.ty(depth), is_required: self.one_in(2) }).collect()
    }

    fn others(&mut self, depth: usize) -> Others {
        match self.below(6) {
            0 => Others::Refused,
            1 => Others::Of(Box::new(self.ty(depth))),
            _ => Others::Ignored,
        }
    }

    fn schema(&mut self) -> Schema {
        Schema { root: self.ty(3), defined: (0..2).map(|_| self.ty(2)).collect() }
    }

    /// Something in it is another now.
    fn change(&mut self, ty: &mut Type) {
        if self.one_in(8) {
            *ty = if self.one_in(2) { self.ty(1) } else { Type::Union(vec![ty.clone(), Type::Null]) };
            return;
        }
        match ty {
            Type::Any | Type::Null | Type::Bool | Type::Float => *ty = self.ty(1),
            Type::Integer(format) => *format = self.of(&FORMATS).0,
            Type::Range(least, most) => (*least, *most) = (self.of(&[-5, 0]), self.of(&[3, 300])),
            Type::Text(least, most) => {
                (*least, *most) = (self.of(&[0, 1, 2]), self.of(&[None, Some(2), Some(4)]));
            }
            Type::Names(names) => *names = self.some(&TAGS),
            Type::List(_, least, most) if self.one_in(3) => {
                (*least, *most) = (self.of(&[0, 1]), self.of(&[None, Some(2)]));
            }
            Type::ByNumber(pattern, _) if self.one_in(3) => *pattern = self.of(&NUMBERS),
            Type::List(of, ..) | Type::Map(of) | Type::ByNumber(_, of) => self.change(of),
            Type::Tuple(of) | Type::Union(of) => match self.below(4) {
                0 => of.push(self.ty(1)),
                1 if of.len() > 1 => drop(of.remove(0)),
                _ => {
                    let at = self.below(of.len());
                    self.change(&mut of[at]);
                }
            },
            Type::Struct(_, others) if self.one_in(4) => *others = self.others(1),
            Type::Struct(keys, _) => self.change_keys(keys),
            Type::Tagged(keys, _) if !keys.is_empty() && self.one_in(3) => self.change_keys(keys),
            Type::Tagged(_, variants) => match self.below(3) {
                0 => {
                    let tag = self.of(&TAGS);
                    variants.retain(|(known, _)| *known != tag);
                    variants.push((tag, self.keys(1)));
                }
                1 if variants.len() > 1 => drop(variants.remove(0)),
                _ => {
                    let at = self.below(variants.len());
                    self.change_keys(&mut variants[at].1);
                }
            },
            Type::Defined(at) => *at = 1 - *at,
        }
    }

    fn change_keys(&mut self, keys: &mut Vec<Key>) {
        let name = self.of(&KEYS[..3]);
        match keys.iter().position(|key| key.name == name) {
            None => keys.push(Key { name, of: self.ty(1), is_required: self.one_in(3) }),
            Some(at) => match self.below(4) {
                0 => drop(keys.remove(at)),
                1 => keys[at].is_required ^= true,
                _ => self.change(&mut keys[at].of),
            },
        }
    }

    /// It may be more now, and is all that it was.
    fn widen(&mut self, ty: &mut Type) {
        match ty {
            _ if self.one_in(6) => *ty = Type::Union(vec![self.ty(1), ty.clone()]),
            Type::Null | Type::Bool | Type::Float | Type::Any | Type::Defined(_) => {
                *ty = Type::Union(vec![ty.clone(), self.ty(1)]);
            }
            Type::Integer("uint8") => *ty = Type::Integer(self.of(&["uint32", "int32", "uint64"])),
            Type::Integer(_) => *ty = Type::Float,
            Type::Range(least, most) => (*least, *most) = (*least - 1, *most + 1),
            Type::Text(least, most) => (*least, *most) = (least.saturating_sub(1), most.map(|most| most + 1)),
            Type::Names(names) => names.push("more"),
            Type::List(_, least @ 1, _) => *least = 0,
            Type::List(of, _, most) => {
                *most = most.map(|most| most + 1);
                self.widen(of);
            }
            Type::ByNumber(pattern, of) => {
                *pattern = NUMBERS[1];
                self.widen(of);
            }
            Type::Map(of) => self.widen(of),
            Type::Tuple(of) => {
                let at = self.below(of.len());
                self.widen(&mut of[at]);
            }
            Type::Union(of) => of.insert(0, self.ty(1)),
            Type::Struct(keys, Others::Ignored) => {
                keys.iter_mut().for_each(|key| key.is_required = false);
                keys.push(Key { name: "more", of: self.ty(1), is_required: false });
            }
            Type::Struct(keys, _) => {
                let at = self.below(keys.len());
                self.widen(&mut keys[at].of);
            }
            Type::Tagged(_, variants) => variants.push(("more", self.keys(1))),
        }
    }

    /// A value of the type, if one is found that ends.
    fn sample(&mut self, ty: &Type, defined: &[Type], strange: bool, depth: usize) -> Option<Value> {
        let fuel = depth.checked_sub(1)?;
        Some(match ty {
            Type::Any => match self.below(3) {
                0 => json!({ "a": [true] }),
                1 => "any".into(),
                _ => 0.5.into(),
            },
            Type::Null => Value::Null,
            Type::Bool => self.one_in(2).into(),
            Type::Float => match self.below(3) {
                0 => 0.5.into(),
                1 => (-1).into(),
                _ => 1e300.into(),
            },
            Type::Integer(format) => {
                let (_, least, most) = FORMATS.into_iter().find(|(known, ..)| known == format)?;
                let number = self.of(&[least, most, 0, 1]);
                i64::try_from(number).map_or_else(|_| json!(u64::MAX), |number| json!(number))
            }
            Type::Range(least, most) => self.of(&[*least, *most, 1]).into(),
            Type::Text(least, most) => {
                let len = self.of(&[*least, most.unwrap_or(9)]);
                "é".repeat(usize::try_from(len.max(*least)).ok()?).into()
            }
            Type::Names(names) => self.of(names).into(),
            Type::List(of, least, most) => {
                let count = if fuel < 2 { *least } else { self.of(&[*least, most.unwrap_or(3)]) };
                let items = (0..count).map(|_| self.sample(of, defined, strange, fuel));
                items.collect::<Option<Vec<_>>>()?.into()
            }
            Type::Tuple(of) => {
                let items = of.iter().map(|ty| self.sample(ty, defined, strange, fuel));
                items.collect::<Option<Vec<_>>>()?.into()
            }
            Type::Map(of) => self.sample_map(&["a", "b", "7", "-7", "é"], of, defined, strange, fuel).into(),
            Type::ByNumber(pattern, of) => {
                let keys: &[_] = if *pattern == NUMBERS[0] { &["7", "70"] } else { &["7", "-7"] };
                self.sample_map(keys, of, defined, strange, fuel).into()
            }
            Type::Struct(keys, others) => {
                let mut object = match others {
                    Others::Of(of) => self.sample_map(&["a", "b", "-7", "é"], of, defined, strange, fuel),
                    Others::Ignored if strange => Map::from_iter([("strange".to_owned(), json!([null]))]),
                    _ => Map::new(),
                };
                self.sample_keys(keys, defined, strange, fuel, &mut object)?;
                object.into()
            }
            Type::Tagged(keys, variants) => {
                let (tag, more) = &variants[self.below(variants.len())];
                let mut object = Map::from_iter([("kind".to_owned(), (*tag).into())]);
                self.sample_keys(more, defined, strange, fuel, &mut object)?;
                self.sample_keys(keys, defined, strange, fuel, &mut object)?;
                object.into()
            }
            Type::Union(of) => {
                let from = self.below(of.len());
                (0..of.len())
                    .find_map(|at| self.sample(&of[(from + at) % of.len()], defined, strange, fuel))?
            }
            Type::Defined(at) => self.sample(&defined[*at], defined, strange, fuel)?,
        })
    }

    fn sample_map(
        &mut self,
        keys: &[&str],
        of: &Type,
        defined: &[Type],
        strange: bool,
        fuel: usize,
    ) -> Map<String, Value> {
        let mut object = Map::new();
        for key in keys {
            if self.one_in(2)
                && let Some(value) = self.sample(of, defined, strange, fuel)
            {
                object.insert((*key).to_owned(), value);
            }
        }
        object
    }

    fn sample_keys(
        &mut self,
        keys: &[Key],
        defined: &[Type],
        strange: bool,
        fuel: usize,
        object: &mut Map<String, Value>,
    ) -> Option<()> {
        for key in keys {
            object.remove(key.name);
            if key.is_required || self.one_in(2) {
                match self.sample(&key.of, defined, strange, fuel) {
                    Some(value) => drop(object.insert(key.name.to_owned(), value)),
                    None if key.is_required => return None,
                    None => {}
                }
            }
        }
        Some(())
    }
}

impl Type {
    fn schema(&self) -> Value {
        match self {
            Self::Any => Value::Bool(true),
            Self::Null => json!({ "type": "null" }),
            Self::Bool => json!({ "type": "boolean" }),
            Self::Float => json!({ "type": "number", "format": "double" }),
            Self::Integer(format @ "uint8") => {
                json!({ "type": "integer", "format": format, "minimum": 0, "maximum": 255 })
            }
            Self::Integer(format) => json!({ "type": "integer", "format": format }),
            Self::Range(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
            Self::Text(least, most) => {
                let mut schema = json!({ "type": "string", "minLength": least });
                most.iter().for_each(|most| schema["maxLength"] = (*most).into());
                schema
            }
            Self::Names(names) => json!({ "type": "string", "enum": names }),
            Self::List(of, least, most) => {
                let mut schema = json!({ "type": "array", "items": of.schema(), "minItems": least });
                most.iter().for_each(|most| schema["maxItems"] = (*most).into());
                schema
            }
            Self::Tuple(of) => {
                let items: Vec<_> = of.iter().map(Self::schema).collect();
                json!({ "type": "array", "prefixItems": items, "minItems": of.len(), "maxItems": of.len() })
            }
            Self::Map(of) => json!({ "type": "object", "additionalProperties": of.schema() }),
            Self::ByNumber(pattern, of) => json!({
                "type": "object",
                "patternProperties": { *pattern: of.schema() },
                "additionalProperties": false,
            }),
            Self::Struct(keys, others) => {
                let mut schema = object(keys);
                match others {
                    Others::Ignored => {}
                    Others::Refused => schema["additionalProperties"] = false.into(),
                    Others::Of(of) => schema["additionalProperties"] = of.schema(),
                }
                schema
            }
            Self::Tagged(keys, variants) => {
                let variants: Vec<_> = variants
                    .iter()
                    .map(|(tag, keys)| {
                        let mut variant = object(keys);
                        variant["properties"]["kind"] = json!({ "const": tag });
                        variant["required"].as_array_mut().expect("a list").push("kind".into());
                        variant
                    })
                    .collect();
                let mut schema = object(keys);
                // Beside the keys, or behind a reference.
                match keys.len() % 2 {
                    0 => schema["oneOf"] = variants.into(),
                    _ => schema["allOf"] = json!([{ "oneOf": variants }]),
                }
                schema
            }
            Self::Union(of) => json!({ "anyOf": of.iter().map(Self::schema).collect::<Vec<_>>() }),
            Self::Defined(at) => json!({ "$ref": format!("#/$defs/D{at}") }),
        }
    }
}

fn object(keys: &[Key]) -> Value {
    let properties: Map<_, _> = keys.iter().map(|key| (key.name.to_owned(), key.of.schema())).collect();
    let required: Vec<_> = keys.iter().filter(|key| key.is_required).map(|key| key.name).collect();
    json!({ "type": "object", "properties": properties, "required": required })
}

impl Schema {
    fn document(&self) -> Document {
        let mut definitions =
            json!({ "ClientMessage": self.root.schema(), "RoomMessage": self.root.schema() });
        for (at, ty) in self.defined.iter().enumerate() {
            definitions[format!("D{at}")] = ty.schema();
        }
        let text = json!({ "title": "main", "$defs": definitions }).to_string();
        Document::from_json(&text).expect("a protocol")
    }
}

/// Whether the value is one that the schema describes, for one who refuses keys where the schema does, or ignores them.
fn is_valid(value: &Value, schema: &Value, document: &Document, refuses: bool, depth: usize) -> bool {
    let Some(words) = schema.as_object() else { return *schema == true };
    // A reference that leads to itself without a value between describes nothing.
    let Some(depth) = depth.checked_sub(1) else { return false };
    let is_valid = |value: &Value, schema: &Value| is_valid(value, schema, document, refuses, depth);
    let list = |word: &str| words.get(word).and_then(Value::as_array);
    let limit = |word: &str| words.get(word).and_then(Value::as_u64);
    let count = |least: &str, most: &str, count: usize| {
        limit(least).is_none_or(|least| count as u64 >= least)
            && limit(most).is_none_or(|most| count as u64 <= most)
    };
    let kind = match words.get("type").and_then(Value::as_str) {
        None => true,
        Some("null") => value.is_null(),
        Some("boolean") => value.is_boolean(),
        Some("number") => value.is_number(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("string") => value.is_string(),
        Some("array") => value.is_array(),
        Some(_) => value.is_object(),
    };
    let own = match value {
        Value::Number(number) => {
            let number = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
            let format = words.get("format").and_then(Value::as_str);
            let known = FORMATS.iter().find(|(known, ..)| Some(*known) == format);
            let least = words.get("minimum").and_then(Value::as_i64).map(i128::from);
            let most = words.get("maximum").and_then(Value::as_i64).map(i128::from);
            number.is_none_or(|number| {
                known.is_none_or(|(_, least, most)| (*least..=*most).contains(&number))
                    && least.is_none_or(|least| number >= least)
                    && most.is_none_or(|most| number <= most)
            })
        }
        Value::String(text) => count("minLength", "maxLength", text.chars().count()),
        Value::Array(items) => {
            let first = list("prefixItems").map_or(&[][..], Vec::as_slice);
            let rest = words.get("items");
            count("minItems", "maxItems", items.len())
                && items
                    .iter()
                    .enumerate()
                    .all(|(at, item)| first.get(at).or(rest).is_none_or(|schema| is_valid(item, schema)))
        }
        Value::Object(object) => {
            let has = |name: &Value| name.as_str().is_some_and(|name| object.contains_key(name));
            let named = words.get("properties").and_then(Value::as_object);
            let pattern = words.get("patternProperties").and_then(Value::as_object);
            let others = words.get("additionalProperties");
            list("required").is_none_or(|names| names.iter().all(has))
                && object.iter().all(|(name, value)| {
                    if let Some(schema) = named.and_then(|named| named.get(name)) {
                        return is_valid(value, schema);
                    }
                    let digits =
                        |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
                    let matched = pattern.into_iter().flatten().find(|(pattern, _)| {
                        digits(name) || (*pattern == NUMBERS[1] && name.strip_prefix('-').is_some_and(digits))
                    });
                    match matched.map(|(_, schema)| schema).or(others) {
                        Some(Value::Bool(false)) => !refuses,
                        Some(schema) => is_valid(value, schema),
                        None => true,
                    }
                })
        }
        Value::Null | Value::Bool(_) => true,
    };
    let any =
        |word: &str| list(word).is_none_or(|schemas| schemas.iter().any(|schema| is_valid(value, schema)));
    let referred = words.get("$ref").and_then(Value::as_str).and_then(|to| to.strip_prefix("#/$defs/"));
    kind && own
        && words.get("const").is_none_or(|only| only == value)
        && list("enum").is_none_or(|values| values.contains(value))
        && any("anyOf")
        && any("oneOf")
        && list("allOf").is_none_or(|schemas| schemas.iter().all(|schema| is_valid(value, schema)))
        && referred.is_none_or(|name| is_valid(value, &document.json_schema()["$defs"][name]))
}

/// Runs `claim` with many seeds, always the same.
fn for_seeds(count: u32, claim: impl Fn(u64) -> Result<(), TestCaseError>) {
    let config = Config { cases: count, failure_persistence: None, max_shrink_iters: 0, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(config, rng);
    if let Err(error) = runner.run(&any::<u64>(), claim) {
        panic!("{error}");
    }
}

/// How deep sampled values lie in each other.
const DEPTH: usize = 12;

/// For both directions: who is told of no break reads what is sent.
#[test]
fn what_counts_as_no_break_breaks_nothing() {
    let (quiet, values) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
    for_seeds(2000, |seed| {
        let mut dice = Dice(seed);
        let was = dice.schema();
        let mut now = was.clone();
        for _ in 0..1 + dice.below(2) {
            match dice.below(3) {
                0 => {
                    let at = dice.below(2);
                    dice.change(&mut now.defined[at]);
                }
                _ => dice.change(&mut now.root),
            }
        }
        let (earlier, later) = (was.document(), now.document());
        let breaks = later.breaks_since(&earlier);
        for (sender, written, writer, reader) in
            [(Sender::Client, &was, &earlier, &later), (Sender::Room, &now, &later, &earlier)]
        {
            if breaks.iter().any(|found| found.sender() == sender) {
                continue;
            }
            quiet.set(quiet.get() + 1);
            let [writes, reads] =
                [writer, reader].map(|document| &document.json_schema()["$defs"]["ClientMessage"]);
            // Clients may send keys that rooms ignore, and ignore themselves what they do not know.
            let is_client = sender == Sender::Client;
            for _ in 0..20 {
                let value = dice.sample(&written.root, &written.defined, is_client, DEPTH);
                // Keys that must hold together are sampled apart.
                let Some(value) = value.filter(|value| is_valid(value, writes, writer, true, 64)) else {
                    continue;
                };
                values.set(values.get() + 1);
                let is_read = is_valid(&value, reads, reader, is_client, 64);
                prop_assert!(is_read, "{sender:?} sends {value}\nwas {was:?}\nnow {now:?}");
            }
        }
        Ok(())
    });
    assert!(quiet.get() > 700 && values.get() > 7_000, "{} {}", quiet.get(), values.get());
}

#[test]
fn what_may_be_more_breaks_nothing_for_those_who_send_less() {
    for_seeds(2000, |seed| {
        let mut dice = Dice(seed);
        let less = dice.schema();
        let mut more = less.clone();
        dice.widen(&mut more.root);
        let (narrow, wide) = (less.document(), more.document());
        let told: Vec<_> =
            wide.breaks_since(&narrow).into_iter().filter(|it| it.sender() == Sender::Client).collect();
        prop_assert!(told.is_empty(), "{told:?}\nwas {less:?}\nnow {more:?}");
        let told: Vec<_> =
            narrow.breaks_since(&wide).into_iter().filter(|it| it.sender() == Sender::Room).collect();
        prop_assert!(told.is_empty(), "{told:?}\nwas {more:?}\nnow {less:?}");
        Ok(())
    });
}

#[test]
fn the_names_of_types_break_nothing() {
    for_seeds(1000, |seed| {
        let document = Dice(seed).schema().document();
        prop_assert_eq!(document.breaks_since(&document), []);
        let renamed = document.to_json().replace("\"D0\"", "\"E0\"").replace("$defs/D0", "$defs/E0");
        let renamed = Document::from_json(&renamed).expect("a protocol");
        prop_assert_eq!(renamed.breaks_since(&document), []);
        prop_assert_eq!(document.breaks_since(&renamed), []);
        Ok(())
    });
}

/// A protocol in which both send what is defined as `root`.
fn protocol(root: &Value, definitions: impl IntoIterator<Item = (String, Value)>) -> Document {
    let mut all: Map<_, _> = definitions.into_iter().collect();
    all.insert("ClientMessage".to_owned(), root.clone());
    all.insert("RoomMessage".to_owned(), root.clone());
    Document::from_json(&json!({ "title": "main", "$defs": all }).to_string()).expect("a protocol")
}

/// Each variant of each level might be each of the other: tried one by one, that has no end.
#[test]
fn variants_in_variants_are_compared_in_a_time_that_ends() {
    let tower = |most: u32| {
        (0..10).fold(json!({ "type": "integer", "minimum": 0, "maximum": most }), |inner, _| {
            let variant = |key: String| {
                json!({ "type": "object", "properties": { "next": inner, key: { "type": "null" } }, "required": ["next"] })
            };
            json!({ "anyOf": [variant("a".to_owned()), variant("b".to_owned())] })
        })
    };
    let [was, now] = [300, 200].map(|most| protocol(&tower(most), []));
    assert_eq!(was.breaks_since(&was), []);
    assert!(!now.breaks_since(&was).is_empty());

    // By references, and more of them.
    let level = |at: usize| ["$ref"].map(|word| (word.to_owned(), format!("#/$defs/L{at}").into()));
    let tower = |most: u32| {
        let levels = (0..40).map(|at| {
            let variant = |key: usize| {
                let next = Value::Object(Map::from_iter(level(at + 1)));
                let properties = Map::from_iter([("next".to_owned(), next), (format!("k{key}"), json!({}))]);
                json!({ "type": "object", "properties": properties, "required": ["next"] })
            };
            (format!("L{at}"), json!({ "anyOf": (0..12).map(variant).collect::<Vec<_>>() }))
        });
        let last = ("L40".to_owned(), json!({ "type": "integer", "minimum": 0, "maximum": most }));
        protocol(&Value::Object(Map::from_iter(level(0))), levels.chain([last]).collect::<Vec<_>>())
    };
    let [was, now] = [300, 200].map(tower);
    assert_eq!(was.breaks_since(&was), []);
    let told = now.breaks_since(&was);
    assert!(!told.is_empty() && told.len() < 2000, "{}", told.len());
}

/// Twice each level: told at each place, that would be 2^40 lines.
#[test]
fn a_break_in_a_type_that_is_used_often_is_told_once_for_each_use() {
    let both = |most: u32| {
        let levels = (0..40).map(|at| {
            let next = json!({ "$ref": format!("#/$defs/L{}", at + 1) });
            let object =
                json!({ "type": "object", "properties": { "a": next, "b": next }, "required": ["a", "b"] });
            (format!("L{at}"), object)
        });
        let last = ("L40".to_owned(), json!({ "type": "integer", "minimum": 0, "maximum": most }));
        protocol(&json!({ "$ref": "#/$defs/L0" }), levels.chain([last]))
    };
    let told = both(200).breaks_since(&both(300));
    assert_eq!(told.len(), 41);
    assert!(told[1].to_string().ends_with(".b`: the same as at `a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a`"), "{}", told[1]);
}

/// On the stack of a test, which is small.
#[test]
fn types_that_lie_deep_in_each_other_are_compared_as_far_as_can_be() {
    let chain = |most: u32| {
        let levels = (0..2000).map(|at| {
            let next = json!({ "$ref": format!("#/$defs/L{}", at + 1) });
            (format!("L{at}"), json!({ "type": "object", "properties": { "next": next } }))
        });
        let last = ("L2000".to_owned(), json!({ "type": "integer", "minimum": 0, "maximum": most }));
        protocol(&json!({ "$ref": "#/$defs/L0" }), levels.chain([last]))
    };
    let (was, now) = (chain(300), chain(200));
    assert_eq!(was.breaks_since(&was), []);
    let told: Vec<_> = now.breaks_since(&was).iter().map(ToString::to_string).collect();
    assert!(
        told[0].ends_with("it has changed, and is too large to say whether that breaks anything"),
        "{told:?}"
    );
}

/// As many as anyone has, and more forms of a value than are compared.
#[test]
fn many_variants_are_compared() {
    let names = |count: usize| {
        let names: Vec<_> = (0..count).map(|at| format!("name-{at}")).collect();
        protocol(&json!({ "type": "string", "enum": names }), [])
    };
    let told: Vec<_> = names(999).breaks_since(&names(1000)).iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "what clients send, `every message`: it can no longer be \"name-999\"; clients that send that are refused"
        ]
    );
    let told: Vec<_> = names(2000).breaks_since(&names(2001)).iter().map(ToString::to_string).collect();
    assert!(
        told[0].ends_with("it has changed, and has too many forms to say whether that breaks anything"),
        "{told:?}"
    );
    assert_eq!(names(2000).breaks_since(&names(2000)), []);
}
