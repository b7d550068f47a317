//! `cargo xtask test`: everything that can be tested on this machine.
//!
//! A part that fails stops no other part. A part that lacks something is skipped and named in the
//! last line; under `CI=true` that is a failure, so that no check is lost without notice.

use std::{env, fs, path::PathBuf, process::Command};

use crate::{
    Result,
    setup::{self, Machine, Node},
    step::{self, Outcome, Summary},
    workspace::Workspace,
};

/// A file of tests/js whose name starts so needs a browser.
const BROWSER_TESTS: &str = "browser";
/// A test that takes longer hangs.
const JS_TEST_TIMEOUT_MS: u32 = 180_000;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Run what needs nothing but Rust, and install nothing
    #[arg(long)]
    rust_only: bool,
}

/// Returns whether all went well.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> bool {
    let mut summary = Summary::default();
    if options.rust_only {
        summary.add("rust", rust(workspace));
    } else {
        let machine = setup::prepare(workspace);
        summary.add("rust", rust(workspace));
        summary.add("js", js(workspace, &machine));
        summary.add("browser", browser(workspace, &machine));
    }
    println!("\nxtask test: {summary}");
    summary.is_success(env::var("CI").is_ok_and(|ci| ci == "true"))
}

/// Builds the example programs and all Rust tests, then runs the tests.
fn rust(workspace: &Workspace) -> Outcome {
    // One build of both: Cargo chooses the features of the dependencies for all that it builds in one
    // go, so building the programs alone first would compile some of the dependencies twice.
    let mut build = workspace.cargo();
    build.args(["build", "--workspace", "--lib", "--bins", "--tests"]);
    let mut test = workspace.cargo();
    test.args(["test", "--workspace", "--no-fail-fast"]).env("PARTYRS_EXAMPLES_DIR", examples(workspace));

    let built = step::run("build", &mut build);
    let passed = step::run("rust", &mut test);
    Outcome::from_success(built && passed)
}

/// Runs the tests of tests/js that need no browser.
fn js(workspace: &Workspace, machine: &Machine) -> Outcome {
    match machine.node_with_packages() {
        Err(lacking) => Outcome::Skipped(lacking),
        Ok(_) if !machine.curl => Outcome::Skipped("no curl"),
        Ok(node) => node_test("js", workspace, node, |name| !name.starts_with(BROWSER_TESTS), &[]),
    }
}

/// Runs the tests of tests/js that drive a browser.
fn browser(workspace: &Workspace, machine: &Machine) -> Outcome {
    match (machine.node_with_packages(), &machine.chromium) {
        (Err(lacking), _) => Outcome::Skipped(lacking),
        (_, None) => Outcome::Skipped("no Chromium"),
        (Ok(node), Some(chromium)) => {
            let screenshots = workspace.target("screenshots");
            let environment = [("CHROMIUM", chromium.clone()), ("PARTYRS_SCREENSHOTS_DIR", screenshots)];
            node_test("browser", workspace, node, |name| name.starts_with(BROWSER_TESTS), &environment)
        }
    }
}

/// Gives the chosen test files to Node's test runner.
fn node_test(
    title: &str,
    workspace: &Workspace,
    node: &Node,
    chosen: impl Fn(&str) -> bool,
    environment: &[(&str, PathBuf)],
) -> Outcome {
    let files = match js_test_files(workspace, chosen) {
        Ok(files) => files,
        Err(error) => {
            eprintln!("tests/js: {error}");
            return Outcome::Failed;
        }
    };
    let mut command = Command::new("node");
    command
        .args(node.websocket_flag())
        .args(["--test", "--test-reporter=spec"])
        .arg(format!("--test-timeout={JS_TEST_TIMEOUT_MS}"))
        .args(files)
        .current_dir(workspace.path("tests/js"))
        .env("PARTYRS_EXAMPLES_DIR", examples(workspace))
        .envs(environment.iter().map(|(name, value)| (name, value)));
    Outcome::from_success(step::run(title, &mut command))
}

/// Names of the chosen test files in tests/js, sorted.
///
/// # Errors
///
/// If there is none: called without a name, Node's runner would take every file that it finds.
fn js_test_files(workspace: &Workspace, chosen: impl Fn(&str) -> bool) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(workspace.path("tests/js"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".test.mjs") && chosen(&name) {
            names.push(name);
        }
    }
    if names.is_empty() {
        return Err("no test file of this kind".into());
    }
    names.sort();
    Ok(names)
}

/// Where `build` puts the example programs: the profile `dev`, as the tests' own.
fn examples(workspace: &Workspace) -> PathBuf {
    workspace.target("debug")
}
