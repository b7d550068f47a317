use partyrs::{FromFrame, IntoFrame};

#[derive(FromFrame, IntoFrame)]
#[frame(range(max = 3))]
enum Ask {
    #[frame(len(max = 3))]
    Say {
        #[frame(check = "is_right")]
        text: String,
        #[frame(skip, len(max = 3))]
        to: String,
    },
}

fn main() {}
