//! The impls that the derives write.
//!
//! The written code stands among the user's: each path in it is absolute, each name that it
//! brings begins with `__`, and methods are called by their path, since a trait of the user's
//! might have one of the same name. It calls `partyrs::__private` for all that is not about
//! this very item. A field's type is asked for its bound in one place, with the user's
//! tokens; so a type that lacks it is one error, at the type.

pub(crate) mod dispatch;
mod from_frame;
mod into_frame;
mod protocol;
mod rules;
#[cfg(test)]
mod tests;

use proc_macro2::{Group, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote};
use syn::{DeriveInput, GenericParam, Generics, Type, parse_quote_spanned, spanned::Spanned};

use crate::{
    ast::Item,
    check::{self, Direction},
    mistakes::Mistakes,
};

/// Writes the impls of one derive. If something is wrong with the item, says what, and
/// writes impls that are never run, so that nobody is told that they are lacking too.
pub(crate) fn derive(input: TokenStream, direction: Direction) -> TokenStream {
    let input: DeriveInput = match syn::parse2(input) {
        Ok(input) => input,
        Err(error) => return error.into_compile_error(),
    };
    let mut mistakes = Mistakes::default();
    let item = Item::read(&input, direction, &mut mistakes);
    check::check(&item, direction, &mut mistakes);
    match (mistakes.into_compile_errors(), direction) {
        (None, Direction::FromFrame) => from_frame::expand(&item),
        (None, Direction::IntoFrame) => into_frame::expand(&item),
        (None, Direction::Protocol) => protocol::expand(&item),
        (None, Direction::Validate) => rules::expand_validate(&item),
        (Some(errors), Direction::FromFrame) => [errors, from_frame::stand_in(&item)].into_iter().collect(),
        (Some(errors), Direction::IntoFrame) => [errors, into_frame::stand_in(&item)].into_iter().collect(),
        (Some(errors), Direction::Protocol) => [errors, protocol::stand_in(&item)].into_iter().collect(),
        (Some(errors), Direction::Validate) => [errors, rules::stand_in(&item)].into_iter().collect(),
    }
}

/// The item's generics with `bound` on every field type that has a parameter in it.
///
/// Other types are asked where they are used, since rustc has better words for it there.
fn generics_with_field_bounds(item: &Item<'_>, bound: &TokenStream) -> Generics {
    let mut generics = item.generics.clone();
    add_bounds(item, &mut generics, &item.types(), bound);
    generics
}

/// The same with the types given.
fn add_bounds(item: &Item<'_>, generics: &mut Generics, types: &[&Type], bound: &TokenStream) {
    let params: Vec<_> = item.generics.params.iter().filter_map(parameter).collect();
    if params.is_empty() {
        return;
    }
    let (_, ty_generics, _) = item.generics.split_for_impl();
    let (ident, where_clause) = (item.ident, generics.make_where_clause());
    for ty in types {
        // An impl for `&Item` has another `Self`.
        let spelled = without_self(ty.to_token_stream(), &quote!(#ident #ty_generics));
        if mentions(spelled.clone(), &params) {
            where_clause.predicates.push(parse_quote_spanned!(ty.span()=> #spelled: #bound));
        }
    }
}

/// The name of a type or const parameter.
fn parameter(param: &GenericParam) -> Option<&Ident> {
    match param {
        GenericParam::Type(param) => Some(&param.ident),
        GenericParam::Const(param) => Some(&param.ident),
        GenericParam::Lifetime(_) => None,
    }
}

fn mentions(tokens: TokenStream, params: &[&Ident]) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => params.contains(&&ident),
        TokenTree::Group(group) => mentions(group.stream(), params),
        TokenTree::Punct(_) | TokenTree::Literal(_) => false,
    })
}

fn without_self(tokens: TokenStream, item: &TokenStream) -> TokenStream {
    let tokens = tokens.into_iter().map(|token| match token {
        TokenTree::Ident(ident) if ident == "Self" => item.clone(),
        TokenTree::Group(group) => {
            TokenTree::from(Group::new(group.delimiter(), without_self(group.stream(), item))).into()
        }
        other => other.into(),
    });
    tokens.collect()
}

/// A name for the local variable of field number `index`.
fn local(index: usize) -> Ident {
    format_ident!("__field{index}")
}

/// A name of the derive's own, for where rustc is to point at the user's tokens: those may come from a macro
/// of the user's, in which a name that is written there would be another one.
fn own(name: &str) -> Ident {
    Ident::new(name, Span::call_site())
}

/// What stands above each impl.
fn header() -> TokenStream {
    quote! {
        #[automatically_derived]
        #[allow(deprecated, unused_qualifications, clippy::all, clippy::pedantic, clippy::nursery)]
    }
}
