//! The stream of bytes below a WebSocket: TCP, a Unix socket, or any other that can be polled.
//!
//! The room writes to it and the connection's own task reads from it, both on the room's
//! shard. A socket of the system's is split in two; its halves share nothing but a descriptor,
//! and the room may write at any moment without being a task that waits.
//!
//! The difficulty is the stream that is no socket, such as TLS or what another server hands
//! over. It keeps one waker, or two that a read and a write may exchange, and it may keep
//! bytes that it has taken. So all its polls are given one and the same waker, which wakes
//! reader and writer both; and after a write it is flushed, until it says that all has left.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::{Shutdown, TcpStream as StdTcpStream};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker, ready};

use futures_util::task::AtomicWaker;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream, tcp, unix};
use tokio::task::coop::unconstrained;
use tokio_rustls::server::TlsStream;

use crate::movable::Movable;

/// A stream in both directions.
pub(crate) trait Duplex: AsyncRead + AsyncWrite {}

impl<T: AsyncRead + AsyncWrite + ?Sized> Duplex for T {}

/// A stream on its way to the shard of its room.
pub(crate) enum Transport {
    /// Registered with no runtime.
    Tcp(StdTcpStream),
    /// Registered with no runtime.
    Unix(StdUnixStream),
    /// Its socket is registered with no runtime.
    Tls(Box<TlsStream<Movable>>),
    /// Whatever else another server hands over; it may belong to another runtime, which must go
    /// on then.
    Polled(Pin<Box<dyn Duplex + Send>>),
}

/// The half that the connection's own task reads from.
pub(crate) enum ReadHalf {
    Tcp(tcp::OwnedReadHalf),
    Unix(unix::OwnedReadHalf),
    Polled(Rc<Polled>),
}

/// The half that the room writes to, and the task that writes what waits.
pub(crate) enum WriteHalf {
    Tcp(tcp::OwnedWriteHalf),
    Unix(unix::OwnedWriteHalf),
    Polled(Rc<Polled>),
}

/// A stream that both halves share.
pub(crate) struct Polled {
    /// Borrowed for one poll at a time.
    stream: RefCell<Pin<Box<dyn Duplex + Send>>>,
    /// What [`WriteHalf::has_unread`] has read to see whether something is there: a byte, the end, or
    /// an error. The reader gets it first.
    ahead: Cell<Option<io::Result<Option<u8>>>>,
    tasks: Arc<Tasks>,
    /// Wakes both of `tasks`; the only waker that the stream is ever given.
    waker: Waker,
    is_cut: Cell<bool>,
}

/// The tasks that wait for a shared stream, if they do.
#[derive(Default)]
struct Tasks {
    reader: AtomicWaker,
    writer: AtomicWaker,
}

impl Transport {
    /// Splits the stream; a socket is registered with the reactor of this thread.
    pub(crate) fn land(self) -> io::Result<(ReadHalf, WriteHalf)> {
        Ok(match self {
            Self::Tcp(socket) => {
                let (reading, writing) = TcpStream::from_std(socket)?.into_split();
                (ReadHalf::Tcp(reading), WriteHalf::Tcp(writing))
            }
            Self::Unix(socket) => {
                let (reading, writing) = UnixStream::from_std(socket)?.into_split();
                (ReadHalf::Unix(reading), WriteHalf::Unix(writing))
            }
            Self::Tls(mut stream) => {
                stream.get_mut().0.arrive()?;
                Self::shared(Box::into_pin(stream))
            }
            Self::Polled(stream) => Self::shared(stream),
        })
    }

    fn shared(stream: Pin<Box<dyn Duplex + Send>>) -> (ReadHalf, WriteHalf) {
        let polled = Rc::new(Polled::new(stream));
        (ReadHalf::Polled(Rc::clone(&polled)), WriteHalf::Polled(polled))
    }

    /// The stream as one, for a last word; a socket is registered with the reactor of this thread.
    pub(crate) fn into_stream(self) -> io::Result<Pin<Box<dyn Duplex + Send>>> {
        Ok(match self {
            Self::Tcp(socket) => Box::pin(TcpStream::from_std(socket)?),
            Self::Unix(socket) => Box::pin(UnixStream::from_std(socket)?),
            Self::Tls(mut stream) => {
                stream.get_mut().0.arrive()?;
                Box::into_pin(stream)
            }
            Self::Polled(stream) => stream,
        })
    }
}

impl WriteHalf {
    /// Writes what the stream takes now, and says how much; `WouldBlock` if that is nothing.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(half) => half.try_write(bytes),
            Self::Unix(half) => half.try_write(bytes),
            Self::Polled(polled) => polled.try_write(bytes),
        }
    }

    /// As [`WriteHalf::try_write`], from several slices.
    pub(crate) fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Tcp(half) => half.try_write_vectored(slices),
            Self::Unix(half) => half.try_write_vectored(slices),
            Self::Polled(polled) => polled.try_write_vectored(slices),
        }
    }

    /// Whether the stream may keep what it has taken, until it is flushed.
    pub(crate) fn keeps(&self) -> bool {
        matches!(self, Self::Polled(_))
    }

    /// Sends off what the stream itself keeps, as far as that goes now; whether all has left.
    pub(crate) fn try_flush(&self) -> io::Result<bool> {
        match self {
            Self::Tcp(_) | Self::Unix(_) => Ok(true),
            Self::Polled(polled) => match polled.poll(AsyncWrite::poll_flush) {
                Poll::Ready(flushed) => flushed.map(|()| true),
                Poll::Pending => Ok(false),
            },
        }
    }

    /// Writes something, or waits; for one task at a time.
    pub(crate) fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            match self {
                Self::Tcp(half) => ready!(half.as_ref().poll_write_ready(cx))?,
                Self::Unix(half) => ready!(half.as_ref().poll_write_ready(cx))?,
                Self::Polled(polled) => polled.tasks.writer.register(cx.waker()),
            }
            match self.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => match self {
                    // It was not writable after all; the next question waits.
                    Self::Tcp(_) | Self::Unix(_) => {}
                    Self::Polled(_) => return Poll::Pending,
                },
                written => return Poll::Ready(written),
            }
        }
    }

    /// Waits until all that the stream keeps has left; for one task at a time.
    pub(crate) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Self::Polled(polled) = self {
            polled.tasks.writer.register(cx.waker());
        }
        match self.try_flush() {
            Ok(true) => Poll::Ready(Ok(())),
            Ok(false) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    /// Ends our side: the peer sees the end behind all that was written; for one task at a time.
    pub(crate) fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(half) => Poll::Ready(SockRef::from(half.as_ref()).shutdown(Shutdown::Write)),
            Self::Unix(half) => Poll::Ready(SockRef::from(half.as_ref()).shutdown(Shutdown::Write)),
            Self::Polled(polled) => {
                polled.tasks.writer.register(cx.waker());
                polled.poll(AsyncWrite::poll_shutdown)
            }
        }
    }

    /// Ends both sides at once. What has arrived can still be read, and then the end.
    pub(crate) fn cut(&self) {
        // A socket that is gone already needs no shutdown.
        let _ = match self {
            Self::Tcp(half) => SockRef::from(half.as_ref()).shutdown(Shutdown::Both),
            Self::Unix(half) => SockRef::from(half.as_ref()).shutdown(Shutdown::Both),
            Self::Polled(polled) => {
                polled.is_cut.set(true);
                polled.waker.wake_by_ref();
                Ok(())
            }
        };
    }

    /// Whether something has arrived that nobody has read yet, the peer's end included.
    pub(crate) fn has_unread(&self) -> bool {
        let mut byte = [MaybeUninit::uninit()];
        // A socket of which nothing can be read now says so: it does not block.
        match self {
            Self::Tcp(half) => SockRef::from(half.as_ref()).peek(&mut byte).is_ok(),
            Self::Unix(half) => SockRef::from(half.as_ref()).peek(&mut byte).is_ok(),
            Self::Polled(polled) => polled.has_unread(),
        }
    }
}

impl Polled {
    fn new(stream: Pin<Box<dyn Duplex + Send>>) -> Self {
        let tasks = Arc::new(Tasks::default());
        let waker = Waker::from(Arc::clone(&tasks));
        let (stream, ahead, is_cut) = (RefCell::new(stream), Cell::default(), Cell::new(false));
        Self { stream, ahead, tasks, waker, is_cut }
    }

    /// Polls the stream once. Not on tokio's budget: the room writes to many streams in one
    /// turn, and none of them is to be taken for full because of the others.
    fn poll<T>(
        &self,
        mut poll: impl FnMut(Pin<&mut (dyn Duplex + Send + 'static)>, &mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let mut stream = self.stream.borrow_mut();
        let once = pin!(unconstrained(poll_fn(|cx| poll(stream.as_mut(), cx))));
        once.poll(&mut Context::from_waker(&self.waker))
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self.poll(|stream, cx| stream.poll_write(cx, bytes)) {
            Poll::Ready(Ok(0)) if !bytes.is_empty() => Err(io::ErrorKind::WriteZero.into()),
            Poll::Ready(written) => written,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        if !self.stream.borrow().is_write_vectored() {
            // One write none the less.
            let slices: Vec<&[u8]> = slices.iter().map(|slice| &**slice).collect();
            return self.try_write(&slices.concat());
        }
        match self.poll(|stream, cx| stream.poll_write_vectored(cx, slices)) {
            Poll::Ready(Ok(0)) if slices.iter().any(|slice| !slice.is_empty()) => {
                Err(io::ErrorKind::WriteZero.into())
            }
            Poll::Ready(written) => written,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some(ahead) = self.ahead.take() {
            return Poll::Ready(ahead.map(|byte| buffer.put_slice(byte.as_slice())));
        }
        self.tasks.reader.register(cx.waker());
        // On the budget of the task that reads, so that it lets others run.
        let cx = &mut Context::from_waker(&self.waker);
        let polled = self.stream.borrow_mut().as_mut().poll_read(cx, buffer);
        if polled.is_pending() && self.is_cut.get() { Poll::Ready(Ok(())) } else { polled }
    }

    fn has_unread(&self) -> bool {
        let ahead = self.ahead.take().or_else(|| {
            let mut byte = [0];
            let mut buffer = ReadBuf::new(&mut byte);
            let read = match self.poll(|stream, cx| stream.poll_read(cx, &mut buffer)) {
                Poll::Ready(read) => read,
                Poll::Pending => return None,
            };
            // What would have woken the reader may be what was read here.
            self.tasks.reader.wake();
            Some(read.map(|()| buffer.filled().first().copied()))
        });
        let has_unread = matches!(ahead, Some(Ok(_)));
        self.ahead.set(ahead);
        has_unread
    }
}

impl Wake for Tasks {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.reader.wake();
        self.writer.wake();
    }
}

impl AsyncRead for ReadHalf {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(half) => Pin::new(half).poll_read(cx, buffer),
            Self::Unix(half) => Pin::new(half).poll_read(cx, buffer),
            Self::Polled(polled) => polled.poll_read(cx, buffer),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use bytes::Bytes;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
    use tokio::net::TcpListener;
    use tokio::task::{LocalSet, spawn_local, yield_now};

    use super::*;
    use crate::clock::Clock;
    use crate::outlet::{Ending, Outlet};

    /// Takes and gives one byte at a time, is not ready at every second poll, keeps up to four bytes
    /// until they are flushed, and remembers one waker, whoever waits for what.
    struct Nasty {
        inner: DuplexStream,
        kept: VecDeque<u8>,
        /// Whether the next poll that reads, or writes, finds it ready.
        is_ready: [bool; 2],
        slot: Arc<Slot>,
        calls: Arc<Calls>,
    }

    #[derive(Default)]
    struct Slot(Mutex<Option<Waker>>);

    #[derive(Default)]
    struct Calls {
        writes_count: AtomicUsize,
        flushes_count: AtomicUsize,
    }

    impl Wake for Slot {
        fn wake(self: Arc<Self>) {
            let waker = self.0.lock().unwrap().take();
            waker.into_iter().for_each(Waker::wake);
        }
    }

    impl Nasty {
        fn new(capacity: usize) -> (Self, DuplexStream) {
            let (inner, peer) = tokio::io::duplex(capacity);
            let (slot, calls) = Default::default();
            (Self { inner, kept: VecDeque::new(), is_ready: [false; 2], slot, calls }, peer)
        }

        /// The waker to go on with, unless this poll is one at which it is not ready.
        fn turn(&mut self, direction: usize, cx: &mut Context<'_>) -> Poll<Waker> {
            self.is_ready[direction] = !self.is_ready[direction];
            if self.is_ready[direction] {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            *self.slot.0.lock().unwrap() = Some(cx.waker().clone());
            Poll::Ready(Waker::from(Arc::clone(&self.slot)))
        }

        fn send_off(&mut self, waker: &Waker) -> Poll<io::Result<()>> {
            while let Some(byte) = self.kept.front() {
                let inner = Pin::new(&mut self.inner);
                ready!(inner.poll_write(&mut Context::from_waker(waker), &[*byte]))?;
                self.kept.pop_front();
            }
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncRead for Nasty {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let waker = ready!(self.turn(0, cx));
            // As with TLS, reading goes on with what is to be written.
            if let Poll::Ready(Err(error)) = self.send_off(&waker) {
                return Poll::Ready(Err(error));
            }
            let mut one = buffer.take(1);
            ready!(Pin::new(&mut self.inner).poll_read(&mut Context::from_waker(&waker), &mut one))?;
            let count = one.filled().len();
            let byte = one.filled().first().copied();
            buffer.put_slice(&byte.as_slice()[..count]);
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Nasty {
        fn poll_write(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.calls.writes_count.fetch_add(1, Ordering::Relaxed);
            let waker = ready!(self.turn(1, cx));
            if self.kept.len() >= 4 {
                ready!(self.send_off(&waker))?;
            }
            self.kept.push_back(bytes[0]);
            Poll::Ready(Ok(1))
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.calls.flushes_count.fetch_add(1, Ordering::Relaxed);
            let waker = ready!(self.turn(1, cx));
            self.send_off(&waker)
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            let waker = ready!(self.turn(1, cx));
            ready!(self.send_off(&waker))?;
            Pin::new(&mut self.inner).poll_shutdown(&mut Context::from_waker(&waker))
        }
    }

    /// Runs a test that must not hang, where tasks may be local.
    async fn locally(test: impl Future<Output = ()>) {
        let clock = Clock::system();
        let in_time = clock.timeout(Duration::from_secs(20), test);
        LocalSet::new().run_until(in_time).await.expect("no waker is lost");
    }

    fn landed(stream: impl Duplex + Send + 'static) -> (ReadHalf, Rc<Outlet>) {
        let (reading, writing) = Transport::Polled(Box::pin(stream)).land().unwrap();
        let outlet = Outlet::new(1 << 20);
        outlet.arrive(writing);
        (reading, outlet)
    }

    fn numbered(count: usize) -> Vec<u8> {
        (0..count).map(|number| (number % 251) as u8).collect()
    }

    #[tokio::test]
    async fn a_nasty_stream_gets_and_gives_every_byte_once_in_both_directions_at_a_time() {
        // Every byte fills the pipe; or it is wide, and only the stream itself is slow.
        for capacity in [1, 7, 1 << 16] {
            locally(async {
                let (stream, peer) = Nasty::new(capacity);
                let (mut reading, outlet) = landed(stream);
                let (mut from_room, mut to_room) = tokio::io::split(peer);
                let to_room = spawn_local(async move {
                    for part in numbered(5000).chunks(99) {
                        to_room.write_all(part).await.unwrap();
                        yield_now().await;
                    }
                    to_room.shutdown().await.unwrap();
                });
                let from_room = spawn_local(async move {
                    let mut all = Vec::new();
                    from_room.read_to_end(&mut all).await.unwrap();
                    all
                });
                let read = spawn_local(async move {
                    let mut all = Vec::new();
                    reading.read_to_end(&mut all).await.unwrap();
                    (all, reading)
                });
                let all = Bytes::from(numbered(5000));
                for start in (0..all.len()).step_by(50) {
                    outlet.write(&all, &[start..start + 20, start + 20..start + 50]);
                    yield_now().await;
                }
                outlet.flushed().await;
                outlet.shutdown().await;

                assert!(from_room.await.unwrap() == numbered(5000), "{capacity}");
                let (all, _reading) = read.await.unwrap();
                assert!(all == numbered(5000), "{capacity}");
                to_room.await.unwrap();
            })
            .await;
        }
    }

    #[tokio::test]
    async fn whoever_asked_last_the_other_half_goes_on_too() {
        locally(async {
            let (stream, mut peer) = Nasty::new(1);
            let (mut reading, outlet) = landed(stream);
            let all = Bytes::from(numbered(40));
            outlet.write(&all, std::slice::from_ref(&(0..40)));
            yield_now().await;
            // The writer waits. Now the reader asks, and nothing will come for it yet.
            let read = spawn_local(async move { (reading.read_u8().await.unwrap(), reading) });
            for _ in 0..10 {
                yield_now().await;
            }
            let mut got = vec![0; 40];
            peer.read_exact(&mut got).await.unwrap();
            assert!(got == all);
            outlet.flushed().await;
            // And now the room asks, while the reader waits.
            outlet.write(&all, std::slice::from_ref(&(0..1)));
            outlet.flushed().await;
            peer.write_all(b"!").await.unwrap();
            assert_eq!(read.await.unwrap().0, b'!');
        })
        .await;
    }

    #[tokio::test]
    async fn a_batch_of_several_frames_is_one_write_and_one_flush() {
        locally(async {
            let (mut stream, mut peer) = Nasty::new(100);
            stream.is_ready = [true; 2];
            let calls = Arc::clone(&stream.calls);
            let count = move || {
                (calls.writes_count.load(Ordering::Relaxed), calls.flushes_count.load(Ordering::Relaxed))
            };
            let (_reading, outlet) = landed(stream);
            outlet.write(&Bytes::from_static(b"abcdef"), &[0..2, 3..4, 5..6]);
            assert_eq!(count(), (1, 1));
            outlet.flushed().await;
            let mut all = [0; 4];
            peer.read_exact(&mut all).await.unwrap();
            assert_eq!(&all, b"abdf");
        })
        .await;
    }

    #[tokio::test]
    async fn what_the_stream_keeps_counts_as_waiting() {
        locally(async {
            let (mut stream, mut peer) = Nasty::new(1);
            stream.is_ready = [true; 2];
            let (_reading, outlet) = landed(stream);
            outlet.write(&Bytes::from_static(b"a"), std::slice::from_ref(&(0..1)));
            assert!(outlet.is_behind());
            assert_eq!(peer.read_u8().await.unwrap(), b'a');
            outlet.flushed().await;
            assert!(!outlet.is_behind() && outlet.has_taken());
        })
        .await;
    }

    #[tokio::test]
    async fn what_is_unread_is_seen_and_still_read() {
        locally(async {
            let (stream, mut peer) = tokio::io::duplex(100);
            let (mut reading, outlet) = landed(stream);
            assert!(!outlet.has_unread());
            let read = spawn_local(async move {
                let mut all = String::new();
                reading.read_to_string(&mut all).await.unwrap();
                all
            });
            yield_now().await;
            // The reader waits, and what comes is seen before it has its turn.
            peer.write_all(b"ab").await.unwrap();
            assert!(outlet.has_unread() && outlet.has_unread());
            while outlet.has_unread() {
                yield_now().await;
            }
            drop(peer);
            assert!(outlet.has_unread(), "the end counts");
            assert_eq!(read.await.unwrap(), "ab");
        })
        .await;
    }

    #[tokio::test]
    async fn a_stream_that_comes_behind_the_cut_ends_though_its_client_says_nothing() {
        locally(async {
            let (stream, _peer) = tokio::io::duplex(100);
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (tcp, _) = listener.accept().await.unwrap();
            for transport in [Transport::Polled(Box::pin(stream)), Transport::Tcp(tcp.into_std().unwrap())] {
                let outlet = Outlet::new(1 << 20);
                outlet.write(&Bytes::from_static(b"kept"), std::slice::from_ref(&(0..4)));
                outlet.cut();
                let (mut reading, writing) = transport.land().unwrap();
                outlet.arrive(writing);
                assert_eq!(reading.read(&mut [0; 4]).await.unwrap(), 0);
                assert!(!outlet.is_behind() && outlet.ending() == Some(Ending::Lost));
            }
        })
        .await;
    }

    #[tokio::test]
    async fn a_stream_that_is_cut_gives_what_has_arrived_and_then_ends() {
        locally(async {
            let (stream, mut peer) = tokio::io::duplex(100);
            let (mut reading, outlet) = landed(stream);
            peer.write_all(b"last words").await.unwrap();
            let mut first = [0; 4];
            reading.read_exact(&mut first).await.unwrap();
            let read = spawn_local(async move {
                let mut all = String::new();
                reading.read_to_string(&mut all).await.unwrap();
                all
            });
            outlet.cut();
            assert_eq!(read.await.unwrap(), " words");
            assert_eq!(peer.read(&mut first).await.unwrap(), 0, "both halves are gone");
        })
        .await;
    }
}
