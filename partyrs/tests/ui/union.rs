use partyrs::{FromFrame, IntoFrame};

#[derive(FromFrame, IntoFrame)]
union Ask {
    small: u8,
    large: u64,
}

fn main() {}
