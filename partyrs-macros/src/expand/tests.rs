//! What is written for the items in `tests/expand/<item>.rs`, compared with
//! `tests/expand/<item>/<derive>.rs`. After a change: `PARTYRS_EXPAND=overwrite cargo test -p partyrs-macros`, then
//! read the difference.

use std::{env, fs, path::Path};

use crate::check::Direction;

#[test]
fn the_written_code_is_what_was_read_and_found_good() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/expand");
    let overwrites = env::var_os("PARTYRS_EXPAND").is_some_and(|value| value == "overwrite");
    let mut others = Vec::new();
    let mut items = vec!["beside_the_tag", "under_a_key", "every_attribute", "struct_with_rules"];
    if cfg!(feature = "pattern") {
        items.push("pattern");
    }
    for item in items {
        let source = fs::read_to_string(folder.join(item).with_extension("rs")).expect("can be read");
        for (name, direction) in [
            ("from_frame", Direction::FromFrame),
            ("into_frame", Direction::IntoFrame),
            ("protocol", Direction::Protocol),
            ("validate", Direction::Validate),
        ] {
            let written = super::derive(source.parse().expect("is Rust"), direction);
            let written = prettyplease::unparse(&syn::parse2(written).expect("is a file"));
            let path = folder.join(item).join(name).with_extension("rs");
            if overwrites {
                fs::create_dir_all(folder.join(item)).expect("can be made");
                fs::write(path, written).expect("can be written");
            } else if fs::read_to_string(&path).ok().as_deref() != Some(&written) {
                others.push(path);
            }
        }
    }
    assert!(others.is_empty(), "other than {others:#?}; `PARTYRS_EXPAND=overwrite` writes them anew");
}
