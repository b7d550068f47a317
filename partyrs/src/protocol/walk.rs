//! Ways through all the schemas of which a JSON Schema is made.
//!
//! What is a schema and what is a value or a name of the user's depends on where it stands: a
//! field may be called `default`, and a constant may have a key `$ref`.

use schemars::Schema;
use schemars::transform::{RecursiveTransform, Transform};
use serde_json::{Map, Value};

/// Changes the schema, and then each in it.
pub(super) fn each(schema: &mut Value, mut change: impl FnMut(&mut Map<String, Value>)) {
    let mut change = RecursiveTransform(|schema: &mut Schema| {
        if let Some(words) = schema.as_object_mut() {
            change(words);
        }
    });
    if let Ok(schema) = schema.try_into() {
        change.transform(schema);
    }
}

/// The first reference in it that is one of those which are sought.
pub(super) fn reference<'a>(schema: &'a Value, is_sought: &dyn Fn(&str) -> bool) -> Option<&'a str> {
    match schema {
        Value::Object(words) => words.iter().find_map(|(word, value)| match word.as_str() {
            "$ref" => value.as_str().filter(|to| is_sought(to)),
            "properties" | "patternProperties" | "$defs" => {
                value.as_object()?.values().find_map(|value| reference(value, is_sought))
            }
            "const" | "default" | "enum" | "examples" => None,
            _ => reference(value, is_sought),
        }),
        Value::Array(values) => values.iter().find_map(|value| reference(value, is_sought)),
        _ => None,
    }
}
