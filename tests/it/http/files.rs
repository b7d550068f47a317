//! Static files, and what is neither a room nor a file (wire rows 43 and 44).

use http::header::HeaderValue;
use partyrs_runtime::Host;
use partyrs_runtime::testing::TestHost;

use super::raw::Raw;
use super::{Desk, get};

/// A folder of files, with a secret beside it.
fn files() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    for (path, text) in [
        ("secret.txt", "secret"),
        ("public/index.html", "<h1>start</h1>"),
        ("public/app.js", "let a;"),
        ("public/a b.txt", "blank"),
        ("public/\u{fc}.txt", "umlaut"),
        ("public/sub/index.html", "<h1>sub</h1>"),
        ("public/empty/file.bin", "0123456789"),
        ("public/.env", "secret"),
        ("public/.git/config", "secret"),
        ("public/sub/.hidden/x", "secret"),
        ("public/party/index.html", "about parties"),
        ("public/party/tea", "no room"),
        ("public/parties/main/index.html", "about main"),
    ] {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder that can be written");
        std::fs::write(path, text).expect("a folder that can be written");
    }
    folder
}

async fn site(files: &tempfile::TempDir) -> TestHost {
    TestHost::of(Host::builder().party::<Desk>("main").assets(files.path().join("public"))).await
}

#[tokio::test]
async fn files_are_served_with_their_type_and_index_html_for_a_folder() {
    let files = files();
    let host = site(&files).await;
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
    ] {
        let answer = host.get(path).await;
        assert_eq!(answer.status(), 200, "{path}");
        assert_eq!(answer.headers()["content-type"], content_type, "{path}");
        assert_eq!(answer.body(), text, "{path}");
    }
    let answer = host.get("/sub").await;
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["location"]),
        (307, &HeaderValue::from_static("/sub/"))
    );
    assert_eq!(host.rooms_count(), 0);
}

#[tokio::test]
async fn what_is_no_room_is_a_file_or_404() {
    let files = files();
    let host = site(&files).await;
    assert_eq!(get(&host, "/party/").await, (200, "about parties".to_owned()));
    assert_eq!(get(&host, "/parties/main/").await, (200, "about main".to_owned()));
    assert_eq!(host.rooms_count(), 0);
    // A room goes before a file.
    assert_eq!(get(&host, "/party/tea").await, (200, "0".to_owned()));
    for path in ["/nothing", "/empty/", "/index.html/", "/index.html/x", "/app.js/", "/sub/nothing"] {
        assert_eq!(get(&host, path).await, (404, "Not found".to_owned()), "{path}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let request = http::Request::builder().method(method).uri("/app.js").body("").unwrap();
        let answer = host.request(request).await;
        assert_eq!((answer.status().as_u16(), &answer.body()[..]), (404, &b"Not found"[..]), "{method}");
    }
    let upgrade = host.try_connect("/nothing").await.expect_err("a refusal");
    assert_eq!(upgrade.status(), 404);
}

#[tokio::test]
async fn a_head_request_for_a_file_gets_its_headers_alone() {
    let files = files();
    let host = site(&files).await;
    let mut client = Raw::connect(&host).await;
    client.send("HEAD /app.js HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    let answer = client.head().await;
    assert_eq!((answer.status, answer.header("content-length")), (200, Some("6")));
    assert_eq!(client.rest().await, b"");
}

#[tokio::test]
async fn a_file_is_told_to_be_unchanged_and_is_served_in_parts() {
    let files = files();
    let host = site(&files).await;
    let ask = async |name: &str, value: &HeaderValue| {
        let request = http::Request::get("/empty/file.bin").header(name, value);
        host.request(request.body("").unwrap()).await
    };
    let whole = host.get("/empty/file.bin").await;
    let unchanged = ask("if-modified-since", &whole.headers()["last-modified"]).await;
    assert_eq!((unchanged.status().as_u16(), unchanged.body().len()), (304, 0));
    let unchanged = ask("if-none-match", &whole.headers()["etag"]).await;
    assert_eq!((unchanged.status().as_u16(), unchanged.body().len()), (304, 0));

    let part = ask("range", &HeaderValue::from_static("bytes=2-4")).await;
    assert_eq!((part.status().as_u16(), &part.body()[..]), (206, &b"234"[..]));
    assert_eq!(part.headers()["content-range"], "bytes 2-4/10");
    for (range, status) in [("bytes=10-", 416), ("bytes=0-1,3-4", 416), ("bytes=-3", 206), ("lines=1", 416)] {
        let answer = ask("range", &HeaderValue::from_static(range)).await;
        assert_eq!(answer.status().as_u16(), status, "{range}");
    }
}

#[tokio::test]
async fn no_spelling_of_a_path_leaves_the_folder_or_shows_a_dot_file() {
    let files = files();
    let host = site(&files).await;
    let absolute = files.path().join("secret.txt").display().to_string();
    let encoded = absolute.replace('/', "%2f");
    for target in [
        "/../secret.txt",
        "/sub/../../secret.txt",
        "/%2e%2e/secret.txt",
        "/%2E./secret.txt",
        "/..%2fsecret.txt",
        "/%2e%2e%2fsecret.txt",
        "/sub/..%2f..%2fsecret.txt",
        "/%252e%252e/secret.txt",
        "/..\\secret.txt",
        "/..%5csecret.txt",
        "/sub%2f..%2f..%2fsecret.txt",
        "http://x/../secret.txt",
        absolute.as_str(),
        &format!("/{absolute}"),
        &format!("/{encoded}"),
        "/.env",
        "//.env",
        "/%2eenv",
        "/./.env",
        "/sub/../.env",
        "/.git/config",
        "/.git%2fconfig",
        "/sub/.hidden/x",
        "/.env?x",
        "/.env%00.txt",
        "/.git",
        "/.git/",
        "/app.js%00",
        "/%00",
        "/%FF",
        "/a%0ab",
        "*",
    ] {
        let mut client = Raw::connect(&host).await;
        client.send(format!("GET {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")).await;
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.text()), (404, "Not found".to_owned()), "{target}");
    }
    assert_eq!(get(&host, "//app.js").await, (200, "let a;".to_owned()));
}

#[tokio::test]
async fn a_name_that_no_file_can_have_is_404() {
    let files = files();
    let host = site(&files).await;
    for path in [format!("/{}", "x".repeat(300)), format!("/{}", "x/".repeat(3000))] {
        assert_eq!(get(&host, &path).await, (404, "Not found".to_owned()), "{} bytes", path.len());
    }
}

/// A browser reads the address `//sub/` as the host `sub`.
#[tokio::test]
async fn a_folder_is_never_redirected_to_another_host() {
    let files = files();
    let host = site(&files).await;
    assert_eq!(get(&host, "//sub").await, (404, "Not found".to_owned()));
    assert_eq!(get(&host, "//sub/").await, (200, "<h1>sub</h1>".to_owned()));
}
