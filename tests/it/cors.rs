//! Which pages of other origins may read the answers (wire row 14).

use std::time::Duration;

use http::header::{ACCESS_CONTROL_EXPOSE_HEADERS, HeaderMap, HeaderName, HeaderValue};
use partyrs::prelude::*;
use partyrs_runtime::testing::TestHost;
use partyrs_runtime::{Builder, Cors, Host};

use crate::http::raw::Raw;

const PAGE: &str = "https://app.example";

/// Does what the last segment of the path says.
struct Desk;

impl PartyServer for Desk {
    type Message = Frame;

    async fn on_start(room: &Room) -> Result<Self> {
        if room.id().as_str() == "broken" { Err(Error::new("broken")) } else { Ok(Desk) }
    }

    async fn on_before_request(head: &mut Head, _: &Lobby) -> Result<Admission> {
        Ok(match head.query("refuse") {
            Some(_) => Admission::Respond(Response::text("refused")),
            None => Admission::Admit,
        })
    }

    async fn on_request(&mut self, _: &Room, request: Request) -> Result<Response> {
        answer(&request)
    }
}

struct Site;

impl LobbyServer for Site {
    async fn on_fetch(&self, request: Request, _: &HostLobby) -> Result<Option<Response>> {
        if request.uri().path().starts_with("/site") { answer(&request).map(Some) } else { Ok(None) }
    }
}

fn answer(request: &Request) -> Result<Response> {
    let mut response = Response::text(format!("hook of {}", request.method()));
    let headers = response.headers_mut();
    let mut add =
        |name, value| headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    match request.uri().path().rsplit('/').next().unwrap_or_default() {
        "fail" => return Err(Error::new("as told")),
        "panic" => panic!("as told"),
        "forbid" => return Err(Error::status(403, "as told")),
        "own" => {
            add("access-control-allow-origin", "https://other.example");
        }
        "some" => {
            add("access-control-max-age", "1");
            add("vary", "Accept, ORIGIN");
        }
        "vary" => {
            add("vary", "Accept");
        }
        _ => {}
    }
    Ok(response)
}

async fn host(change: impl FnOnce(Builder) -> Builder) -> TestHost {
    let host = Host::builder().party::<Desk>("main").lobby(Site);
    TestHost::of(change(host.config(|config| config.body_bytes_max = 10))).await
}

/// Status, text, and the headers that browsers ask for, in order and in one line each.
async fn ask(host: &TestHost, request: &str, headers: &[(&str, &str)]) -> (u16, String, Vec<String>) {
    let (method, path) = request.split_once(' ').unwrap();
    let mut request = http::Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = host.request(request.body("").unwrap()).await;
    let text = String::from_utf8(answer.body().to_vec()).unwrap();
    (answer.status().as_u16(), text, cors_headers(answer.headers()))
}

fn cors_headers(headers: &HeaderMap) -> Vec<String> {
    let names = headers.iter().filter(|(name, _)| *name == "vary" || name.as_str().starts_with("access-"));
    let mut lines =
        names.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect::<Vec<_>>();
    lines.sort();
    lines
}

const PREFLIGHT: [(&str, &str); 3] = [
    ("origin", PAGE),
    ("access-control-request-method", "PUT"),
    ("access-control-request-headers", "x-token, content-type"),
];

const ANY: [&str; 4] = [
    "access-control-allow-headers: *",
    "access-control-allow-methods: GET, POST, HEAD, OPTIONS",
    "access-control-allow-origin: *",
    "access-control-max-age: 86400",
];

const LISTED: [&str; 5] = [
    "access-control-allow-headers: *",
    "access-control-allow-methods: GET, POST, HEAD, OPTIONS",
    "access-control-allow-origin: https://app.example",
    "access-control-max-age: 86400",
    "vary: Origin",
];

#[tokio::test]
async fn without_the_setting_nothing_is_added_and_hooks_are_asked_in_advance() {
    let host = host(|builder| builder).await;
    for path in ["/party/a", "/site", "/parties/main/a/b"] {
        let (status, text, headers) = ask(&host, &format!("OPTIONS {path}"), &PREFLIGHT).await;
        assert_eq!((status, text.as_str()), (200, "hook of OPTIONS"));
        assert_eq!(headers, [] as [&str; 0]);
        assert_eq!(ask(&host, &format!("GET {path}"), &PREFLIGHT[..1]).await.2, [] as [&str; 0]);
    }
}

#[tokio::test]
async fn what_a_browser_asks_in_advance_is_answered_by_the_host_and_opens_no_room() {
    let host = host(|builder| builder.cors(Cors::permissive())).await;
    for path in
        ["/party/a", "/parties/main/b/c?d", "/parties/nobody/a", "/site", "/nothing", "/party/a?refuse"]
    {
        let (status, text, headers) = ask(&host, &format!("OPTIONS {path}"), &PREFLIGHT).await;
        assert_eq!((status, text.as_str()), (200, ""), "{path}");
        assert_eq!(headers, ANY, "{path}");
    }
    assert_eq!(host.rooms_count(), 0);
}

#[tokio::test]
async fn a_plain_options_request_reaches_the_hook() {
    let host = host(|builder| builder.cors(Cors::permissive())).await;
    for path in ["/party/a", "/site"] {
        let (status, text, headers) = ask(&host, &format!("OPTIONS {path}"), &PREFLIGHT[..1]).await;
        assert_eq!((status, text.as_str()), (200, "hook of OPTIONS"));
        assert_eq!(headers, ANY);
    }
}

#[tokio::test]
async fn every_answer_has_the_headers_refusals_and_errors_too() {
    let files = tempfile::tempdir().unwrap();
    std::fs::write(files.path().join("file"), "a file").unwrap();
    let mut host = host(|builder| builder.cors(Cors::permissive()).assets(files.path())).await;
    for (request, status) in [
        ("GET /party/a", 200),
        ("PUT /party/a", 200),
        ("GET /party/a?refuse", 200),
        ("GET /party/a/fail", 500),
        ("GET /party/a/panic", 500),
        ("GET /party/a/forbid", 403),
        ("GET /party/broken", 500),
        ("GET /parties/nobody/a", 404),
        ("GET /party/%ff", 400),
        ("GET /nothing", 404),
        ("GET /file", 200),
        ("GET /site", 200),
        ("GET /site/fail", 500),
        ("GET /site/panic", 500),
    ] {
        // With and without an origin: what is kept of an answer may be given to a page later.
        for headers in [&PREFLIGHT[..1], &[]] {
            let mut answer = ask(&host, request, headers).await;
            // That of the files' own.
            answer.2.retain(|header| header != "vary: accept-encoding");
            assert_eq!((answer.0, answer.2), (status, ANY.map(str::to_owned).to_vec()), "{request}");
        }
    }
    let request = http::Request::post("/party/a").body("longer than 10 bytes").unwrap();
    let long = host.request(request).await;
    assert_eq!(
        (long.status().as_u16(), cors_headers(long.headers())),
        (413, ANY.map(str::to_owned).to_vec())
    );

    let mut late = Raw::connect(&host).await;
    late.send("POST /party/a HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n").await;
    assert_eq!(late.head().await.status, 100);
    host.advance(Duration::from_secs(30));
    let answer = late.answer().await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (408, Some("*")));

    let mut idle = host.join("idle").await;
    let mut raw = Raw::connect(&host).await;
    raw.send("GET /party/a HTTP/1.1\r\nhost").await;
    host.get("/party/a").await;
    host.begin_stop();
    assert_eq!(idle.closed().await.0, 1012);
    raw.send(": x\r\n\r\n").await;
    let answer = raw.answer().await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (503, Some("*")));
}

#[tokio::test]
async fn an_upgrade_has_none_of_it() {
    let host = host(|builder| builder.cors(Cors::permissive())).await;
    let mut raw = crate::upgrade::raw::Raw::tcp(&host).await;
    raw.send(crate::upgrade::raw::upgrade_request("/party/a")).await;
    let answer = raw.answer().await;
    assert_eq!(answer.status, 101);
    assert!(!answer.head.to_lowercase().contains("access-control"), "{}", answer.head);
    let refused = host.try_connect("/parties/nobody/a").await.expect_err("a refusal");
    assert_eq!((refused.status().as_u16(), cors_headers(refused.headers())), (404, vec![]));
}

#[tokio::test]
async fn only_listed_pages_are_named() {
    let pages = [PAGE, "http://localhost:3000"];
    let host = host(|builder| builder.cors(Cors::origins(pages))).await;
    for request in ["GET /party/a", "GET /site", "GET /nothing"] {
        assert_eq!(ask(&host, request, &[("origin", PAGE)]).await.2, LISTED);
        for other in ["https://evil.example", "http://app.example", "null", "", "https://app.example.evil"] {
            let (_, _, headers) = ask(&host, request, &[("origin", other)]).await;
            assert_eq!(headers, ["vary: Origin"], "{other}");
        }
        assert_eq!(ask(&host, request, &[]).await.2, ["vary: Origin"]);
    }
    let (status, text, headers) = ask(&host, "OPTIONS /party/a", &PREFLIGHT).await;
    assert_eq!((status, text.as_str()), (200, ""));
    assert_eq!(headers, LISTED);
    let foreign = [("origin", "https://evil.example"), PREFLIGHT[1]];
    let (status, text, headers) = ask(&host, "OPTIONS /party/a", &foreign).await;
    assert_eq!((status, text.as_str()), (200, ""));
    assert_eq!(headers, ["vary: Origin"]);
}

#[tokio::test]
async fn with_credentials_the_headers_that_are_asked_for_are_named() {
    let host = host(|builder| builder.cors(Cors::origins_with_credentials([PAGE]))).await;
    let named = |headers: &str| {
        let mut lines = vec![
            "access-control-allow-credentials: true".to_owned(),
            format!("access-control-allow-headers: {headers}"),
        ];
        lines.extend(LISTED[1..].iter().map(ToString::to_string));
        lines
    };
    assert_eq!(ask(&host, "OPTIONS /party/a", &PREFLIGHT).await.2, named("x-token, content-type"));
    assert_eq!(ask(&host, "GET /party/a", &PREFLIGHT[..1]).await.2, named("*"));
    let foreign = [("origin", "https://evil.example"), PREFLIGHT[1], PREFLIGHT[2]];
    assert_eq!(ask(&host, "OPTIONS /party/a", &foreign).await.2, ["vary: Origin"]);
}

#[tokio::test]
async fn what_an_answer_says_itself_is_not_said_again() {
    let host = host(|builder| builder.cors(Cors::origins([PAGE]))).await;
    for place in ["/party/a", "/site"] {
        let page = [("origin", PAGE)];
        let own = ask(&host, &format!("GET {place}/own"), &page).await.2;
        assert_eq!(own, ["access-control-allow-origin: https://other.example"]);
        let some = ask(&host, &format!("GET {place}/some"), &page).await.2;
        assert_eq!(some[..3], LISTED[..3]);
        assert_eq!(some[3..], ["access-control-max-age: 1", "vary: Accept, ORIGIN"]);
        let vary = ask(&host, &format!("GET {place}/vary"), &page).await.2;
        assert_eq!(vary[4..], ["vary: Accept", "vary: Origin"]);
    }
}

#[tokio::test]
async fn a_policy_may_have_headers_of_its_own() {
    let exposed = (ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("x-total"));
    let methods = (http::header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("PUT"));
    let host = host(|builder| {
        let cors = Cors::permissive().with_header(exposed.0, exposed.1).with_header(methods.0, methods.1);
        builder.cors(Cors::origins([PAGE])).cors(cors)
    })
    .await;
    for request in ["OPTIONS /party/a", "GET /party/a"] {
        let (_, _, headers) = ask(&host, request, &PREFLIGHT).await;
        assert_eq!(
            headers,
            [
                ANY[0],
                "access-control-allow-methods: PUT",
                ANY[2],
                "access-control-expose-headers: x-total",
                ANY[3]
            ]
        );
    }
}

#[test]
fn what_is_no_origin_is_refused_by_name_when_the_host_is_built() {
    for origin in ["*", "null", "app.example", "https://app.example/"] {
        let builder = Host::builder().party::<Desk>("main").cors(Cors::origins([PAGE, origin]));
        let error = builder.build().expect_err("a refusal").to_string();
        let expected = format!("CORS origin {origin:?} must be a scheme and a host, and a port");
        assert!(error.starts_with(&expected), "{error}");
    }
}
