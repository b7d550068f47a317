//! `cargo xtask bench-open`: how long a data folder with many rooms takes to open, after an end in
//! order and after kill -9, and how much memory that takes.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{Result, step, workspace::Workspace};

/// How long it stores before it is killed.
const STORES_FOR: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many rooms have stored something
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    rooms: usize,
    /// How many keys each of them has
    #[arg(long, value_name = "N", default_value_t = 10)]
    keys: usize,
    /// How often the folder is opened
    #[arg(long, value_name = "N", default_value_t = 5)]
    repetitions: usize,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<bool> {
    let mut command = workspace.cargo();
    command.args(["build", "--release", "--package", "partyrs-examples", "--bin", "bench-open"]);
    if !step::run("partyrs", &mut command) {
        return Err("bench-open does not build".into());
    }
    let program = workspace.target("release").join("bench-open");
    let folder = workspace.target("bench-open");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    let Options { rooms, keys, .. } = options;
    println!("\n{rooms} rooms with {keys} keys of 100 bytes each");
    let mut filling = Command::new(&program);
    filling.arg("fill").arg(&folder).args([rooms.to_string(), keys.to_string()]);
    let mut filling = filling.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut said = BufReader::new(filling.stdout.take().ok_or("it says nothing")?);
    let begun = Instant::now();
    let filled = wait_for(&mut said, "filled")
        .map(|()| println!("filled by {rooms} commits in {:.1} s", begun.elapsed().as_secs_f64()))
        .and_then(|()| open(&program, &folder, options, "after an end in order"))
        // It goes on when its input ends.
        .map(|()| drop(filling.stdin.take()))
        .and_then(|()| wait_for(&mut said, "storing"));
    thread::sleep(STORES_FOR);
    kill(filling)?;
    filled?;
    open(&program, &folder, options, "after kill -9 while it stored")?;
    fs::remove_dir_all(&folder)?;
    Ok(true)
}

fn wait_for(said: &mut BufReader<ChildStdout>, word: &str) -> Result<()> {
    let mut line = String::new();
    said.read_line(&mut line)?;
    if line.trim() == word { Ok(()) } else { Err(format!("it did not say {word:?}, but {line:?}").into()) }
}

fn kill(mut process: Child) -> Result<()> {
    process.kill()?;
    process.wait()?;
    Ok(())
}

/// Opens the folder again and again, and shows what each opening took.
fn open(program: &Path, folder: &Path, options: &Options, when: &str) -> Result<()> {
    println!("\n{when}:");
    for _ in 0..options.repetitions {
        let output = Command::new(program).arg("open").arg(folder).stderr(Stdio::inherit()).output()?;
        let said: Value = serde_json::from_slice(&output.stdout)?;
        if said["keys_of_a_room"].as_u64() != Some(options.keys as u64) {
            return Err(format!("a room has not the keys that it should have: {said}").into());
        }
        let figure = |name: &str| said[name].as_f64().unwrap_or(f64::NAN);
        println!(
            "  open {:6.1} ms, {:5.1} MB resident, then a room with its keys {:4.1} ms, a lone commit {:5.2} ms",
            figure("open_ms"),
            figure("resident_mb"),
            figure("start_ms"),
            figure("commit_ms")
        );
    }
    Ok(())
}
