use partyrs::{FromFrame, IntoFrame};

#[derive(FromFrame, IntoFrame)]
#[frame(tag = "data", content = "data")]
enum Ask {
    Say { text: String },
}

#[derive(FromFrame, IntoFrame)]
#[frame(content = "")]
enum Tell {
    Said { text: String },
}

#[derive(FromFrame, IntoFrame)]
#[frame(content = "data")]
struct Seat {
    number: u8,
}

fn main() {}
