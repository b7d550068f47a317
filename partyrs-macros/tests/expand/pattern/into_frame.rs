#[automatically_derived]
#[allow(
    deprecated,
    unused_qualifications,
    clippy::all,
    clippy::pedantic,
    clippy::nursery
)]
impl ::partyrs::IntoFrame for Join {
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
impl ::partyrs::IntoFrame for &Join {
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
impl ::partyrs::__private::WriteMessage for Join {
    fn write(&self) -> ::core::result::Result<::partyrs::Frame, ::partyrs::EncodeError> {
        match self {
            Self { name: __field0 } => {
                let mut __text = ::partyrs::__private::Text::starting("{\"name\":");
                ::partyrs::__private::Text::value::<
                    Option<String>,
                >(&mut __text, __field0)?;
                ::core::result::Result::Ok(
                    ::partyrs::__private::Text::ending(__text, "}"),
                )
            }
        }
    }
}
