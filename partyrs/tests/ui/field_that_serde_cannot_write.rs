use partyrs::IntoFrame;

struct Seat;

#[derive(IntoFrame)]
enum Tell<'a> {
    Sat { seat: Seat, seats: Vec<Seat>, who: &'a str },
    Moved(&'a Seat),
}

#[derive(IntoFrame)]
struct Sat {
    seat: Option<Seat>,
}

#[derive(IntoFrame)]
struct Stood<T> {
    seat: Seat,
    other: T,
}

fn main() {}
