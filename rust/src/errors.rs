//! Errors of the core as the exceptions of `mina_webrtc.errors`.

use mina_webrtc_core::Error;
use pyo3::exceptions::{PyImportError, PyOverflowError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyModule, PyType};

static MODULE: PyOnceLock<Py<PyModule>> = PyOnceLock::new();

/// Imports `mina_webrtc.errors`, once; importing `_native` does it, so that nothing fails later.
///
/// A second interpreter of the process would get the exceptions of the first, which it cannot catch by their names.
pub fn load(py: Python<'_>) -> PyResult<()> {
    if module(py)?.is(py.import("mina_webrtc.errors")?) {
        return Ok(());
    }
    Err(PyImportError::new_err("another interpreter of this process has loaded it already"))
}

/// The exception that belongs to an error of the core.
#[allow(clippy::needless_pass_by_value)] // it stands in `map_err`
pub fn raise(error: Error) -> PyErr {
    let name = match error {
        Error::Base58(_) => "Base58Error",
        Error::KeyFormat(_) => "KeyFormatError",
        Error::BinProt(_) => "BinProtError",
        Error::Frame(_) => "FrameError",
        Error::Decryption => "DecryptionError",
        Error::NonContributory => "NonContributoryKeyError",
        Error::Signature => "SignatureError",
        Error::Encryption | Error::Random => "CryptoError",
        Error::OutOfRange(_) => return PyOverflowError::new_err(error.to_string()),
    };
    named(name, error.to_string())
}

/// An SDP that has no UTF-8 form, and therefore no hash.
pub fn not_utf8() -> PyErr {
    named("SdpError", "the SDP holds a lone surrogate: it has no UTF-8 form".to_owned())
}

/// Constants of a chain that have no UTF-8 form, and therefore no id.
pub fn state_hash_not_utf8() -> PyErr {
    let message = "the genesis state hash holds a lone surrogate: it has no UTF-8 form";
    named("KeyFormatError", message.to_owned())
}

fn named(name: &str, message: String) -> PyErr {
    Python::attach(|py| {
        let class = module(py).and_then(|module| Ok(module.getattr(name)?.cast_into::<PyType>()?));
        class.map_or_else(|failure| failure, |class| PyErr::from_type(class, (message,)))
    })
}

fn module(py: Python<'_>) -> PyResult<Bound<'_, PyModule>> {
    let import = || py.import("mina_webrtc.errors").map(Bound::unbind);
    MODULE.get_or_try_init(py, import).map(|module| module.bind(py).clone())
}
