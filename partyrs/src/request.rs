//! A plain HTTP request to a room, complete with its body or with the stream of it.

use std::borrow::Cow;
use std::fmt;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, Stream, StreamExt};
use http::{HeaderMap, Method, Uri};
use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::head::Head;

/// A request as [`PartyServer::on_request`](crate::PartyServer::on_request) gets it.
///
/// The body is already here (`body_bytes_max`, default 8 MiB), so reading it never waits;
/// unless the party sets [`PartyOptions::stream_bodies`](crate::PartyOptions::stream_bodies).
#[derive(Clone, Debug)]
pub struct Request {
    head: Head,
    body: Content,
    remote_addr: SocketAddr,
}

/// The body of a request, piece by piece, as the client sends it: [`Request::body_stream`].
///
/// An item is a piece that is not empty, or the error with which the body ends early. Nothing
/// comes behind an error.
pub struct BodyStream {
    pieces: BoxStream<'static, Result<Bytes, Error>>,
}

/// A body as it came to the room.
#[derive(Clone)]
enum Content {
    Whole(Bytes),
    /// Taken out by the first who asks for it; clones of the request share it.
    Stream(Arc<Mutex<Option<BodyStream>>>),
}

impl Request {
    /// A request from its parts; for hosts and tests.
    #[must_use]
    pub fn new(head: Head, body: Bytes, remote_addr: SocketAddr) -> Self {
        Self { head, body: Content::Whole(body), remote_addr }
    }

    /// A request whose body is still to come; for hosts and tests.
    #[must_use]
    pub fn streamed(
        head: Head,
        body: impl Stream<Item = Result<Bytes, Error>> + Send + 'static,
        remote_addr: SocketAddr,
    ) -> Self {
        let body = Arc::new(Mutex::new(Some(BodyStream { pieces: body.boxed() })));
        Self { head, body: Content::Stream(body), remote_addr }
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &Method {
        self.head.method()
    }

    /// Path and query as the client sent them.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        self.head.uri()
    }

    /// The headers, as the before-hook left them.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.head.headers()
    }

    /// The value of a header, if it is there and is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    /// The first value of `key` in the query, form-decoded.
    #[must_use]
    pub fn query(&self, key: &str) -> Option<Cow<'_, str>> {
        self.head.query(key)
    }

    /// Typed data that the before-hook put in.
    #[must_use]
    pub fn extension<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.head.extensions().get()
    }

    /// The client's address as TCP knows it; behind a proxy, the proxy's.
    #[must_use]
    pub fn remote_addr(&self) -> SocketAddr {
        self.remote_addr
    }

    /// The body. Empty if the party streams bodies: [`Request::body_stream`].
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        static EMPTY: Bytes = Bytes::new();
        match &self.body {
            Content::Whole(bytes) => bytes,
            Content::Stream(_) => &EMPTY,
        }
    }

    /// The body as text.
    ///
    /// # Errors
    ///
    /// If it is not UTF-8; returned from the hook, the client gets 400. If the party streams
    /// bodies; the client gets 500.
    pub fn text(&self) -> Result<&str, Error> {
        std::str::from_utf8(self.whole()?).map_err(|_| Error::status(400, "body is not UTF-8"))
    }

    /// The body, read as JSON whatever its content type says.
    ///
    /// # Errors
    ///
    /// If it is not JSON or not a `T`; returned from the hook, the client gets 400 and is
    /// told what is wrong and where. If the party streams bodies; the client gets 500.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(self.whole()?)
            .map_err(|wrong| Error::status(400, format!("body is not the JSON expected: {wrong}")))
    }

    /// The body as a stream, to be moved into [`Room::spawn`](crate::Room::spawn): a hook that
    /// reads it itself makes its room wait for the client.
    ///
    /// On a party without [`stream_bodies`](crate::PartyOptions::stream_bodies), and in a call
    /// by [`RoomHandle::fetch`](crate::RoomHandle::fetch), the whole body is its one piece.
    ///
    /// While nobody reads, the client waits. When neither side has done anything for
    /// `body_timeout` (default 30 s), the client sending nothing or the room not asking for
    /// more, the stream is over, with a 408. What is left of a body that is not read to its end
    /// is read and thrown away, at most 5 s and 8 MiB, once the response is out.
    ///
    /// Many clients stop sending when they get a whole response. So answer with what ends behind the
    /// reading: the body of [`Room::body`](crate::Room::body), or [`Response::stream`](crate::Response::stream).
    ///
    /// The second call for one request, or for a clone of it, gives a stream of one error.
    ///
    /// # Examples
    ///
    /// ```
    /// # use partyrs::{prelude::*, testing::TestRoom};
    /// struct Upload {
    ///     total_bytes: usize,
    /// }
    ///
    /// impl PartyServer for Upload {
    ///     type Message = String;
    ///
    ///     const OPTIONS: PartyOptions = PartyOptions::DEFAULT.stream_bodies(true);
    ///
    ///     async fn on_start(_: &Room) -> Result<Self> {
    ///         Ok(Upload { total_bytes: 0 })
    ///     }
    ///
    ///     async fn on_request(&mut self, room: &Room, request: Request) -> Result<Response> {
    ///         let (progress, response) = room.body();
    ///         let (mut body, upload) = (request.body_stream(), room.handle::<Self>());
    ///         room.spawn(async move {
    ///             let mut progress = progress;
    ///             while let Some(piece) = body.next().await {
    ///                 let len_bytes = piece?.len();
    ///                 progress = upload
    ///                     .run(async move |server, room| {
    ///                         server.total_bytes += len_bytes;
    ///                         progress.write(room, format!("{}\n", server.total_bytes))?;
    ///                         Ok(progress)
    ///                     })
    ///                     .await?;
    ///             }
    ///             Ok(())
    ///         });
    ///         Ok(response)
    ///     }
    /// }
    /// # use http_body_util::BodyExt;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<()> {
    /// # let mut room = TestRoom::<Upload>::new("x");
    /// # let request = partyrs::http::Request::post("/").body("seven..")?;
    /// # let response = room.request(request).await?;
    /// # room.settle().await?;
    /// # let body = response.into_http().into_body().collect().await.map_err(Error::new)?;
    /// # assert_eq!(body.to_bytes(), "7\n");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn body_stream(&self) -> BodyStream {
        match &self.body {
            Content::Whole(bytes) => BodyStream::whole(bytes.clone()),
            Content::Stream(stream) => {
                let stream = stream.lock().unwrap_or_else(PoisonError::into_inner).take();
                stream.unwrap_or_else(|| {
                    let error = Error::new("body of the request was taken already");
                    BodyStream { pieces: stream::iter([Err(error)]).boxed() }
                })
            }
        }
    }

    /// Turns it into an `http` request, whose body is what [`Request::bytes`] gives.
    #[must_use]
    pub fn into_http(self) -> http::Request<Bytes> {
        let body = self.bytes().clone();
        http::Request::from_parts(self.head.into(), body)
    }

    fn whole(&self) -> Result<&Bytes, Error> {
        match &self.body {
            Content::Whole(bytes) => Ok(bytes),
            Content::Stream(_) => {
                Err(Error::new("the party sets stream_bodies: read the body by Request::body_stream"))
            }
        }
    }
}

impl BodyStream {
    /// A body that is there already.
    pub(crate) fn whole(bytes: Bytes) -> Self {
        let piece = (!bytes.is_empty()).then_some(Ok(bytes));
        Self { pieces: stream::iter(piece).boxed() }
    }

    /// The next piece; `None` at the end of the body.
    ///
    /// # Errors
    ///
    /// [`Error::status`] 413 if the body is longer than `body_bytes_max`, 408 if it does not
    /// go on within `body_timeout`, 400 if the client went away or sent what is no HTTP. From
    /// `on_request` they are answers; from a spawned task they are failures like any other.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Result<Bytes, Error>> {
        poll_fn(|cx| self.pieces.poll_next_unpin(cx)).await
    }
}

impl Stream for BodyStream {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.pieces.poll_next_unpin(cx)
    }
}

impl fmt::Debug for BodyStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BodyStream")
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::Stream(_) => f.write_str("a stream"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(body: &'static str) -> Request {
        Request::new(Head::default(), Bytes::from_static(body.as_bytes()), ([127, 0, 0, 1], 1).into())
    }

    #[test]
    fn a_body_that_is_not_the_json_expected_is_answered_400() {
        let error = request("{").json::<u8>().unwrap_err();
        let (status, text) = error.public_status().expect("an answer");
        assert_eq!(status, 400);
        assert!(text.contains("line 1"), "{text}");
    }

    #[test]
    fn a_request_may_be_shared_between_threads_and_its_stream_sent_to_one() {
        fn is_send_and_sync<T: Send + Sync>() {}
        fn is_send<T: Send + 'static>() {}
        is_send_and_sync::<Request>();
        is_send::<BodyStream>();
    }

    #[tokio::test]
    async fn a_whole_body_streams_as_one_piece_and_an_empty_one_as_none() {
        let mut body = request("all of it").body_stream();
        assert_eq!(body.next().await.unwrap().unwrap(), "all of it");
        assert!(body.next().await.is_none());
        assert!(request("").body_stream().next().await.is_none());
    }

    #[tokio::test]
    async fn a_streamed_body_is_taken_once_and_refuses_to_be_read_whole() {
        let pieces = stream::iter([Ok(Bytes::from_static(b"1")), Ok(Bytes::from_static(b"2"))]);
        let request = Request::streamed(Head::default(), pieces, ([127, 0, 0, 1], 1).into());
        assert!(request.bytes().is_empty());
        for refused in [request.text().err(), request.json::<u8>().err()] {
            assert!(refused.unwrap().to_string().contains("stream_bodies"));
        }
        let again = request.clone();
        let pieces: Vec<Bytes> = request.body_stream().map(|piece| piece.unwrap()).collect().await;
        assert_eq!(pieces, ["1", "2"]);
        let error = again.body_stream().next().await.unwrap().unwrap_err();
        assert_eq!(error.to_string(), "body of the request was taken already");
    }

    #[test]
    fn the_body_is_read_as_text_json_and_bytes() {
        assert_eq!(request("7").json::<u8>().unwrap(), 7);
        assert_eq!(request("hi").text().unwrap(), "hi");
        assert_eq!(request("hi").bytes(), "hi");
    }
}
