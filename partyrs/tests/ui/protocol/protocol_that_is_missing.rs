use partyrs::{FromFrame, protocol::Document};

#[derive(FromFrame)]
enum Ask {
    Say { text: String },
}

fn main() {
    let _ = Document::of::<Ask, ()>("main");
}
