//! Dropping what belongs to the user, where a panic of its `Drop` ends nothing.

use std::panic::{AssertUnwindSafe, catch_unwind};

use partyrs::RoomAddress;
use partyrs::seam::panic_error;

/// Drops `value`; a panic in its `Drop` is logged.
pub(crate) fn drop_quietly<T>(room: &RoomAddress, value: T) {
    run_quietly(room, || drop(value));
}

/// Drops values one by one: two that panic in one `drop` would abort the process.
pub(crate) fn drop_each_quietly<T>(room: &RoomAddress, values: impl IntoIterator<Item = T>) {
    values.into_iter().for_each(|value| drop_quietly(room, value));
}

/// Runs `action`, which may drop values of the user's; a panic is logged.
pub(crate) fn run_quietly(room: &RoomAddress, action: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(action)) {
        let error = panic_error(&*panic);
        tracing::error!(%room, %error, "panic while a value of the party was dropped");
    }
}
