//! The rules of a message as code: `impl CheckMessage` for a message, `impl Validate` for what
//! stands inside one.

use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::{GenericArgument, PathArguments, Type, spanned::Spanned};

use super::{add_bounds, header, local, own};
use crate::{
    ast::{Body, Content, Field, Item, Part, Role, Variant},
    rule::{Bounds, Rule, RuleKind},
};

/// `impl CheckMessage`; `None` if the item has no rules.
pub(crate) fn expand(item: &Item<'_>) -> Option<TokenStream> {
    let body = check(item, true)?;
    let bounded = nested_types(item);
    Some(implement(item, &bounded, &quote!(::partyrs::__private::CheckMessage), &quote!(check), &body, None))
}

/// `impl Validate`.
pub(crate) fn expand_validate(item: &Item<'_>) -> TokenStream {
    let body = check(item, false).unwrap_or_else(|| quote!(::core::result::Result::Ok(())));
    let told = tell(item);
    implement_validate(item, &body, told.as_ref())
}

/// An impl that is never run.
pub(crate) fn stand_in(item: &Item<'_>) -> TokenStream {
    implement_validate(item, &quote!(::core::unreachable!()), None)
}

fn implement_validate(item: &Item<'_>, body: &TokenStream, told: Option<&TokenStream>) -> TokenStream {
    // To ask a type that holds the item itself would be to ask for what is being written.
    let mut bounded = nested_types(item);
    bounded.retain(|ty| !holds(ty.to_token_stream(), item.ident));
    implement(item, &bounded, &quote!(::partyrs::Validate), &quote!(validate), body, told)
}

/// Whether the item is in the type, as far as tokens tell.
fn holds(ty: TokenStream, item: &Ident) -> bool {
    let mut is_within_path = false;
    ty.into_iter().any(|token| {
        let was_within_path = std::mem::take(&mut is_within_path);
        match token {
            TokenTree::Ident(ident) => ident == "Self" || (ident == *item && !was_within_path),
            TokenTree::Group(group) => holds(group.stream(), item),
            TokenTree::Punct(punct) => {
                is_within_path = punct.as_char() == ':';
                false
            }
            TokenTree::Literal(_) => false,
        }
    })
}

/// `bounded` are the types that are asked for their own rules.
fn implement(
    item: &Item<'_>,
    bounded: &[&Type],
    path: &TokenStream,
    method: &TokenStream,
    body: &TokenStream,
    told: Option<&TokenStream>,
) -> TokenStream {
    let (ident, header) = (item.ident, header());
    let mut generics = item.generics.clone();
    add_bounds(item, &mut generics, bounded, &quote!(::partyrs::Validate));
    let (impl_generics, ty_generics, where_clause) = generics.split_for_impl();
    quote! {
        #header
        impl #impl_generics #path for #ident #ty_generics #where_clause {
            fn #method(&self) -> ::core::result::Result<(), ::partyrs::Violation> {
                #body
            }
            #told
        }
    }
}

/// The types that are asked for their own rules.
pub(super) fn nested_types<'a>(item: &Item<'a>) -> Vec<&'a Type> {
    let contents: Vec<_> = match &item.body {
        Body::Enum { variants, .. } => variants.iter().map(|variant| &variant.content).collect(),
        Body::Struct { content, .. } => vec![content],
        Body::Union(_) => Vec::new(),
    };
    let is_nested = |rules: &[Rule]| rules.iter().any(|rule| matches!(rule.kind, RuleKind::Nested));
    let mut types = Vec::new();
    for content in contents {
        match content {
            Content::Unit => {}
            Content::Fields(fields) => {
                types.extend(fields.iter().filter(|field| is_nested(&field.rules)).map(|field| field.ty));
            }
            Content::Tuple(tuple) => {
                let values = tuple.types().zip(&tuple.rules);
                types.extend(values.filter(|(_, rules)| is_nested(rules)).map(|(ty, _)| ty));
            }
        }
    }
    types
}

/// All rules of `self`; `None` if there are none. In a message the tag begins each path.
fn check(item: &Item<'_>, is_message: bool) -> Option<TokenStream> {
    let fields = match &item.body {
        Body::Enum { variants, .. } => {
            let arms: Vec<_> =
                variants.iter().filter_map(|variant| check_variant(variant, is_message)).collect();
            let rest = (arms.len() < variants.len()).then(|| quote!(_ => {}));
            (!arms.is_empty()).then(|| quote!(match self { #(#arms)* #rest }))
        }
        Body::Struct { content, .. } => {
            check_content(&quote!(Self), content, "").map(|arm| quote!(match self { #arm }))
        }
        Body::Union(_) => None,
    };
    let this = own("self");
    let whole = item
        .check
        .as_ref()
        .map(|path| quote_spanned!(path.span()=> ::partyrs::__private::custom(#path(#this))?;));
    (fields.is_some() || whole.is_some()).then(|| quote!(#fields #whole ::core::result::Result::Ok(())))
}

fn check_variant(variant: &Variant<'_>, is_message: bool) -> Option<TokenStream> {
    let ident = variant.ident;
    let path = match variant.role {
        _ if !is_message => String::new(),
        Role::Tagged => variant.name.text.clone(),
        Role::Other(_) | Role::Binary(_) => variant.ident.to_string(),
    };
    check_content(&quote!(Self::#ident), &variant.content, &path)
}

/// A match arm for the values in it that have rules; `path` is where they stand.
fn check_content(pattern: &TokenStream, content: &Content<'_>, path: &str) -> Option<TokenStream> {
    match content {
        Content::Unit => None,
        Content::Fields(fields) => {
            let ruled: Vec<_> =
                fields.iter().enumerate().filter(|(_, field)| !field.rules.is_empty()).collect();
            let idents = ruled.iter().map(|(_, field)| field.ident);
            let locals = ruled.iter().map(|(index, _)| local(*index));
            let checks = ruled.iter().map(|(index, field)| {
                check_at(&local(*index), field.ty, &field.rules, &path_of(path, field))
            });
            (!ruled.is_empty()).then(|| quote!(#pattern { #(#idents: #locals,)* .. } => { #(#checks)* }))
        }
        Content::Tuple(tuple) => {
            let values = || tuple.types().zip(&tuple.rules).enumerate();
            let is_only = tuple.rules.len() == 1;
            let locals = values().map(|(index, (_, rules))| match rules.is_empty() {
                true => quote!(_),
                false => local(index).to_token_stream(),
            });
            let checks: Vec<_> = values()
                .filter(|(_, (_, rules))| !rules.is_empty())
                .map(|(index, (ty, rules))| {
                    let path = if is_only { path.to_owned() } else { format!("{path}[{index}]") };
                    check_at(&local(index), ty, rules, &path)
                })
                .collect();
            (!checks.is_empty()).then(|| quote!(#pattern(#(#locals),*) => { #(#checks)* }))
        }
    }
}

fn path_of(path: &str, field: &Field<'_>) -> String {
    match (path, &field.part) {
        (path, Part::Rest(_)) => path.to_owned(),
        ("", _) => field.name.text.clone(),
        (path, _) => format!("{path}.{}", field.name.text),
    }
}

/// The rules of the value behind the reference `value`, as statements that may end the function.
fn check_at(value: &Ident, ty: &Type, rules: &[Rule], path: &str) -> TokenStream {
    let checks = check_value(value, ty, rules, 0);
    quote! {
        ::core::result::Result::map_err(
            (|| { #checks ::core::result::Result::Ok(()) })(),
            |__violation| ::partyrs::Violation::under(__violation, #path),
        )?;
    }
}

/// The same, without its place. What is in an `Option` is looked at if it is there.
fn check_value(value: &Ident, ty: &Type, rules: &[Rule], depth: usize) -> TokenStream {
    if let Some(within) = parameter_of(ty, Some("Option")) {
        let inner = format_ident!("__some{depth}");
        let checks = check_value(&inner, within, rules, depth + 1);
        return quote!(if let ::core::option::Option::Some(#inner) = #value { #checks });
    }
    rules.iter().map(|rule| check_rule(value, ty, rule, depth)).collect()
}

fn check_rule(value: &Ident, ty: &Type, rule: &Rule, depth: usize) -> TokenStream {
    let span = match &rule.kind {
        RuleKind::Custom(path) => path.span(),
        RuleKind::Nested => ty.span(),
        _ => rule.key.span(),
    };
    // The value under a name that stands where the user wrote the rule: rustc points there if the
    // rule is not one for its type.
    let named = Ident::new("__value", span);
    let compare = |function: &str, bounds: &Bounds| {
        let function = Ident::new(function, span);
        let [min, max] = [&bounds.min, &bounds.max].map(|bound| match bound {
            Some(bound) => quote!(::core::option::Option::Some(#bound)),
            None => quote!(::core::option::Option::None),
        });
        quote_spanned!(span=> ::partyrs::__private::#function(#named, #min, #max)?;)
    };
    let check = match &rule.kind {
        RuleKind::Len(bounds) => compare("len", bounds),
        RuleKind::Bytes(bounds) => compare("byte_len", bounds),
        RuleKind::Range(bounds) => compare("range", bounds),
        RuleKind::Pattern(pattern) => {
            let check = quote_spanned!(span=> ::partyrs::__private::Pattern::check(&__PATTERN, #named)?;);
            quote! {
                static __PATTERN: ::partyrs::__private::Pattern = ::partyrs::__private::Pattern::new(#pattern);
                #check
            }
        }
        RuleKind::Custom(path) => {
            quote_spanned!(span=> ::partyrs::__private::custom(#path(#named))?;)
        }
        RuleKind::Nested => quote_spanned!(span=> ::partyrs::Validate::validate(#named)?;),
        RuleKind::Inner(rules) => {
            let item = format_ident!("__item{depth}");
            let nothing = Type::Verbatim(quote_spanned!(span=> _));
            let checks = check_value(&item, parameter_of(ty, None).unwrap_or(&nothing), rules, depth + 1);
            let each = quote_spanned!(span=> ::partyrs::__private::each);
            quote!(#each(#named, |#item| { #checks ::core::result::Result::Ok(()) })?;)
        }
    };
    quote!({ let #named = #value; #check })
}

/// `tell_rules`, for a struct; where the fields of an enum stand in the value is for serde to say.
fn tell(item: &Item<'_>) -> Option<TokenStream> {
    let Body::Struct { content, .. } = &item.body else { return None };
    let told: TokenStream = match content {
        Content::Unit => return None,
        Content::Fields(fields) => fields.iter().map(tell_field).collect(),
        Content::Tuple(tuple) => match (&tuple.types().collect::<Vec<_>>()[..], &tuple.rules[..]) {
            ([ty], [rules]) => tell_rules(ty, rules, &[]),
            _ => return None,
        },
    };
    (!told.is_empty()).then(|| {
        quote! {
            fn tell_rules(__told: &mut dyn ::partyrs::__private::RuleSink) {
                #told
            }
        }
    })
}

fn tell_field(field: &Field<'_>) -> TokenStream {
    let key = &field.name.text;
    match field.part {
        Part::Key => tell_rules(field.ty, &field.rules, &[quote!(::partyrs::__private::Step::Key(#key))]),
        Part::Rest(_) | Part::Nothing => TokenStream::new(),
    }
}

/// Tells `__told` the rules of the value at the end of these steps. What is in an `Option` has them,
/// if it is there.
pub(super) fn tell_rules(ty: &Type, rules: &[Rule], path: &[TokenStream]) -> TokenStream {
    if let Some(within) = parameter_of(ty, Some("Option")) {
        return tell_rules(within, rules, path);
    }
    rules.iter().map(|rule| tell_rule(ty, rule, path)).collect()
}

fn tell_rule(ty: &Type, rule: &Rule, path: &[TokenStream]) -> TokenStream {
    let limits = |bounds: &Bounds| {
        let [min, max] = [&bounds.min, &bounds.max].map(|bound| match bound {
            Some(bound) => quote!(::core::option::Option::Some(#bound)),
            None => quote!(::core::option::Option::None),
        });
        quote!(#min, #max)
    };
    let told = match &rule.kind {
        RuleKind::Len(bounds) => {
            let limits = limits(bounds);
            quote!(Len(#limits))
        }
        RuleKind::Bytes(bounds) => {
            let limits = limits(bounds);
            quote!(Bytes(#limits))
        }
        RuleKind::Range(bounds) => {
            let limits = limits(bounds);
            quote!(range::<#ty>(#limits))
        }
        RuleKind::Pattern(pattern) => quote!(Pattern(#pattern)),
        RuleKind::Inner(rules) => {
            let Some(item) = parameter_of(ty, None) else { return TokenStream::new() };
            let path: Vec<_> =
                path.iter().cloned().chain([quote!(::partyrs::__private::Step::Items)]).collect();
            return tell_rules(item, rules, &path);
        }
        RuleKind::Nested => {
            let tell = quote_spanned!(ty.span()=> <#ty as ::partyrs::Validate>::tell_rules);
            return quote!(::partyrs::__private::RuleSink::nested(__told, &[#(#path),*], #tell););
        }
        // What a function decides has no words.
        RuleKind::Custom(_) => return TokenStream::new(),
    };
    quote! {
        ::partyrs::__private::RuleSink::rule(
            __told,
            &[#(#path),*],
            ::partyrs::__private::ToldRule::#told,
        );
    }
}

/// The first type parameter of a type of this name, or the item of a list; as far as tokens tell.
pub(super) fn parameter_of<'a>(ty: &'a Type, name: Option<&str>) -> Option<&'a Type> {
    match ty {
        Type::Path(path) => {
            let last = path.path.segments.last()?;
            let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
            if name.is_some_and(|name| last.ident != name) {
                return None;
            }
            arguments.args.iter().find_map(|argument| match argument {
                GenericArgument::Type(ty) => Some(ty),
                _ => None,
            })
        }
        Type::Array(array) if name.is_none() => Some(&array.elem),
        Type::Slice(slice) if name.is_none() => Some(&slice.elem),
        Type::Group(group) => parameter_of(&group.elem, name),
        Type::Paren(paren) => parameter_of(&paren.elem, name),
        _ => None,
    }
}
