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
    ending: Option<Ending>,
}

struct Ending {
    until: Sleep,
    /// Our side, that is.
    is_shut_down: bool,
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
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        self.patience.wrote(&polled);
        polled
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let ending = this.ending.get_or_insert_with(|| Ending {
            until: this.clock.sleep(this.close_timeout),
            is_shut_down: false,
            bytes_left: DISCARD_BYTES_MAX,
        });
        if !ending.is_shut_down {
            let Poll::Ready(shut_down) = Pin::new(&mut this.stream).poll_shutdown(cx) else {
                // TLS has a last word, for which a client that does not read leaves no room.
                ready!(Pin::new(&mut ending.until).poll(cx));
                return Poll::Ready(Ok(()));
            };
            shut_down?;
            ending.is_shut_down = true;
        }
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

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use rcgen::CertifiedKey;
    use tokio::net::{TcpListener, TcpStream};
    use tokio_rustls::TlsConnector;
    use tokio_rustls::rustls::pki_types::ServerName;
    use tokio_rustls::rustls::{ClientConfig, RootCertStore};

    use super::*;
    use crate::net::tls::{CertificateFiles, Tls};

    #[tokio::test]
    async fn a_client_of_tls_that_never_reads_is_waited_for_until_close_timeout() {
        let CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = (folder.path().join("certificate"), folder.path().join("key"));
        std::fs::write(&certificate, cert.pem()).unwrap();
        std::fs::write(&key, signing_key.serialize_pem()).unwrap();
        let tls = Tls::open(CertificateFiles::new(&certificate, &key)).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone()).unwrap();
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let trusting = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let trusting = trusting.unwrap().with_root_certificates(roots).with_no_client_auth();
        let connector = TlsConnector::from(Arc::new(trusting));

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let (_client, server) = tokio::join!(connector.connect(name, client), tls.accept(server));

        let (clock, config) = (Clock::manual(), Config::default());
        let patience = Patience::new(&clock, &config);
        let stream = Stream::Tls(Box::new(server.unwrap()));
        let mut lingering = Lingering::new(stream, patience, clock.clone(), &config);
        let bytes = [0; 4096];
        while poll_fn(|cx| Poll::Ready(Pin::new(&mut lingering).poll_write(cx, &bytes).is_ready())).await {
            // A task that does not yield is told that a socket is full, when it is not.
            tokio::task::yield_now().await;
        }
        let mut shut_down =
            async || poll_fn(|cx| Poll::Ready(Pin::new(&mut lingering).poll_shutdown(cx))).await;
        assert!(shut_down().await.is_pending());
        clock.advance(config.close_timeout);
        assert!(shut_down().await.is_ready());
    }
}
