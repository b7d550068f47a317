use partyrs::{FromFrame, IntoFrame};

#[derive(FromFrame, IntoFrame)]
enum Ask {
    Say {
        #[frame(len)]
        text: String,
        #[frame(len())]
        to: String,
        #[frame(len = 7)]
        from: String,
        #[frame(bytes(max))]
        seat: String,
        #[frame(range(min = 1, min = 2))]
        row: u8,
        #[frame(range(least = 1))]
        at: u8,
    },
}

fn main() {}
