use partyrs::FromFrame;

struct Secret;

fn seven() -> u8 {
    7
}

#[derive(FromFrame)]
enum Ask {
    Say {
        #[frame(skip)]
        from: Secret,
    },
    Seat {
        #[frame(default = "seven")]
        row: String,
    },
}

fn main() {}
