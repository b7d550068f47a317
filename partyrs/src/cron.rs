//! A time at which the host calls its lobby, by a cron expression.

use std::time::SystemTime;

/// What is due, as [`LobbyServer::on_cron`](crate::LobbyServer::on_cron) sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cron {
    /// Its name, as the program gave it.
    pub name: String,
    /// Its expression, as the program gave it.
    pub expression: String,
    /// The time that it was due; the call may be a little later, never earlier.
    pub scheduled: SystemTime,
}

impl Cron {
    /// A cron that is due; for hosts and tests.
    #[must_use]
    pub fn new(name: impl Into<String>, expression: impl Into<String>, scheduled: SystemTime) -> Self {
        Self { name: name.into(), expression: expression.into(), scheduled }
    }
}
