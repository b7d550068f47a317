#[automatically_derived]
#[allow(
    deprecated,
    unused_qualifications,
    clippy::all,
    clippy::pedantic,
    clippy::nursery
)]
impl<T> ::partyrs::protocol::Protocol for Ask<T>
where
    Option<T>: ::partyrs::protocol::schemars::JsonSchema,
{
    fn describe(__messages: &mut ::partyrs::protocol::Messages) {
        __messages.tag("kind");
        __messages.message("leave", |__message| __message);
        __messages
            .message(
                "say",
                |__message| {
                    __message
                        .field::<String>("text", |__field| __field)
                        .field::<
                            Option<T>,
                        >(
                            "to",
                            |__field| {
                                __field.may_lack(::partyrs::protocol::Sender::Client)
                            },
                        )
                },
            );
        __messages.message("move", |__message| __message.spread::<Point>());
    }
}
