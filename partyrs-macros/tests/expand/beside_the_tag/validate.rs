#[automatically_derived]
#[allow(
    deprecated,
    unused_qualifications,
    clippy::all,
    clippy::pedantic,
    clippy::nursery
)]
impl<T> ::partyrs::Validate for Ask<T> {
    fn validate(&self) -> ::core::result::Result<(), ::partyrs::Violation> {
        ::core::result::Result::Ok(())
    }
}
