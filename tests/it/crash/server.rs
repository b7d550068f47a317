//! A server of ledgers in a process of its own, which is this test program once more.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use partyrs::storage::StorageEngine;
use partyrs_runtime::storage::RedbEngine;
use partyrs_runtime::testing::soon;

use super::faults::{self, Fault};
use super::ledger::{self, Plan};

const DATA: &str = "PARTYRS_CRASH_DATA";
const FAULT: &str = "PARTYRS_CRASH_FAULT";

/// What the process says when it accepts connections, before its address.
const LISTENS: &str = "ledgers at ";

/// A server process; killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) addr: SocketAddr,
}

impl Server {
    /// Starts a server on this folder and waits until it accepts connections.
    pub(crate) async fn start(data: &Path, fault: Option<Fault>) -> Self {
        let mut child = spawn(data, fault);
        let said = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let listens =
            move || said.map_while(Result::ok).find_map(|line| line.split_once(LISTENS)?.1.parse().ok());
        let addr = soon(tokio::task::spawn_blocking(listens)).await.expect("lines of text");
        Self { child, addr: addr.expect("an address, on which it listens") }
    }

    /// Kill -9.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it has ended");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has been killed already, in most cases.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a server that is killed before it may be of use: at the latest when the data is read.
pub(crate) fn spawn(data: &Path, fault: Option<Fault>) -> Child {
    let mut command = Command::new(std::env::current_exe().expect("the path of this test"));
    command.args([
        "--ignored",
        "--exact",
        "--nocapture",
        "crash::server::serves_ledgers_in_a_process_of_its_own",
    ]);
    if let Some(fault) = fault {
        command.env(FAULT, fault.name());
    }
    command.env(DATA, data).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    command.spawn().expect("this test starts once more")
}

#[test]
#[ignore = "is the server that the crash tests start"]
fn serves_ledgers_in_a_process_of_its_own() {
    let data = std::env::var_os(DATA).expect("the folder of its data");
    let fault = std::env::var(FAULT).ok().map(|name| Fault::named(&name).expect("a fault"));
    // Whoever started it holds the other end, so it does not outlive that.
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let engine: Arc<dyn StorageEngine> = Arc::new(RedbEngine::open(Path::new(&data)).unwrap());
        let host = ledger::host(&Plan::of(fault)).storage(faults::plant(fault, engine)).build().unwrap();
        let running = host.start_at(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        println!("{LISTENS}{}", running.addr().expect("a port"));
        running.stopped_by(std::future::pending()).await.unwrap();
    });
}
