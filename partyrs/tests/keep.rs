//! The files beside the code, in real folders: what becomes of them, and what a person is told.

#![cfg(feature = "protocol")]

use std::fs;
use std::path::Path;

use partyrs::protocol::{Document, Keep, KeepError};
use partyrs::{FromFrame, IntoFrame, Protocol};
use tempfile::TempDir;

#[derive(FromFrame, IntoFrame, Protocol)]
#[frame(rename_all = "kebab-case")]
enum One {
    Say { text: String },
}

/// The same, and clients may say more.
#[derive(FromFrame, IntoFrame, Protocol)]
#[frame(rename_all = "kebab-case")]
enum More {
    Say { text: String },
    Stop,
}

/// The same, and clients may say less.
#[derive(FromFrame, IntoFrame, Protocol)]
#[frame(rename_all = "kebab-case")]
enum Shorter {
    Say {
        #[frame(len(max = 3))]
        text: String,
    },
}

fn one() -> Document {
    Document::of::<One, One>("main")
}

fn more() -> Document {
    Document::of::<More, One>("main")
}

fn shorter() -> Document {
    Document::of::<Shorter, One>("main")
}

/// A folder in which `main.json` and `main.ts` are as `document` says.
fn folder_of(document: &Document) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    document.keep_as(folder.path(), Keep::Write).expect("a folder that is empty");
    folder
}

/// What is in the two files.
fn files(folder: &Path) -> [Option<String>; 2] {
    ["main.json", "main.ts"].map(|name| fs::read_to_string(folder.join(name)).ok())
}

fn files_of(document: &Document) -> [Option<String>; 2] {
    [Some(document.to_json()), Some(document.to_typescript())]
}

/// What a person is told; the folder has no name that matters.
fn told(folder: &Path, kept: Result<(), KeepError>) -> String {
    let error = kept.expect_err("something to tell");
    assert_eq!(format!("{error:?}"), error.to_string(), "a test that fails shows the same");
    error.to_string().replace(&format!("{}/", folder.display()), "")
}

#[test]
fn files_are_written_once_and_then_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("deep/protocol");
    assert_eq!(
        told(&inner, one().keep_as(&inner, Keep::Check)),
        "main.json is not there, so nothing tells what clients know; \
         to begin with what the code says, run this with PARTYRS_PROTOCOL=write"
    );
    assert!(!inner.exists());

    one().keep_as(&inner, Keep::Write).unwrap();
    assert_eq!(files(&inner), files_of(&one()));
    for keep in [Keep::Check, Keep::Write, Keep::WriteBreaks] {
        one().keep_as(&inner, keep).unwrap();
        assert_eq!(files(&inner), files_of(&one()));
    }
}

#[test]
fn a_change_that_breaks_nothing_is_told_until_it_is_written() {
    let folder = folder_of(&one());
    assert_eq!(
        told(folder.path(), more().keep_as(folder.path(), Keep::Check)),
        "main.ts and main.json are not what the code says. Nothing breaks; \
         to write the files anew, run this with PARTYRS_PROTOCOL=write"
    );
    assert_eq!(files(folder.path()), files_of(&one()));

    more().keep_as(folder.path(), Keep::Write).unwrap();
    assert_eq!(files(folder.path()), files_of(&more()));
}

#[test]
fn a_module_that_is_stale_or_missing_is_written_again() {
    let folder = folder_of(&one());
    let module = folder.path().join("main.ts");
    let spoil: [fn(&Path); 3] = [
        |module| fs::write(module, "// what a person wrote").unwrap(),
        |module| fs::write(module, b"\xff\xfe").unwrap(),
        |module| fs::remove_file(module).unwrap(),
    ];
    for spoil in spoil {
        spoil(&module);
        assert_eq!(
            told(folder.path(), one().keep_as(folder.path(), Keep::Check)),
            "main.ts is not what the code says. Nothing breaks; \
             to write the files anew, run this with PARTYRS_PROTOCOL=write"
        );
        one().keep_as(folder.path(), Keep::Write).unwrap();
        assert_eq!(files(folder.path()), files_of(&one()));
    }
}

#[test]
fn a_break_is_refused_and_the_files_stay_until_it_is_meant() {
    let folder = folder_of(&one());
    for keep in [Keep::Check, Keep::Write] {
        assert_eq!(
            told(folder.path(), shorter().keep_as(folder.path(), keep)),
            "clients that know the protocol in main.json would break:\n  \
             - what clients send, `say.text`: more than 3 characters are refused now; there was no limit\n\
             What breaks nothing: a key that clients may leave out (`Option`, `default`), an earlier name that \
             stays (`alias`), a message that only clients send.\n\
             If that is meant, because no such clients are left or they can do without, \
             run this with PARTYRS_PROTOCOL=break"
        );
        assert_eq!(files(folder.path()), files_of(&one()));
    }
    shorter().keep_as(folder.path(), Keep::WriteBreaks).unwrap();
    assert_eq!(files(folder.path()), files_of(&shorter()));
    shorter().keep_as(folder.path(), Keep::Check).unwrap();
}

#[test]
fn a_file_that_nobody_can_read_is_told_and_stays() {
    let whole = one().to_json();
    let cases = [
        (String::new(), "not a protocol that partyrs wrote: EOF while parsing a value at line 1 column 0"),
        (
            r#"{"title": "main", "$defs""#.to_owned(),
            "not a protocol that partyrs wrote: EOF while parsing an object at line 1 column 25",
        ),
        (
            format!("<<<<<<< HEAD\n{whole}=======\n{whole}>>>>>>> other\n"),
            "it has the marks of a merge that is not done",
        ),
        ("{}".to_owned(), "not a protocol that partyrs wrote: it has no `title`"),
        ("[]".to_owned(), "not a protocol that partyrs wrote: it has no `title`"),
        (
            r#"{"title":"main","$defs":{"ClientMessage":{}}}"#.to_owned(),
            "not a protocol that partyrs wrote: it has no definition of `RoomMessage`",
        ),
        (
            whole.replace("\"RoomMessage\"", "\"Rooms\""),
            "not a protocol that partyrs wrote: it has no definition of `RoomMessage`",
        ),
        (
            r##"{"title":"main","$defs":{"ClientMessage":{"$ref":"#/$defs/Ask"},"RoomMessage":{}}}"##
                .to_owned(),
            "not a protocol that partyrs wrote: it refers to `#/$defs/Ask`, of which it has no definition",
        ),
        (
            whole.replace("\"const\": \"say\"", "\"const\": 7"),
            "not a protocol that partyrs wrote: one of the messages in `ClientMessage` does not say its `type`",
        ),
    ];
    for (text, reason) in cases {
        let folder = folder_of(&one());
        let file = folder.path().join("main.json");
        fs::write(&file, &text).unwrap();
        for keep in [Keep::Check, Keep::Write, Keep::WriteBreaks] {
            assert_eq!(
                told(folder.path(), one().keep_as(folder.path(), keep)),
                format!(
                    "main.json: {reason}. Put back the one that clients know; \
                     if there is none, remove it and run this with PARTYRS_PROTOCOL=write"
                )
            );
            assert_eq!(fs::read_to_string(&file).unwrap(), text);
        }
    }
}

#[test]
fn a_file_of_a_later_version_is_read_as_far_as_it_is_known() {
    let folder = folder_of(&one());
    let file = folder.path().join("main.json");
    // Words about all of it mean nothing to this version; a rule for a value is one that clients count on.
    let later = one().to_json().replace("\"title\"", "\"x-version\": 2,\n  \"title\"");
    fs::write(&file, &later).unwrap();
    assert!(matches!(one().keep_as(folder.path(), Keep::Check), Err(KeepError::Stale { .. })));

    let later = one().to_json().replace("\"type\": \"string\"", "\"type\": \"string\", \"x-words\": 3");
    fs::write(&file, &later).unwrap();
    let told = told(folder.path(), one().keep_as(folder.path(), Keep::Write));
    let rule = "it need not have the x-words 3 any more, on which earlier clients count";
    assert!(told.contains(&format!("what rooms send, `say.text`: {rule}")), "{told}");
    assert!(!told.contains("what clients send"), "{told}");
}

#[test]
fn lines_may_end_as_they_do_on_another_machine() {
    let folder = folder_of(&one());
    for name in ["main.json", "main.ts"] {
        let file = folder.path().join(name);
        let text = fs::read_to_string(&file).unwrap().replace('\n', "\r\n");
        fs::write(&file, text).unwrap();
    }
    let before = files(folder.path());
    for keep in [Keep::Check, Keep::Write] {
        one().keep_as(folder.path(), keep).unwrap();
        assert_eq!(files(folder.path()), before);
    }
}

#[test]
fn parties_share_a_folder() {
    let folder = folder_of(&one());
    let other = Document::of::<Shorter, ()>("other");
    other.keep_as(folder.path(), Keep::Write).unwrap();
    one().keep_as(folder.path(), Keep::Check).unwrap();
    other.keep_as(folder.path(), Keep::Check).unwrap();
    let mut names: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["main.json", "main.ts", "other.json", "other.ts"]);
}

/// Where a folder should be stands a file: nobody can write there, whoever runs the test.
#[test]
fn a_folder_that_cannot_be_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("protocol");
    fs::write(&inner, "").unwrap();
    for keep in [Keep::Check, Keep::Write, Keep::WriteBreaks] {
        let error = one().keep_as(&inner, keep).unwrap_err();
        assert!(matches!(error, KeepError::Io { .. }), "{error}");
        let told = error.to_string();
        assert!(told.contains("protocol/main.json could not be read or written: "), "{told}");
    }
}

/// As long as the module cannot be written, the break is still seen.
#[test]
fn a_break_that_is_half_written_is_still_a_break() {
    let folder = folder_of(&one());
    fs::remove_file(folder.path().join("main.ts")).unwrap();
    fs::create_dir(folder.path().join("main.ts")).unwrap();
    let kept = shorter().keep_as(folder.path(), Keep::WriteBreaks);
    assert!(matches!(kept, Err(KeepError::Io { .. })));
    let kept = shorter().keep_as(folder.path(), Keep::Write);
    assert!(matches!(kept, Err(KeepError::Breaks { .. })));
}

#[derive(FromFrame, IntoFrame, Protocol)]
#[frame(rename_all = "kebab-case")]
enum Tell {
    Said { text: String },
}

/// What the README changes in its example.
#[derive(FromFrame, Protocol)]
#[frame(rename_all = "kebab-case")]
enum AskLess {
    Say {
        #[frame(len(min = 1, max = 500))]
        text: String,
    },
}

#[derive(FromFrame, Protocol)]
#[frame(rename_all = "kebab-case")]
enum Ask {
    Say {
        #[frame(len(min = 1, max = 2000))]
        text: String,
    },
}

#[derive(FromFrame, IntoFrame, Protocol)]
#[frame(rename_all = "kebab-case")]
enum TellMore {
    Said { text: String },
    Kicked,
}

#[test]
fn the_readme_shows_what_a_person_is_told() {
    let [earlier, now] = [Document::of::<Ask, Tell>("main"), Document::of::<AskLess, TellMore>("main")];
    let folder = folder_of(&earlier);
    let told = told(folder.path(), now.keep_as(folder.path(), Keep::Check));
    let told = told.replace("main.json", "protocol/main.json");
    assert!(include_str!("../../README.md").contains(&format!("```text\n{told}\n```")), "{told}");
}
