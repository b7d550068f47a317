//! Which URLs are rooms (wire rows 1 to 7).

use partyrs::prelude::*;
use partyrs_runtime::Host;
use partyrs_runtime::testing::TestHost;

use crate::http::raw::Raw;

/// Says where a request or a connection has arrived: party, room and URI, each on a line.
struct Where;

impl PartyServer for Where {
    type Message = Frame;

    async fn on_start(_: &Room) -> Result<Self> {
        Ok(Where)
    }

    async fn on_connect(&mut self, room: &Room, connection: &Connection, _: &ConnectContext) -> Result<()> {
        Ok(connection.send(place(room, &connection.uri().to_string()))?)
    }

    async fn on_request(&mut self, room: &Room, request: Request) -> Result<Response> {
        Ok(Response::text(place(room, &request.uri().to_string())))
    }
}

fn place(room: &Room, uri: &str) -> String {
    format!("{}\n{}\n{uri}", room.party(), room.id())
}

/// A host with the parties `chat`, `main` and `x_1-y`.
async fn host() -> TestHost {
    let builder = Host::builder().party::<Where>("chat").party::<Where>("main").party::<Where>("x_1-y");
    TestHost::of(builder).await
}

/// Status and text of a plain GET, by a client that sends `target` as it is.
async fn get(host: &TestHost, target: &str) -> (u16, String) {
    let mut client = Raw::connect(host).await;
    client.send(format!("GET {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")).await;
    let answer = client.answer().await;
    (answer.status, answer.text())
}

/// A plain request and a WebSocket to `target` arrive there.
async fn arrives(host: &TestHost, target: &str, party: &str, room: &str) {
    let place = format!("{party}\n{room}\n{target}");
    assert_eq!(get(host, target).await, (200, place.clone()), "GET {target}");
    assert_eq!(host.connect(target).await.next_text().await, place, "WebSocket to {target}");
}

/// A plain request and an upgrade to `target` get this answer, and no room is opened for it.
async fn is_refused(host: &TestHost, target: &str, status: u16, text: &str) {
    let rooms_count = host.rooms_count();
    assert_eq!(get(host, target).await, (status, text.to_owned()), "GET {target}");
    let refusal = host.try_connect(target).await.expect_err("a refusal");
    assert_eq!(refusal.status(), status, "upgrade to {target}");
    assert_eq!(refusal.body(), text, "upgrade to {target}");
    assert_eq!(host.rooms_count(), rooms_count, "{target}");
}

#[tokio::test]
async fn a_room_is_at_its_party_and_id_and_the_rest_reaches_the_hook_untouched() {
    let host = host().await;
    arrives(&host, "/parties/chat/tea", "chat", "tea").await;
    arrives(&host, "/parties/chat/tea/", "chat", "tea").await;
    arrives(&host, "/parties/x_1-y/tea/a//b/../%2e?q=%20+&&q=2&_pk=p", "x_1-y", "tea").await;
    arrives(&host, "/parties/main/tea?", "main", "tea").await;
    assert_eq!(host.rooms_count(), 3);
}

#[tokio::test]
async fn the_short_address_is_that_of_main_or_else_of_the_first_party() {
    arrives(&host().await, "/party/tea/a?b", "main", "tea").await;
    let without_main = Host::builder().party::<Where>("chat").party::<Where>("maine");
    arrives(&TestHost::of(without_main).await, "/party/tea/a?b", "chat", "tea").await;
}

#[tokio::test]
async fn rooms_of_one_id_in_two_parties_are_two_rooms() {
    let host = host().await;
    arrives(&host, "/parties/chat/tea", "chat", "tea").await;
    arrives(&host, "/parties/main/tea", "main", "tea").await;
    arrives(&host, "/party/tea", "main", "tea").await;
    assert_eq!(host.rooms_count(), 2);
}

#[tokio::test]
async fn a_party_name_is_taken_exactly() {
    let host = host().await;
    for name in ["Chat", "CHAT", "%63hat", "chat%20", "cha", "chatt", ".."] {
        is_refused(&host, &format!("/parties/{name}/tea"), 404, &format!("Party {name} not found")).await;
    }
    assert_eq!(get(&host, "/Parties/chat/tea").await, (404, "Not found".to_owned()));
    assert_eq!(get(&host, "/%70arties/chat/tea").await, (404, "Not found".to_owned()));
}

#[tokio::test]
async fn the_prefix_can_be_another_and_the_short_address_stays() {
    for prefix in ["rooms", "api/v1/rooms"] {
        let builder = Host::builder().party::<Where>("main").party::<Where>("chat").prefix(prefix);
        let host = TestHost::of(builder).await;
        arrives(&host, &format!("/{prefix}/chat/tea/x"), "chat", "tea").await;
        arrives(&host, "/party/tea", "main", "tea").await;
        is_refused(&host, "/parties/chat/tea", 404, "Not found").await;
        is_refused(&host, &format!("/{prefix}x/chat/tea"), 404, "Not found").await;
        is_refused(&host, &format!("/x/{prefix}/chat/tea"), 404, "Not found").await;
        is_refused(&host, &format!("/{prefix}/nope/tea"), 404, "Party nope not found").await;
    }
}

#[tokio::test]
async fn a_room_id_is_percent_decoded_once_and_the_uri_stays_raw() {
    let host = host().await;
    arrives(&host, "/party/x%20y", "main", "x y").await;
    arrives(&host, "/party/a%2Fb/c", "main", "a/b").await;
    arrives(&host, "/party/a%2fb", "main", "a/b").await;
    arrives(&host, "/party/%2520", "main", "%20").await;
    arrives(&host, "/party/a+b", "main", "a+b").await;
    arrives(&host, "/party/%E2%98%95", "main", "☕").await;
    arrives(&host, "/party/a%3Fb?c", "main", "a?b").await;
    // No folder is meant: a room's id is a name.
    arrives(&host, "/party/%2e%2e", "main", "..").await;
    arrives(&host, "/party/../tea", "main", "..").await;
    arrives(&host, "/party/.", "main", ".").await;
    arrives(&host, "/party/a%00b", "main", "a\0b").await;
    arrives(&host, "/party/a%0d%0ab", "main", "a\r\nb").await;
}

#[tokio::test]
async fn all_spellings_of_an_id_are_one_room() {
    let host = host().await;
    for spelling in ["café", "caf%C3%A9", "caf%c3%a9", "%63af%C3%A9"] {
        let (status, text) = get(&host, &format!("/party/{spelling}")).await;
        assert_eq!((status, text.lines().nth(1)), (200, Some("café")), "{spelling}");
    }
    assert_eq!(host.rooms_count(), 1);
}

#[tokio::test]
async fn a_room_id_that_is_not_utf8_is_400() {
    let host = host().await;
    for id in ["%FF", "a%C3", "%C3%28", "%ED%A0%80", "%C0%AF"] {
        is_refused(&host, &format!("/party/{id}"), 400, "Room id is not UTF-8").await;
        is_refused(&host, &format!("/parties/chat/{id}/x"), 400, "Room id is not UTF-8").await;
    }
}

#[tokio::test]
async fn a_room_id_has_at_most_1024_bytes_as_decoded() {
    let host = host().await;
    arrives(&host, &format!("/party/{}", "x".repeat(1024)), "main", &"x".repeat(1024)).await;
    arrives(&host, &format!("/party/{}", "%78".repeat(1024)), "main", &"x".repeat(1024)).await;
    arrives(&host, &format!("/party/{}", "%C3%A9".repeat(512)), "main", &"é".repeat(512)).await;
    let too_long = "Room id is longer than 1024 bytes";
    is_refused(&host, &format!("/party/{}", "x".repeat(1025)), 400, too_long).await;
    is_refused(&host, &format!("/party/{}", "%78".repeat(1025)), 400, too_long).await;
    is_refused(&host, &format!("/party/{}x", "%C3%A9".repeat(512)), 400, too_long).await;
}

#[tokio::test]
async fn what_names_no_room_is_not_found_and_opens_none() {
    let host = host().await;
    for target in [
        "/",
        "/party",
        "/party/",
        "/party?x",
        "/party/?x",
        "/parties",
        "/parties/",
        "/parties/main",
        "/parties/main/",
        "/parties/main/?x",
        "//party/x",
        "///party/x",
        "//parties/main/x",
        "/parties//x",
        "/parties///x",
        "/parties/main//x",
        "/party//x",
        "/partyx/a",
        "/x/party/a",
        "/%2Fparty/a",
        "/party%2Fa",
    ] {
        is_refused(&host, target, 404, "Not found").await;
    }
}

#[tokio::test]
async fn an_unknown_party_is_404_by_name_for_upgrades_too() {
    let host = host().await;
    is_refused(&host, "/parties/nope/tea", 404, "Party nope not found").await;
    is_refused(&host, "/parties/nope/tea/rest?query", 404, "Party nope not found").await;
    // The name comes from the client, so it must never be taken for HTML.
    let answer = host.get("/parties/nope/tea").await;
    assert_eq!(answer.headers()["content-type"], "text/plain; charset=utf-8");
}

#[tokio::test]
async fn a_target_with_scheme_and_host_names_the_room_of_its_path() {
    let host = host().await;
    let (status, text) = get(&host, "http://elsewhere.example:81/parties/chat/tea/a?b").await;
    assert_eq!((status, text.lines().take(2).collect::<Vec<_>>()), (200, vec!["chat", "tea"]));
    assert_eq!(get(&host, "http://elsewhere.example").await, (404, "Not found".to_owned()));
    assert_eq!(get(&host, "http://elsewhere.example//party/tea").await, (404, "Not found".to_owned()));
    assert_eq!(host.rooms_count(), 1);
}

#[tokio::test]
async fn strange_targets_get_an_answer_and_harm_nobody() {
    let host = host().await;
    for (target, status) in [
        ("*", 404),
        ("http://", 400),
        ("party/tea", 400),
        ("/party/a\u{7f}", 400),
        ("/party/a\tb", 400),
        ("/party/a\\..\\b", 200),
        ("/party/%", 200),
        ("/party/%zz", 200),
        ("/party/a;b=c,d", 200),
        ("/party/a|b^c\"{}", 200),
        ("/party/<a>", 400),
        ("/party/a`b", 400),
    ] {
        let mut client = Raw::connect(&host).await;
        client.send(format!("GET {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")).await;
        assert_eq!(client.answer().await.status, status, "{target}");
    }
    for start in ["OPTIONS * HTTP/1.1", "CONNECT elsewhere.example:443 HTTP/1.1"] {
        let mut client = Raw::connect(&host).await;
        client.send(format!("{start}\r\nhost: x\r\nconnection: close\r\n\r\n")).await;
        assert_eq!(client.answer().await.status, 404, "{start}");
    }
    arrives(&host, "/party/tea", "main", "tea").await;
}
