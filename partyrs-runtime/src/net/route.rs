//! Which room a path names, if any.

use partyrs::{PartyName, RoomId};
use percent_encoding::percent_decode_str;

/// What a path names.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// A room of this party; the party may not be registered.
    Room { party: String, room: RoomId },
    /// The path of a room, but the room's id cannot be one. The text is for the client.
    BadRoom(&'static str),
    /// Anything else: a static file, perhaps.
    Elsewhere,
}

impl Route {
    /// Reads `/<prefix>/:party/:room[/*]` and `/party/:room[/*]`, whose party is `main`.
    pub(crate) fn of(path: &str, prefix: &str, main: &PartyName) -> Self {
        let rest = path.strip_prefix('/').unwrap_or(path);
        let under = |prefix: &str| rest.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('/'));
        if let Some(rest) = under(prefix) {
            let Some((party, rest)) = rest.split_once('/') else { return Self::Elsewhere };
            return if party.is_empty() { Self::Elsewhere } else { Self::room(party, rest) };
        }
        match under("party") {
            Some(rest) => Self::room(main.as_str(), rest),
            None => Self::Elsewhere,
        }
    }

    fn room(party: &str, rest: &str) -> Self {
        let segment = rest.split('/').next().unwrap_or_default();
        if segment.is_empty() {
            return Self::Elsewhere;
        }
        let Ok(id) = percent_decode_str(segment).decode_utf8() else {
            return Self::BadRoom("Room id is not UTF-8");
        };
        match RoomId::new(&id) {
            Ok(room) => Self::Room { party: party.to_owned(), room },
            Err(_) => Self::BadRoom("Room id is longer than 1024 bytes"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(path: &str) -> Route {
        Route::of(path, "parties", &PartyName::new("main").unwrap())
    }

    fn room(party: &str, id: &str) -> Route {
        Route::Room { party: party.to_owned(), room: RoomId::new(id).unwrap() }
    }

    #[test]
    fn a_room_is_named_by_party_and_id_whatever_follows() {
        assert_eq!(route("/parties/chat/a"), room("chat", "a"));
        assert_eq!(route("/parties/chat/a/b/c"), room("chat", "a"));
        assert_eq!(route("/party/a/"), room("main", "a"));
        assert_eq!(route("/parties/Chat/a"), room("Chat", "a"));
    }

    #[test]
    fn a_room_id_is_percent_decoded_once() {
        assert_eq!(route("/party/a%20b%2Fc"), room("main", "a b/c"));
        assert_eq!(route("/party/%2520"), room("main", "%20"));
        assert_eq!(route("/party/%C3%A9"), room("main", "é"));
        assert_eq!(route("/party/%FF"), Route::BadRoom("Room id is not UTF-8"));
        assert!(matches!(route(&format!("/party/{}", "x".repeat(1025))), Route::BadRoom(_)));
        assert_eq!(route(&format!("/party/{}", "x".repeat(1024))), room("main", &"x".repeat(1024)));
    }

    #[test]
    fn what_is_no_room_goes_elsewhere() {
        for path in [
            "/",
            "/party",
            "/party/",
            "/parties",
            "/parties/",
            "/parties/main",
            "/parties/main/",
            "//party/x",
            "/parties//x",
            "/party//x",
            "/partyx/a",
            "/x/party/a",
            "",
        ] {
            assert_eq!(route(path), Route::Elsewhere, "{path}");
        }
    }

    #[test]
    fn a_prefix_may_have_several_segments() {
        let main = PartyName::new("main").unwrap();
        assert_eq!(Route::of("/api/v1/chat/a", "api/v1", &main), room("chat", "a"));
        assert_eq!(Route::of("/parties/chat/a", "api/v1", &main), Route::Elsewhere);
    }
}
