//! Encryption between two identities, and the hash of an SDP.

use mina_webrtc_core::crypto::{self, OVERHEAD};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use crate::buf::{Input, released};
use crate::errors::{not_utf8, raise};
use crate::identity::PublicKey;
use crate::secret_key::SecretKey;

/// SHA-256 of the UTF-8 bytes of `sdp`, exactly as it stands.
#[pyfunction]
pub fn sdp_hash<'py>(sdp: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyBytes>> {
    let (py, sdp) = (sdp.py(), sdp.to_str().map_err(|_| not_utf8())?);
    Ok(PyBytes::new(py, &released(py, sdp.len(), || crypto::sdp_hash(sdp))))
}

/// Encryption between one own secret key and one peer.
#[pyclass(module = "mina_webrtc._native", frozen)]
pub struct Cipher(crypto::Cipher);

#[pymethods]
#[allow(clippy::needless_pass_by_value)] // inputs are borrowed from what Python hands in
impl Cipher {
    #[new]
    fn new(secret_key: &SecretKey, peer: &PublicKey) -> PyResult<Self> {
        crypto::Cipher::new(secret_key.inner(), peer.inner()).map(Self).map_err(raise)
    }

    /// `nonce(12) ‖ ciphertext ‖ tag(16)` under a fresh nonce.
    fn seal<'py>(&self, py: Python<'py>, message: Input<'_>) -> PyResult<Bound<'py, PyBytes>> {
        let (cipher, message) = (&self.0, message.as_slice());
        PyBytes::new_with(py, message.len() + OVERHEAD, |target| {
            released(py, message.len(), || cipher.seal_into(message, target)).map_err(raise)
        })
    }

    /// The message.
    fn open<'py>(&self, py: Python<'py>, sealed: Input<'_>) -> PyResult<Bound<'py, PyBytes>> {
        let (cipher, sealed) = (&self.0, sealed.as_slice());
        PyBytes::new_with(py, sealed.len().saturating_sub(OVERHEAD), |target| {
            released(py, sealed.len(), || cipher.open_into(sealed, target)).map_err(raise)
        })
    }
}
