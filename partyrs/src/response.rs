//! What a room or a before-hook answers to a plain HTTP request.

use std::fmt;

use bytes::Bytes;
use futures_util::stream::{Stream, StreamExt, TryStreamExt};
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use http_body::Frame as BodyFrame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use serde::Serialize;

use crate::error::Error;

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
