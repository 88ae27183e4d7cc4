//! base58 and base58check (§1).
//!
//! Both directions are quadratic, but on words of seven or eight bytes and many digits at once, several of them in one
//! pass. What is written is cut into blocks, which are joined by Karatsuba's products; for what is read, that gains
//! nothing up to the 16 KiB that the protocol allows. An offer of 3 KiB takes some tens of microseconds, less where
//! [`wide`] can be used. Buffers are wiped, since secret keys pass through here.

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::Result;
use crate::error::Base58Fault;

#[cfg(target_arch = "x86_64")]
mod wide;

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

/// Bytes of a block, and its limbs: 2¹⁸⁷² < 58³²⁰.
const BLOCK_BYTES: usize = 234;
const BLOCK: usize = 32;
/// Bytes from which on blocks are quicker than passes over everything.
const LEAST: usize = 1_280;
/// Limbs of the largest product, and of those that are not divided further: what is quickest.
const LARGEST: usize = 256;
const TILE: usize = 16;
/// What `n` limbs are scaled by when `n` others come below them, for each `n` from a block on: at `n..2 * n`.
const FACTORS: [u64; 2 * LARGEST] = {
    let mut factors = [0; 2 * LARGEST];
    let mut size = BLOCK;
    factors[size] = 1;
    let mut byte = 0;
    while byte < BLOCK_BYTES {
        let (mut carry, mut at) = (0, size);
        while at < 2 * size {
            (factors[at], carry) = divide(((factors[at] as u128) << 8) + carry);
            at += 1;
        }
        byte += 1;
    }
    while size < LARGEST {
        let (mut carry, mut column) = (0, 0);
        while column < 2 * size {
            let mut at = if column < size { 0 } else { column - size + 1 };
            while at <= column && at < size {
                carry += factors[size + at] as u128 * factors[size + column - at] as u128;
                at += 1;
            }
            (factors[2 * size + column], carry) = divide(carry);
            column += 1;
        }
        size *= 2;
    }
    factors
};

/// Remainder and quotient of a limb's radix.
#[allow(clippy::cast_possible_truncation)] // the remainder
const fn divide(sum: u128) -> (u64, u128) {
    ((sum % LIMB as u128) as u64, sum / LIMB as u128)
}

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
    let whole = written(&data[zeros..]);
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
    let words = read(&text[zeros..]);
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

/// Big-endian bytes in words of `N`, the least ones first.
fn words_of_bytes<const N: usize>(data: &[u8]) -> Zeroizing<Vec<u64>> {
    let (first, rest) = data.as_rchunks::<N>();
    let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    let mut words = Zeroizing::new(Vec::with_capacity(rest.len() + 1));
    words.extend(rest.iter().rev().map(|word| number(word)));
    words.push(number(first));
    words
}

/// A number in characters, perhaps with leading zeros.
fn written(data: &[u8]) -> Zeroizing<Vec<u8>> {
    #[cfg(target_arch = "x86_64")]
    if let Some(limbs) = wide::limbs_of_bytes(data) {
        return characters::<{ wide::DIGITS }>(&limbs);
    }
    characters::<DIGITS>(&limbs_of_bytes(data))
}

/// Limbs of so many digits in characters.
#[allow(clippy::cast_possible_truncation)] // digits of a limb, and a fraction below 2⁶⁴
fn characters<const N: usize>(limbs: &[u64]) -> Zeroizing<Vec<u8>> {
    let radix = const { 58u64.pow(N as u32) };
    let bits = const { 58u64.pow(N as u32).ilog2() };
    let mut whole = Zeroizing::new(vec![0; limbs.len() * N]);
    for (limb, part) in limbs.iter().rev().zip(whole.chunks_exact_mut(N)) {
        // The limb by its radix in units of 2⁻⁶⁴, too much by at most 3; the next limb's is more by at least 42.
        let reciprocal = (1u128 << (64 + bits)) / u128::from(radix);
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
    let blocks = data.len().div_ceil(BLOCK_BYTES);
    let mut limbs = Zeroizing::new(Vec::new());
    if data.len() < LEAST {
        limbs.resize(data.len() * BLOCK / BLOCK_BYTES + 1, 0);
        fill_block(data, &mut limbs);
    } else {
        // Products are of so many limbs as a power of two has, up to the largest.
        let blocks = blocks.next_power_of_two().min(blocks.next_multiple_of(LARGEST / BLOCK));
        limbs.resize(blocks * BLOCK, 0);
        for (data, limbs) in data.rchunks(BLOCK_BYTES).zip(limbs.chunks_exact_mut(BLOCK)) {
            fill_block(data, limbs);
            carry_over::<LIMB>(limbs);
        }
        join_all(&mut limbs);
    }
    carry_over::<LIMB>(&mut limbs);
    let used = limbs.iter().rposition(|limb| *limb != 0).map_or(0, |last| last + 1);
    limbs.truncate(used);
    limbs
}

/// Bytes of a block in passes over its limbs.
fn fill_block(data: &[u8], limbs: &mut [u64]) {
    let mut used = 0;
    for group in words_of_bytes::<WORD>(data).chunks(WORDS).rev() {
        let mut carries = [0; WORDS];
        for (carry, word) in carries.iter_mut().rev().zip(group) {
            *carry = *word;
        }
        for limb in &mut limbs[..used] {
            *limb = pass(&mut carries, *limb, shift_in::<WORD_BITS, LIMB>);
        }
        while carries != [0; WORDS] {
            limbs[used] = pass(&mut carries, 0, shift_in::<WORD_BITS, LIMB>);
            used += 1;
        }
    }
}

/// Brings all limbs below the radix; what is left over.
fn carry_over<const RADIX: u64>(limbs: &mut [u64]) -> u64 {
    let mut carry = 0;
    for limb in limbs {
        let sum = *limb % RADIX + carry;
        let over = u64::from(sum >= RADIX);
        carry = *limb / RADIX + over;
        *limb = sum - over * RADIX;
    }
    carry
}

/// Joins blocks by twos up to the largest, and those one after the other, the most significant ones first.
fn join_all(limbs: &mut [u64]) {
    let room = limbs.len().min(2 * LARGEST);
    let (mut columns, mut middle) = (Zeroizing::new(vec![0; room]), Zeroizing::new(vec![0; room]));
    let mut sums = Zeroizing::new(vec![0; room]);
    let mut join = |pair: &mut [u64]| {
        let size = pair.len() / 2;
        let (low, high) = pair.split_at(size);
        let columns = &mut columns[..2 * size];
        multiply(high, &FACTORS[size..2 * size], columns, &mut sums, &mut middle);
        for (column, limb) in columns.iter_mut().zip(low) {
            *column += u128::from(*limb);
        }
        settle(columns, pair);
    };
    let mut size = BLOCK;
    while size < LARGEST && size < limbs.len() {
        limbs.chunks_exact_mut(2 * size).for_each(&mut join);
        size *= 2;
    }
    let blocks = limbs.len() / LARGEST;
    for start in (0..blocks.saturating_sub(1)).rev() {
        for lower in start..blocks - 1 {
            join(&mut limbs[lower * LARGEST..][..2 * LARGEST]);
        }
    }
}

/// Columns as limbs below 58¹⁰ + 2¹⁰, and without any waiting for the one before. Columns of 256 such limbs by factors
/// are below 2¹²⁵·³.
#[allow(clippy::cast_possible_truncation)] // what is below 2⁶⁴, and the low word of a column
fn settle(columns: &[u128], limbs: &mut [u64]) {
    let reciprocal = const { (1 << 122) / LIMB as u128 };
    let (mut below, mut over) = (0, 0);
    for (column, limb) in columns.iter().zip(limbs) {
        // In units of 16 limbs. It is too small by less than 1.7 of them, and does not know what is below 2⁶²: the
        // remainder is below 2⁶² + 1.7 · 2⁶²·⁶ < 2⁶⁴.
        let quotient = halves(u128::from((column >> 62) as u64) * reciprocal).1;
        let remainder = (*column as u64).wrapping_sub(quotient.wrapping_mul(16 * LIMB));
        // The column below gives its quotient, less than 2⁶²·⁷; both in units of 16 are below 2⁶⁴, their carry below 2⁹.
        let sum = (remainder >> 4) + below;
        let carry = ((u128::from(sum) * reciprocal) >> 118) as u64;
        *limb = remainder.wrapping_add(below << 4).wrapping_sub(carry.wrapping_mul(LIMB)) + over;
        (below, over) = (quotient, carry);
    }
}

/// The columns of `one · other`, which have the same number of limbs: twice as many, no carries between them.
///
/// Karatsuba's sums add up to 16 limbs, below 2⁶³. Their columns may exceed 2¹²⁸, but those of the product do not, and
/// so they can be counted modulo 2¹²⁸.
fn multiply(one: &[u64], other: &[u64], columns: &mut [u128], sums: &mut [u64], middle: &mut [u128]) {
    if one.iter().all(|limb| *limb == 0) {
        columns.fill(0);
    } else if let (Ok(one), Ok(other), Ok(columns)) =
        (one.try_into(), other.try_into(), (&mut *columns).try_into())
    {
        multiply_tile(one, other, columns);
    } else {
        let (sums, more_sums) = sums.split_at_mut(one.len());
        let (middle, more) = middle.split_at_mut(one.len());
        karatsuba(one, other, columns, sums, middle, |one, other, columns| {
            multiply(one, other, columns, more_sums, more);
        });
    }
}

fn multiply_tile(one: &[u64; TILE], other: &[u64; TILE], columns: &mut [u128; 2 * TILE]) {
    for (column, other) in columns.iter_mut().zip(other) {
        *column = u128::from(one[0]) * u128::from(*other);
    }
    columns[TILE..].fill(0);
    for (at, one) in one.iter().enumerate().skip(1) {
        for (column, other) in columns[at..][..TILE].iter_mut().zip(other) {
            *column = column.wrapping_add(u128::from(*one) * u128::from(*other));
        }
    }
}

/// Three products of half the length.
#[inline]
fn karatsuba(
    one: &[u64],
    other: &[u64],
    columns: &mut [u128],
    sums: &mut [u64],
    middle: &mut [u128],
    mut multiply: impl FnMut(&[u64], &[u64], &mut [u128]),
) {
    let half = one.len() / 2;
    let ((one_low, one_high), (other_low, other_high)) =
        (one[..2 * half].split_at(half), other[..2 * half].split_at(half));
    let (one_sum, other_sum) = sums[..2 * half].split_at_mut(half);
    for at in 0..half {
        (one_sum[at], other_sum[at]) = (one_low[at] + one_high[at], other_low[at] + other_high[at]);
    }
    let (low, high) = columns[..4 * half].split_at_mut(2 * half);
    multiply(one_sum, other_sum, middle);
    multiply(one_low, other_low, low);
    multiply(one_high, other_high, high);
    let ((low, low_end), (high, high_end)) = (low.split_at_mut(half), high.split_at_mut(half));
    let (middle, middle_end) = middle[..2 * half].split_at(half);
    for at in 0..half {
        let both = low_end[at].wrapping_sub(high[at]);
        low_end[at] = middle[at].wrapping_sub(low[at]).wrapping_add(both);
        high[at] = middle_end[at].wrapping_sub(high_end[at]).wrapping_sub(both);
    }
}

/// A number in digits as 64-bit words, the least ones first.
fn read(text: &[u8]) -> Zeroizing<Vec<u64>> {
    #[cfg(target_arch = "x86_64")]
    if let Some(words) = wide::words_of_digits(text) {
        return Zeroizing::new(words);
    }
    words_of_digits(text)
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
fn value<const N: usize>(group: &[u8]) -> [u64; N] {
    let mut number = [0; N];
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

/// `limb · 2^BITS + carry` as remainder and quotient of the radix, roughly: with an estimated quotient and the carry
/// simply added, limbs stay below 2.5 times the radix, and no step waits for the one before.
#[inline]
#[allow(clippy::cast_possible_truncation)] // the high half of a product, and a constant below 2⁶²
fn shift_in<const BITS: u32, const RADIX: u64>(limb: u64, carry: u64) -> (u64, u64) {
    let reciprocal = const { ((1u128 << (64 + BITS)) / RADIX as u128) as u64 };
    let quotient = halves(u128::from(limb) * u128::from(reciprocal)).1;
    let remainder = (limb << BITS).wrapping_sub(quotient.wrapping_mul(RADIX));
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
        let long = (780..1_100).step_by(13).chain([3_072]).flat_map(|length| {
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

    /// Runs of bytes that carry far, at every alignment to limbs and blocks.
    #[test]
    #[cfg(target_arch = "x86_64")]
    fn wide_and_narrow_agree() {
        let mut state = 7u64;
        let mut draw = move |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(state >> 33).unwrap() % below
        };
        for _ in 0..300 {
            let length = 800 + draw(400);
            let mut data = vec![1 + draw(255).to_le_bytes()[0]];
            while data.len() < length {
                let byte = [0x00, 0xff, 0x80, 0x7f, draw(256).to_le_bytes()[0]][draw(5)];
                data.extend(core::iter::repeat_n(byte, 1 + draw(90)));
            }
            let Some(limbs) = wide::limbs_of_bytes(&data) else {
                eprintln!("not tested: this processor has no AVX-512 IFMA");
                return;
            };
            let narrow = characters::<DIGITS>(&limbs_of_bytes(&data));
            let text: Vec<u8> = narrow.iter().copied().skip_while(|digit| *digit == ALPHABET[0]).collect();
            let wide = characters::<{ wide::DIGITS }>(&limbs);
            assert!(wide.iter().copied().skip_while(|digit| *digit == ALPHABET[0]).eq(text.iter().copied()));
            assert_eq!(wide::words_of_digits(&text), Some(words_of_digits(&text).to_vec()));
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
