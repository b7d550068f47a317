//! What `#[frame(..)]` says of the values that a field may have.

use proc_macro2::{Ident, TokenTree};
use quote::ToTokens;
use syn::{Expr, ExprPath, LitStr};

use crate::{
    attr::{Entry, entries, one_of, string},
    mistakes::Mistakes,
};

/// A rule that a value keeps, with the word that the user wrote for it.
pub(crate) struct Rule {
    pub(crate) key: Ident,
    pub(crate) kind: RuleKind,
}

/// What a rule asks for.
pub(crate) enum RuleKind {
    /// So many characters of a string, or items of a collection.
    Len(Bounds),
    /// So many bytes.
    Bytes(Bounds),
    /// A value between two others, both included.
    Range(Bounds),
    /// A string in which the regular expression finds something.
    Pattern(LitStr),
    /// What the function says.
    Custom(ExprPath),
    /// What the type of the value says itself.
    Nested,
    /// The same of each item of a collection.
    Inner(Vec<Rule>),
}

/// From where to where; at least one of them is there.
#[derive(Default)]
pub(crate) struct Bounds {
    pub(crate) min: Option<Expr>,
    pub(crate) max: Option<Expr>,
}

/// The word for a rule.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum RuleKey {
    Len,
    Bytes,
    Range,
    Pattern,
    Custom,
    Nested,
    Inner,
}

impl Rule {
    /// Reads the rule `key`; `None` if something is wrong in it.
    pub(crate) fn read(key: RuleKey, entry: &Entry, mistakes: &mut Mistakes) -> Option<Self> {
        let example = key.example();
        let kind = match key {
            RuleKey::Len => RuleKind::Len(Bounds::read(entry, example, mistakes)?),
            RuleKey::Bytes => RuleKind::Bytes(Bounds::read(entry, example, mistakes)?),
            RuleKey::Range => RuleKind::Range(Bounds::read(entry, example, mistakes)?),
            RuleKey::Pattern => RuleKind::Pattern(read_pattern(entry, mistakes)?),
            RuleKey::Custom => RuleKind::Custom(entry.function(example, mistakes)?),
            RuleKey::Nested => {
                entry.flag(mistakes)?;
                RuleKind::Nested
            }
            RuleKey::Inner => RuleKind::Inner(read_inner(entry, mistakes)?),
        };
        Some(Self { key: entry.key.clone(), kind })
    }
}

impl RuleKey {
    const ALL: [Self; 7] =
        [Self::Len, Self::Bytes, Self::Range, Self::Pattern, Self::Custom, Self::Nested, Self::Inner];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Len => "len",
            Self::Bytes => "bytes",
            Self::Range => "range",
            Self::Pattern => "pattern",
            Self::Custom => "custom",
            Self::Nested => "nested",
            Self::Inner => "inner",
        }
    }

    /// As it is written.
    pub(crate) const fn example(self) -> &'static str {
        match self {
            Self::Len => "len(min = .., max = ..)",
            Self::Bytes => "bytes(min = .., max = ..)",
            Self::Range => "range(min = .., max = ..)",
            Self::Pattern => "pattern(\"...\")",
            Self::Custom => "custom = \"...\"",
            Self::Nested => "nested",
            Self::Inner => "inner(..)",
        }
    }
}

impl Bounds {
    fn read(entry: &Entry, example: &str, mistakes: &mut Mistakes) -> Option<Self> {
        let list = entry.list(example, mistakes)?;
        let mut bounds = Self::default();
        let mut is_right = true;
        for bound in entries(&list, "`min = ..` or `max = ..`", mistakes) {
            let key = &bound.key;
            let slot = match key.to_string().as_str() {
                "min" => &mut bounds.min,
                "max" => &mut bounds.max,
                _ => {
                    mistakes.at(key, format_args!("unknown key `{key}`; expected `min = ..` or `max = ..`"));
                    is_right = false;
                    continue;
                }
            };
            let value = match &bound.rest[..] {
                [TokenTree::Punct(equals), value @ ..] if equals.as_char() == '=' => {
                    syn::parse2(value.iter().cloned().collect()).ok()
                }
                _ => None,
            };
            match value {
                None => {
                    mistakes.at(key, format_args!("`{key}` takes a value: `{key} = ..`"));
                    is_right = false;
                }
                Some(_) if slot.is_some() => {
                    mistakes.at(key, format_args!("`{key}` is given twice; remove one of them"));
                    is_right = false;
                }
                Some(value) => *slot = Some(value),
            }
        }
        match (&bounds.min, &bounds.max) {
            (None, None) if is_right => {
                mistakes.at(&entry.key, format_args!("`{}` needs `min = ..`, `max = ..` or both", entry.key));
                return None;
            }
            (Some(min), Some(max)) => {
                if let (Some(low), Some(high)) = (number(min), number(max))
                    && low > high
                {
                    mistakes.at(max, "no value fits: `max` is below `min`");
                    return None;
                }
            }
            _ => {}
        }
        is_right.then_some(bounds)
    }
}

/// The value of a literal, with or without a sign.
fn number(bound: &Expr) -> Option<f64> {
    let text: String = bound.to_token_stream().to_string().replace([' ', '_'], "");
    // A constant may be called `INF`.
    let is_literal = text.trim_start_matches('-').starts_with(|letter: char| letter.is_ascii_digit());
    is_literal.then(|| text.parse().ok()).flatten()
}

fn read_pattern(entry: &Entry, mistakes: &mut Mistakes) -> Option<LitStr> {
    let list = entry.list(RuleKey::Pattern.example(), mistakes)?;
    let tokens: Vec<_> = list.into_iter().collect();
    let pattern = match &tokens[..] {
        [only] => string(only),
        _ => None,
    };
    let Some(pattern) = pattern else {
        mistakes.at(&entry.key, "`pattern` takes one string: `pattern(\"...\")`");
        return None;
    };
    if let Err(why) = compile(&pattern.value()) {
        mistakes.at(&pattern, why);
        return None;
    }
    Some(pattern)
}

#[cfg(feature = "pattern")]
fn compile(pattern: &str) -> Result<(), String> {
    regex::Regex::new(pattern).map(|_| ()).map_err(|error| {
        let text = error.to_string();
        let last = text.lines().last().unwrap_or_default();
        format!("not a regular expression: {}", last.trim_start_matches("error: "))
    })
}

#[cfg(not(feature = "pattern"))]
fn compile(_: &str) -> Result<(), String> {
    Err("`pattern` needs the feature `pattern` of partyrs, which brings regular expressions".to_owned())
}

fn read_inner(entry: &Entry, mistakes: &mut Mistakes) -> Option<Vec<Rule>> {
    let list = entry.list(RuleKey::Inner.example(), mistakes)?;
    let expected = one_of(RuleKey::ALL.map(RuleKey::example));
    let mut rules = Vec::new();
    let entries = entries(&list, &expected, mistakes);
    if entries.is_empty() {
        mistakes.at(&entry.key, format_args!("`inner` needs a rule: {expected}"));
        return None;
    }
    for inner in entries {
        match RuleKey::ALL.into_iter().find(|key| inner.key == key.name()) {
            Some(key) => rules.push(Rule::read(key, &inner, mistakes)?),
            None => {
                mistakes.at(&inner.key, format_args!("unknown rule `{}`; expected {expected}", inner.key));
                return None;
            }
        }
    }
    Some(rules)
}
