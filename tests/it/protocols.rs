//! Subprotocols (wire row 24).

use partyrs::prelude::*;
use partyrs_runtime::Host;
use partyrs_runtime::testing::TestHost;

use crate::upgrade::raw::{Answer, Raw, upgrade_request};

/// Does with what is offered as the query says, and tells each client what was agreed to.
struct Chooser;

impl PartyServer for Chooser {
    type Message = String;

    async fn on_start(_: &Room) -> Result<Self> {
        Ok(Chooser)
    }

    async fn on_connect(
        &mut self,
        room: &Room,
        connection: &Connection,
        context: &ConnectContext,
    ) -> Result<()> {
        let (protocol, offered) = (connection.protocol(), context.head().offered_protocols());
        let offered: Vec<&str> = offered.collect();
        connection.send(format!("{protocol:?} of {offered:?}, {}", room.connections_count()))?;
        Ok(())
    }

    async fn on_message(&mut self, _: &Room, sender: &Connection, _: String) -> Result<()> {
        sender.send(format!("still {:?}", sender.protocol()))?;
        Ok(())
    }

    async fn on_before_connect(head: &mut Head, _: &Lobby) -> Result<Admission> {
        if let Some(protocol) = head.query("select").map(String::from) {
            head.select_protocol(&protocol)?;
        }
        match head.query("refuse").as_deref() {
            Some("close") => Ok(Admission::Close(CloseFrame::new(4001, "no")?)),
            Some("error") => Err(Error::close(4002, "no")),
            Some("respond") => Ok(Admission::Respond(Response::text("no"))),
            _ => Ok(Admission::Admit),
        }
    }
}

async fn choosers() -> TestHost {
    TestHost::of(Host::builder().party::<Chooser>("main")).await
}

/// Asks for a WebSocket with these headers more.
async fn asked(host: &TestHost, query: &str, headers: &[&str]) -> (Raw, Answer) {
    let mut raw = Raw::tcp(host).await;
    let request = upgrade_request(&format!("/party/lobby?{query}"));
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    raw.send(format!("{}\r\n{headers}\r\n", request.trim_end())).await;
    let answer = raw.answer().await;
    (raw, answer)
}

fn told(answer: &Answer) -> Option<&str> {
    answer.head.lines().find_map(|line| line.strip_prefix("sec-websocket-protocol: "))
}

#[tokio::test]
async fn the_subprotocol_that_the_before_hook_selects_is_told_and_can_be_read() {
    let host = choosers().await;
    for (select, headers) in [
        ("chat.v2", &["Sec-WebSocket-Protocol: chat.v2"][..]),
        ("chat.v1", &["Sec-WebSocket-Protocol: chat.v2,chat.v1"]),
        ("chat.v1", &["Sec-WebSocket-Protocol: chat.v2", "sec-websocket-protocol:  chat.v1 , x"]),
    ] {
        let (mut raw, answer) = asked(&host, &format!("select={select}"), headers).await;
        assert_eq!((answer.status, told(&answer)), (101, Some(select)), "{headers:?}");
        let welcome = raw.next_text().await;
        assert!(welcome.starts_with(&format!("Some({select:?}) of [\"chat.v2\"")), "{welcome}");
        raw.send(crate::upgrade::raw::frame(crate::upgrade::raw::TEXT, "?")).await;
        assert_eq!(raw.next_text().await, format!("still Some({select:?})"));
    }
}

#[tokio::test]
async fn without_a_choice_no_subprotocol_is_told() {
    let host = choosers().await;
    let (mut raw, answer) = asked(&host, "", &["Sec-WebSocket-Protocol: chat.v2"]).await;
    assert_eq!((answer.status, told(&answer)), (101, None));
    assert_eq!(raw.next_text().await, "None of [\"chat.v2\"], 1");
}

#[tokio::test]
async fn a_subprotocol_that_is_not_offered_is_500_and_opens_no_room() {
    let host = choosers().await;
    for headers in [&[][..], &["Sec-WebSocket-Protocol: chat.v1, Chat.v2, chat.v22"]] {
        let (_, answer) = asked(&host, "select=chat.v2", headers).await;
        assert_eq!((answer.status, answer.body.as_str()), (500, "Internal Server Error"), "{headers:?}");
        assert_eq!(told(&answer), None);
    }
    assert_eq!((host.rooms_count(), host.connections_count()), (0, 0));
}

#[tokio::test]
async fn the_log_says_which_subprotocol_was_not_offered() {
    let host = Host::builder().party::<Chooser>("main").debug_errors(true);
    let host = TestHost::of(host).await;
    let (_, answer) = asked(&host, "select=b", &["Sec-WebSocket-Protocol: a"]).await;
    assert_eq!(answer.body, "subprotocol \"b\" is not one of those offered: [\"a\"]");
}

/// A browser that offers subprotocols and is told none fails by itself, and its page would
/// see 1006: so who is refused is told one.
#[tokio::test]
async fn who_is_closed_at_once_is_told_a_subprotocol_it_offers_and_hears_the_close() {
    let host = choosers().await;
    let offer = &["Sec-WebSocket-Protocol: chat.v2, chat.v1"];
    for (query, protocol, code) in [
        ("refuse=close", Some("chat.v2"), 4001),
        ("refuse=error", Some("chat.v2"), 4002),
        ("refuse=close&select=chat.v1", Some("chat.v1"), 4001),
    ] {
        let (mut raw, answer) = asked(&host, query, offer).await;
        assert_eq!((answer.status, told(&answer)), (101, protocol), "{query}");
        assert_eq!(raw.closed().await, (code, "no".to_owned()), "{query}");
        raw.ends().await;
    }
    let (mut raw, answer) = asked(&host, "refuse=close", &[]).await;
    assert_eq!((answer.status, told(&answer)), (101, None));
    assert_eq!(raw.closed().await, (4001, "no".to_owned()));
    assert_eq!(host.rooms_count(), 0);
}

#[tokio::test]
async fn a_response_of_the_before_hook_has_no_subprotocol_in_it() {
    let host = choosers().await;
    let offer = &["Sec-WebSocket-Protocol: chat.v2"];
    let (_, answer) = asked(&host, "select=chat.v2&refuse=respond", offer).await;
    assert_eq!((answer.status, told(&answer)), (200, None));
}
