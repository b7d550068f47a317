//! Which pages may open a WebSocket: the `Origin` that browsers send (RFC 6454).

use std::fmt;
use std::net::Ipv6Addr;

use http::HeaderMap;
use http::header::ORIGIN;

/// Scheme, host and port of a page.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    /// In lower case, as is the host.
    scheme: String,
    host: String,
    /// `None` if it is that of the scheme, or if nobody knows what that is.
    port: Option<u16>,
}

impl Origin {
    /// Reads `scheme://host` or `scheme://host:port`; `null` is no origin.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let is_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        if !scheme.starts_with(|first: char| first.is_ascii_alphabetic()) || !scheme.bytes().all(is_scheme) {
            return None;
        }
        let scheme = scheme.to_ascii_lowercase();
        let (host, port) = match rest.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']')?;
                let host: Ipv6Addr = host.parse().ok()?;
                let port = if port.is_empty() { None } else { Some(port.strip_prefix(':')?) };
                (format!("[{host}]"), port)
            }
            None => {
                let (host, port) =
                    rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port)));
                let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
                if host.is_empty() || !host.bytes().all(is_host) {
                    return None;
                }
                (host.to_ascii_lowercase(), port)
            }
        };
        let port = match port {
            Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => Some(port.parse().ok()?),
            Some(_) => return None,
            None => None,
        };
        let usual = match scheme.as_str() {
            "http" => Some(80),
            "https" => Some(443),
            _ => None,
        };
        Some(Self { scheme, host, port: port.filter(|port| Some(*port) != usual) })
    }
}

/// The origin of a request that is not one of `allowed`, as the client wrote it. A request
/// without one comes from no browser, and is let through.
pub(crate) fn foreign(allowed: &[Origin], headers: &HeaderMap) -> Option<String> {
    let is_allowed = |text: &str| Origin::parse(text).is_some_and(|origin| allowed.contains(&origin));
    let foreign = |value: &http::HeaderValue| !value.to_str().is_ok_and(is_allowed);
    let value = headers.get_all(ORIGIN).iter().find(|value| foreign(value))?;
    Some(value.as_bytes().escape_ascii().to_string())
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_scheme_host_and_port_whatever_the_case() {
        let same = [
            ("https://app.example", "HTTPS://App.Example:443"),
            ("http://app.example", "http://app.example:80"),
            ("http://[::1]:3000", "http://[0:0::1]:3000"),
            ("tauri://localhost", "tauri://localhost"),
        ];
        for (one, other) in same {
            assert!(Origin::parse(one).is_some(), "{one}");
            assert_eq!(Origin::parse(one), Origin::parse(other), "{one}");
        }
        let app = Origin::parse("https://app.example");
        for other in [
            "http://app.example",
            "https://app.example:444",
            "https://app.example:80",
            "https://app.example.evil",
            "https://www.app.example",
            "https://app.example.",
        ] {
            assert_ne!(Origin::parse(other), app, "{other}");
        }
    }

    #[test]
    fn what_is_more_or_less_than_an_origin_is_none() {
        for text in [
            "",
            "null",
            "*",
            "app.example",
            "//app.example",
            "https://",
            "https://*.example",
            "https://app.example/",
            "https://app.example?",
            "https://user@app.example",
            "https://app.example:",
            "https://app.example:+1",
            "https://app.example:65536",
            "https://a b",
            "https://ä.example",
            "https://[::1",
            "https://[::1]x",
            "https://[::1]:",
            "1https://app.example",
            " https://app.example",
        ] {
            assert_eq!(Origin::parse(text), None, "{text}");
        }
    }
}
