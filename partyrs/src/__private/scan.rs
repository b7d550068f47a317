//! Which message a text is, found out before it is read.
//!
//! Where the tag does not come first, everything before it would have to be kept or read
//! twice. So it is looked for by what JSON is made of, strings and brackets, without a look at
//! what is in between; reading shows afterwards whether it was JSON at all. Whatever is out of
//! the ordinary, such as an escape in a key, is no find: then the careful way is taken.

use memchr::{memchr, memchr2};

/// The value of `tag` in the object that `text` is, if both are written without escapes.
///
/// One pass at most, without recursion; of two tags the first.
pub(super) fn find_tag<'a>(text: &'a str, tag: &str) -> Option<&'a str> {
    let mut rest = blanks_off(text.as_bytes()).strip_prefix(b"{")?;
    loop {
        let (key, behind) = plain_string(blanks_off(rest))?;
        let value = blanks_off(blanks_off(behind).strip_prefix(b":")?);
        if key == tag.as_bytes() {
            let (name, _) = plain_string(value)?;
            return std::str::from_utf8(name).ok();
        }
        rest = blanks_off(behind_value(value)?).strip_prefix(b",")?;
    }
}

/// The value of `tag`, if the text ends with its entry, and both are written without escapes.
///
/// It is the tag for certain if the text is an object, but the same key may have come before.
pub(super) fn tag_at_end<'a>(text: &'a str, tag: &str) -> Option<&'a str> {
    let inner = text.as_bytes().trim_ascii_end().strip_suffix(b"}")?.trim_ascii_end().strip_suffix(b"\"")?;
    let quote = inner.iter().rposition(|byte| *byte == b'"')?;
    let key = inner[..quote].trim_ascii_end().strip_suffix(b":")?.trim_ascii_end();
    let before = key.strip_suffix(b"\"")?.strip_suffix(tag.as_bytes())?.strip_suffix(b"\"")?.trim_ascii_end();
    let name = text.get(quote + 1..inner.len())?;
    (matches!(before.last(), Some(b',' | b'{')) && !name.contains('\\')).then_some(name)
}

fn blanks_off(bytes: &[u8]) -> &[u8] {
    let blank = bytes.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count();
    &bytes[blank..]
}

/// What is between the quotes, and what is behind them.
fn plain_string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let inner = bytes.strip_prefix(b"\"")?;
    let end = memchr2(b'"', b'\\', inner)?;
    (inner[end] == b'"').then(|| (&inner[..end], &inner[end + 1..]))
}

/// How many bytes come before the quote that ends the string in whose middle `bytes` begins.
///
/// Only quotes are looked for: one that is escaped has an odd number of backslashes before it.
pub(super) fn string_len(bytes: &[u8]) -> Option<usize> {
    let mut start = 0;
    loop {
        let end = start + memchr(b'"', &bytes[start..])?;
        let backslashes = bytes[start..end].iter().rev().take_while(|byte| **byte == b'\\').count();
        if backslashes % 2 == 0 {
            return Some(end);
        }
        start = end + 1;
    }
}

/// What is behind the quote that ends it.
fn behind_string(bytes: &[u8]) -> Option<&[u8]> {
    string_len(bytes).map(|len| &bytes[len + 1..])
}

/// What is behind the value with which `bytes` begins.
fn behind_value(bytes: &[u8]) -> Option<&[u8]> {
    match bytes.first()? {
        b'"' => behind_string(&bytes[1..]),
        b'{' | b'[' => {
            let mut depth = 0_usize;
            let mut rest = bytes;
            loop {
                let next = rest.iter().position(|byte| matches!(byte, b'"' | b'{' | b'[' | b'}' | b']'))?;
                let found = rest[next];
                rest = &rest[next + 1..];
                match found {
                    b'"' => rest = behind_string(rest)?,
                    b'{' | b'[' => depth += 1,
                    _ if depth == 1 => return Some(rest),
                    _ => depth -= 1,
                }
            }
        }
        _ => {
            let end = bytes.iter().position(|byte| matches!(byte, b',' | b'}'))?;
            Some(&bytes[end..])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{find_tag, tag_at_end};

    #[test]
    fn the_tag_is_found_wherever_it_stands() {
        for text in [
            r#"{"type":"say"}"#,
            r#" { "a" : 1 , "type" : "say" } "#,
            r#"{"a":"}\"\\","b":[{"type":"x"},"]"],"c":-1.5e3,"d":null,"type":"say","type":"y"}"#,
            r#"{"é":{},"":[],"type":"say""#,
        ] {
            assert_eq!(find_tag(text, "type"), Some("say"), "{text}");
        }
    }

    #[test]
    fn the_tag_is_seen_at_the_end() {
        for text in [
            r#"{"type":"say"}"#,
            r#"{"a":"\"","type":"say"}"#,
            "{ \"a\" : 1 ,\n  \"type\"\t: \"say\"\r\n}\n ",
            r#"{"type":"x","type":"say"}"#,
        ] {
            assert_eq!(tag_at_end(text, "type"), Some("say"), "{text}");
        }
        for text in [
            "",
            "}",
            r#""}"#,
            r#"say"}"#,
            r#":"say"}"#,
            r#"type":"say"}"#,
            r#""type":"say"}"#,
            r#"{"a":1,"type":"say""#,
            r#"{"a":1,"type":"say"}}"#,
            r#"{"a":1,"type":"say","b":1}"#,
            r#"{"a":1,"mytype":"say"}"#,
            r#"{"a":1,\"type":"say"}"#,
            r#"{"a":1,"type":"s\\ay"}"#,
            r#"{"a":1,"type":"\"say"}"#,
            r#"{"a":"\",\"type\":\"say\""}"#,
            r#"{"a":1,"type":1}"#,
        ] {
            assert_eq!(tag_at_end(text, "type"), None, "{text}");
        }
    }

    #[test]
    fn what_is_out_of_the_ordinary_is_no_find() {
        for text in [
            "",
            "{",
            "{}",
            "[]",
            "1",
            r#"{"a":1}"#,
            r#"{"a":1,}"#,
            r#"{"type":1}"#,
            r#"{"type":"s\u0061y"}"#,
            r#"{"\u0074ype":"say"}"#,
            r#"{"a\n":1,"type":"say"}"#,
            r#"{"a":"type":"say"}"#,
            r#"{"a":"\"#,
            r#"{"a":[}"#,
            r#"{"a" 1,"type":"say"}"#,
            r#"{"a":"b"#,
            r#"{"type":"say"#,
        ] {
            assert_eq!(find_tag(text, "type"), None, "{text}");
        }
    }
}
