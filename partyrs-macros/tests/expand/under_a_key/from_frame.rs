#[automatically_derived]
#[allow(
    deprecated,
    unused_qualifications,
    clippy::all,
    clippy::pedantic,
    clippy::nursery
)]
impl ::partyrs::FromFrame for Ask {
    fn from_frame(
        __frame: ::partyrs::Frame,
    ) -> ::core::result::Result<Self, ::partyrs::ParseError> {
        ::partyrs::__private::read_message(
            &__frame,
            &::partyrs::__private::Shape {
                tag: "type",
                names: &["Leave", "Say", "Seat", "Line"],
                aliases: &[],
                keeps_other: false,
            },
        )
    }
}
#[automatically_derived]
#[allow(
    deprecated,
    unused_qualifications,
    clippy::all,
    clippy::pedantic,
    clippy::nursery
)]
impl ::partyrs::__private::ReadMessage for Ask {
    fn read<'__de, __M>(
        __variant: ::core::primitive::usize,
        mut __entries: ::partyrs::__private::Entries<'_, __M>,
    ) -> ::core::result::Result<Self, __M::Error>
    where
        __M: ::partyrs::__private::Source<'__de>,
    {
        match __variant {
            0usize => {
                ::partyrs::__private::Entries::skip_all(&mut __entries)?;
                ::core::result::Result::Ok(Self::Leave)
            }
            1usize => {
                ::partyrs::__private::Entries::content::<
                    Self,
                >(__entries, __variant, &["data"], false)
            }
            2usize => {
                let mut __field0 = ::partyrs::__private::Entries::slot::<
                    u8,
                >(&__entries, "data");
                while let ::core::option::Option::Some(__key) = ::partyrs::__private::Entries::next_plain_key(
                    &mut __entries,
                    &["data"],
                )? {
                    match __key {
                        0usize => {
                            ::partyrs::__private::Entries::read(
                                &mut __entries,
                                &mut __field0,
                            )?
                        }
                        _ => ::partyrs::__private::Entries::skip(&mut __entries)?,
                    }
                }
                let __field0 = ::partyrs::__private::Slot::take(__field0)?;
                ::core::result::Result::Ok(Self::Seat(__field0))
            }
            _ => {
                let mut __field0 = ::partyrs::__private::Entries::slot::<
                    (Point, Point),
                >(&__entries, "data");
                while let ::core::option::Option::Some(__key) = ::partyrs::__private::Entries::next_plain_key(
                    &mut __entries,
                    &["data"],
                )? {
                    match __key {
                        0usize => {
                            ::partyrs::__private::Entries::read(
                                &mut __entries,
                                &mut __field0,
                            )?
                        }
                        _ => ::partyrs::__private::Entries::skip(&mut __entries)?,
                    }
                }
                let __field0 = ::partyrs::__private::Slot::take(__field0)?;
                ::core::result::Result::Ok(Self::Line(__field0.0, __field0.1))
            }
        }
    }
    fn read_content<'__de, __M>(
        __variant: ::core::primitive::usize,
        mut __entries: ::partyrs::__private::Entries<'_, __M>,
    ) -> ::core::result::Result<Self, __M::Error>
    where
        __M: ::partyrs::__private::Source<'__de>,
    {
        match __variant {
            _ => {
                let mut __field0 = ::partyrs::__private::Entries::slot::<
                    String,
                >(&__entries, "text");
                while let ::core::option::Option::Some(__key) = ::partyrs::__private::Entries::next_plain_key(
                    &mut __entries,
                    &["text"],
                )? {
                    match __key {
                        0usize => {
                            ::partyrs::__private::Entries::read(
                                &mut __entries,
                                &mut __field0,
                            )?
                        }
                        _ => ::partyrs::__private::Entries::skip(&mut __entries)?,
                    }
                }
                ::core::result::Result::Ok(Self::Say {
                    text: ::partyrs::__private::Slot::take(__field0)?,
                })
            }
        }
    }
}
