use partyrs::{FromFrame, IntoFrame, bytes::Bytes};

#[derive(FromFrame, IntoFrame)]
enum Ask {
    #[frame(binary)]
    Nothing,
    #[frame(binary)]
    Twice(Bytes),
    #[frame(binary, rename = "up")]
    Named { bytes: Bytes },
    #[frame(binary, other)]
    Both(Bytes),
}

fn main() {}
