#[automatically_derived]
#[allow(
    deprecated,
    unused_qualifications,
    clippy::all,
    clippy::pedantic,
    clippy::nursery
)]
impl ::partyrs::Validate for Ask {
    fn validate(&self) -> ::core::result::Result<(), ::partyrs::Violation> {
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
                    |__violation| ::partyrs::Violation::under(__violation, "fullText"),
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
                    |__violation| ::partyrs::Violation::under(__violation, "level"),
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
                    |__violation| ::partyrs::Violation::under(__violation, "names"),
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
                    |__violation| ::partyrs::Violation::under(__violation, ""),
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
                    |__violation| ::partyrs::Violation::under(__violation, ""),
                )?;
            }
            _ => {}
        }
        ::partyrs::__private::custom(Ask::is_right(self))?;
        ::core::result::Result::Ok(())
    }
}
