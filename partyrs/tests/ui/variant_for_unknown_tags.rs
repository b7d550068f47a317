use partyrs::{FromFrame, IntoFrame};

#[derive(FromFrame, IntoFrame)]
enum Ask {
    #[frame(other)]
    Number(u8),
    #[frame(other, alias = "what")]
    Unknown(String),
    #[frame(other)]
    Both { tag: String, rest: String },
}

fn main() {}
