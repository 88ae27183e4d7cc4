//! The secret key.

use mina_webrtc_core::error::KeyFault;
use mina_webrtc_core::identity;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use crate::buf::{Input, released, secret};
use crate::errors::raise;
use crate::identity::{PeerId, PublicKey, Signature};

/// An Ed25519 secret key: never printed, pickled or copied, compared in constant time, wiped when it is dropped.
#[pyclass(module = "mina_webrtc._native", frozen, eq)]
#[derive(PartialEq)]
pub struct SecretKey(identity::SecretKey);

impl SecretKey {
    pub const fn inner(&self) -> &identity::SecretKey {
        &self.0
    }
}

#[pymethods]
impl SecretKey {
    /// A new key from the operating system's generator.
    #[staticmethod]
    fn random() -> PyResult<Self> {
        identity::SecretKey::random().map(Self).map_err(raise)
    }

    /// From a 32-byte seed.
    #[staticmethod]
    fn from_seed(seed: &Bound<'_, PyAny>) -> PyResult<Self> {
        secret(seed, identity::SecretKey::from_seed)?.map(Self).map_err(raise)
    }

    /// Seed = `index + 1` as a 32-byte big-endian number; for tests only.
    #[staticmethod]
    fn deterministic(index: u64) -> PyResult<Self> {
        identity::SecretKey::deterministic(index).map(Self).map_err(raise)
    }

    /// From base58check text, version 0x80.
    #[staticmethod]
    fn parse(text: &Bound<'_, PyString>) -> PyResult<Self> {
        identity::SecretKey::parse(&text.to_string_lossy()).map(Self).map_err(raise)
    }

    /// From PKCS#8 PEM.
    #[staticmethod]
    fn from_pem(text: &Bound<'_, PyString>) -> PyResult<Self> {
        let text = text.to_str().map_err(|_| raise(KeyFault::Pem.into()))?;
        identity::SecretKey::from_pem(text).map(Self).map_err(raise)
    }

    /// The secret in base58check text.
    fn expose_base58check<'py>(&self, py: Python<'py>) -> Bound<'py, PyString> {
        PyString::new(py, &self.0.expose_base58check())
    }

    /// The 32-byte seed itself.
    fn expose_seed<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.0.expose_seed())
    }

    /// PKCS#8 PEM as the reference writes it.
    fn expose_pem<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        Ok(PyString::new(py, &self.0.expose_pem().map_err(raise)?))
    }

    /// The public key that belongs to it.
    #[getter]
    fn public_key(&self) -> PublicKey {
        (*self.0.public_key()).into()
    }

    /// The same 32 bytes as a peer id.
    #[getter]
    fn peer_id(&self) -> PeerId {
        self.0.public_key().peer_id().into()
    }

    /// Ed25519 signature over `message`.
    #[allow(clippy::needless_pass_by_value)] // borrowed from what Python hands in
    fn sign(&self, py: Python<'_>, message: Input<'_>) -> Signature {
        let (key, message) = (&self.0, message.as_slice());
        released(py, message.len(), || key.sign(message)).into()
    }

    fn __repr__(&self) -> String {
        format!("{:?}", self.0)
    }

    #[allow(clippy::unused_self)] // the data model's signature
    fn __reduce__(&self) -> PyResult<()> {
        Err(PyTypeError::new_err("a SecretKey cannot be pickled"))
    }

    #[allow(clippy::unused_self)] // the data model's signature
    fn __copy__(&self) -> PyResult<()> {
        Err(PyTypeError::new_err("a SecretKey cannot be copied"))
    }

    #[allow(clippy::unused_self)] // the data model's signature
    fn __deepcopy__(&self, memo: &Bound<'_, PyAny>) -> PyResult<()> {
        let _ = memo;
        Err(PyTypeError::new_err("a SecretKey cannot be copied"))
    }
}
