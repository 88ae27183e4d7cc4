//! base58 and base58check (§1).
//!
//! Both directions are quadratic, but on words of seven or eight bytes and many digits at once, several of them in one
//! pass. What is written is cut into blocks, which are joined by Karatsuba's products; for what is read, that gained
//! nothing at 3 KiB. An offer of 3 KiB takes some tens of microseconds. Buffers are wiped, since secret keys pass
//! through here.

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::Result;
use crate::error::Base58Fault;

mod blocks;

use blocks::{BLOCK, BLOCK_BYTES, LARGEST};

const ALPHABET: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
const CHECKSUM: usize = 4;

/// Digits of a limb.
const DIGITS: usize = 10;
/// What a limb counts to: 58¹⁰, somewhat below 2⁵⁹.
const LIMB: u64 = 58u64.pow(10);
/// Bytes that are taken in at once when encoding: fewer bits than a limb has.
const WORD: usize = 7;
const WORD_BITS: u32 = 56;

/// Words taken in by one pass over the limbs: what is quickest.
const WORDS: usize = 2;

/// Bytes from which on blocks are quicker than passes over everything.
const LEAST: usize = 1_280;
/// What 13 digits are scaled by when decoding, but for their 2¹³: just below 2⁶⁴.
const STEP: u64 = 29u64.pow(13);
/// Such steps in one pass over the words, the digits that they make room for, and the words that these take.
const STEPS: usize = 3;
const GROUP: usize = 13 * STEPS;
const SPAN: usize = 4;

/// The characters of two digits.
const PAIRS: [[u8; 2]; 58 * 58] = {
    let mut pairs = [[0; 2]; 58 * 58];
    let mut index = 0;
    while index < pairs.len() {
        pairs[index] = [ALPHABET[index / 58], ALPHABET[index % 58]];
        index += 1;
    }
    pairs
};

/// Digit of each character, [`NONE`] for those outside of the alphabet.
const VALUES: [u8; 256] = {
    let mut values = [NONE; 256];
    let mut digit = 0u8;
    while digit < 58 {
        values[ALPHABET[digit as usize] as usize] = digit;
        digit += 1;
    }
    values
};
const NONE: u8 = 0xff;

/// Bitcoin base58 without checksum.
#[must_use]
pub fn encode(data: &[u8]) -> String {
    let zeros = data.iter().take_while(|byte| **byte == 0).count();
    let whole = characters(&limbs_of_bytes(&data[zeros..]));
    let padding = whole.iter().take_while(|digit| **digit == ALPHABET[0]).count();
    let digits = core::str::from_utf8(&whole[padding..]).unwrap_or_default(); // of the alphabet, all of them
    let mut text = String::with_capacity(zeros + digits.len());
    text.extend(core::iter::repeat_n(char::from(ALPHABET[0]), zeros));
    text.push_str(digits);
    text
}

/// Inverse of [`encode`]. A text of more than `limit` bytes is refused before any work is done.
pub fn decode(text: &str, limit: usize) -> Result<Vec<u8>> {
    if text.len() > limit {
        return Err(Base58Fault::TooLong { limit }.into());
    }
    let text = text.as_bytes();
    if let Some(index) = text.iter().position(|character| VALUES[usize::from(*character)] == NONE) {
        return Err(Base58Fault::Character { index }.into());
    }
    let zeros = text.iter().take_while(|character| **character == ALPHABET[0]).count();
    let words = words_of_digits(&text[zeros..]);
    let mut data = vec![0; zeros];
    data.reserve_exact(words.len() * 8);
    if let Some((top, rest)) = words.split_last() {
        data.extend(top.to_be_bytes().into_iter().skip_while(|byte| *byte == 0));
        for word in rest.iter().rev() {
            data.extend_from_slice(&word.to_be_bytes());
        }
    }
    Ok(data)
}

/// `base58(version ‖ payload ‖ first 4 bytes of sha256(sha256(version ‖ payload)))`.
#[must_use]
pub fn check_encode(version: u8, payload: &[u8]) -> String {
    let mut body = Zeroizing::new(Vec::with_capacity(1 + payload.len() + CHECKSUM));
    body.push(version);
    body.extend_from_slice(payload);
    let sum = checksum(&body);
    body.extend_from_slice(&sum);
    encode(&body)
}

/// The payload of a base58check text of this version and of exactly `length` payload bytes.
pub fn check_decode(text: &str, version: u8, length: usize) -> Result<Zeroizing<Vec<u8>>> {
    let bytes = length.saturating_add(1 + CHECKSUM);
    // 58 > 2^5.85, so that many bytes never take more than 7/5 as many digits; longer ones need no decoding.
    let body = Zeroizing::new(decode(text, (bytes / 5).saturating_add(1).saturating_mul(7))?);
    let (body, sum) = body.split_last_chunk().ok_or(Base58Fault::Length { expected: length })?;
    if checksum(body) != *sum {
        return Err(Base58Fault::Checksum.into());
    }
    let (found, payload) = body.split_first().ok_or(Base58Fault::Length { expected: length })?;
    if *found != version {
        return Err(Base58Fault::Version { found: *found, expected: version }.into());
    }
    if payload.len() != length {
        return Err(Base58Fault::Length { expected: length }.into());
    }
    Ok(Zeroizing::new(payload.to_vec()))
}

fn checksum(body: &[u8]) -> [u8; CHECKSUM] {
    let [a, b, c, d, ..] = <[u8; 32]>::from(Sha256::digest(Sha256::digest(body)));
    [a, b, c, d]
}

/// Big-endian bytes in words of seven, the least ones first.
fn words_of_bytes(data: &[u8]) -> Zeroizing<Vec<u64>> {
    let (first, rest) = data.as_rchunks::<WORD>();
    let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    let mut words = Zeroizing::new(Vec::with_capacity(rest.len() + 1));
    words.extend(rest.iter().rev().map(|word| number(word)));
    words.push(number(first));
    words
}

/// Limbs in characters, perhaps with leading zeros.
#[allow(clippy::cast_possible_truncation)] // digits of a limb, and a fraction below 2⁶⁴
fn characters(limbs: &[u64]) -> Zeroizing<Vec<u8>> {
    let bits = const { LIMB.ilog2() };
    let mut whole = Zeroizing::new(vec![0; limbs.len() * DIGITS]);
    for (limb, part) in limbs.iter().rev().zip(whole.chunks_exact_mut(DIGITS)) {
        // The limb by its radix in units of 2⁻⁶⁴, too much by at most 3; the next limb's is more by at least 42.
        let reciprocal = const { (1u128 << (64 + LIMB.ilog2())) / LIMB as u128 };
        let mut fraction = ((u128::from(*limb) * reciprocal) >> bits) as u64 + 3;
        for pair in part.as_chunks_mut().0 {
            let (rest, digits) = halves(u128::from(fraction) * (58 * 58));
            (*pair, fraction) = (PAIRS[digits as usize], rest);
        }
    }
    whole
}

/// Bytes as limbs, the least ones first.
///
/// Limbs that are not brought below the radix lose nothing: none is negative, so that what is below `58¹⁰ⁿ` has no limb
/// after the n-th, and no carry leaves them.
fn limbs_of_bytes(data: &[u8]) -> Zeroizing<Vec<u64>> {
    let mut limbs = Zeroizing::new(Vec::new());
    if data.len() < LEAST {
        limbs.resize(data.len() * BLOCK / BLOCK_BYTES + 1, 0);
        fill_block(data, &mut limbs);
    } else {
        // Products are of so many limbs as a power of two has, up to the largest.
        let blocks = data.len().div_ceil(BLOCK_BYTES);
        let blocks = blocks.next_power_of_two().min(blocks.next_multiple_of(LARGEST / BLOCK));
        limbs.resize(blocks * BLOCK, 0);
        for (data, limbs) in data.rchunks(BLOCK_BYTES).zip(limbs.chunks_exact_mut(BLOCK)) {
            fill_block(data, limbs);
            carry_over(limbs);
        }
        blocks::join(&mut limbs);
    }
    carry_over(&mut limbs);
    let used = limbs.iter().rposition(|limb| *limb != 0).map_or(0, |last| last + 1);
    limbs.truncate(used);
    limbs
}

/// Bytes of a block in passes over its limbs.
fn fill_block(data: &[u8], limbs: &mut [u64]) {
    let mut used = 0;
    for group in words_of_bytes(data).chunks(WORDS).rev() {
        let mut carries = [0; WORDS];
        for (carry, word) in carries.iter_mut().rev().zip(group) {
            *carry = *word;
        }
        for limb in &mut limbs[..used] {
            *limb = pass(&mut carries, *limb, shift_in);
        }
        while carries != [0; WORDS] {
            limbs[used] = pass(&mut carries, 0, shift_in);
            used += 1;
        }
    }
}

/// Brings all limbs below the radix. Nothing is left over: see [`limbs_of_bytes`].
fn carry_over(limbs: &mut [u64]) {
    let mut carry = 0;
    for limb in limbs {
        let sum = *limb % LIMB + carry;
        let over = u64::from(sum >= LIMB);
        carry = *limb / LIMB + over;
        *limb = sum - over * LIMB;
    }
}

/// Digits, the most significant ones first, as 64-bit words, the least ones first.
///
/// Of 58 = 2 · 29 only the 29 is multiplied by: the number stands at a place that falls by a bit with every digit, and
/// with the last one it is where it belongs. So 13 digits go in at a time instead of the ten whose 58¹⁰ fits a word.
fn words_of_digits(text: &[u8]) -> Zeroizing<Vec<u64>> {
    let mut words = Zeroizing::new(vec![0; text.len() * 6 / 64 + SPAN + 2]);
    let mut place = text.len().next_multiple_of(GROUP);
    let (mut start, mut end) = (0, 0);
    let step = |word, carry| multiply_add(word, STEP, carry);
    for group in text.rchunks(GROUP).rev() {
        let mut carries = [0; STEPS];
        for word in &mut words[start..end] {
            *word = pass(&mut carries, *word, step);
        }
        while carries != [0; STEPS] {
            words[end] = pass(&mut carries, 0, step);
            end += 1;
        }
        place -= GROUP;
        start = place / 64;
        end = end.max(start + add(&mut words[start..], &value(group), place % 64));
    }
    words.truncate(end);
    while words.last() == Some(&0) {
        words.pop();
    }
    words
}

/// A group of digits.
fn value(group: &[u8]) -> [u64; SPAN] {
    let mut number = [0; SPAN];
    for ten in group.rchunks(DIGITS).rev() {
        let mut carry =
            ten.iter().fold(0, |value, digit| value * 58 + u64::from(VALUES[usize::from(*digit)]));
        for word in &mut number {
            (*word, carry) = multiply_add(*word, LIMB, carry);
        }
    }
    number
}

/// Adds `number · 2^shift`, a shift within a word; how many words that went through.
fn add(words: &mut [u64], number: &[u64; SPAN], shift: usize) -> usize {
    let (mut below, mut carry, mut at) = (0, false, 0);
    while at <= SPAN || carry {
        let next = number.get(at).copied().unwrap_or_default();
        let part = next << shift | below;
        below = next >> 1 >> (63 - shift);
        let (sum, one) = words[at].overflowing_add(part);
        let (sum, other) = sum.overflowing_add(u64::from(carry));
        (words[at], carry) = (sum, one || other);
        at += 1;
    }
    at
}

/// All steps of a limb, one after the other. `step` scales it, adds a carry, and gives the limb and its carry. What goes in
/// together is each a step behind the one before: so few steps have to wait for another, and limbs are loaded and stored
/// less often.
#[inline]
fn pass<const N: usize>(carries: &mut [u64; N], limb: u64, step: impl Fn(u64, u64) -> (u64, u64)) -> u64 {
    carries.iter_mut().fold(limb, |limb, carry| exchange(carry, step(limb, *carry)))
}

/// Keeps the carry of a step and gives its limb.
#[inline]
const fn exchange(carry: &mut u64, (limb, over): (u64, u64)) -> u64 {
    *carry = over;
    limb
}

/// `limb · 2⁵⁶ + carry` as remainder and quotient of the radix, roughly: with an estimated quotient and the carry
/// simply added, limbs stay below 2.5 times the radix, and no step waits for the one before.
#[inline]
#[allow(clippy::cast_possible_truncation)] // the high half of a product, and a constant below 2⁶²
fn shift_in(limb: u64, carry: u64) -> (u64, u64) {
    let reciprocal = const { ((1u128 << (64 + WORD_BITS)) / LIMB as u128) as u64 };
    let quotient = halves(u128::from(limb) * u128::from(reciprocal)).1;
    let remainder = (limb << WORD_BITS).wrapping_sub(quotient.wrapping_mul(LIMB));
    (remainder + carry, quotient)
}

/// `word · factor + carry` as its two halves.
#[inline]
fn multiply_add(word: u64, factor: u64, carry: u64) -> (u64, u64) {
    halves(u128::from(word) * u128::from(factor) + u128::from(carry))
}

/// The low and the high word.
#[inline]
#[allow(clippy::cast_possible_truncation)] // the halves
const fn halves(number: u128) -> (u64, u64) {
    (number as u64, (number >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    /// A byte at a time, as every textbook has it.
    fn slow_encode(data: &[u8]) -> String {
        let mut digits: Vec<u32> = Vec::new();
        for byte in data {
            let mut carry = u32::from(*byte);
            for digit in &mut digits {
                carry += *digit << 8;
                *digit = carry % 58;
                carry /= 58;
            }
            while carry > 0 {
                digits.push(carry % 58);
                carry /= 58;
            }
        }
        let zeros = data.iter().take_while(|byte| **byte == 0).count();
        let digits = core::iter::repeat_n(0, zeros).chain(digits.into_iter().rev());
        digits.map(|digit| char::from(ALPHABET[digit as usize])).collect()
    }

    fn samples() -> impl Iterator<Item = Vec<u8>> {
        let fills = [0x00, 0x01, 0x39, 0x3a, 0x7f, 0x80, 0xff];
        let same = (0..150).flat_map(move |length| fills.map(|fill| vec![fill; length]));
        let mut state = 1u64;
        let mixed = (0..400).map(move |length| {
            let mut next = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                state.to_be_bytes()[0]
            };
            (0..length).map(|_| next()).collect()
        });
        // and around what a block, the fewest bytes in blocks, and powers of two of blocks hold
        let edges = [234, 1_280, 1_872, 3_744].into_iter().flat_map(|edge| edge - 1..=edge + 1);
        let long = (780..1_100).step_by(13).chain(edges).chain([3_072]).flat_map(|length| {
            let mixed = (0..length).map(|at: u32| (at * 89 % 251).to_le_bytes()[0]).collect();
            let one = core::iter::once(1).chain(core::iter::repeat_n(0, length as usize)).collect();
            [mixed, one, vec![0xff; length as usize], vec![0xaa; length as usize]]
        });
        same.chain(mixed).chain(long)
    }

    #[test]
    fn agrees_with_the_textbook_and_reads_its_own() {
        for data in samples() {
            let text = encode(&data);
            assert_eq!(text, slow_encode(&data));
            assert_eq!(decode(&text, text.len()), Ok(data));
        }
    }

    /// Runs of bytes that carry far, at every alignment to limbs and blocks.
    #[test]
    fn long_runs_agree() {
        let mut state = 7u64;
        let mut draw = move |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(state >> 33).unwrap() % below
        };
        for round in 0..150 {
            let length = if round < 140 { 200 + draw(3_000) } else { 3_000 + draw(9_000) };
            let mut data = vec![1 + draw(255).to_le_bytes()[0]];
            while data.len() < length {
                let byte = [0x00, 0xff, 0x80, 0x7f, draw(256).to_le_bytes()[0]][draw(5)];
                data.extend(core::iter::repeat_n(byte, 1 + draw(300)));
            }
            let text = encode(&data);
            assert_eq!(text, slow_encode(&data));
            assert_eq!(decode(&text, text.len()), Ok(data));
        }
    }

    #[test]
    fn the_limit_is_checked_first() {
        assert_eq!(decode("0000", 3), Err(Error::Base58(Base58Fault::TooLong { limit: 3 })));
        assert_eq!(decode("11 1", 4), Err(Error::Base58(Base58Fault::Character { index: 2 })));
        assert_eq!(decode("1é", 4), Err(Error::Base58(Base58Fault::Character { index: 1 })));
    }

    #[test]
    fn check_decode_takes_what_check_encode_wrote_and_nothing_else() {
        for payload in samples().step_by(7) {
            let text = check_encode(0x2f, &payload);
            assert_eq!(check_decode(&text, 0x2f, payload.len()).unwrap().as_slice(), payload);
            assert!(check_decode(&text, 0x2e, payload.len()).is_err());
            assert!(check_decode(&text, 0x2f, payload.len() + 1).is_err());
            assert!(check_decode(&text[1..], 0x2f, payload.len()).is_err());
        }
        assert!(check_decode("", 0, 0).is_err());
        assert!(check_decode("", 0, usize::MAX).is_err());
    }
}
