use partyrs::{FromFrame, IntoFrame};

#[derive(FromFrame, IntoFrame)]
#[frame(tga = "type", rename_all = "kebab")]
enum Ask {
    Say(String),
    #[frame(rename = "Say")]
    Speak {
        #[frame(rename = 7)]
        text: String,
    },
}

fn read<T: FromFrame>() {}
fn write(_: impl IntoFrame) {}

fn main() {
    // Both are there in spite of the mistakes: nothing is said of these lines.
    read::<Ask>();
    write(Ask::Say("hi".into()));
}
