//! Which pages may open WebSockets (wire row 27).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::header::ORIGIN;
use partyrs::prelude::*;
use partyrs_runtime::testing::TestHost;
use partyrs_runtime::{Builder, Host};

use crate::upgrade::raw::{Answer, Raw, upgrade_request};

/// Counts how often it was asked for admission.
struct Doorman;

impl PartyServer for Doorman {
    type Message = String;

    async fn on_start(_: &Room) -> Result<Self> {
        Ok(Doorman)
    }

    async fn on_request(&mut self, _: &Room, request: Request) -> Result<Response> {
        Ok(Response::text(request.header("origin").unwrap_or_default().to_owned()))
    }

    async fn on_before_connect(_: &mut Head, lobby: &Lobby) -> Result<Admission> {
        lobby.env::<Arc<AtomicUsize>>()?.fetch_add(1, Ordering::Relaxed);
        Ok(Admission::Admit)
    }
}

async fn doorman(change: impl FnOnce(Builder) -> Builder) -> (TestHost, Arc<AtomicUsize>) {
    let asked_count = Arc::new(AtomicUsize::new(0));
    let host = Host::builder().party::<Doorman>("main").env(Arc::clone(&asked_count));
    (TestHost::of(change(host)).await, asked_count)
}

/// The answer to an upgrade from a page of this origin.
async fn asked(host: &TestHost, path: &str, origin: Option<&str>) -> Answer {
    let mut raw = Raw::tcp(host).await;
    let origin = origin.map_or(String::new(), |origin| format!("Origin: {origin}\r\n"));
    raw.send(format!("{}\r\n{origin}\r\n", upgrade_request(path).trim_end())).await;
    raw.answer().await
}

#[tokio::test]
async fn without_the_setting_every_origin_may_connect() {
    let (host, asked_count) = doorman(|builder| builder).await;
    for origin in [None, Some("https://evil.example"), Some("null"), Some("")] {
        assert_eq!(asked(&host, "/party/lobby", origin).await.status, 101, "{origin:?}");
    }
    assert_eq!(asked_count.load(Ordering::Relaxed), 4);
}

#[tokio::test]
async fn a_page_of_another_origin_is_refused_403_before_any_hook() {
    let (host, asked_count) = doorman(|builder| builder.allowed_origins(["https://app.example"])).await;
    for origin in [
        "https://evil.example",
        "http://app.example",
        "https://app.example:8443",
        "https://app.example.evil.example",
        "https://evil.example/https://app.example",
        "https://app.example/",
        "https://app.example, https://evil.example",
        "null",
        "",
        "https://app.example\r\nOrigin: https://evil.example",
    ] {
        let answer = asked(&host, "/party/lobby", Some(origin)).await;
        assert_eq!(answer.status, 403, "{origin:?}");
        assert!(answer.body.starts_with("Origin ") && answer.body.ends_with(" is not allowed"), "{answer:?}");
    }
    let answer = asked(&host, "/party/lobby", Some("https://evil.example")).await;
    assert_eq!(answer.body, "Origin https://evil.example is not allowed");
    assert_eq!(asked_count.load(Ordering::Relaxed), 0);
    assert_eq!((host.rooms_count(), host.connections_count()), (0, 0));
}

#[tokio::test]
async fn a_page_of_an_allowed_origin_and_what_is_no_browser_may_connect() {
    let origins = ["HTTPS://App.Example", "http://localhost:3000", "http://[::1]:3000"];
    let change = |builder: Builder| builder.allowed_origins(origins).allowed_origins(["tauri://localhost"]);
    let (host, asked_count) = doorman(change).await;
    for origin in [
        None,
        Some("https://app.example"),
        Some("https://APP.example:443"),
        Some("http://localhost:3000"),
        Some("http://[::1]:3000"),
        Some("tauri://localhost"),
    ] {
        assert_eq!(asked(&host, "/party/lobby", origin).await.status, 101, "{origin:?}");
    }
    assert_eq!(asked_count.load(Ordering::Relaxed), 6);
}

#[tokio::test]
async fn an_empty_list_allows_no_page() {
    let (host, _) = doorman(|builder| builder.allowed_origins([] as [&str; 0])).await;
    assert_eq!(asked(&host, "/party/lobby", Some("https://app.example")).await.status, 403);
    assert_eq!(asked(&host, "/party/lobby", None).await.status, 101);
}

#[tokio::test]
async fn plain_requests_are_not_asked_for_their_origin() {
    let (host, _) = doorman(|builder| builder.allowed_origins(["https://app.example"])).await;
    let request = http::Request::get("/party/lobby").header(ORIGIN, "https://evil.example");
    let response = host.request(request.body("").unwrap()).await;
    assert_eq!((response.status().as_u16(), &response.body()[..]), (200, &b"https://evil.example"[..]));
}

#[test]
fn what_is_no_origin_is_refused_by_name_when_the_host_is_built() {
    for origin in ["", "*", "null", "app.example", "https://app.example/", "https://*.example", "https://a:x"]
    {
        let builder = Host::builder().party::<Doorman>("main");
        let builder = builder.allowed_origins(["https://app.example", origin]);
        let text = builder.build().expect_err("a refusal").to_string();
        assert!(
            text.starts_with(&format!("allowed origin {origin:?} must be a scheme and a host")),
            "{text}"
        );
    }
}
