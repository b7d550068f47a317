//! `party-data import`: bringing a copy in.

use std::io::{self, Write};
use std::path::Path;

use partyrs::storage::{MemoryEngine, StorageEngine};
use partyrs_runtime::backup::{self, ImportError};
use partyrs_runtime::storage::{OpenError, RedbEngine};
use tokio::fs::File;
use tokio::io::{BufReader, stdin};

use crate::args::Import;
use crate::{Failure, refusal};

pub(crate) async fn run(asked: Import) -> Result<(), Failure> {
    let mut import = backup::Import::default();
    import.selection = asked.which.selection();
    import.replace = asked.replace;
    import.limits.key_bytes_max = asked.key_bytes_max.unwrap_or(import.limits.key_bytes_max);
    import.limits.value_bytes_max = asked.value_bytes_max.unwrap_or(import.limits.value_bytes_max);
    let imported = match &asked.file {
        Some(file) => {
            // Of a copy that is damaged nothing comes in, and no folder is made for it.
            rehearse(&import, &asked.folder, file).await?;
            let engine = RedbEngine::open(&asked.folder).map_err(|error| Failure::Told(refusal(&error)))?;
            import.run(&engine, read(file).await?).await
        }
        None => {
            let engine = RedbEngine::open(&asked.folder).map_err(|error| Failure::Told(refusal(&error)))?;
            import.run(&engine, BufReader::new(stdin())).await
        }
    };
    let imported = imported.map_err(|error| Failure::Told(failed(&error)))?;
    // Nobody may be there to read it.
    let _ =
        writeln!(io::stderr(), "imported: {}; replaced: rooms {}", imported.counts, imported.replaced_count);
    Ok(())
}

async fn rehearse(import: &backup::Import, folder: &Path, file: &Path) -> Result<(), Failure> {
    let engine: Box<dyn StorageEngine> = match RedbEngine::open_existing(folder) {
        Ok(engine) => Box::new(engine),
        Err(OpenError::Missing { .. }) => Box::new(MemoryEngine::new()),
        Err(error) => return Err(Failure::Told(refusal(&error))),
    };
    let rehearsed = import.rehearse(&*engine, read(file).await?).await;
    let counts = rehearsed.map_err(|error| Failure::Told(failed(&error)))?;
    if counts.rooms == 0 && import.selection != backup::Selection::All {
        return Err(Failure::Told(format!("{} has no such room", file.display())));
    }
    Ok(())
}

async fn read(file: &Path) -> Result<BufReader<File>, Failure> {
    let unreadable = |error| Failure::Told(format!("{} cannot be read: {error}", file.display()));
    Ok(BufReader::new(File::open(file).await.map_err(unreadable)?))
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
    format!("{error}; {done}{}", partial.unwrap_or_default())
}
