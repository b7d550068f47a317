//! The files that are kept beside the code.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Break, Document};

/// Says what [`Document::keep`] is to do with files that are not what the code says.
const VARIABLE: &str = "PARTYRS_PROTOCOL";

/// The files are not what the code says, or could not be read or written.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum KeepError {
    /// Clients that know the protocol which is in the file would no longer understand the room, or the room them.
    #[error("{}", tell_breaks(.path, .breaks))]
    Breaks {
        /// The file.
        path: PathBuf,
        /// What breaks.
        breaks: Vec<Break>,
    },
    /// There is no JSON file, so it is not known what clients know.
    #[error("{} is not there, so nothing tells what clients know; to begin with what the code says, run this with {VARIABLE}=write", .path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The files are not there or not what the code says, in a way that breaks nothing.
    #[error(
        "{} {} not what the code says. Nothing breaks; to write the files anew, run this with {VARIABLE}=write",
        list(.paths), if .paths.len() == 1 { "is" } else { "are" }
    )]
    Stale {
        /// The files.
        paths: Vec<PathBuf>,
    },
    /// The JSON file has another content, such as that of a merge that is not done.
    #[error(
        "{path}: {reason}. Put back the one that clients know; if there is none, remove it and run this with {VARIABLE}=write"
    )]
    Unreadable {
        /// The file, as text.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file could not be read or written.
    #[error("{path} could not be read or written: {error}")]
    Io {
        /// The file, as text.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// The variable has a value that means nothing.
    #[error("{VARIABLE}={0} means nothing; it may be `write` or `break`")]
    Variable(String),
}

/// A test that returns it shows what is wrong, and not how it is stored.
impl fmt::Debug for KeepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What becomes of files that are not what the code says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// They stay as they are, and it is an error.
    Check,
    /// They are written anew, unless that breaks something.
    Write,
    /// They are written anew.
    WriteBreaks,
}

impl Document {
    /// Keeps `<party>.json` and `<party>.ts` in `folder` in step with the code, as the environment
    /// variable `PARTYRS_PROTOCOL` says: without it, files that differ are an error; `write` writes
    /// them, unless that breaks something; `break` does so even then.
    ///
    /// A relative folder counts from the current one, which for tests is that of the package.
    ///
    /// # Errors
    ///
    /// [`KeepError`] if the files differ and are not to be written, if a change breaks clients, or if
    /// the files cannot be read or written.
    pub fn keep(&self, folder: impl AsRef<Path>) -> Result<(), KeepError> {
        self.keep_as(folder, Keep::of(std::env::var_os(VARIABLE).as_deref())?)
    }

    /// The same, where the caller says what is to be done.
    ///
    /// # Errors
    ///
    /// As [`Document::keep`].
    pub fn keep_as(&self, folder: impl AsRef<Path>, keep: Keep) -> Result<(), KeepError> {
        let folder = folder.as_ref();
        let file = |ending: &str| folder.join(format!("{}.{ending}", self.party()));
        // The JSON comes last: while it is the earlier one, a break is still seen.
        let files = [(file("ts"), self.to_typescript()), (file("json"), self.to_json())];
        let [_, (path, _)] = &files;
        match read(path)? {
            Some(earlier) => {
                let breaks = self.breaks_since(&known(path, &earlier)?);
                if !breaks.is_empty() && keep != Keep::WriteBreaks {
                    return Err(KeepError::Breaks { path: path.clone(), breaks });
                }
            }
            None if keep == Keep::Check => return Err(KeepError::Missing { path: path.clone() }),
            None => {}
        }
        let mut stale = Vec::new();
        for (path, text) in files {
            if read(&path)?.is_some_and(|found| found == text) {
                continue;
            }
            if keep == Keep::Check {
                stale.push(path);
            } else {
                let written = fs::create_dir_all(folder).and_then(|()| fs::write(&path, text));
                written.map_err(|error| KeepError::io(&path, error))?;
            }
        }
        if stale.is_empty() { Ok(()) } else { Err(KeepError::Stale { paths: stale }) }
    }
}

impl Keep {
    /// What the variable says.
    fn of(variable: Option<&OsStr>) -> Result<Self, KeepError> {
        match variable.map(OsStr::to_string_lossy).as_deref() {
            None | Some("") => Ok(Self::Check),
            Some("write") => Ok(Self::Write),
            Some("break") => Ok(Self::WriteBreaks),
            Some(other) => Err(KeepError::Variable(other.to_owned())),
        }
    }
}

impl KeepError {
    fn io(path: &Path, error: io::Error) -> Self {
        Self::Io { path: path.display().to_string(), error }
    }
}

/// What clients know.
fn known(path: &Path, text: &str) -> Result<Document, KeepError> {
    let is_mark = |line: &str| ["<<<<<<< ", ">>>>>>> "].iter().any(|mark| line.starts_with(mark));
    let document = match text.lines().any(is_mark) {
        true => Err("it has the marks of a merge that is not done".to_owned()),
        false => Document::from_json(text).map_err(|error| error.to_string()),
    };
    document.map_err(|reason| KeepError::Unreadable { path: path.display().to_string(), reason })
}

/// What is in the file, if it is there. Lines may end as they do on the machine.
fn read(path: &Path) -> Result<Option<String>, KeepError> {
    match fs::read(path) {
        Ok(text) => Ok(Some(String::from_utf8_lossy(&text).replace("\r\n", "\n"))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(KeepError::io(path, error)),
    }
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" and ")
}

fn tell_breaks(path: &Path, breaks: &[Break]) -> String {
    let list: String = breaks.iter().map(|found| format!("\n  - {found}")).collect();
    format!(
        "clients that know the protocol in {} would break:{list}\n\
         What breaks nothing: a key that clients may leave out (`Option`, `default`), an earlier name that stays \
         (`alias`), a message that only clients send.\n\
         If that is meant, because no such clients are left or they can do without, run this with {VARIABLE}=break",
        path.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_says_what_becomes_of_files() {
        let keep = |variable: Option<&str>| Keep::of(variable.map(OsStr::new));
        for variable in [None, Some("")] {
            assert!(matches!(keep(variable), Ok(Keep::Check)));
        }
        assert!(matches!(keep(Some("write")), Ok(Keep::Write)));
        assert!(matches!(keep(Some("break")), Ok(Keep::WriteBreaks)));
        for wrong in ["1", "Write", " write", "écrire"] {
            let expected = format!("PARTYRS_PROTOCOL={wrong} means nothing; it may be `write` or `break`");
            assert_eq!(keep(Some(wrong)).map_err(|error| error.to_string()), Err(expected));
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_variable_that_is_no_text_is_wrong_too() {
        use std::os::unix::ffi::OsStrExt;
        assert!(matches!(Keep::of(Some(OsStr::from_bytes(b"\xff"))), Err(KeepError::Variable(_))));
    }
}
