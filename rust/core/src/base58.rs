//! base58 and base58check (§1).
//!
//! Both directions are quadratic, but on words of seven or eight bytes and limbs of ten digits, several of them in
//! one pass: an offer of 3 KiB takes some tens of microseconds. (Halving with Karatsuba's products was tried; up to
//! the 16 KiB that the protocol allows it gains too little.) Buffers are wiped, since secret keys pass through here.

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::Result;
use crate::error::Base58Fault;

const ALPHABET: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
const CHECKSUM: usize = 4;

/// Digits of a limb.
const DIGITS: usize = 10;
/// What a limb counts to: 58¹⁰, somewhat below 2⁵⁹.
const LIMB: u64 = 58u64.pow(10);
/// Bytes that are taken in at once when encoding: fewer bits than a limb has.
const WORD: usize = 7;
const WORD_BITS: u32 = 56;

/// Words taken in by one pass over the limbs, and limbs by one pass over the words: what is quickest.
const WORDS: usize = 2;
const LIMBS: usize = 3;

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
    let words = digits(&data[zeros..], WORD, |value, byte| value << 8 | u64::from(byte));
    let limbs = limbs_of_words(&words);
    let mut whole = Zeroizing::new(vec![0u8; limbs.len() * DIGITS]);
    for (limb, ten) in limbs.iter().rev().zip(whole.chunks_exact_mut(DIGITS)) {
        let mut value = *limb;
        for pair in ten.as_chunks_mut().0.iter_mut().rev() {
            *pair = PAIRS[(value % (58 * 58)) as usize];
            value /= 58 * 58;
        }
    }
    let padding = whole.iter().take_while(|digit| **digit == ALPHABET[0]).count();
    let digits = whole[padding..].iter().copied();
    core::iter::repeat_n(ALPHABET[0], zeros).chain(digits).map(char::from).collect()
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
    let place = |value, digit| value * 58 + u64::from(VALUES[usize::from(digit)]);
    let words = words_of_limbs(&digits(&text[zeros..], DIGITS, place));
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

/// Big-endian characters in groups of `size`, each as one number, the least group first.
fn digits(characters: &[u8], size: usize, place: impl Fn(u64, u8) -> u64) -> Zeroizing<Vec<u64>> {
    let groups = characters.rchunks(size);
    Zeroizing::new(groups.map(|group| group.iter().fold(0, |value, next| place(value, *next))).collect())
}

/// Words of [`WORD_BITS`] as limbs, the least ones first.
fn limbs_of_words(words: &[u64]) -> Zeroizing<Vec<u64>> {
    let mut limbs = Zeroizing::new(Vec::with_capacity(words.len() + WORDS));
    take_in::<WORDS>(&mut limbs, words, shift_in);
    let mut carry = 0;
    for limb in limbs.iter_mut() {
        let sum = *limb + carry;
        (*limb, carry) = (sum % LIMB, sum / LIMB);
    }
    limbs.push(carry);
    limbs
}

/// Limbs as 64-bit words, the least ones first.
fn words_of_limbs(limbs: &[u64]) -> Zeroizing<Vec<u64>> {
    let mut words = Zeroizing::new(Vec::with_capacity(limbs.len() + LIMBS));
    take_in::<LIMBS>(&mut words, limbs, multiply_add);
    words
}

/// Takes the digits of one radix into a number of another, the most significant ones first. `step` scales a limb by
/// the digits' radix, adds a carry, and gives the limb and its carry. `N` digits go in together, each a step behind
/// the one before: so few steps have to wait for another, and limbs are loaded and stored less often.
#[inline]
fn take_in<const N: usize>(number: &mut Vec<u64>, digits: &[u64], step: impl Fn(u64, u64) -> (u64, u64)) {
    for group in digits.chunks(N).rev() {
        let mut carries = [0; N];
        for (carry, digit) in carries.iter_mut().rev().zip(group) {
            *carry = *digit;
        }
        for limb in number.iter_mut() {
            *limb = carries.iter_mut().fold(*limb, |limb, carry| exchange(carry, step(limb, *carry)));
        }
        while carries != [0; N] {
            number.push(carries.iter_mut().fold(0, |limb, carry| exchange(carry, step(limb, *carry))));
        }
    }
}

/// Keeps the carry of a step and gives its limb.
#[inline]
const fn exchange(carry: &mut u64, (limb, over): (u64, u64)) -> u64 {
    *carry = over;
    limb
}

/// `limb · 2⁵⁶ + carry` as remainder and quotient of [`LIMB`], roughly: with an estimated quotient and the carry
/// simply added, limbs stay below 2.5 · [`LIMB`], and no step waits for the one before.
#[inline]
#[allow(clippy::cast_possible_truncation)] // the high half of a product, and a constant below 2⁶²
fn shift_in(limb: u64, carry: u64) -> (u64, u64) {
    const RECIPROCAL: u64 = ((1u128 << (64 + WORD_BITS)) / LIMB as u128) as u64;
    let quotient = ((u128::from(limb) * u128::from(RECIPROCAL)) >> 64) as u64;
    let remainder = (limb << WORD_BITS).wrapping_sub(quotient.wrapping_mul(LIMB));
    (remainder + carry, quotient)
}

/// `word · LIMB + carry` as its two halves.
#[inline]
#[allow(clippy::cast_possible_truncation)] // the halves
fn multiply_add(word: u64, carry: u64) -> (u64, u64) {
    let sum = u128::from(word) * u128::from(LIMB) + u128::from(carry);
    (sum as u64, (sum >> 64) as u64)
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
        same.chain(mixed)
    }

    #[test]
    fn agrees_with_the_textbook_and_reads_its_own() {
        for data in samples() {
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
