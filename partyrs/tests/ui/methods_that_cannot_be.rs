use partyrs::Dispatch;

#[derive(Dispatch)]
enum Ask {
    Super,
    SitDown,
    sit_down,
    Rename { from: String, seat: u8, to: String },
    Swap(u8, u8, u8),
}

fn dispatched<S: AskHandler>(server: &mut S, room: &partyrs::Room, sender: &partyrs::Connection) {
    // Both are there in spite of the mistakes: nothing is said of these lines.
    let _ = Ask::SitDown.dispatch(server, room, sender);
}

fn main() {}
