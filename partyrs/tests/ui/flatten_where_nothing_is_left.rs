use std::collections::BTreeMap;

use partyrs::{FromFrame, IntoFrame};

#[derive(FromFrame, IntoFrame)]
enum Ask {
    Twice {
        #[frame(flatten)]
        first: BTreeMap<String, u8>,
        #[frame(flatten)]
        second: BTreeMap<String, u8>,
    },
    Named {
        #[frame(flatten, rename = "all", alias = "rest")]
        rest: BTreeMap<String, u8>,
    },
    Default {
        #[frame(flatten, default)]
        rest: BTreeMap<String, u8>,
    },
}

#[derive(FromFrame, IntoFrame)]
#[frame(deny_unknown_fields)]
struct Strict {
    #[frame(flatten)]
    rest: BTreeMap<String, u8>,
}

fn main() {}
