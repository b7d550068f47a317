use partyrs::{FromFrame, IntoFrame};

#[derive(FromFrame, IntoFrame)]
#[frame(tag = "type", tag = "kind")]
enum Ask {
    #[frame(rename = "say")]
    #[frame(rename = "speak")]
    Say,
}

fn main() {}
