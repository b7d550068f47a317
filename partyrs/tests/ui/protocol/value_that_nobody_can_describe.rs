use partyrs::{FromFrame, Protocol};

#[derive(serde::Deserialize)]
struct Point {
    x: u8,
}

#[derive(FromFrame, Protocol)]
enum Ask {
    Move { to: Point },
    Draw(Point),
}

fn main() {}
