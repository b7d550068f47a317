//! A WebSocket client written by hand, for what no good client does.

use std::time::Duration;

use futures_util::FutureExt;
use partyrs_runtime::testing::{TestHost, soon};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// First bytes of whole frames.
pub(crate) const TEXT: u8 = 0x81;
pub(crate) const BINARY: u8 = 0x82;
pub(crate) const CLOSE: u8 = 0x88;
pub(crate) const PING: u8 = 0x89;
pub(crate) const PONG: u8 = 0x8a;
/// Taken off the first byte of a frame that others follow.
pub(crate) const FINAL: u8 = 0x80;
pub(crate) const CONTINUATION: u8 = 0x00;

/// What a client masks its frames with.
const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];

/// A client that speaks the protocol byte by byte. Nothing is answered by itself.
pub(crate) struct Raw {
    tcp: BufReader<TcpStream>,
}

/// The answer to a plain request.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Status line and headers in lower case.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Raw {
    /// TCP, and nothing said yet.
    pub(crate) async fn tcp(host: &TestHost) -> Self {
        Self::over(TcpStream::connect(host.addr()).await.expect("the host listens"))
    }

    pub(crate) fn over(tcp: TcpStream) -> Self {
        // Reads little ahead, for tests of slow readers.
        Self { tcp: BufReader::with_capacity(512, tcp) }
    }

    /// A WebSocket at this path and query.
    pub(crate) async fn connect(host: &TestHost, path: &str) -> Self {
        let mut raw = Self::tcp(host).await;
        raw.upgrade(path).await;
        raw
    }

    /// A member of the room `room` whose `on_connect` has sent its `welcome`.
    pub(crate) async fn member(host: &TestHost, room: &str, id: &str) -> Self {
        let mut raw = Self::connect(host, &format!("/party/{room}?_pk={id}")).await;
        assert_eq!(raw.next_text().await, "welcome");
        raw
    }

    /// Asks for a WebSocket and reads the 101.
    pub(crate) async fn upgrade(&mut self, path: &str) -> Answer {
        self.send(upgrade_request(path)).await;
        let answer = self.answer().await;
        assert_eq!(answer.status, 101, "{answer:?}");
        answer
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        soon(self.tcp.write_all(bytes.as_ref())).await.expect("an open socket");
    }

    /// Reads an HTTP answer.
    pub(crate) async fn answer(&mut self) -> Answer {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(soon(self.tcp.read_u8()).await.expect("a whole head"));
        }
        let head = String::from_utf8(head).expect("a head in ASCII").to_lowercase();
        let status = head.split(' ').nth(1).expect("a status").parse().expect("a number");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().expect("a number"))];
        soon(self.tcp.read_exact(&mut body)).await.expect("a whole body");
        Answer { status, head, body: String::from_utf8(body).expect("a text") }
    }

    /// First byte and payload of the next frame; `None` when TCP ends.
    ///
    /// # Panics
    ///
    /// If the socket is reset, or ends in the middle of a frame.
    pub(crate) async fn try_next(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut first = [0];
        if soon(self.tcp.read(&mut first)).await.expect("no reset") == 0 {
            return None;
        }
        let rest = async {
            let len = match self.tcp.read_u8().await? {
                126 => u64::from(self.tcp.read_u16().await?),
                127 => self.tcp.read_u64().await?,
                len => u64::from(len),
            };
            let mut payload = vec![0; usize::try_from(len).expect("a length that fits")];
            self.tcp.read_exact(&mut payload).await?;
            Ok::<_, std::io::Error>(payload)
        };
        Some((first[0], soon(rest).await.expect("a whole frame")))
    }

    pub(crate) async fn next(&mut self) -> (u8, Vec<u8>) {
        self.try_next().await.expect("a frame, not the end")
    }

    pub(crate) async fn next_text(&mut self) -> String {
        let (first, payload) = self.next().await;
        assert_eq!(first, TEXT, "{payload:?}");
        String::from_utf8(payload).expect("UTF-8")
    }

    /// Code and reason of the Close that comes next; 1005 when it has none.
    pub(crate) async fn closed(&mut self) -> (u16, String) {
        let (first, payload) = self.next().await;
        assert_eq!(first, CLOSE, "{payload:?}");
        close_parts(&payload)
    }

    /// Shows that the server ends TCP, in order and without another byte.
    pub(crate) async fn ends(&mut self) {
        assert_eq!(self.try_next().await, None);
    }

    /// Whether nothing has come that was not read.
    pub(crate) fn has_heard_nothing(&self) -> bool {
        self.tcp.buffer().is_empty() && self.tcp.get_ref().peek(&mut [0]).now_or_never().is_none()
    }

    pub(crate) fn into_tcp(self) -> TcpStream {
        self.tcp.into_inner()
    }
}

/// From now on, the end of this socket is a reset.
pub(crate) fn end_by_reset(tcp: &TcpStream) {
    socket2::SockRef::from(tcp).set_linger(Some(Duration::ZERO)).expect("an option of TCP");
}

pub(crate) fn upgrade_request(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

/// A masked frame.
pub(crate) fn frame(first: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let mut bytes = head(first, payload.len());
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// All of a masked frame but its payload.
pub(crate) fn head(first: u8, len: usize) -> Vec<u8> {
    let mut bytes = vec![first];
    match (u8::try_from(len), u16::try_from(len)) {
        (Ok(short), _) if short < 126 => bytes.push(FINAL | short),
        (_, Ok(middle)) => {
            bytes.push(FINAL | 126);
            bytes.extend(middle.to_be_bytes());
        }
        _ => {
            bytes.push(FINAL | 127);
            bytes.extend((len as u64).to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes
}

/// The payload of a Close.
pub(crate) fn close_payload(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes()[..], reason.as_bytes()].concat()
}

fn close_parts(payload: &[u8]) -> (u16, String) {
    match payload {
        [] => (1005, String::new()),
        [high, low, reason @ ..] => {
            let reason = String::from_utf8(reason.to_vec()).expect("UTF-8");
            (u16::from_be_bytes([*high, *low]), reason)
        }
        [_] => panic!("half a code"),
    }
}
