//! What the documents say of the tests.

use std::path::Path;

/// Every `module::name` in `docs/wire.md` is a function of that module.
#[test]
fn the_wire_document_names_only_tests_that_exist() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let document = std::fs::read_to_string(tests.join("../docs/wire.md")).unwrap();
    let mut names_count = 0;
    let is_part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_:".contains(&byte);
    let is_test = |code: &&str| code.contains("::") && code.bytes().all(is_part);
    for name in document.split('`').filter(is_test) {
        let (module, function) = name.rsplit_once("::").unwrap();
        let file = tests.join("it").join(module.replace("::", "/")).with_extension("rs");
        let source = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(source.contains(&format!("fn {function}()")), "{name} is not in {}", file.display());
        names_count += 1;
    }
    assert!(names_count > 100, "only {names_count} tests were found in the document");
}

/// What a port from PartyKit or partyserver must or should have, as it stands in the first cell of
/// a row of the porting guide.
const ITEMS: &[&str] = &[
    // Hooks.
    "`constructor(room)`",
    "`onStart()`",
    "`onConnect(connection, ctx)`",
    "`onMessage(message, sender)`",
    "`onMessage(connection, message)`",
    "`onClose(connection)`",
    "`onClose(connection, code, reason, wasClean)`",
    "`onError(connection, error)`",
    "`onRequest(request)`",
    "`onAlarm()`",
    "`getConnectionTags(connection, ctx)`",
    "`options.hibernate`",
    "placement rule",
    // Static hooks and what they see.
    "`static onBeforeConnect(request, lobby, ctx)`",
    "`static onBeforeRequest(request, lobby, ctx)`",
    "`onBeforeConnect(request, lobby)`",
    "`onBeforeRequest(request, lobby)`",
    "`static onFetch(request, lobby, ctx)`",
    "`static onSocket(socket, lobby, ctx)`",
    "`static onCron(cron, lobby, ctx)`",
    "`lobby.id`",
    "`lobby.env`",
    "`lobby.parties`",
    "`lobby.assets.fetch(path)`",
    "`Party.Lobby`",
    "`Party.FetchLobby`",
    "`Party.CronLobby`",
    "`Party.FetchSocket`",
    "`Lobby`",
    "`Party.Request`",
    "`ConnectionContext`",
    "`WSMessage`",
    // Room.
    "`room.id`",
    "`this.name`",
    "`room.name`",
    "`room.internalID`",
    "`room.env`",
    "`room.storage`",
    "`room.blockConcurrencyWhile(fn)`",
    "`room.broadcast(message)`",
    "`room.broadcast(message, without)`",
    "`room.getConnection(id)`",
    "`room.getConnections()`",
    "`room.getConnections(tag)`",
    "`room.context.parties`",
    "`room.analytics`",
    // Connection.
    "`connection.id`",
    "`connection.uri`",
    "`connection.state`",
    "`connection.setState(value)`",
    "`connection.setState(previous => next)`",
    "`connection.tags`",
    "`connection.send(data)`",
    "`connection.close(code, reason)`",
    "`connection.readyState`",
    "`Connection<TState>`",
    "`request.headers.get(\"cf-connecting-ip\")`",
    // Storage and alarms.
    "`await storage.get(key)`",
    "`get(keys[])`",
    "`await storage.put(key, value)`",
    "`put({k:v,...})`",
    "`await storage.delete(key)`",
    "`delete(keys[])`",
    "`await storage.deleteAll()`",
    "`await storage.list()`",
    "`list({ prefix })`",
    "`list({ start, end })`",
    "`list({ startAfter })`",
    "`list({ reverse, limit })`",
    "`await storage.transaction(async txn => ..)`",
    "`await storage.sync()`",
    "`storage.getAlarm()`",
    "`storage.setAlarm(date)`",
    "`storage.deleteAlarm()`",
    // Other rooms.
    "`context.parties.<party>.get(id)`",
    "`stub.fetch(path, init)`",
    "`stub.socket(pathOrInit?, init?)`",
    "`getServerByName(namespace, name)`",
    // Addresses, files, configuration.
    "`/party/:room[/*]`",
    "`/parties/:party/:room[/*]`",
    "`routePartykitRequest(request, env, options)`",
    "party name from binding",
    "empty segments",
    "hono middleware",
    "GET and HEAD",
    "asked before `onFetch`",
    "`singlePageApp: true`",
    "not found",
    "`main`",
    "`parties`",
    "`port`",
    "`persist: \"folder\"`",
    "`persist: false`",
    "`vars`",
    "`serve`",
    "`crons`",
    "`init`",
    "`dev`",
    // Client.
    "`host`",
    "`room`",
    "`party`",
    "`prefix`",
    "`basePath`",
    "`path`",
    "`protocol`",
    "`protocols`",
    "`id`",
    "`query`",
    "`updateProperties`",
    "`PartySocket.fetch({ host, room }, init)`",
    "`usePartySocket`",
    "`useWebSocket`",
    // What people ask for first.
    "`y-partykit`",
];

#[test]
fn the_porting_guide_has_a_row_for_everything_that_is_ported() {
    let guide = read("../docs/porting-from-partykit.md");
    let names: Vec<&str> = rows(&guide).map(|cells| cells[0]).collect();
    for item in ITEMS {
        assert!(names.iter().any(|name| name.contains(item)), "no row of the porting guide is about {item}");
    }
}

#[test]
fn no_row_of_the_porting_guide_leaves_a_cell_empty() {
    let guide = read("../docs/porting-from-partykit.md");
    for cells in rows(&guide) {
        assert_eq!(cells.len(), 2, "{cells:?}");
        assert!(cells.iter().all(|cell| !cell.is_empty()), "{cells:?}");
    }
    assert!(rows(&guide).count() > 150, "{} rows were found", rows(&guide).count());
}

#[test]
fn links_from_document_to_document_lead_somewhere() {
    let mut links_count = 0;
    for document in ["../README.md", "../docs/porting-from-partykit.md", "../examples/README.md"] {
        let text = read(document);
        let folder = Path::new(document).parent().unwrap();
        let links = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link);
        for link in links.filter(|link| !link.contains("://")) {
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let file = if file.is_empty() { document.into() } else { folder.join(file) };
            let text = read(&file);
            let is_there = heading.is_empty() || headings(&text).any(|anchor| anchor == heading);
            assert!(is_there, "{document} names {link}");
            links_count += 1;
        }
    }
    assert!(links_count > 30, "only {links_count} links were found");
}

fn read(document: impl AsRef<Path>) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(document);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The cells of each row of all tables, without the rows that rule a line.
fn rows(document: &str) -> impl Iterator<Item = Vec<&str>> {
    let rows = prose(document).filter_map(|line| line.strip_prefix('|')?.strip_suffix('|'));
    let rows = rows.filter(|row| !row.chars().all(|char| "-|".contains(char)));
    // A bar within a cell is escaped, so there is no space before it.
    rows.map(|row| row.split(" |").map(str::trim).collect())
}

/// The anchors that a heading gets where documents are read.
fn headings(document: &str) -> impl Iterator<Item = String> {
    let headings = prose(document).filter(|line| line.starts_with('#'));
    headings.map(|line| {
        let title = line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        title.chars().filter(|char| char.is_alphanumeric() || "-_".contains(*char)).collect()
    })
}

/// All lines but those of code.
fn prose(document: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    document.lines().filter(move |line| {
        let is_fence = line.starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}
