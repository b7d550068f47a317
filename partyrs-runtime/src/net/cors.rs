//! Which pages of other origins may read what plain requests are answered (CORS, of the Fetch standard).
//!
//! CORS guards no server: it tells a browser whether its page may see the answer. WebSockets
//! have no part in it; `origin.rs` is for those.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderName, HeaderValue, ORIGIN, VARY,
};
use http::{Method, Request, Response, StatusCode};
use partyrs::Body;

use super::origin::Origin;

/// Which pages of other origins may read what this host answers to plain requests; given to
/// [`Builder::cors`](crate::Builder::cors).
///
/// # Examples
///
/// ```
/// use partyrs::http::header::{ACCESS_CONTROL_ALLOW_METHODS, HeaderValue};
/// use partyrs_runtime::Cors;
///
/// // Any page may, without the cookies of its visitor.
/// let cors = Cors::permissive();
///
/// // Two pages may, and `PUT` too.
/// let cors = Cors::origins(["https://app.example", "http://localhost:3000"])
///     .with_header(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, PUT"));
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Cors {
    pages: Pages,
    /// What every answer to one of these pages has.
    headers: HeaderMap,
}

#[derive(Clone, Debug)]
enum Pages {
    Any,
    /// As the program wrote them.
    Listed {
        origins: Vec<String>,
        with_credentials: bool,
    },
}

/// A [`Cors`] that has been checked.
#[derive(Debug)]
pub(crate) struct Policy {
    /// `None` if any page may.
    origins: Option<Vec<Origin>>,
    with_credentials: bool,
    headers: HeaderMap,
}

/// What the answer to one request is to have.
#[derive(Debug)]
pub(crate) struct Grant(HeaderMap);

impl Cors {
    /// Any page may read the answers, but its requests are sent without the visitor's cookies.
    ///
    /// Every answer has `Access-Control-Allow-Origin: *`,
    /// `Access-Control-Allow-Methods: GET, POST, HEAD, OPTIONS`, `Access-Control-Allow-Headers: *`
    /// and `Access-Control-Max-Age: 86400`.
    pub fn permissive() -> Self {
        Self::of(Pages::Any).with_header(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"))
    }

    /// Only pages of these origins may read the answers: scheme, host and port, such as
    /// `https://app.example`; compared as in
    /// [`Builder::allowed_origins`](crate::Builder::allowed_origins), and checked when the host is built.
    ///
    /// As [`Cors::permissive`], but that `Access-Control-Allow-Origin` names the origin of the
    /// page that asks; a page of another origin gets none of the four headers. All answers have
    /// `Vary: Origin`.
    pub fn origins(origins: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self::of(Pages::Listed { origins: strings(origins), with_credentials: false })
    }

    /// As [`Cors::origins`], and requests of these pages may be sent with the visitor's cookies:
    /// `fetch(url, { credentials: "include" })`. Name only pages that you trust as your own.
    ///
    /// `Access-Control-Allow-Credentials: true` is added, and as `*` has no meaning then,
    /// `Access-Control-Allow-Headers` repeats what the browser asks for.
    pub fn origins_with_credentials(origins: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let credentials = (ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        Self::of(Pages::Listed { origins: strings(origins), with_credentials: true })
            .with_header(credentials.0, credentials.1)
    }

    /// The same with another header, or with another value of one of these headers, such as
    /// `Access-Control-Allow-Methods` or `Access-Control-Expose-Headers`.
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    fn of(pages: Pages) -> Self {
        let headers = HeaderMap::new();
        Self { pages, headers }
            .with_header(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, HEAD, OPTIONS"))
            .with_header(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("*"))
            .with_header(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"))
    }

    /// # Errors
    ///
    /// The text that is no origin.
    pub(crate) fn policy(&self) -> Result<Policy, String> {
        let read = |text: &String| Origin::parse(text).ok_or_else(|| text.clone());
        let (origins, with_credentials) = match &self.pages {
            Pages::Any => (None, false),
            Pages::Listed { origins, with_credentials } => {
                (Some(origins.iter().map(read).collect::<Result<_, _>>()?), *with_credentials)
            }
        };
        Ok(Policy { origins, with_credentials, headers: self.headers.clone() })
    }
}

impl Policy {
    /// What the answer to a request with these headers is to have.
    pub(crate) fn grant(&self, request: &HeaderMap) -> Grant {
        let Some(origins) = &self.origins else { return Grant(self.headers.clone()) };
        let mut granted = HeaderMap::new();
        let is_listed = |value: &HeaderValue| {
            let origin = value.to_str().ok().and_then(Origin::parse);
            origin.is_some_and(|origin| origins.contains(&origin))
        };
        if let Some(page) = request.get(ORIGIN).filter(|value| is_listed(value)) {
            granted.insert(ACCESS_CONTROL_ALLOW_ORIGIN, page.clone());
            granted.extend(self.headers.clone());
            let asked = request.get(ACCESS_CONTROL_REQUEST_HEADERS).filter(|_| self.with_credentials);
            if let Some(asked) = asked
                && self.headers.get(ACCESS_CONTROL_ALLOW_HEADERS).is_some_and(|value| value == "*")
            {
                granted.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
            }
        }
        // What is kept of the answer for one page must not be given to another.
        granted.append(VARY, HeaderValue::from_static("Origin"));
        Grant(granted)
    }
}

impl Grant {
    /// Adds the headers to an answer. One that says itself which page may read it is left as it is,
    /// and no header is there twice.
    pub(crate) fn add_to(self, response: &mut Response<Body>) {
        let headers = response.headers_mut();
        if headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) {
            return;
        }
        for (name, value) in &self.0 {
            if name != VARY {
                headers.entry(name).or_insert_with(|| value.clone());
            } else if !varies_by(headers, value) {
                headers.append(VARY, value.clone());
            }
        }
    }
}

/// Whether a browser asks what a page may do, before it does it.
pub(crate) fn is_preflight<B>(request: &Request<B>) -> bool {
    request.method() == Method::OPTIONS && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// The answer to that, but for what is granted.
pub(crate) fn preflight() -> Response<Body> {
    partyrs::Response::status(StatusCode::OK).into_http()
}

/// Whether an answer says already that it depends on this header of the request.
fn varies_by(headers: &HeaderMap, header: &HeaderValue) -> bool {
    let values = headers.get_all(VARY).iter().filter_map(|value| value.to_str().ok());
    let mut names = values.flat_map(|value| value.split(',')).map(str::trim);
    names.any(|name| name == "*" || name.as_bytes().eq_ignore_ascii_case(header.as_bytes()))
}

fn strings(texts: impl IntoIterator<Item = impl Into<String>>) -> Vec<String> {
    texts.into_iter().map(Into::into).collect()
}
