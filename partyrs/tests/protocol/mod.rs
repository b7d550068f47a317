//! A protocol as programs have it, for what reading costs.

use partyrs::FromFrame;
use serde::Deserialize;

/// Read by the derive as it stands, and by serde with the attributes that say the same.
#[derive(Debug, PartialEq, FromFrame, Deserialize)]
#[frame(rename_all = "kebab-case")]
#[serde(tag = "type", rename_all = "kebab-case")]
pub(crate) enum Ask {
    /// Somebody comes.
    Join { name: String, colour: Option<String> },
    /// Somebody says something.
    Chat { id: u64, content: String, reply_to: Option<u64> },
    /// A pointer moves.
    Cursor { x: f64, y: f64, pressed: bool },
    /// A document changes.
    Patch { document: String, version: u64, text: String },
    /// A list is put in order.
    Sort { items: Vec<Item> },
}

#[derive(Debug, PartialEq, Deserialize)]
pub(crate) struct Item {
    id: u32,
    title: String,
    done: bool,
}

/// The five messages, each with its tag first and last.
pub(crate) fn frames() -> Vec<(String, String)> {
    let content = "Lorem ipsum dolor sit amet, consectetur adipiscing elit. Sed non risus. Suspendisse.";
    let text = "Nulla facilisi. \\\"Quoted\\\" and broken\\nand so on. Etiam at ligula et tellus ullamcorper ultrices. "
        .repeat(41);
    let items: Vec<_> = (0..64)
        .map(|id| format!(r#"{{"id":{id},"title":"item number {id}","done":{}}}"#, id % 3 == 0))
        .collect();
    let messages = [
        ("join", r#""name":"Ada Lovelace","colour":"orange""#.to_owned()),
        ("chat", format!(r#""id":1048577,"content":"{content}""#)),
        ("cursor", r#""x":312.25,"y":-87.5,"pressed":false"#.to_owned()),
        ("patch", format!(r#""document":"readme","version":77,"text":"{text}""#)),
        ("sort", format!(r#""items":[{}]"#, items.join(","))),
    ];
    let frames = messages.iter().flat_map(|(tag, rest)| {
        [
            (format!("{tag}, tag first"), format!(r#"{{"type":"{tag}",{rest}}}"#)),
            (format!("{tag}, tag last"), format!(r#"{{{rest},"type":"{tag}"}}"#)),
        ]
    });
    frames.collect()
}
