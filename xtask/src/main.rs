//! `cargo xtask`: the commands of this repository, the same for a person and for CI.
//!
//! Each command runs other programs in view and says at the end what became of them.
//! Nothing is decided here that Cargo, npm or the system's package manager decides.

mod bench;
mod bench_open;
mod crash;
mod lint;
mod protocol;
mod setup;
mod step;
mod test;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

/// An error is a sentence for the person at the terminal; nobody handles it.
type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "The commands of this repository")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Install what the tests need: Node and npm, a browser, the packages of tests/js
    Setup,
    /// Set up, then run every test: Rust, documentation, JavaScript, browser
    Test(test::Options),
    /// Check format, lints and documentation
    Lint,
    /// Write the files that tell clients what rooms say (JSON Schema, TypeScript), and what is made of them
    Protocol(protocol::Options),
    /// Kill servers, cut their power and fail their disks, and see that nothing is lost
    Crash(crash::Options),
    /// Measure the CPU cost of a delivery, side by side with a bare epoll loop
    Bench(bench::Options),
    /// Measure how long a data folder with many rooms takes to open
    BenchOpen(bench_open::Options),
}

fn main() -> ExitCode {
    match run(&Arguments::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all that was asked for is well.
fn run(command: &Command) -> Result<bool> {
    let workspace = Workspace::find()?;
    match command {
        Command::Setup => Ok(setup::prepare(&workspace).is_complete()),
        Command::Test(options) => Ok(test::run(&workspace, options)),
        Command::Lint => Ok(lint::run(&workspace)),
        Command::Protocol(options) => Ok(protocol::run(&workspace, options)),
        Command::Crash(options) => Ok(crash::run(&workspace, options)),
        Command::Bench(options) => bench::run(&workspace, options),
        Command::BenchOpen(options) => bench_open::run(&workspace, options),
    }
}
