#[automatically_derived]
#[allow(
    deprecated,
    unused_qualifications,
    clippy::all,
    clippy::pedantic,
    clippy::nursery
)]
impl<T> ::partyrs::Validate for Seat<T>
where
    T: ::partyrs::Validate,
{
    fn validate(&self) -> ::core::result::Result<(), ::partyrs::Violation> {
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
    fn tell_rules(__told: &mut dyn ::partyrs::__private::RuleSink) {
        ::partyrs::__private::RuleSink::rule(
            __told,
            &[::partyrs::__private::Step::Key("rowNumber")],
            ::partyrs::__private::ToldRule::range::<
                u8,
            >(::core::option::Option::Some(1), ::core::option::Option::Some(40)),
        );
        ::partyrs::__private::RuleSink::nested(
            __told,
            &[::partyrs::__private::Step::Key("holder")],
            <T as ::partyrs::Validate>::tell_rules,
        );
    }
}
