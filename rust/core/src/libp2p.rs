//! libp2p peer ids of Ed25519 keys: base58 of the identity multihash of a protobuf `PublicKey` (§1).

use crate::error::KeyFault;
use crate::identity::{KEY, PublicKey};
use crate::{Result, base58};

/// Multihash: code 0 (identity), 36 bytes; protobuf: field 1 (type) = 1 (Ed25519), field 2 (data) of 32 bytes.
const HEAD: [u8; 6] = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];
/// Multihash code and length of SHA-256, whose base58 text begins with `Qm`.
const SHA_256: [u8; 2] = [0x12, 0x20];
/// Longer than any peer id: an RSA key is never written out, only its hash is.
const LIMIT: usize = 128;

pub(crate) fn print(key: &PublicKey) -> String {
    let mut bytes = [0; HEAD.len() + KEY];
    bytes[..HEAD.len()].copy_from_slice(&HEAD);
    bytes[HEAD.len()..].copy_from_slice(key.as_bytes());
    base58::encode(&bytes)
}

pub(crate) fn parse(text: &str) -> Result<PublicKey> {
    let bytes = base58::decode(text, LIMIT)?;
    if bytes.starts_with(&SHA_256) && bytes.len() == SHA_256.len() + 32 {
        return Err(KeyFault::HashedPeerId.into());
    }
    match bytes.strip_prefix(&HEAD) {
        Some(key) if key.len() == KEY => PublicKey::from_bytes(key),
        _ => Err(KeyFault::Libp2p.into()),
    }
}
