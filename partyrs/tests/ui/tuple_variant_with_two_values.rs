use partyrs::{FromFrame, IntoFrame};

#[derive(FromFrame, IntoFrame)]
enum Ask {
    Move(f32, f32),
    Leave(),
}

fn main() {}
