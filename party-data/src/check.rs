//! `party-data check`: whether a folder is whole.

use std::io::{self, Write};
use std::process::ExitCode;

use partyrs_runtime::storage::{self, CheckReport, Defect};

use crate::args::Check;
use crate::{Failure, refusal};

pub(crate) fn run(check: &Check) -> Result<ExitCode, Failure> {
    let folder = &check.folder;
    let report = storage::check(folder).map_err(|error| Failure::Told(refusal(&error)))?;
    let CheckReport { defects, rooms_count, entries_count, alarms_count, .. } = &report;
    let mut out = io::stdout().lock();
    let mut write = |line: String| writeln!(out, "{line}").map_err(Failure::Output);
    for defect in defects {
        write(defect.to_string())?;
    }
    write(format!(
        "checked: rooms {rooms_count}, alarms {alarms_count}, keys {entries_count}, defects {}",
        defects.len()
    ))?;
    if defects.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    if *defects == [Defect::Repaired] {
        write("what to do: check again, and compare with a backup if you have one".to_owned())?;
    } else {
        write(format!(
            "what to do: restore a backup; or bring what can be read into another folder, which leaves behind what has no room:\n  party-data export {0} -o copy.ndjson && party-data import NEW_FOLDER copy.ndjson",
            folder.display()
        ))?;
    }
    Ok(ExitCode::FAILURE)
}
