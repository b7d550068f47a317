//! `impl IntoFrame`, for the item and for references to it.
//!
//! All that is known of the JSON at compile time (braces, tag, keys, commas) is written as
//! literals here; `partyrs::__private` puts the values between them.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{Generics, spanned::Spanned};

use super::{generics_with_field_bounds, header, local};
use crate::ast::{Body, Content, Field, Item, Variant};

pub(crate) fn expand(item: &Item<'_>) -> TokenStream {
    let arms = match &item.body {
        Body::Enum { tag, variants } => variants.iter().map(|variant| write_variant(tag, variant)).collect(),
        Body::Struct(Content::Fields(fields)) => write_fields(&quote!(Self), "{", fields),
        Body::Struct(_) | Body::Union(_) => return stand_in(item),
    };
    let generics = generics_with_field_bounds(item, &quote!(::partyrs::__private::serde::Serialize));
    let body = quote!(::partyrs::__private::WriteMessage::write(__message));
    let into_frame = impl_into_frame(item, &generics, &body);
    let write_message = impl_write_message(item, &generics, &arms);
    quote!(#into_frame #write_message)
}

/// Impls that are never run.
pub(crate) fn stand_in(item: &Item<'_>) -> TokenStream {
    impl_into_frame(
        item,
        &item.generics,
        &quote!({
            let _ = __message;
            ::core::unreachable!()
        }),
    )
}

/// `body` sees the message as `__message`, a reference.
fn impl_into_frame(item: &Item<'_>, generics: &Generics, body: &TokenStream) -> TokenStream {
    let (ident, header) = (item.ident, header());
    let (impl_generics, ty_generics, where_clause) = generics.split_for_impl();
    quote! {
        #header
        impl #impl_generics ::partyrs::IntoFrame for #ident #ty_generics #where_clause {
            fn into_frame(self) -> ::core::result::Result<::partyrs::Frame, ::partyrs::EncodeError> {
                ::partyrs::IntoFrame::into_frame(&self)
            }
        }

        #header
        impl #impl_generics ::partyrs::IntoFrame for &#ident #ty_generics #where_clause {
            fn into_frame(self) -> ::core::result::Result<::partyrs::Frame, ::partyrs::EncodeError> {
                let __message = self;
                #body
            }
        }
    }
}

fn impl_write_message(item: &Item<'_>, generics: &Generics, arms: &TokenStream) -> TokenStream {
    let (ident, header) = (item.ident, header());
    let (impl_generics, ty_generics, where_clause) = generics.split_for_impl();
    quote! {
        #header
        impl #impl_generics ::partyrs::__private::WriteMessage for #ident #ty_generics #where_clause {
            fn write(&self) -> ::core::result::Result<::partyrs::Frame, ::partyrs::EncodeError> {
                match self { #arms }
            }
        }
    }
}

/// The match arm of one variant.
fn write_variant(tag: &str, variant: &Variant<'_>) -> TokenStream {
    let (ident, name) = (variant.ident, &variant.name.text);
    let start = format!("{{{}:{}", json_string(tag), json_string(name));
    match &variant.content {
        Content::Unit => {
            let whole = start + "}";
            quote!(Self::#ident => ::core::result::Result::Ok(::partyrs::__private::constant(#whole)),)
        }
        Content::Fields(fields) => write_fields(&quote!(Self::#ident), &start, fields),
        Content::Tuple(values) => {
            let locals: Vec<_> = (0..values.unnamed.len()).map(local).collect();
            let writes = values.unnamed.iter().zip(&locals).map(|(value, local)| {
                let ty = &value.ty;
                quote_spanned!(ty.span()=> ::partyrs::__private::Text::payload::<#ty>(&mut __text, #name, #local)?;)
            });
            quote! {
                Self::#ident(#(#locals),*) => {
                    let mut __text = ::partyrs::__private::Text::starting(#start);
                    #(#writes)*
                    ::core::result::Result::Ok(::partyrs::__private::Text::ending(__text))
                }
            }
        }
    }
}

/// The match arm of a variant or struct with named fields; `start` is the object so far.
fn write_fields(pattern: &TokenStream, start: &str, fields: &[Field<'_>]) -> TokenStream {
    let keys: Vec<_> = fields.iter().map(|field| json_string(&field.name.text) + ":").collect();
    let Some((first_key, later_keys)) = keys.split_first() else {
        let whole = format!("{start}}}");
        return quote!(#pattern {} => ::core::result::Result::Ok(::partyrs::__private::constant(#whole)),);
    };
    let comma = if start == "{" { "" } else { "," };
    let start = format!("{start}{comma}{first_key}");
    let between = later_keys.iter().map(|key| format!(",{key}"));
    let literals = std::iter::once(quote!())
        .chain(between.map(|key| quote!(::partyrs::__private::Text::literal(&mut __text, #key);)));
    let idents = fields.iter().map(|field| field.ident);
    let locals: Vec<_> = (0..fields.len()).map(local).collect();
    let values = fields
        .iter()
        .zip(&locals)
        .map(|(Field { ty, .. }, local)| quote_spanned!(ty.span()=> ::partyrs::__private::Text::value::<#ty>(&mut __text, #local)?;));
    quote! {
        #pattern { #(#idents: #locals),* } => {
            let mut __text = ::partyrs::__private::Text::starting(#start);
            #(#literals #values)*
            ::core::result::Result::Ok(::partyrs::__private::Text::ending(__text))
        }
    }
}

/// The text as JSON writes it, in quotes.
fn json_string(text: &str) -> String {
    let mut json = String::from('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => json.extend(['\\', letter]),
            '\0'..='\x1f' => json.push_str(&format!("\\u{:04x}", u32::from(letter))),
            _ => json.push(letter),
        }
    }
    json.push('"');
    json
}
