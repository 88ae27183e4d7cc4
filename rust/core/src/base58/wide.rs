//! base58 of long texts where the processor multiplies eight limbs of 52 bits at a time (AVX-512 IFMA).
//!
//! As the module above does, a number is scaled by a constant and a block is added, again and again. Here the constant
//! has eight limbs, and a product is the sums of its columns first: none waits for another's carry. Carries then move
//! by two limbs, which leaves limbs a little above their radix; the last pass alone carries all the way.
//!
//! The buffers are not wiped: only texts of [`LEAST`] bytes come here, and no secret is that long.

#![allow(clippy::cast_possible_wrap)] // constants, into lanes that are signed by name only
#![allow(clippy::cast_possible_truncation)] // the low word of what is left, and constants below 2⁵²

use core::arch::x86_64::{
    __m512i, _mm512_add_epi64, _mm512_and_si512, _mm512_madd52hi_epu64, _mm512_madd52lo_epu64,
    _mm512_set1_epi64, _mm512_setzero_si512, _mm512_slli_epi64, _mm512_srli_epi64, _mm512_sub_epi64,
};

use super::{carry_over, shift_in, value, words_of_bytes};

/// Bytes from which on this is quicker, in either direction.
const LEAST: usize = 800;

/// Limbs of the constants, and of what is added after each product.
const TAPS: usize = 8;
const LANES: usize = 8;
/// Columns that are summed at a time.
const ROW: usize = 4 * LANES;
/// What a product is cut at.
const HALF: u32 = 52;

/// Bits of a limb when decoding: one less than are multiplied, for what carrying leaves above.
const BITS: u32 = 51;
const MASK: u64 = (1 << BITS) - 1;
/// Digits of a block: 58⁶⁹ < 2⁴⁰⁸.
const GROUP: usize = 69;
const SCALE: [u64; TAPS] = power(58, GROUP, 1 << BITS);

/// Digits of a limb when encoding, and what it counts to.
pub(super) const DIGITS: usize = 8;
const LIMB: u64 = 58u64.pow(8);
/// Bytes of a block: 2³⁶⁰ < 58⁶⁴; those that go into it at a time, and their bits.
const BLOCK: usize = 45;
const PART: usize = 5;
const PART_BITS: u32 = 40;
const SHIFT: [u64; TAPS] = power(1 << 8, BLOCK, LIMB);

const fn power(base: u64, exponent: usize, radix: u64) -> [u64; TAPS] {
    let mut limbs = [0; TAPS];
    limbs[0] = 1;
    let mut step = 0;
    while step < exponent {
        let (mut carry, mut at) = (0, 0);
        while at < TAPS {
            let product = limbs[at] * base + carry;
            (limbs[at], carry) = (product % radix, product / radix);
            at += 1;
        }
        assert!(carry == 0);
        step += 1;
    }
    limbs
}

/// Bytes as limbs of [`DIGITS`] digits, the least ones first; none where this is not possible, or not quicker.
pub(super) fn limbs_of_bytes(data: &[u8]) -> Option<Vec<u64>> {
    #[allow(unsafe_code)]
    // SAFETY: the function needs nothing but the features that have just been found.
    (data.len() >= LEAST && available()).then(|| unsafe { encode(data) })
}

/// Digits, the most significant ones first, as 64-bit words, the least ones first.
pub(super) fn words_of_digits(text: &[u8]) -> Option<Vec<u64>> {
    #[allow(unsafe_code)]
    // SAFETY: the function needs nothing but the features that have just been found.
    (text.len() >= LEAST && available()).then(|| unsafe { decode(text) })
}

fn available() -> bool {
    std::arch::is_x86_feature_detected!("avx512f") && std::arch::is_x86_feature_detected!("avx512ifma")
}

/// A number on its way to the other base.
struct Number {
    /// The least ones first, after [`TAPS`] zeros, which the first columns reach into.
    limbs: Vec<u64>,
    /// Low and high halves of the columns' products, after [`LANES`] zeros.
    low: Vec<u64>,
    high: Vec<u64>,
    /// Limbs that are not zero.
    used: usize,
}

impl Number {
    fn new(limbs: usize) -> Self {
        let limbs = (limbs + TAPS).next_multiple_of(ROW);
        let columns = vec![0; LANES + limbs];
        Self { limbs: vec![0; TAPS + limbs], low: columns.clone(), high: columns, used: 0 }
    }

    /// The columns of `self · factor + block`; how many there are.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn multiply(&mut self, factor: &[u64; TAPS], block: [u64; TAPS]) -> usize {
        let columns = (self.used + TAPS).next_multiple_of(ROW).min(self.limbs.len() - TAPS);
        let (low, high) = (&mut self.low[LANES..][..columns], &mut self.high[LANES..][..columns]);
        for (row, (low, high)) in low.chunks_exact_mut(ROW).zip(high.chunks_exact_mut(ROW)).enumerate() {
            let window = &self.limbs[row * ROW..][..ROW + TAPS];
            let mut sums = [(_mm512_setzero_si512(), _mm512_setzero_si512()); ROW / LANES];
            for (tap, factor) in factor.iter().enumerate() {
                let factor = every(*factor);
                for (lane, (low, high)) in sums.iter_mut().enumerate() {
                    let limbs = load(window, TAPS - tap + lane * LANES);
                    *low = _mm512_madd52lo_epu64(*low, limbs, factor);
                    *high = _mm512_madd52hi_epu64(*high, limbs, factor);
                }
            }
            for (lane, sums) in sums.into_iter().enumerate() {
                store(low, lane * LANES, sums.0);
                store(high, lane * LANES, sums.1);
            }
        }
        for (column, limb) in low.iter_mut().zip(block) {
            *column += limb;
        }
        columns
    }

    /// Eight columns when decoding: a high half counts 2⁵², which is 2 in the next limb.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn columns(&self, at: usize) -> __m512i {
        let high = _mm512_slli_epi64::<{ HALF - BITS }>(load(&self.high, at - 1));
        _mm512_add_epi64(load(&self.low, at), high)
    }

    /// After all limbs of so many columns have been written.
    fn settle(&mut self, columns: usize) {
        let limbs = &self.limbs[TAPS..][..columns];
        self.used = limbs.iter().rposition(|limb| *limb != 0).map_or(0, |last| last + 1);
    }
}

#[target_feature(enable = "avx512f,avx512ifma")]
fn decode(text: &[u8]) -> Vec<u64> {
    let mut number = Number::new(text.len() * 6 / BITS as usize + 1);
    for group in text.rchunks(GROUP).rev() {
        let columns = number.multiply(&SCALE, block_of_digits(group));
        for at in (0..columns).step_by(LANES) {
            // Limbs are below 2⁵¹ + 2⁵ and factors below 2⁵¹: a column is below 2⁵⁶, and its carry below 2⁵.
            let (here, below) = (number.columns(LANES + at), number.columns(LANES + at - 1));
            let limbs =
                _mm512_add_epi64(_mm512_and_si512(here, every(MASK)), _mm512_srli_epi64::<BITS>(below));
            store(&mut number.limbs, TAPS + at, limbs);
        }
        number.settle(columns);
    }
    let mut words = Vec::with_capacity(number.used + 1);
    let (mut rest, mut bits) = (0u128, 0);
    for limb in &number.limbs[TAPS..][..number.used] {
        rest += u128::from(*limb) << bits;
        bits += BITS;
        if bits >= u64::BITS {
            words.push(rest as u64);
            rest >>= u64::BITS;
            bits -= u64::BITS;
        }
    }
    words.push(rest as u64);
    words.truncate(words.iter().rposition(|word| *word != 0).map_or(0, |last| last + 1));
    words
}

#[target_feature(enable = "avx512f,avx512ifma")]
fn encode(data: &[u8]) -> Vec<u64> {
    const COARSE: u64 = quotient(2 * HALF - 6);
    const FINE: u64 = quotient(HALF + 4);
    let mut number = Number::new(data.len() * 8 / 46 + 1);
    let none = _mm512_setzero_si512();
    for group in data.rchunks(BLOCK).rev() {
        let columns = number.multiply(&SHIFT, block_of_bytes(group));
        // Limbs are below 2⁴⁷ and factors below 2⁴⁶·⁹, so that the eight high halves sum up to less than 2⁴⁵, and with them
        // the quotient of a column to less than 2⁵¹. It may be too small by 2, which leaves a remainder below 2⁴⁹.
        for at in (LANES..LANES + columns).step_by(LANES) {
            let (low, high) = (load(&number.low, at), load(&number.high, at));
            let upper =
                _mm512_add_epi64(_mm512_srli_epi64::<{ HALF - 6 }>(low), _mm512_slli_epi64::<6>(high));
            let quotient = _mm512_madd52hi_epu64(none, upper, every(COARSE));
            let product = _mm512_madd52lo_epu64(none, quotient, every(LIMB));
            store(&mut number.high, at, quotient);
            store(
                &mut number.low,
                at,
                _mm512_and_si512(_mm512_sub_epi64(low, product), every((1 << HALF) - 1)),
            );
        }
        // With the quotient of the limb below a remainder is less than 2⁵², and divided once more its limb below 2⁴⁷.
        for at in (LANES..LANES + columns).step_by(LANES) {
            let divide = |at| {
                let sum = _mm512_add_epi64(load(&number.low, at), load(&number.high, at - 1));
                (sum, _mm512_madd52hi_epu64(none, _mm512_srli_epi64::<4>(sum), every(FINE)))
            };
            let ((sum, quotient), (_, below)) = (divide(at), divide(at - 1));
            let remainder = _mm512_sub_epi64(sum, _mm512_madd52lo_epu64(none, quotient, every(LIMB)));
            store(&mut number.limbs, TAPS + at - LANES, _mm512_add_epi64(remainder, below));
        }
        number.settle(columns);
    }
    let mut limbs = number.limbs[TAPS..][..number.used].to_vec();
    let carry = carry_over::<LIMB>(&mut limbs);
    limbs.push(carry);
    limbs
}

/// `2^bits` by a limb.
const fn quotient(bits: u32) -> u64 {
    ((1u128 << bits) / LIMB as u128) as u64
}

fn block_of_digits(group: &[u8]) -> [u64; TAPS] {
    let words: [u64; 7] = value(group);
    core::array::from_fn(|limb| {
        let (word, bit) = (limb * BITS as usize / 64, limb * BITS as usize % 64);
        let above = words.get(word + 1).copied().unwrap_or_default();
        (words[word] >> bit | above << 1 << (63 - bit)) & MASK
    })
}

fn block_of_bytes(group: &[u8]) -> [u64; TAPS] {
    let mut limbs = [0; TAPS];
    let words = words_of_bytes::<PART>(group);
    for (above, word) in words.iter().rev().enumerate() {
        let mut carry = *word;
        for limb in limbs.iter_mut().take(above + 1) {
            (*limb, carry) = shift_in::<PART_BITS, LIMB>(*limb, carry);
        }
    }
    limbs
}

#[inline]
#[target_feature(enable = "avx512f")]
fn every(value: u64) -> __m512i {
    _mm512_set1_epi64(value as i64)
}

#[inline]
fn load(limbs: &[u64], at: usize) -> __m512i {
    let eight: [u64; LANES] = core::array::from_fn(|lane| limbs[at..][..LANES][lane]);
    bytemuck::must_cast(eight)
}

#[inline]
fn store(limbs: &mut [u64], at: usize, eight: __m512i) {
    limbs[at..][..LANES].copy_from_slice(&bytemuck::must_cast::<_, [u64; LANES]>(eight));
}
