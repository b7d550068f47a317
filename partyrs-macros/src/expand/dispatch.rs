//! The trait with a method for each variant, and `dispatch`, which calls them.
//!
//! The trait stands beside the enum, under a name of the user's making, and is theirs to
//! implement: its arguments are called as they would call them.

use proc_macro2::{Ident, Literal, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::{Attribute, DeriveInput, GenericParam, Generics, ext::IdentExt};

use super::{local, without_self};
use crate::{
    methods::{Argument, Method},
    mistakes::Mistakes,
};

/// Writes the trait and `dispatch`. If something is wrong, says what, and writes one that is never
/// run, beside a trait of what is right.
pub(crate) fn expand(input: &DeriveInput) -> TokenStream {
    let mut mistakes = Mistakes::default();
    let methods = Method::read_all(input, &mut mistakes);
    let handler = Handler::new(input);
    let (declared, errors) = (handler.declare(&methods), mistakes.into_compile_errors());
    let body = match errors {
        None => handler.call_of_each(&methods),
        Some(_) => handler.never_run(),
    };
    let dispatch = handler.define_dispatch(&body);
    quote!(#errors #declared #dispatch)
}

/// The trait that the user implements.
struct Handler<'a> {
    /// The enum.
    input: &'a DeriveInput,
    /// `AskHandler` for `Ask`.
    name: Ident,
    /// The enum's, as they can be written on an impl.
    generics: Generics,
}

impl<'a> Handler<'a> {
    fn new(input: &'a DeriveInput) -> Self {
        let name = format_ident!("{}Handler", input.ident.unraw(), span = input.ident.span());
        Self { input, name, generics: without_attributes(&input.generics) }
    }

    fn declare(&self, methods: &[Method<'_>]) -> TokenStream {
        let Self { input, name, generics } = self;
        let (vis, lints) = (&input.vis, lints());
        let (params, where_clause) = (&generics.params, &generics.where_clause);
        let params = (!params.is_empty()).then(|| quote!(<#params>));
        let enum_name = input.ident.unraw();
        let doc = format!("What answers each message of `{enum_name}`: a method for each of its variants.");
        let methods = methods.iter().map(|method| self.declare_method(method));
        quote! {
            #[doc = #doc]
            #lints
            #vis trait #name #params: ::core::marker::Send #where_clause {
                #(#methods)*
            }
        }
    }

    fn declare_method(&self, method: &Method<'_>) -> TokenStream {
        let Method { variant, name, arguments } = method;
        let docs = variant.attrs.iter().filter(|attribute| attribute.path().is_ident("doc"));
        let called_for = format!("Called for `{}::{}`.", self.input.ident.unraw(), variant.ident.unraw());
        let called_for = match docs.clone().next() {
            Some(_) => quote!(#[doc = ""] #[doc = #called_for]),
            None => quote!(#[doc = #called_for]),
        };
        let (room, sender) = (beside("room", arguments), beside("sender", arguments));
        let names = arguments.iter().map(|argument| &argument.name);
        let types = arguments.iter().map(|argument| self.without_self(argument.ty.to_token_stream()));
        // All of it stands at the variant, which is what rustc then shows.
        quote_spanned! {variant.ident.span()=>
            #(#docs)*
            #called_for
            fn #name(
                &mut self,
                #room: &::partyrs::Room,
                #sender: &::partyrs::Connection,
                #(#names: #types,)*
            ) -> impl ::core::future::Future<Output = ::partyrs::Result<()>> + ::core::marker::Send;
        }
    }

    fn define_dispatch(&self, body: &TokenStream) -> TokenStream {
        let Self { input, name, generics } = self;
        let (ident, vis, lints) = (&input.ident, &input.vis, lints());
        let (impl_generics, ty_generics, where_clause) = generics.split_for_impl();
        let doc = format!("Calls the method of `server` for this message, as [`{name}`] has it.");
        // All of it stands at the enum, so that rustc says it when nobody calls it. The body does too,
        // since `self` is another where an enum comes from a `macro_rules!`.
        quote_spanned! {ident.span()=>
            #lints
            impl #impl_generics #ident #ty_generics #where_clause {
                #[doc = #doc]
                #vis async fn dispatch<__Server: #name #ty_generics>(
                    self,
                    server: &mut __Server,
                    room: &::partyrs::Room,
                    sender: &::partyrs::Connection,
                ) -> ::partyrs::Result<()> {
                    #body
                }
            }
        }
    }

    fn call_of_each(&self, methods: &[Method<'_>]) -> TokenStream {
        let handler = &self.name;
        let (_, ty_generics, _) = self.generics.split_for_impl();
        let arms = methods.iter().map(|Method { variant, name, arguments }| {
            let ident = &variant.ident;
            let locals: Vec<_> = (0..arguments.len()).map(local).collect();
            let fields = variant.fields.iter().enumerate().map(|(index, field)| match &field.ident {
                Some(ident) => ident.to_token_stream(),
                None => Literal::usize_unsuffixed(index).into_token_stream(),
            });
            quote_spanned! {self.input.ident.span()=>
                Self::#ident { #(#fields: #locals),* } => {
                    <__Server as #handler #ty_generics>::#name(server, room, sender, #(#locals),*).await
                }
            }
        });
        quote_spanned!(self.input.ident.span()=> match self { #(#arms)* })
    }

    fn never_run(&self) -> TokenStream {
        quote_spanned! {self.input.ident.span()=>
            let _ = (server, room, sender);
            ::core::unreachable!()
        }
    }

    /// In the trait `Self` is another type.
    fn without_self(&self, ty: TokenStream) -> TokenStream {
        let ident = &self.input.ident;
        let (_, ty_generics, _) = self.generics.split_for_impl();
        without_self(ty, &quote!(#ident #ty_generics))
    }
}

/// A name for an argument that stands beside those of a message.
fn beside(name: &str, arguments: &[Argument<'_>]) -> Ident {
    let mut name = name.to_owned();
    while arguments.iter().any(|argument| argument.name.unraw() == name) {
        name.insert_str(0, "this_");
    }
    format_ident!("{name}")
}

/// What stands above both. It is not `header`, which is for impls of our traits: these two are the user's.
fn lints() -> TokenStream {
    quote! {
        #[allow(deprecated, unreachable_pub, unused_qualifications)]
        #[allow(clippy::all, clippy::pedantic, clippy::nursery)]
    }
}

fn without_attributes(generics: &Generics) -> Generics {
    let mut generics = generics.clone();
    for param in &mut generics.params {
        let attributes: &mut Vec<Attribute> = match param {
            GenericParam::Lifetime(param) => &mut param.attrs,
            GenericParam::Type(param) => &mut param.attrs,
            GenericParam::Const(param) => &mut param.attrs,
        };
        attributes.clear();
    }
    generics
}
