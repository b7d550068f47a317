#[automatically_derived]
#[allow(
    deprecated,
    unused_qualifications,
    clippy::all,
    clippy::pedantic,
    clippy::nursery
)]
impl<T> ::partyrs::IntoFrame for Seat<T>
where
    T: ::partyrs::__private::serde::Serialize,
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
impl<T> ::partyrs::IntoFrame for &Seat<T>
where
    T: ::partyrs::__private::serde::Serialize,
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
impl<T> ::partyrs::__private::WriteMessage for Seat<T>
where
    T: ::partyrs::__private::serde::Serialize,
{
    fn write(&self) -> ::core::result::Result<::partyrs::Frame, ::partyrs::EncodeError> {
        match self {
            Self { row_number: __field0, holder: __field1 } => {
                let mut __text = ::partyrs::__private::Text::starting("{\"rowNumber\":");
                ::partyrs::__private::Text::value::<Option<u8>>(&mut __text, __field0)?;
                ::partyrs::__private::Text::literal(&mut __text, ",\"holder\":");
                ::partyrs::__private::Text::value::<T>(&mut __text, __field1)?;
                ::core::result::Result::Ok(
                    ::partyrs::__private::Text::ending(__text, "}"),
                )
            }
        }
    }
}
