//! Frames as bytes of the WebSocket protocol (RFC 6455, section 5.2), server to client.
//!
//! A server's frames carry no mask, so the bytes of a frame are the same for every
//! connection: they are written once and shared.

use bytes::{BufMut, BytesMut};
use partyrs::{CloseFrame, Frame};

const FINAL: u8 = 0x80;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;

/// A ping without payload.
pub(crate) const PING: &[u8] = &[FINAL | 0x9, 0];

/// Appends a message as one unfragmented frame.
pub(crate) fn put_frame(buffer: &mut BytesMut, frame: &Frame) {
    let opcode = match frame {
        Frame::Text(_) => TEXT,
        Frame::Binary(_) => BINARY,
    };
    put_head(buffer, opcode, frame.len());
    buffer.extend_from_slice(frame.payload());
}

/// Appends a Close, with or without code.
pub(crate) fn put_close(buffer: &mut BytesMut, close: Option<(u16, &str)>) {
    match close {
        None => put_head(buffer, CLOSE, 0),
        Some((code, reason)) => {
            put_head(buffer, CLOSE, 2 + reason.len());
            buffer.put_u16(code);
            buffer.extend_from_slice(reason.as_bytes());
        }
    }
}

/// The code and reason of a Close frame of the user's.
pub(crate) fn parts(close: &CloseFrame) -> (u16, &str) {
    (close.code(), close.reason())
}

/// Whether these bytes begin with a Close frame.
pub(crate) fn is_close(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|first| first & 0x0f == CLOSE)
}

fn put_head(buffer: &mut BytesMut, opcode: u8, len: usize) {
    buffer.reserve(10 + len);
    buffer.put_u8(FINAL | opcode);
    match (u8::try_from(len), u16::try_from(len)) {
        (Ok(short), _) if short < 126 => buffer.put_u8(short),
        (_, Ok(middle)) => {
            buffer.put_u8(126);
            buffer.put_u16(middle);
        }
        _ => {
            buffer.put_u8(127);
            buffer.put_u64(len as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head_of(len: usize) -> Vec<u8> {
        let mut buffer = BytesMut::new();
        put_frame(&mut buffer, &Frame::binary(vec![7; len]));
        let head_len = buffer.len() - len;
        assert!(buffer[head_len..].iter().all(|byte| *byte == 7));
        buffer[..head_len].to_vec()
    }

    #[test]
    fn a_length_takes_7_16_or_64_bits() {
        assert_eq!(head_of(0), [0x82, 0]);
        assert_eq!(head_of(125), [0x82, 125]);
        assert_eq!(head_of(126), [0x82, 126, 0, 126]);
        assert_eq!(head_of(65_535), [0x82, 126, 0xff, 0xff]);
        assert_eq!(head_of(65_536), [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn a_close_is_known_by_its_first_byte() {
        let mut buffer = BytesMut::new();
        put_close(&mut buffer, Some((4001, "bye")));
        assert_eq!(&buffer[..], [0x88, 5, 0x0f, 0xa1, b'b', b'y', b'e']);
        assert!(is_close(&buffer) && !is_close(&[0x8a, 0]) && !is_close(&[]));
    }
}
