//! The item as the user wrote it, in our nouns.
//!
//! Reading takes in whatever rustc lets through, wrong shapes included: what is wrong is
//! for [`check`](crate::check) to say. Names are worked out here, because every later
//! step asks for them.

use proc_macro2::Ident;
use syn::{
    Data, DeriveInput, ExprPath, FieldsNamed, FieldsUnnamed, Generics, LitStr, Token, Type, ext::IdentExt,
};

use crate::{
    attr::{Attrs, Place, Standby, docs},
    case::Case,
    check::Direction,
    mistakes::Mistakes,
    rule::Rule,
};

/// The item under the derive.
pub(crate) struct Item<'a> {
    pub(crate) ident: &'a Ident,
    /// Without the attributes of its parameters.
    pub(crate) generics: Generics,
    pub(crate) body: Body<'a>,
    /// `deny_unknown_fields`, where it stands.
    pub(crate) deny_unknown_fields: Option<Ident>,
    /// The rule over the whole message.
    pub(crate) check: Option<ExprPath>,
    /// Its doc comment.
    pub(crate) docs: String,
}

/// What the item is.
pub(crate) enum Body<'a> {
    /// One of several messages.
    Enum { keys: Keys, variants: Vec<Variant<'a>> },
    /// A message of its own, without a tag.
    Struct {
        content: Content<'a>,
        /// Whether a field that never came is what the `Default` of the struct has there.
        default: bool,
    },
    /// Not a message.
    Union(&'a Token![union]),
}

/// The keys that all messages of an enum have.
pub(crate) struct Keys {
    /// Says which message it is.
    pub(crate) tag: String,
    /// Holds what the message says, if that does not stand beside the tag.
    pub(crate) content: Option<LitStr>,
}

/// One message of an enum.
pub(crate) struct Variant<'a> {
    pub(crate) ident: &'a Ident,
    /// The tag's value.
    pub(crate) name: Name,
    pub(crate) role: Role,
    pub(crate) content: Content<'a>,
    pub(crate) docs: String,
}

/// Which frames a variant is for; where that is said, the word that says it.
pub(crate) enum Role {
    /// Those with its tag.
    Tagged,
    /// Those with a tag that nobody else has.
    Other(Ident),
    /// Binary ones.
    Binary(Ident),
}

/// What a message says: what stands beside the tag, or under the key for the content.
pub(crate) enum Content<'a> {
    /// `Leave`: nothing.
    Unit,
    /// `Say { .. }`: a key for each field.
    Fields(Vec<Field<'a>>),
    /// `Move(Point)`: beside the tag the keys of the one value, under a key of their own any values.
    Tuple(Tuple<'a>),
}

/// Values without names.
pub(crate) struct Tuple<'a> {
    pub(crate) values: &'a FieldsUnnamed,
    /// Those of each value.
    pub(crate) rules: Vec<Vec<Rule>>,
}

/// A named field.
pub(crate) struct Field<'a> {
    pub(crate) ident: &'a Ident,
    /// Its key in the object.
    pub(crate) name: Name,
    pub(crate) ty: &'a Type,
    pub(crate) part: Part,
    /// What it is if its key never came; if nothing is said, that is for its type to say.
    pub(crate) default: Option<(Ident, Standby)>,
    /// Says of a value that it is not written.
    pub(crate) skip_serializing_if: Option<(Ident, ExprPath)>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) docs: String,
}

/// What a field has of the object; where that is said, the word that says it.
pub(crate) enum Part {
    /// One key.
    Key,
    /// All keys that no other field has.
    Rest(Ident),
    /// Nothing.
    Nothing,
}

/// What a variant or a field is called in the frame.
pub(crate) struct Name {
    pub(crate) text: String,
    /// The value of `rename`, if that is where the name comes from.
    pub(crate) rename: Option<LitStr>,
    /// What else it may be called by a client.
    pub(crate) aliases: Vec<LitStr>,
}

impl<'a> Item<'a> {
    /// Reads the item and the `#[frame]` attributes on it and in it.
    pub(crate) fn read(input: &'a DeriveInput, direction: Direction, mistakes: &mut Mistakes) -> Self {
        let reader = Reader { asks_serde: direction == Direction::Validate };
        let place = match &input.data {
            Data::Enum(_) => Place::Enum,
            Data::Struct(_) => Place::Struct,
            // There is one thing to say of a union; its attributes are not worth a second.
            Data::Union(data) => {
                return Self::of(input, Body::Union(&data.union_token), Attrs::default(), mistakes);
            }
        };
        let attrs = reader.attrs(&input.attrs, place, mistakes);
        let body = match &input.data {
            Data::Enum(data) => {
                let variants = data
                    .variants
                    .iter()
                    .map(|variant| Variant::read(variant, &attrs, reader, mistakes))
                    .collect();
                let tag = attrs.tag.as_ref().map_or_else(|| "type".to_owned(), LitStr::value);
                Body::Enum { keys: Keys { tag, content: attrs.content.clone() }, variants }
            }
            Data::Struct(data) => Body::Struct {
                content: Content::read(&data.fields, attrs.rename_all, Place::TupleField, reader, mistakes),
                default: attrs.default.is_some(),
            },
            Data::Union(data) => Body::Union(&data.union_token),
        };
        Self::of(input, body, attrs, mistakes)
    }

    fn of(input: &'a DeriveInput, body: Body<'a>, attrs: Attrs, mistakes: &mut Mistakes) -> Self {
        Self {
            ident: &input.ident,
            generics: read_generics(&input.generics, mistakes),
            body,
            deny_unknown_fields: attrs.deny_unknown_fields,
            check: attrs.check,
            docs: docs(&input.attrs),
        }
    }

    /// The types of all values that serde reads or writes.
    pub(crate) fn types(&self) -> Vec<&'a Type> {
        match &self.body {
            Body::Enum { variants, .. } => variants
                .iter()
                .filter(|variant| matches!(variant.role, Role::Tagged))
                .flat_map(|variant| variant.content.types())
                .collect(),
            Body::Struct { content, .. } => content.types(),
            Body::Union(_) => Vec::new(),
        }
    }
}

impl<'a> Variant<'a> {
    fn read(variant: &'a syn::Variant, item: &Attrs, reader: Reader, mistakes: &mut Mistakes) -> Self {
        let attrs = reader.attrs(&variant.attrs, Place::Variant, mistakes);
        let role = match (attrs.other, attrs.binary) {
            (Some(_), Some(binary)) => {
                mistakes.at(&binary, "`binary` is for binary frames and `other` for text; take one of them");
                Role::Tagged
            }
            (Some(other), None) => Role::Other(other),
            (None, Some(binary)) => Role::Binary(binary),
            (None, None) => Role::Tagged,
        };
        Self {
            ident: &variant.ident,
            name: Name::new(&variant.ident, attrs.rename, attrs.aliases, |name| match item.rename_all {
                Some(case) => case.variant(name),
                None => name.to_owned(),
            }),
            role,
            content: Content::read(
                &variant.fields,
                attrs.rename_all.or(item.rename_all_fields),
                Place::Payload,
                reader,
                mistakes,
            ),
            docs: docs(&variant.attrs),
        }
    }

    /// The type of `Move(Point)`'s payload.
    pub(crate) fn payload(&self) -> Option<&'a Type> {
        match &self.content {
            Content::Tuple(tuple) => tuple.types().next(),
            Content::Unit | Content::Fields(_) => None,
        }
    }
}

impl<'a> Content<'a> {
    fn read(
        fields: &'a syn::Fields,
        case: Option<Case>,
        unnamed: Place,
        reader: Reader,
        mistakes: &mut Mistakes,
    ) -> Self {
        match fields {
            syn::Fields::Unit => Self::Unit,
            syn::Fields::Named(fields) => Self::Fields(read_fields(fields, case, reader, mistakes)),
            syn::Fields::Unnamed(values) => {
                let attrs = values.unnamed.iter().map(|value| Attrs::read(&value.attrs, unnamed, mistakes));
                Self::Tuple(Tuple { values, rules: attrs.map(|attrs| attrs.rules).collect() })
            }
        }
    }

    /// The types of the values in it that have a part of the object.
    pub(crate) fn types(&self) -> Vec<&'a Type> {
        match self {
            Self::Unit => Vec::new(),
            Self::Fields(fields) => {
                let written = fields.iter().filter(|field| !matches!(field.part, Part::Nothing));
                written.map(|field| field.ty).collect()
            }
            Self::Tuple(tuple) => tuple.types().collect(),
        }
    }
}

impl<'a> Tuple<'a> {
    pub(crate) fn types(&self) -> impl Iterator<Item = &'a Type> + use<'a> {
        self.values.unnamed.iter().map(|value| &value.ty)
    }
}

impl Name {
    fn new(
        ident: &Ident,
        rename: Option<LitStr>,
        aliases: Vec<LitStr>,
        in_case: impl FnOnce(&str) -> String,
    ) -> Self {
        let text = match &rename {
            Some(rename) => rename.value(),
            None => in_case(&ident.unraw().to_string()),
        };
        Self { text, rename, aliases }
    }
}

fn read_fields<'a>(
    fields: &'a FieldsNamed,
    case: Option<Case>,
    reader: Reader,
    mistakes: &mut Mistakes,
) -> Vec<Field<'a>> {
    let named = fields.named.iter().filter_map(|field| Some((field, field.ident.as_ref()?)));
    named
        .map(|(field, ident)| {
            let attrs = reader.attrs(&field.attrs, Place::Field, mistakes);
            attrs.say_what_is_idle(mistakes);
            let name = Name::new(ident, attrs.rename, attrs.aliases, |name| match case {
                Some(case) => case.field(name),
                None => name.to_owned(),
            });
            let part = match (attrs.skip, attrs.flatten) {
                (Some(_), _) => Part::Nothing,
                (None, Some(flatten)) => Part::Rest(flatten),
                (None, None) => Part::Key,
            };
            Field {
                ident,
                name,
                ty: &field.ty,
                part,
                default: attrs.default,
                skip_serializing_if: attrs.skip_serializing_if,
                rules: attrs.rules,
                docs: docs(&field.attrs),
            }
        })
        .collect()
}

/// How attributes are read.
#[derive(Clone, Copy)]
struct Reader {
    /// Whether serde's names count: those of what stands inside a message.
    asks_serde: bool,
}

impl Reader {
    fn attrs(self, attributes: &[syn::Attribute], place: Place, mistakes: &mut Mistakes) -> Attrs {
        let mut attrs = Attrs::read(attributes, place, mistakes);
        if self.asks_serde {
            attrs.adopt_serde(attributes);
        }
        attrs
    }
}

/// The generics as they can be written on an impl.
fn read_generics(generics: &Generics, mistakes: &mut Mistakes) -> Generics {
    let mut generics = generics.clone();
    for param in &mut generics.params {
        let attrs = match param {
            syn::GenericParam::Lifetime(param) => &mut param.attrs,
            syn::GenericParam::Type(param) => &mut param.attrs,
            syn::GenericParam::Const(param) => &mut param.attrs,
        };
        Attrs::read(attrs, Place::Generic, mistakes);
        attrs.clear();
    }
    generics
}
