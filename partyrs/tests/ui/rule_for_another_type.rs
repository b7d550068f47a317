use partyrs::FromFrame;

#[derive(FromFrame)]
enum Ask {
    Say {
        #[frame(len(max = 3))]
        seat: u8,
    },
    Bytes {
        #[frame(bytes(max = 3))]
        row: Option<u8>,
    },
    Inner {
        #[frame(inner(len(max = 3)))]
        text: String,
    },
    Range {
        #[frame(range(max = 3))]
        shift: f64,
    },
}

fn main() {}
