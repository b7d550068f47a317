//! What is stored, as people read it.
//!
//! Whatever it is, what comes out stays on one line and has no control characters, which a
//! terminal would obey.

use std::fmt::Write;

use serde_json::Value;

/// A value as JSON if it is MessagePack that has such a form, else as text if it is that, else in hex.
pub(crate) fn readable(value: &[u8]) -> String {
    let mut rest = value;
    match rmp_serde::from_read::<_, Value>(&mut rest) {
        Ok(value) if rest.is_empty() => return without_controls(&value.to_string()),
        Ok(_) | Err(_) => {}
    }
    match std::str::from_utf8(value) {
        Ok(text) if !text.is_empty() && !text.contains(char::is_control) => format!("text {}", quoted(text)),
        _ => value.iter().fold(format!("hex, {} bytes: ", value.len()), |mut hex, byte| {
            // Nothing fails that is written to a string.
            let _ = write!(hex, "{byte:02x}");
            hex
        }),
    }
}

/// A text as JSON has it.
pub(crate) fn quoted(text: &str) -> String {
    without_controls(&Value::from(text).to_string())
}

/// A time in UTC.
pub(crate) fn utc(ms: u64) -> String {
    let time = i64::try_from(ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    time.map_or_else(|| format!("{ms} ms after 1970"), |time| time.to_string())
}

/// JSON escapes only the control characters of ASCII, and not all of these.
fn without_controls(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for char in json.chars() {
        if char.is_control() {
            // All of them are below U+10000.
            let _ = write!(shown, "\\u{:04x}", u32::from(char));
        } else {
            shown.push(char);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_is_json_and_raw_bytes_are_text_or_hex() {
        assert_eq!(readable(b"\x82\xa1a\x01\xa1b\xc0"), r#"{"a":1,"b":null}"#);
        assert_eq!(readable(b"hello"), r#"text "hello""#);
        assert_eq!(readable(&[0xff, 0x00]), "hex, 2 bytes: ff00");
        assert_eq!(readable(b""), "hex, 0 bytes: ");
        // More of it than the length says, and less.
        assert_eq!(readable(b"\xa1ab"), "hex, 3 bytes: a16162");
        assert_eq!(readable(b"\xdd\xff\xff\xff\xff"), "hex, 5 bytes: ddffffffff");
    }

    #[test]
    fn nothing_that_a_terminal_obeys_is_shown() {
        let evil = "a\u{1b}[2J\n\u{7f}\u{9b}";
        assert_eq!(quoted(evil), r#""a\u001b[2J\n\u007f\u009b""#);
        let mut stored = vec![0xa0 | u8::try_from(evil.len()).expect("a short text")];
        stored.extend_from_slice(evil.as_bytes());
        assert!(!readable(&stored).contains(char::is_control));
        assert!(!readable(evil.as_bytes()).contains(char::is_control));
    }

    #[test]
    fn a_time_is_told_in_utc_and_one_too_late_for_a_calendar_as_a_number() {
        assert_eq!(utc(1_770_091_506_789), "2026-02-03T04:05:06.789Z");
        assert_eq!(utc(u64::MAX), "18446744073709551615 ms after 1970");
    }
}
