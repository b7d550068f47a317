//! `impl FromFrame`.
//!
//! Which message it is, and whether the frame is an object at all, is found out in
//! `partyrs::__private`; written here is how the entries of the object become fields.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{Generics, parse_quote, spanned::Spanned};

use super::{generics_with_field_bounds, header, local};
use crate::ast::{Body, Content, Field, Item, Variant};

pub(crate) fn expand(item: &Item<'_>) -> TokenStream {
    let (parse, read) = match &item.body {
        Body::Enum { tag, variants } => {
            let names = variants.iter().map(|variant| &variant.name.text);
            (
                quote!(::partyrs::__private::read_message(&__frame, #tag, &[#(#names),*])),
                read_variants(variants),
            )
        }
        Body::Struct(Content::Fields(fields)) => {
            (quote!(::partyrs::__private::read_object(&__frame)), read_fields(&quote!(Self), fields))
        }
        Body::Struct(_) | Body::Union(_) => return stand_in(item),
    };
    let mut generics =
        generics_with_field_bounds(item, &quote!(::partyrs::__private::serde::de::DeserializeOwned));
    let read_message = impl_read_message(item, &generics, &read);
    promise_to_be_owned(&mut generics);
    let from_frame = impl_from_frame(item, &generics, &parse);
    quote!(#from_frame #read_message)
}

/// An impl that is never run.
pub(crate) fn stand_in(item: &Item<'_>) -> TokenStream {
    let mut generics = item.generics.clone();
    promise_to_be_owned(&mut generics);
    impl_from_frame(
        item,
        &generics,
        &quote!({
            let _ = __frame;
            ::core::unreachable!()
        }),
    )
}

/// The trait asks for `Send` and `'static`. With parameters that depends on them; without,
/// rustc finds it out.
fn promise_to_be_owned(generics: &mut Generics) {
    if !generics.params.is_empty() {
        let promise = parse_quote!(Self: ::core::marker::Send + 'static);
        generics.make_where_clause().predicates.push(promise);
    }
}

fn impl_from_frame(item: &Item<'_>, generics: &Generics, body: &TokenStream) -> TokenStream {
    let (ident, header) = (item.ident, header());
    let (impl_generics, ty_generics, where_clause) = generics.split_for_impl();
    quote! {
        #header
        impl #impl_generics ::partyrs::FromFrame for #ident #ty_generics #where_clause {
            fn from_frame(
                __frame: ::partyrs::Frame,
            ) -> ::core::result::Result<Self, ::partyrs::ParseError> {
                #body
            }
        }
    }
}

fn impl_read_message(item: &Item<'_>, generics: &Generics, body: &TokenStream) -> TokenStream {
    let (ident, header) = (item.ident, header());
    let (impl_generics, ty_generics, where_clause) = generics.split_for_impl();
    quote! {
        #header
        impl #impl_generics ::partyrs::__private::ReadMessage for #ident #ty_generics #where_clause {
            fn read<'__de, __M>(
                __variant: ::core::primitive::usize,
                mut __entries: ::partyrs::__private::Entries<'_, __M>,
            ) -> ::core::result::Result<Self, __M::Error>
            where
                __M: ::partyrs::__private::serde::de::MapAccess<'__de>,
            {
                #body
            }
        }
    }
}

/// One arm for each variant, by its place among them. The last takes what is left, since
/// no other number occurs.
fn read_variants(variants: &[Variant<'_>]) -> TokenStream {
    let arms = variants.iter().enumerate().map(|(index, variant)| {
        let read = read_variant(variant);
        if index + 1 == variants.len() { quote!(_ => #read) } else { quote!(#index => #read) }
    });
    quote!(match __variant { #(#arms)* })
}

fn read_variant(variant: &Variant<'_>) -> TokenStream {
    let ident = variant.ident;
    match &variant.content {
        Content::Unit => quote!({
            ::partyrs::__private::Entries::skip_all(&mut __entries)?;
            ::core::result::Result::Ok(Self::#ident)
        }),
        Content::Fields(fields) => {
            let read = read_fields(&quote!(Self::#ident), fields);
            quote!({ #read })
        }
        Content::Tuple(values) => {
            let payloads = values.unnamed.iter().map(|value| {
                let ty = &value.ty;
                quote_spanned!(ty.span()=> ::partyrs::__private::Entries::payload::<#ty>(__entries)?)
            });
            quote!(::core::result::Result::Ok(Self::#ident(#(#payloads),*)),)
        }
    }
}

fn read_fields(constructor: &TokenStream, fields: &[Field<'_>]) -> TokenStream {
    if fields.is_empty() {
        return quote! {
            ::partyrs::__private::Entries::skip_all(&mut __entries)?;
            ::core::result::Result::Ok(#constructor {})
        };
    }
    let entries = quote!(::partyrs::__private::Entries);
    let names: Vec<_> = fields.iter().map(|field| &field.name.text).collect();
    let idents = fields.iter().map(|field| field.ident);
    let locals: Vec<_> = (0..fields.len()).map(local).collect();
    let indices = 0..fields.len();
    let slots = fields.iter().map(|Field { ty, name, .. }| {
        let name = &name.text;
        quote_spanned!(ty.span()=> ::partyrs::__private::Entries::slot::<#ty>(&__entries, #name))
    });
    quote! {
        #(let mut #locals = #slots;)*
        while let ::core::option::Option::Some(__key) = #entries::next_key(&mut __entries, &[#(#names),*])? {
            match __key {
                #(#indices => #entries::read(&mut __entries, &mut #locals)?,)*
                _ => #entries::skip(&mut __entries)?,
            }
        }
        ::core::result::Result::Ok(#constructor { #(#idents: ::partyrs::__private::Slot::take(#locals)?,)* })
    }
}
