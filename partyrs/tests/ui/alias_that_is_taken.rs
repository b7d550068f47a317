use partyrs::{FromFrame, IntoFrame};

#[derive(FromFrame, IntoFrame)]
enum Ask {
    #[frame(alias = "Leave", alias = "speak")]
    Say {
        #[frame(alias = "type")]
        text: String,
        #[frame(alias = "text", alias = "to", alias = "at")]
        to: String,
    },
    #[frame(alias = "speak", alias = "go")]
    Leave,
}

fn main() {}
