//! TLS (wire row 47): what is agreed on, what goes over it, and certificates that do not fit.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use partyrs::prelude::*;
use partyrs_runtime::testing::{TestHost, soon};
use partyrs_runtime::{Builder, Host};
use rcgen::CertifiedKey;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::parties::{Witness, reports};

/// A certificate for `localhost`, and the folder with its two files.
pub(crate) struct Identity {
    folder: tempfile::TempDir,
    certificate: CertificateDer<'static>,
}

/// A TCP socket that counts the records of TLS that come.
pub(crate) struct Tap {
    tcp: TcpStream,
    records: Arc<Records>,
}

/// Records of application data that have come whole.
#[derive(Default)]
struct Records {
    count: AtomicUsize,
    unread: Mutex<Vec<u8>>,
}

impl Records {
    fn come(&self, bytes: &[u8]) {
        const APPLICATION_DATA: u8 = 23;
        let mut unread = self.unread.lock().unwrap();
        unread.extend(bytes);
        while unread.len() >= 5 {
            let length = 5 + usize::from(u16::from_be_bytes([unread[3], unread[4]]));
            if unread.len() < length {
                return;
            }
            let is_data = unread[0] == APPLICATION_DATA;
            unread.drain(..length);
            self.count.fetch_add(usize::from(is_data), Ordering::Relaxed);
        }
    }

    fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }
}

impl AsyncRead for Tap {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.tcp).poll_read(cx, buffer);
        self.records.come(&buffer.filled()[before..]);
        polled
    }
}

impl AsyncWrite for Tap {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

impl Identity {
    pub(crate) fn new() -> Self {
        let CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let identity = Self { folder: tempfile::tempdir().unwrap(), certificate: cert.der().clone() };
        std::fs::write(identity.certificate(), cert.pem()).unwrap();
        std::fs::write(identity.key(), signing_key.serialize_pem()).unwrap();
        identity
    }

    pub(crate) fn certificate(&self) -> PathBuf {
        self.folder.path().join("certificate.pem")
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }

    /// Agrees on TLS as a client that knows this certificate alone.
    pub(crate) async fn greet(&self, addr: &str, protocols: &[&[u8]]) -> std::io::Result<TlsStream<Tap>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let tcp = TcpStream::connect(addr).await?;
        // Else what follows the handshake waits 40 ms for its acknowledgement.
        tcp.set_nodelay(true)?;
        let tap = Tap { tcp, records: Arc::default() };
        let name = ServerName::try_from("localhost").unwrap();
        soon(TlsConnector::from(Arc::new(config)).connect(name, tap)).await
    }

    pub(crate) async fn connect(&self, host: &TestHost, path: &str) -> Client {
        let stream = self.greet(&host.addr().to_string(), &[]).await.expect("a certificate that fits");
        let records = Arc::clone(&stream.get_ref().0.records);
        let url = format!("wss://localhost{path}");
        let (socket, _) =
            soon(Box::pin(tokio_tungstenite::client_async(url, stream))).await.expect("a WebSocket");
        Client { socket, records }
    }

    async fn member(&self, host: &TestHost, id: &str) -> Client {
        let mut client = self.connect(host, &format!("/party/a?_pk={id}")).await;
        assert_eq!(client.next().await, Message::text("welcome"));
        client
    }
}

pub(crate) struct Client {
    pub(crate) socket: WebSocketStream<TlsStream<Tap>>,
    records: Arc<Records>,
}

impl Client {
    /// The socket below TLS.
    pub(crate) fn tcp(&mut self) -> &mut TcpStream {
        &mut self.socket.get_mut().get_mut().0.tcp
    }

    pub(crate) async fn next(&mut self) -> Message {
        soon(self.socket.next()).await.expect("a message").expect("a socket that lives")
    }

    async fn say(&mut self, message: impl Into<Message>) {
        soon(self.socket.send(message.into())).await.expect("an open socket");
    }

    pub(crate) async fn closed(&mut self) -> (u16, String) {
        loop {
            if let Message::Close(close) = self.next().await {
                drop(self.socket.flush().await);
                return close
                    .map_or((1005, String::new()), |close| (close.code.into(), close.reason.to_string()));
            }
        }
    }
}

/// Says back what it hears, outside of the rooms.
struct Echo;

impl LobbyServer for Echo {
    async fn on_socket(&self, socket: LobbySocket, _: &HostLobby) -> Result<()> {
        let mut socket = socket.accept().await?;
        while let Some(frame) = socket.next().await {
            socket.send(frame)?;
        }
        Ok(())
    }
}

fn builder(identity: &Identity) -> Builder {
    let (reports, _) = reports();
    Host::builder().party::<Witness>("main").env(reports).tls(identity.certificate(), identity.key())
}

async fn start() -> (TestHost, Identity) {
    let identity = Identity::new();
    (TestHost::of(builder(&identity)).await, identity)
}

#[tokio::test]
async fn sockets_and_requests_go_over_tls_as_they_do_without() {
    let (host, identity) = start().await;
    let (mut ada, mut bob) = (identity.member(&host, "ada").await, identity.member(&host, "bob").await);
    for message in [Message::text("hi"), Message::text(""), Message::binary(vec![7; 1 << 20])] {
        ada.say(message.clone()).await;
        assert_eq!((ada.next().await, bob.next().await), (message.clone(), message));
    }
    bob.say("close 4001 bye").await;
    assert_eq!(bob.closed().await, (4001, "bye".to_owned()));
    ada.socket.close(None).await.unwrap();
    assert_eq!(ada.closed().await.0, 1005);

    let mut stream = identity.greet(&host.addr().to_string(), &[]).await.unwrap();
    let request = "GET /party/a HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    soon(stream.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 404 Not Found"), "{answer}");
}

#[tokio::test]
async fn a_socket_outside_of_the_rooms_goes_over_tls_too() {
    let identity = Identity::new();
    let mut host = TestHost::of(builder(&identity).lobby(Echo)).await;
    let mut ada = identity.connect(&host, "/echo").await;
    for message in [Message::text("hi"), Message::text(""), Message::binary(vec![7; 1 << 20])] {
        ada.say(message.clone()).await;
        assert_eq!(ada.next().await, message);
    }
    host.begin_stop();
    assert_eq!(ada.closed().await.0, 1012);
    drop(ada);
    host.stop().await;
}

#[tokio::test]
async fn what_a_turn_sends_to_a_client_is_one_record() {
    let (host, identity) = start().await;
    let (mut ada, mut bob) = (identity.member(&host, "ada").await, identity.member(&host, "bob").await);
    // So that what TLS itself sends behind the greeting is past.
    for client in [&mut ada, &mut bob] {
        client.say("who").await;
        client.next().await;
    }
    let before = ada.records.count();
    ada.say("burst-and-close 100").await;
    for number in 0..100 {
        assert_eq!(ada.next().await, Message::text(number.to_string()));
    }
    assert_eq!(ada.closed().await, (4000, "burst".to_owned()));
    // The frames in one, the Close in another.
    assert_eq!(ada.records.count() - before, 2);
    drop(bob);
}

#[tokio::test]
async fn a_reader_that_is_too_slow_over_tls_is_closed_and_the_others_hear_everything() {
    let identity = Identity::new();
    let builder = builder(&identity).config(|config| config.outbox_bytes_max = 1 << 20);
    let host = TestHost::of(builder).await;
    let (mut ada, mut slow) = (identity.member(&host, "ada").await, identity.member(&host, "slow").await);
    let page = Message::binary(vec![7; 1 << 20]);
    // More than the system takes for who does not read.
    for _ in 0..24 {
        ada.say(page.clone()).await;
        assert_eq!(ada.next().await, page);
    }
    assert_eq!(slow.closed().await.0, 1013);
    ada.say("who").await;
    assert_eq!(ada.next().await, Message::text("ada"));
}

#[tokio::test]
async fn a_refusal_by_close_and_the_end_of_a_host_reach_clients_over_tls() {
    let (mut host, identity) = start().await;
    let mut shut = identity.connect(&host, "/party/a?close=1").await;
    assert_eq!(shut.next().await, Message::text("welcome"));
    assert_eq!(shut.closed().await, (4000, "on_connect".to_owned()));
    let mut ada = identity.member(&host, "ada").await;
    host.begin_stop();
    assert_eq!(ada.closed().await.0, 1012);
    drop((ada, shut));
    host.stop().await;
}

#[tokio::test]
async fn a_client_that_ends_without_a_word_is_lost_and_one_with_pings_stays() {
    let (reports, mut seen) = reports();
    let identity = Identity::new();
    let host = Host::builder().party::<Witness>("main").env(reports);
    let host = TestHost::of(host.tls(identity.certificate(), identity.key())).await;
    let mut ada = identity.member(&host, "ada").await;
    let cut = identity.member(&host, "cut").await;
    drop(cut);
    assert_eq!(seen.next().await, "cut closed: 1006 \"\" unclean, last");

    host.advance(Duration::from_secs(30));
    assert!(matches!(ada.next().await, Message::Ping(_)));
    ada.socket.flush().await.unwrap();
    ada.say("who").await;
    assert_eq!(ada.next().await, Message::text("ada"));
    host.advance(Duration::from_secs(30));
    assert!(matches!(ada.next().await, Message::Ping(_)));
    host.advance(Duration::from_secs(21));
    assert_eq!(seen.next().await, "ada closed: 1006 \"\" unclean, last");
}

/// What breaks TLS behind the greeting ends that connection, whether it speaks HTTP or is a member.
#[tokio::test]
async fn a_client_that_breaks_tls_behind_the_greeting_is_lost_alone() {
    let (reports, mut seen) = reports();
    let identity = Identity::new();
    let host = Host::builder().party::<Witness>("main").env(reports);
    let host = TestHost::of(host.tls(identity.certificate(), identity.key())).await;
    let mut ada = identity.member(&host, "ada").await;
    // No record at all, one that cannot be decrypted, and one that is longer than any may be.
    let long = [&[23, 3, 3, 0xff, 0xff][..], &[0; 300]].concat();
    let bad = [&[23, 3, 3, 0, 32][..], &[7; 32]].concat();
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &bad, &long] {
        let mut stream = identity.greet(&host.addr().to_string(), &[]).await.unwrap();
        stream.get_mut().0.tcp.write_all(garbage).await.unwrap();
        let end = soon(stream.read(&mut [0; 16])).await;
        assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");

        let mut eve = identity.member(&host, "eve").await;
        eve.tcp().write_all(garbage).await.unwrap();
        assert_eq!(seen.next().await, "eve closed: 1006 \"\" unclean, last");
        let end = soon(eve.socket.next()).await;
        assert!(!matches!(end, Some(Ok(_))), "{end:?}");
    }
    host.until(|host| host.connections_count() == 1).await;
    ada.say("who").await;
    assert_eq!(ada.next().await, Message::text("ada"));
}

#[tokio::test]
async fn half_of_a_record_is_no_sign_of_life() {
    let (reports, mut seen) = reports();
    let identity = Identity::new();
    let host = Host::builder().party::<Witness>("main").env(reports);
    let host = host.tls(identity.certificate(), identity.key()).config(|config| config.shards = 1);
    let host = TestHost::of(host).await;
    let half = [&[23, 3, 3, 0, 64][..], &[7; 10]].concat();
    let mut eve = identity.member(&host, "eve").await;
    eve.tcp().write_all(&half).await.unwrap();
    let mut ada = identity.member(&host, "ada").await;
    // Both have a shard in common: what it was given before, it has read.
    ada.say("who").await;
    assert_eq!(ada.next().await, Message::text("eve,ada"));
    host.advance(Duration::from_secs(30));
    assert!(matches!(ada.next().await, Message::Ping(_)));
    // The answer to the ping.
    ada.socket.flush().await.unwrap();
    ada.say("who").await;
    assert_eq!(ada.next().await, Message::text("eve,ada"));
    host.advance(Duration::from_secs(20));
    assert_eq!(seen.next().await, "eve closed: 1006 \"\" unclean, last");
    host.until(|host| host.connections_count() == 1).await;
}

#[tokio::test]
async fn a_client_that_ends_tls_and_keeps_tcp_is_lost() {
    let (reports, mut seen) = reports();
    let identity = Identity::new();
    let host = Host::builder().party::<Witness>("main").env(reports);
    let host = TestHost::of(host.tls(identity.certificate(), identity.key())).await;
    let mut eve = identity.member(&host, "eve").await;
    let (tcp, tls) = eve.socket.get_mut().get_mut();
    tls.send_close_notify();
    let mut alert = Vec::new();
    tls.write_tls(&mut alert).unwrap();
    tcp.tcp.write_all(&alert).await.unwrap();
    assert_eq!(seen.next().await, "eve closed: 1006 \"\" unclean, last");
    // The host ends its side too.
    let mut rest = Vec::new();
    soon(eve.tcp().read_to_end(&mut rest)).await.unwrap();
    host.until(|host| host.connections_count() == 0).await;
}

#[tokio::test]
async fn keys_may_be_changed_in_the_middle() {
    let (host, identity) = start().await;
    let mut ada = identity.member(&host, "ada").await;
    for number in 0..50 {
        ada.socket.get_mut().get_mut().1.refresh_traffic_keys().unwrap();
        ada.say(number.to_string()).await;
        assert_eq!(ada.next().await, Message::text(number.to_string()));
    }
}

#[tokio::test]
async fn http_1_1_is_agreed_on_where_a_client_would_rather_have_another() {
    let (host, identity) = start().await;
    let stream = identity.greet(&host.addr().to_string(), &[b"h2", b"http/1.1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    assert!(identity.greet(&host.addr().to_string(), &[b"h2"]).await.is_err());
}

#[tokio::test]
async fn who_never_ends_the_greeting_is_closed_and_disturbs_nobody() {
    let (host, identity) = start().await;
    let mut silent = TcpStream::connect(host.addr()).await.unwrap();
    let mut plain = TcpStream::connect(host.addr()).await.unwrap();
    plain.write_all(b"GET /party/a HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    // An alert of TLS, or the end at once.
    let _ = soon(plain.read_to_end(&mut answer)).await;
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");

    let mut ada = identity.member(&host, "ada").await;
    soon(async {
        let mut byte = [0];
        let mut end = Box::pin(silent.read(&mut byte));
        loop {
            tokio::select! {
                biased;
                ended = &mut end => break assert_eq!(ended.unwrap(), 0),
                // Its time may begin later than its connection.
                () = tokio::task::yield_now() => host.advance(Duration::from_secs(1)),
            }
        }
    })
    .await;
    ada.say("who").await;
    loop {
        match ada.next().await {
            Message::Ping(_) => {}
            other => break assert_eq!(other, Message::text("ada")),
        }
    }
}

#[tokio::test]
async fn files_that_do_not_fit_are_refused_by_name_when_the_host_is_built() {
    let (identity, other) = (Identity::new(), Identity::new());
    let (certificate, key) = (identity.certificate(), identity.key());
    let folder = identity.folder.path();
    let none = folder.join("none.pem");
    let empty = folder.join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    let broken = folder.join("broken.pem");
    std::fs::write(&broken, "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n").unwrap();
    let nonsense = folder.join("nonsense.pem");
    std::fs::write(&nonsense, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();

    let refusal = |certificate: &Path, key: &Path| {
        let host = Host::builder().party::<crate::parties::Everybody>("main").tls(certificate, key);
        host.build().expect_err("a refusal").to_string()
    };
    let unreadable =
        "cannot be read: No such file or directory (os error 2); check its path and who may read it";
    for (refused, text) in [
        (refusal(&none, &key), format!("TLS file {} {unreadable}", none.display())),
        (refusal(&certificate, &none), format!("TLS file {} {unreadable}", none.display())),
        (
            refusal(&empty, &key),
            format!("TLS file {} has no certificate; it must hold the chain in PEM", empty.display()),
        ),
        (refusal(&broken, &key), format!("TLS file {} has no certificate; ", broken.display())),
        (refusal(&key, &key), format!("TLS file {} has no certificate; ", key.display())),
        (
            refusal(&certificate, &certificate),
            format!("TLS file {} has no private key; ", certificate.display()),
        ),
        (
            refusal(&certificate, &other.key()),
            format!(
                "the key in {} is not the one of the first certificate in {}",
                other.key().display(),
                certificate.display()
            ),
        ),
        (refusal(&nonsense, &key), format!("the certificate in {} cannot be used: ", nonsense.display())),
    ] {
        assert!(refused.starts_with(&text), "{refused:?} does not begin with {text:?}");
    }
}

// A program of its own: signals reach a whole process.

const SERVER: &str = "PARTYRS_TEST_TLS_SERVER";

/// No claim of its own: the program that the tests below start.
#[test]
fn server_program() {
    let Some(data) = std::env::var_os(SERVER) else { return };
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let serve = async {
        let host = Host::builder().party::<crate::parties::Everybody>("main").data(&data);
        host.build()?.serve_from_env().await
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    if let Err(error) = runtime.block_on(serve) {
        eprintln!("Error: {error:?}");
        std::process::exit(1);
    }
}

fn program(data: &Path) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(std::env::current_exe().unwrap());
    command.args(["tls::server_program", "--exact", "--nocapture"]).stdin(Stdio::null()).kill_on_drop(true);
    command.env(SERVER, data).env("PARTYRS_ADDR", "127.0.0.1:0");
    command
}

#[tokio::test]
async fn half_of_a_certificate_in_the_environment_is_refused() {
    let identity = Identity::new();
    for (set, file, missing) in [
        ("PARTYRS_TLS_CERT", identity.certificate(), "PARTYRS_TLS_KEY"),
        ("PARTYRS_TLS_KEY", identity.key(), "PARTYRS_TLS_CERT"),
    ] {
        let output = soon(program(identity.folder.path()).env(set, file).output()).await.unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success());
        assert!(said.contains(&format!("{set} is set, and {missing} is not")), "{said}");
    }
}

/// As an unset variable of a compose file is passed on; plain HTTP would not be what was meant.
#[tokio::test]
async fn an_empty_name_of_a_file_in_the_environment_is_refused() {
    let identity = Identity::new();
    let empty = PathBuf::new;
    for (certificate, key, named) in [
        (empty(), identity.key(), "PARTYRS_TLS_CERT"),
        (identity.certificate(), empty(), "PARTYRS_TLS_KEY"),
        (empty(), empty(), "PARTYRS_TLS_CERT"),
    ] {
        let mut command = program(identity.folder.path());
        command.env("PARTYRS_TLS_CERT", certificate).env("PARTYRS_TLS_KEY", key);
        let output = soon(command.output()).await.unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success());
        assert!(said.contains(&format!("{named} is empty, but must name a file in PEM")), "{said}");
    }
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_after_sighup_and_a_broken_one_never() {
    let identity = Identity::new();
    let mut command = program(&identity.folder.path().join("data"));
    command.env("PARTYRS_TLS_CERT", identity.certificate()).env("PARTYRS_TLS_KEY", identity.key());
    let mut server = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(server.stdout.take().unwrap()).lines();
    let mut logged = BufReader::new(server.stderr.take().unwrap()).lines();
    let addr = soon(async {
        loop {
            let line = said.next_line().await.unwrap().expect("it says where it listens");
            if let Some((_, addr)) = line.split_once("listening on https://") {
                return addr.to_owned();
            }
        }
    })
    .await;
    let pid = server.id().unwrap();
    let mut hang_up = async |expected: &str| {
        let sent =
            tokio::process::Command::new("sh").args(["-c", &format!("kill -HUP {pid}")]).status().await;
        assert!(sent.unwrap().success());
        soon(async {
            while !logged.next_line().await.unwrap().expect("a log that goes on").contains(expected) {}
        })
        .await;
    };
    // Whoever is here stays.
    let mut early = identity.greet(&addr, &[]).await.unwrap();

    std::fs::write(identity.key(), "nonsense").unwrap();
    hang_up("certificate stays as it was").await;
    identity.greet(&addr, &[]).await.expect("the old certificate");

    let renewed = Identity::new();
    std::fs::copy(renewed.certificate(), identity.certificate()).unwrap();
    std::fs::copy(renewed.key(), identity.key()).unwrap();
    hang_up("certificate was read again").await;
    renewed.greet(&addr, &[]).await.expect("the new certificate");
    assert!(identity.greet(&addr, &[]).await.is_err());

    early.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    soon(early.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    soon(server.kill()).await.unwrap();
}
