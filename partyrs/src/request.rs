//! A plain HTTP request to a room, complete with its body.

use std::borrow::Cow;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Method, Uri};
use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::head::Head;

/// A request as [`PartyServer::on_request`](crate::PartyServer::on_request) gets it.
///
/// The body is already here (`body_bytes_max`, default 8 MiB), so reading it never waits.
#[derive(Clone, Debug)]
pub struct Request {
    head: Head,
    body: Bytes,
    remote_addr: SocketAddr,
}

impl Request {
    /// A request from its parts; for hosts and tests.
    #[must_use]
    pub fn new(head: Head, body: Bytes, remote_addr: SocketAddr) -> Self {
        Self { head, body, remote_addr }
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

    /// The body.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.body
    }

    /// The body as text.
    ///
    /// # Errors
    ///
    /// If it is not UTF-8; returned from the hook, the client gets 400.
    pub fn text(&self) -> Result<&str, Error> {
        std::str::from_utf8(&self.body).map_err(|_| Error::status(400, "body is not UTF-8"))
    }

    /// The body, read as JSON whatever its content type says.
    ///
    /// # Errors
    ///
    /// If it is not JSON or not a `T`; returned from the hook, the client gets 400 and is
    /// told what is wrong and where.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.body)
            .map_err(|wrong| Error::status(400, format!("body is not the JSON expected: {wrong}")))
    }

    /// Turns it into an `http` request.
    #[must_use]
    pub fn into_http(self) -> http::Request<Bytes> {
        http::Request::from_parts(self.head.into(), self.body)
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
    fn the_body_is_read_as_text_json_and_bytes() {
        assert_eq!(request("7").json::<u8>().unwrap(), 7);
        assert_eq!(request("hi").text().unwrap(), "hi");
        assert_eq!(request("hi").bytes(), "hi");
    }
}
