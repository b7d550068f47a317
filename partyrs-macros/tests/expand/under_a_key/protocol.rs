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
        __messages.content("data");
        __messages.message("Leave", |__message| __message);
        __messages
            .message(
                "Say",
                |__message| __message.object().field::<String>("text", |__field| __field),
            );
        __messages.message("Seat", |__message| __message.value::<u8>(|__field| __field));
        __messages
            .message(
                "Line",
                |__message| __message.value::<(Point, Point)>(|__field| __field),
            );
    }
}
