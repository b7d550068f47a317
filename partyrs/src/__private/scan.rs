//! Which message a text is, found out before it is read.
//!
//! Where the tag does not come first, everything before it would have to be kept or read
//! twice. So it is looked for by what JSON is made of, strings and brackets, without a look at
//! what is in between; reading shows afterwards whether it was JSON at all. Whatever is out of
//! the ordinary, such as an escape in a key, is no find: then the careful way is taken.

use memchr::memchr2;

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

/// What is behind the quote that ends the string in whose middle `bytes` begins.
fn behind_string(mut bytes: &[u8]) -> Option<&[u8]> {
    loop {
        let end = memchr2(b'"', b'\\', bytes)?;
        if bytes[end] == b'"' {
            return Some(&bytes[end + 1..]);
        }
        bytes = bytes.get(end + 2..)?;
    }
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
    use super::find_tag;

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
