#[automatically_derived]
#[allow(
    deprecated,
    unused_qualifications,
    clippy::all,
    clippy::pedantic,
    clippy::nursery
)]
impl ::partyrs::Validate for Join {
    fn validate(&self) -> ::core::result::Result<(), ::partyrs::Violation> {
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
    fn tell_rules(__told: &mut dyn ::partyrs::__private::RuleSink) {
        ::partyrs::__private::RuleSink::rule(
            __told,
            &[::partyrs::__private::Step::Key("name")],
            ::partyrs::__private::ToldRule::Pattern("^[a-z]+$"),
        );
    }
}
