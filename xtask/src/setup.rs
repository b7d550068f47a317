//! `cargo xtask setup`: what the tests need besides Rust.
//!
//! It installs by the system's package manager where this user may, and else says the command for
//! it. Each thing takes one line: what was found, what was installed, or what is lacking.
//!
//! The difficulty is Node: Debian 12 has one that is too old. Then npm, which came with it, installs
//! a newer one beside it.

use std::{
    cell::OnceCell,
    env, fmt,
    path::{Path, PathBuf},
    process::Command,
};

use crate::workspace::Workspace;

/// The oldest Node that runs the tests: the first 20 with `--test-timeout`.
const NODE_MIN: Version = Version { major: 20, minor: 11 };
const CHROMIUM: &str = "/usr/bin/chromium";

/// What this machine has of what the tests need.
pub(crate) struct Machine {
    /// Node, new enough, with npm.
    pub(crate) node: Option<Node>,
    /// Whether the packages of tests/js are installed as its lock file has them.
    pub(crate) packages: bool,
    /// Whether `curl` is there, with which a README posts.
    pub(crate) curl: bool,
    /// The browser's program.
    pub(crate) chromium: Option<PathBuf>,
}

/// A Node that is new enough.
pub(crate) struct Node {
    version: Version,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Version {
    major: u32,
    minor: u32,
}

/// Debian's package manager.
#[derive(Default)]
struct Apt {
    /// What stands before a command that needs root, `None` where this user may not; asked for once,
    /// and only when something is lacking.
    root: OnceCell<Option<&'static [&'static str]>>,
    /// Whether the lists of packages have been fetched.
    updated: bool,
}

/// Finds what is there, installs what is lacking where it may, and says so.
pub(crate) fn prepare(workspace: &Workspace) -> Machine {
    let mut apt = Apt::default();
    let node = prepare_node(&mut apt);
    let packages = node.is_some() && prepare_packages(workspace);
    let curl = prepare_curl(&mut apt);
    let chromium = prepare_chromium(&mut apt);
    Machine { node, packages, curl, chromium }
}

/// Looks for Node and the packages of tests/js, and installs nothing; an error is what is lacking.
pub(crate) fn find_node_with_packages(workspace: &Workspace) -> Result<Node, &'static str> {
    with_packages(find_node(), has_packages(workspace))
}

/// Node, if the packages are there too; else what is lacking.
fn with_packages<N>(node: Option<N>, packages: bool) -> Result<N, &'static str> {
    match node {
        None => Err("no Node with npm"),
        Some(_) if !packages => Err("no npm packages"),
        Some(node) => Ok(node),
    }
}

impl Machine {
    /// Node, if the packages of tests/js are there too; else what is lacking.
    pub(crate) fn node_with_packages(&self) -> Result<&Node, &'static str> {
        with_packages(self.node.as_ref(), self.packages)
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.node.is_some() && self.packages && self.curl && self.chromium.is_some()
    }
}

impl Node {
    /// The flag that gives this Node a global `WebSocket`, which later ones have without it.
    pub(crate) fn websocket_flag(&self) -> Option<&'static str> {
        (self.version.major < 22).then_some("--experimental-websocket")
    }
}

impl Version {
    /// Reads what `node --version` prints: `v20.11.1`.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().strip_prefix('v')?.split('.');
        Some(Self { major: parts.next()?.parse().ok()?, minor: parts.next()?.parse().ok()? })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl Apt {
    /// Installs `packages`; returns whether that was allowed and went well.
    fn install(&mut self, packages: &[&str]) -> bool {
        if self.root().is_some() {
            println!("setup: installing {} by apt-get", packages.join(" "));
        }
        let quietly = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--yes"];
        if !self.updated {
            // An old list may still do, so a failure here is left to the installation.
            self.as_root(&[&quietly[..], &["update"]].concat());
            self.updated = true;
        }
        self.as_root(&[&quietly[..], &["install", "--no-install-recommends"], packages].concat())
    }

    fn root(&self) -> Option<&'static [&'static str]> {
        *self.root.get_or_init(|| {
            text_of(Command::new("apt-get").arg("--version"))?;
            if text_of(Command::new("id").arg("-u"))? == "0" {
                return Some(&[]);
            }
            text_of(Command::new("sudo").args(["-n", "true"]))?;
            Some(&["sudo", "-n"])
        })
    }

    /// Runs `words` as root, if this user may; prints what they printed only if they fail.
    fn as_root(&self, words: &[&str]) -> bool {
        let Some(root) = self.root() else { return false };
        let words = [root, words].concat();
        let Some((program, arguments)) = words.split_first() else { return false };
        runs_quietly(Command::new(program).args(arguments))
    }
}

fn prepare_node(apt: &mut Apt) -> Option<Node> {
    let newer = format!("node-linux-{}@{}", node_architecture(), NODE_MIN.major);
    if let Some(node) = find_node() {
        println!("setup: found Node {} with npm", node.version);
        return Some(node);
    }
    let is_old = || node_version().is_none_or(|version| version < NODE_MIN);
    let lacking: &[&str] = if is_old() { &["nodejs", "npm"] } else { &["npm"] };
    if apt.install(lacking) && is_old() {
        apt.as_root(&["npm", "install", "--global", &newer]);
    }
    let installed = find_node();
    match &installed {
        Some(node) => println!("setup: installed Node {} with npm", node.version),
        None => {
            println!("setup: lacking Node {NODE_MIN} or newer with npm: `sudo apt-get install nodejs npm`,");
            println!("setup: and if that one is older: `sudo npm install --global {newer}`");
        }
    }
    installed
}

fn find_node() -> Option<Node> {
    let version = node_version()?;
    text_of(Command::new("npm").arg("--version"))?;
    (version >= NODE_MIN).then_some(Node { version })
}

fn prepare_packages(workspace: &Workspace) -> bool {
    if has_packages(workspace) {
        println!("setup: found the npm packages of tests/js");
        return true;
    }
    let installed = runs_quietly(Command::new("npm").arg("ci").current_dir(workspace.path("tests/js")));
    if installed {
        println!("setup: installed the npm packages of tests/js");
    } else {
        println!("setup: lacking the npm packages of tests/js: `npm ci --prefix tests/js`");
    }
    installed
}

/// Whether the packages are installed as the lock file has them.
fn has_packages(workspace: &Workspace) -> bool {
    let folder = workspace.path("tests/js");
    is_newer(&folder.join("node_modules/.package-lock.json"), &folder.join("package-lock.json"))
}

fn prepare_curl(apt: &mut Apt) -> bool {
    let is_there = || text_of(Command::new("curl").arg("--version")).is_some();
    if is_there() {
        println!("setup: found curl");
    } else if apt.install(&["curl"]) {
        println!("setup: installed curl");
    } else {
        println!("setup: lacking curl: `sudo apt-get install curl`");
    }
    is_there()
}

fn prepare_chromium(apt: &mut Apt) -> Option<PathBuf> {
    let chosen = env::var_os("CHROMIUM").filter(|path| !path.is_empty()).map(PathBuf::from);
    let program = chosen.as_deref().unwrap_or(Path::new(CHROMIUM));
    if program.is_file() {
        println!("setup: found the browser {}", program.display());
    } else if chosen.is_some() {
        println!("setup: lacking the browser that CHROMIUM names, {}", program.display());
    } else if apt.install(&["chromium"]) {
        println!("setup: installed the browser {}", program.display());
    } else {
        println!(
            "setup: lacking a browser: `sudo apt-get install chromium`, or set CHROMIUM to one that is there"
        );
    }
    program.is_file().then(|| program.to_owned())
}

fn node_version() -> Option<Version> {
    Version::parse(&text_of(Command::new("node").arg("--version"))?)
}

/// This machine's kind in the names that Node uses.
fn node_architecture() -> &'static str {
    match env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Whether both files are there and `file` is not older than `other`.
fn is_newer(file: &Path, other: &Path) -> bool {
    let modified = |path: &Path| path.metadata().and_then(|metadata| metadata.modified());
    matches!((modified(file), modified(other)), (Ok(file), Ok(other)) if file >= other)
}

/// What a program prints, without the space around it; `None` if it is not there or fails.
fn text_of(command: &mut Command) -> Option<String> {
    let output = command.output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Runs a command to its end; what it printed is shown only if it failed.
fn runs_quietly(command: &mut Command) -> bool {
    match command.output() {
        Ok(output) if output.status.success() => true,
        Ok(output) => {
            eprint!("{}", String::from_utf8_lossy(&output.stdout));
            eprint!("{}", String::from_utf8_lossy(&output.stderr));
            false
        }
        Err(error) => {
            eprintln!("{}: {error}", command.get_program().display());
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_is_read_as_node_prints_it() {
        assert_eq!(Version::parse("v20.11.1\n"), Some(Version { major: 20, minor: 11 }));
        assert_eq!(Version::parse("20.11.1"), None);
        assert_eq!(Version::parse("vNext"), None);
    }

    #[test]
    fn versions_compare_by_number() {
        let version = |text| Version::parse(text).unwrap();
        assert!(version("v20.9.0") < NODE_MIN);
        assert!(version("v22.0.0") > NODE_MIN);
    }
}
