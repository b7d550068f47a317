use partyrs::{FromFrame, IntoFrame};

#[derive(FromFrame, IntoFrame)]
struct Refresh;

#[derive(FromFrame, IntoFrame)]
struct Point(f32, f32);

#[derive(FromFrame, IntoFrame)]
struct Scores(#[frame(rename = "scores")] Vec<u32>);

fn main() {}
