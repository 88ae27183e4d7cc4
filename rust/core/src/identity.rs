//! Keys, peer ids and signatures (§1).

use core::fmt;

use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey, PrivateKeyInfoRef, SecretDocument};
use ed25519_dalek::{Signer, SigningKey, Verifier, VerifyingKey};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::error::KeyFault;
use crate::{Error, Result, base58, libp2p};

const SECRET_KEY: u8 = 0x80;
const PUBLIC_KEY: u8 = 0x16;
const PEER_ID: u8 = 0x2f;

/// Bytes of a key or a peer id.
pub const KEY: usize = 32;
/// Bytes of the longest PEM text that is read: a key takes 168, the rest is comment.
const MAX_PEM: usize = 64 * 1024;
/// Bytes of a signature.
pub const SIGNATURE: usize = 64;

/// `data` as an array, or an error that names `what` it should have been.
pub(crate) fn fixed<const N: usize>(what: &'static str, data: &[u8]) -> Result<[u8; N]> {
    data.try_into().map_err(|_| KeyFault::Length { what, expected: N, found: data.len() }.into())
}

/// An Ed25519 secret key. Wiped on drop; compared in constant time; never printed.
pub struct SecretKey {
    signing: SigningKey,
    public: PublicKey,
}

impl SecretKey {
    /// A new key from the operating system's generator.
    pub fn random() -> Result<Self> {
        let mut seed = Zeroizing::new([0; KEY]);
        getrandom::fill(seed.as_mut()).map_err(|_| Error::Random)?;
        Ok(Self::from_signing(SigningKey::from_bytes(&seed)))
    }

    /// From a 32-byte seed.
    pub fn from_seed(seed: &[u8]) -> Result<Self> {
        let seed = Zeroizing::new(fixed("a secret key's seed", seed)?);
        Ok(Self::from_signing(SigningKey::from_bytes(&seed)))
    }

    /// The test key number `index` (below 2⁶⁴ − 1): the seed is `index + 1`, big-endian.
    pub fn deterministic(index: u64) -> Result<Self> {
        let number = index.checked_add(1).ok_or(Error::OutOfRange("index"))?;
        let mut seed = Zeroizing::new([0; KEY]);
        seed[KEY - 8..].copy_from_slice(&number.to_be_bytes());
        Self::from_seed(seed.as_slice())
    }

    /// From base58check text.
    pub fn parse(text: &str) -> Result<Self> {
        Self::from_seed(&base58::check_decode(text, SECRET_KEY, KEY)?)
    }

    /// From PKCS#8 PEM (RFC 8410). A public key in it must be this key's.
    pub fn from_pem(text: &str) -> Result<Self> {
        if text.len() > MAX_PEM {
            return Err(KeyFault::Pem.into());
        }
        let signing = SigningKey::from_pkcs8_pem(text).map_err(|_| KeyFault::Pem)?;
        let (_, document) = SecretDocument::from_pem(text).map_err(|_| KeyFault::Pem)?;
        let info = PrivateKeyInfoRef::try_from(document.as_bytes()).map_err(|_| KeyFault::Pem)?;
        // a public key is whole bytes (RFC 8410 §4), which ed25519-dalek does not look at
        if info.public_key.is_some_and(|bits| bits.unused_bits() != 0) {
            return Err(KeyFault::Pem.into());
        }
        Ok(Self::from_signing(signing))
    }

    /// The secret in base58check text.
    #[must_use]
    pub fn expose_base58check(&self) -> Zeroizing<String> {
        Zeroizing::new(base58::check_encode(SECRET_KEY, self.expose_seed()))
    }

    /// The seed itself.
    #[must_use]
    pub fn expose_seed(&self) -> &[u8; KEY] {
        self.signing.as_bytes()
    }

    /// PKCS#8 PEM, version 2 (with the public key), as the reference writes it.
    pub fn expose_pem(&self) -> Result<Zeroizing<String>> {
        self.signing.to_pkcs8_pem(LineEnding::LF).map_err(|_| KeyFault::Pem.into())
    }

    /// The public key that belongs to it.
    #[must_use]
    pub const fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// Ed25519 signature (RFC 8032).
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature(self.signing.sign(message).to_bytes())
    }

    /// Lower half of SHA-512(seed): the X25519 secret before clamping (§2).
    pub(crate) fn scalar(&self) -> Zeroizing<[u8; KEY]> {
        Zeroizing::new(self.signing.to_scalar_bytes())
    }

    fn from_signing(signing: SigningKey) -> Self {
        let public = PublicKey(signing.verifying_key());
        Self { signing, public }
    }
}

impl PartialEq for SecretKey {
    fn eq(&self, other: &Self) -> bool {
        self.expose_seed().ct_eq(other.expose_seed()).into()
    }
}

impl Eq for SecretKey {}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(\"***\")")
    }
}

/// An Ed25519 public key: any 32 bytes that decompress to a curve point, small-order and non-canonical ones too.
#[derive(Clone, Copy)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// From 32 bytes.
    pub fn from_bytes(data: &[u8]) -> Result<Self> {
        let bytes = fixed("a public key", data)?;
        VerifyingKey::from_bytes(&bytes).map(Self).map_err(|_| KeyFault::NotOnCurve.into())
    }

    /// From base58check text.
    pub fn parse(text: &str) -> Result<Self> {
        Self::from_bytes(&base58::check_decode(text, PUBLIC_KEY, KEY)?)
    }

    /// The 32 bytes it was made from.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; KEY] {
        self.0.as_bytes()
    }

    /// The same bytes as a peer id.
    #[must_use]
    pub fn peer_id(&self) -> PeerId {
        PeerId(*self.as_bytes())
    }

    /// Whether `signature` is this key's over `message`.
    pub fn verify(&self, message: &[u8], signature: &Signature) -> Result<()> {
        let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
        self.0.verify(message, &signature).map_err(|_| Error::Signature)
    }

    /// The Montgomery form of the point (§2).
    #[must_use]
    pub fn to_x25519(&self) -> [u8; KEY] {
        self.montgomery().to_bytes()
    }

    pub(crate) fn montgomery(&self) -> curve25519_dalek::MontgomeryPoint {
        self.0.to_montgomery()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base58::check_encode(PUBLIC_KEY, self.as_bytes()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey(\"{self}\")")
    }
}

/// A peer's identity: 32 bytes, ordered big-endian, not checked against the curve.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId([u8; KEY]);

impl PeerId {
    /// From 32 bytes.
    pub fn from_bytes(data: &[u8]) -> Result<Self> {
        fixed("a peer id", data).map(Self)
    }

    /// From base58check text.
    pub fn parse(text: &str) -> Result<Self> {
        Self::from_bytes(&base58::check_decode(text, PEER_ID, KEY)?)
    }

    /// From a libp2p peer id (`12D3KooW…`).
    pub fn from_libp2p(text: &str) -> Result<Self> {
        libp2p::parse(text).map(|key| key.peer_id())
    }

    /// As a libp2p peer id; the bytes must be a curve point.
    pub fn to_libp2p(&self) -> Result<String> {
        self.public_key().map(|key| libp2p::print(&key))
    }

    /// The same bytes as a public key, when they are a curve point.
    pub fn public_key(&self) -> Result<PublicKey> {
        PublicKey::from_bytes(&self.0)
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; KEY] {
        &self.0
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base58::check_encode(PEER_ID, &self.0))
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerId(\"{self}\")")
    }
}

/// A 64-byte Ed25519 signature, in text lower-case hex.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature([u8; SIGNATURE]);

impl Signature {
    /// From 64 bytes.
    pub fn from_bytes(data: &[u8]) -> Result<Self> {
        fixed("a signature", data).map(Self)
    }

    /// From 128 hex digits of either case.
    pub fn parse(text: &str) -> Result<Self> {
        from_hex("a signature", text).map(Self)
    }

    /// The 64 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; SIGNATURE] {
        &self.0
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature(\"{self}\")")
    }
}

/// Exactly `2 · N` hex digits.
pub(crate) fn from_hex<const N: usize>(what: &'static str, text: &str) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).map_err(|_| KeyFault::Hex { what, digits: 2 * N })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deterministic_keys_go_to_the_end_of_their_range() {
        let last = SecretKey::deterministic(u64::MAX - 1).unwrap();
        assert_eq!(last.expose_seed()[KEY - 9..], [0, 255, 255, 255, 255, 255, 255, 255, 255]);
        assert_eq!(SecretKey::deterministic(u64::MAX), Err(Error::OutOfRange("index")));
    }

    #[test]
    fn a_secret_key_never_prints_itself() {
        let key = SecretKey::deterministic(7).unwrap();
        assert_eq!(format!("{key:?}"), "SecretKey(\"***\")");
        let text = key.expose_base58check();
        let error = SecretKey::parse(&text[..text.len() - 1]).unwrap_err().to_string();
        assert!(!error.contains(&text[..8]));
    }

    #[test]
    fn pem_with_another_public_key_is_refused() {
        let pem = SecretKey::deterministic(0).unwrap().expose_pem().unwrap();
        assert!(SecretKey::from_pem(&pem).is_ok());
        let other = SecretKey::deterministic(1).unwrap().expose_pem().unwrap();
        let mixed: String =
            pem.lines().take(2).chain(other.lines().skip(2)).flat_map(|l| [l, "\n"]).collect();
        assert_eq!(SecretKey::from_pem(&mixed).unwrap_err(), Error::KeyFormat(KeyFault::Pem));
    }

    #[test]
    fn pem_is_read_up_to_a_limit() {
        let pem = SecretKey::deterministic(0).unwrap().expose_pem().unwrap();
        let room = MAX_PEM - pem.len() - 1;
        assert!(SecretKey::from_pem(&format!("{}\n{}", "#".repeat(room), pem.as_str())).is_ok());
        assert!(SecretKey::from_pem(&format!("{}\n{}", "#".repeat(room + 1), pem.as_str())).is_err());
    }

    #[test]
    fn random_keys_differ() {
        assert_ne!(SecretKey::random().unwrap(), SecretKey::random().unwrap());
    }
}
