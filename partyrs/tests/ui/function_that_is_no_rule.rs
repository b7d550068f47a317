use partyrs::FromFrame;

fn is_short(_: &String) -> bool {
    true
}

#[derive(FromFrame)]
enum Ask {
    Say {
        #[frame(custom = "is_short")]
        text: String,
    },
    Sit {
        #[frame(custom = "is_missing")]
        seat: u8,
    },
}

fn main() {}
