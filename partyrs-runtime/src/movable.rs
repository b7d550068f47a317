//! A TCP socket that changes threads below what is above it.
//!
//! A socket belongs to the reactor of one thread, and TLS above it cannot be taken apart and
//! put together again. So on its way from the thread that accepts to the shard of a room the
//! socket is exchanged in its place.

use std::io::{self, IoSlice};
use std::net::TcpStream as StdTcpStream;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A TCP socket that can be taken from one reactor to another.
#[derive(Debug)]
pub(crate) struct Movable(Place);

#[derive(Debug)]
enum Place {
    Here(TcpStream),
    OnItsWay(StdTcpStream),
    Lost,
}

impl Movable {
    pub(crate) fn new(tcp: TcpStream) -> Self {
        Self(Place::Here(tcp))
    }

    /// Leaves the reactor that it is registered with; until it arrives nothing is read or written.
    pub(crate) fn leave(&mut self) -> io::Result<()> {
        self.0 = match std::mem::replace(&mut self.0, Place::Lost) {
            Place::Here(tcp) => Place::OnItsWay(tcp.into_std()?),
            other => other,
        };
        Ok(())
    }

    /// Registers it with the reactor of this thread.
    pub(crate) fn arrive(&mut self) -> io::Result<()> {
        self.0 = match std::mem::replace(&mut self.0, Place::Lost) {
            Place::OnItsWay(tcp) => Place::Here(TcpStream::from_std(tcp)?),
            other => other,
        };
        Ok(())
    }

    fn tcp(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        match &mut self.0 {
            Place::Here(tcp) => Ok(Pin::new(tcp)),
            Place::OnItsWay(_) | Place::Lost => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

/// Calls a method of the socket, or fails.
macro_rules! of_tcp {
    ($movable:expr, $method:ident($($argument:expr),*)) => {
        match $movable.tcp() {
            Ok(tcp) => tcp.$method($($argument),*),
            Err(error) => Poll::Ready(Err(error)),
        }
    };
}

impl AsyncRead for Movable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        of_tcp!(self, poll_read(cx, buffer))
    }
}

impl AsyncWrite for Movable {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        of_tcp!(self, poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        of_tcp!(self, poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        of_tcp!(self, poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        of_tcp!(self, poll_shutdown(cx))
    }
}
