//! What hosts of this process log, for tests that ask for it.

use std::io::{self, Write};
use std::sync::{Mutex, Once, PoisonError};

use tracing_subscriber::fmt::MakeWriter;

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Notes lines instead of printing them.
struct Notebook;

/// From now on whatever is logged is also written, and so that tests may ask for it, kept.
pub(crate) fn keep() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| tracing_subscriber::fmt().with_writer(Notebook).with_ansi(false).init());
}

/// The lines kept so far in which `text` stands. All tests log to one place: ask for a name of your own.
pub(crate) fn lines_with(text: &str) -> Vec<String> {
    let lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    lines.iter().filter(|line| line.contains(text)).cloned().collect()
}

impl Write for Notebook {
    /// One event is written in one go.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push(String::from_utf8_lossy(line).into_owned());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Notebook {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        Self
    }
}
