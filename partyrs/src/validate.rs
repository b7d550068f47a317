//! Rules that the values of a message keep, beyond their types.
//!
//! The derives write the checks; here is what they say when a rule is broken. A violation
//! never repeats the value: logs and clients learn where it was, which rule it was, and what
//! the limit is.

use std::{collections::VecDeque, fmt};

use crate::__private::{RuleSink, Step};

/// A value that knows its own rules.
///
/// Derive it on what stands inside a message, and ask for it there by `#[frame(nested)]`.
/// Lists, boxes and options keep the rules of what they hold.
///
/// ```
/// use partyrs::{Frame, FromFrame, Validate};
///
/// #[derive(FromFrame)]
/// #[frame(rename_all = "lowercase")]
/// enum Ask {
///     Draw {
///         #[frame(len(max = 2), nested)]
///         points: Vec<Point>,
///     },
/// }
///
/// #[derive(serde::Deserialize, Validate)]
/// struct Point {
///     #[frame(range(min = 0, max = 100))]
///     x: i32,
/// }
///
/// let text = r#"{"type":"draw","points":[{"x":1},{"x":101}]}"#;
/// let error = Ask::from_frame(Frame::text(text)).err().expect("over the limit");
/// assert_eq!(error.client_text(), "`draw.points[1].x` must be between 0 and 100");
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no rules of its own",
    note = "add `#[derive(partyrs::Validate)]` to `{Self}`, or write `custom = \"..\"` instead of `nested`"
)]
pub trait Validate {
    /// Looks at all rules, in the order of the code, up to the first that is broken.
    ///
    /// # Errors
    ///
    /// [`Violation`] says where, and which rule.
    fn validate(&self) -> Result<(), Violation>;

    /// Tells the rules that a schema has words for.
    #[doc(hidden)]
    fn tell_rules(told: &mut dyn RuleSink) {
        let _ = told;
    }
}

/// A rule that a value breaks. Its `Display` is for logs, [`Violation::client_text`] for
/// clients; neither has the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    path: String,
    rule: Rule,
}

/// Which rule it is, with its limits.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rule {
    /// `len`: so many characters of a string, or items of a collection.
    Len {
        /// The least that is right, if there is one.
        min: Option<usize>,
        /// The most that is right, if there is one.
        max: Option<usize>,
        /// What came.
        found: usize,
        /// What is counted: `characters` or `items`.
        unit: &'static str,
    },
    /// `bytes`: so many bytes.
    Bytes {
        /// The least that is right, if there is one.
        min: Option<usize>,
        /// The most that is right, if there is one.
        max: Option<usize>,
        /// What came.
        found: usize,
    },
    /// `range`: a value between two others.
    Range {
        /// The least that is right, if there is one, as text.
        min: Option<String>,
        /// The greatest that is right, if there is one, as text.
        max: Option<String>,
    },
    /// `pattern`: a string with what this regular expression looks for.
    Pattern(&'static str),
    /// `custom` and `check`: what a function of the program's has said, cut after 200 characters.
    Custom(String),
}

impl Violation {
    /// One with a text of your own, for a [`Validate`] written by hand. The client sees the text.
    pub fn new(reason: impl fmt::Display) -> Self {
        let reason = reason.to_string().trim_end().chars().take(200).collect();
        Self::of(Rule::Custom(reason))
    }

    /// One of this rule, at the value itself.
    #[must_use]
    pub(crate) const fn of(rule: Rule) -> Self {
        Self { path: String::new(), rule }
    }

    /// The same, seen from a value that has this one under `key`.
    #[must_use]
    pub fn under(mut self, key: &str) -> Self {
        let dot = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path.insert_str(0, dot);
        self.path.insert_str(0, key);
        self
    }

    /// The same, seen from a list that has this one at `index`.
    #[must_use]
    pub fn at_index(self, index: usize) -> Self {
        self.under(&format!("[{index}]"))
    }

    /// Where the value stands: the message's tag and the keys, as in `chat.items[3].name`, or
    /// `chat.items[].name` where the items are a set. Empty if the rule is about the whole message.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The rule.
    #[must_use]
    pub const fn rule(&self) -> &Rule {
        &self.rule
    }

    /// What a client may know: where, and what is asked for.
    #[must_use]
    pub fn client_text(&self) -> String {
        let place = Place(&self.path);
        match &self.rule {
            Rule::Len { min, max, unit, .. } => format!("{place} must have {}", count(*min, *max, unit)),
            Rule::Bytes { min, max, .. } => format!("{place} must have {}", count(*min, *max, "bytes")),
            Rule::Range { min, max } => format!("{place} must be {}", between(min.as_ref(), max.as_ref())),
            Rule::Pattern(pattern) => format!("{place} must match `{pattern}`"),
            Rule::Custom(reason) if self.path.is_empty() => reason.clone(),
            Rule::Custom(reason) => format!("{place}: {reason}"),
        }
    }
}

impl Rule {
    /// The word for it in `#[frame(..)]`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Len { .. } => "len",
            Self::Bytes { .. } => "bytes",
            Self::Range { .. } => "range",
            Self::Pattern(_) => "pattern",
            Self::Custom(_) => "custom",
        }
    }

    /// The limits as JSON numbers, as far as they are numbers: the least and the greatest.
    pub(crate) fn limits(&self) -> [Option<serde_json::Number>; 2] {
        match self {
            Self::Len { min, max, .. } | Self::Bytes { min, max, .. } => {
                [min, max].map(|limit| limit.map(serde_json::Number::from))
            }
            Self::Range { min, max } => [min, max].map(|limit| limit.as_ref()?.parse().ok()),
            Self::Pattern(_) | Self::Custom(_) => [None, None],
        }
    }
}

/// A path between backticks, or the whole message.
struct Place<'a>(&'a str);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            "" => f.write_str("the message"),
            path => write!(f, "`{path}`"),
        }
    }
}

/// `unit` is in the plural.
fn count(min: Option<usize>, max: Option<usize>, unit: &str) -> String {
    let unit = if max.or(min) == Some(1) { unit.trim_end_matches('s') } else { unit };
    match (min, max) {
        (Some(min), Some(max)) if min == max => format!("exactly {min} {unit}"),
        (Some(min), Some(max)) => format!("{min} to {max} {unit}"),
        (Some(min), None) => format!("at least {min} {unit}"),
        (None, Some(max)) => format!("at most {max} {unit}"),
        (None, None) => format!("any number of {unit}"),
    }
}

fn between(min: Option<&String>, max: Option<&String>) -> String {
    match (min, max) {
        (Some(min), Some(max)) => format!("between {min} and {max}"),
        (Some(min), None) => format!("at least {min}"),
        (None, Some(max)) => format!("at most {max}"),
        (None, None) => "in range".to_owned(),
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (text, rule) = (self.client_text(), self.rule.name());
        match &self.rule {
            Rule::Len { found, .. } | Rule::Bytes { found, .. } => {
                write!(f, "rule `{rule}` broken: {text}, not {found}")
            }
            _ => write!(f, "rule `{rule}` broken: {text}"),
        }
    }
}

impl std::error::Error for Violation {}

impl<T: Validate + ?Sized> Validate for &T {
    fn validate(&self) -> Result<(), Violation> {
        (**self).validate()
    }

    fn tell_rules(told: &mut dyn RuleSink) {
        T::tell_rules(told);
    }
}

impl<T: Validate + ?Sized> Validate for Box<T> {
    fn validate(&self) -> Result<(), Violation> {
        (**self).validate()
    }

    fn tell_rules(told: &mut dyn RuleSink) {
        T::tell_rules(told);
    }
}

impl<T: Validate> Validate for Option<T> {
    fn validate(&self) -> Result<(), Violation> {
        self.as_ref().map_or(Ok(()), Validate::validate)
    }

    fn tell_rules(told: &mut dyn RuleSink) {
        T::tell_rules(told);
    }
}

impl<T: Validate> Validate for [T] {
    fn validate(&self) -> Result<(), Violation> {
        validate_all(self)
    }

    fn tell_rules(told: &mut dyn RuleSink) {
        told.nested(&[Step::Items], T::tell_rules);
    }
}

impl<T: Validate, const N: usize> Validate for [T; N] {
    fn validate(&self) -> Result<(), Violation> {
        validate_all(self)
    }

    fn tell_rules(told: &mut dyn RuleSink) {
        told.nested(&[Step::Items], T::tell_rules);
    }
}

impl<T: Validate> Validate for Vec<T> {
    fn validate(&self) -> Result<(), Violation> {
        validate_all(self)
    }

    fn tell_rules(told: &mut dyn RuleSink) {
        told.nested(&[Step::Items], T::tell_rules);
    }
}

impl<T: Validate> Validate for VecDeque<T> {
    fn validate(&self) -> Result<(), Violation> {
        validate_all(self)
    }

    fn tell_rules(told: &mut dyn RuleSink) {
        told.nested(&[Step::Items], T::tell_rules);
    }
}

fn validate_all<'a, T: Validate + 'a>(items: impl IntoIterator<Item = &'a T>) -> Result<(), Violation> {
    for (index, item) in items.into_iter().enumerate() {
        item.validate().map_err(|violation| violation.at_index(index))?;
    }
    Ok(())
}
