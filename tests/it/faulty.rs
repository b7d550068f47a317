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

#[derive(Clone, Copy, Debug)]
struct Fault {
    call: Call,
    /// How many of these calls still go well.
    after: u64,
    /// `None` for a panic.
    kind: Option<io::ErrorKind>,
    /// Whether all that come after it fail too.
    stays: bool,
    /// Whether what was asked for is done all the same.
    is_done: bool,
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
        self.plant(Fault { call, after, kind: Some(kind), stays: false, is_done: false });
    }

    /// The call of this kind after the next `after` does what it is to do, and says that it has
    /// failed; none after it.
    pub(crate) fn fail_once_done(&self, call: Call, after: u64, kind: io::ErrorKind) {
        self.plant(Fault { call, after, kind: Some(kind), stays: false, is_done: true });
    }

    /// The next call of this kind panics, and none after it.
    pub(crate) fn panic_once(&self, call: Call) {
        self.plant(Fault { call, after: 0, kind: None, stays: false, is_done: false });
    }

    /// Every call of this kind fails from now on.
    pub(crate) fn fail(&self, call: Call, kind: io::ErrorKind) {
        self.plant(Fault { call, after: 0, kind: Some(kind), stays: true, is_done: false });
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

    fn plant(&self, fault: Fault) {
        self.state().faults.push(fault);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call, holds it as long as it is to be, and does it, unless it is to fail.
    fn call(&self, call: Call, act: impl FnOnce(&mut State) -> io::Result<()>) -> io::Result<()> {
        let mut state = self.state();
        state.calls_count[call as usize] += 1;
        let is_held = |state: &mut State| state.held == Some(call);
        let mut state = self.let_go.wait_while(state, is_held).unwrap_or_else(PoisonError::into_inner);
        match state.fault(call) {
            None => act(&mut state),
            Some(fault) => {
                if fault.is_done {
                    act(&mut state)?;
                }
                let kind = fault.kind.expect("planted by the test");
                Err(io::Error::new(kind, "planted by the test"))
            }
        }
    }
}

impl State {
    /// What this call is to meet.
    fn fault(&mut self, call: Call) -> Option<Fault> {
        for index in 0..self.faults.len() {
            let fault = &mut self.faults[index];
            if fault.call != call {
                continue;
            }
            if fault.after > 0 {
                fault.after -= 1;
                continue;
            }
            let fault = *fault;
            if !fault.stays {
                self.faults.remove(index);
            }
            return Some(fault);
        }
        None
    }
}

impl Disk for FaultyDisk {
    fn len_bytes(&self) -> io::Result<u64> {
        Ok(self.state().bytes.len() as u64)
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.call(Call::Read, |state| {
            let from = usize::try_from(offset).unwrap();
            let found = state.bytes.get(from..from + into.len());
            into.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        })
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.call(Call::Write, |state| {
            let from = usize::try_from(offset).unwrap();
            let place = state.bytes.get_mut(from..from + bytes.len());
            place.ok_or(io::ErrorKind::UnexpectedEof)?.copy_from_slice(bytes);
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.call(Call::SetLen, |state| {
            if state.capacity.is_some_and(|capacity| len > capacity) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            state.bytes.resize(usize::try_from(len).unwrap(), 0);
            Ok(())
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.call(Call::Sync, |_| Ok(()))
    }
}
