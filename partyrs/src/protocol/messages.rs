//! The messages of one direction, as their derive says them, and as JSON Schema.

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::Sender;
use super::rules::{Book, kinds, resolve};
use crate::__private::{RuleSink, ToldRule};

/// Other names for a key or a tag that a client may use.
pub(super) const ALIASES: &str = "x-aliases";
/// Binary frames are messages too.
pub(super) const BINARY: &str = "x-binary";

/// Takes the description of the messages of one direction.
#[derive(Debug)]
pub struct Messages {
    sender: Sender,
    generator: SchemaGenerator,
    tag: Option<String>,
    content: Option<String>,
    drafts: Vec<Draft>,
    /// Of messages without a tag, what any of them looks like.
    any: Option<Schema>,
    binary: Option<String>,
}

/// One message, while it is being described.
#[derive(Debug)]
pub struct Message<'a> {
    messages: &'a mut Messages,
    draft: Draft,
}

/// One key of a message, while it is being described.
#[derive(Debug)]
pub struct Field<'a> {
    generator: &'a mut SchemaGenerator,
    sender: Sender,
    docs: String,
    aliases: Vec<String>,
    may_lack: bool,
    schema: Schema,
}

/// What is known of a message.
#[derive(Debug, Default)]
struct Draft {
    name: String,
    docs: String,
    aliases: Vec<String>,
    fields: Vec<Key>,
    /// Objects whose keys stand among those of the message.
    spread: Vec<Schema>,
    /// Whether there is an object under the key for the content.
    has_object: bool,
    /// What stands under the key for the content, if that is no object of named fields.
    value: Option<(Value, bool)>,
    /// Whether its keys stand beside the tag even where there is a key for the content.
    is_beside_tag: bool,
    is_strict: bool,
}

/// What is known of a key.
#[derive(Debug)]
struct Key {
    name: String,
    may_lack: bool,
    schema: Value,
}

impl Messages {
    pub(super) fn new(sender: Sender) -> Self {
        let settings = match sender {
            Sender::Client => SchemaSettings::draft2020_12().for_deserialize(),
            Sender::Room => SchemaSettings::draft2020_12().for_serialize(),
        };
        let generator = settings.into_generator();
        Self { sender, generator, tag: None, content: None, drafts: Vec::new(), any: None, binary: None }
    }

    /// The key that tells the messages apart.
    pub fn tag(&mut self, key: &str) -> &mut Self {
        self.tag = Some(key.to_owned());
        self
    }

    /// The key under which stands what a message says. Without it, that stands beside the tag.
    pub fn content(&mut self, key: &str) -> &mut Self {
        self.content = Some(key.to_owned());
        self
    }

    /// One message; `name` is the value of the tag.
    pub fn message(&mut self, name: &str, describe: impl FnOnce(Message<'_>) -> Message<'_>) -> &mut Self {
        let draft = Draft { name: name.to_owned(), ..Draft::default() };
        let draft = describe(Message { messages: self, draft }).draft;
        self.drafts.push(draft);
        self
    }

    /// One that stands for all whose tag nobody has. A room that sends it by a tag of its own says
    /// that as `name`; else there is nothing that could be said of it.
    pub fn other(&mut self, name: Option<&str>, docs: &str) -> &mut Self {
        match name {
            Some(name) if self.sender == Sender::Room => self.message(name, |message| message.docs(docs)),
            _ => self,
        }
    }

    /// Messages that look like `T`, without a tag.
    pub fn any<T: JsonSchema + ?Sized>(&mut self) -> &mut Self {
        self.any = Some(self.generator.subschema_for::<T>());
        self
    }

    /// Binary frames are messages too.
    pub fn binary(&mut self, docs: &str) -> &mut Self {
        self.binary = Some(docs.to_owned());
        self
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.drafts.iter().any(|draft| draft.name == name)
    }

    pub(super) fn tag_key(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The schema of any of the messages, and of the types that it refers to.
    pub(super) fn into_schema(mut self) -> (Value, Map<String, Value>) {
        let drafts = std::mem::take(&mut self.drafts);
        let mut messages: Vec<Value> = drafts.into_iter().map(|draft| self.object(draft)).collect();
        messages.extend(self.any.take().map(Schema::to_value));
        let mut schema = match (messages.len(), &self.tag) {
            (0, _) => json!({ "not": {} }),
            (1, None) => messages.remove(0),
            _ => json!({ "oneOf": messages }),
        };
        if let Some(tag) = &self.tag {
            schema["discriminator"] = json!({ "propertyName": tag });
        }
        if let Some(docs) = &self.binary {
            schema[BINARY] = json!({ "description": docs });
        }
        (schema, self.generator.take_definitions(true))
    }

    fn object(&self, draft: Draft) -> Value {
        let mut object = Object::default();
        if !draft.docs.is_empty() {
            object.schema.insert("description".to_owned(), draft.docs.into());
        }
        if let Some(tag) = &self.tag {
            let mut name = json!({ "const": draft.name });
            set_aliases(&mut name, draft.aliases);
            object.key(Key { name: tag.clone(), may_lack: false, schema: name });
        }
        let content = self.content.as_ref().filter(|_| !draft.is_beside_tag);
        let mut inner = Object::default();
        let within = if content.is_some() { &mut inner } else { &mut object };
        draft.fields.into_iter().for_each(|key| within.key(key));
        for schema in draft.spread {
            within.spread(schema, &self.generator);
        }
        within.is_strict |= draft.is_strict;
        if let Some(content) = content {
            let value = draft.value.or_else(|| draft.has_object.then(|| (inner.into_value(), false)));
            if let Some((schema, may_lack)) = value {
                object.key(Key { name: content.clone(), may_lack, schema });
            }
            object.is_strict = draft.is_strict;
        }
        object.into_value()
    }
}

impl Message<'_> {
    /// What it is for, as Markdown.
    #[must_use]
    pub fn docs(mut self, docs: &str) -> Self {
        docs.clone_into(&mut self.draft.docs);
        self
    }

    /// Another value of the tag that a client may use for it.
    #[must_use]
    pub fn alias(mut self, name: &str) -> Self {
        if self.messages.sender == Sender::Client {
            self.draft.aliases.push(name.to_owned());
        }
        self
    }

    /// Keys that are not named are an error.
    #[must_use]
    pub fn strict(mut self) -> Self {
        self.draft.is_strict = true;
        self
    }

    /// A key of it, whose value is a `T`.
    #[must_use]
    pub fn field<T: JsonSchema + ?Sized>(
        mut self,
        name: &str,
        describe: impl FnOnce(Field<'_>) -> Field<'_>,
    ) -> Self {
        let (schema, may_lack) = self.value_of::<T>(describe);
        self.draft.fields.push(Key { name: name.to_owned(), may_lack, schema });
        self
    }

    /// The keys of `T` stand among its own.
    #[must_use]
    pub fn spread<T: JsonSchema + ?Sized>(mut self) -> Self {
        let schema = self.messages.generator.subschema_for::<T>();
        self.draft.spread.push(schema);
        self
    }

    /// A `T` stands under the key for the content.
    #[must_use]
    pub fn value<T: JsonSchema + ?Sized>(mut self, describe: impl FnOnce(Field<'_>) -> Field<'_>) -> Self {
        self.draft.value = Some(self.value_of::<T>(describe));
        self
    }

    /// Under the key for the content stands an object with its keys, even if there are none.
    #[must_use]
    pub fn object(mut self) -> Self {
        self.draft.has_object = true;
        self
    }

    fn value_of<T: JsonSchema + ?Sized>(
        &mut self,
        describe: impl FnOnce(Field<'_>) -> Field<'_>,
    ) -> (Value, bool) {
        let schema = self.messages.generator.subschema_for::<T>();
        let field = Field {
            generator: &mut self.messages.generator,
            sender: self.messages.sender,
            docs: String::new(),
            aliases: Vec::new(),
            may_lack: false,
            schema,
        };
        let field = describe(field);
        let mut schema = field.schema;
        if !field.docs.is_empty() {
            schema.insert("description".to_owned(), field.docs.into());
        }
        let mut schema = schema.to_value();
        set_aliases(&mut schema, field.aliases);
        (schema, field.may_lack)
    }
}

impl Field<'_> {
    /// What it is, as Markdown.
    #[must_use]
    pub fn docs(mut self, docs: &str) -> Self {
        docs.clone_into(&mut self.docs);
        self
    }

    /// Another key that a client may use for it.
    #[must_use]
    pub fn alias(mut self, name: &str) -> Self {
        if self.sender == Sender::Client {
            self.aliases.push(name.to_owned());
        }
        self
    }

    /// Messages of `sender` may do without it.
    #[must_use]
    pub fn may_lack(mut self, sender: Sender) -> Self {
        self.may_lack |= self.sender == sender;
        self
    }

    /// A rule for what clients send: so many characters or items.
    #[must_use]
    pub fn len(self, min: Option<usize>, max: Option<usize>) -> Self {
        self.told(|told| told.rule(&[], ToldRule::Len(min, max)))
    }

    /// A rule for what clients send: so many bytes.
    #[must_use]
    pub fn bytes(self, min: Option<usize>, max: Option<usize>) -> Self {
        self.told(|told| told.rule(&[], ToldRule::Bytes(min, max)))
    }

    /// A rule for what clients send: a number from `min` to `max`.
    #[must_use]
    pub fn range<T: std::fmt::Display>(self, min: Option<T>, max: Option<T>) -> Self {
        self.told(|told| told.rule(&[], ToldRule::range(min, max)))
    }

    /// A rule for what clients send: a text in which this regular expression finds something.
    #[must_use]
    pub fn pattern(self, pattern: &'static str) -> Self {
        self.told(|told| told.rule(&[], ToldRule::Pattern(pattern)))
    }

    /// Rules for what clients send; nobody checks what a room sends.
    #[doc(hidden)]
    #[must_use]
    pub fn told(mut self, tell: impl FnOnce(&mut dyn RuleSink)) -> Self {
        if self.sender == Sender::Client {
            tell(&mut Book::new(self.generator, &mut self.schema));
        }
        self
    }
}

/// The schema of an object, as it grows.
#[derive(Default)]
struct Object {
    schema: Map<String, Value>,
    properties: Map<String, Value>,
    required: Vec<Value>,
    all_of: Vec<Value>,
    is_strict: bool,
}

impl Object {
    fn key(&mut self, Key { name, may_lack, schema }: Key) {
        if !may_lack {
            self.required.push(name.clone().into());
        }
        self.properties.insert(name, schema);
    }

    /// The keys of `schema` too. By a reference where that says the same; an object that
    /// says something of keys which it does not name must not be asked about the tag.
    fn spread(&mut self, mut schema: Schema, generator: &SchemaGenerator) {
        if let Some(within) = within_option(schema.as_value()) {
            // `None` is no key at all, in both directions.
            return self.all_of.push(json!({ "anyOf": [within, {}] }));
        }
        if let Some(Value::Array(kinds)) = schema.get_mut("type") {
            kinds.retain(|kind| kind != "null");
            schema.remove("required");
        }
        let target = resolve(schema.as_value(), generator);
        let says_of_others = target.get("additionalProperties").is_some_and(|others| *others != true);
        let is_nothing = kinds(target, generator)[..] == ["null"];
        if !says_of_others {
            if !is_nothing {
                self.all_of.push(schema.to_value());
            }
            return;
        }
        let mut target = target.clone();
        let Some(keys) = target.as_object_mut() else { return };
        if let Some(Value::Object(properties)) = keys.remove("properties") {
            self.properties.extend(properties);
        }
        if let Some(Value::Array(required)) = keys.remove("required") {
            self.required.extend(required);
        }
        match keys.remove("additionalProperties") {
            Some(Value::Bool(false)) => self.is_strict = true,
            Some(others) => {
                self.schema.insert("additionalProperties".to_owned(), others);
            }
            None => {}
        }
    }

    fn into_value(mut self) -> Value {
        self.schema.insert("type".to_owned(), "object".into());
        if !self.properties.is_empty() {
            self.schema.insert("properties".to_owned(), self.properties.into());
        }
        if !self.required.is_empty() {
            self.schema.insert("required".to_owned(), self.required.into());
        }
        if !self.all_of.is_empty() {
            self.schema.insert("allOf".to_owned(), self.all_of.into());
        }
        if self.is_strict {
            self.schema.insert("additionalProperties".to_owned(), false.into());
        }
        self.schema.into()
    }
}

/// What is in an option, if the schema is of one that is not written out.
fn within_option(schema: &Value) -> Option<&Value> {
    match schema.get("anyOf").and_then(Value::as_array).map(Vec::as_slice) {
        Some([within, nothing]) if nothing["type"] == "null" => Some(within),
        _ => None,
    }
}

fn set_aliases(schema: &mut Value, aliases: Vec<String>) {
    if !aliases.is_empty() {
        schema[ALIASES] = aliases.into();
    }
}

/// What a room answers to a frame that it cannot read, unless its server does otherwise.
pub(super) fn describe_error(mut message: Message<'_>) -> Message<'_> {
    message.draft.is_beside_tag = true;
    message
        .docs("The room could not read what was sent.")
        .field::<String>("error", |field| field.docs("What was wrong, for a person."))
        .field::<String>("path", |field| {
            field.docs("Which value broke a rule, such as `say.text`.").may_lack(Sender::Room)
        })
        .field::<String>("rule", |field| {
            field.docs("Which rule it was, such as `len`.").may_lack(Sender::Room)
        })
        .field::<f64>("min", |field| field.docs("The least that is right.").may_lack(Sender::Room))
        .field::<f64>("max", |field| field.docs("The most that is right.").may_lack(Sender::Room))
}
