//! base58 and base58check.

use mina_webrtc_core::base58;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use crate::buf::{Input, released};
use crate::errors::raise;

/// The work is quadratic: this many times the size counts when it is asked whether it takes long.
const WEIGHT: usize = 8;

/// Bitcoin base58 without checksum.
#[pyfunction]
#[allow(clippy::needless_pass_by_value)] // the bytes live as long as this
pub fn base58_encode(py: Python<'_>, data: Input<'_>) -> String {
    let data = data.as_slice();
    released(py, data.len().saturating_mul(WEIGHT), || base58::encode(data))
}

/// Inverse of `base58_encode`; a text of more than `limit` characters is refused first.
#[pyfunction]
pub fn base58_decode<'py>(text: &Bound<'py, PyString>, limit: usize) -> PyResult<Bound<'py, PyBytes>> {
    let (py, text) = (text.py(), text.to_string_lossy());
    let data = released(py, text.len().min(limit).saturating_mul(WEIGHT), || base58::decode(&text, limit));
    Ok(PyBytes::new(py, &data.map_err(raise)?))
}

/// Base58 of the version byte, the payload and a checksum.
#[pyfunction]
#[allow(clippy::needless_pass_by_value)] // the bytes live as long as this
pub fn base58check_encode(py: Python<'_>, version: u8, payload: Input<'_>) -> String {
    let payload = payload.as_slice();
    released(py, payload.len().saturating_mul(WEIGHT), || base58::check_encode(version, payload))
}

/// The payload of a base58check text of this version and payload length.
#[pyfunction]
pub fn base58check_decode<'py>(
    text: &Bound<'py, PyString>,
    version: u8,
    length: usize,
) -> PyResult<Bound<'py, PyBytes>> {
    let (py, text) = (text.py(), text.to_string_lossy());
    let size = text.len().min(length).saturating_mul(WEIGHT);
    let payload = released(py, size, || base58::check_decode(&text, version, length));
    Ok(PyBytes::new(py, &payload.map_err(raise)?))
}
