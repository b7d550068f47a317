//! Programs of the workspace that tests start.

use std::path::PathBuf;

/// The path of a program: beside the tests, or where `cargo xtask test` says.
pub(crate) fn program(name: &str) -> PathBuf {
    let beside = || {
        let test = std::env::current_exe().expect("the path of this test");
        test.ancestors().nth(2).expect("target/debug/deps/it").to_owned()
    };
    let program = std::env::var_os("PARTYRS_EXAMPLES_DIR").map_or_else(beside, PathBuf::from).join(name);
    assert!(program.exists(), "{} is not built: run `cargo xtask test`, or `cargo build`", program.display());
    program
}
