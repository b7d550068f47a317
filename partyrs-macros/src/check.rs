//! All rules that a message keeps, and what is said to someone who breaks one.
//!
//! Each rule looks at the whole item and goes on after a mistake, so that everything is
//! reported in one go. Whether a type can be read or written is for rustc to say: the
//! written code asks it at the type's own tokens.

use proc_macro2::Ident;
use syn::Type;

use crate::{
    ast::{Body, Content, Field, Item, Keys, Name, Part, Role, Tuple, Variant},
    mistakes::Mistakes,
};

/// Types of one word whose JSON is no object.
const PLAIN: [&str; 18] = [
    "String", "bool", "char", "f32", "f64", "i128", "i16", "i32", "i64", "i8", "isize", "str", "u128", "u16",
    "u32", "u64", "u8", "usize",
];

/// The same with parameters.
const GENERIC: [&str; 5] = ["BTreeSet", "HashSet", "Option", "Vec", "VecDeque"];

const UNION: &str = "a union does not know which of its fields is set; write an `enum`";

/// Which of the derives was asked for.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Direction {
    FromFrame,
    IntoFrame,
    /// Both or one of them; what its messages look like.
    Protocol,
    /// Neither; its rules alone.
    Validate,
}

/// Reports everything that keeps the item from being a message.
pub(crate) fn check(item: &Item<'_>, direction: Direction, mistakes: &mut Mistakes) {
    if direction == Direction::Validate {
        // What stands inside a message may have any shape that serde reads.
        if let Body::Union(token) = &item.body {
            mistakes.at(token, UNION);
        }
        return;
    }
    match &item.body {
        Body::Enum { keys, variants } => {
            if variants.is_empty() {
                let message = "an enum without variants is no message; add a variant such as `Hello`";
                mistakes.at(item.ident, message);
            }
            if let Some(content) = keys.content.as_ref().filter(|content| content.value() == keys.tag) {
                mistakes.at(content, "the content needs another key than the tag");
            }
            tags_differ(variants, mistakes);
            roles_are_taken_once(variants, mistakes);
            for variant in variants {
                match &variant.role {
                    Role::Other(word) => other_may_keep_its_tag(word, variant, mistakes),
                    Role::Binary(word) => binary_has_bytes(word, variant, mistakes),
                    Role::Tagged => {
                        content_fits(keys, variant, mistakes);
                        keys_differ(&variant.content, mistakes);
                        if keys.content.is_none() {
                            tag_is_no_key(&keys.tag, &variant.content, mistakes);
                        }
                        rest_is_taken_once(item, &variant.content, mistakes);
                    }
                }
            }
            if direction == Direction::FromFrame {
                variants.iter().for_each(|variant| values_are_owned(&variant.content, mistakes));
            }
        }
        Body::Struct { content, .. } => {
            struct_has_names(item.ident, content, mistakes);
            keys_differ(content, mistakes);
            rest_is_taken_once(item, content, mistakes);
            if direction == Direction::FromFrame {
                values_are_owned(content, mistakes);
            }
        }
        Body::Union(token) => {
            mistakes.at(token, UNION);
        }
    }
}

fn tags_differ(variants: &[Variant<'_>], mistakes: &mut Mistakes) {
    let tagged = variants.iter().filter(|variant| matches!(variant.role, Role::Tagged));
    let names: Vec<_> = tagged.map(|variant| (variant.ident, &variant.name)).collect();
    names_differ(&names, ["tag", "", "variants"], mistakes);
}

fn keys_differ(content: &Content<'_>, mistakes: &mut Mistakes) {
    if let Content::Fields(fields) = content {
        let with_key = fields.iter().filter(|field| matches!(field.part, Part::Key));
        let names: Vec<_> = with_key.map(|field| (field.ident, &field.name)).collect();
        names_differ(&names, ["key", "the field ", "fields"], mistakes);
    }
}

/// Of two equal names the one that came by `rename` is wrong, and the later one if both did.
/// An alias is wrong wherever it equals something.
fn names_differ(names: &[(&Ident, &Name)], words: [&str; 3], mistakes: &mut Mistakes) {
    let [what, owner, owners] = words;
    for (index, (later, later_name)) in names.iter().enumerate() {
        let text = &later_name.text;
        let Some((earlier, earlier_name)) = names[..index].iter().find(|(_, name)| name.text == *text) else {
            continue;
        };
        match (&earlier_name.rename, &later_name.rename) {
            (_, Some(rename)) => {
                mistakes.at(rename, format_args!("{what} `{text}` is already taken by {owner}`{earlier}`"));
            }
            (Some(rename), None) => {
                mistakes.at(rename, format_args!("{what} `{text}` is already taken by {owner}`{later}`"));
            }
            (None, None) => mistakes
                .at(later, format_args!("two {owners} carry the {what} `{text}`; give one of them `rename`")),
        }
    }
    let mut taken: Vec<_> = names.iter().map(|(ident, name)| (*ident, name.text.clone())).collect();
    for (ident, name) in names {
        for alias in &name.aliases {
            let text = alias.value();
            match taken.iter().find(|(_, name)| *name == text) {
                Some((by, _)) => {
                    mistakes.at(alias, format_args!("{what} `{text}` is already taken by {owner}`{by}`"));
                }
                None => taken.push((ident, text)),
            }
        }
    }
}

fn roles_are_taken_once(variants: &[Variant<'_>], mistakes: &mut Mistakes) {
    let (mut other, mut binary) = (None, None);
    for variant in variants {
        let (word, taken) = match &variant.role {
            Role::Other(word) => (word, &mut other),
            Role::Binary(word) => (word, &mut binary),
            Role::Tagged => continue,
        };
        match taken {
            Some(first) => {
                mistakes.at(word, format_args!("`{first}` has `{word}` already; there can be one"));
            }
            None => *taken = Some(variant.ident),
        }
    }
}

/// A variant for unknown tags has no tag of its own, but may hold the one that came.
fn other_may_keep_its_tag(word: &Ident, variant: &Variant<'_>, mistakes: &mut Mistakes) {
    let name = variant.ident;
    for alias in &variant.name.aliases {
        mistakes.at(alias, format_args!("`{name}` has every tag that nobody else has, so it needs no alias"));
    }
    let holds_one = match &variant.content {
        Content::Unit => true,
        Content::Fields(fields) => fields.len() == 1 && is_string(fields[0].ty),
        Content::Tuple(tuple) => tuple.values.unnamed.len() == 1 && variant.payload().is_some_and(is_string),
    };
    if !holds_one {
        mistakes.at(word, format_args!("with `{word}` write `{name}`, or `{name}(String)` to get the tag"));
    }
}

fn binary_has_bytes(word: &Ident, variant: &Variant<'_>, mistakes: &mut Mistakes) {
    let name = variant.ident;
    for text in variant.name.rename.iter().chain(&variant.name.aliases) {
        mistakes.at(text, format_args!("a binary frame has no tag, so `{name}` needs no name"));
    }
    let is_right = matches!(&variant.content, Content::Tuple(tuple) if tuple.values.unnamed.len() == 1);
    if !is_right {
        mistakes.at(word, format_args!("with `{word}` write `{name}(Bytes)` or `{name}(Vec<u8>)`"));
    }
}

fn rest_is_taken_once(item: &Item<'_>, content: &Content<'_>, mistakes: &mut Mistakes) {
    let Content::Fields(fields) = content else { return };
    let mut first = None;
    for Field { ident, part, .. } in fields {
        let Part::Rest(word) = part else { continue };
        if item.deny_unknown_fields.is_some() {
            mistakes
                .at(word, "with `deny_unknown_fields` no keys are left for `flatten`; remove one of them");
        }
        match first {
            Some(first) => {
                mistakes.at(word, format_args!("the keys that are left go to `{first}` already"));
            }
            None => first = Some(ident),
        }
    }
}

fn tag_is_no_key(tag: &str, content: &Content<'_>, mistakes: &mut Mistakes) {
    let Content::Fields(fields) = content else { return };
    for alias in fields.iter().flat_map(|field| &field.name.aliases).filter(|alias| alias.value() == tag) {
        mistakes.at(alias, format_args!("key `{tag}` is already taken by the tag"));
    }
    let with_key = fields.iter().filter(|field| matches!(field.part, Part::Key));
    for Field { ident, name, .. } in with_key.filter(|field| field.name.text == tag) {
        match &name.rename {
            Some(rename) => mistakes.at(rename, format_args!("key `{tag}` is already taken by the tag")),
            None => mistakes.at(
                ident,
                format_args!(
                    "key `{tag}` is already taken by the tag; give the field `rename`, or the enum another `tag`"
                ),
            ),
        }
    }
}

fn content_fits(keys: &Keys, variant: &Variant<'_>, mistakes: &mut Mistakes) {
    let Content::Tuple(Tuple { values, .. }) = &variant.content else { return };
    let name = variant.ident;
    match values.unnamed.len() {
        0 => mistakes.at(values, format_args!("`{name}` holds nothing; write `{name}` without `()`")),
        _ if keys.content.is_some() => {}
        1 if variant.payload().is_some_and(has_no_keys) => mistakes.at(
            values,
            format_args!("the value of `{name}` needs a key; write it with a name: `{name} {{ value: .. }}`"),
        ),
        1 => {}
        _ => mistakes.at(
            values,
            format_args!(
                "the values of `{name}` need keys; write them with names: `{name} {{ first: .., second: .. }}`"
            ),
        ),
    }
}

fn struct_has_names(ident: &Ident, content: &Content<'_>, mistakes: &mut Mistakes) {
    match content {
        Content::Fields(_) => {}
        Content::Unit => mistakes
            .at(ident, format_args!("`{ident}` has no fields to write as an object; write `{ident} {{}}`")),
        Content::Tuple(tuple) => mistakes.at(
            tuple.values,
            format_args!(
                "the fields of `{ident}` need keys; give them names, or send it as `partyrs::Json<{ident}>`"
            ),
        ),
    }
}

/// A reference in what a client sent would outlive the frame that it points into.
fn values_are_owned(content: &Content<'_>, mistakes: &mut Mistakes) {
    for ty in content.types() {
        let Type::Reference(reference) = ty else { continue };
        let owned = match &*reference.elem {
            Type::Path(path) if path.path.is_ident("str") => "`String`",
            Type::Slice(_) => "`Vec<..>`",
            _ => "the type without `&`",
        };
        mistakes.at(ty, format_args!("a message from a client owns what it holds; write {owned}"));
    }
}

/// Whether the type is one of those that never become a JSON object, as far as its
/// tokens tell. What is not found here is refused when the message is read or written.
fn has_no_keys(ty: &Type) -> bool {
    match ty {
        Type::Array(_) | Type::Slice(_) => true,
        Type::Tuple(tuple) => !tuple.elems.is_empty(),
        Type::Reference(reference) => has_no_keys(&reference.elem),
        Type::Paren(paren) => has_no_keys(&paren.elem),
        Type::Group(group) => has_no_keys(&group.elem),
        Type::Path(path) => {
            let Some(last) = path.path.segments.last() else { return false };
            let names = if last.arguments.is_none() { &PLAIN[..] } else { &GENERIC[..] };
            path.path.segments.len() == 1 && names.iter().any(|name| last.ident == name)
        }
        _ => false,
    }
}

/// Whether the type can hold a tag, as far as its tokens tell.
fn is_string(ty: &Type) -> bool {
    match ty {
        Type::Path(path) => path.path.segments.last().is_some_and(|last| last.ident == "String"),
        Type::Group(group) => is_string(&group.elem),
        _ => false,
    }
}
