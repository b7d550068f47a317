//! A disk in memory that fails when a test says so.

use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use partyrs_runtime::storage::Disk;

/// Bytes in memory, and what goes wrong with them.
#[derive(Debug, Default)]
pub(crate) struct FaultyDisk {
    state: Mutex<State>,
    /// Calls are held no longer.
    let_go: Condvar,
}

#[derive(Debug, Default)]
struct State {
    bytes: Vec<u8>,
    /// How long it may become.
    capacity: Option<u64>,
    faults: Vec<Fault>,
    /// How many of each kind there were.
    calls_count: [u64; 4],
    /// Calls of this kind wait.
    held: Option<Call>,
}

/// What a database asks of its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Read,
    Write,
    SetLen,
    Sync,
}

#[derive(Debug)]
struct Fault {
    call: Call,
    /// How many of these calls still go well.
    after: u64,
    /// `None` for a panic.
    kind: Option<io::ErrorKind>,
    /// Whether all that come after it fail too.
    stays: bool,
}

impl FaultyDisk {
    /// A disk with these bytes on it.
    pub(crate) fn of(bytes: Vec<u8>) -> Self {
        Self { state: Mutex::new(State { bytes, ..State::default() }), let_go: Condvar::new() }
    }

    /// Calls of this kind are counted and then wait, until [`FaultyDisk::let_go`].
    pub(crate) fn hold(&self, call: Call) {
        self.state().held = Some(call);
    }

    pub(crate) fn let_go(&self) {
        self.state().held = None;
        self.let_go.notify_all();
    }

    /// The call of this kind after the next `after` fails, and none after it.
    pub(crate) fn fail_once(&self, call: Call, after: u64, kind: io::ErrorKind) {
        self.state().faults.push(Fault { call, after, kind: Some(kind), stays: false });
    }

    /// The next call of this kind panics, and none after it.
    pub(crate) fn panic_once(&self, call: Call) {
        self.state().faults.push(Fault { call, after: 0, kind: None, stays: false });
    }

    /// Every call of this kind fails from now on.
    pub(crate) fn fail(&self, call: Call, kind: io::ErrorKind) {
        self.state().faults.push(Fault { call, after: 0, kind: Some(kind), stays: true });
    }

    /// What was to fail and has not failed yet goes well; tells how much that is.
    pub(crate) fn heal(&self) -> usize {
        std::mem::take(&mut self.state().faults).len()
    }

    /// It cannot grow beyond this many bytes.
    pub(crate) fn set_capacity(&self, capacity: Option<u64>) {
        self.state().capacity = capacity;
    }

    /// It cannot grow any more.
    pub(crate) fn fill_up(&self) {
        let mut state = self.state();
        state.capacity = Some(state.bytes.len() as u64);
    }

    pub(crate) fn calls_count(&self, call: Call) -> u64 {
        self.state().calls_count[call as usize]
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call, holds it as long as it is to be, and fails it if it is to.
    fn called(&self, call: Call) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        state.calls_count[call as usize] += 1;
        let is_held = |state: &mut State| state.held == Some(call);
        let mut state = self.let_go.wait_while(state, is_held).unwrap_or_else(PoisonError::into_inner);
        state.fail(call)?;
        Ok(state)
    }
}

impl State {
    /// Fails a call if it is to.
    fn fail(&mut self, call: Call) -> io::Result<()> {
        for index in 0..self.faults.len() {
            let fault = &mut self.faults[index];
            if fault.call != call {
                continue;
            }
            if fault.after > 0 {
                fault.after -= 1;
                continue;
            }
            let kind = fault.kind;
            if !fault.stays {
                self.faults.remove(index);
            }
            let kind = kind.expect("planted by the test");
            return Err(io::Error::new(kind, "planted by the test"));
        }
        Ok(())
    }
}

impl Disk for FaultyDisk {
    fn len_bytes(&self) -> io::Result<u64> {
        Ok(self.state().bytes.len() as u64)
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let state = self.called(Call::Read)?;
        let from = usize::try_from(offset).unwrap();
        let found = state.bytes.get(from..from + into.len());
        into.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.called(Call::Write)?;
        let from = usize::try_from(offset).unwrap();
        let to = from + bytes.len();
        let place = state.bytes.get_mut(from..to).ok_or(io::ErrorKind::UnexpectedEof)?;
        place.copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.called(Call::SetLen)?;
        if state.capacity.is_some_and(|capacity| len > capacity) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.bytes.resize(usize::try_from(len).unwrap(), 0);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.called(Call::Sync).map(drop)
    }
}
