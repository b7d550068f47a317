use partyrs::{FromFrame, IntoFrame};

#[derive(FromFrame, IntoFrame)]
#[frame("kind", , rename_all = "kebab-case")]
enum Ask {
    #[frame("say")]
    Say,
}

fn main() {}
