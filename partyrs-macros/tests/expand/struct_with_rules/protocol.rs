#[automatically_derived]
#[allow(
    deprecated,
    unused_qualifications,
    clippy::all,
    clippy::pedantic,
    clippy::nursery
)]
impl<T> ::partyrs::protocol::Protocol for Seat<T>
where
    T: ::partyrs::protocol::schemars::JsonSchema,
    T: ::partyrs::Validate,
{
    fn describe(__messages: &mut ::partyrs::protocol::Messages) {
        __messages
            .message(
                "",
                |__message| {
                    __message
                        .field::<
                            Option<u8>,
                        >(
                            "rowNumber",
                            |__field| {
                                __field
                                    .may_lack(::partyrs::protocol::Sender::Client)
                                    .told(|__told| {
                                        ::partyrs::__private::RuleSink::rule(
                                            __told,
                                            &[],
                                            ::partyrs::__private::ToldRule::range::<
                                                u8,
                                            >(
                                                ::core::option::Option::Some(1),
                                                ::core::option::Option::Some(40),
                                            ),
                                        );
                                    })
                            },
                        )
                        .field::<
                            T,
                        >(
                            "holder",
                            |__field| {
                                __field
                                    .may_lack(::partyrs::protocol::Sender::Client)
                                    .told(|__told| {
                                        ::partyrs::__private::RuleSink::nested(
                                            __told,
                                            &[],
                                            <T as ::partyrs::Validate>::tell_rules,
                                        );
                                    })
                            },
                        )
                        .strict()
                },
            );
    }
}
