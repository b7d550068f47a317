use partyrs::{FromFrame, IntoFrame};

#[derive(FromFrame, IntoFrame)]
enum Ask {
    Say(String),
    Seat(u32),
    Invite(Vec<String>),
    Point((f32, f32)),
    Colour([u8; 3]),
}

#[derive(IntoFrame)]
enum Tell<'a> {
    Said(&'a str),
    Seats(Option<u32>, #[allow(unused)] u8),
    Invited(&'a [String]),
}

fn main() {}
