//! `impl IntoFrame`, for the item and for references to it.
//!
//! All that is known of the JSON at compile time (braces, tag, keys, commas) is written as
//! literals here; `partyrs::__private` puts the values between them.

use proc_macro2::{Ident, TokenStream};
use quote::{quote, quote_spanned};
use syn::{Generics, Type, ext::IdentExt, spanned::Spanned};

use super::{generics_with_field_bounds, header, local, own};
use crate::ast::{Body, Content, Field, Item, Keys, Part, Role, Tuple, Variant};

pub(crate) fn expand(item: &Item<'_>) -> TokenStream {
    let arms = match &item.body {
        Body::Enum { keys, variants } => {
            variants.iter().map(|variant| write_variant(keys, variant)).collect()
        }
        Body::Struct { content: Content::Fields(fields), .. } => {
            write_fields(&quote!(Self), "{", None, fields, "}")
        }
        Body::Struct { .. } | Body::Union(_) => return stand_in(item),
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
fn write_variant(keys: &Keys, variant: &Variant<'_>) -> TokenStream {
    let (ident, name) = (variant.ident, &variant.name.text);
    let tag = format!("{{{}:", json_string(&keys.tag));
    match &variant.role {
        Role::Binary(_) => return write_binary(variant),
        Role::Other(_) if !matches!(variant.content, Content::Unit) => return write_other(variant, &tag),
        Role::Other(_) | Role::Tagged => {}
    }
    let start = tag + &json_string(name);
    let content = keys.content.as_ref().map(|content| format!(",{}:", json_string(&content.value())));
    match (&variant.content, content) {
        (Content::Unit, _) => {
            let whole = start + "}";
            quote!(Self::#ident => ::core::result::Result::Ok(::partyrs::__private::constant(#whole)),)
        }
        (Content::Fields(fields), None) => {
            write_fields(&quote!(Self::#ident), &start, Some(&keys.tag), fields, "}")
        }
        (Content::Fields(fields), Some(content)) => {
            write_fields(&quote!(Self::#ident), &(start + &content + "{"), None, fields, "}}")
        }
        (Content::Tuple(tuple), None) => write_tuple(variant, tuple, &start, &|ty, local| {
            write_payload(ty, name, &[json_string(&keys.tag)], local)
        }),
        (Content::Tuple(tuple), Some(content)) => write_values(variant, tuple, &(start + &content)),
    }
}

/// Bytes as they are.
fn write_binary(variant: &Variant<'_>) -> TokenStream {
    let (ident, ty) = (variant.ident, variant.payload());
    let bytes = local(0);
    let frame = quote_spanned! {ty.span()=>
        ::partyrs::IntoFrame::into_frame(<#ty as ::core::clone::Clone>::clone(#bytes))
    };
    quote!(Self::#ident(__field0) => #frame,)
}

/// The tag that came, without what came with it.
fn write_other(variant: &Variant<'_>, tag: &str) -> TokenStream {
    let ident = variant.ident;
    let pattern = match &variant.content {
        Content::Fields(fields) => {
            let idents = fields.iter().map(|field| field.ident);
            quote!(Self::#ident { #(#idents: __field0),* })
        }
        _ => quote!(Self::#ident(__field0)),
    };
    quote! {
        #pattern => {
            let mut __text = ::partyrs::__private::Text::starting(#tag);
            ::partyrs::__private::Text::value(&mut __text, __field0)?;
            ::core::result::Result::Ok(::partyrs::__private::Text::ending(__text, "}"))
        }
    }
}

fn write_tuple(
    variant: &Variant<'_>,
    tuple: &Tuple<'_>,
    start: &str,
    write: &dyn Fn(&Type, &Ident) -> TokenStream,
) -> TokenStream {
    let ident = variant.ident;
    let locals: Vec<_> = tuple.types().enumerate().map(|(index, _)| local(index)).collect();
    let writes = tuple.types().zip(&locals).map(|(ty, local)| write(ty, local));
    quote! {
        Self::#ident(#(#locals),*) => {
            let mut __text = ::partyrs::__private::Text::starting(#start);
            #(#writes)*
            ::core::result::Result::Ok(::partyrs::__private::Text::ending(__text, "}"))
        }
    }
}

/// One value as it is, several as a list.
fn write_values(variant: &Variant<'_>, tuple: &Tuple<'_>, start: &str) -> TokenStream {
    let text = own("__text");
    let write = |ty: &Type, local: &Ident| quote_spanned!(ty.span()=> ::partyrs::__private::Text::value::<#ty>(&mut #text, #local)?;);
    if tuple.values.unnamed.len() == 1 {
        return write_tuple(variant, tuple, start, &write);
    }
    let last = tuple.values.unnamed.len().saturating_sub(1);
    let last = local(last);
    write_tuple(variant, tuple, &format!("{start}["), &|ty, local| {
        let (value, behind) = (write(ty, local), if *local == last { "]" } else { "," });
        quote!(#value ::partyrs::__private::Text::literal(&mut __text, #behind);)
    })
}

/// Adds the keys of a value, which may not be those in `taken`; `name` is what it is called in an error.
fn write_payload(ty: &Type, name: &str, taken: &[String], local: &Ident) -> TokenStream {
    let text = own("__text");
    quote_spanned! {ty.span()=>
        ::partyrs::__private::Text::payload::<#ty>(&mut #text, #name, &[#(#taken),*], #local)?;
    }
}

/// The keys that an object has already, for a field that takes the rest.
fn taken(tag: Option<&String>, fields: &[Field<'_>]) -> Vec<String> {
    let with_key = fields.iter().filter(|field| matches!(field.part, Part::Key));
    tag.into_iter().chain(with_key.map(|field| &field.name.text)).map(|key| json_string(key)).collect()
}

/// The match arm of a variant or struct with named fields; `start` is the object so far, with
/// `tag` among its keys if there is one, and `end` closes it.
fn write_fields(
    pattern: &TokenStream,
    start: &str,
    tag: Option<&String>,
    fields: &[Field<'_>],
    end: &str,
) -> TokenStream {
    let written = || fields.iter().enumerate().filter(|(_, field)| !matches!(field.part, Part::Nothing));
    let dots = if written().count() < fields.len() { quote!(..) } else { quote!() };
    if written().next().is_none() {
        let whole = format!("{start}{end}");
        return quote!(#pattern { #dots } => ::core::result::Result::Ok(::partyrs::__private::constant(#whole)),);
    }
    let idents = written().map(|(_, field)| field.ident);
    let locals = written().map(|(index, _)| local(index));
    let text = own("__text");
    let mut literal = Some(start.to_owned());
    let mut is_started = false;
    // Whether something surely stands between the brace and the next key.
    let mut follows = if start.ends_with('{') { Some(false) } else { Some(true) };
    let mut writes = TokenStream::new();
    for (index, field) in written() {
        let (ty, local) = (field.ty, local(index));
        let key = format!(",{}:", json_string(&field.name.text));
        let value =
            quote_spanned!(ty.span()=> ::partyrs::__private::Text::value::<#ty>(&mut #text, #local)?;);
        let write = match (&field.part, &field.skip_serializing_if, follows) {
            (Part::Key, None, Some(follows)) => {
                let key = if follows { &key[..] } else { &key[1..] };
                literal.get_or_insert_default().push_str(key);
                value
            }
            (Part::Key, None, None) => {
                quote!(::partyrs::__private::Text::key(&mut __text, #key); #value)
            }
            (Part::Key, Some((_, is_skipped)), _) => {
                let is_skipped = quote_spanned!(is_skipped.span()=> #is_skipped(#local));
                quote! {
                    if !#is_skipped {
                        ::partyrs::__private::Text::key(&mut __text, #key);
                        #value
                    }
                }
            }
            (Part::Rest(_) | Part::Nothing, ..) => {
                write_payload(ty, &field.ident.unraw().to_string(), &taken(tag, fields), &local)
            }
        };
        let is_certain = matches!((&field.part, &field.skip_serializing_if), (Part::Key, None));
        follows = if is_certain || follows == Some(true) { Some(true) } else { None };
        let literal = literal.take().map(|literal| match is_started {
            false => quote!(let mut __text = ::partyrs::__private::Text::starting(#literal);),
            true => quote!(::partyrs::__private::Text::literal(&mut __text, #literal);),
        });
        is_started = true;
        writes.extend(quote!(#literal #write));
    }
    quote! {
        #pattern { #(#idents: #locals,)* #dots } => {
            #writes
            ::core::result::Result::Ok(::partyrs::__private::Text::ending(__text, #end))
        }
    }
}

/// The text as JSON writes it, in quotes: letter for letter as `serde_json` does.
fn json_string(text: &str) -> String {
    let mut json = String::from('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => json.extend(['\\', letter]),
            '\x08' => json.push_str("\\b"),
            '\t' => json.push_str("\\t"),
            '\n' => json.push_str("\\n"),
            '\x0c' => json.push_str("\\f"),
            '\r' => json.push_str("\\r"),
            '\0'..='\x1f' => json.push_str(&format!("\\u{:04x}", u32::from(letter))),
            _ => json.push(letter),
        }
    }
    json.push('"');
    json
}
