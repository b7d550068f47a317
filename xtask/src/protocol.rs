//! `cargo xtask protocol`: the files that tell clients what rooms say, written anew from the Rust types.
//!
//! The tests that keep the files do the work; what they do with a file that differs is told them by
//! `PARTYRS_PROTOCOL`. A page that is written against the files is then bundled anew, by the Node that is
//! there: nothing is installed.

use std::process::Command;

use crate::{setup, step, workspace::Workspace};

/// How the names of the tests begin that keep the files.
const TESTS: &str = "the_protocol";
/// Whose programs have such tests.
const PACKAGES: [&str; 2] = ["partyrs-examples", "partyrs-tests"];

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Write nothing, and fail if a file is not what the code says
    #[arg(long)]
    check: bool,
    /// Write files even if clients that know the ones before could no longer talk to the rooms
    #[arg(long, conflicts_with = "check")]
    allow_breaks: bool,
}

/// Returns whether the files are what the code says.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> bool {
    let mut keep = workspace.cargo();
    keep.args(["test", "--quiet", "--no-fail-fast", "--bins"]);
    for package in PACKAGES {
        keep.args(["--package", package]);
    }
    keep.arg(TESTS);
    match (options.check, options.allow_breaks) {
        (true, _) => keep.env_remove("PARTYRS_PROTOCOL"),
        (false, false) => keep.env("PARTYRS_PROTOCOL", "write"),
        (false, true) => keep.env("PARTYRS_PROTOCOL", "break"),
    };
    let kept = step::run("protocol", &mut keep);
    if !kept {
        let cure = match options {
            Options { check: true, .. } => "cargo xtask protocol",
            _ => "cargo xtask protocol --allow-breaks",
        };
        println!("\nxtask protocol: if the change is meant, `{cure}` writes it");
        return false;
    }
    options.check || bundle(workspace)
}

/// Makes the scripts of the examples' pages of their sources, if that is possible here.
fn bundle(workspace: &Workspace) -> bool {
    if let Err(lacking) = setup::find_node_with_packages(workspace) {
        println!(
            "\nxtask protocol: {lacking}, so the scripts of the pages are as they were. After `cargo xtask"
        );
        println!("setup`, `npm run bundle --prefix tests/js` makes them of what was written.");
        return true;
    }
    let mut bundle = Command::new("npm");
    bundle.args(["run", "--silent", "bundle"]).current_dir(workspace.path("tests/js"));
    step::run("bundle", &mut bundle)
}
