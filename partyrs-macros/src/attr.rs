//! What may stand in `#[frame(..)]`, and where.
//!
//! The list is taken apart by hand, at its commas, so that a mistake in one entry does not
//! hide those in the others, and so that each is put in our words and not in the parser's.

use proc_macro2::{Delimiter, Ident, TokenStream, TokenTree};
use syn::{Attribute, ExprPath, LitStr, Meta};

use crate::{
    case::Case,
    mistakes::Mistakes,
    rule::{Rule, RuleKey},
};

/// The `#[frame(..)]` attributes of one place; what was wrong in them is left out.
#[derive(Default)]
pub(crate) struct Attrs {
    pub(crate) tag: Option<LitStr>,
    pub(crate) content: Option<LitStr>,
    pub(crate) rename: Option<LitStr>,
    pub(crate) rename_all: Option<Case>,
    pub(crate) rename_all_fields: Option<Case>,
    pub(crate) aliases: Vec<LitStr>,
    pub(crate) deny_unknown_fields: Option<Ident>,
    pub(crate) default: Option<(Ident, Standby)>,
    pub(crate) skip: Option<Ident>,
    pub(crate) skip_serializing_if: Option<(Ident, ExprPath)>,
    pub(crate) flatten: Option<Ident>,
    pub(crate) other: Option<Ident>,
    pub(crate) binary: Option<Ident>,
    pub(crate) check: Option<ExprPath>,
    pub(crate) rules: Vec<Rule>,
}

/// What stands in for a value that never came.
#[derive(Clone)]
pub(crate) enum Standby {
    /// `default`: what `Default` says.
    Default,
    /// `default = "path"`: what the function says.
    Function(ExprPath),
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
    Content,
    Rename,
    RenameAll,
    RenameAllFields,
    Alias,
    Default,
    Skip,
    SkipSerializingIf,
    Flatten,
    DenyUnknownFields,
    Other,
    Binary,
    Check,
    Rule(RuleKey),
}

/// What stands between two commas.
pub(crate) struct Entry {
    pub(crate) key: Ident,
    /// What follows it.
    pub(crate) rest: Vec<TokenTree>,
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
                let example = place.keys().next().map(Key::example).unwrap_or_default();
                mistakes
                    .at(&attribute.meta, format_args!("`frame` needs a list; write `#[frame({example})]`"));
                continue;
            };
            for entry in entries(&list.tokens, &place.expected(), mistakes) {
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
        if seen.contains(&key) && !key.may_repeat() {
            mistakes.at(written, format_args!("`{written}` is given twice; remove one of them"));
            return;
        }
        seen.push(key);
        match key {
            Key::Tag | Key::Content | Key::Rename | Key::RenameAll | Key::RenameAllFields | Key::Alias => {
                if let Some(value) = entry.string(&key.example(), mistakes) {
                    self.read_string(key, value, mistakes);
                }
            }
            Key::Default if entry.rest.is_empty() => {
                self.default = Some((written.clone(), Standby::Default));
            }
            Key::Default if place == Place::Struct => {
                entry.flag(mistakes);
            }
            Key::Default => {
                if let Some(path) = entry.function("default = \"...\"", mistakes) {
                    self.default = Some((written.clone(), Standby::Function(path)));
                }
            }
            Key::SkipSerializingIf => {
                if let Some(path) = entry.function(&key.example(), mistakes) {
                    self.skip_serializing_if = Some((written.clone(), path));
                }
            }
            Key::Check => self.check = entry.function(&key.example(), mistakes),
            Key::Skip => self.skip = entry.flag(mistakes),
            Key::Flatten => self.flatten = entry.flag(mistakes),
            Key::DenyUnknownFields => self.deny_unknown_fields = entry.flag(mistakes),
            Key::Other => self.other = entry.flag(mistakes),
            Key::Binary => self.binary = entry.flag(mistakes),
            Key::Rule(rule) => self.rules.extend(Rule::read(rule, entry, mistakes)),
        }
    }

    /// A field without a key of its own needs nothing that is said of a key.
    pub(crate) fn say_what_is_idle(&self, mistakes: &mut Mistakes) {
        let (word, why) = match (&self.skip, &self.flatten) {
            (Some(skip), Some(flatten)) => {
                mistakes.at(flatten, "a field with `skip` takes no keys; remove `skip` or `flatten`");
                (skip, "is neither read nor written")
            }
            (Some(skip), None) => (skip, "is neither read nor written"),
            (None, Some(flatten)) => (flatten, "has no key of its own"),
            (None, None) => return,
        };
        for name in self.rename.iter().chain(&self.aliases) {
            mistakes.at(name, format_args!("a field with `{word}` {why}, so it needs no name"));
        }
        if let Some((key, _)) = &self.skip_serializing_if {
            mistakes.at(key, format_args!("a field with `{word}` {why}, so `{key}` says nothing"));
        }
        if let (Some(flatten), Some((key, _))) = (&self.flatten, &self.default) {
            mistakes.at(key, format_args!("a field with `{flatten}` {why}, so `{key}` says nothing"));
        }
        if let (Some(skip), Some(rule)) = (&self.skip, self.rules.first()) {
            mistakes.at(&rule.key, format_args!("a field with `{skip}` {why}, so it needs no rules"));
        }
    }

    /// Takes over the names that serde was told of what stands inside a message.
    pub(crate) fn adopt_serde(&mut self, attributes: &[Attribute]) {
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("serde")) {
            // Whatever else stands there is serde's; what it does not like, it says itself.
            let _ = attribute.parse_nested_meta(|meta| {
                let mut value = None;
                if meta.input.peek(syn::Token![=]) {
                    value = string_of(&meta.value()?.parse()?);
                } else if meta.input.peek(syn::token::Paren) {
                    meta.parse_nested_meta(|inner| {
                        let text = string_of(&inner.value()?.parse()?);
                        if inner.path.is_ident("deserialize") {
                            value = text;
                        }
                        Ok(())
                    })?;
                }
                let case = || value.as_ref().and_then(|value| Case::named(&value.value()));
                if meta.path.is_ident("rename") {
                    self.rename = self.rename.take().or_else(|| value.clone());
                } else if meta.path.is_ident("rename_all") {
                    self.rename_all = self.rename_all.or_else(case);
                } else if meta.path.is_ident("rename_all_fields") {
                    self.rename_all_fields = self.rename_all_fields.or_else(case);
                }
                Ok(())
            });
        }
    }

    fn read_string(&mut self, key: Key, value: LitStr, mistakes: &mut Mistakes) {
        match key {
            Key::Tag if value.value().is_empty() => {
                mistakes.at(value, "the tag needs a name; write `tag = \"type\"`");
            }
            Key::Tag => self.tag = Some(value),
            Key::Content if value.value().is_empty() => {
                mistakes.at(value, "the content needs a name; write `content = \"data\"`");
            }
            Key::Content => self.content = Some(value),
            Key::Rename => self.rename = Some(value),
            Key::RenameAll => self.rename_all = case(&value, mistakes),
            Key::RenameAllFields => self.rename_all_fields = case(&value, mistakes),
            _ => self.aliases.push(value),
        }
    }
}

/// The doc comment among `attributes`.
pub(crate) fn docs(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => string_of(&pair.value),
        _ => None,
    });
    let texts = lines.map(|text| text.value()).collect::<Vec<_>>().join("\n");
    let lines = texts.lines().map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end());
    lines.collect::<Vec<_>>().join("\n").trim().to_owned()
}

impl Entry {
    /// The key, if nothing stands behind it.
    pub(crate) fn flag(&self, mistakes: &mut Mistakes) -> Option<Ident> {
        let key = &self.key;
        match self.rest.first() {
            None => Some(key.clone()),
            Some(value) => {
                mistakes.at(value, format_args!("`{key}` takes no value; write `{key}`"));
                None
            }
        }
    }

    /// The string after the `=`, with nothing behind it.
    pub(crate) fn string(&self, example: &str, mistakes: &mut Mistakes) -> Option<LitStr> {
        let takes = || format!("`{}` takes a string: `{example}`", self.key);
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

    /// The path in the string after the `=`.
    pub(crate) fn function(&self, example: &str, mistakes: &mut Mistakes) -> Option<ExprPath> {
        let string = self.string(example, mistakes)?;
        let path = string.parse().ok();
        if path.is_none() {
            mistakes.at(&string, format_args!("`{}` is no path of a function", string.value()));
        }
        path
    }

    /// What stands between the parentheses, with nothing behind them.
    pub(crate) fn list(&self, example: &str, mistakes: &mut Mistakes) -> Option<TokenStream> {
        match &self.rest[..] {
            [TokenTree::Group(group)] if group.delimiter() == Delimiter::Parenthesis => Some(group.stream()),
            [TokenTree::Group(group), behind, ..] if group.delimiter() == Delimiter::Parenthesis => {
                mistakes.at(behind, format_args!("expected `,` after `{}(..)`", self.key));
                None
            }
            [] => {
                mistakes.at(&self.key, format_args!("`{}` takes a list: `{example}`", self.key));
                None
            }
            [other, ..] => {
                mistakes.at(other, format_args!("`{}` takes a list: `{example}`", self.key));
                None
            }
        }
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
            Self::Generic => Some("put it on the type, a variant or a field"),
            Self::Enum | Self::Struct | Self::Variant | Self::Field | Self::Payload | Self::TupleField => {
                None
            }
        }
    }

    fn keys(self) -> impl Iterator<Item = Key> {
        Key::ALL.into_iter().filter(move |key| key.places().contains(&self))
    }

    /// The keys that may stand here, as they are written.
    fn expected(self) -> String {
        one_of(self.keys().map(Key::example))
    }
}

impl Key {
    const ALL: [Self; 21] = [
        Self::Tag,
        Self::Content,
        Self::Rename,
        Self::RenameAll,
        Self::RenameAllFields,
        Self::Alias,
        Self::Default,
        Self::Skip,
        Self::SkipSerializingIf,
        Self::Flatten,
        Self::DenyUnknownFields,
        Self::Other,
        Self::Binary,
        Self::Check,
        Self::Rule(RuleKey::Len),
        Self::Rule(RuleKey::Bytes),
        Self::Rule(RuleKey::Range),
        Self::Rule(RuleKey::Pattern),
        Self::Rule(RuleKey::Custom),
        Self::Rule(RuleKey::Nested),
        Self::Rule(RuleKey::Inner),
    ];

    fn named(key: &Ident) -> Option<Self> {
        Self::ALL.into_iter().find(|known| key == known.name())
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Tag => "tag",
            Self::Content => "content",
            Self::Rename => "rename",
            Self::RenameAll => "rename_all",
            Self::RenameAllFields => "rename_all_fields",
            Self::Alias => "alias",
            Self::Default => "default",
            Self::Skip => "skip",
            Self::SkipSerializingIf => "skip_serializing_if",
            Self::Flatten => "flatten",
            Self::DenyUnknownFields => "deny_unknown_fields",
            Self::Other => "other",
            Self::Binary => "binary",
            Self::Check => "check",
            Self::Rule(rule) => rule.name(),
        }
    }

    /// The places where it may stand.
    const fn places(self) -> &'static [Place] {
        match self {
            Self::Tag | Self::Content | Self::RenameAllFields => &[Place::Enum],
            Self::Rename | Self::Alias => &[Place::Variant, Place::Field],
            Self::RenameAll | Self::DenyUnknownFields | Self::Check => &[Place::Enum, Place::Struct],
            Self::Default => &[Place::Struct, Place::Field],
            Self::Skip | Self::SkipSerializingIf | Self::Flatten => &[Place::Field],
            Self::Other | Self::Binary => &[Place::Variant],
            Self::Rule(_) => &[Place::Field, Place::Payload, Place::TupleField],
        }
    }

    /// The same, for someone who put it elsewhere.
    const fn right_place(self) -> &'static str {
        match self {
            Self::Tag | Self::Content | Self::RenameAllFields => "an enum",
            Self::Rename | Self::Alias => "a variant or a field",
            Self::RenameAll | Self::DenyUnknownFields | Self::Check => "an enum or a struct",
            Self::Default => "a struct or a field",
            Self::Skip | Self::SkipSerializingIf | Self::Flatten => "a field",
            Self::Other | Self::Binary => "a variant",
            Self::Rule(_) => "a field or a payload",
        }
    }

    /// Whether several of it say more than one.
    const fn may_repeat(self) -> bool {
        matches!(self, Self::Alias | Self::Rule(RuleKey::Custom | RuleKey::Pattern))
    }

    /// As it is written.
    fn example(self) -> String {
        match self {
            Self::Default
            | Self::Skip
            | Self::Flatten
            | Self::DenyUnknownFields
            | Self::Other
            | Self::Binary => self.name().to_owned(),
            Self::Rule(rule) => rule.example().to_owned(),
            _ => format!("{} = \"...\"", self.name()),
        }
    }
}

/// Takes a list apart at its commas; each entry is to begin with a word.
pub(crate) fn entries(list: &TokenStream, expected: &str, mistakes: &mut Mistakes) -> Vec<Entry> {
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
            other => mistakes.at(other, format_args!("expected {expected}")),
        }
    }
    entries
}

/// `a`, `b` or `c`, each in backticks.
pub(crate) fn one_of(words: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let words: Vec<_> = words.into_iter().map(|word| format!("`{}`", word.as_ref())).collect();
    match &words[..] {
        [] => String::new(),
        [only] => only.clone(),
        [init @ .., last] => format!("{} or {last}", init.join(", ")),
    }
}

fn is_comma(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == ',')
}

/// The token as a string literal. A literal that came through a `macro_rules!` variable
/// stands in a group that nobody sees.
pub(crate) fn string(token: &TokenTree) -> Option<LitStr> {
    match token {
        TokenTree::Group(group) if group.delimiter() == Delimiter::None => syn::parse2(group.stream()).ok(),
        TokenTree::Literal(_) => syn::parse2(token.clone().into()).ok(),
        _ => None,
    }
}

fn string_of(value: &syn::Expr) -> Option<LitStr> {
    match value {
        syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(string), .. }) => Some(string.clone()),
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
