//! An enum as methods: one for each variant, with the values of the variant as arguments.
//!
//! The methods become a trait, so it is rustc that says which one is missing, which one is too
//! many and which type is wrong, at the tokens of whoever implements it. Left to be said here is
//! what keeps an enum from having such a trait.

use proc_macro2::{Ident, Span};
use quote::ToTokens;
use syn::{Data, DataEnum, DeriveInput, Field, Type, ext::IdentExt};

use crate::{case::Case, mistakes::Mistakes};

/// Keywords of an edition, which are names in the ones before it.
const LATE_KEYWORDS: [&str; 1] = ["gen"];

/// What answers one variant.
pub(crate) struct Method<'a> {
    pub(crate) variant: &'a syn::Variant,
    /// It stands where the variant's name does, so that rustc shows the variant.
    pub(crate) name: Ident,
    /// The values of the variant, in the order of the code.
    pub(crate) arguments: Vec<Argument<'a>>,
}

/// A value that a method is given.
pub(crate) struct Argument<'a> {
    pub(crate) name: Ident,
    pub(crate) ty: &'a Type,
}

impl<'a> Method<'a> {
    /// The methods of the item, and what is wrong with it; none if it is no enum.
    pub(crate) fn read_all(input: &'a DeriveInput, mistakes: &mut Mistakes) -> Vec<Self> {
        match &input.data {
            Data::Enum(data) => read_enum(&input.ident, data, mistakes),
            Data::Struct(data) => {
                let message = "a struct is one message, which `on_message` answers; remove `Dispatch`";
                mistakes.at(data.struct_token, message);
                Vec::new()
            }
            Data::Union(data) => {
                let message = "a union does not know which of its fields is set; write an `enum`";
                mistakes.at(data.union_token, message);
                Vec::new()
            }
        }
    }

    /// `None` if there can be no method of its name.
    fn read(variant: &'a syn::Variant, mistakes: &mut Mistakes) -> Option<Self> {
        let ident = &variant.ident;
        let name = Case::Snake.variant(&ident.unraw().to_string());
        let Some(name) = ident_of(&name, ident.span()) else {
            mistakes.at(ident, format_args!("no method can be called `{name}`; give `{ident}` another name"));
            return None;
        };
        let fields = variant.fields.iter().enumerate();
        let method = Self { variant, name, arguments: fields.map(Argument::read).collect() };
        method.arguments_differ(mistakes);
        Some(method)
    }

    /// Whoever sorts the fields of a message does not think of arguments, and rustc would not
    /// notice when two of one type change places.
    fn arguments_differ(&self, mistakes: &mut Mistakes) {
        for (index, later) in self.arguments.iter().enumerate() {
            let spelled = later.ty.to_token_stream().to_string();
            let same = |earlier: &&Argument<'_>| earlier.ty.to_token_stream().to_string() == spelled;
            let Some(earlier) = self.arguments[..index].iter().find(same) else { continue };
            let (first, second, variant) = (&earlier.name, &later.name, &self.variant.ident);
            let message = format!(
                "`{first}` and `{second}` have one type, so as arguments they could be exchanged unnoticed; \
                 put the values into a struct of their own: `{variant}(..)`"
            );
            mistakes.at(later.ty, message);
            // One such pair is enough to need the struct.
            return;
        }
    }
}

impl<'a> Argument<'a> {
    fn read((index, field): (usize, &'a Field)) -> Self {
        let name = match &field.ident {
            Some(ident) => ident.clone(),
            None if index == 0 => Ident::new("message", Span::call_site()),
            None => Ident::new(&format!("message_{index}"), Span::call_site()),
        };
        Self { name, ty: &field.ty }
    }
}

fn read_enum<'a>(ident: &Ident, data: &'a DataEnum, mistakes: &mut Mistakes) -> Vec<Method<'a>> {
    if data.variants.is_empty() {
        let message = "an enum without variants has no methods; add a variant such as `Hello`";
        mistakes.at(ident, message);
    }
    let mut methods: Vec<Method<'a>> = Vec::new();
    for variant in &data.variants {
        let Some(method) = Method::read(variant, mistakes) else { continue };
        match methods.iter().find(|earlier| earlier.name == method.name) {
            Some(earlier) => {
                let (first, second, name) = (&earlier.variant.ident, &variant.ident, &method.name);
                let message = format_args!(
                    "`{first}` and `{second}` would both have the method `{name}`; give one of them another name"
                );
                mistakes.at(second, message);
            }
            None => methods.push(method),
        }
    }
    methods
}

/// The text as a name, raw if it is a keyword; `None` if there is no such name.
fn ident_of(name: &str, span: Span) -> Option<Ident> {
    let raw = || syn::parse_str(&format!("r#{name}"));
    let plain = (!LATE_KEYWORDS.contains(&name)).then(|| syn::parse_str(name).ok()).flatten();
    let mut ident: Ident = plain.or_else(|| raw().ok())?;
    ident.set_span(span);
    Some(ident)
}
