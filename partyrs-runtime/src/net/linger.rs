//! Ending a socket so that the last thing we sent arrives.
//!
//! A socket that is closed while bytes of the client are unread is reset, and the reset may
//! overtake our answer. So our side is shut down, and what still comes is thrown away until
//! the client ends its side; the caller sets the time limit.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use partyrs::CloseFrame;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::patience::Patience;
use super::stream::Stream;
use crate::clock::{Clock, Sleep};
use crate::config::Config;
use crate::wire;

const DISCARD_BYTES_MAX: usize = 8 << 20;

/// Reads and throws away until the end, an error, or `bytes_max`.
pub(crate) async fn discard(source: impl AsyncRead, bytes_max: usize) {
    let mut source = pin!(source);
    let mut left = bytes_max;
    // On the heap: a connection's task is kept as long as the connection, and this is its end.
    let mut buffer = vec![0; 4096];
    while left > 0 {
        match source.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(count) => left = left.saturating_sub(count),
        }
    }
}

/// Sends one Close frame and nothing else, and lets it arrive.
pub(crate) async fn close_and_linger(mut stream: impl AsyncRead + AsyncWrite + Unpin, close: &CloseFrame) {
    let mut bytes = BytesMut::new();
    wire::put_close(&mut bytes, Some(wire::parts(close)));
    if stream.write_all(&bytes).await.is_ok() && stream.shutdown().await.is_ok() {
        discard(stream, DISCARD_BYTES_MAX).await;
    }
}

/// A client's connection that lingers when it is shut down, within `close_timeout`.
pub(crate) struct Lingering {
    stream: Stream,
    patience: Arc<Patience>,
    clock: Clock,
    close_timeout: std::time::Duration,
    ending: Option<Discarding>,
}

struct Discarding {
    until: Sleep,
    bytes_left: usize,
}

impl Lingering {
    pub(crate) fn new(stream: Stream, patience: Arc<Patience>, clock: Clock, config: &Config) -> Self {
        Self { stream, patience, clock, close_timeout: config.close_timeout, ending: None }
    }

    pub(crate) fn into_stream(self) -> Stream {
        self.stream
    }
}

impl AsyncRead for Lingering {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.patience.heard();
        }
        polled
    }
}

impl AsyncWrite for Lingering {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.patience.wrote(&polled);
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.patience.wrote(&polled);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.ending.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
        }
        let ending = this.ending.get_or_insert_with(|| Discarding {
            until: this.clock.sleep(this.close_timeout),
            bytes_left: DISCARD_BYTES_MAX,
        });
        let mut bytes = [0; 4096];
        loop {
            let mut buffer = ReadBuf::new(&mut bytes);
            match Pin::new(&mut this.stream).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    ending.bytes_left = ending.bytes_left.saturating_sub(buffer.filled().len());
                    if ending.bytes_left == 0 {
                        return Poll::Ready(Ok(()));
                    }
                }
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => {
                    ready!(Pin::new(&mut ending.until).poll(cx));
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}
