use partyrs::{FromFrame, IntoFrame};

#[derive(FromFrame, IntoFrame)]
#[frame]
enum Ask {
    #[frame = "say"]
    Say {
        #[frame]
        text: String,
    },
}

#[derive(FromFrame, IntoFrame)]
#[frame = "move"]
struct Move {
    x: f32,
}

fn main() {}
