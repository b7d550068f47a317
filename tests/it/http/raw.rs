//! A client that writes bytes and reads answers, for what no good client does.

use std::net::SocketAddr;

use partyrs_runtime::testing::{TestHost, soon};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) struct Raw {
    tcp: TcpStream,
    read: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Status line and headers, in lower case.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Raw {
    pub(crate) async fn connect(host: &TestHost) -> Self {
        Self::connect_to(host.addr()).await
    }

    pub(crate) async fn connect_to(addr: SocketAddr) -> Self {
        let tcp = soon(TcpStream::connect(addr)).await.expect("somebody listens");
        tcp.set_nodelay(true).expect("a socket");
        Self { tcp, read: Vec::new() }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        soon(self.tcp.write_all(bytes.as_ref())).await.expect("a socket that takes all of it");
    }

    /// As `send`, to a host that may have ended the connection.
    pub(crate) async fn try_send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = soon(self.tcp.write_all(bytes.as_ref())).await;
    }

    /// What comes until the connection ends, however it does.
    pub(crate) async fn rest_or_reset(&mut self) -> Vec<u8> {
        while soon(self.tcp.read_buf(&mut self.read)).await.is_ok_and(|count| count > 0) {}
        std::mem::take(&mut self.read)
    }

    /// Ends our half of the connection.
    pub(crate) async fn finish(&mut self) {
        soon(self.tcp.shutdown()).await.expect("a socket that can be shut down");
    }

    /// The next answer with its body, which ends by length, by chunks or by the connection.
    pub(crate) async fn answer(&mut self) -> Answer {
        let mut answer = self.head().await;
        if let Some(length) = answer.header("content-length") {
            answer.body = self.take(length.parse().expect("a length")).await;
        } else if answer.header("transfer-encoding").is_some() {
            while let Some(chunk) = self.chunk().await {
                answer.body.extend(chunk);
            }
        } else if answer.status >= 200 {
            answer.body = self.rest().await;
        }
        answer
    }

    /// The next answer without its body.
    pub(crate) async fn head(&mut self) -> Answer {
        let head = self.take_through(b"\r\n\r\n").await;
        let head = String::from_utf8(head).expect("text").to_lowercase();
        let status = head.split(' ').nth(1).expect("a status line").parse().expect("a status");
        Answer { status, head, body: Vec::new() }
    }

    /// The next chunk of a body, `None` at its end.
    pub(crate) async fn chunk(&mut self) -> Option<Vec<u8>> {
        let line = String::from_utf8(self.take_through(b"\r\n").await).expect("text");
        let length = usize::from_str_radix(line.trim(), 16).expect("a chunk's length");
        let mut chunk = self.take(length + 2).await;
        chunk.truncate(length);
        Some(chunk).filter(|chunk| !chunk.is_empty())
    }

    /// What comes until the host ends the connection; a reset is no end.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.read)
    }

    /// Whether nothing has come that was not read.
    pub(crate) fn is_quiet(&self) -> bool {
        let error = self.tcp.try_read(&mut [0]).map_err(|error| error.kind());
        self.read.is_empty() && error == Err(std::io::ErrorKind::WouldBlock)
    }

    pub(crate) fn into_tcp(self) -> TcpStream {
        self.tcp
    }

    async fn take_through(&mut self, end: &[u8]) -> Vec<u8> {
        loop {
            if let Some(at) = self.read.windows(end.len()).position(|window| window == end) {
                return self.read.drain(..at + end.len()).collect();
            }
            assert!(self.more().await, "the connection ended after {:?}", self.read);
        }
    }

    pub(crate) async fn take(&mut self, length: usize) -> Vec<u8> {
        while self.read.len() < length {
            assert!(self.more().await, "the connection ended after {} of {length}", self.read.len());
        }
        self.read.drain(..length).collect()
    }

    async fn more(&mut self) -> bool {
        let read = soon(self.tcp.read_buf(&mut self.read)).await;
        read.expect("no reset") > 0
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        fields.find(|(found, _)| *found == name).map(|(_, value)| value.trim())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("text")
    }
}
