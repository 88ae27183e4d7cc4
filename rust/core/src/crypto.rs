//! Encryption between two identities (§2) and the hash of an SDP (§3).

use core::fmt;

use aes_gcm::aead::{Aead, KeyInit};
use aes_gcm::aes::cipher::consts::U12;
use aes_gcm::{Aes256Gcm, Nonce};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::identity::{PublicKey, SecretKey};
use crate::{Error, Result};

const NONCE: usize = 12;
const TAG: usize = 16;

/// SHA-256 of the UTF-8 bytes of an SDP, exactly as it stands.
#[must_use]
pub fn sdp_hash(sdp: &str) -> [u8; 32] {
    Sha256::digest(sdp).into()
}

/// Seals and opens messages between one own secret key and one peer. The key is derived once, and wiped on drop.
pub struct Cipher(Aes256Gcm);

impl Cipher {
    /// Derives the shared key.
    pub fn new(secret_key: &SecretKey, peer: &PublicKey) -> Result<Self> {
        let shared = secret_key.diffie_hellman(peer)?;
        Aes256Gcm::new_from_slice(shared.as_slice()).map(Self).map_err(|_| Error::Encryption)
    }

    /// `nonce ‖ ciphertext ‖ tag`, under a fresh nonce.
    pub fn seal(&self, message: &[u8]) -> Result<Vec<u8>> {
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).map_err(|_| Error::Random)?;
        let nonce = Nonce::<U12>::from(nonce);
        let sealed = self.0.encrypt(&nonce, message).map_err(|_| Error::Encryption)?;
        let mut out = Vec::with_capacity(NONCE + sealed.len());
        out.extend_from_slice(&nonce);
        out.extend_from_slice(&sealed);
        Ok(out)
    }

    /// The message that was sealed.
    pub fn open(&self, sealed: &[u8]) -> Result<Vec<u8>> {
        let (nonce, rest) = sealed.split_first_chunk::<NONCE>().ok_or(Error::Decryption)?;
        if rest.len() < TAG {
            return Err(Error::Decryption);
        }
        self.0.decrypt(&Nonce::<U12>::from(*nonce), rest).map_err(|_| Error::Decryption)
    }
}

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cipher(\"***\")")
    }
}

impl SecretKey {
    /// X25519 of this key's scalar and the peer's point; all zero is an error.
    pub fn diffie_hellman(&self, peer: &PublicKey) -> Result<Zeroizing<[u8; 32]>> {
        let shared = Zeroizing::new(peer.montgomery().mul_clamped(*self.scalar()).to_bytes());
        if bool::from(shared.ct_eq(&[0; 32])) { Err(Error::NonContributory) } else { Ok(shared) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_open_what_either_sealed() {
        let keys = [0, 1].map(|index| SecretKey::deterministic(index).unwrap());
        let one = Cipher::new(&keys[0], keys[1].public_key()).unwrap();
        let other = Cipher::new(&keys[1], keys[0].public_key()).unwrap();
        for length in [0, 1, 15, 16, 17, 64, 5000] {
            let message = vec![7; length];
            let sealed = one.seal(&message).unwrap();
            assert_eq!(sealed.len(), length + NONCE + TAG);
            assert_eq!(other.open(&sealed), Ok(message.clone()));
            assert_ne!(one.seal(&message).unwrap(), sealed, "a nonce was used twice");
        }
    }

    #[test]
    fn cut_or_changed_texts_do_not_open() {
        let key = SecretKey::deterministic(0).unwrap();
        let cipher = Cipher::new(&key, key.public_key()).unwrap();
        let sealed = cipher.seal(b"mina").unwrap();
        for length in 0..sealed.len() {
            assert_eq!(cipher.open(&sealed[..length]), Err(Error::Decryption));
        }
        for index in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[index] ^= 1;
            assert_eq!(cipher.open(&changed), Err(Error::Decryption));
        }
    }
}
