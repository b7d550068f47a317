//! `cargo xtask crash`: the crash tests, with more rounds and for as long as one likes.
//!
//! They are built as the other tests are, without optimisation: so the assertions in the code are
//! checked too, and what takes time is processes and disks anyway.

use crate::{step, workspace::Workspace};

/// The test that runs all kinds of crashes in turn; `cargo test` alone passes it over.
const TEST: &str = "crash::every_kind_of_crash_in_turn";

const MINUTES: u64 = 5;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Begin no round after this time; 5 if neither this nor `--rounds` is given
    #[arg(long, value_name = "N")]
    minutes: Option<u64>,
    /// Run this many rounds; each has every kind of crash many times
    #[arg(long, value_name = "N")]
    rounds: Option<u64>,
}

/// Returns whether nothing was found. `PARTYRS_SEED` makes the decisions of an earlier run again.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> bool {
    let mut test = workspace.cargo();
    test.args(["test", "--package", "partyrs-tests", "--test", "it", "--"]);
    test.args(["--ignored", "--exact", "--nocapture", TEST]);
    let minutes = options.minutes.or(options.rounds.is_none().then_some(MINUTES));
    let limits = [("PARTYRS_CRASH_MINUTES", minutes), ("PARTYRS_CRASH_ROUNDS", options.rounds)];
    for (name, limit) in limits {
        match limit {
            Some(limit) => test.env(name, limit.to_string()),
            None => test.env_remove(name),
        };
    }
    step::run("crash", &mut test)
}
