//! Tells running apps that their feature flags have changed, when the CI pipeline says so.
//!
//! ```sh
//! REFRESH_SECRET=... cargo run --bin refresh
//! ```
//!
//! `README.md` has the step for the pipeline and the lines for the app.
//!
//! What to learn here:
//!
//! * A room takes plain HTTP requests beside its WebSockets: here one side speaks by each.
//! * What a party needs to know from outside is given to the host by `env`, by its type.
//! * `Error::status` is an answer to the client; any other error stays in the log.
//! * `room.body()` serves clients without a WebSocket: an `EventSource` hears the same.

use std::process::exit;

use partyrs::http::Method;
use partyrs::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use partyrs::prelude::*;
use partyrs_runtime::Host;
use subtle::ConstantTimeEq;

/// A room of apps that listen. It stores nothing.
struct Refresh {
    /// Apps that listen by `EventSource`.
    feeds: Vec<RoomBody>,
}

/// What the pipeline must know.
struct Secret(String);

/// What the apps are told.
#[derive(IntoFrame)]
#[frame(tag = "type", rename_all = "kebab-case")]
enum Tell {
    Refresh,
}

#[tokio::main]
async fn main() -> partyrs_runtime::Result {
    partyrs_examples::log_to_stderr();
    let secret = std::env::var("REFRESH_SECRET").unwrap_or_default();
    if secret.trim().is_empty() {
        eprintln!("refresh does not start without a secret: set REFRESH_SECRET, and send the same from CI");
        exit(1);
    }
    Host::builder()
        .party::<Refresh>("main")
        .env(Secret(secret.trim().to_owned()))
        .build()?
        .serve_from_env()
        .await
}

impl PartyServer for Refresh {
    /// Apps only listen; whatever they send is let in and not looked at.
    type Message = Frame;

    async fn on_start(_: &Room) -> Result<Self> {
        Ok(Refresh { feeds: Vec::new() })
    }

    async fn on_request(&mut self, room: &Room, request: Request) -> Result<Response> {
        self.feeds.retain(RoomBody::is_open);
        if request.method() == Method::GET && request.header(ACCEPT.as_str()) == Some("text/event-stream") {
            let (feed, response) = room.body();
            self.feeds.push(feed);
            return Ok(response
                .with_header(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"))
                .with_header(CACHE_CONTROL, HeaderValue::from_static("no-cache")));
        }
        if request.method() != Method::POST {
            return Ok(Response::text("Nothing to see here."));
        }
        if !room.env::<Secret>()?.is_known_to(&request) {
            return Err(Error::status(401, "The header x-partykit-secret is missing or wrong."));
        }
        for feed in &self.feeds {
            feed.write(room, "data: {\"type\":\"refresh\"}\n\n")?;
        }
        let apps_count = room.broadcast(Tell::Refresh)? + self.feeds.len();
        Ok(Response::text(format!("Message sent to {apps_count} connected participants")))
    }
}

impl Secret {
    /// Takes as long for a wrong secret as for the right one, so that time gives nothing away.
    fn is_known_to(&self, request: &Request) -> bool {
        let sent = request.headers().get("x-partykit-secret").map_or(&b""[..], |value| value.as_bytes());
        sent.ct_eq(self.0.as_bytes()).into()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use partyrs::http;
    use partyrs::testing::TestRoom;

    use super::*;

    #[tokio::test]
    async fn the_right_secret_reaches_every_app() -> Result<()> {
        let mut room = apps();
        let (web, phone) = (room.join().await?, room.join().await?);

        let answer = room.request(post("s3cret")).await?;

        assert_eq!(text(answer).await, "Message sent to 2 connected participants");
        let refresh = Frame::text(r#"{"type":"refresh"}"#);
        assert_eq!((web.received(), phone.received()), (vec![refresh.clone()], vec![refresh]));
        Ok(())
    }

    #[tokio::test]
    async fn a_wrong_secret_is_401_and_no_app_hears_of_it() -> Result<()> {
        let mut room = apps();
        let web = room.join().await?;

        for wrong in ["", "s3cre", "s3cret2", "S3CRET"] {
            let refused = room.request(post(wrong)).await.expect_err("an answer");
            assert_eq!(refused.public_status().expect("a status").0, 401);
        }

        assert_eq!(web.received(), []);
        Ok(())
    }

    #[tokio::test]
    async fn an_event_source_hears_of_it_too() -> Result<()> {
        let mut room = apps();
        let request = http::Request::get("/party/featurevisor").header(ACCEPT, "text/event-stream");
        let feed = room.request(request.body("")?).await?.into_http();
        assert_eq!(feed.headers()[CONTENT_TYPE], "text/event-stream");

        let answer = room.request(post("s3cret")).await?;

        assert_eq!(text(answer).await, "Message sent to 1 connected participants");
        let heard = feed.into_body().frame().await.expect("a frame").expect("no failure");
        assert_eq!(heard.into_data().expect("data"), "data: {\"type\":\"refresh\"}\n\n");
        Ok(())
    }

    #[tokio::test]
    async fn other_methods_see_nothing() -> Result<()> {
        let answer = apps().request(http::Request::get("/party/featurevisor").body("")?).await?;
        assert_eq!(text(answer).await, "Nothing to see here.");
        Ok(())
    }

    fn apps() -> TestRoom<Refresh> {
        TestRoom::new("featurevisor").env(Secret("s3cret".into()))
    }

    fn post(secret: &str) -> http::Request<&'static str> {
        let request = http::Request::post("/party/featurevisor").header("x-partykit-secret", secret);
        request.body("").expect("a request")
    }

    async fn text(response: Response) -> String {
        let body = response.whole().await.expect("a whole body").into_body();
        String::from_utf8(body.into()).expect("text")
    }
}
