use partyrs::{FromFrame, IntoFrame};

#[derive(FromFrame, IntoFrame)]
enum Ask<T> {
    Put { item: T },
}

struct Seat;

fn read<T: FromFrame>() {}
fn write(_: impl IntoFrame) {}

fn main() {
    read::<Ask<Seat>>();
    write(Ask::Put { item: Seat });
}
