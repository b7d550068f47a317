//! `impl FromFrame`.
//!
//! Which message it is, and whether the frame is an object at all, is found out in
//! `partyrs::__private`; written here is how the entries of the object become fields.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{Generics, Type, parse_quote, spanned::Spanned};

use super::{add_bounds, generics_with_field_bounds, header, local, own, rules};
use crate::{
    ast::{Body, Content, Field, Item, Keys, Part, Role, Tuple, Variant},
    attr::Standby,
};

pub(crate) fn expand(item: &Item<'_>) -> TokenStream {
    let is_strict = item.deny_unknown_fields.is_some();
    let (parse, read) = match &item.body {
        Body::Enum { keys, variants } => (parse_enum(keys, variants), read_enum(keys, variants, is_strict)),
        Body::Struct { content: Content::Fields(fields), default } => {
            let read = read_fields(&quote!(Self), fields, *default, is_strict);
            (quote!(::partyrs::__private::read_object(&__frame)), read_method(&quote!(read), &read))
        }
        Body::Struct { .. } | Body::Union(_) => return stand_in(item),
    };
    let mut generics =
        generics_with_field_bounds(item, &quote!(::partyrs::__private::serde::de::DeserializeOwned));
    add_bounds(item, &mut generics, &defaulted(item), &quote!(::core::default::Default));
    let read_message = impl_read_message(item, &generics, &read);
    promise_to_be_owned(&mut generics);
    let rules = rules::expand(item);
    if rules.is_some() {
        add_bounds(item, &mut generics, &rules::nested_types(item), &quote!(::partyrs::Validate));
    }
    let parse = match rules {
        None => parse,
        Some(_) => quote!(::partyrs::__private::checked(#parse)),
    };
    let from_frame = impl_from_frame(item, &generics, &parse);
    quote!(#from_frame #read_message #rules)
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

fn impl_read_message(item: &Item<'_>, generics: &Generics, methods: &TokenStream) -> TokenStream {
    let (ident, header) = (item.ident, header());
    let (impl_generics, ty_generics, where_clause) = generics.split_for_impl();
    quote! {
        #header
        impl #impl_generics ::partyrs::__private::ReadMessage for #ident #ty_generics #where_clause {
            #methods
        }
    }
}

/// `read` or `read_content`.
fn read_method(name: &TokenStream, body: &TokenStream) -> TokenStream {
    quote! {
        fn #name<'__de, __M>(
            __variant: ::core::primitive::usize,
            mut __entries: ::partyrs::__private::Entries<'_, __M>,
        ) -> ::core::result::Result<Self, __M::Error>
        where
            __M: ::partyrs::__private::Source<'__de>,
        {
            #body
        }
    }
}

/// Which message a frame is.
fn parse_enum(keys: &Keys, variants: &[Variant<'_>]) -> TokenStream {
    let tag = &keys.tag;
    let tagged: Vec<_> = tagged(variants).collect();
    let names = tagged.iter().map(|variant| &variant.name.text);
    let aliases = tagged
        .iter()
        .enumerate()
        .flat_map(|(index, variant)| variant.name.aliases.iter().map(move |alias| quote!((#alias, #index))));
    let keeps_other = variants.iter().any(|variant| matches!(variant.role, Role::Other(_)));
    let parse = quote! {
        ::partyrs::__private::read_message(&__frame, &::partyrs::__private::Shape {
            tag: #tag,
            names: &[#(#names),*],
            aliases: &[#(#aliases),*],
            keeps_other: #keeps_other,
        })
    };
    let binary = variants.iter().find(|variant| matches!(variant.role, Role::Binary(_)));
    match binary.and_then(|variant| Some((variant.ident, variant.payload()?))) {
        None => parse,
        Some((ident, ty)) => {
            let bytes = own("__bytes");
            let bytes = quote_spanned!(ty.span()=> <#ty as ::core::convert::From<_>>::from(#bytes));
            quote! {
                match __frame {
                    ::partyrs::Frame::Binary(__bytes) => ::core::result::Result::Ok(Self::#ident(#bytes)),
                    __frame => #parse,
                }
            }
        }
    }
}

/// Those with a tag of their own, in the order by which they are numbered.
fn tagged<'v, 'a>(variants: &'v [Variant<'a>]) -> impl Iterator<Item = &'v Variant<'a>> {
    variants.iter().filter(|variant| matches!(variant.role, Role::Tagged))
}

/// The methods that read the variants.
fn read_enum(keys: &Keys, variants: &[Variant<'_>], is_strict: bool) -> TokenStream {
    let beside = |variant: &Variant<'_>| match &keys.content {
        None => read_variant(variant, is_strict),
        Some(content) => read_variant_with_content(variant, &content.value(), is_strict),
    };
    let arms = tagged(variants).enumerate().map(|(index, variant)| (index, beside(variant)));
    let read = read_method(&quote!(read), &match_variant(arms.collect()));
    let within = tagged(variants).enumerate().filter_map(|(index, variant)| match &variant.content {
        Content::Fields(fields) => {
            Some((index, read_fields(&constructor(variant), fields, false, is_strict)))
        }
        _ => None,
    });
    let within: Vec<_> = if keys.content.is_some() { within.collect() } else { Vec::new() };
    let read_content = match within.is_empty() {
        true => quote!(),
        false => read_method(&quote!(read_content), &match_variant(within)),
    };
    let other = read_other(variants);
    quote!(#read #read_content #other)
}

/// One arm for each variant. The last takes what is left, since no other number occurs.
fn match_variant(arms: Vec<(usize, TokenStream)>) -> TokenStream {
    let Some(last) = arms.len().checked_sub(1) else {
        return quote!({
            let _ = (__variant, &mut __entries);
            ::core::unreachable!()
        });
    };
    let arms = arms.into_iter().enumerate().map(|(place, (index, read))| match place == last {
        true => quote!(_ => { #read }),
        false => quote!(#index => { #read }),
    });
    quote!(match __variant { #(#arms)* })
}

fn constructor(variant: &Variant<'_>) -> TokenStream {
    let ident = variant.ident;
    quote!(Self::#ident)
}

/// The variant for tags that nobody has.
fn read_other(variants: &[Variant<'_>]) -> TokenStream {
    let Some(variant) = variants.iter().find(|variant| matches!(variant.role, Role::Other(_))) else {
        return quote!();
    };
    let constructor = constructor(variant);
    let message = match &variant.content {
        Content::Unit => quote!({
            ::core::mem::drop(__tag);
            #constructor
        }),
        Content::Fields(fields) => {
            let idents = fields.iter().map(|field| field.ident);
            quote!(#constructor { #(#idents: __tag)* })
        }
        Content::Tuple(_) => quote!(#constructor(__tag)),
    };
    quote! {
        fn other(__tag: ::partyrs::__private::String) -> ::core::option::Option<Self> {
            ::core::option::Option::Some(#message)
        }
    }
}

/// What stands beside the tag.
fn read_variant(variant: &Variant<'_>, is_strict: bool) -> TokenStream {
    let constructor = constructor(variant);
    match &variant.content {
        Content::Unit => {
            let skip = skip_all(&[], is_strict);
            quote!(#skip ::core::result::Result::Ok(#constructor))
        }
        Content::Fields(fields) => read_fields(&constructor, fields, false, is_strict),
        Content::Tuple(tuple) => {
            let entries = own("__entries");
            let payloads = tuple.types().map(
                |ty| quote_spanned!(ty.span()=> ::partyrs::__private::Entries::payload::<#ty>(#entries)?),
            );
            quote!(::core::result::Result::Ok(#constructor(#(#payloads),*)))
        }
    }
}

/// The same where it stands under a key of its own.
fn read_variant_with_content(variant: &Variant<'_>, key: &str, is_strict: bool) -> TokenStream {
    let constructor = constructor(variant);
    match &variant.content {
        Content::Unit => {
            let skip = skip_all(&[key], is_strict);
            quote!(#skip ::core::result::Result::Ok(#constructor))
        }
        Content::Fields(_) => quote! {
            ::partyrs::__private::Entries::content::<Self>(__entries, __variant, &[#key], #is_strict)
        },
        Content::Tuple(tuple) => read_tuple(&constructor, tuple, key, is_strict),
    }
}

/// One value as it is, several as a list.
fn read_tuple(constructor: &TokenStream, tuple: &Tuple<'_>, key: &str, is_strict: bool) -> TokenStream {
    let types: Vec<_> = tuple.types().collect();
    let places = (0..types.len()).map(syn::Index::from);
    let (ty, values) = match &types[..] {
        [ty] => (quote!(#ty), quote!(__field0)),
        _ => (quote!((#(#types,)*)), quote!(#(__field0.#places),*)),
    };
    let entries = own("__entries");
    let slot =
        quote_spanned!(tuple.values.span()=> ::partyrs::__private::Entries::slot::<#ty>(&#entries, #key));
    let read = read_keys(&[(key.to_owned(), 0)], is_strict);
    quote! {
        let mut __field0 = #slot;
        #read
        let __field0 = ::partyrs::__private::Slot::take(__field0)?;
        ::core::result::Result::Ok(#constructor(#values))
    }
}

fn skip_all(keys: &[&str], is_strict: bool) -> TokenStream {
    match is_strict {
        true => quote!(::partyrs::__private::Entries::expect_no_more(&mut __entries, &[#(#keys),*])?;),
        false => quote!(::partyrs::__private::Entries::skip_all(&mut __entries)?;),
    }
}

/// Reads all entries, each into the slot that has its key.
fn read_keys(keys: &[(String, usize)], is_strict: bool) -> TokenStream {
    let entries = quote!(::partyrs::__private::Entries);
    let needs_escape = |key: &str| key.contains(|letter: char| matches!(letter, '"' | '\\' | '\0'..' '));
    let next = match keys.iter().any(|(name, _)| needs_escape(name)) {
        _ if is_strict => quote!(next_known_key),
        true => quote!(next_key),
        false => quote!(next_plain_key),
    };
    let names = keys.iter().map(|(name, _)| name);
    let borrowed = quote!(&mut __entries);
    let arms = read_arms(keys, &borrowed);
    quote! {
        while let ::core::option::Option::Some(__key) = #entries::#next(&mut __entries, &[#(#names),*])? {
            match __key { #(#arms?,)* _ => #entries::skip(&mut __entries)?, }
        }
    }
}

fn read_arms<'k>(
    keys: &'k [(String, usize)],
    entries: &'k TokenStream,
) -> impl Iterator<Item = TokenStream> + 'k {
    keys.iter().enumerate().map(move |(place, (_, index))| {
        let local = local(*index);
        quote!(#place => ::partyrs::__private::Entries::read(#entries, &mut #local))
    })
}

/// All keys of the fields with the number of the field, the aliases behind the names.
fn keys(fields: &[Field<'_>]) -> Vec<(String, usize)> {
    let with_key = || fields.iter().enumerate().filter(|(_, field)| matches!(field.part, Part::Key));
    let names = with_key().map(|(index, field)| (field.name.text.clone(), index));
    let aliases = with_key()
        .flat_map(|(index, field)| field.name.aliases.iter().map(move |alias| (alias.value(), index)));
    names.chain(aliases).collect()
}

fn read_fields(
    constructor: &TokenStream,
    fields: &[Field<'_>],
    struct_has_default: bool,
    is_strict: bool,
) -> TokenStream {
    let (keys, entries) = (keys(fields), own("__entries"));
    let slots = fields.iter().enumerate().filter(|(_, field)| matches!(field.part, Part::Key)).map(
        |(index, Field { ty, name, .. })| {
            let (local, name) = (local(index), &name.text);
            let slot =
                quote_spanned!(ty.span()=> ::partyrs::__private::Entries::slot::<#ty>(&#entries, #name));
            quote!(let mut #local = #slot;)
        },
    );
    let rest = fields.iter().enumerate().find(|(_, field)| matches!(field.part, Part::Rest(_)));
    let read = match rest {
        Some((index, field)) => read_rest(index, field, &keys),
        None if keys.is_empty() => skip_all(&[], is_strict),
        None => read_keys(&keys, is_strict),
    };
    let values = fields.iter().enumerate().map(|(index, field)| {
        let (ident, local) = (field.ident, local(index));
        let standby = standby(field, struct_has_default);
        match (&field.part, standby) {
            (Part::Rest(_), _) => quote!(#ident: #local),
            (Part::Key, None) => quote!(#ident: ::partyrs::__private::Slot::take(#local)?),
            (Part::Key, Some(standby)) => {
                quote!(#ident: ::partyrs::__private::Slot::take_or(#local, || #standby))
            }
            (Part::Nothing, Some(standby)) => quote!(#ident: #standby),
            (Part::Nothing, None) => {
                let ty = field.ty;
                let default = quote_spanned!(ty.span()=> <#ty as ::core::default::Default>::default());
                quote!(#ident: #default)
            }
        }
    });
    quote! {
        #(#slots)*
        #read
        ::core::result::Result::Ok(#constructor { #(#values,)* })
    }
}

/// Reads a field that takes what keys are left, and the others on the way.
fn read_rest(index: usize, field: &Field<'_>, keys: &[(String, usize)]) -> TokenStream {
    let (local, ty) = (local(index), field.ty);
    let names = keys.iter().map(|(name, _)| name);
    let borrowed = quote!(__entries);
    let arms = read_arms(keys, &borrowed);
    let rest = quote_spanned!(ty.span()=> ::partyrs::__private::Entries::rest::<#ty, _>);
    quote! {
        let #local = #rest(&mut __entries, &[#(#names),*], |__entries, __key| match __key {
            #(#arms,)*
            _ => ::partyrs::__private::Entries::skip(__entries),
        })?;
    }
}

/// What a field is if its key never came; `None` if that is for its type to say.
fn standby(field: &Field<'_>, struct_has_default: bool) -> Option<TokenStream> {
    let (ident, ty) = (field.ident, field.ty);
    match &field.default {
        Some((_, Standby::Default)) => {
            Some(quote_spanned!(ty.span()=> <#ty as ::core::default::Default>::default()))
        }
        Some((_, Standby::Function(path))) => Some(quote_spanned!(path.span()=> #path())),
        None if struct_has_default => Some(quote!(<Self as ::core::default::Default>::default().#ident)),
        None => None,
    }
}

/// The types that are asked for their `Default`.
fn defaulted<'a>(item: &Item<'a>) -> Vec<&'a Type> {
    let (contents, whole): (Vec<_>, _) = match &item.body {
        Body::Enum { variants, .. } => (variants.iter().map(|variant| &variant.content).collect(), false),
        Body::Struct { content, default } => (vec![content], *default),
        Body::Union(_) => return Vec::new(),
    };
    let fields = contents.into_iter().flat_map(|content| match content {
        Content::Fields(fields) => &fields[..],
        _ => &[],
    });
    let asked = fields.filter(|field| match (&field.part, &field.default) {
        (_, Some((_, standby))) => matches!(standby, Standby::Default),
        (part, None) => matches!(part, Part::Nothing) && !whole,
    });
    asked.map(|field| field.ty).collect()
}
