use partyrs::{FromFrame, IntoFrame};

#[derive(FromFrame, IntoFrame)]
enum Ask {
    Say {
        #[frame(pattern("^[a-z+$"))]
        text: String,
        #[frame(pattern = "^a$")]
        to: String,
        #[frame(pattern("(\\w{1000}){1000}"))]
        from: String,
        #[frame(pattern(7))]
        seat: String,
    },
}

fn main() {}
