//! `cargo xtask lint`: format, lints, documentation. All of them run, whatever the others say.

use crate::{
    step::{self, Outcome, Summary},
    workspace::Workspace,
};

/// Programs with a workspace of their own, which Cargo does not visit from the top.
const SEPARATE: [&str; 2] = ["bench/limit/Cargo.toml", "bench/load/Cargo.toml"];

/// Returns whether everything is as it should be.
pub(crate) fn run(workspace: &Workspace) -> bool {
    let mut summary = Summary::default();
    summary.add("fmt", fmt(workspace));
    summary.add("clippy", clippy(workspace));
    summary.add("doc", doc(workspace));
    println!("\nxtask lint: {summary}");
    summary.is_success(true)
}

fn fmt(workspace: &Workspace) -> Outcome {
    let mut success = step::run("fmt", workspace.cargo().args(["fmt", "--all", "--check"]));
    for manifest in SEPARATE {
        let title = format!("fmt {manifest}");
        let mut command = workspace.cargo();
        success &= step::run(&title, command.args(["fmt", "--check", "--manifest-path", manifest]));
    }
    Outcome::from_success(success)
}

fn clippy(workspace: &Workspace) -> Outcome {
    let mut command = workspace.cargo();
    command.args(["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"]);
    Outcome::from_success(step::run("clippy", &mut command))
}

fn doc(workspace: &Workspace) -> Outcome {
    let mut command = workspace.cargo();
    command.args(["doc", "--workspace", "--no-deps", "--all-features"]).env("RUSTDOCFLAGS", "-D warnings");
    Outcome::from_success(step::run("doc", &mut command))
}
