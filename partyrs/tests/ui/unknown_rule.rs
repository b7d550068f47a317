use partyrs::{FromFrame, IntoFrame, Validate};

#[derive(FromFrame, IntoFrame)]
enum Ask {
    Invite {
        #[frame(inner(length(max = 3)))]
        names: Vec<String>,
        #[frame(inner())]
        seats: Vec<u8>,
        #[frame(nested = "Seat")]
        rows: Vec<u8>,
    },
}

#[derive(Validate)]
struct Seat {
    #[frame(email)]
    name: String,
}

#[derive(Validate)]
union Both {
    a: u8,
    b: u8,
}

fn main() {}
