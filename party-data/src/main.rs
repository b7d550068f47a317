//! Looks into a data folder of partyrs, copies it, brings copies in, and checks it.
//!
//! ```sh
//! cargo run --bin party-data -- list .partyrs
//! ```
//!
//! A folder that a host has open is refused: that host gives a copy at its admin address.

mod args;
mod check;
mod export;
mod import;
mod list;
mod show;
mod value;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use partyrs::storage::EngineError;
use partyrs_runtime::storage::{OpenError, RedbEngine};

use crate::args::{Args, Command};

/// Why a command did not do what it was asked.
enum Failure {
    /// Its output cannot be written. That nobody reads it any more is none.
    Output(io::Error),
    /// For whoever asked.
    Told(String),
}

fn main() -> ExitCode {
    let args = Args::parse();
    let ran = tokio::runtime::Builder::new_current_thread()
        .build()
        .map_err(|error| Failure::Told(format!("the system refused what is needed: {error}")))
        .and_then(|runtime| runtime.block_on(run(args.command)));
    match ran {
        Ok(code) => code,
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(Failure::Output(error)) => told(&format!("the output cannot be written: {error}")),
        Err(Failure::Told(text)) => told(&text),
    }
}

fn told(text: &str) -> ExitCode {
    // Nobody may be there to read it.
    let _ = writeln!(io::stderr(), "party-data: {text}");
    ExitCode::FAILURE
}

async fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::List(list) => list::run(list).await?,
        Command::Show(show) => show::run(show).await?,
        Command::Export(export) => export::run(export).await?,
        Command::Import(import) => import::run(import).await?,
        Command::Check(check) => return check::run(&check),
    }
    Ok(ExitCode::SUCCESS)
}

/// Opens a folder to read it; it must be there.
fn open(folder: &Path) -> Result<RedbEngine, Failure> {
    RedbEngine::open_existing(folder).map_err(|error| Failure::Told(refusal(&error)))
}

/// What to do about a folder that cannot be used.
fn refusal(error: &OpenError) -> String {
    match error {
        OpenError::InUse { folder } => format!(
            "data folder {} is in use; stop the host that has it open, or ask its admin address for a copy: curl -f -H 'authorization: Bearer TOKEN' http://ADMIN_ADDRESS/-/export",
            folder.display()
        ),
        OpenError::Folder { folder, source } => {
            format!("data folder {} cannot be used: {source}", folder.display())
        }
        error => error.to_string(),
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        Self::Told(format!("the data cannot be read: {error}; `party-data check` tells more"))
    }
}
