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
        ::partyrs::__private::checked(
            match __frame {
                ::partyrs::Frame::Binary(__bytes) => {
                    ::core::result::Result::Ok(
                        Self::Upload(<Bytes as ::core::convert::From<_>>::from(__bytes)),
                    )
                }
                __frame => {
                    ::partyrs::__private::read_message(
                        &__frame,
                        &::partyrs::__private::Shape {
                            tag: "type",
                            names: &["say", "Invite", "Draw"],
                            aliases: &[("speak", 0usize)],
                            keeps_other: true,
                        },
                    )
                }
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
                let mut __field0 = ::partyrs::__private::Entries::slot::<
                    String,
                >(&__entries, "fullText");
                let mut __field1 = ::partyrs::__private::Entries::slot::<
                    u8,
                >(&__entries, "level");
                let mut __field2 = ::partyrs::__private::Entries::slot::<
                    Colour,
                >(&__entries, "colour");
                let __field4 = ::partyrs::__private::Entries::rest::<
                    Map,
                    _,
                >(
                    &mut __entries,
                    &["fullText", "level", "colour", "message"],
                    |__entries, __key| match __key {
                        0usize => {
                            ::partyrs::__private::Entries::read(__entries, &mut __field0)
                        }
                        1usize => {
                            ::partyrs::__private::Entries::read(__entries, &mut __field1)
                        }
                        2usize => {
                            ::partyrs::__private::Entries::read(__entries, &mut __field2)
                        }
                        3usize => {
                            ::partyrs::__private::Entries::read(__entries, &mut __field0)
                        }
                        _ => ::partyrs::__private::Entries::skip(__entries),
                    },
                )?;
                ::core::result::Result::Ok(Self::Say {
                    full_text: ::partyrs::__private::Slot::take(__field0)?,
                    level: ::partyrs::__private::Slot::take_or(
                        __field1,
                        || <u8 as ::core::default::Default>::default(),
                    ),
                    colour: ::partyrs::__private::Slot::take_or(__field2, || any()),
                    from: <Secret as ::core::default::Default>::default(),
                    rest: __field4,
                })
            }
            1usize => {
                let mut __field0 = ::partyrs::__private::Entries::slot::<
                    Vec<Option<String>>,
                >(&__entries, "names");
                while let ::core::option::Option::Some(__key) = ::partyrs::__private::Entries::next_plain_key(
                    &mut __entries,
                    &["names"],
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
                ::core::result::Result::Ok(Self::Invite {
                    names: ::partyrs::__private::Slot::take(__field0)?,
                })
            }
            _ => {
                ::core::result::Result::Ok(
                    Self::Draw(
                        ::partyrs::__private::Entries::payload::<Shape>(__entries)?,
                    ),
                )
            }
        }
    }
    fn other(__tag: ::partyrs::__private::String) -> ::core::option::Option<Self> {
        ::core::option::Option::Some(Self::Unknown(__tag))
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
impl ::partyrs::__private::CheckMessage for Ask {
    fn check(&self) -> ::core::result::Result<(), ::partyrs::Violation> {
        match self {
            Self::Say { full_text: __field0, level: __field1, .. } => {
                ::core::result::Result::map_err(
                    (|| {
                        {
                            let __value = __field0;
                            ::partyrs::__private::len(
                                __value,
                                ::core::option::Option::Some(1),
                                ::core::option::Option::Some(2000),
                            )?;
                        }
                        ::core::result::Result::Ok(())
                    })(),
                    |__violation| ::partyrs::Violation::under(
                        __violation,
                        "say.fullText",
                    ),
                )?;
                ::core::result::Result::map_err(
                    (|| {
                        {
                            let __value = __field1;
                            ::partyrs::__private::range(
                                __value,
                                ::core::option::Option::None,
                                ::core::option::Option::Some(3),
                            )?;
                        }
                        ::core::result::Result::Ok(())
                    })(),
                    |__violation| ::partyrs::Violation::under(__violation, "say.level"),
                )?;
            }
            Self::Invite { names: __field0, .. } => {
                ::core::result::Result::map_err(
                    (|| {
                        {
                            let __value = __field0;
                            ::partyrs::__private::each(
                                __value,
                                |__item0| {
                                    if let ::core::option::Option::Some(__some1) = __item0 {
                                        {
                                            let __value = __some1;
                                            ::partyrs::__private::len(
                                                __value,
                                                ::core::option::Option::None,
                                                ::core::option::Option::Some(20),
                                            )?;
                                        }
                                        {
                                            let __value = __some1;
                                            ::partyrs::__private::custom(is_free(__value))?;
                                        }
                                    }
                                    ::core::result::Result::Ok(())
                                },
                            )?;
                        }
                        ::core::result::Result::Ok(())
                    })(),
                    |__violation| ::partyrs::Violation::under(
                        __violation,
                        "Invite.names",
                    ),
                )?;
            }
            Self::Draw(__field0) => {
                ::core::result::Result::map_err(
                    (|| {
                        {
                            let __value = __field0;
                            ::partyrs::Validate::validate(__value)?;
                        }
                        ::core::result::Result::Ok(())
                    })(),
                    |__violation| ::partyrs::Violation::under(__violation, "Draw"),
                )?;
            }
            Self::Upload(__field0) => {
                ::core::result::Result::map_err(
                    (|| {
                        {
                            let __value = __field0;
                            ::partyrs::__private::byte_len(
                                __value,
                                ::core::option::Option::None,
                                ::core::option::Option::Some(4096),
                            )?;
                        }
                        ::core::result::Result::Ok(())
                    })(),
                    |__violation| ::partyrs::Violation::under(__violation, "Upload"),
                )?;
            }
            _ => {}
        }
        ::partyrs::__private::custom(Ask::is_right(self))?;
        ::core::result::Result::Ok(())
    }
}
