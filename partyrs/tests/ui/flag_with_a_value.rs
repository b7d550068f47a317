use partyrs::{FromFrame, IntoFrame};

#[derive(FromFrame, IntoFrame)]
#[frame(deny_unknown_fields = true)]
enum Ask {
    Say {
        #[frame(skip("always"))]
        text: String,
        #[frame(default = 7)]
        seat: u8,
        #[frame(default = "7 + 1")]
        row: u8,
        #[frame(skip_serializing_if)]
        to: u8,
    },
}

#[derive(FromFrame, IntoFrame)]
#[frame(default = "Seat::new")]
struct Seat {
    number: u8,
}

fn main() {}
