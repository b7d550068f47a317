use partyrs::Dispatch;

#[derive(Dispatch)]
struct Say {
    text: String,
}

#[derive(Dispatch)]
union Either {
    number: u32,
    real: f32,
}

#[derive(Dispatch)]
enum Nothing {}

#[derive(Dispatch)]
fn say() {}

fn main() {}
