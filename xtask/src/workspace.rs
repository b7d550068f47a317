//! Where things lie in this repository, and the Cargo that builds them.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::Result;

/// The folders of this repository; both paths are absolute.
pub(crate) struct Workspace {
    /// The folder with the `Cargo.toml` of the workspace.
    root: PathBuf,
    /// Where Cargo puts what it builds: `CARGO_TARGET_DIR`, a setting of Cargo, or `target`.
    target: PathBuf,
}

impl Workspace {
    /// Asks Cargo, which alone knows all the places where the target folder may be set.
    ///
    /// # Errors
    ///
    /// If Cargo does not run or refuses the workspace.
    pub(crate) fn find() -> Result<Self> {
        let output = cargo().args(["metadata", "--no-deps", "--format-version", "1"]).output()?;
        if !output.status.success() {
            return Err(format!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr)).into());
        }
        let metadata: Value = serde_json::from_slice(&output.stdout)?;
        let folder = |key: &str| {
            metadata[key].as_str().map(PathBuf::from).ok_or(format!("cargo metadata tells no `{key}`"))
        };
        Ok(Self { root: folder("workspace_root")?, target: folder("target_directory")? })
    }

    /// Cargo, called at the top of the workspace.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = cargo();
        command.current_dir(&self.root);
        command
    }

    /// The file or folder at `path`, given from the top of the workspace.
    pub(crate) fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.root.join(path)
    }

    /// The file or folder at `path`, given from the target folder.
    pub(crate) fn target(&self, path: impl AsRef<Path>) -> PathBuf {
        self.target.join(path)
    }
}

/// The Cargo that runs this program.
fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}
