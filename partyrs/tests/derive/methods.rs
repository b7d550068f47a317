//! A method for each variant, and which of them is called.

use bytes::Bytes;
use partyrs::prelude::*;
use partyrs::testing::TestRoom;
use serde::{Deserialize, de::DeserializeOwned};

#[derive(Deserialize)]
struct Point {
    x: u8,
    y: u8,
}

#[derive(FromFrame, Dispatch)]
#[frame(rename_all = "kebab-case")]
enum Ask {
    Say { text: String, times: u8 },
    Move(Point),
    // The arguments are called as the fields are, and beside these there is a room and a sender.
    SitDown { room: u8, sender: String, r#as: bool },
    HTTPRequest,
    Nothing {},
    Fail,
    Wave,
}

/// Says which of its methods was called.
struct Table {
    calls: u32,
}

impl PartyServer for Table {
    type Message = Ask;

    async fn on_start(_: &Room) -> Result<Self> {
        Ok(Self { calls: 0 })
    }

    async fn on_message(&mut self, room: &Room, sender: &Connection, ask: Ask) -> Result<()> {
        // What is for all messages, and one that is answered here.
        self.calls += 1;
        match ask {
            Ask::Wave => room.broadcast(format!("wave {}", self.calls)).map(drop)?,
            other => other.dispatch(self, room, sender).await?,
        }
        Ok(())
    }
}

impl AskHandler for Table {
    async fn say(&mut self, room: &Room, sender: &Connection, text: String, times: u8) -> Result<()> {
        room.broadcast_except(format!("{text} {times} {}", self.calls), &[sender.id()])?;
        Ok(())
    }

    async fn r#move(&mut self, room: &Room, _: &Connection, to: Point) -> Result<()> {
        room.broadcast(format!("moved {} {}", to.x, to.y))?;
        Ok(())
    }

    async fn sit_down(&mut self, room: &Room, _: &Connection, a: u8, b: String, c: bool) -> Result<()> {
        room.broadcast(format!("sat {a} {b} {c}"))?;
        Ok(())
    }

    async fn h_t_t_p_request(&mut self, room: &Room, _: &Connection) -> Result<()> {
        room.broadcast("requested")?;
        Ok(())
    }

    async fn nothing(&mut self, room: &Room, _: &Connection) -> Result<()> {
        room.broadcast("nothing")?;
        Ok(())
    }

    async fn fail(&mut self, room: &Room, _: &Connection) -> Result<()> {
        room.broadcast("before the write")?;
        room.storage().put("written", &true)?;
        room.broadcast("after the write")?;
        Err(Error::new("as asked"))
    }

    async fn wave(&mut self, _: &Room, _: &Connection) -> Result<()> {
        unreachable!("`on_message` answers it")
    }
}

#[tokio::test]
async fn each_variant_calls_its_method_with_what_it_holds() {
    let mut table = TestRoom::<Table>::new("lobby");
    let (ada, bob) = (table.join().await.unwrap(), table.join().await.unwrap());

    for (frame, heard) in [
        (r#"{"type":"say","text":"hi","times":3}"#, "hi 3 1"),
        (r#"{"type":"move","x":1,"y":2}"#, "moved 1 2"),
        (r#"{"type":"sit-down","room":4,"sender":"bob","as":true}"#, "sat 4 bob true"),
        (r#"{"type":"h-t-t-p-request"}"#, "requested"),
        (r#"{"type":"nothing"}"#, "nothing"),
        (r#"{"type":"wave"}"#, "wave 6"),
    ] {
        table.send(&ada, frame).await.unwrap();
        assert_eq!(bob.received(), [Frame::text(heard)], "{frame}");
    }
}

#[tokio::test]
async fn a_method_that_fails_fails_its_hook() {
    let mut table = TestRoom::<Table>::new("lobby");
    let ada = table.join().await.unwrap();

    let failed = table.send(&ada, r#"{"type":"fail"}"#).await;

    assert_eq!(failed.unwrap_err().to_string(), "as asked");
    assert_eq!(ada.received(), [Frame::text("before the write")]);
    assert_eq!(table.room().unwrap().storage().get::<bool>("written").await.unwrap(), None);
}

#[tokio::test]
async fn one_enum_serves_two_servers_and_a_server_serves_two_enums() {
    #[derive(FromFrame, Dispatch)]
    enum Game {
        Play,
    }
    #[derive(Dispatch)]
    enum Other {
        // The same name as in `Game`, on purpose.
        Play,
    }
    struct Chess;
    struct Go;

    impl PartyServer for Chess {
        type Message = Game;

        async fn on_start(_: &Room) -> Result<Self> {
            Ok(Self)
        }

        async fn on_message(&mut self, room: &Room, sender: &Connection, game: Game) -> Result<()> {
            game.dispatch(self, room, sender).await?;
            game_over(self, room, sender).await?;
            Other::Play.dispatch(self, room, sender).await?;
            Game::Play.dispatch(&mut Go, room, sender).await
        }
    }
    async fn game_over(server: &mut impl GameHandler, room: &Room, sender: &Connection) -> Result<()> {
        Game::Play.dispatch(server, room, sender).await
    }
    impl GameHandler for Chess {
        async fn play(&mut self, room: &Room, _: &Connection) -> Result<()> {
            room.broadcast("chess")?;
            Ok(())
        }
    }
    impl OtherHandler for Chess {
        async fn play(&mut self, room: &Room, _: &Connection) -> Result<()> {
            room.broadcast("other")?;
            Ok(())
        }
    }
    impl GameHandler for Go {
        async fn play(&mut self, room: &Room, _: &Connection) -> Result<()> {
            room.broadcast("go")?;
            Ok(())
        }
    }

    let mut room = TestRoom::<Chess>::new("lobby");
    let ada = room.join().await.unwrap();
    room.send(&ada, r#"{"type":"Play"}"#).await.unwrap();
    assert_eq!(ada.received(), ["chess", "chess", "other", "go"].map(Frame::text));
}

#[tokio::test]
async fn a_generic_enum_has_a_generic_trait() {
    trait Rules: Sized + Send + 'static {
        type Turn: DeserializeOwned + Send + 'static;
    }
    #[derive(FromFrame, Dispatch)]
    enum Ask<R, T = u8, const N: usize = 2>
    where
        R: Rules,
    {
        Turn { turn: R::Turn, seats: Vec<T> },
        Many { all: Fixed<N> },
        Again { again: Option<Box<Self>> },
    }
    impl<'de, R: Rules, T, const N: usize> Deserialize<'de> for Ask<R, T, N> {
        fn deserialize<D: serde::Deserializer<'de>>(_: D) -> std::result::Result<Self, D::Error> {
            Err(serde::de::Error::custom("is not read here"))
        }
    }
    #[derive(Deserialize)]
    struct Fixed<const N: usize>;
    struct Dice;
    impl Rules for Dice {
        type Turn = String;
    }
    struct Table;
    impl PartyServer for Table {
        type Message = Ask<Dice>;

        async fn on_start(_: &Room) -> Result<Self> {
            Ok(Self)
        }

        async fn on_message(&mut self, room: &Room, sender: &Connection, ask: Ask<Dice>) -> Result<()> {
            ask.dispatch(self, room, sender).await
        }
    }
    impl AskHandler<Dice> for Table {
        async fn turn(&mut self, room: &Room, _: &Connection, turn: String, seats: Vec<u8>) -> Result<()> {
            room.broadcast(format!("{turn} {seats:?}"))?;
            Ok(())
        }

        async fn many(&mut self, room: &Room, _: &Connection, _: Fixed<2>) -> Result<()> {
            room.broadcast("many")?;
            Ok(())
        }

        async fn again(&mut self, room: &Room, _: &Connection, ask: Option<Box<Ask<Dice>>>) -> Result<()> {
            room.broadcast(format!("again {}", ask.is_some()))?;
            Ok(())
        }
    }

    let mut table = TestRoom::<Table>::new("lobby");
    let ada = table.join().await.unwrap();
    table.send(&ada, r#"{"type":"Turn","turn":"six","seats":[1]}"#).await.unwrap();
    table.send(&ada, r#"{"type":"Many","all":null}"#).await.unwrap();
    table.send(&ada, r#"{"type":"Again"}"#).await.unwrap();
    assert_eq!(ada.received(), ["six [1]", "many", "again false"].map(Frame::text));
}

#[tokio::test]
async fn what_has_no_known_tag_and_what_is_binary_have_methods_too() {
    #[derive(FromFrame, Dispatch)]
    enum Ask {
        Say {
            text: String,
        },
        #[frame(binary)]
        Upload(Bytes),
        /// From a later version of the page.
        #[frame(other)]
        Unknown(String),
    }
    #[derive(FromFrame, Dispatch)]
    enum Plain {
        #[frame(binary)]
        Upload(Vec<u8>),
        #[frame(other)]
        Unknown,
    }
    struct Table;
    impl PartyServer for Table {
        type Message = Ask;

        async fn on_start(_: &Room) -> Result<Self> {
            Ok(Self)
        }

        async fn on_message(&mut self, room: &Room, sender: &Connection, ask: Ask) -> Result<()> {
            ask.dispatch(self, room, sender).await
        }
    }
    impl AskHandler for Table {
        async fn say(&mut self, room: &Room, _: &Connection, text: String) -> Result<()> {
            room.broadcast(format!("said {text}"))?;
            Ok(())
        }

        async fn upload(&mut self, room: &Room, sender: &Connection, bytes: Bytes) -> Result<()> {
            room.broadcast(format!("uploaded {bytes:?}"))?;
            Plain::from_frame(Frame::binary(bytes))?.dispatch(self, room, sender).await
        }

        async fn unknown(&mut self, room: &Room, sender: &Connection, tag: String) -> Result<()> {
            room.broadcast(format!("unknown {tag}"))?;
            Plain::from_frame(Frame::text(format!(r#"{{"type":"{tag}"}}"#)))?
                .dispatch(self, room, sender)
                .await
        }
    }
    impl PlainHandler for Table {
        async fn upload(&mut self, room: &Room, _: &Connection, bytes: Vec<u8>) -> Result<()> {
            room.broadcast(format!("a vector of {bytes:?}"))?;
            Ok(())
        }

        async fn unknown(&mut self, room: &Room, _: &Connection) -> Result<()> {
            room.broadcast("unknown")?;
            Ok(())
        }
    }

    let mut table = TestRoom::<Table>::new("lobby");
    let ada = table.join().await.unwrap();
    table.send(&ada, r#"{"type":"Say","text":"hi"}"#).await.unwrap();
    table.send(&ada, Frame::binary([1, 2].as_slice())).await.unwrap();
    table.send(&ada, r#"{"type":"Shout","text":"hi"}"#).await.unwrap();
    // A tag is one of text, whatever it is called.
    table.send(&ada, r#"{"type":"Upload"}"#).await.unwrap();
    let heard = [
        "said hi",
        r#"uploaded b"\x01\x02""#,
        "a vector of [1, 2]",
        "unknown Shout",
        "unknown",
        "unknown Upload",
        "unknown",
    ];
    assert_eq!(ada.received(), heard.map(Frame::text));
}

#[test]
fn a_variant_may_be_called_like_a_keyword_and_its_fields_like_the_arguments_beside_them() {
    #[derive(Dispatch)]
    enum Ask {
        Gen,
        Try,
        Default,
        Sit { room: u8, this_room: u16, r#sender: u32 },
    }
    struct Table;
    impl AskHandler for Table {
        async fn r#gen(&mut self, _: &Room, _: &Connection) -> Result<()> {
            Ok(())
        }

        async fn r#try(&mut self, _: &Room, _: &Connection) -> Result<()> {
            Ok(())
        }

        async fn default(&mut self, _: &Room, _: &Connection) -> Result<()> {
            Ok(())
        }

        async fn sit(&mut self, _: &Room, _: &Connection, _: u8, _: u16, _: u32) -> Result<()> {
            Ok(())
        }
    }
    // That it compiles is what is shown.
    let _ = Ask::dispatch::<Table>;
    let _ = [Ask::Gen, Ask::Try, Ask::Default, Ask::Sit { room: 1, this_room: 2, sender: 3 }];
}
