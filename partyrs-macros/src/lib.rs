//! Derives for the message protocols of partyrs.
//!
//! The way of an item through this crate: `ast` reads it into our nouns, with `attr` for
//! what stands in `#[frame(..)]`; `check` holds all rules, and every mistake is reported at
//! once; `expand` writes the impls. Nothing here knows how JSON is read or written: that is
//! in `partyrs::__private`, which the written code calls.
//!
//! `Dispatch` asks other things of an item, and goes its own way: `methods`, `expand::dispatch`.

mod ast;
mod attr;
mod case;
mod check;
mod expand;
mod methods;
mod mistakes;
mod rule;

use proc_macro::TokenStream;

use crate::check::Direction;

/// The impl of `partyrs::FromFrame` reads text frames that hold JSON.
///
/// # Shape
///
/// A message is one JSON object. For an enum, one key of the object, the tag, says which
/// variant it is. It may stand anywhere, and is read fastest where it comes first.
///
/// | variant | frame |
/// |---|---|
/// | `Leave` | `{"type":"Leave"}` |
/// | `Say { text: String }` | `{"type":"Say","text":"hi"}` |
/// | `Move(Point)` | `{"type":"Move","x":1,"y":2}`: the keys of `Point`, by its `serde::Deserialize` |
///
/// With `content = "data"` what the message says stands under a key of its own, and values
/// without names may be of any type:
///
/// | variant | frame |
/// |---|---|
/// | `Leave` | `{"type":"Leave"}` |
/// | `Say { text: String }` | `{"type":"Say","data":{"text":"hi"}}` |
/// | `Seat(u8)` | `{"type":"Seat","data":7}` |
/// | `Line(Point, Point)` | `{"type":"Line","data":[{"x":1,"y":2},{"x":3,"y":4}]}` |
///
/// A struct with named fields is the same without a tag. The type of a field needs
/// `serde::Deserialize` too, and what its own `#[serde(..)]` says holds.
///
/// Keys that no field has are ignored, and an absent `Option` is `None`. A field that comes
/// twice is an error; of two tags the first counts. A payload such as `Point` never sees the tag.
///
/// Types may be generic, but must own what they hold: a frame ends before its message does.
///
/// # Attributes
///
/// | `#[frame(..)]` | on | if absent |
/// |---|---|---|
/// | `tag = "kind"` | enum | `"type"` |
/// | `content = "data"` | enum | the content stands beside the tag |
/// | `rename_all = "kebab-case"` | enum: its tags; struct: its keys | as in the code |
/// | `rename_all_fields = "camelCase"` | enum: the keys of its variants | as in the code |
/// | `rename = "user-joined"` | variant, field | |
/// | `alias = "joined"`, several times | variant, field | it is read by one name |
/// | `default`, `default = "path"` | field | a field that never came is an error, or `None` for an `Option` |
/// | `default` | struct: its `Default` says what fields are that never came | as above |
/// | `skip` | field: not looked for; what `default` says, or `Default` | |
/// | `flatten` | one field: takes the keys that no other has, as a map or a struct | they are ignored |
/// | `deny_unknown_fields` | enum, struct: a key that no field has is an error | it is ignored |
/// | `other` | one variant: for unknown tags; `Unknown`, or `Unknown(String)` to get the tag | they are an error |
/// | `binary` | one variant: `Upload(Bytes)` or `Upload(Vec<u8>)` for binary frames | they are an error |
///
/// `skip_serializing_if` is for [`IntoFrame`](macro@IntoFrame), and says nothing here.
/// `deny_unknown_fields` is not for the payload of `Move(Point)`, whose type decides for itself.
/// To a type under `flatten` every key that is left is shown as it comes, and nothing is kept for it. An
/// `Option` there is `None` if no key is left, whatever the keys are called; else all of it must be there.
///
/// The cases are `lowercase`, `UPPERCASE`, `PascalCase`, `camelCase`, `snake_case`,
/// `SCREAMING_SNAKE_CASE`, `kebab-case` and `SCREAMING-KEBAB-CASE`, with serde's meaning.
///
/// # Rules
///
/// A message whose values break a rule is not read. Rules stand on a field or a payload, and are
/// looked at in the order of the code, once the whole message is read; what is absent from an `Option`
/// breaks none.
///
/// | `#[frame(..)]` | asks for |
/// |---|---|
/// | `len(min = 1, max = 2000)` | so many characters (Unicode scalar values) of a string, or items of a collection |
/// | `bytes(max = 4096)` | so many bytes of a string, or of bytes |
/// | `range(min = 0, max = 100)` | a value between two of its own type, both included |
/// | `pattern("^[a-z]+$")` | a string in which the regular expression finds something; with the feature `pattern` |
/// | `custom = "path"` | `Ok` from a function `fn(&T) -> Result<(), impl Display>`; the client sees its text |
/// | `nested` | what the type says by `partyrs::Validate` |
/// | `inner(..)` | these rules for each item of a list or a set |
/// | `check = "path"` | on the enum or struct: as `custom`, for several fields together |
///
/// `min` and `max` are any expressions, and either may be left out. What an `Option` is, the derive sees by
/// the word: under a name of your own for one, rules are those of the type that is named.
///
/// # Errors
///
/// `from_frame` gives a `ParseError` for a binary frame (if no variant is for them), for text that is not JSON to its
/// very end, for JSON that is no object, for an object without a tag or with an unknown one
/// (it names the known ones), for a field that is missing or of the wrong kind (it names
/// the field), and for a broken rule (it names the field, the rule and the limit).
///
/// The cost of a frame is in proportion to its length. A value that is kept may be nested
/// 126 deep, which no honest client reaches; one that is skipped, as deep as it likes.
#[proc_macro_derive(FromFrame, attributes(frame))]
pub fn from_frame(item: TokenStream) -> TokenStream {
    expand::derive(item.into(), Direction::FromFrame).into()
}

/// The impls of `partyrs::IntoFrame` are for the type and for references to it.
///
/// # Shape
///
/// The message becomes a text frame that holds one JSON object: for an enum the tag first, then the
/// fields in the order of the code. It is written once, into one buffer; a variant without
/// fields is not written at all, since its frame is a constant.
///
/// | variant | frame |
/// |---|---|
/// | `Left` | `{"type":"Left"}` |
/// | `Said { text: &'a str }` | `{"type":"Said","text":"hi"}` |
/// | `Moved(Point)` | `{"type":"Moved","x":1,"y":2}`: the keys of `Point`, by its `serde::Serialize` |
///
/// A struct with named fields is the same without a tag. The type of a field needs
/// `serde::Serialize` too. Lifetimes and other parameters are accepted, so that a message
/// can borrow what it tells.
///
/// A payload such as `Point` must be a struct, a map, or something else that JSON writes as an
/// object; it must not have the tag among its keys. With `content = "data"` it stands under that
/// key and may be anything.
///
/// # Attributes
///
/// | `#[frame(..)]` | on | if absent |
/// |---|---|---|
/// | `tag = "kind"` | enum | `"type"` |
/// | `content = "data"` | enum | the content stands beside the tag |
/// | `rename_all = "kebab-case"` | enum: its tags; struct: its keys | as in the code |
/// | `rename_all_fields = "camelCase"` | enum: the keys of its variants | as in the code |
/// | `rename = "user-joined"` | variant, field | |
/// | `skip` | field | it is written |
/// | `skip_serializing_if = "path"` | field: not written if the function says so of it | it is written |
/// | `flatten` | one field: its keys stand beside those of the others | they stand under its own |
/// | `other` | one variant: the tag that it holds is written, and nothing else | |
/// | `binary` | one variant: `Upload(Bytes)`, `Upload(Vec<u8>)` or `Upload(&[u8])` is a binary frame | |
///
/// What [`FromFrame`](macro@FromFrame) knows besides may stand there, and says nothing here.
/// Keys that come from a payload or a `flatten` must not be the tag or those of other fields, for of two
/// equal keys a browser takes the last. What has names of users for keys, such as a map of scores, belongs
/// under a key of its own: `Scores { scores: Map }`, or `content = "data"`.
/// The cases are those of [`FromFrame`](macro@FromFrame).
///
/// # Errors
///
/// `into_frame` gives an `EncodeError` if a payload is no object in JSON or has a key that the message
/// has already, or if a value has no JSON form, such as a map whose keys are lists.
#[proc_macro_derive(IntoFrame, attributes(frame))]
pub fn into_frame(item: TokenStream) -> TokenStream {
    expand::derive(item.into(), Direction::IntoFrame).into()
}

/// Declares a trait with a method for each variant, and `dispatch` on the enum, which calls them.
///
/// # Shape
///
/// For `enum Ask` the trait is called `AskHandler`, and is as public as the enum. A method has the
/// name of its variant in `snake_case`, and what the variant holds as arguments, in the order of the code:
///
/// | variant | method |
/// |---|---|
/// | `Leave` | `async fn leave(&mut self, room: &Room, sender: &Connection) -> Result<()>` |
/// | `Say { text: String }` | `async fn say(&mut self, room: &Room, sender: &Connection, text: String) -> Result<()>` |
/// | `Move(Point)` | `async fn r#move(&mut self, room: &Room, sender: &Connection, message: Point) -> Result<()>` |
/// | `#[frame(binary)] Upload(Bytes)` | `async fn upload(&mut self, room: &Room, sender: &Connection, message: Bytes) -> Result<()>` |
/// | `#[frame(other)] Unknown(String)` | `async fn unknown(&mut self, room: &Room, sender: &Connection, message: String) -> Result<()>` |
///
/// All are required and, like hooks, `async`. Docs of a variant are docs of its method. Of the enum there is
/// `async fn dispatch(self, server: &mut impl AskHandler, room: &Room, sender: &Connection) -> Result<()>`,
/// which is as public too; dropping its future drops that of the method, where it waits.
///
/// The fields of one variant must have different types. Else somebody who only sorts them would exchange
/// arguments, and no compiler would say so: such a variant takes a struct, as `Move` does here.
///
/// The enum may be generic; then so is the trait. It needs no other derive.
#[proc_macro_derive(Dispatch)]
pub fn dispatch(item: TokenStream) -> TokenStream {
    match syn::parse(item) {
        Ok(input) => expand::dispatch::expand(&input).into(),
        Err(error) => error.into_compile_error().into(),
    }
}

/// The impl of `partyrs::Validate` looks at the rules of what stands inside a message.
///
/// The rules are those of [`FromFrame`](macro@FromFrame), on the fields of a struct or of an
/// enum's variants, with or without names; `#[frame(check = "path")]` on the type is for several
/// fields together. The type is read by serde, so serde's `rename` and `rename_all` tell what its
/// fields are called in the path of a violation.
#[proc_macro_derive(Validate, attributes(frame))]
pub fn validate(item: TokenStream) -> TokenStream {
    expand::derive(item.into(), Direction::Validate).into()
}

/// The impl of `partyrs::protocol::Protocol` says what the messages look like.
///
/// It reads the `#[frame(..)]` of [`FromFrame`](macro@FromFrame) and [`IntoFrame`](macro@IntoFrame), and doc comments:
/// tags, keys, what may be left out, rules. What the type of a value looks like is asked of its
/// `schemars::JsonSchema`. A field may be left out by clients if it has a `default` or its type is written `Option<..>`,
/// and by rooms if it has a `skip_serializing_if`.
///
/// What a function decides (`custom`, `check`) has no form in a schema, and is not in it; nor are the rules of an
/// enum that is `nested`, and of several values without names.
#[proc_macro_derive(Protocol, attributes(frame))]
pub fn protocol(item: TokenStream) -> TokenStream {
    expand::derive(item.into(), Direction::Protocol).into()
}
