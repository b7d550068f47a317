use partyrs::FromFrame;

#[derive(serde::Deserialize)]
struct Point {
    x: f32,
}

#[derive(FromFrame)]
enum Ask<'a> {
    Say { text: &'a str, bytes: &'a [u8] },
    Move(&'a Point),
}

#[derive(FromFrame)]
struct Say {
    text: &'static str,
}

fn main() {}
