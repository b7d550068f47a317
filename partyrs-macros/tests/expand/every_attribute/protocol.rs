#[automatically_derived]
#[allow(
    deprecated,
    unused_qualifications,
    clippy::all,
    clippy::pedantic,
    clippy::nursery
)]
impl ::partyrs::protocol::Protocol for Ask {
    fn describe(__messages: &mut ::partyrs::protocol::Messages) {
        __messages.tag("type");
        __messages
            .message(
                "say",
                |__message| {
                    __message
                        .alias("speak")
                        .field::<
                            String,
                        >(
                            "fullText",
                            |__field| {
                                __field
                                    .alias("message")
                                    .told(|__told| {
                                        ::partyrs::__private::RuleSink::rule(
                                            __told,
                                            &[],
                                            ::partyrs::__private::ToldRule::Len(
                                                ::core::option::Option::Some(1),
                                                ::core::option::Option::Some(2000),
                                            ),
                                        );
                                    })
                            },
                        )
                        .field::<
                            u8,
                        >(
                            "level",
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
                                                ::core::option::Option::None,
                                                ::core::option::Option::Some(3),
                                            ),
                                        );
                                    })
                            },
                        )
                        .field::<
                            Colour,
                        >(
                            "colour",
                            |__field| {
                                __field
                                    .may_lack(::partyrs::protocol::Sender::Client)
                                    .may_lack(::partyrs::protocol::Sender::Room)
                            },
                        )
                        .spread::<Map>()
                },
            );
        __messages
            .message(
                "Invite",
                |__message| {
                    __message
                        .field::<
                            Vec<Option<String>>,
                        >(
                            "names",
                            |__field| {
                                __field
                                    .told(|__told| {
                                        ::partyrs::__private::RuleSink::rule(
                                            __told,
                                            &[::partyrs::__private::Step::Items],
                                            ::partyrs::__private::ToldRule::Len(
                                                ::core::option::Option::None,
                                                ::core::option::Option::Some(20),
                                            ),
                                        );
                                    })
                            },
                        )
                },
            );
        __messages.message("Draw", |__message| __message.spread::<Shape>());
        __messages.other(::core::option::Option::None, "");
        __messages.binary("");
    }
}
