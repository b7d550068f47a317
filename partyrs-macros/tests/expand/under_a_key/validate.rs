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
        ::core::result::Result::Ok(())
    }
}
