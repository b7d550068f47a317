//! `cargo xtask bench`: what a delivery costs, beside the least that it can cost.
//!
//! The floor is `bench/limit`, one thread and one epoll loop without any framework. Figures of this
//! kind depend on what else the machine does, so a figure alone says little: in each repetition all
//! servers are measured one after another, and the ratio is taken inside that repetition.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use clap::ValueEnum;
use serde_json::Value;

use crate::{Result, step, workspace::Workspace};

/// A run of the load generator that takes longer ends itself and counts as invalid.
const RUN_LIMIT_S: u32 = 60;
const START_LIMIT: Duration = Duration::from_secs(10);
const PROBE_EVERY: Duration = Duration::from_millis(20);

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How often every cell is measured on every server
    #[arg(long, value_name = "N", default_value_t = 5)]
    repetitions: usize,
    /// What is measured
    #[arg(long, value_name = "CELL", value_delimiter = ',', default_values = ["fan100", "fan1000", "burst", "echo"])]
    cells: Vec<Cell>,
    /// The Cargo profile in which partyrs is built
    #[arg(long, value_name = "NAME", default_value = "release")]
    profile: String,
    /// Measure the floor alone
    #[arg(long)]
    floor_only: bool,
}

/// One kind of load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Cell {
    /// 100 connections in one room, one message under way
    Fan100,
    /// 1000 connections in one room, one message under way
    Fan1000,
    /// 100 connections in one room, 20 senders, 16 messages under way
    Burst,
    /// 64 connections, each its own message back
    Echo,
}

/// A server to be measured.
struct Server {
    name: &'static str,
    program: PathBuf,
    /// What its command line says after or before the port.
    arguments: fn(port: u16) -> Vec<String>,
}

/// A server under measurement; its process ends with this value.
struct Running {
    process: Child,
    port: u16,
}

/// The load generator.
struct Load {
    program: PathBuf,
}

/// CPU seconds per million deliveries; `None` where the run was no measurement.
type Cost = Option<f64>;

/// All costs of one cell: for each server, one per repetition.
struct Row {
    cell: Cell,
    costs: Vec<Vec<Cost>>,
}

/// Returns whether every run was a measurement.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<bool> {
    let (load, servers) = build(workspace, options)?;
    let mut rows: Vec<Row> = options.cells.iter().map(|&cell| Row::new(cell, servers.len())).collect();
    for repetition in 1..=options.repetitions {
        for (index, server) in servers.iter().enumerate() {
            println!("repetition {repetition} of {}: {}", options.repetitions, server.name);
            let running = server.start()?;
            load.warm_up(&running)?;
            for row in &mut rows {
                row.costs[index].push(load.measure(&running, row.cell)?);
            }
        }
    }
    println!(
        "\nCPU seconds of the server per million deliveries (echo: echoes), median of {} runs,",
        options.repetitions
    );
    println!("and the median ratio to the floor within a repetition:\n\n{}", table(&servers, &rows));
    Ok(rows.iter().all(|row| row.costs.iter().flatten().all(Option::is_some)))
}

/// Builds the load generator and the servers.
fn build(workspace: &Workspace, options: &Options) -> Result<(Load, Vec<Server>)> {
    let target = workspace.target("bench");
    for manifest in ["bench/load/Cargo.toml", "bench/limit/Cargo.toml"] {
        let mut command = workspace.cargo();
        command.args(["build", "--release", "--locked", "--manifest-path", manifest, "--target-dir"]);
        if !step::run(manifest, command.arg(&target)) {
            return Err(format!("{manifest} does not build").into());
        }
    }
    let load = Load { program: target.join("release/load") };
    let mut servers = vec![Server {
        name: "limit coalesce",
        program: target.join("release/limit"),
        arguments: |port| vec![port.to_string(), "coalesce".into()],
    }];
    if !options.floor_only {
        let mut command = workspace.cargo();
        command.args([
            "build",
            "--package",
            "partyrs-examples",
            "--bin",
            "bench",
            "--profile",
            &options.profile,
        ]);
        if !step::run("partyrs", &mut command) {
            return Err("the bench server of partyrs does not build".into());
        }
        let program = workspace.target(&options.profile).join("bench");
        let one = |port: u16| vec![port.to_string(), "1".into()];
        let two = |port: u16| vec![port.to_string(), "2".into()];
        servers.push(Server { name: "partyrs, 1 shard", program: program.clone(), arguments: one });
        servers.push(Server { name: "partyrs, 2 shards", program, arguments: two });
    }
    Ok((load, servers))
}

impl Cell {
    /// What the load generator is told; the sizes are its defaults of 100 bytes.
    fn load(self) -> &'static str {
        match self {
            Self::Fan100 => "fanout --conns 100 --msgs 1500",
            Self::Fan1000 => "fanout --conns 1000 --msgs 150",
            Self::Burst => "fanout --conns 100 --senders 20 --window 16 --msgs 2000",
            Self::Echo => "echo --conns 64 --msgs 40000",
        }
    }

    /// The party that the load is put on.
    fn party(self) -> &'static str {
        match self {
            Self::Fan100 | Self::Fan1000 | Self::Burst => "main",
            Self::Echo => "echo",
        }
    }

    fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

impl Server {
    /// Starts it on a free port and waits until it answers.
    fn start(&self) -> Result<Running> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        // 1000 connections need more descriptors than many systems give a program at first. `exec`
        // keeps the id of the process, by which the load generator reads the server's CPU clock.
        let process = Command::new("sh")
            .args(["-c", r#"ulimit -n "$(ulimit -Hn)"; exec "$0" "$@""#])
            .arg(&self.program)
            .args((self.arguments)(port))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()?;
        let mut running = Running { process, port };
        running.wait_until_ready(self.name)?;
        Ok(running)
    }
}

impl Running {
    fn wait_until_ready(&mut self, name: &str) -> Result<()> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let start = Instant::now();
        while TcpStream::connect(address).is_err() {
            if let Some(status) = self.process.try_wait()? {
                return Err(format!("{name} ended before it served: {status}").into());
            }
            if start.elapsed() > START_LIMIT {
                return Err(format!("{name} does not answer on port {}", self.port).into());
            }
            thread::sleep(PROBE_EVERY);
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has nothing to save; if it is gone already, so much the better.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Load {
    /// Lets the server allocate what it keeps, so that the first cell is not dearer than the others.
    fn warm_up(&self, server: &Running) -> Result<()> {
        self.put_on(server, "fanout --conns 50 --msgs 200", "main").map(drop)
    }

    fn measure(&self, server: &Running, cell: Cell) -> Result<Cost> {
        let report = self.put_on(server, cell.load(), cell.party())?;
        let cost = cost(&report);
        match cost {
            Some(cost) => println!("  {:8} {cost:.2}", cell.name()),
            None => println!("  {:8} no measurement: {report}", cell.name()),
        }
        Ok(cost)
    }

    /// Runs the generator once; its report, or null if it made none.
    fn put_on(&self, server: &Running, load: &str, party: &str) -> Result<Value> {
        let url = format!("ws://127.0.0.1:{}/parties/{party}/{{room}}", server.port);
        let output = Command::new(&self.program)
            .args(load.split(' '))
            .args(["--url", &url, "--pid", &server.process.id().to_string()])
            .args(["--limit", &RUN_LIMIT_S.to_string()])
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()?;
        Ok(serde_json::from_slice(&output.stdout).unwrap_or(Value::Null))
    }
}

impl Row {
    fn new(cell: Cell, servers: usize) -> Self {
        Self { cell, costs: vec![Vec::new(); servers] }
    }
}

/// The cost that a report tells. A run that lost, swapped or broke a message measured nothing.
fn cost(report: &Value) -> Cost {
    let is_flawed =
        ["lost", "misordered", "bad", "closed"].iter().any(|key| report[key].as_i64().unwrap_or(0) != 0);
    if is_flawed || report["timed_out"] != Value::Bool(false) {
        return None;
    }
    report["cpu_s_per_million"].as_f64()
}

/// The table, one line per cell; the first server is the floor.
fn table(servers: &[Server], rows: &[Row]) -> String {
    let mut text = String::from("| cell |");
    for (index, server) in servers.iter().enumerate() {
        text += &format!(" {} |", server.name);
        if index > 0 {
            text += " ratio |";
        }
    }
    let columns = text.matches('|').count() - 1;
    text += &format!("\n|{}\n", "---|".repeat(columns));
    for row in rows {
        text += &format!("| {} |", row.cell.name());
        let Some((floor, _)) = row.costs.split_first() else { continue };
        for (index, costs) in row.costs.iter().enumerate() {
            text += &format!(" {} |", figure(costs));
            if index > 0 {
                text += &format!(" {} |", figure(&ratios(costs, floor)));
            }
        }
        text.push('\n');
    }
    text
}

/// What each repetition cost as a multiple of the floor in the same repetition.
fn ratios(costs: &[Cost], floor: &[Cost]) -> Vec<Cost> {
    costs.iter().zip(floor).map(|(cost, floor)| Some((*cost)? / (*floor)?)).collect()
}

/// The median of what was measured, and how much that is if it is not all.
fn figure(values: &[Cost]) -> String {
    let valid: Vec<f64> = values.iter().copied().flatten().collect();
    match median(&valid) {
        None => "-".into(),
        Some(median) if valid.len() == values.len() => format!("{median:.2}"),
        Some(median) => format!("{median:.2} ({} of {} valid)", valid.len(), values.len()),
    }
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    let lower = *sorted.get(sorted.len().checked_sub(1)? / 2)?;
    Some((lower + upper) / 2.0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn median_is_the_middle_or_the_mean_of_the_two_in_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 9.0]), Some(3.0));
    }

    #[test]
    fn ratio_is_taken_within_a_repetition() {
        let ratios = ratios(&[Some(2.0), None, Some(9.0)], &[Some(1.0), Some(1.0), Some(3.0)]);
        assert_eq!(ratios, [Some(2.0), None, Some(3.0)]);
    }

    #[test]
    fn flawed_run_is_no_measurement() {
        let sound = json!({ "timed_out": false, "lost": 0, "misordered": 0, "cpu_s_per_million": 4.5 });
        assert_eq!(cost(&sound), Some(4.5));
        for (key, value) in [("lost", json!(1)), ("misordered", json!(2)), ("timed_out", json!(true))] {
            let mut flawed = sound.clone();
            flawed[key] = value;
            assert_eq!(cost(&flawed), None, "{key}");
        }
        assert_eq!(cost(&Value::Null), None);
    }

    #[test]
    fn table_has_a_ratio_beside_every_server_but_the_floor() {
        let server = |name| Server { name, program: PathBuf::new(), arguments: |_| Vec::new() };
        let rows =
            [Row { cell: Cell::Fan100, costs: vec![vec![Some(4.0), Some(5.0)], vec![Some(6.0), None]] }];
        assert_eq!(
            table(&[server("floor"), server("ours")], &rows),
            "| cell | floor | ours | ratio |\n\
             |---|---|---|---|\n\
             | fan100 | 4.50 | 6.00 (1 of 2 valid) | 1.50 (1 of 2 valid) |\n"
        );
    }
}
