//! Which requests static files answer, and how when there is no file.

use std::io::ErrorKind;

use http::header::{
    ACCEPT, ACCEPT_ENCODING, ACCEPT_RANGES, ETAG, HeaderMap, HeaderValue, IF_RANGE, LAST_MODIFIED, LOCATION,
    RANGE, VARY,
};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Empty};
use partyrs::Body;
use percent_encoding::{CONTROLS, percent_decode_str, utf8_percent_encode};
use tower_http::services::ServeDir;
use tower_http::services::fs::DefaultServeDirFallback;

use super::source::Source;
use crate::net::http::text;

/// Files that answer what is no room.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    files: ServeDir<DefaultServeDirFallback, Source>,
    single_page: bool,
}

impl Site {
    pub(super) fn new(source: Source, single_page: bool) -> Self {
        let files = ServeDir::with_backend("", source)
            .precompressed_br()
            .precompressed_gzip()
            // The whole is a legal answer to several ranges, and a better one than 416.
            .ignore_multi_range_requests(true);
        Self { files, single_page }
    }

    /// The file for this request, or `None` if there is none: another method than GET and
    /// HEAD, a path with a dot file in it, or no such file.
    pub(crate) async fn find(&self, request: &Request<()>) -> Option<Response<Body>> {
        if !is_read(request) || has_dot_segment(request.uri().path()) {
            return None;
        }
        let mut request = request.clone();
        *request.uri_mut() = in_ascii(request.uri())?;
        // A unit that we do not know is no range.
        if !request.headers().get(RANGE).is_some_and(|range| range.as_bytes().starts_with(b"bytes=")) {
            request.headers_mut().remove(RANGE);
        }
        let response = self.serve(&request).await?;
        if is_of_a_part(&response) && is_of_another_version(request.headers(), &response) {
            request.headers_mut().remove(RANGE);
            return self.serve(&request).await;
        }
        Some(response)
    }

    /// What is answered when nobody else has an answer: the page of a single-page app to a
    /// navigation, or else `404.html`, if there is one.
    pub(crate) async fn instead(&self, request: &Request<()>) -> Option<Response<Body>> {
        if !is_read(request) {
            return None;
        }
        if self.single_page && is_navigation(request.headers()) {
            let mut page = request.clone();
            *page.uri_mut() = Uri::from_static("/index.html");
            page.headers_mut().remove(RANGE);
            let mut response = self.serve(&page).await?;
            // At this address others are told 404.
            response.headers_mut().append(VARY, HeaderValue::from_static("accept, sec-fetch-mode"));
            return Some(response);
        }
        let mut page = Request::new(());
        *page.method_mut() = request.method().clone();
        *page.uri_mut() = Uri::from_static("/404.html");
        if let Some(encodings) = request.headers().get(ACCEPT_ENCODING) {
            page.headers_mut().insert(ACCEPT_ENCODING, encodings.clone());
        }
        let mut response = self.serve(&page).await?;
        *response.status_mut() = StatusCode::NOT_FOUND;
        // They are those of the page, and not of what was asked for.
        for header in [ETAG, LAST_MODIFIED, ACCEPT_RANGES] {
            response.headers_mut().remove(header);
        }
        Some(response)
    }

    async fn serve(&self, request: &Request<()>) -> Option<Response<Body>> {
        let request = request.clone().map(|()| Empty::<bytes::Bytes>::new());
        let response = match self.files.clone().try_call(request).await {
            Ok(response) => response,
            Err(error) if is_absence(error.kind()) => return None,
            Err(error) => {
                tracing::error!(%error, "static file cannot be read");
                return Some(text(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error"));
            }
        };
        if response.status() == StatusCode::NOT_FOUND || leads_to_another_host(&response) {
            return None;
        }
        Some(response.map(|body| body.map_err(Into::into).boxed_unsync()))
    }
}

fn is_read(request: &Request<()>) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD)
}

/// Whether a person goes to a page, and not a page to something that it needs.
fn is_navigation(headers: &HeaderMap) -> bool {
    let is_html = |accept: &HeaderValue| {
        accept.to_str().is_ok_and(|accept| accept.to_ascii_lowercase().contains("text/html"))
    };
    let mode = headers.get("sec-fetch-mode");
    mode.is_some_and(|mode| mode == "navigate") || headers.get_all(ACCEPT).iter().any(is_html)
}

/// The path and query in ASCII, as a header of an answer must be: a redirect repeats them.
fn in_ascii(uri: &Uri) -> Option<Uri> {
    let target = uri.path_and_query()?.as_str();
    Uri::try_from(utf8_percent_encode(target, CONTROLS).to_string()).ok()
}

fn is_of_a_part<B>(response: &Response<B>) -> bool {
    matches!(response.status(), StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE)
}

/// Whether the client wants a part of the file as it was, and the file is another by now:
/// `tower-http` does not look at `If-Range`.
fn is_of_another_version<B>(asked: &HeaderMap, response: &Response<B>) -> bool {
    let is = |header| response.headers().get(header) == asked.get(IF_RANGE);
    asked.contains_key(IF_RANGE) && !is(ETAG) && !is(LAST_MODIFIED)
}

/// Whether there is no such file for us; a name that the system does not allow is one that no file has.
fn is_absence(error: ErrorKind) -> bool {
    use ErrorKind::{InvalidFilename, NotADirectory, NotFound, PermissionDenied};
    matches!(error, NotFound | NotADirectory | InvalidFilename | PermissionDenied)
}

/// Whether this is the redirect of `//x` to the folder `//x/`: browsers read that as the host `x`.
fn leads_to_another_host<B>(response: &Response<B>) -> bool {
    response.headers().get(LOCATION).is_some_and(|location| location.as_bytes().starts_with(b"//"))
}

/// Whether a segment begins with a dot, percent-decoded: dot files, `.` and `..`.
fn has_dot_segment(path: &str) -> bool {
    let decoded = percent_decode_str(path).collect::<Vec<u8>>();
    decoded.split(|byte| matches!(byte, b'/' | b'\\')).any(|segment| segment.starts_with(b"."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dot_segments_are_seen_however_they_are_spelled() {
        for path in ["/.env", "/a/.git/x", "/%2eenv", "/a%2f.env", "/..", "/a/%2E%2e/b", "/a\\.b"] {
            assert!(has_dot_segment(path), "{path}");
        }
        for path in ["/", "/a.b", "/a./b"] {
            assert!(!has_dot_segment(path), "{path}");
        }
    }
}
