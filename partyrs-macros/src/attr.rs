//! What may stand in `#[frame(..)]`, and where.
//!
//! The list is taken apart by hand, at its commas, so that a mistake in one entry does not
//! hide those in the others, and so that each is put in our words and not in the parser's.

use proc_macro2::{Delimiter, Ident, TokenStream, TokenTree};
use syn::{Attribute, LitStr, Meta};

use crate::{case::Case, mistakes::Mistakes};

/// The `#[frame(..)]` attributes of one place; what was wrong in them is left out.
#[derive(Default)]
pub(crate) struct Attrs {
    pub(crate) tag: Option<LitStr>,
    pub(crate) rename: Option<LitStr>,
    pub(crate) rename_all: Option<Case>,
    pub(crate) rename_all_fields: Option<Case>,
}

/// What an attribute stands on.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Place {
    Enum,
    Struct,
    Variant,
    Field,
    Payload,
    TupleField,
    Generic,
}

/// What may stand before the `=`.
#[derive(Clone, Copy, PartialEq)]
enum Key {
    Tag,
    Rename,
    RenameAll,
    RenameAllFields,
}

/// What stands between two commas.
struct Entry {
    key: Ident,
    /// The `=` and what follows it.
    rest: Vec<TokenTree>,
}

impl Attrs {
    /// Reads all `#[frame(..)]` among `attributes`, which stand on a `place`.
    pub(crate) fn read(attributes: &[Attribute], place: Place, mistakes: &mut Mistakes) -> Self {
        let mut attrs = Self::default();
        let mut seen = Vec::new();
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("frame")) {
            if let Some(advice) = place.takes_no_keys() {
                mistakes.at(attribute.path(), format_args!("`#[frame]` says nothing here; {advice}"));
                continue;
            }
            let Meta::List(list) = &attribute.meta else {
                let example = place.expected().replace(" or ", ", ").replace('`', "");
                mistakes
                    .at(&attribute.meta, format_args!("`frame` needs a list; write `#[frame({example})]`"));
                continue;
            };
            for entry in entries(&list.tokens, place, mistakes) {
                attrs.read_entry(&entry, place, &mut seen, mistakes);
            }
        }
        attrs
    }

    fn read_entry(&mut self, entry: &Entry, place: Place, seen: &mut Vec<Key>, mistakes: &mut Mistakes) {
        let written = &entry.key;
        let Some(key) = Key::named(written) else {
            mistakes.at(written, format_args!("unknown key `{written}`; expected {}", place.expected()));
            return;
        };
        if !key.places().contains(&place) {
            let (right, wrong) = (key.right_place(), place.noun());
            mistakes.at(written, format_args!("`{written}` belongs on {right}, not on {wrong}"));
            return;
        }
        if seen.contains(&key) {
            mistakes.at(written, format_args!("`{written}` is given twice; remove one of them"));
            return;
        }
        seen.push(key);
        let Some(value) = entry.string(key, mistakes) else { return };
        match key {
            Key::Tag if value.value().is_empty() => {
                mistakes.at(value, "the tag needs a name; write `tag = \"type\"`");
            }
            Key::Tag => self.tag = Some(value),
            Key::Rename => self.rename = Some(value),
            Key::RenameAll => self.rename_all = case(&value, mistakes),
            Key::RenameAllFields => self.rename_all_fields = case(&value, mistakes),
        }
    }
}

impl Entry {
    /// The string after the `=`, with nothing behind it.
    fn string(&self, key: Key, mistakes: &mut Mistakes) -> Option<LitStr> {
        let takes = || format!("`{}` takes a string: `{}`", self.key, key.example());
        let value = match &self.rest[..] {
            [] => {
                mistakes.at(&self.key, takes());
                return None;
            }
            [TokenTree::Punct(equals), rest @ ..] if equals.as_char() == '=' => rest,
            [other, ..] => {
                mistakes.at(other, takes());
                return None;
            }
        };
        let [first, behind @ ..] = value else {
            mistakes.at(&self.rest[0], takes());
            return None;
        };
        let Some(string) = string(first) else {
            mistakes.at(first, takes());
            return None;
        };
        if let Some(behind) = behind.first() {
            mistakes.at(behind, format_args!("expected `,` after the value of `{}`", self.key));
        }
        Some(string)
    }
}

impl Place {
    const fn noun(self) -> &'static str {
        match self {
            Self::Enum => "an enum",
            Self::Struct => "a struct",
            Self::Variant => "a variant",
            Self::Field => "a field",
            Self::Payload => "a payload",
            Self::TupleField => "a field without a name",
            Self::Generic => "a generic parameter",
        }
    }

    /// Why no key can stand here, and where to go; `None` if some can.
    const fn takes_no_keys(self) -> Option<&'static str> {
        match self {
            Self::Payload => Some("a payload has no name of its own, so put it on the variant"),
            Self::TupleField => Some("a field without a name has no key"),
            Self::Generic => Some("put it on the type, a variant or a field"),
            Self::Enum | Self::Struct | Self::Variant | Self::Field => None,
        }
    }

    /// The keys that may stand here, as they are written.
    fn expected(self) -> String {
        let keys = Key::ALL.iter().filter(|key| key.places().contains(&self));
        let keys: Vec<_> = keys.map(|key| format!("`{}`", key.example())).collect();
        match &keys[..] {
            [] => String::new(),
            [only] => only.clone(),
            [init @ .., last] => format!("{} or {last}", init.join(", ")),
        }
    }
}

impl Key {
    const ALL: [Self; 4] = [Self::Tag, Self::Rename, Self::RenameAll, Self::RenameAllFields];

    fn named(key: &Ident) -> Option<Self> {
        Self::ALL.into_iter().find(|known| key == known.name())
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Tag => "tag",
            Self::Rename => "rename",
            Self::RenameAll => "rename_all",
            Self::RenameAllFields => "rename_all_fields",
        }
    }

    /// The places where it may stand.
    const fn places(self) -> &'static [Place] {
        match self {
            Self::Tag | Self::RenameAllFields => &[Place::Enum],
            Self::Rename => &[Place::Variant, Place::Field],
            Self::RenameAll => &[Place::Enum, Place::Struct],
        }
    }

    /// The same, for someone who put it elsewhere.
    const fn right_place(self) -> &'static str {
        match self {
            Self::Tag | Self::RenameAllFields => "an enum",
            Self::Rename => "a variant or a field",
            Self::RenameAll => "an enum or a struct",
        }
    }

    fn example(self) -> String {
        format!("{} = \"...\"", self.name())
    }
}

/// Takes a list apart at its commas.
fn entries(list: &TokenStream, place: Place, mistakes: &mut Mistakes) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut tokens = list.clone().into_iter().peekable();
    while let Some(first) = tokens.next() {
        let mut rest = Vec::new();
        if !is_comma(&first) {
            rest.extend(std::iter::from_fn(|| tokens.next_if(|token| !is_comma(token))));
            tokens.next();
        }
        match first {
            TokenTree::Ident(key) => entries.push(Entry { key, rest }),
            other => mistakes.at(other, format_args!("expected {}", place.expected())),
        }
    }
    entries
}

fn is_comma(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == ',')
}

/// The token as a string literal. A literal that came through a `macro_rules!` variable
/// stands in a group that nobody sees.
fn string(token: &TokenTree) -> Option<LitStr> {
    match token {
        TokenTree::Group(group) if group.delimiter() == Delimiter::None => syn::parse2(group.stream()).ok(),
        TokenTree::Literal(_) => syn::parse2(token.clone().into()).ok(),
        _ => None,
    }
}

fn case(value: &LitStr, mistakes: &mut Mistakes) -> Option<Case> {
    let case = Case::named(&value.value());
    if case.is_none() {
        let known = Case::ALL.map(|(name, _)| format!("`{name}`")).join(", ");
        mistakes.at(value, format_args!("unknown case `{}`; expected one of {known}", value.value()));
    }
    case
}
