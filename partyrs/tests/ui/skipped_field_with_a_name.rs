use partyrs::{FromFrame, IntoFrame};

#[derive(FromFrame, IntoFrame)]
enum Ask {
    Say {
        #[frame(skip, rename = "message")]
        text: String,
        #[frame(skip, flatten)]
        rest: String,
        #[frame(skip, skip_serializing_if = "String::is_empty")]
        to: String,
    },
}

fn main() {}
