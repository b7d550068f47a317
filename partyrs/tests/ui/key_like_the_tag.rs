use partyrs::{FromFrame, IntoFrame};

#[derive(FromFrame, IntoFrame)]
enum Ask {
    Say {
        r#type: String,
    },
}

#[derive(FromFrame, IntoFrame)]
#[frame(tag = "kind")]
enum Tell {
    Said {
        #[frame(rename = "kind")]
        r#type: String,
    },
}

fn main() {}
