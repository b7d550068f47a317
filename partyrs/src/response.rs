//! What a room or a before-hook answers to a plain HTTP request.

use std::fmt;

use bytes::Bytes;
use futures_util::stream::{Stream, StreamExt, TryStreamExt};
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use http_body::{Body as _, Frame as BodyFrame};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use serde::Serialize;

use crate::error::{Error, Result};

/// What a body's stream may fail with: the connection is cut, for the head has gone out.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// The body of a [`Response`].
pub type Body = UnsyncBoxBody<Bytes, BodyError>;

/// An HTTP response: status, headers and a body that is complete or a stream.
pub struct Response {
    inner: http::Response<Body>,
}

impl Response {
    /// 200 with a text body, `text/plain; charset=utf-8`.
    pub fn text(text: impl Into<String>) -> Self {
        Self::typed("text/plain; charset=utf-8", text.into().into())
    }

    /// 200 with an HTML body.
    pub fn html(html: impl Into<String>) -> Self {
        Self::typed("text/html; charset=utf-8", html.into().into())
    }

    /// 200 with `value` as JSON.
    ///
    /// # Errors
    ///
    /// If the value has no JSON form; returned from the hook, the client gets 500.
    pub fn json(value: &(impl Serialize + ?Sized)) -> Result<Self, Error> {
        Ok(Self::typed("application/json", serde_json::to_vec(value)?.into()))
    }

    /// 200 with these bytes, `application/octet-stream`.
    pub fn bytes(bytes: impl Into<Bytes>) -> Self {
        Self::typed("application/octet-stream", bytes.into())
    }

    /// This status without a body.
    #[must_use]
    pub fn status(status: StatusCode) -> Self {
        let mut inner = http::Response::new(full(Bytes::new()));
        *inner.status_mut() = status;
        Self { inner }
    }

    /// 200 with a body that comes piece by piece.
    ///
    /// The stream is yours and runs beside the room: what it yields does not wait for any
    /// commit, so a client may see what a crash takes back.
    pub fn stream<S, E>(stream: S) -> Self
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: Into<BodyError> + 'static,
    {
        let frames = stream.map_err(Into::into).map(|chunk| chunk.map(BodyFrame::data));
        Self { inner: http::Response::new(BodyExt::boxed_unsync(StreamBody::new(frames))) }
    }

    /// The same with another status.
    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Self {
        *self.inner.status_mut() = status;
        self
    }

    /// The same with a header more; it replaces one of the same name.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.inner.headers_mut().insert(name, value);
        self
    }

    /// The headers, to be changed.
    pub fn headers_mut(&mut self) -> &mut HeaderMap {
        self.inner.headers_mut()
    }

    /// Turns it into an `http` response.
    #[must_use]
    pub fn into_http(self) -> http::Response<Body> {
        self.inner
    }

    /// Status, headers and the whole body: how a room reads what another has answered to its
    /// [`fetch`](crate::RoomHandle::fetch).
    ///
    /// It waits for the end of the body, and nothing bounds its length. A body of
    /// [`Room::body`](crate::Room::body) or [`Response::stream`] may take long, so reading one
    /// belongs into a task: a hook that waits makes its room wait.
    ///
    /// # Errors
    ///
    /// If the body breaks off before its end; what came of it is dropped.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses the response.
    ///
    /// # Examples
    ///
    /// ```
    /// # use partyrs::prelude::*;
    /// # struct Seats;
    /// # impl PartyServer for Seats {
    /// #     type Message = Frame;
    /// #     async fn on_start(_: &Room) -> Result<Self> { Ok(Seats) }
    /// # }
    /// # async fn hook(room: &Room) -> Result<()> {
    /// let hall = room.parties().party::<Seats>("seats")?.room("hall-1")?;
    /// let request = partyrs::http::Request::get("/free").body("")?;
    /// let answer = hall.fetch(request).await?.whole().await?;
    /// if answer.status().is_success() {
    ///     room.broadcast(answer.into_body())?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn whole(self) -> Result<http::Response<Bytes>> {
        let (parts, body) = self.inner.into_parts();
        let body = body.collect().await.map_err(Error::new)?;
        Ok(http::Response::from_parts(parts, body.to_bytes()))
    }

    /// How many bytes of body it brings at least: all of a complete one, none of a stream that does not
    /// tell. A body of the user's own is asked, so call it where a panic is caught.
    pub(crate) fn len_bytes_min(&self) -> usize {
        // No sum of such lengths goes over what a number holds.
        let len_bytes = self.inner.body().size_hint().lower().min(u64::from(u32::MAX));
        usize::try_from(len_bytes).unwrap_or(usize::MAX)
    }

    fn typed(content_type: &'static str, body: Bytes) -> Self {
        let response = Self { inner: http::Response::new(full(body)) };
        response.with_header(CONTENT_TYPE, HeaderValue::from_static(content_type))
    }
}

fn full(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

impl<B> From<http::Response<B>> for Response
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BodyError>,
{
    fn from(response: http::Response<B>) -> Self {
        Self { inner: response.map(|body| body.map_err(Into::into).boxed_unsync()) }
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.inner.status())
            .field("headers", self.inner.headers())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    #[tokio::test]
    async fn a_whole_response_has_status_headers_and_all_pieces_of_the_body() {
        let pieces = ["1", "", "23"].map(|piece| Ok::<_, BodyError>(Bytes::from_static(piece.as_bytes())));
        let response = Response::stream(stream::iter(pieces))
            .with_status(StatusCode::ACCEPTED)
            .with_header(CONTENT_TYPE, HeaderValue::from_static("text/plain"));

        let whole = response.whole().await.unwrap();

        assert_eq!(whole.status(), StatusCode::ACCEPTED);
        assert_eq!(whole.headers()[CONTENT_TYPE], "text/plain");
        assert_eq!(whole.into_body(), "123");
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_no_whole_response() {
        let pieces = [Ok(Bytes::from_static(b"1")), Err("the disk is gone")];
        let error = Response::stream(stream::iter(pieces)).whole().await.unwrap_err();
        assert_eq!(error.to_string(), "the disk is gone");
        assert!(error.public_status().is_none());
    }
}
