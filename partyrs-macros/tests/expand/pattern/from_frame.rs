#[automatically_derived]
#[allow(
    deprecated,
    unused_qualifications,
    clippy::all,
    clippy::pedantic,
    clippy::nursery
)]
impl ::partyrs::FromFrame for Join {
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
impl ::partyrs::__private::ReadMessage for Join {
    fn read<'__de, __M>(
        __variant: ::core::primitive::usize,
        mut __entries: ::partyrs::__private::Entries<'_, __M>,
    ) -> ::core::result::Result<Self, __M::Error>
    where
        __M: ::partyrs::__private::Source<'__de>,
    {
        let mut __field0 = ::partyrs::__private::Entries::slot::<
            Option<String>,
        >(&__entries, "name");
        while let ::core::option::Option::Some(__key) = ::partyrs::__private::Entries::next_plain_key(
            &mut __entries,
            &["name"],
        )? {
            match __key {
                0usize => {
                    ::partyrs::__private::Entries::read(&mut __entries, &mut __field0)?
                }
                _ => ::partyrs::__private::Entries::skip(&mut __entries)?,
            }
        }
        ::core::result::Result::Ok(Self {
            name: ::partyrs::__private::Slot::take(__field0)?,
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
impl ::partyrs::__private::CheckMessage for Join {
    fn check(&self) -> ::core::result::Result<(), ::partyrs::Violation> {
        match self {
            Self { name: __field0, .. } => {
                ::core::result::Result::map_err(
                    (|| {
                        if let ::core::option::Option::Some(__some0) = __field0 {
                            {
                                let __value = __some0;
                                static __PATTERN: ::partyrs::__private::Pattern = ::partyrs::__private::Pattern::new(
                                    "^[a-z]+$",
                                );
                                ::partyrs::__private::Pattern::check(&__PATTERN, __value)?;
                            }
                        }
                        ::core::result::Result::Ok(())
                    })(),
                    |__violation| ::partyrs::Violation::under(__violation, "name"),
                )?;
            }
        }
        ::core::result::Result::Ok(())
    }
}
