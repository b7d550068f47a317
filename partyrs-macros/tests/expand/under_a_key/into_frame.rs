#[automatically_derived]
#[allow(
    deprecated,
    unused_qualifications,
    clippy::all,
    clippy::pedantic,
    clippy::nursery
)]
impl ::partyrs::IntoFrame for Ask {
    fn into_frame(
        self,
    ) -> ::core::result::Result<::partyrs::Frame, ::partyrs::EncodeError> {
        ::partyrs::IntoFrame::into_frame(&self)
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
impl ::partyrs::IntoFrame for &Ask {
    fn into_frame(
        self,
    ) -> ::core::result::Result<::partyrs::Frame, ::partyrs::EncodeError> {
        let __message = self;
        ::partyrs::__private::WriteMessage::write(__message)
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
impl ::partyrs::__private::WriteMessage for Ask {
    fn write(&self) -> ::core::result::Result<::partyrs::Frame, ::partyrs::EncodeError> {
        match self {
            Self::Leave => {
                ::core::result::Result::Ok(
                    ::partyrs::__private::constant("{\"type\":\"Leave\"}"),
                )
            }
            Self::Say { text: __field0 } => {
                let mut __text = ::partyrs::__private::Text::starting(
                    "{\"type\":\"Say\",\"data\":{\"text\":",
                );
                ::partyrs::__private::Text::value::<String>(&mut __text, __field0)?;
                ::core::result::Result::Ok(
                    ::partyrs::__private::Text::ending(__text, "}}"),
                )
            }
            Self::Seat(__field0) => {
                let mut __text = ::partyrs::__private::Text::starting(
                    "{\"type\":\"Seat\",\"data\":",
                );
                ::partyrs::__private::Text::value::<u8>(&mut __text, __field0)?;
                ::core::result::Result::Ok(
                    ::partyrs::__private::Text::ending(__text, "}"),
                )
            }
            Self::Line(__field0, __field1) => {
                let mut __text = ::partyrs::__private::Text::starting(
                    "{\"type\":\"Line\",\"data\":[",
                );
                ::partyrs::__private::Text::value::<Point>(&mut __text, __field0)?;
                ::partyrs::__private::Text::literal(&mut __text, ",");
                ::partyrs::__private::Text::value::<Point>(&mut __text, __field1)?;
                ::partyrs::__private::Text::literal(&mut __text, "]");
                ::core::result::Result::Ok(
                    ::partyrs::__private::Text::ending(__text, "}"),
                )
            }
        }
    }
}
