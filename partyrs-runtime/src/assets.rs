//! Static files beside the rooms, served by `tower-http`.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use http::header::LOCATION;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use partyrs::Body;
use percent_encoding::percent_decode_str;
use tower_http::services::ServeDir;

use crate::net::http::text;

/// A folder whose files answer what is no room.
#[derive(Clone, Debug)]
pub(crate) struct Assets {
    folder: ServeDir,
}

impl Assets {
    /// # Errors
    ///
    /// If `folder` is no folder that can be read.
    pub(crate) fn open(folder: &Path) -> Result<Self, (PathBuf, std::io::Error)> {
        std::fs::read_dir(folder).map_err(|error| (folder.to_owned(), error))?;
        Ok(Self { folder: ServeDir::new(folder) })
    }

    /// The file for this request, or `None` if there is none: another method than GET and
    /// HEAD, a path with a dot file in it, or no such file.
    pub(crate) async fn find(&self, method: &Method, request: Request<()>) -> Option<Response<Body>> {
        if !matches!(*method, Method::GET | Method::HEAD) || has_dot_segment(request.uri().path()) {
            return None;
        }
        let request = request.map(|()| http_body_util::Empty::<bytes::Bytes>::new());
        let response = match self.folder.clone().try_call(request).await {
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
