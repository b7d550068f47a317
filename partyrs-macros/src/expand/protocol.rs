//! `impl Protocol`: what the messages look like, for whoever asks at run time.
//!
//! It tells what stands in the item; what the type of a value looks like it asks `schemars`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{Type, spanned::Spanned};

use super::{
    add_bounds, generics_with_field_bounds, header,
    rules::{nested_types, parameter_of, tell_rules},
};
use crate::ast::{Body, Content, Field, Item, Keys, Name, Part, Role, Tuple, Variant};
use crate::rule::Rule;

pub(crate) fn expand(item: &Item<'_>) -> TokenStream {
    let is_strict = item.deny_unknown_fields.is_some();
    let body = match &item.body {
        Body::Enum { keys, variants } => describe_enum(keys, variants, is_strict),
        Body::Struct { content, default } => {
            let content = describe_content(None, content, *default, is_strict);
            let docs = docs(&item.docs);
            quote!(__messages.message("", |__message| __message #docs #content);)
        }
        Body::Union(_) => return stand_in(item),
    };
    implement(item, &body)
}

/// An impl that is never run.
pub(crate) fn stand_in(item: &Item<'_>) -> TokenStream {
    implement(item, &quote!(let _ = __messages;))
}

fn implement(item: &Item<'_>, body: &TokenStream) -> TokenStream {
    let (ident, header) = (item.ident, header());
    let mut generics = generics_with_field_bounds(item, &quote!(::partyrs::protocol::schemars::JsonSchema));
    add_bounds(item, &mut generics, &nested_types(item), &quote!(::partyrs::Validate));
    let (impl_generics, ty_generics, where_clause) = generics.split_for_impl();
    quote! {
        #header
        impl #impl_generics ::partyrs::protocol::Protocol for #ident #ty_generics #where_clause {
            fn describe(__messages: &mut ::partyrs::protocol::Messages) {
                #body
            }
        }
    }
}

fn describe_enum(keys: &Keys, variants: &[Variant<'_>], is_strict: bool) -> TokenStream {
    let tag = &keys.tag;
    let content = keys.content.as_ref().map(|content| quote!(__messages.content(#content);));
    let variants = variants.iter().map(|variant| match &variant.role {
        Role::Binary(_) => {
            let docs = &variant.docs;
            quote!(__messages.binary(#docs);)
        }
        // It stands for messages that are nobody's, and the tag alone is what it keeps of them.
        Role::Other(_) => {
            let (name, docs) = (&variant.name.text, &variant.docs);
            let name = match variant.content {
                Content::Unit => quote!(::core::option::Option::Some(#name)),
                _ => quote!(::core::option::Option::None),
            };
            quote!(__messages.other(#name, #docs);)
        }
        Role::Tagged => {
            let (name, docs, aliases) = (&variant.name.text, docs(&variant.docs), aliases(&variant.name));
            let content = describe_content(Some(keys), &variant.content, false, is_strict);
            quote!(__messages.message(#name, |__message| __message #docs #aliases #content);)
        }
    });
    quote!(__messages.tag(#tag); #content #(#variants)*)
}

/// Calls on a message.
fn describe_content(
    keys: Option<&Keys>,
    content: &Content<'_>,
    struct_has_default: bool,
    is_strict: bool,
) -> TokenStream {
    let strict = is_strict.then(|| quote!(.strict()));
    let object = keys.is_some_and(|keys| keys.content.is_some()).then(|| quote!(.object()));
    match content {
        Content::Unit => quote!(#strict),
        Content::Fields(fields) => {
            let fields = fields.iter().map(|field| describe_field(field, struct_has_default));
            quote!(#object #(#fields)* #strict)
        }
        Content::Tuple(tuple) if object.is_some() => {
            let value = describe_tuple(tuple);
            quote!(#value #strict)
        }
        // What keys there are is for the value to say.
        Content::Tuple(tuple) => {
            tuple.types().map(|ty| quote_spanned!(ty.span()=> .spread::<#ty>())).collect()
        }
    }
}

/// One value as it is, several as a list.
fn describe_tuple(tuple: &Tuple<'_>) -> TokenStream {
    let types: Vec<_> = tuple.types().collect();
    match (&types[..], &tuple.rules[..]) {
        ([ty], [rules]) => {
            let (rules, lack) = (describe_rules(ty, rules), is_option(ty).then(client_may_lack));
            quote_spanned!(ty.span()=> .value::<#ty>(|__field| __field #lack #rules))
        }
        // The rules of several have no place in a schema of the whole.
        _ => quote_spanned!(tuple.values.span()=> .value::<(#(#types,)*)>(|__field| __field)),
    }
}

fn describe_field(field: &Field<'_>, struct_has_default: bool) -> TokenStream {
    let (ty, name) = (field.ty, &field.name.text);
    match &field.part {
        Part::Nothing => return TokenStream::new(),
        Part::Rest(_) => return quote_spanned!(ty.span()=> .spread::<#ty>()),
        Part::Key => {}
    }
    let (docs, aliases, rules) = (docs(&field.docs), aliases(&field.name), describe_rules(ty, &field.rules));
    let client = struct_has_default || field.default.is_some() || is_option(ty);
    let client = client.then(client_may_lack);
    let room = field.skip_serializing_if.is_some();
    let room = room.then(|| quote!(.may_lack(::partyrs::protocol::Sender::Room)));
    quote_spanned!(ty.span()=> .field::<#ty>(#name, |__field| __field #docs #aliases #client #room #rules))
}

/// As far as tokens tell.
fn is_option(ty: &Type) -> bool {
    parameter_of(ty, Some("Option")).is_some()
}

fn client_may_lack() -> TokenStream {
    quote!(.may_lack(::partyrs::protocol::Sender::Client))
}

fn docs(docs: &str) -> Option<TokenStream> {
    (!docs.is_empty()).then(|| quote!(.docs(#docs)))
}

fn aliases(name: &Name) -> TokenStream {
    name.aliases.iter().map(|alias| quote!(.alias(#alias))).collect()
}

/// A call on a field.
fn describe_rules(ty: &Type, rules: &[Rule]) -> Option<TokenStream> {
    let told = tell_rules(ty, rules, &[]);
    (!told.is_empty()).then(|| quote!(.told(|__told| { #told })))
}
