use partyrs::{FromFrame, IntoFrame};

#[derive(serde::Deserialize, serde::Serialize)]
struct Point {
    x: f32,
}

#[derive(FromFrame, IntoFrame)]
#[frame(rename = "ask")]
enum Ask<#[frame(rename = "T")] T> {
    #[frame(tag = "kind", rename_all = "camelCase")]
    Say {
        #[frame(rename_all_fields = "camelCase")]
        item: T,
    },
    Move(#[frame(rename = "point")] Point),
}

#[derive(FromFrame, IntoFrame)]
#[frame(tag = "kind", rename_all_fields = "camelCase")]
struct Move {
    x: f32,
}

fn main() {}
