//! JSON text, read the quick way or not at all.
//!
//! Most frames are plain: few blanks, strings with few escapes, numbers of a few digits. For those there is
//! [`Quick`], which reads strings and numbers in place and straight into the fields. It knows no errors but
//! one, [`Odd`]: the text is wrong, or out of the ordinary. Then the caller reads it again with serde_json,
//! which finds the words for what is wrong, or finds that nothing is.
//!
//! So what must hold is one direction: what this accepts, serde_json accepts, and gives the visitor the same
//! values. Two things guard it. What has many cases (numbers of many digits or with an exponent, values of any
//! kind) is [handed](Quick::hand_over) to serde_json from where it begins. And once something was odd, nothing
//! is read any more: a type that makes do with a value that it cannot read must not go on in the
//! middle of it.
//!
//! The difficulty is depth: serde_json stops at 127 arrays and objects within each other, but what is
//! handed over does not know how deep it lies. So its depth is measured afterwards, where it
//! is long enough to have one.

use std::fmt;

use serde::{
    Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor, value::BorrowedStrDeserializer},
};

use super::{read::Source, scan::string_len};

/// How many arrays and objects may lie within each other, as for serde_json.
const DEPTH_MAX: usize = 127;

/// Words of eight bytes that hold a one in each, and the highest bit of each.
const EACH: u64 = u64::MAX / 255;
const HIGHEST: u64 = EACH << 7;

/// How many bytes are copied at a time.
const CHUNK: usize = 16;

/// Up to here each integer is a float.
const EXACT_MAX: u64 = 1 << 53;

/// The powers of ten that are floats without being rounded.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];

/// serde_json's types for numbers and raw text make themselves known to it by names like this.
const SERDE_JSON: &str = "$serde_json::private::";

/// A place in a text.
#[derive(Debug)]
pub(super) struct Quick<'de> {
    /// Empty once something was odd.
    text: &'de str,
    /// Where the next byte to read stands; always the beginning of a character.
    at: usize,
    /// How many arrays and objects are open.
    depth: usize,
}

/// The text is not JSON, or does not suit the type, or is to be read with more care.
#[derive(Debug)]
pub(super) struct Odd;

/// The entries of an object, or the elements of an array.
#[derive(Debug)]
pub(super) struct Parts<'a, 'de> {
    quick: &'a mut Quick<'de>,
    is_first: bool,
}

/// The key of an entry.
struct Key<'a, 'de>(&'a mut Quick<'de>);

/// A number without fraction or exponent.
enum Integer {
    Positive(u64),
    Negative(i64),
}

impl<'de> Quick<'de> {
    pub(super) fn new(text: &'de str) -> Self {
        Quick { text, at: 0, depth: 0 }
    }

    /// Goes behind the first entry of the object that the text is, if that is `tag` with a string that has
    /// no escapes.
    #[inline]
    pub(super) fn leading(&mut self, tag: &str) -> Option<&'de str> {
        let mut ahead = Quick::new(self.text);
        ahead.expect(b'{').ok()?;
        ahead.next();
        if ahead.plain_string()? != tag {
            return None;
        }
        ahead.expect(b':').ok()?;
        ahead.next();
        let name = ahead.plain_string()?;
        *self = ahead;
        Some(name)
    }

    /// The entries of the object that the text is, without those that were read.
    #[inline]
    pub(super) fn entries(&mut self) -> Option<Parts<'_, 'de>> {
        let is_first = self.at == 0;
        if is_first {
            self.expect(b'{').ok()?;
        }
        self.depth = 1;
        Some(Parts { quick: self, is_first })
    }

    /// Whether the object ends here, and the text with it, and nothing was odd.
    #[inline]
    pub(super) fn end(&mut self) -> bool {
        self.expect(b'}').is_ok() && self.next() == 0 && self.at == self.text.len()
    }

    #[cold]
    fn odd(&mut self) -> Odd {
        *self = Quick::new("");
        Odd
    }

    /// The byte here; 0, which no JSON has, at the end.
    #[inline(always)]
    fn peek(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    /// The next byte that is not blank.
    #[inline(always)]
    fn next(&mut self) -> u8 {
        loop {
            let byte = self.peek();
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return byte;
            }
            self.at += 1;
        }
    }

    #[inline(always)]
    fn expect(&mut self, byte: u8) -> Result<(), Odd> {
        if self.next() != byte {
            return Err(self.odd());
        }
        self.at += 1;
        Ok(())
    }

    fn expect_word(&mut self, word: &'static str) -> Result<(), Odd> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err(self.odd());
        }
        self.at += word.len();
        Ok(())
    }

    /// Reads the string that begins here.
    #[inline(always)]
    fn string<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Odd> {
        match self.plain_string() {
            Some(text) => visitor.visit_borrowed_str(text),
            None => visitor.visit_string(self.unescaped_string()?),
        }
    }

    /// Reads the string that begins here, if it has no escapes.
    #[inline(always)]
    fn plain_string(&mut self) -> Option<&'de str> {
        let bytes = self.text.as_bytes().get(self.at..)?.strip_prefix(b"\"")?;
        let len = plain_len(bytes);
        if bytes.get(len) != Some(&b'"') {
            return None;
        }
        let start = self.at + 1;
        self.at = start + len + 1;
        self.text.get(start..start + len)
    }

    #[inline(never)]
    fn unescaped_string(&mut self) -> Result<String, Odd> {
        let start = self.at + 1;
        if self.peek() == b'"'
            && let Some((string, len)) = unescape(&self.text[start..])
        {
            self.at = start + len;
            return Ok(string);
        }
        Err(self.odd())
    }

    /// Reads an integer; any other number is handed over.
    #[inline]
    fn integer(&mut self) -> Option<Integer> {
        let bytes = self.text.as_bytes();
        let is_negative = self.next() == b'-';
        let start = self.at + usize::from(is_negative);
        let (value, end) = digits(bytes, start, 0)?;
        let is_whole = !matches!(bytes.get(end), Some(b'.' | b'e' | b'E'));
        if !is_whole || has_idle_zero(bytes, start, end) {
            return None;
        }
        let integer = match is_negative {
            false => Integer::Positive(value),
            // Zero with a sign is a float, and what is too small for an `i64` too.
            true if value == 0 => return None,
            true => Integer::Negative(0_i64.checked_sub_unsigned(value)?),
        };
        self.at = end;
        Some(integer)
    }

    /// Reads a number of few digits with a fraction; any other is handed over.
    #[inline]
    fn fraction(&mut self) -> Option<f64> {
        let bytes = self.text.as_bytes();
        let is_negative = self.next() == b'-';
        let start = self.at + usize::from(is_negative);
        let (whole, point) = digits(bytes, start, 0)?;
        if bytes.get(point) != Some(&b'.') || has_idle_zero(bytes, start, point) {
            return None;
        }
        let (value, end) = digits(bytes, point + 1, whole)?;
        if value > EXACT_MAX || matches!(bytes.get(end), Some(b'e' | b'E')) {
            return None;
        }
        // Both are exact, so that the quotient is the nearest float there is.
        let value = value as f64 / POWERS.get(end - point - 1)?;
        self.at = end;
        Some(if is_negative { -value } else { value })
    }

    /// Has serde_json read the value that begins here.
    fn hand_over<T>(
        &mut self,
        read: impl FnOnce(&mut serde_json::Deserializer<serde_json::de::StrRead<'de>>) -> serde_json::Result<T>,
    ) -> Result<T, Odd> {
        self.next();
        let text = &self.text[self.at..];
        let mut json = serde_json::Deserializer::from_str(text);
        let Ok(value) = read(&mut json) else { return Err(self.odd()) };
        let len = json.into_iter::<IgnoredAny>().byte_offset();
        if !lies_above(&text.as_bytes()[..len], DEPTH_MAX - self.depth) {
            return Err(self.odd());
        }
        self.at += len;
        Ok(value)
    }

    /// Reads what is between two brackets.
    #[inline]
    fn within<T>(
        &mut self,
        [open, close]: [u8; 2],
        read: impl FnOnce(Parts<'_, 'de>) -> Result<T, Odd>,
    ) -> Result<T, Odd> {
        self.expect(open)?;
        if self.depth == DEPTH_MAX {
            return Err(self.odd());
        }
        self.depth += 1;
        let Ok(value) = read(Parts { quick: self, is_first: true }) else { return Err(self.odd()) };
        self.expect(close)?;
        self.depth -= 1;
        Ok(value)
    }
}

/// How many bytes come before the first quote, backslash or control character.
fn plain_len(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    while let Some((chunk, behind)) = rest.split_first_chunk() {
        let word = u64::from_le_bytes(*chunk);
        let control = word.wrapping_sub(EACH * 0x20) & !word;
        let found = (control | marks(word, b'"') | marks(word, b'\\')) & HIGHEST;
        if found != 0 {
            return bytes.len() - rest.len() + found.trailing_zeros() as usize / 8;
        }
        rest = behind;
    }
    let plain = rest.iter().take_while(|byte| !matches!(byte, b'"' | b'\\' | 0..0x20)).count();
    bytes.len() - rest.len() + plain
}

/// The highest bit of each byte that is `sought`; in bytes behind the first such, carries may set it as well.
#[inline(always)]
fn marks(word: u64, sought: u8) -> u64 {
    let zero = word ^ (EACH * u64::from(sought));
    zero.wrapping_sub(EACH) & !zero & HIGHEST
}

/// The string in whose beginning `text` begins, and how long it was with its last quote.
fn unescape(text: &str) -> Option<(String, usize)> {
    let end = string_len(text.as_bytes())?;
    let mut rest = &text.as_bytes()[..end];
    if rest.iter().copied().fold(u8::MAX, u8::min) < 0x20 {
        return None;
    }
    // Whole chunks are copied, and what was too much is cut off again: hence the room.
    let mut string = Vec::with_capacity(end + CHUNK);
    loop {
        let plain = match rest.split_first_chunk() {
            Some((chunk, behind)) => {
                string.extend_from_slice(chunk);
                let plain = backslash_at(chunk);
                if plain == CHUNK {
                    rest = behind;
                    continue;
                }
                string.truncate(string.len() - CHUNK + plain);
                plain
            }
            None => {
                let plain = rest.iter().take_while(|byte| **byte != b'\\').count();
                string.extend_from_slice(&rest[..plain]);
                plain
            }
        };
        if plain == rest.len() {
            if string.len() < end / 2 {
                string.shrink_to_fit();
            }
            return String::from_utf8(string).ok().map(|string| (string, end + 1));
        }
        let len = push_escaped(&mut string, &rest[plain..])?;
        rest = &rest[plain + len..];
    }
}

/// Where the first backslash stands; behind the chunk if there is none.
#[inline(always)]
fn backslash_at(chunk: &[u8; CHUNK]) -> usize {
    if !chunk.iter().fold(false, |found, byte| found | (*byte == b'\\')) {
        return CHUNK;
    }
    let at = |half: &[u8; 8]| marks(u64::from_le_bytes(*half), b'\\').trailing_zeros() as usize / 8;
    let (halves, _) = chunk.as_chunks();
    match at(&halves[0]) {
        8 => 8 + at(&halves[1]),
        at => at,
    }
}

/// Adds what the escape stands for with which `bytes` begins, and tells the escape's length.
#[inline(always)]
fn push_escaped(string: &mut Vec<u8>, bytes: &[u8]) -> Option<usize> {
    let byte = match *bytes.get(1)? {
        byte @ (b'"' | b'\\' | b'/') => byte,
        b'b' => 0x8,
        b'f' => 0xc,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        _ => return push_unicode(string, bytes),
    };
    string.push(byte);
    Some(2)
}

/// The same for `\u` and four digits, or two if they are the halves of a pair.
fn push_unicode(string: &mut Vec<u8>, bytes: &[u8]) -> Option<usize> {
    let first = code_unit(bytes)?;
    let (letter, len) = match char::from_u32(u32::from(first)) {
        Some(letter) => (letter, 6),
        None => (char::decode_utf16([first, code_unit(&bytes[6..])?]).next()?.ok()?, 12),
    };
    string.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
    Some(len)
}

fn code_unit(bytes: &[u8]) -> Option<u16> {
    let digits = bytes.strip_prefix(br"\u")?.get(..4)?;
    digits.iter().try_fold(0, |value, digit| Some(value * 16 + char::from(*digit).to_digit(16)? as u16))
}

/// The number that `value` becomes with the digits from `start` on, of which there must be one, and their end.
#[inline(always)]
fn digits(bytes: &[u8], start: usize, value: u64) -> Option<(u64, usize)> {
    let (mut value, mut end) = (value, start);
    while let Some(digit @ b'0'..=b'9') = bytes.get(end) {
        value = value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
        end += 1;
    }
    (end > start).then_some((value, end))
}

/// Whether the digits begin with a zero that says nothing.
#[inline(always)]
fn has_idle_zero(bytes: &[u8], start: usize, end: usize) -> bool {
    bytes[start] == b'0' && end > start + 1
}

/// Whether there are at most `depth` arrays and objects within each other in the value that `json` is.
fn lies_above(json: &[u8], depth: usize) -> bool {
    let opened = json.iter().filter(|byte| matches!(byte, b'[' | b'{')).count();
    if opened <= depth {
        return true;
    }
    let (mut open, mut at) = (0, 0);
    while let Some(found) =
        json[at..].iter().position(|byte| matches!(byte, b'"' | b'[' | b'{' | b']' | b'}'))
    {
        at += found + 1;
        match json[at - 1] {
            b'"' => match string_len(&json[at..]) {
                Some(len) => at += len + 1,
                None => return false,
            },
            b'[' | b'{' if open == depth => return false,
            b'[' | b'{' => open += 1,
            _ => open -= 1,
        }
    }
    true
}

macro_rules! read_string {
    ($($deserialize:ident)*) => {$(
        #[inline]
        fn $deserialize<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Odd> {
            self.next();
            self.string(visitor)
        }
    )*};
}

macro_rules! read_key {
    ($($deserialize:ident)*) => {$(
        #[inline]
        fn $deserialize<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Odd> {
            self.0.string(visitor)
        }
    )*};
}

macro_rules! read_integer {
    ($($deserialize:ident)*) => {$(
        #[inline]
        fn $deserialize<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Odd> {
            match self.integer() {
                Some(integer) => integer.visit(visitor),
                None => self.hand_over(|json| json.$deserialize(visitor)),
            }
        }
    )*};
}

macro_rules! read_integer_key {
    ($($deserialize:ident)*) => {$(
        fn $deserialize<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Odd> {
            self.integer(visitor)
        }
    )*};
}

macro_rules! refuse {
    ($($deserialize:ident($($argument:ty),*))*) => {$(
        fn $deserialize<V: Visitor<'de>>(self, $(_: $argument,)* _: V) -> Result<V::Value, Odd> {
            Err(self.0.odd())
        }
    )*};
}

macro_rules! hand_over {
    ($($deserialize:ident)*) => {$(
        fn $deserialize<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Odd> {
            self.hand_over(|json| json.$deserialize(visitor))
        }
    )*};
}

impl<'de> Deserializer<'de> for &mut Quick<'de> {
    type Error = Odd;

    read_integer! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
    }

    read_string! { deserialize_str deserialize_string deserialize_char deserialize_identifier }

    hand_over! {
        deserialize_i128 deserialize_u128 deserialize_f32 deserialize_bytes deserialize_byte_buf
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Odd> {
        match self.next() {
            b'"' => self.string(visitor),
            _ => self.hand_over(|json| json.deserialize_any(visitor)),
        }
    }

    #[inline]
    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Odd> {
        match self.fraction() {
            Some(value) => visitor.visit_f64(value),
            None => self.deserialize_i64(visitor),
        }
    }

    #[inline]
    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Odd> {
        let value = self.next() == b't';
        self.expect_word(if value { "true" } else { "false" })?;
        visitor.visit_bool(value)
    }

    #[inline]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Odd> {
        if self.next() != b'n' {
            return visitor.visit_some(self);
        }
        self.expect_word("null")?;
        visitor.visit_none()
    }

    #[inline]
    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Odd> {
        self.next();
        self.expect_word("null")?;
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Odd> {
        match name.starts_with(SERDE_JSON) {
            true => self.hand_over(|json| json.deserialize_newtype_struct(name, visitor)),
            false => visitor.visit_newtype_struct(self),
        }
    }

    #[inline]
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Odd> {
        self.within(*b"[]", |elements| visitor.visit_seq(elements))
    }

    #[inline]
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Odd> {
        self.within(*b"{}", |entries| visitor.visit_map(entries))
    }

    #[inline]
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Odd> {
        if self.next() == b'[' { self.deserialize_seq(visitor) } else { self.deserialize_map(visitor) }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Odd> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Odd> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Odd> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Odd> {
        self.next();
        match self.plain_string() {
            Some(text) => visitor.visit_enum(BorrowedStrDeserializer::new(text)),
            None => self.hand_over(|json| json.deserialize_enum(name, variants, visitor)),
        }
    }

    #[inline]
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Odd> {
        self.next();
        match self.plain_string() {
            Some(_) => visitor.visit_unit(),
            None => self.hand_over(|json| json.deserialize_ignored_any(visitor)),
        }
    }
}

/// Keys are strings; a number is read from between the quotes.
impl<'de> Deserializer<'de> for Key<'_, 'de> {
    type Error = Odd;

    read_key! {
        deserialize_any deserialize_str deserialize_string deserialize_char deserialize_identifier
        deserialize_ignored_any
    }

    read_integer_key! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Odd> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Odd> {
        match name.starts_with(SERDE_JSON) {
            true => Err(self.0.odd()),
            false => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Odd> {
        self.0.deserialize_enum(name, variants, visitor)
    }

    refuse! {
        deserialize_bool() deserialize_f32() deserialize_f64() deserialize_i128() deserialize_u128()
        deserialize_bytes() deserialize_byte_buf() deserialize_unit() deserialize_seq() deserialize_map()
        deserialize_unit_struct(&'static str) deserialize_tuple(usize)
        deserialize_tuple_struct(&'static str, usize)
        deserialize_struct(&'static str, &'static [&'static str])
    }
}

impl<'de> Key<'_, 'de> {
    fn integer<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Odd> {
        self.0.expect(b'"')?;
        let integer = match self.0.peek() {
            b'-' | b'0'..=b'9' => self.0.integer(),
            _ => None,
        };
        let Some(integer) = integer else { return Err(self.0.odd()) };
        let value = integer.visit(visitor)?;
        if self.0.peek() != b'"' {
            return Err(self.0.odd());
        }
        self.0.at += 1;
        Ok(value)
    }
}

impl Integer {
    #[inline(always)]
    fn visit<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Odd> {
        match self {
            Integer::Positive(value) => visitor.visit_u64(value),
            Integer::Negative(value) => visitor.visit_i64(value),
        }
    }
}

impl Parts<'_, '_> {
    /// Goes to the next part, unless `close` comes, which is left for others to read.
    #[inline(always)]
    fn advance(&mut self, close: u8) -> Result<bool, Odd> {
        let next = self.quick.next();
        if next == close {
            return Ok(false);
        }
        if !self.is_first {
            if next != b',' {
                return Err(self.quick.odd());
            }
            self.quick.at += 1;
        }
        self.is_first = false;
        Ok(true)
    }
}

impl<'de> SeqAccess<'de> for Parts<'_, 'de> {
    type Error = Odd;

    #[inline]
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Odd> {
        match self.advance(b']')? {
            true => seed.deserialize(&mut *self.quick).map(Some),
            false => Ok(None),
        }
    }
}

impl<'de> MapAccess<'de> for Parts<'_, 'de> {
    type Error = Odd;

    #[inline]
    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Odd> {
        if !self.advance(b'}')? {
            return Ok(None);
        }
        self.quick.next();
        seed.deserialize(Key(self.quick)).map(Some)
    }

    #[inline]
    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Odd> {
        self.quick.expect(b':')?;
        seed.deserialize(&mut *self.quick)
    }
}

impl<'de> Source<'de> for Parts<'_, 'de> {
    #[inline(always)]
    fn take_key(&mut self, keys: &[&str]) -> Option<usize> {
        let rest = self.quick.text.as_bytes().get(self.quick.at..)?;
        let key = if self.is_first { rest.strip_prefix(b"\"") } else { rest.strip_prefix(b",\"") }?;
        let place = keys.iter().position(|sought| {
            key.strip_prefix(sought.as_bytes()).is_some_and(|behind| behind.first() == Some(&b'"'))
        })?;
        self.quick.at += rest.len() - key.len() + keys[place].len() + 1;
        self.is_first = false;
        Some(place)
    }
}

impl Error for Odd {
    #[cold]
    fn custom<T: fmt::Display>(_: T) -> Self {
        Odd
    }
}

impl std::error::Error for Odd {}

impl fmt::Display for Odd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the text is to be read with more care")
    }
}

#[cfg(test)]
mod tests;
