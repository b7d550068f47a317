//! The item as the user wrote it, in our nouns.
//!
//! Reading takes in whatever rustc lets through, wrong shapes included: what is wrong is
//! for [`check`](crate::check) to say. Names are worked out here, because every later
//! step asks for them.

use proc_macro2::Ident;
use syn::{Data, DeriveInput, FieldsNamed, FieldsUnnamed, Generics, LitStr, Token, Type, ext::IdentExt};

use crate::{
    attr::{Attrs, Place},
    case::Case,
    mistakes::Mistakes,
};

/// The item under the derive.
pub(crate) struct Item<'a> {
    pub(crate) ident: &'a Ident,
    /// Without the attributes of its parameters.
    pub(crate) generics: Generics,
    pub(crate) body: Body<'a>,
}

/// What the item is.
pub(crate) enum Body<'a> {
    /// One of several messages.
    Enum { tag: String, variants: Vec<Variant<'a>> },
    /// A message of its own, without a tag.
    Struct(Content<'a>),
    /// Not a message.
    Union(&'a Token![union]),
}

/// One message of an enum.
pub(crate) struct Variant<'a> {
    pub(crate) ident: &'a Ident,
    /// The tag's value.
    pub(crate) name: Name,
    pub(crate) content: Content<'a>,
}

/// What stands in the object beside the tag.
pub(crate) enum Content<'a> {
    /// `Leave`: nothing.
    Unit,
    /// `Say { .. }`: a key for each field.
    Fields(Vec<Field<'a>>),
    /// `Move(Point)`: the keys of the one value. Any other number of values is a mistake.
    Tuple(&'a FieldsUnnamed),
}

/// A named field.
pub(crate) struct Field<'a> {
    pub(crate) ident: &'a Ident,
    /// Its key in the object.
    pub(crate) name: Name,
    pub(crate) ty: &'a Type,
}

/// What a variant or a field is called in the frame.
pub(crate) struct Name {
    pub(crate) text: String,
    /// The value of `rename`, if that is where the name comes from.
    pub(crate) rename: Option<LitStr>,
}

impl<'a> Item<'a> {
    /// Reads the item and the `#[frame]` attributes on it and in it.
    pub(crate) fn read(input: &'a DeriveInput, mistakes: &mut Mistakes) -> Self {
        let body = match &input.data {
            Data::Enum(data) => {
                let attrs = Attrs::read(&input.attrs, Place::Enum, mistakes);
                let variants =
                    data.variants.iter().map(|variant| Variant::read(variant, &attrs, mistakes)).collect();
                let tag = attrs.tag.as_ref().map_or_else(|| "type".to_owned(), LitStr::value);
                Body::Enum { tag, variants }
            }
            Data::Struct(data) => {
                let attrs = Attrs::read(&input.attrs, Place::Struct, mistakes);
                Body::Struct(Content::read(&data.fields, attrs.rename_all, Place::TupleField, mistakes))
            }
            // There is one thing to say of a union; its attributes are not worth a second.
            Data::Union(data) => Body::Union(&data.union_token),
        };
        Self { ident: &input.ident, generics: read_generics(&input.generics, mistakes), body }
    }

    /// The types of all values in it.
    pub(crate) fn types(&self) -> Vec<&'a Type> {
        match &self.body {
            Body::Enum { variants, .. } => {
                variants.iter().flat_map(|variant| variant.content.types()).collect()
            }
            Body::Struct(content) => content.types(),
            Body::Union(_) => Vec::new(),
        }
    }
}

impl<'a> Variant<'a> {
    fn read(variant: &'a syn::Variant, item: &Attrs, mistakes: &mut Mistakes) -> Self {
        let attrs = Attrs::read(&variant.attrs, Place::Variant, mistakes);
        Self {
            ident: &variant.ident,
            name: Name::new(&variant.ident, attrs.rename, |name| match item.rename_all {
                Some(case) => case.variant(name),
                None => name.to_owned(),
            }),
            content: Content::read(&variant.fields, item.rename_all_fields, Place::Payload, mistakes),
        }
    }

    /// The type of `Move(Point)`'s payload.
    pub(crate) fn payload(&self) -> Option<&'a Type> {
        match &self.content {
            Content::Tuple(values) => values.unnamed.first().map(|value| &value.ty),
            Content::Unit | Content::Fields(_) => None,
        }
    }
}

impl<'a> Content<'a> {
    fn read(fields: &'a syn::Fields, case: Option<Case>, unnamed: Place, mistakes: &mut Mistakes) -> Self {
        match fields {
            syn::Fields::Unit => Self::Unit,
            syn::Fields::Named(fields) => Self::Fields(read_fields(fields, case, mistakes)),
            syn::Fields::Unnamed(values) => {
                for value in &values.unnamed {
                    Attrs::read(&value.attrs, unnamed, mistakes);
                }
                Self::Tuple(values)
            }
        }
    }

    /// The types of the values in it.
    pub(crate) fn types(&self) -> Vec<&'a Type> {
        match self {
            Self::Unit => Vec::new(),
            Self::Fields(fields) => fields.iter().map(|field| field.ty).collect(),
            Self::Tuple(values) => values.unnamed.iter().map(|value| &value.ty).collect(),
        }
    }
}

impl Name {
    fn new(ident: &Ident, rename: Option<LitStr>, in_case: impl FnOnce(&str) -> String) -> Self {
        let text = match &rename {
            Some(rename) => rename.value(),
            None => in_case(&ident.unraw().to_string()),
        };
        Self { text, rename }
    }
}

fn read_fields<'a>(fields: &'a FieldsNamed, case: Option<Case>, mistakes: &mut Mistakes) -> Vec<Field<'a>> {
    let named = fields.named.iter().filter_map(|field| Some((field, field.ident.as_ref()?)));
    named
        .map(|(field, ident)| {
            let attrs = Attrs::read(&field.attrs, Place::Field, mistakes);
            let name = Name::new(ident, attrs.rename, |name| match case {
                Some(case) => case.field(name),
                None => name.to_owned(),
            });
            Field { ident, name, ty: &field.ty }
        })
        .collect()
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
