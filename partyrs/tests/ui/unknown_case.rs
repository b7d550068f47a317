use partyrs::{FromFrame, IntoFrame};

#[derive(FromFrame, IntoFrame)]
#[frame(rename_all = "kebab", rename_all_fields = "Camel Case")]
enum Ask {
    LeaveTable,
}

fn main() {}
