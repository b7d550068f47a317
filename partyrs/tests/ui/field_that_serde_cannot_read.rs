use partyrs::FromFrame;

struct Seat;

#[derive(FromFrame)]
enum Ask {
    Sit { seat: Seat, seats: Vec<Seat> },
    Move(Seat),
}

#[derive(FromFrame)]
struct Sit {
    seat: Option<Seat>,
}

#[derive(FromFrame)]
struct Stand<T> {
    seat: Seat,
    other: T,
}

fn main() {}
