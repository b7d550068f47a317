use partyrs::{FromFrame, Protocol};

#[derive(FromFrame, Protocol)]
enum Ask {
    #[frame(renam = "say")]
    Say { text: String },
}

#[derive(Protocol)]
union Alone {
    a: u8,
}

fn main() {}
