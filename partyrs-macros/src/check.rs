//! All rules that a message keeps, and what is said to someone who breaks one.
//!
//! Each rule looks at the whole item and goes on after a mistake, so that everything is
//! reported in one go. Whether a type can be read or written is for rustc to say: the
//! written code asks it at the type's own tokens.

use proc_macro2::Ident;
use syn::Type;

use crate::{
    ast::{Body, Content, Field, Item, Name, Variant},
    mistakes::Mistakes,
};

/// Types of one word whose JSON is no object.
const PLAIN: [&str; 18] = [
    "String", "bool", "char", "f32", "f64", "i128", "i16", "i32", "i64", "i8", "isize", "str", "u128", "u16",
    "u32", "u64", "u8", "usize",
];

/// The same with parameters.
const GENERIC: [&str; 5] = ["BTreeSet", "HashSet", "Option", "Vec", "VecDeque"];

/// Which of the two derives was asked for.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Direction {
    FromFrame,
    IntoFrame,
}

/// Reports everything that keeps the item from being a message.
pub(crate) fn check(item: &Item<'_>, direction: Direction, mistakes: &mut Mistakes) {
    match &item.body {
        Body::Enum { tag, variants } => {
            if variants.is_empty() {
                let message = "an enum without variants is no message; add a variant such as `Hello`";
                mistakes.at(item.ident, message);
            }
            tags_differ(variants, mistakes);
            for variant in variants {
                content_fits_beside_the_tag(variant, mistakes);
                keys_differ(&variant.content, mistakes);
                tag_is_no_key(tag, &variant.content, mistakes);
            }
            if direction == Direction::FromFrame {
                variants.iter().for_each(|variant| values_are_owned(&variant.content, mistakes));
            }
        }
        Body::Struct(content) => {
            struct_has_names(item.ident, content, mistakes);
            keys_differ(content, mistakes);
            if direction == Direction::FromFrame {
                values_are_owned(content, mistakes);
            }
        }
        Body::Union(token) => {
            mistakes.at(token, "a union does not know which of its fields is set; write an `enum`");
        }
    }
}

fn tags_differ(variants: &[Variant<'_>], mistakes: &mut Mistakes) {
    let names: Vec<_> = variants.iter().map(|variant| (variant.ident, &variant.name)).collect();
    names_differ(&names, ["tag", "", "variants"], mistakes);
}

fn keys_differ(content: &Content<'_>, mistakes: &mut Mistakes) {
    if let Content::Fields(fields) = content {
        let names: Vec<_> = fields.iter().map(|field| (field.ident, &field.name)).collect();
        names_differ(&names, ["key", "the field ", "fields"], mistakes);
    }
}

/// Of two equal names the one that came by `rename` is wrong, and the later one if both did.
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
}

fn tag_is_no_key(tag: &str, content: &Content<'_>, mistakes: &mut Mistakes) {
    let Content::Fields(fields) = content else { return };
    for Field { ident, name, .. } in fields.iter().filter(|field| field.name.text == tag) {
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

fn content_fits_beside_the_tag(variant: &Variant<'_>, mistakes: &mut Mistakes) {
    let Content::Tuple(values) = &variant.content else { return };
    let name = variant.ident;
    match values.unnamed.len() {
        0 => mistakes.at(values, format_args!("`{name}` holds nothing; write `{name}` without `()`")),
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
        Content::Tuple(values) => mistakes.at(
            values,
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
