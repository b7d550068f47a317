//! The body of a plain request, read whole or as a stream.
//!
//! A stream is pulled: a task beside the connection reads one piece whenever the room asks for
//! one, so that the client waits while nobody reads, and is told to go on (`100-continue`)
//! only when somebody wants to.
//!
//! The difficulty is a stream that is kept and not read, which would hold its connection for
//! ever. So the time between two pieces runs on both sides: for the client to send the next one, and
//! for the room to ask for it. When the task drops the body, hyper and the lingering socket
//! throw away what still comes, within their limits.

use std::fmt;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use http::StatusCode;
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use partyrs::{BodyError, Error};
use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::config::Config;

/// Why a body is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    TooLong {
        bytes_max: usize,
    },
    TooLate,
    /// The client went away, or what it sends is no HTTP.
    Incomplete,
}

/// What the room reads.
struct Pieces {
    /// Ends with [`Piece::End`] or an error; one that just ends has lost its host.
    pieces: mpsc::Receiver<Piece>,
    wanted: mpsc::Sender<()>,
    is_asked_for: bool,
    is_over: bool,
}

enum Piece {
    Data(Bytes),
    Refused(Refused),
    End,
}

/// A piece that was asked for and not taken, and the error behind it.
const PIECES_MAX: usize = 2;

/// Reads all of a body.
pub(crate) async fn read<B>(clock: &Clock, config: &Config, body: B) -> Result<Bytes, Refused>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BodyError>,
{
    let body = limited(config, body)?;
    let whole = pin!(body.collect());
    match clock.timeout(config.body_timeout, whole).await {
        None => Err(Refused::TooLate),
        Some(Ok(body)) => Ok(body.to_bytes()),
        Some(Err(error)) => Err(Refused::from_read_error(&*error, config)),
    }
}

/// The pieces of a body, read when they are asked for. Called on the host's runtime.
pub(crate) fn stream<B>(
    clock: &Clock,
    config: &Arc<Config>,
    body: B,
) -> Result<impl Stream<Item = Result<Bytes, Error>> + Send + 'static, Refused>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BodyError>,
{
    let body = limited(config, body)?;
    let (sender, pieces) = mpsc::channel(PIECES_MAX);
    let (wanted, asked) = mpsc::channel(1);
    tokio::spawn(pull(clock.clone(), Arc::clone(config), body, asked, sender));
    Ok(Pieces { pieces, wanted, is_asked_for: false, is_over: false })
}

/// Refuses a body whose length says that it is too long.
fn limited<B: Body>(config: &Config, body: B) -> Result<Limited<B>, Refused> {
    let bytes_max = config.body_bytes_max;
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(Refused::TooLong { bytes_max });
    }
    Ok(Limited::new(body, bytes_max))
}

/// Reads a piece each time one is asked for, until the body ends or nobody wants it any more.
async fn pull<B>(
    clock: Clock,
    config: Arc<Config>,
    body: B,
    mut asked: mpsc::Receiver<()>,
    pieces: mpsc::Sender<Piece>,
) where
    B: Body<Data = Bytes, Error = BodyError>,
{
    let mut body = pin!(body);
    loop {
        let piece = match clock.timeout(config.body_timeout, asked.recv()).await {
            Some(Some(())) => {
                let piece = clock.timeout(config.body_timeout, next_piece(body.as_mut()));
                let piece = tokio::select! {
                    piece = piece => piece,
                    () = pieces.closed() => return,
                };
                match piece {
                    None => Piece::Refused(Refused::TooLate),
                    Some(None) => Piece::End,
                    Some(Some(Err(error))) => Piece::Refused(Refused::from_read_error(&*error, &config)),
                    Some(Some(Ok(data))) => Piece::Data(data),
                }
            }
            Some(None) => return,
            None => Piece::Refused(Refused::TooLate),
        };
        let is_last = !matches!(piece, Piece::Data(_));
        if pieces.send(piece).await.is_err() || is_last {
            return;
        }
    }
}

/// The next data that is not empty.
async fn next_piece<B>(mut body: Pin<&mut B>) -> Option<Result<Bytes, BodyError>>
where
    B: Body<Data = Bytes, Error = BodyError>,
{
    loop {
        match body.frame().await? {
            Ok(frame) => match frame.into_data() {
                Ok(data) if !data.is_empty() => return Some(Ok(data)),
                // Trailers reach no hook.
                _ => {}
            },
            Err(error) => return Some(Err(error)),
        }
    }
}

impl Stream for Pieces {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let Poll::Ready(piece) = self.pieces.poll_recv(cx) else {
            if !self.is_asked_for {
                self.is_asked_for = true;
                // Whoever does not take it any more has sent why.
                let _ = self.wanted.try_send(());
            }
            return Poll::Pending;
        };
        self.is_asked_for = false;
        let refused = match piece {
            Some(Piece::Data(data)) => return Poll::Ready(Some(Ok(data))),
            Some(Piece::Refused(refused)) => Some(refused),
            Some(Piece::End) => None,
            None => Some(Refused::Incomplete),
        };
        self.is_over = true;
        Poll::Ready(refused.map(|refused| Err(refused.into())))
    }
}

impl Refused {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::TooLong { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooLate => StatusCode::REQUEST_TIMEOUT,
            Self::Incomplete => StatusCode::BAD_REQUEST,
        }
    }

    fn from_read_error(error: &(dyn std::error::Error + 'static), config: &Config) -> Self {
        if error.is::<LengthLimitError>() {
            Self::TooLong { bytes_max: config.body_bytes_max }
        } else {
            Self::Incomplete
        }
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        Self::status(refused.status().as_u16(), refused.to_string())
    }
}

/// What the client is told.
impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { bytes_max } => write!(f, "Body is longer than {bytes_max} bytes"),
            Self::TooLate => f.write_str("Body did not arrive in time"),
            Self::Incomplete => f.write_str("Body is not complete"),
        }
    }
}
