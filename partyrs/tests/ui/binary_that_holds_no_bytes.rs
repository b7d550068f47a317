use partyrs::FromFrame;

#[derive(FromFrame)]
enum Ask {
    #[frame(binary)]
    Upload(u64),
}

fn main() {}
