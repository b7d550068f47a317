//! Everything between the mailbox of a room and its server. It never names the network.

mod commits;
mod flow;
mod outgoing;
mod task;

pub(crate) use task::RoomTask;
