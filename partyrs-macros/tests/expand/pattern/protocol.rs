#[automatically_derived]
#[allow(
    deprecated,
    unused_qualifications,
    clippy::all,
    clippy::pedantic,
    clippy::nursery
)]
impl ::partyrs::protocol::Protocol for Join {
    fn describe(__messages: &mut ::partyrs::protocol::Messages) {
        __messages
            .message(
                "",
                |__message| {
                    __message
                        .field::<
                            Option<String>,
                        >(
                            "name",
                            |__field| {
                                __field
                                    .may_lack(::partyrs::protocol::Sender::Client)
                                    .told(|__told| {
                                        ::partyrs::__private::RuleSink::rule(
                                            __told,
                                            &[],
                                            ::partyrs::__private::ToldRule::Pattern("^[a-z]+$"),
                                        );
                                    })
                            },
                        )
                },
            );
    }
}
