use partyrs::{FromFrame, IntoFrame};

#[derive(FromFrame, IntoFrame)]
#[frame(tag = 5, rename_all, rename_all_fields("camelCase"))]
enum Ask {
    #[frame(rename = say)]
    Say,
    #[frame(rename = )]
    Leave,
    #[frame(rename = b"join")]
    Join,
    #[frame(rename = "sit" "down")]
    Sit,
}

#[derive(FromFrame, IntoFrame)]
#[frame(tag = "")]
enum Tell {
    Said,
}

fn main() {}
