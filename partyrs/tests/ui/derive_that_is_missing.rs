use partyrs::{FromFrame, IntoFrame};

struct Ask;
struct Tell;

fn read<T: FromFrame>() {}
fn write(_: impl IntoFrame) {}

fn main() {
    read::<Ask>();
    write(Tell);
    write(&Tell);
}
