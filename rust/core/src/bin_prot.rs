//! `bin_prot` values, one after another (§8).

use crate::error::BinProtFault;
use crate::{Error, Result};

const NEGATIVE: u8 = 0xff;
const TWO: u8 = 0xfe;
const FOUR: u8 = 0xfd;
const EIGHT: u8 = 0xfc;

/// Each byte as an item of a list of u8, and how many of the four bytes it takes.
static ITEMS: [([u8; 4], usize); 256] = {
    let mut items = [([0; 4], 1); 256];
    let mut byte = 0u8;
    loop {
        items[byte as usize] = if byte < 0x80 { ([byte, 0, 0, 0], 1) } else { ([TWO, byte, 0, 0], 3) };
        if byte == u8::MAX {
            break items;
        }
        byte += 1;
    }
};

/// Reads values from a slice. Non-minimal integers are accepted, as in the reference.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    data: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    /// Reads `data` from its beginning.
    #[must_use]
    pub const fn new(data: &'a [u8]) -> Self {
        Self { data, position: 0 }
    }

    /// Reads `data` from `position` on, where another reader stopped.
    #[must_use]
    pub fn resume(data: &'a [u8], position: usize) -> Self {
        Self { data, position: position.min(data.len()) }
    }

    /// How many bytes were read.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.position
    }

    /// How many bytes were not read yet.
    #[must_use]
    pub const fn remaining(&self) -> usize {
        self.data.len() - self.position
    }

    /// An unsigned 64-bit number.
    pub fn nat0(&mut self) -> Result<u64> {
        Ok(match self.byte()? {
            TWO => u16::from_le_bytes(self.array()?).into(),
            FOUR => u32::from_le_bytes(self.array()?).into(),
            EIGHT => u64::from_le_bytes(self.array()?),
            // The reference also takes 0x80…0xfb and 0xff for themselves.
            byte => byte.into(),
        })
    }

    /// A signed number that must lie in `low..=high`.
    pub fn integer(&mut self, low: i64, high: i64) -> Result<i64> {
        let value = match self.byte()? {
            NEGATIVE => match i8::from_le_bytes(self.array()?) {
                value if value < 0 => value.into(),
                _ => return Err(BinProtFault::NegativeCode.into()),
            },
            TWO => i16::from_le_bytes(self.array()?).into(),
            FOUR => i32::from_le_bytes(self.array()?).into(),
            EIGHT => i64::from_le_bytes(self.array()?),
            byte => byte.into(),
        };
        if (low..=high).contains(&value) {
            Ok(value)
        } else {
            Err(BinProtFault::Range { value, low, high }.into())
        }
    }

    /// A bool.
    pub fn boolean(&mut self) -> Result<bool> {
        self.flag("bool")
    }

    /// Whether an option's value follows.
    pub fn option(&mut self) -> Result<bool> {
        self.flag("option")
    }

    /// An enum's index below `count` (1…256).
    pub fn variant(&mut self, count: u16) -> Result<u8> {
        if !(1..=256).contains(&count) {
            return Err(Error::OutOfRange("count"));
        }
        let found = self.byte()?;
        if u16::from(found) < count { Ok(found) } else { Err(BinProtFault::Variant { found, count }.into()) }
    }

    /// Exactly `length` bytes.
    pub fn raw(&mut self, length: u64) -> Result<&'a [u8]> {
        let left = self.remaining();
        let end = usize::try_from(length).ok().filter(|length| *length <= left);
        let length = end.ok_or(BinProtFault::Truncated { needed: length, left })?;
        let bytes = &self.data[self.position..self.position + length];
        self.position += length;
        Ok(bytes)
    }

    /// A length and that many bytes.
    pub fn string(&mut self) -> Result<&'a [u8]> {
        let length = self.nat0()?;
        self.raw(length)
    }

    /// A list of u8: a length and one int a byte.
    pub fn byte_list(&mut self) -> Result<Vec<u8>> {
        let needed = self.nat0()?;
        let left = self.remaining();
        // Every item takes a byte at least, so nothing is reserved that the input could not fill.
        let count = usize::try_from(needed).ok().filter(|count| *count <= left);
        let count = count.ok_or(BinProtFault::Truncated { needed, left })?;
        let mut bytes = vec![0; count];
        let done = self.usual_items(&mut bytes);
        for item in &mut bytes[done..] {
            *item = u8::try_from(self.integer(0, 0xff)?).unwrap_or_default();
        }
        Ok(bytes)
    }

    /// Fills `items` as far as the list's are of one byte or of three, and a fourth is there; how many it were.
    ///
    /// Of what is sealed every other item is wide, which no branch can guess: so there is none on it. An item's place
    /// depends on all before it, but two may begin in a window: the next one's code is known before its place is.
    fn usual_items(&mut self, items: &mut [u8]) -> usize {
        let Some(mut code) = self.data.get(self.position).copied() else { return 0 };
        for (done, item) in items.iter_mut().enumerate() {
            let Some(window) = self.data[self.position..].first_chunk() else { return done };
            let window = u32::from_le_bytes(*window);
            let wide = u32::from(code == TWO);
            let [value, high, ..] = (window >> (8 * wide)).to_le_bytes();
            if (u32::from(code >= EIGHT) ^ wide) | (wide * u32::from(high)) != 0 {
                return done;
            }
            *item = value;
            [code, ..] = (window >> (8 + 16 * wide)).to_le_bytes();
            self.position += 1 + 2 * wide as usize;
        }
        items.len()
    }

    /// Everything that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        let bytes = &self.data[self.position..];
        self.position = self.data.len();
        bytes
    }

    /// An error when bytes are left over.
    pub fn finish(&self) -> Result<()> {
        match self.remaining() {
            0 => Ok(()),
            left => Err(BinProtFault::LeftOver(left).into()),
        }
    }

    fn flag(&mut self, what: &'static str) -> Result<bool> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            found => Err(BinProtFault::Flag { what, found }.into()),
        }
    }

    fn byte(&mut self) -> Result<u8> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let left = self.remaining();
        let bytes = self.data[self.position..].first_chunk();
        let bytes = bytes.ok_or(BinProtFault::Truncated { needed: N as u64, left })?;
        self.position += N;
        Ok(*bytes)
    }
}

/// Writes values, always in their minimal form.
#[derive(Debug, Clone, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// Nothing written yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: Vec::new() }
    }

    /// What was written so far.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// An unsigned 64-bit number.
    pub fn nat0(&mut self, value: u64) {
        let bytes = value.to_le_bytes();
        match value {
            0..0x80 => self.bytes.push(bytes[0]),
            0x80..0x1_0000 => self.coded(TWO, &bytes[..2]),
            0x1_0000..0x1_0000_0000 => self.coded(FOUR, &bytes[..4]),
            _ => self.coded(EIGHT, &bytes),
        }
    }

    /// A signed 64-bit number, or any smaller one.
    pub fn integer(&mut self, value: i64) {
        let bytes = value.to_le_bytes();
        match value {
            0..0x80 => self.bytes.push(bytes[0]),
            -0x80..0 => self.coded(NEGATIVE, &bytes[..1]),
            -0x8000..0x8000 => self.coded(TWO, &bytes[..2]),
            -0x8000_0000..0x8000_0000 => self.coded(FOUR, &bytes[..4]),
            _ => self.coded(EIGHT, &bytes),
        }
    }

    /// A bool.
    pub fn boolean(&mut self, value: bool) {
        self.bytes.push(value.into());
    }

    /// Whether an option's value follows.
    pub fn option(&mut self, present: bool) {
        self.boolean(present);
    }

    /// An enum's index.
    pub fn variant(&mut self, index: u8) {
        self.bytes.push(index);
    }

    /// The bytes themselves.
    pub fn raw(&mut self, data: &[u8]) {
        self.bytes.extend_from_slice(data);
    }

    /// A length and the bytes.
    pub fn string(&mut self, data: &[u8]) {
        self.nat0(data.len() as u64);
        self.raw(data);
    }

    /// A list of u8: a length and one int a byte.
    pub fn byte_list(&mut self, data: &[u8]) {
        self.nat0(data.len() as u64);
        let high = |part: &[u8]| usize::from(part.iter().map(|byte| byte >> 7).sum::<u8>());
        let start = self.bytes.len();
        let end = start + data.len() + 2 * data.chunks(255).map(high).sum::<usize>();
        // Every item is stored with all four bytes, and the next one overwrites what was too many: no branch to guess.
        self.bytes.resize(end + 3, 0);
        let mut at = start;
        for byte in data {
            let (item, length) = ITEMS[usize::from(*byte)];
            self.bytes[at..at + 4].copy_from_slice(&item);
            at += length;
        }
        self.bytes.truncate(end);
    }

    fn coded(&mut self, code: u8, bytes: &[u8]) {
        self.bytes.push(code);
        self.bytes.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_round_trip_at_every_border() {
        let borders =
            [0, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x1_0000, 0x7fff_ffff, 0x8000_0000];
        let wide = [0xffff_ffff, 0x1_0000_0000, i64::MAX];
        for value in borders.into_iter().chain(wide).flat_map(|v| [v, -v, -v - 1]) {
            let mut writer = Writer::new();
            writer.integer(value);
            let mut reader = Reader::new(writer.bytes());
            assert_eq!(reader.integer(i64::MIN, i64::MAX), Ok(value));
            assert_eq!(reader.finish(), Ok(()));
            let mut writer = Writer::new();
            writer.nat0(value.cast_unsigned());
            assert_eq!(Reader::new(writer.bytes()).nat0(), Ok(value.cast_unsigned()));
        }
    }

    #[test]
    fn a_length_beyond_the_input_reserves_nothing() {
        let huge = [EIGHT, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2];
        assert!(Reader::new(&huge).byte_list().is_err());
        assert!(Reader::new(&huge).string().is_err());
        assert!(Reader::new(&huge).raw(u64::MAX).is_err());
    }

    #[test]
    fn bytes_over_a_hundred_twenty_seven_take_three() {
        let mut writer = Writer::new();
        writer.byte_list(&[1, 0x80, 0xff]);
        assert_eq!(writer.bytes(), [3, 1, 0xfe, 0x80, 0, 0xfe, 0xff, 0]);
        assert_eq!(Reader::new(writer.bytes()).byte_list(), Ok(vec![1, 0x80, 0xff]));
    }

    #[test]
    fn items_are_read_alike_wherever_the_list_ends_and_whatever_their_form() {
        // Minimal; as wide as it need not be, four and eight bytes wide; too large; a code that stands for no number.
        let forms: [(&[u8], Option<u8>); 9] = [
            (&[0x7f], Some(0x7f)),
            (&[0xfb], Some(0xfb)),
            (&[TWO, TWO, 0], Some(TWO)),
            (&[TWO, 1, 0], Some(1)),
            (&[FOUR, 2, 0, 0, 0], Some(2)),
            (&[EIGHT, 3, 0, 0, 0, 0, 0, 0, 0], Some(3)),
            (&[TWO, 0, 1], None),
            (&[NEGATIVE, 0x80], None),
            (&[NEGATIVE, 0], None),
        ];
        let mut state = 1_u32;
        for length in 0..2000_u32 {
            let mut data = Vec::new();
            let mut expected = Some(Vec::new());
            for _ in 0..length % 8 {
                state = state.wrapping_mul(0x0019_660d).wrapping_add(0x3c6e_f35f);
                let (form, value) = forms[(state >> 16) as usize % forms.len()];
                data.extend_from_slice(form);
                expected = expected.zip(value).map(|(items, value)| [items, vec![value]].concat());
            }
            let listed = [&(length % 8).to_le_bytes()[..1], &data].concat();
            let mut reader = Reader::new(&listed);
            assert_eq!(reader.byte_list().ok(), expected, "{listed:x?}");
            assert!(expected.is_none() || reader.remaining() == 0);
            if length % 8 != 0 {
                assert!(Reader::new(&listed[..listed.len() - 1]).byte_list().is_err());
            }
        }
    }

    #[test]
    fn no_input_of_two_bytes_panics() {
        for bytes in (0..=u16::MAX).map(u16::to_le_bytes) {
            let reader = Reader::new(&bytes);
            let _ = reader.clone().nat0();
            let _ = reader.clone().integer(-1, 1);
            let _ = reader.clone().byte_list();
            let _ = reader.clone().string();
            let _ = reader.clone().variant(3);
            let _ = reader.clone().option();
        }
    }
}
