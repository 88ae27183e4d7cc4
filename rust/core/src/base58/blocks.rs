//! Blocks of limbs of base58 joined to one number: Karatsuba's products of columns, without carries between them.

use zeroize::Zeroizing;

use super::{LIMB, halves};

/// Bytes of a block, and its limbs: 2¹⁸⁷² < 58³²⁰.
pub(super) const BLOCK_BYTES: usize = 234;
pub(super) const BLOCK: usize = 32;
/// Limbs of the largest product, and of those that are not divided further: what is quickest.
pub(super) const LARGEST: usize = 256;
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

/// Joins blocks by twos up to the largest, and those one after the other, the most significant ones first.
pub(super) fn join(limbs: &mut [u64]) {
    let room = limbs.len().min(2 * LARGEST);
    let (mut columns, mut middle) = (Zeroizing::new(vec![0; room]), Zeroizing::new(vec![0; room]));
    let mut sums = Zeroizing::new(vec![0; room]);
    let mut join_pair = |pair: &mut [u64]| {
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
        limbs.chunks_exact_mut(2 * size).for_each(&mut join_pair);
        size *= 2;
    }
    let blocks = limbs.len() / LARGEST;
    for start in (0..blocks.saturating_sub(1)).rev() {
        for lower in start..blocks - 1 {
            join_pair(&mut limbs[lower * LARGEST..][..2 * LARGEST]);
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
        karatsuba(one, other, columns, sums, middle);
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
fn karatsuba(one: &[u64], other: &[u64], columns: &mut [u128], sums: &mut [u64], middle: &mut [u128]) {
    let half = one.len() / 2;
    let (sums, more_sums) = sums.split_at_mut(2 * half);
    let (middle, more) = middle.split_at_mut(2 * half);
    let ((one_low, one_high), (other_low, other_high)) =
        (one[..2 * half].split_at(half), other[..2 * half].split_at(half));
    let (one_sum, other_sum) = sums.split_at_mut(half);
    for at in 0..half {
        (one_sum[at], other_sum[at]) = (one_low[at] + one_high[at], other_low[at] + other_high[at]);
    }
    let (low, high) = columns[..4 * half].split_at_mut(2 * half);
    multiply(one_sum, other_sum, middle, more_sums, more);
    multiply(one_low, other_low, low, more_sums, more);
    multiply(one_high, other_high, high, more_sums, more);
    let ((low, low_end), (high, high_end)) = (low.split_at_mut(half), high.split_at_mut(half));
    let (middle, middle_end) = middle.split_at(half);
    for at in 0..half {
        let both = low_end[at].wrapping_sub(high[at]);
        low_end[at] = middle[at].wrapping_sub(low[at]).wrapping_add(both);
        high[at] = middle_end[at].wrapping_sub(high_end[at]).wrapping_sub(both);
    }
}
