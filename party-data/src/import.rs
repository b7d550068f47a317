//! `party-data import`: bringing a copy in.

use std::io::{self, Write};
use std::path::Path;

use partyrs::storage::{MemoryEngine, StorageEngine};
use partyrs_runtime::backup::{self, ImportError};
use partyrs_runtime::storage::{OpenError, RedbEngine};
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncSeekExt, AsyncWriteExt, BufReader, stdin};

use crate::args::Import;
use crate::{Failure, refusal};

/// Where a copy comes from.
enum Copy {
    /// It can be read twice.
    File(File),
    /// It comes once.
    Stream(Box<dyn AsyncRead + Unpin>),
}

pub(crate) async fn run(asked: Import) -> Result<(), Failure> {
    let copy = Copy::open(&asked).await?;
    let mut import = backup::Import::default();
    import.selection = asked.which.selection();
    import.replace = asked.replace;
    import.limits.key_bytes_max = asked.key_bytes_max.unwrap_or(import.limits.key_bytes_max);
    import.limits.value_bytes_max = asked.value_bytes_max.unwrap_or(import.limits.value_bytes_max);
    let imported = match copy {
        Copy::File(mut file) => {
            // Of a copy that is damaged nothing comes in, and no folder is made for it.
            rehearse(&import, &asked.folder, &mut file).await?;
            let unreadable = |error| Failure::Told(format!("the copy cannot be read again: {error}"));
            file.rewind().await.map_err(unreadable)?;
            let engine = RedbEngine::open(&asked.folder).map_err(|error| Failure::Told(refusal(&error)))?;
            import.run(&engine, BufReader::new(file)).await
        }
        Copy::Stream(stream) => {
            let engine = RedbEngine::open(&asked.folder).map_err(|error| Failure::Told(refusal(&error)))?;
            import.run(&engine, BufReader::new(stream)).await
        }
    };
    let imported = imported.map_err(|error| Failure::Told(failed(&error)))?;
    if imported.counts.rooms == 0 {
        must_be_all(&import)?;
    }
    // Nobody may be there to read it.
    let _ =
        writeln!(io::stderr(), "imported: {}; replaced: rooms {}", imported.counts, imported.replaced_count);
    Ok(())
}

impl Copy {
    async fn open(asked: &Import) -> Result<Self, Failure> {
        let stream: Box<dyn AsyncRead + Unpin> = match &asked.file {
            Some(path) => {
                let unreadable = |error| Failure::Told(format!("{} cannot be read: {error}", path.display()));
                let file = File::open(path).await.map_err(unreadable)?;
                // A pipe can have a name too.
                match file.metadata().await.map_err(unreadable)? {
                    found if found.is_file() => return Ok(Self::File(file)),
                    found if found.is_dir() => return Err(unreadable(io::ErrorKind::IsADirectory.into())),
                    _ => Box::new(file),
                }
            }
            None => Box::new(stdin()),
        };
        // What comes in takes the place of what is there, so it is to be whole first.
        match asked.replace && asked.folder.is_dir() {
            true => keep(stream, &asked.folder).await.map(Self::File),
            false => Ok(Self::Stream(stream)),
        }
    }
}

/// Where the data will need as much room again; the file has no name, and ends with the program.
async fn keep(mut stream: impl AsyncRead + Unpin, folder: &Path) -> Result<File, Failure> {
    let unkept = |error| {
        Failure::Told(format!("the copy cannot be kept in {} until it is whole: {error}", folder.display()))
    };
    let mut file = File::from_std(tempfile::tempfile_in(folder).map_err(unkept)?);
    tokio::io::copy(&mut stream, &mut file).await.map_err(unkept)?;
    file.flush().await.map_err(unkept)?;
    file.rewind().await.map_err(unkept)?;
    Ok(file)
}

async fn rehearse(import: &backup::Import, folder: &Path, file: &mut File) -> Result<(), Failure> {
    let engine: Box<dyn StorageEngine> = match RedbEngine::open_existing(folder) {
        Ok(engine) => Box::new(engine),
        Err(OpenError::Missing { .. }) => Box::new(MemoryEngine::new()),
        Err(error) => return Err(Failure::Told(refusal(&error))),
    };
    let rehearsed = import.rehearse(&*engine, BufReader::new(file)).await;
    let counts = rehearsed.map_err(|error| Failure::Told(failed(&error)))?;
    if counts.rooms == 0 { must_be_all(import) } else { Ok(()) }
}

/// A copy may have no rooms, but not be asked for one that it has not.
fn must_be_all(import: &backup::Import) -> Result<(), Failure> {
    match import.selection {
        backup::Selection::All => Ok(()),
        _ => Err(Failure::Told("the copy has no such room".to_owned())),
    }
}

fn failed(error: &ImportError) -> String {
    let imported = &error.imported;
    let done = match &imported.last {
        None => "nothing was imported".to_owned(),
        Some(last) => {
            format!("imported before: rooms {}, whole, the last is {last}", imported.counts.rooms)
        }
    };
    let partial = imported.partial.as_ref().map(|room| {
        format!("; a part of room {room} could not be removed again, import it anew with --replace")
    });
    let lost = imported.lost.as_ref().map(|room| {
        format!("; room {room} was being replaced, and what it had before is gone, import it anew from a copy that is whole")
    });
    format!("{error}; {done}{}{}", partial.unwrap_or_default(), lost.unwrap_or_default())
}
