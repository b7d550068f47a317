use partyrs::{FromFrame, IntoFrame};

#[derive(FromFrame, IntoFrame)]
#[frame(tga = "type", rename_all = "kebab-case", untagged)]
enum Ask {
    #[frame(renam = "say")]
    Say {
        #[frame(alais = "message")]
        text: String,
    },
}

#[derive(FromFrame, IntoFrame)]
#[frame(rename_al = "camelCase")]
struct Move {
    x: f32,
}

fn main() {}
