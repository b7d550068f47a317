use partyrs::{FromFrame, IntoFrame};

#[derive(FromFrame, IntoFrame)]
#[frame(rename_all = "lowercase")]
enum Ask {
    Typing,
    #[frame(rename = "typing")]
    StartTyping,
    #[frame(rename = "join")]
    Enter,
    Join,
    #[allow(clippy::upper_case_acronyms)]
    LEAVE,
    Leave,
}

fn main() {}
