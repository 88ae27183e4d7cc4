//! Encryption between two identities (§2) and the hash of an SDP (§3).

use core::fmt;

use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::aes::cipher::consts::U12;
use aes_gcm::{Aes256Gcm, Nonce, Tag};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::identity::{PublicKey, SecretKey};
use crate::{Error, Result};

const NONCE: usize = 12;
const TAG: usize = 16;

/// What a sealed message is longer than the message.
pub const OVERHEAD: usize = NONCE + TAG;

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
        let mut sealed = vec![0; message.len() + OVERHEAD];
        self.seal_into(message, &mut sealed)?;
        Ok(sealed)
    }

    /// As [`Cipher::seal`], into a target of [`OVERHEAD`] bytes more; for another length it is an error.
    pub fn seal_into(&self, message: &[u8], target: &mut [u8]) -> Result<()> {
        let (nonce, rest) = target.split_first_chunk_mut::<NONCE>().ok_or(Error::Encryption)?;
        let (body, tag) = rest.split_last_chunk_mut::<TAG>().ok_or(Error::Encryption)?;
        getrandom::fill(nonce).map_err(|_| Error::Random)?;
        let buffer = InOutBuf::new(message, body).map_err(|_| Error::Encryption)?;
        let found = self.0.encrypt_inout_detached(&Nonce::<U12>::from(*nonce), &[], buffer);
        *tag = found.map_err(|_| Error::Encryption)?.into();
        Ok(())
    }

    /// The message that was sealed.
    pub fn open(&self, sealed: &[u8]) -> Result<Vec<u8>> {
        let mut message = vec![0; sealed.len().checked_sub(OVERHEAD).ok_or(Error::Decryption)?];
        self.open_into(sealed, &mut message)?;
        Ok(message)
    }

    /// As [`Cipher::open`], into a target of [`OVERHEAD`] bytes less; for another length it is an error. After an error
    /// nothing of the message is in the target.
    pub fn open_into(&self, sealed: &[u8], target: &mut [u8]) -> Result<()> {
        let (nonce, rest) = sealed.split_first_chunk::<NONCE>().ok_or(Error::Decryption)?;
        let (body, tag) = rest.split_last_chunk::<TAG>().ok_or(Error::Decryption)?;
        let buffer = InOutBuf::new(body, target).map_err(|_| Error::Decryption)?;
        let opened =
            self.0.decrypt_inout_detached(&Nonce::<U12>::from(*nonce), &[], buffer, &Tag::from(*tag));
        opened.map_err(|_| Error::Decryption)
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
