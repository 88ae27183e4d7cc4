//! Public keys, peer ids and signatures.

use std::cmp::Ordering;
use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;

use mina_webrtc_core::identity;
use pyo3::PyClass;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use crate::buf::{Input, released};
use crate::errors::raise;

/// What `__reduce__` returns: a function and its arguments.
pub type Reduced<'py> = (Bound<'py, PyAny>, (Bound<'py, PyBytes>,));

/// Pickles a value as a call of its class's `from_bytes`.
pub fn reduce<'py, T: PyClass>(py: Python<'py>, bytes: &[u8]) -> PyResult<Reduced<'py>> {
    Ok((py.get_type::<T>().getattr("from_bytes")?, (PyBytes::new(py, bytes),)))
}

/// Hash with a key of this process, so that no peer can choose ids that collide.
pub fn hash(bytes: &[u8]) -> u64 {
    static STATE: OnceLock<RandomState> = OnceLock::new();
    STATE.get_or_init(RandomState::new).hash_one(bytes)
}

/// An Ed25519 public key: 32 bytes that decompress to a curve point.
#[pyclass(module = "mina_webrtc._native", frozen, eq, ord)]
pub struct PublicKey(identity::PublicKey);

impl PublicKey {
    pub const fn inner(&self) -> &identity::PublicKey {
        &self.0
    }
}

impl From<identity::PublicKey> for PublicKey {
    fn from(key: identity::PublicKey) -> Self {
        Self(key)
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes() == other.0.as_bytes()
    }
}

impl PartialOrd for PublicKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.0.as_bytes().partial_cmp(other.0.as_bytes())
    }
}

#[pymethods]
#[allow(clippy::needless_pass_by_value)] // inputs are borrowed from what Python hands in
impl PublicKey {
    /// From 32 bytes.
    #[staticmethod]
    fn from_bytes(data: Input<'_>) -> PyResult<Self> {
        identity::PublicKey::from_bytes(data.as_slice()).map(Self).map_err(raise)
    }

    /// From base58check text.
    #[staticmethod]
    fn parse(text: &Bound<'_, PyString>) -> PyResult<Self> {
        identity::PublicKey::parse(&text.to_string_lossy()).map(Self).map_err(raise)
    }

    /// The same bytes as a peer id.
    #[getter]
    fn peer_id(&self) -> PeerId {
        PeerId(self.0.peer_id())
    }

    /// Returns when `signature` is this key's over `message`.
    fn verify(&self, py: Python<'_>, message: Input<'_>, signature: &Signature) -> PyResult<()> {
        let (key, message, signature) = (&self.0, message.as_slice(), &signature.0);
        released(py, message.len(), || key.verify(message, signature)).map_err(raise)
    }

    /// The Montgomery form of the point.
    fn to_x25519<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.to_x25519())
    }

    fn __bytes__<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.0.as_bytes())
    }

    fn __str__(&self) -> String {
        self.0.to_string()
    }

    fn __repr__(&self) -> String {
        format!("{:?}", self.0)
    }

    fn __hash__(&self) -> u64 {
        hash(self.0.as_bytes())
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Reduced<'py>> {
        reduce::<Self>(py, self.0.as_bytes())
    }
}

/// A peer's identity: 32 bytes, ordered big-endian, not checked against the curve.
#[pyclass(module = "mina_webrtc._native", frozen, eq, ord)]
#[derive(PartialEq, PartialOrd)]
pub struct PeerId(identity::PeerId);

impl From<identity::PeerId> for PeerId {
    fn from(id: identity::PeerId) -> Self {
        Self(id)
    }
}

#[pymethods]
impl PeerId {
    /// From 32 bytes.
    #[staticmethod]
    #[allow(clippy::needless_pass_by_value)] // borrowed from what Python hands in
    fn from_bytes(data: Input<'_>) -> PyResult<Self> {
        identity::PeerId::from_bytes(data.as_slice()).map(Self).map_err(raise)
    }

    /// From base58check text.
    #[staticmethod]
    fn parse(text: &Bound<'_, PyString>) -> PyResult<Self> {
        identity::PeerId::parse(&text.to_string_lossy()).map(Self).map_err(raise)
    }

    /// From `12D3KooW…`.
    #[staticmethod]
    fn from_libp2p(text: &Bound<'_, PyString>) -> PyResult<Self> {
        identity::PeerId::from_libp2p(&text.to_string_lossy()).map(Self).map_err(raise)
    }

    /// `12D3KooW…`.
    fn to_libp2p(&self) -> PyResult<String> {
        self.0.to_libp2p().map_err(raise)
    }

    /// The same bytes as a public key.
    #[getter]
    fn public_key(&self) -> PyResult<PublicKey> {
        self.0.public_key().map(PublicKey).map_err(raise)
    }

    fn __bytes__<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.0.as_bytes())
    }

    fn __str__(&self) -> String {
        self.0.to_string()
    }

    fn __repr__(&self) -> String {
        format!("{:?}", self.0)
    }

    fn __hash__(&self) -> u64 {
        hash(self.0.as_bytes())
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Reduced<'py>> {
        reduce::<Self>(py, self.0.as_bytes())
    }
}

/// A 64-byte Ed25519 signature.
#[pyclass(module = "mina_webrtc._native", frozen, eq)]
#[derive(PartialEq)]
pub struct Signature(identity::Signature);

impl From<identity::Signature> for Signature {
    fn from(signature: identity::Signature) -> Self {
        Self(signature)
    }
}

#[pymethods]
impl Signature {
    /// From 64 bytes.
    #[staticmethod]
    #[allow(clippy::needless_pass_by_value)] // borrowed from what Python hands in
    fn from_bytes(data: Input<'_>) -> PyResult<Self> {
        identity::Signature::from_bytes(data.as_slice()).map(Self).map_err(raise)
    }

    /// From 128 hex digits of either case.
    #[staticmethod]
    fn parse(text: &Bound<'_, PyString>) -> PyResult<Self> {
        identity::Signature::parse(&text.to_string_lossy()).map(Self).map_err(raise)
    }

    fn __bytes__<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.0.as_bytes())
    }

    fn __str__(&self) -> String {
        self.0.to_string()
    }

    fn __repr__(&self) -> String {
        format!("{:?}", self.0)
    }

    fn __hash__(&self) -> u64 {
        hash(self.0.as_bytes())
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Reduced<'py>> {
        reduce::<Self>(py, self.0.as_bytes())
    }
}
