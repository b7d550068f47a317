//! `party-data export`: a copy as lines of JSON.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::time::SystemTime;

use partyrs_runtime::backup;
use tempfile::NamedTempFile;

use crate::args::Export;
use crate::{Failure, open};

pub(crate) async fn run(asked: Export) -> Result<(), Failure> {
    let engine = open(&asked.folder)?;
    let mut export = backup::Export::begin(&engine, asked.which.selection(), SystemTime::now()).await?;
    match &asked.output {
        None => write(&mut export, &mut io::stdout().lock()).await?,
        // Not a pipe or a device, which nothing may be put in the place of.
        Some(path) if fs::metadata(path).is_ok_and(|found| !found.is_file()) => {
            let mut file = fs::OpenOptions::new().write(true).open(path).map_err(unwritable(path))?;
            write(&mut export, &mut file).await?;
        }
        Some(path) => write_file(&mut export, path).await?,
    }
    // Nobody may be there to read it.
    let _ = writeln!(io::stderr(), "exported: {}", export.counts());
    Ok(())
}

async fn write(export: &mut backup::Export, to: &mut impl Write) -> Result<(), Failure> {
    while let Some(lines) = export.next().await? {
        to.write_all(&lines).map_err(Failure::Output)?;
    }
    to.flush().map_err(Failure::Output)
}

/// Under another name until it is whole and on disk: an older copy stays until then.
async fn write_file(export: &mut backup::Export, path: &Path) -> Result<(), Failure> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = NamedTempFile::new_in(folder).map_err(unwritable(path))?;
    write(export, &mut file).await?;
    file.as_file().sync_all().map_err(unwritable(path))?;
    file.persist(path).map_err(|error| unwritable(path)(error.error))?;
    Ok(())
}

fn unwritable(path: &Path) -> impl FnOnce(io::Error) -> Failure {
    move |error| Failure::Told(format!("{} cannot be written: {error}", path.display()))
}
