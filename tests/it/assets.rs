//! Static files, and what is neither a room nor a file (wire rows 43 and 44): from a folder, and
//! the same folder embedded in this program.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use bytes::Bytes;
use partyrs::prelude::*;
use partyrs::storage::MemoryEngine;
use partyrs_runtime::testing::{TestHost, soon};
use partyrs_runtime::{Assets, Host};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::http::raw::Raw;

const PUBLIC: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/it/assets/public");
const APP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/it/assets/app");

/// A site without a `404.html`.
#[derive(rust_embed::Embed)]
#[folder = "it/assets/public"]
struct Public;

/// A site with one.
#[derive(rust_embed::Embed)]
#[folder = "it/assets/app"]
struct App;

/// Answers its requests with its id.
struct Desk;

impl PartyServer for Desk {
    type Message = Frame;

    async fn on_start(_: &Room) -> Result<Self> {
        Ok(Desk)
    }

    async fn on_request(&mut self, room: &Room, _: Request) -> Result<Response> {
        Ok(Response::text(format!("room {}", room.id())))
    }
}

type Answer = http::Response<Bytes>;

async fn serving(assets: impl Into<Assets>) -> TestHost {
    TestHost::of(Host::builder().party::<Desk>("main").assets(assets)).await
}

/// The site without a `404.html`, from both sources.
async fn public() -> [TestHost; 2] {
    [serving(PUBLIC).await, serving(Assets::embedded::<Public>()).await]
}

/// The site with one.
async fn app(change: fn(Assets) -> Assets) -> [TestHost; 2] {
    [serving(change(Assets::folder(APP))).await, serving(change(Assets::embedded::<App>())).await]
}

async fn asked(host: &TestHost, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = http::Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    host.request(request.body("").unwrap()).await
}

fn status_and_text(answer: &Answer) -> (u16, &str) {
    (answer.status().as_u16(), std::str::from_utf8(answer.body()).expect("text"))
}

fn header<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.headers().get(name).map_or("none", |value| value.to_str().expect("text"))
}

async fn get(host: &TestHost, path: &str) -> (u16, String) {
    let answer = host.get(path).await;
    let (status, text) = status_and_text(&answer);
    (status, text.to_owned())
}

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (path, text) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder that can be written");
        std::fs::write(path, text).expect("a folder that can be written");
    }
    folder
}

#[tokio::test]
async fn files_are_served_with_their_type_and_index_html_for_a_folder() {
    for host in public().await {
        for (path, content_type, text) in [
            ("/", "text/html", "<h1>start</h1>"),
            ("/?query", "text/html", "<h1>start</h1>"),
            ("/index.html", "text/html", "<h1>start</h1>"),
            ("/app.js", "text/javascript", "let a;"),
            ("/app.js?v=1", "text/javascript", "let a;"),
            ("/a%20b.txt", "text/plain", "blank"),
            ("/%C3%BC.txt", "text/plain", "umlaut"),
            ("/sub/", "text/html", "<h1>sub</h1>"),
            ("/empty/file.bin", "application/octet-stream", "0123456789"),
            ("//app.js", "text/javascript", "let a;"),
        ] {
            let answer = host.get(path).await;
            assert_eq!(status_and_text(&answer), (200, text), "{path}");
            assert_eq!(header(&answer, "content-type"), content_type, "{path}");
            assert_eq!(header(&answer, "content-length"), text.len().to_string(), "{path}");
        }
        for (path, location) in [("/sub", "/sub/"), ("/sub?x=1", "/sub/?x=1")] {
            let answer = host.get(path).await;
            assert_eq!((answer.status().as_u16(), header(&answer, "location")), (307, location));
        }
        assert_eq!(host.rooms_count(), 0);
    }
}

#[tokio::test]
async fn what_is_no_room_is_a_file_or_404() {
    for host in public().await {
        assert_eq!(get(&host, "/party/").await, (200, "about parties".to_owned()));
        assert_eq!(get(&host, "/parties/main/").await, (200, "about main".to_owned()));
        assert_eq!(host.rooms_count(), 0);
        // A room goes before a file.
        assert_eq!(get(&host, "/party/tea").await, (200, "room tea".to_owned()));
        for path in ["/nothing", "/empty/", "/index.html/", "/index.html/x", "/app.js/", "/sub/nothing"] {
            assert_eq!(get(&host, path).await, (404, "Not found".to_owned()), "{path}");
        }
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "get"] {
            let answer = asked(&host, method, "/app.js", &[]).await;
            assert_eq!(status_and_text(&answer), (404, "Not found"), "{method}");
        }
        let upgrade = host.try_connect("/nothing").await.expect_err("a refusal");
        assert_eq!(upgrade.status(), 404);
    }
}

#[tokio::test]
async fn a_head_request_for_a_file_gets_its_headers_alone() {
    for host in public().await {
        for (path, headers, expected) in [
            ("/app.js", "", (200, Some("6"))),
            ("/app.js", "accept-encoding: gzip\r\n", (200, Some("22"))),
            ("/empty/file.bin", "range: bytes=1-3\r\n", (206, Some("3"))),
            ("/nothing", "", (404, Some("9"))),
        ] {
            let mut client = Raw::connect(&host).await;
            client
                .send(format!("HEAD {path} HTTP/1.1\r\nhost: x\r\n{headers}connection: close\r\n\r\n"))
                .await;
            let answer = client.head().await;
            assert_eq!((answer.status, answer.header("content-length")), expected, "{path} {headers}");
            assert_eq!(client.rest().await, b"", "{path} {headers}");
        }
    }
}

#[tokio::test]
async fn a_client_that_has_the_file_is_told_so() {
    for host in public().await {
        let whole = host.get("/app.js").await;
        let (etag, modified) = (header(&whole, "etag"), header(&whole, "last-modified"));
        for (name, value, status) in [
            ("if-none-match", etag, 304),
            ("if-none-match", &format!("\"other\", W/{etag}"), 304),
            ("if-none-match", "*", 304),
            ("if-none-match", "\"other\"", 200),
            ("if-modified-since", modified, 304),
            ("if-modified-since", "Sat, 01 Jan 2000 00:00:00 GMT", 200),
            ("if-match", "\"other\"", 412),
            ("if-match", etag, 200),
        ] {
            let answer = asked(&host, "GET", "/app.js", &[(name, value)]).await;
            assert_eq!(answer.status().as_u16(), status, "{name}: {value}");
            assert_eq!(answer.body().len(), if status == 200 { 6 } else { 0 }, "{name}: {value}");
        }
        // Each of the variants is another representation.
        let packed = asked(&host, "GET", "/app.js", &[("accept-encoding", "gzip")]).await;
        assert_ne!(header(&packed, "etag"), etag);
    }
}

#[tokio::test]
async fn a_file_is_served_in_parts() {
    for host in public().await {
        for (range, status, body, content_range) in [
            ("bytes=2-4", 206, "234", "bytes 2-4/10"),
            ("bytes=7-", 206, "789", "bytes 7-9/10"),
            ("bytes=-3", 206, "789", "bytes 7-9/10"),
            ("bytes=0-0", 206, "0", "bytes 0-0/10"),
            ("bytes=5-99", 206, "56789", "bytes 5-9/10"),
            ("bytes=10-", 416, "", "bytes */10"),
            ("bytes=4-2", 416, "", "bytes */10"),
            // These are not asked of us: the whole.
            ("bytes=0-1,3-4", 200, "0123456789", "none"),
            ("lines=1", 200, "0123456789", "none"),
        ] {
            let answer = asked(&host, "GET", "/empty/file.bin", &[("range", range)]).await;
            assert_eq!(status_and_text(&answer), (status, body), "{range}");
            assert_eq!(header(&answer, "content-range"), content_range, "{range}");
        }
    }
}

/// Who goes on with a download must not get the end of another file.
#[tokio::test]
async fn a_part_of_a_file_that_has_changed_is_the_whole() {
    for host in public().await {
        let whole = host.get("/empty/file.bin").await;
        for (version, status) in [
            (header(&whole, "etag"), 206),
            (header(&whole, "last-modified"), 206),
            ("\"other\"", 200),
            ("Sat, 01 Jan 2000 00:00:00 GMT", 200),
        ] {
            let part = [("range", "bytes=2-4"), ("if-range", version)];
            let answer = asked(&host, "GET", "/empty/file.bin", &part).await;
            assert_eq!(answer.status().as_u16(), status, "{version}");
        }
        let beyond = [("range", "bytes=50-"), ("if-range", "\"other\"")];
        assert_eq!(asked(&host, "GET", "/empty/file.bin", &beyond).await.status(), 200);
    }
}

#[tokio::test]
async fn who_takes_a_compressed_file_gets_it_if_there_is_one() {
    for host in public().await {
        for (path, accepted, encoding, text) in [
            ("/app.js", "gzip, deflate, br", "br", "brotli of app.js"),
            ("/app.js", "gzip", "gzip", "gzip of app.js, longer"),
            ("/app.js", "br;q=0.1, gzip;q=0.9", "gzip", "gzip of app.js, longer"),
            ("/app.js", "br;q=0, gzip;q=0", "none", "let a;"),
            ("/app.js", "zstd", "none", "let a;"),
            ("/style.css", "br, gzip", "gzip", "only gzip"),
            ("/style.css", "br", "none", "a {}"),
            ("/", "br, gzip", "none", "<h1>start</h1>"),
        ] {
            let answer = asked(&host, "GET", path, &[("accept-encoding", accepted)]).await;
            assert_eq!(status_and_text(&answer), (200, text), "{path} {accepted}");
            assert_eq!(header(&answer, "content-encoding"), encoding, "{path} {accepted}");
            assert_eq!(header(&answer, "vary"), "accept-encoding", "{path} {accepted}");
        }
        let typed = asked(&host, "GET", "/app.js", &[("accept-encoding", "br")]).await;
        assert_eq!(header(&typed, "content-type"), "text/javascript");
        assert_eq!(header(&host.get("/app.js").await, "vary"), "accept-encoding");
    }
}

#[tokio::test]
async fn no_spelling_of_a_path_leaves_the_folder_or_shows_a_dot_file() {
    let absolute = concat!(env!("CARGO_MANIFEST_DIR"), "/it/assets/secret.txt");
    let encoded = absolute.replace('/', "%2f");
    for host in public().await {
        for target in [
            "/../secret.txt",
            "/sub/../../secret.txt",
            "/%2e%2e/secret.txt",
            "/%2E./secret.txt",
            "/..%2fsecret.txt",
            "/%2e%2e%2fsecret.txt",
            "/sub/..%2f..%2fsecret.txt",
            "/%252e%252e/secret.txt",
            "/%25252e%25252e/secret.txt",
            "/..\\secret.txt",
            "/..%5csecret.txt",
            "/..;/secret.txt",
            "/..%3b/secret.txt",
            "/%c0%ae%c0%ae/secret.txt",
            "/%e2%80%a5/secret.txt",
            "/sub%2f..%2f..%2fsecret.txt",
            "http://x/../secret.txt",
            "file:///etc/passwd",
            "//etc/passwd",
            "/%2fetc%2fpasswd",
            "/%2fetc/passwd",
            "///etc/passwd",
            absolute,
            &format!("/{absolute}"),
            &format!("/{encoded}"),
            "/.env",
            "//.env",
            "/%2eenv",
            "/./.env",
            "/sub/../.env",
            "/sub/./index.html",
            "/.well-known/config",
            "/.well-known%2fconfig",
            "/sub/.hidden/x",
            "/.env?x",
            "/.env%00.txt",
            "/.well-known",
            "/.well-known/",
            "/app.js%00",
            "/app.js%00.txt",
            "/%00",
            "/%FF",
            "/a%0ab",
            "/c:/app.js",
            "*",
        ] {
            let mut client = Raw::connect(&host).await;
            client.send(format!("GET {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")).await;
            let answer = client.answer().await;
            let refused = [(404, "Not found".to_owned()), (400, String::new())];
            assert!(refused.contains(&(answer.status, answer.text())), "{target} {answer:?}");
        }
    }
}

#[tokio::test]
async fn a_name_that_no_file_can_have_is_404() {
    for host in public().await {
        for path in [format!("/{}", "x".repeat(300)), format!("/{}", "x/".repeat(3000))] {
            assert_eq!(get(&host, &path).await, (404, "Not found".to_owned()), "{} bytes", path.len());
        }
    }
}

/// A browser reads the address `//sub/` as the host `sub`.
#[tokio::test]
async fn a_folder_is_never_redirected_to_another_host() {
    for host in public().await {
        assert_eq!(get(&host, "//sub").await, (404, "Not found".to_owned()));
        assert_eq!(get(&host, "//sub/").await, (200, "<h1>sub</h1>".to_owned()));
        let mut client = Raw::connect(&host).await;
        client.send("GET http://elsewhere.example/sub HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert_eq!(client.answer().await.header("location"), Some("/sub/"));
    }
}

/// A path need not be percent-encoded to arrive, but must be to stand in a header.
#[tokio::test]
async fn a_folder_whose_name_arrives_raw_is_redirected_to_its_encoded_name() {
    let files = folder(&[("\u{fc}/index.html", "umlaut")]);
    let host = serving(files.path()).await;
    let mut client = Raw::connect(&host).await;
    client.send("GET /\u{fc}?\u{fc} HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.header("location")), (307, Some("/%c3%bc/?%c3%bc")));
    client.send("GET /\u{fc}/ HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(client.answer().await.text(), "umlaut");
}

#[tokio::test]
async fn a_link_is_followed_within_the_folder_and_not_out_of_it() {
    let outside = folder(&[("secret.txt", "secret"), ("index.html", "secret")]);
    let files = folder(&[("a/page.txt", "page"), (".env", "secret")]);
    let link = |to: &Path, name: &str| symlink(to, files.path().join(name)).unwrap();
    link(&files.path().join("a/page.txt"), "absolute");
    link(Path::new("a/page.txt"), "relative");
    link(Path::new("a"), "folder");
    link(&outside.path().join("secret.txt"), "out.txt");
    link(outside.path(), "out");
    link(Path::new("out"), "twice");
    link(Path::new(".env"), "dot");
    link(Path::new("nowhere"), "dangling");
    let host = serving(files.path()).await;
    for path in ["/absolute", "/relative", "/folder/page.txt"] {
        assert_eq!(get(&host, path).await, (200, "page".to_owned()), "{path}");
    }
    for path in ["/out.txt", "/out", "/out/", "/out/secret.txt", "/twice/secret.txt", "/dot", "/dangling"] {
        assert_eq!(get(&host, path).await, (404, "Not found".to_owned()), "{path}");
    }
}

/// As those do who put a new version beside the old one and then change the link.
#[tokio::test]
async fn the_folder_may_be_a_link_that_changes() {
    let files = folder(&[("one/version.txt", "one"), ("two/version.txt", "two")]);
    let current = files.path().join("current");
    symlink("one", &current).unwrap();
    let host = serving(&current).await;
    assert_eq!(get(&host, "/version.txt").await, (200, "one".to_owned()));

    symlink("two", files.path().join("next")).unwrap();
    std::fs::rename(files.path().join("next"), &current).unwrap();
    assert_eq!(get(&host, "/version.txt").await, (200, "two".to_owned()));
}

#[tokio::test]
async fn a_pipe_among_the_files_is_not_waited_for() {
    let files = folder(&[("file", "file")]);
    let pipe = files.path().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().await;
    assert!(made.expect("the program mkfifo").success());
    // A host that opens it, and should not, is let go when this test ends.
    let _end = std::fs::OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
    let host = serving(files.path()).await;
    assert_eq!(get(&host, "/pipe").await, (404, "Not found".to_owned()));
    assert_eq!(asked(&host, "HEAD", "/file", &[]).await.status(), 200);
}

#[tokio::test]
async fn a_file_that_changes_is_told_to_be_another() {
    let files = folder(&[("app.js", "one")]);
    let host = serving(files.path()).await;
    let one = host.get("/app.js").await;
    std::fs::write(files.path().join("app.js"), "longer").unwrap();
    let two = asked(&host, "GET", "/app.js", &[("if-none-match", header(&one, "etag"))]).await;
    assert_eq!(status_and_text(&two), (200, "longer"));
}

// What is answered when there is no file.

#[tokio::test]
async fn a_404_html_of_the_site_answers_with_404() {
    for host in app(|assets| assets).await {
        for path in ["/nothing", "/x/nothing.js", "/party", "/.env"] {
            assert_eq!(get(&host, path).await, (404, "<h1>lost</h1>".to_owned()), "{path}");
        }
        // What a client says of the file that is not there is not about the page.
        for headers in [[("range", "bytes=0-2")], [("if-none-match", "*")], [("if-match", "\"x\"")]] {
            let answer = asked(&host, "GET", "/nothing", &headers).await;
            assert_eq!(status_and_text(&answer), (404, "<h1>lost</h1>"), "{headers:?}");
            assert_eq!(header(&answer, "content-type"), "text/html");
            assert_eq!((header(&answer, "etag"), header(&answer, "accept-ranges")), ("none", "none"));
        }
        let head = asked(&host, "HEAD", "/nothing", &[]).await;
        assert_eq!((head.status().as_u16(), header(&head, "content-length")), (404, "13"));
        assert_eq!(status_and_text(&asked(&host, "POST", "/nothing", &[]).await), (404, "Not found"));
        assert_eq!(get(&host, "/404.html").await, (200, "<h1>lost</h1>".to_owned()));
        // These are not about files.
        assert_eq!(get(&host, "/parties/none/x").await, (404, "Party none not found".to_owned()));
        assert_eq!(get(&host, "/party/x").await, (200, "room x".to_owned()));
    }
}

const PAGE: [(&str, &str); 1] = [("accept", "text/html,application/xhtml+xml,*/*;q=0.8")];
const NAVIGATE: [(&str, &str); 2] = [("accept", "*/*"), ("sec-fetch-mode", "navigate")];
const SCRIPT: [(&str, &str); 2] = [("accept", "*/*"), ("sec-fetch-mode", "no-cors")];

#[tokio::test]
async fn in_single_page_mode_a_navigation_to_what_is_no_file_is_the_page() {
    for host in app(Assets::single_page).await {
        for path in ["/users/7", "/users/7?tab=1", "/a.b", "/party", "/party/", "/parties/main/", "/app.js/x"]
        {
            for headers in [&PAGE[..], &NAVIGATE] {
                let answer = asked(&host, "GET", path, headers).await;
                assert_eq!(status_and_text(&answer), (200, "<h1>app</h1>"), "{path}");
                assert_eq!(header(&answer, "content-type"), "text/html");
                let vary = answer.headers().get_all("vary").iter().collect::<Vec<_>>();
                assert_eq!(vary, ["accept-encoding", "accept, sec-fetch-mode"], "{path}");
            }
        }
        let head = asked(&host, "HEAD", "/users/7", &PAGE).await;
        assert_eq!((head.status().as_u16(), header(&head, "content-length")), (200, "12"));
        let etag = asked(&host, "GET", "/users/7", &PAGE).await.headers()["etag"].clone();
        let again = [PAGE[0], ("if-none-match", etag.to_str().unwrap())];
        assert_eq!(asked(&host, "GET", "/users/8", &again).await.status(), 304);
        let packed = asked(&host, "GET", "/users/7", &[PAGE[0], ("accept-encoding", "br")]).await;
        assert_eq!(status_and_text(&packed), (200, "br of the app"));
    }
}

#[tokio::test]
async fn in_single_page_mode_all_else_is_as_without() {
    for host in app(Assets::single_page).await {
        for headers in [&SCRIPT[..], &[]] {
            let answer = asked(&host, "GET", "/gone.js", headers).await;
            assert_eq!(status_and_text(&answer), (404, "<h1>lost</h1>"));
        }
        assert_eq!(status_and_text(&asked(&host, "POST", "/users/7", &PAGE).await), (404, "Not found"));
        // A file is itself, a room is a room, and no party is no party.
        for (path, status, text) in [
            ("/app.js", 200, "let app;"),
            ("/party/x", 200, "room x"),
            ("/parties/main/x/users/7", 200, "room x"),
            ("/parties/none/x", 404, "Party none not found"),
        ] {
            assert_eq!(
                status_and_text(&asked(&host, "GET", path, &NAVIGATE).await),
                (status, text),
                "{path}"
            );
        }
        assert_eq!(asked(&host, "GET", "/party/%FF", &NAVIGATE).await.status(), 400);
    }
    // Without the mode a navigation is told the truth.
    for host in app(|assets| assets).await {
        assert_eq!(asked(&host, "GET", "/users/7", &PAGE).await.status(), 404);
    }
}

// What cannot be served is refused when the host is built.

#[test]
fn files_that_cannot_be_served_are_refused_with_the_way_out() {
    let files = folder(&[("file", "")]);
    let refusal = |assets: Assets| {
        let builder = Host::builder().party::<Desk>("main").assets(assets);
        builder.build().expect_err("a refusal").to_string()
    };
    let shown = |name: &str| files.path().join(name).display().to_string();
    assert_eq!(
        refusal(files.path().join("nothing").into()),
        format!(
            "folder {} for static files does not exist; make it, or give `.assets(..)` another",
            shown("nothing")
        )
    );
    let here = std::env::current_dir().unwrap();
    assert_eq!(
        refusal("nothing".into()),
        format!(
            "folder nothing for static files does not exist in {}; make it, or give `.assets(..)` another",
            here.display()
        )
    );
    assert_eq!(
        refusal(files.path().join("file").into()),
        format!(
            "{} for static files is no folder; give `.assets(..)` the folder that it is in",
            shown("file")
        )
    );
    // Where the system refuses, whoever asks: a link to itself.
    std::os::unix::fs::symlink("circle", files.path().join("circle")).unwrap();
    let text = refusal(files.path().join("circle").into());
    let start = format!("folder {} for static files cannot be read: ", shown("circle"));
    assert!(text.starts_with(&start) && text.ends_with("; let the user who runs this read it"), "{text}");
    assert_eq!(
        refusal(Assets::folder(files.path()).single_page()),
        format!(
            "single-page mode answers with `index.html`, but the files of {} have none; add it, or leave out \
             `.single_page()`",
            files.path().display()
        )
    );
    #[derive(rust_embed::Embed)]
    #[folder = "it/assets/public/empty"]
    struct NoPage;
    assert_eq!(
        refusal(Assets::embedded::<NoPage>().single_page()),
        "single-page mode answers with `index.html`, but the embedded files have none; add it, or leave out \
         `.single_page()`"
    );
}

// A server whose memory and descriptors are its own.

const SERVER_VARIABLE: &str = "PARTYRS_FILES_SERVER";
const GIB: u64 = 1 << 30;

/// No test: what [`Server`] runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_process() {
    let Some(folder) = std::env::var_os(SERVER_VARIABLE) else { return };
    let builder = Host::builder().party::<Desk>("main").assets(folder).storage(Arc::new(MemoryEngine::new()));
    builder.build().expect("a host").serve(([127, 0, 0, 1], 0).into()).await.expect("a host that ends well");
}

/// This program, started again, with a folder of files; killed when it is dropped.
struct Server {
    child: Child,
    addr: String,
}

impl Server {
    async fn start(folder: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("a program"))
            .args(["--exact", "assets::server_process", "--nocapture", "--test-threads=1"])
            .env(SERVER_VARIABLE, folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("a process");
        let mut said = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let addr = soon(async {
            loop {
                let line = said.next_line().await.expect("lines of text").expect("a process that lives");
                if let Some((_, addr)) = line.split_once("listening on http://") {
                    return addr.to_owned();
                }
            }
        });
        Self { addr: addr.await, child }
    }

    /// Asks for a file; its head has been read when this returns.
    async fn get(&self, path: &str) -> TcpStream {
        let mut tcp = TcpStream::connect(&self.addr).await.expect("the host listens");
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        tcp.write_all(request.as_bytes()).await.expect("an open socket");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(soon(tcp.read_u8()).await.expect("a head"));
        }
        assert!(head.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&head));
        tcp
    }

    fn proc(&self, name: &str) -> std::path::PathBuf {
        Path::new("/proc").join(self.child.id().expect("a process that lives").to_string()).join(name)
    }

    /// The most memory that it ever had.
    fn peak_kib(&self) -> u64 {
        let status = std::fs::read_to_string(self.proc("status")).expect("a process that lives");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    fn descriptors_count(&self) -> usize {
        std::fs::read_dir(self.proc("fd")).expect("a process that lives").count()
    }

    async fn until_descriptors(&self, holds: impl Fn(usize) -> bool) {
        soon(async {
            while !holds(self.descriptors_count()) {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

/// A folder with a file of 1 GiB that takes no place on the disk.
fn huge() -> TempDir {
    let files = folder(&[]);
    std::fs::File::create(files.path().join("huge.bin")).and_then(|file| file.set_len(GIB)).expect("a file");
    files
}

async fn read(tcp: &mut TcpStream, until_bytes: u64) -> u64 {
    let (mut buffer, mut total) = (vec![0; 1 << 20], 0);
    while total < until_bytes {
        match soon(tcp.read(&mut buffer)).await.expect("no reset") {
            0 => break,
            count => total += count as u64,
        }
    }
    total
}

#[tokio::test]
async fn a_file_of_1_gib_is_served_in_little_memory() {
    let files = huge();
    let server = Server::start(files.path()).await;
    read(&mut server.get("/huge.bin").await, 8 << 20).await;
    let before_kib = server.peak_kib();
    assert_eq!(read(&mut server.get("/huge.bin").await, u64::MAX).await, GIB);
    let more_kib = server.peak_kib() - before_kib;
    println!("{more_kib} KiB more than {before_kib}");
    assert!(more_kib < 16 << 10, "{more_kib} KiB more");
}

#[tokio::test]
async fn a_client_that_goes_away_half_way_leaves_nothing_open() {
    let files = huge();
    let server = Server::start(files.path()).await;
    let before = server.descriptors_count();
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = server.get("/huge.bin").await;
        read(&mut client, 1 << 20).await;
        clients.push(client);
    }
    // A socket and a file for each.
    server.until_descriptors(|count| count >= before + 40).await;
    drop(clients);
    server.until_descriptors(|count| count <= before).await;
}
