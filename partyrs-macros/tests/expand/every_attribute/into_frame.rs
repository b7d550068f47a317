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
            Self::Say {
                full_text: __field0,
                level: __field1,
                colour: __field2,
                rest: __field4,
                ..
            } => {
                let mut __text = ::partyrs::__private::Text::starting(
                    "{\"type\":\"say\",\"fullText\":",
                );
                ::partyrs::__private::Text::value::<String>(&mut __text, __field0)?;
                ::partyrs::__private::Text::literal(&mut __text, ",\"level\":");
                ::partyrs::__private::Text::value::<u8>(&mut __text, __field1)?;
                if !is_any(__field2) {
                    ::partyrs::__private::Text::key(&mut __text, ",\"colour\":");
                    ::partyrs::__private::Text::value::<Colour>(&mut __text, __field2)?;
                }
                ::partyrs::__private::Text::payload::<
                    Map,
                >(
                    &mut __text,
                    "rest",
                    &["\"type\"", "\"fullText\"", "\"level\"", "\"colour\""],
                    __field4,
                )?;
                ::core::result::Result::Ok(
                    ::partyrs::__private::Text::ending(__text, "}"),
                )
            }
            Self::Invite { names: __field0 } => {
                let mut __text = ::partyrs::__private::Text::starting(
                    "{\"type\":\"Invite\",\"names\":",
                );
                ::partyrs::__private::Text::value::<
                    Vec<Option<String>>,
                >(&mut __text, __field0)?;
                ::core::result::Result::Ok(
                    ::partyrs::__private::Text::ending(__text, "}"),
                )
            }
            Self::Draw(__field0) => {
                let mut __text = ::partyrs::__private::Text::starting(
                    "{\"type\":\"Draw\"",
                );
                ::partyrs::__private::Text::payload::<
                    Shape,
                >(&mut __text, "Draw", &["\"type\""], __field0)?;
                ::core::result::Result::Ok(
                    ::partyrs::__private::Text::ending(__text, "}"),
                )
            }
            Self::Unknown(__field0) => {
                let mut __text = ::partyrs::__private::Text::starting("{\"type\":");
                ::partyrs::__private::Text::value(&mut __text, __field0)?;
                ::core::result::Result::Ok(
                    ::partyrs::__private::Text::ending(__text, "}"),
                )
            }
            Self::Upload(__field0) => {
                ::partyrs::IntoFrame::into_frame(
                    <Bytes as ::core::clone::Clone>::clone(__field0),
                )
            }
        }
    }
}
