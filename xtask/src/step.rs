//! One command run in view, timed, and what became of it.

use std::{
    fmt,
    process::Command,
    time::{Duration, Instant},
};

/// What became of a part of the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Ok,
    Failed,
    /// It was not tried; the text says what is lacking.
    Skipped(&'static str),
}

/// The outcome of each part, in the order in which they ran; `Display` is one plain line.
#[derive(Debug, Default)]
pub(crate) struct Summary(Vec<(&'static str, Outcome)>);

impl Outcome {
    pub(crate) fn from_success(success: bool) -> Self {
        if success { Self::Ok } else { Self::Failed }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ok => f.write_str("ok"),
            Self::Failed => f.write_str("FAILED"),
            Self::Skipped(lacking) => write!(f, "skipped ({lacking})"),
        }
    }
}

impl Summary {
    pub(crate) fn add(&mut self, part: &'static str, outcome: Outcome) {
        self.0.push((part, outcome));
    }

    /// Whether nothing failed and, where `skipping_fails`, nothing was skipped either.
    pub(crate) fn is_success(&self, skipping_fails: bool) -> bool {
        self.0.iter().all(|(_, outcome)| match outcome {
            Outcome::Ok => true,
            Outcome::Failed => false,
            Outcome::Skipped(_) => !skipping_fails,
        })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (part, outcome)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{part} {outcome}")?;
        }
        Ok(())
    }
}

/// Runs `command` to its end, with its output where it belongs, and says how long it took.
///
/// Returns whether it succeeded; a program that cannot be started has failed.
pub(crate) fn run(title: &str, command: &mut Command) -> bool {
    println!("\n--- {title}");
    let start = Instant::now();
    let success = match command.status() {
        Ok(status) => status.success(),
        Err(error) => {
            eprintln!("{}: {error}", command.get_program().display());
            false
        }
    };
    let outcome = Outcome::from_success(success);
    println!("--- {title}: {outcome} after {}", seconds(start.elapsed()));
    success
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summary_is_one_plain_line() {
        let mut summary = Summary::default();
        summary.add("rust", Outcome::Ok);
        summary.add("js", Outcome::Failed);
        summary.add("browser", Outcome::Skipped("no Chromium"));
        assert_eq!(summary.to_string(), "rust ok, js FAILED, browser skipped (no Chromium)");
    }

    #[test]
    fn skipping_fails_only_where_it_is_said_to() {
        let mut summary = Summary::default();
        summary.add("rust", Outcome::Ok);
        summary.add("js", Outcome::Skipped("no Node"));
        assert!(summary.is_success(false));
        assert!(!summary.is_success(true));
    }

    #[test]
    fn failure_is_never_a_success() {
        let mut summary = Summary::default();
        summary.add("rust", Outcome::Failed);
        assert!(!summary.is_success(false));
    }
}
