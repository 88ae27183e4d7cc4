//! Everything that can go wrong, one variant per exception of the Python package.

use thiserror::Error;

/// Result of this crate.
pub type Result<T> = core::result::Result<T, Error>;

/// Why an input was refused. Messages never hold any of the input, which may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// Not base58 or base58check (§1).
    #[error("{0}")]
    Base58(Base58Fault),
    /// Not a key, peer id, signature or chain id (§1).
    #[error("{0}")]
    KeyFormat(KeyFault),
    /// Not the `bin_prot` of the type that was asked for (§8).
    #[error("{0}")]
    BinProt(BinProtFault),
    /// A frame of a forbidden length (§7).
    #[error("{0}")]
    Frame(FrameFault),
    /// The ciphertext is too short or its tag does not fit (§2).
    #[error("the ciphertext is too short or does not authenticate")]
    Decryption,
    /// The peer's key is a small-order point (§2).
    #[error("the peer's key is a small-order point: the shared key would be all zero")]
    NonContributory,
    /// The signature is not by this key over this message.
    #[error("the signature is not by this key over this message")]
    Signature,
    /// The message is longer than the algorithm allows.
    #[error("the message is too long to encrypt")]
    Encryption,
    /// A number outside of the range that its place allows.
    #[error("{0} is out of range")]
    OutOfRange(&'static str),
    /// The operating system gave no random bytes.
    #[error("the operating system's random generator failed")]
    Random,
}

/// What is wrong with a base58 text.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Base58Fault {
    /// A character outside of the alphabet; which one is not told, the text may be a secret key.
    #[error("base58 text has a character outside of the alphabet at byte {index}")]
    Character {
        /// Its position in the text.
        index: usize,
    },
    /// Longer than the caller decodes.
    #[error("base58 text is longer than {limit} characters")]
    TooLong {
        /// The caller's limit.
        limit: usize,
    },
    /// The last four bytes are not the checksum.
    #[error("base58check checksum does not fit")]
    Checksum,
    /// Another kind of thing.
    #[error("base58check version byte is {found:#04x}, not {expected:#04x}")]
    Version {
        /// What the text has.
        found: u8,
        /// What was asked for.
        expected: u8,
    },
    /// The payload is longer or shorter than it has to be.
    #[error("base58check payload is not {expected} bytes long")]
    Length {
        /// What was asked for.
        expected: usize,
    },
}

/// What is wrong with a key, peer id, signature or chain id.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KeyFault {
    /// A fixed-size value of another length.
    #[error("{what} must be {expected} bytes, not {found}")]
    Length {
        /// The value's name.
        what: &'static str,
        /// Its length.
        expected: usize,
        /// The length that was given.
        found: usize,
    },
    /// The bytes are no point of the curve.
    #[error("the bytes are not a point on the curve")]
    NotOnCurve,
    /// Not hexadecimal, or too many or too few digits.
    #[error("{what} must be {digits} hex digits")]
    Hex {
        /// The value's name.
        what: &'static str,
        /// How many digits it has.
        digits: usize,
    },
    /// Not a PKCS#8 PEM of an Ed25519 key.
    #[error("not a PKCS#8 PEM of an Ed25519 secret key")]
    Pem,
    /// A libp2p peer id that holds a hash, from which no key can be read.
    #[error("a SHA-256 peer id (Qm…) cannot be converted: it does not hold the key")]
    HashedPeerId,
    /// Not the identity multihash of an Ed25519 key.
    #[error("not the libp2p peer id of an Ed25519 key")]
    Libp2p,
}

/// What is wrong with `bin_prot` bytes.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BinProtFault {
    /// The input ends inside of a value.
    #[error("{needed} bytes are needed, {left} are left")]
    Truncated {
        /// How many the value takes (at least).
        needed: u64,
        /// How many there are.
        left: usize,
    },
    /// A number outside of its type's range.
    #[error("integer {value} is not within {low}…{high}")]
    Range {
        /// What was read.
        value: i64,
        /// Smallest allowed.
        low: i64,
        /// Largest allowed.
        high: i64,
    },
    /// The code of a negative byte, followed by one that is not negative.
    #[error("code ff is not followed by a negative byte")]
    NegativeCode,
    /// Neither 00 nor 01.
    #[error("{what} byte is {found:#04x}, neither 00 nor 01")]
    Flag {
        /// `bool` or `option`.
        what: &'static str,
        /// What was read.
        found: u8,
    },
    /// An enum index without meaning.
    #[error("variant {found} is not below {count}")]
    Variant {
        /// What was read.
        found: u8,
        /// How many variants there are.
        count: u16,
    },
    /// Bytes after the value.
    #[error("{0} bytes are left over")]
    LeftOver(usize),
}

/// What is wrong with a frame.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FrameFault {
    /// A length of zero.
    #[error("a message must not be empty")]
    Empty,
    /// Above the channel's limit.
    #[error("a message of {length} bytes is over the limit of {limit}")]
    TooLong {
        /// What the prefix says.
        length: u64,
        /// The channel's limit.
        limit: u32,
    },
    /// There was an error before.
    #[error("the decoder has failed before and cannot go on")]
    Failed,
}

macro_rules! from_fault {
    ($($fault:ident => $variant:ident),+) => {$(
        impl From<$fault> for Error {
            fn from(fault: $fault) -> Self {
                Self::$variant(fault)
            }
        }
    )+};
}

from_fault!(Base58Fault => Base58, KeyFault => KeyFormat, BinProtFault => BinProt, FrameFault => Frame);
