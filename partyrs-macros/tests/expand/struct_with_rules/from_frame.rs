#[automatically_derived]
#[allow(
    deprecated,
    unused_qualifications,
    clippy::all,
    clippy::pedantic,
    clippy::nursery
)]
impl<T> ::partyrs::FromFrame for Seat<T>
where
    T: ::partyrs::__private::serde::de::DeserializeOwned,
    Self: ::core::marker::Send + 'static,
    T: ::partyrs::Validate,
{
    fn from_frame(
        __frame: ::partyrs::Frame,
    ) -> ::core::result::Result<Self, ::partyrs::ParseError> {
        ::partyrs::__private::checked(::partyrs::__private::read_object(&__frame))
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
impl<T> ::partyrs::__private::ReadMessage for Seat<T>
where
    T: ::partyrs::__private::serde::de::DeserializeOwned,
{
    fn read<'__de, __M>(
        __variant: ::core::primitive::usize,
        mut __entries: ::partyrs::__private::Entries<'_, __M>,
    ) -> ::core::result::Result<Self, __M::Error>
    where
        __M: ::partyrs::__private::Source<'__de>,
    {
        let mut __field0 = ::partyrs::__private::Entries::slot::<
            Option<u8>,
        >(&__entries, "rowNumber");
        let mut __field1 = ::partyrs::__private::Entries::slot::<
            T,
        >(&__entries, "holder");
        while let ::core::option::Option::Some(__key) = ::partyrs::__private::Entries::next_known_key(
            &mut __entries,
            &["rowNumber", "holder"],
        )? {
            match __key {
                0usize => {
                    ::partyrs::__private::Entries::read(&mut __entries, &mut __field0)?
                }
                1usize => {
                    ::partyrs::__private::Entries::read(&mut __entries, &mut __field1)?
                }
                _ => ::partyrs::__private::Entries::skip(&mut __entries)?,
            }
        }
        ::core::result::Result::Ok(Self {
            row_number: ::partyrs::__private::Slot::take_or(
                __field0,
                || <Self as ::core::default::Default>::default().row_number,
            ),
            holder: ::partyrs::__private::Slot::take_or(
                __field1,
                || <Self as ::core::default::Default>::default().holder,
            ),
        })
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
impl<T> ::partyrs::__private::CheckMessage for Seat<T>
where
    T: ::partyrs::Validate,
{
    fn check(&self) -> ::core::result::Result<(), ::partyrs::Violation> {
        match self {
            Self { row_number: __field0, holder: __field1, .. } => {
                ::core::result::Result::map_err(
                    (|| {
                        if let ::core::option::Option::Some(__some0) = __field0 {
                            {
                                let __value = __some0;
                                ::partyrs::__private::range(
                                    __value,
                                    ::core::option::Option::Some(1),
                                    ::core::option::Option::Some(40),
                                )?;
                            }
                        }
                        ::core::result::Result::Ok(())
                    })(),
                    |__violation| ::partyrs::Violation::under(__violation, "rowNumber"),
                )?;
                ::core::result::Result::map_err(
                    (|| {
                        {
                            let __value = __field1;
                            ::partyrs::Validate::validate(__value)?;
                        }
                        ::core::result::Result::Ok(())
                    })(),
                    |__violation| ::partyrs::Violation::under(__violation, "holder"),
                )?;
            }
        }
        ::core::result::Result::Ok(())
    }
}
