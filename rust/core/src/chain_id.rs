//! Chain ids (§1): which network a node is on.

use core::fmt;

use blake2::Blake2b;
use blake2::digest::consts::U32;
use md5::Md5;
use sha2::Digest;

use crate::identity::{fixed, from_hex};
use crate::{Error, Result};

type Blake2b256 = Blake2b<U32>;

/// The last millisecond of the year 9999.
const LAST_MS: u64 = 253_402_300_799_999;

/// 32 bytes, in text lower-case hex.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ChainId([u8; 32]);

/// The constants that a network's chain id is computed from.
#[derive(Debug, Clone)]
pub struct ChainConstants<'a> {
    /// Digests of the network's circuits.
    pub constraint_system_digests: &'a [Vec<u8>],
    /// Base58check text of the genesis state's hash.
    pub genesis_state_hash: &'a str,
    /// Milliseconds since 1970.
    pub genesis_timestamp_ms: u64,
    /// Blocks to finality.
    pub k: u32,
    /// Slots of an epoch.
    pub slots_per_epoch: u32,
    /// Slots of a sub-window.
    pub slots_per_sub_window: u32,
    /// Slots that a block may be late.
    pub delta: u32,
    /// Version of transactions.
    pub protocol_transaction_version: u8,
    /// Version of the network.
    pub protocol_network_version: u8,
    /// How many transactions a pool holds.
    pub tx_pool_max_size: u32,
}

impl ChainId {
    /// Mina's test network.
    pub const DEVNET: Self = Self([
        0x29, 0x93, 0x61, 0x04, 0x44, 0x3a, 0xaf, 0x26, 0x4a, 0x7f, 0x01, 0x92, 0xac, 0x64, 0xb1, 0xc7, 0x17,
        0x31, 0x98, 0xc1, 0xed, 0x40, 0x4c, 0x1b, 0xcf, 0xf5, 0xe5, 0x62, 0xe0, 0x5e, 0xb7, 0xf6,
    ]);
    /// Mina's main network.
    pub const MAINNET: Self = Self([
        0xa7, 0x35, 0x1a, 0xbc, 0x7d, 0xdf, 0x2e, 0xa9, 0x2d, 0x1b, 0x38, 0xcc, 0x8e, 0x63, 0x6c, 0x27, 0x1c,
        0x1d, 0xfd, 0x2c, 0x08, 0x1c, 0x63, 0x7f, 0x62, 0xeb, 0xc2, 0xaf, 0x34, 0xeb, 0x7c, 0xc1,
    ]);

    /// From 32 bytes.
    pub fn from_bytes(data: &[u8]) -> Result<Self> {
        fixed("a chain id", data).map(Self)
    }

    /// From exactly 64 hex digits of either case.
    pub fn parse(text: &str) -> Result<Self> {
        from_hex("a chain id", text).map(Self)
    }

    /// BLAKE2b-256 over the genesis state hash, the circuits' digests, the hash of the genesis constants and the
    /// MD5 of both version numbers, each as text.
    pub fn compute(constants: &ChainConstants<'_>) -> Result<Self> {
        let mut hash = Blake2b256::new();
        hash.update(constants.genesis_state_hash);
        for digest in constants.constraint_system_digests {
            hash.update(hex::encode(digest));
        }
        hash.update(hex::encode(constants.hash()?));
        for version in [constants.protocol_transaction_version, constants.protocol_network_version] {
            hash.update(hex::encode(Md5::digest(version.to_string())));
        }
        Ok(Self(hash.finalize().into()))
    }

    /// Key of the libp2p private network of this chain.
    #[must_use]
    pub fn preshared_key(&self) -> [u8; 32] {
        let hash = Blake2b256::new().chain_update("/coda/0.0.1/").chain_update(hex::encode(self.0));
        hash.finalize().into()
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChainId(\"{self}\")")
    }
}

impl ChainConstants<'_> {
    fn hash(&self) -> Result<[u8; 32]> {
        let numbers =
            [self.k, self.slots_per_epoch, self.slots_per_sub_window, self.delta, self.tx_pool_max_size];
        let mut hash = Blake2b256::new();
        for number in numbers {
            hash.update(number.to_string());
        }
        hash.update(date(self.genesis_timestamp_ms).ok_or(Error::OutOfRange("genesis_timestamp_ms"))?);
        Ok(hash.finalize().into())
    }
}

/// `YYYY-MM-DD hh:mm:ss.ffffffZ`.
fn date(ms: u64) -> Option<String> {
    if ms > LAST_MS {
        return None;
    }
    let (days, ms_of_day) = (ms / 86_400_000, ms % 86_400_000);
    // Civil date from a day count: years begin in March, so that a leap day ends one; 146 097 days are 400 years.
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let march = (5 * day + 2) / 153;
    let day = day - (153 * march + 2) / 5 + 1;
    let month = if march < 10 { march + 3 } else { march - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute) = (ms_of_day / 3_600_000, ms_of_day / 60_000 % 60);
    let (second, micros) = (ms_of_day / 1_000 % 60, ms_of_day % 1_000 * 1_000);
    Some(format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{micros:06}Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_at_the_edges_of_the_calendar() {
        assert_eq!(date(0).unwrap(), "1970-01-01 00:00:00.000000Z");
        assert_eq!(date(951_782_399_999).unwrap(), "2000-02-28 23:59:59.999000Z");
        assert_eq!(date(951_782_400_000).unwrap(), "2000-02-29 00:00:00.000000Z");
        assert_eq!(date(1_700_000_000_123).unwrap(), "2023-11-14 22:13:20.123000Z");
        assert_eq!(date(4_107_542_400_000).unwrap(), "2100-03-01 00:00:00.000000Z");
        assert_eq!(date(LAST_MS).unwrap(), "9999-12-31 23:59:59.999000Z");
        assert_eq!(date(LAST_MS + 1), None);
    }

    #[test]
    fn texts_are_exactly_sixty_four_digits() {
        let text = ChainId::DEVNET.to_string();
        assert_eq!(ChainId::parse(&text.to_uppercase()), Ok(ChainId::DEVNET));
        for wrong in [&text[..62], &text[..63], &format!("{text}00"), "", &format!("0x{}", &text[2..])] {
            assert!(ChainId::parse(wrong).is_err());
        }
    }
}
