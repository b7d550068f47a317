#[automatically_derived]
#[allow(
    deprecated,
    unused_qualifications,
    clippy::all,
    clippy::pedantic,
    clippy::nursery
)]
impl<T> ::partyrs::IntoFrame for Ask<T>
where
    Option<T>: ::partyrs::__private::serde::Serialize,
{
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
impl<T> ::partyrs::IntoFrame for &Ask<T>
where
    Option<T>: ::partyrs::__private::serde::Serialize,
{
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
impl<T> ::partyrs::__private::WriteMessage for Ask<T>
where
    Option<T>: ::partyrs::__private::serde::Serialize,
{
    fn write(&self) -> ::core::result::Result<::partyrs::Frame, ::partyrs::EncodeError> {
        match self {
            Self::Leave => {
                ::core::result::Result::Ok(
                    ::partyrs::__private::constant("{\"kind\":\"leave\"}"),
                )
            }
            Self::Say { text: __field0, to: __field1 } => {
                let mut __text = ::partyrs::__private::Text::starting(
                    "{\"kind\":\"say\",\"text\":",
                );
                ::partyrs::__private::Text::value::<String>(&mut __text, __field0)?;
                ::partyrs::__private::Text::literal(&mut __text, ",\"to\":");
                ::partyrs::__private::Text::value::<Option<T>>(&mut __text, __field1)?;
                ::core::result::Result::Ok(
                    ::partyrs::__private::Text::ending(__text, "}"),
                )
            }
            Self::Move(__field0) => {
                let mut __text = ::partyrs::__private::Text::starting(
                    "{\"kind\":\"move\"",
                );
                ::partyrs::__private::Text::payload::<
                    Point,
                >(&mut __text, "move", &["\"kind\""], __field0)?;
                ::core::result::Result::Ok(
                    ::partyrs::__private::Text::ending(__text, "}"),
                )
            }
        }
    }
}
