use partyrs::{FromFrame, IntoFrame};

#[derive(FromFrame, IntoFrame)]
enum Ask {
    Say {
        #[frame(len(min = 2000, max = 1_000))]
        text: String,
        #[frame(range(min = 0.5, max = -0.5))]
        shift: f64,
    },
}

fn main() {}
