//! The admin address (wire row 45): who may ask, and what is told.

use std::net::SocketAddr;
use std::time::Duration;

use partyrs_runtime::testing::{TestHost, soon};
use partyrs_runtime::{Builder, Host};
use serde_json::{Value, json};

use crate::http::raw::{Answer, Raw};
use crate::parties::{Everybody, Witness, member, reports};

const TOKEN: &str = "0123456789abcdef";

fn local() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

fn builder() -> Builder {
    let (reports, _) = reports();
    let host = Host::builder().party::<Witness>("main").party::<Everybody>("other").env(reports);
    // Without pings, so that the clock may run.
    host.admin(local()).config(|config| config.ping_every = Duration::MAX)
}

async fn ask_with(host: &TestHost, path: &str, headers: &str) -> Answer {
    let mut raw = Raw::connect_to(host.admin_addr().unwrap()).await;
    raw.send(format!("GET {path} HTTP/1.1\r\n{headers}\r\n")).await;
    raw.answer().await
}

async fn ask(host: &TestHost, path: &str) -> Answer {
    ask_with(host, path, "host: localhost\r\n").await
}

async fn json_of(host: &TestHost, path: &str) -> Value {
    let answer = ask(host, path).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    serde_json::from_slice(&answer.body).unwrap()
}

#[tokio::test]
async fn health_and_readiness_are_told_at_the_admin_address_alone() {
    let host = TestHost::of(builder()).await;
    assert_eq!(
        (ask(&host, "/-/health").await.text(), ask(&host, "/-/ready").await.text()),
        ("ok".into(), "ready".into())
    );
    for path in ["/-/health", "/-/ready", "/-/rooms"] {
        assert_eq!(host.get(path).await.status(), 404, "{path}");
    }
    // And nothing else is served there.
    for path in ["/", "/party/a", "/parties/main/a", "/-/", "/-/rooms/", "/-/rooms/main/"] {
        assert_eq!(ask(&host, path).await.status, 404, "{path}");
    }
    assert_eq!(host.rooms_count(), 0);
}

#[tokio::test]
async fn it_answers_also_where_time_for_heads_has_no_limit() {
    let host = TestHost::of(builder().config(|config| config.header_timeout = Duration::MAX)).await;
    assert_eq!(ask(&host, "/-/health").await.text(), "ok");
}

#[tokio::test]
async fn a_host_that_drains_lives_and_is_not_ready() {
    let mut host = TestHost::of(builder()).await;
    let mut raw = Raw::connect_to(host.admin_addr().unwrap()).await;
    // A client that does not answer its Close holds the shutdown up.
    let ada = crate::upgrade::raw::Raw::member(&host, "a", "ada").await;
    host.begin_stop();
    let mut readiness = async || {
        raw.send("GET /-/ready HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        raw.answer().await
    };
    let mut answer = readiness().await;
    while answer.status == 200 {
        answer = readiness().await;
    }
    assert_eq!((answer.status, answer.text()), (503, "draining".to_owned()));
    assert_eq!(ask(&host, "/-/health").await.status, 200);
    drop(ada);
    host.stop().await;
}

#[tokio::test]
async fn parties_and_their_rooms_are_listed_with_their_connections() {
    let host = TestHost::of(builder()).await;
    assert_eq!(
        json_of(&host, "/-/rooms").await,
        json!({"parties": [
            {"party": "main", "open_rooms": 0, "connections": 0},
            {"party": "other", "open_rooms": 0, "connections": 0},
        ]})
    );
    let (mut ada, bob) = (member(&host, "a", "ada").await, member(&host, "a", "bob").await);
    let cleo = member(&host, "b%20%2F", "cleo").await;
    ada.send("put k v").await;
    assert_eq!(ada.next_text().await, "put k");
    let expected = |a: &str, count: u32| {
        json!({"party": "main", "next_after": null, "rooms": [
            {"room": "a", "state": a, "connections": count},
            {"room": "b /", "state": "open", "connections": 1},
        ]})
    };
    assert_eq!(json_of(&host, "/-/rooms?party=main").await, expected("open", 2));
    host.hibernate("a").await;
    assert_eq!(json_of(&host, "/-/rooms?party=main").await, expected("hibernating", 2));
    assert_eq!(json_of(&host, "/-/rooms").await["parties"][0]["connections"], 3);

    bob.close(None).await;
    ada.close(None).await;
    host.until(|host| {
        host.advance(Duration::from_secs(10));
        host.rooms_count() == 1
    })
    .await;
    assert_eq!(json_of(&host, "/-/rooms?party=main").await, expected("closed", 0));
    let behind = json_of(&host, "/-/rooms?party=main&after=a").await;
    assert_eq!(behind["rooms"], json!([{"room": "b /", "state": "open", "connections": 1}]));
    assert_eq!(ask(&host, "/-/rooms?party=nope").await.text(), "Party nope not found");
    drop(cleo);
}

#[tokio::test]
async fn a_room_is_told_by_its_keys_and_alarms_and_not_opened_for_it() {
    let host = TestHost::of(builder()).await;
    let mut ada = member(&host, "a%20b", "ada").await;
    for key in ["x", "a/é"] {
        ada.send(format!("put {key} secret")).await;
        assert_eq!(ada.next_text().await, format!("put {key}"));
    }
    let room = json_of(&host, "/-/rooms/main/a%20b").await;
    assert_eq!(
        room,
        json!({
            "party": "main", "room": "a b", "state": "open", "connections": 1, "alarms": [], "next_after": null,
            "keys": [{"key": "a/é", "bytes": 7}, {"key": "x", "bytes": 7}],
        })
    );
    let behind = json_of(&host, "/-/rooms/main/a%20b?after=a%2F%C3%A9").await;
    assert_eq!(behind["keys"], json!([{"key": "x", "bytes": 7}]));

    let nothing = json_of(&host, "/-/rooms/main/none").await;
    assert_eq!((&nothing["state"], &nothing["keys"]), (&json!("closed"), &json!([])));
    assert_eq!(host.rooms_count(), 1);
    assert_eq!(ask(&host, "/-/rooms/nope/a").await.status, 404);
    assert_eq!(ask(&host, "/-/rooms/main/%ff").await.status, 400);
}

#[tokio::test]
async fn a_listing_goes_on_behind_its_thousandth_room() {
    let host = TestHost::of(builder()).await;
    for room in 0..1001 {
        assert_eq!(host.get(&format!("/parties/other/{room:04}")).await.status(), 404);
    }
    let page = json_of(&host, "/-/rooms?party=other").await;
    assert_eq!((page["rooms"].as_array().unwrap().len(), &page["next_after"]), (1000, &json!("0999")));
    let page = json_of(&host, "/-/rooms?party=other&after=0999").await;
    assert_eq!((page["rooms"].as_array().unwrap().len(), &page["next_after"]), (1, &json!(null)));
}

#[tokio::test]
async fn with_a_token_only_who_shows_it_sees_rooms() {
    let host = TestHost::of(builder().admin_token(TOKEN)).await;
    let with = |header: String| format!("host: any.example\r\n{header}");
    for scheme in ["Bearer", "bearer"] {
        let right = with(format!("authorization: {scheme} {TOKEN}\r\n"));
        assert_eq!(ask_with(&host, "/-/rooms", &right).await.status, 200);
    }
    for wrong in [
        String::new(),
        "authorization: Bearer \r\n".to_owned(),
        format!("authorization: Bearer {TOKEN}x\r\n"),
        format!("authorization: Bearer {}\r\n", &TOKEN[..15]),
        format!("authorization: {TOKEN}\r\n"),
        format!("authorization: Bearer {}\r\n", TOKEN.to_uppercase()),
    ] {
        let answer = ask_with(&host, "/-/rooms/main/a", &with(wrong.clone())).await;
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some("bearer")), "{wrong}");
    }
    assert_eq!(ask_with(&host, "/-/health", &with(String::new())).await.status, 200);
}

/// A page may have a name of its own lead to this machine, and ask there for its visitor.
#[tokio::test]
async fn without_a_token_no_foreign_name_leads_to_rooms() {
    let host = TestHost::of(builder()).await;
    for name in ["evil.example", "localhost.evil.example:80", ""] {
        let answer = ask_with(&host, "/-/rooms", &format!("host: {name}\r\n")).await;
        assert_eq!(answer.status, 403, "{name}");
    }
    for name in ["localhost:1", "127.0.0.1", "[::1]:9"] {
        let answer = ask_with(&host, "/-/rooms", &format!("host: {name}\r\n")).await;
        assert_eq!(answer.status, 200, "{name}");
    }
}

/// There is room for 64 at a time.
#[tokio::test]
async fn clients_that_ask_for_nothing_do_not_keep_health_from_those_who_ask() {
    let host = TestHost::of(builder()).await;
    let mut silent = Vec::new();
    for _ in 0..64 {
        silent.push(Raw::connect_to(host.admin_addr().unwrap()).await);
    }
    let mut probe = Box::pin(ask(&host, "/-/health"));
    let answer = soon(async {
        loop {
            tokio::select! {
                biased;
                answer = &mut probe => return answer,
                // Their time may begin later than their connections.
                () = tokio::task::yield_now() => host.advance(Duration::from_secs(1)),
            }
        }
    })
    .await;
    assert_eq!(answer.text(), "ok");
}

#[tokio::test]
async fn the_admin_address_is_only_read() {
    let host = TestHost::of(builder()).await;
    let mut raw = Raw::connect_to(host.admin_addr().unwrap()).await;
    raw.send("POST /-/rooms HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(raw.answer().await.status, 405);
}

#[tokio::test]
async fn an_admin_address_that_others_reach_needs_a_token() {
    let everywhere = SocketAddr::from(([0, 0, 0, 0], 0));
    let refused = |builder: Builder| builder.build().expect_err("a refusal").to_string();
    assert_eq!(
        refused(builder().admin(everywhere)),
        "admin address 0.0.0.0:0 is reached from other machines, so it needs a token: `.admin_token(..)` or PARTYRS_ADMIN_TOKEN"
    );
    for token in ["", "0123456789abcde", "0123456789abcdef ", "0123456789abcdeé"] {
        let text = refused(builder().admin_token(token));
        assert_eq!(
            text,
            "the admin token, of `.admin_token(..)` or PARTYRS_ADMIN_TOKEN, must have at least 16 visible ASCII characters and no spaces"
        );
    }
    assert!(builder().admin(everywhere).admin_token(TOKEN).build().is_ok());
    assert!(!format!("{:?}", builder().admin_token(TOKEN)).contains(TOKEN));
}
