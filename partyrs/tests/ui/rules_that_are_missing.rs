use partyrs::FromFrame;

#[derive(serde::Deserialize)]
struct Point {
    x: u8,
}

#[derive(FromFrame)]
enum Ask {
    Move(#[frame(nested)] Point),
}

fn main() {}
