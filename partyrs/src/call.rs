//! Typed calls from room to room.

use std::future::Future;

use serde::{Serialize, de::DeserializeOwned};

use crate::error::Result;
use crate::room::Room;
use crate::server::PartyServer;

/// A question that one room asks another, and what the answer is.
///
/// Made of plain data, so that it may one day travel to another machine.
///
/// # Examples
///
/// ```
/// # use partyrs::prelude::*;
/// # use partyrs::{Answers, Call};
/// # use serde::{Deserialize, Serialize};
/// #[derive(Serialize, Deserialize)]
/// struct Reserve {
///     seats: u32,
/// }
///
/// impl Call for Reserve {
///     type Reply = u32;
/// }
///
/// # struct Seats { free: u32 }
/// # impl PartyServer for Seats {
/// #     type Message = Frame;
/// #     async fn on_start(_: &Room) -> Result<Self> { Ok(Seats { free: 3 }) }
/// # }
/// impl Answers<Reserve> for Seats {
///     async fn answer(&mut self, room: &Room, call: Reserve) -> Result<u32> {
///         self.free = self.free.checked_sub(call.seats).ok_or(Error::status(409, "sold out"))?;
///         room.storage().put("free", &self.free)?;
///         Ok(self.free)
///     }
/// }
/// # use partyrs::testing::TestRoom;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<()> {
/// let mut hall = TestRoom::<Seats>::new("hall-1");
/// let seats = hall.handle();
/// let left = tokio::spawn(async move { seats.call(Reserve { seats: 2 }).await });
/// # tokio::task::yield_now().await;
/// hall.settle().await?;
/// assert_eq!(left.await??, 1);
/// # Ok(())
/// # }
/// ```
pub trait Call: Serialize + DeserializeOwned + Send + 'static {
    /// What comes back.
    type Reply: Serialize + DeserializeOwned + Send + 'static;
}

/// A server that answers the call `C`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not answer the call `{C}`",
    note = "write `impl Answers<{C}> for {Self}`"
)]
pub trait Answers<C: Call>: PartyServer {
    /// Answers one call; a hook like the others.
    ///
    /// `Err` takes its writes back; the caller gets [`CallError::Refused`](crate::CallError::Refused) for an
    /// [`Error::status`](crate::Error::status), else [`CallError::Failed`](crate::CallError::Failed).
    fn answer(&mut self, room: &Room, call: C) -> impl Future<Output = Result<C::Reply>> + Send;
}
