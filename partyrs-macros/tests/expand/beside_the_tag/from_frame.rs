#[automatically_derived]
#[allow(
    deprecated,
    unused_qualifications,
    clippy::all,
    clippy::pedantic,
    clippy::nursery
)]
impl<T> ::partyrs::FromFrame for Ask<T>
where
    Option<T>: ::partyrs::__private::serde::de::DeserializeOwned,
    Self: ::core::marker::Send + 'static,
{
    fn from_frame(
        __frame: ::partyrs::Frame,
    ) -> ::core::result::Result<Self, ::partyrs::ParseError> {
        ::partyrs::__private::read_message(
            &__frame,
            &::partyrs::__private::Shape {
                tag: "kind",
                names: &["leave", "say", "move"],
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
impl<T> ::partyrs::__private::ReadMessage for Ask<T>
where
    Option<T>: ::partyrs::__private::serde::de::DeserializeOwned,
{
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
                let mut __field0 = ::partyrs::__private::Entries::slot::<
                    String,
                >(&__entries, "text");
                let mut __field1 = ::partyrs::__private::Entries::slot::<
                    Option<T>,
                >(&__entries, "to");
                while let ::core::option::Option::Some(__key) = ::partyrs::__private::Entries::next_plain_key(
                    &mut __entries,
                    &["text", "to"],
                )? {
                    match __key {
                        0usize => {
                            ::partyrs::__private::Entries::read(
                                &mut __entries,
                                &mut __field0,
                            )?
                        }
                        1usize => {
                            ::partyrs::__private::Entries::read(
                                &mut __entries,
                                &mut __field1,
                            )?
                        }
                        _ => ::partyrs::__private::Entries::skip(&mut __entries)?,
                    }
                }
                ::core::result::Result::Ok(Self::Say {
                    text: ::partyrs::__private::Slot::take(__field0)?,
                    to: ::partyrs::__private::Slot::take(__field1)?,
                })
            }
            _ => {
                ::core::result::Result::Ok(
                    Self::Move(
                        ::partyrs::__private::Entries::payload::<Point>(__entries)?,
                    ),
                )
            }
        }
    }
}
