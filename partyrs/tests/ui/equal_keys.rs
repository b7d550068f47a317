use partyrs::{FromFrame, IntoFrame};

#[derive(FromFrame, IntoFrame)]
#[frame(rename_all_fields = "camelCase")]
enum Ask {
    Move {
        x: f32,
        #[frame(rename = "x")]
        y: f32,
    },
    Sit {
        seat_no: u8,
        seat__no: u8,
    },
}

#[derive(FromFrame, IntoFrame)]
struct Move {
    #[frame(rename = "y")]
    x: f32,
    y: f32,
}

fn main() {}
