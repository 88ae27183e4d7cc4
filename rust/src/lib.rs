//! `mina_webrtc._native`: the core crate as a Python module. The wrappers convert and decide nothing; the contract is
//! `python/mina_webrtc/_native.pyi`.

#![deny(unsafe_code)]

mod base58;
mod bin_prot;
mod buf;
mod chain_id;
mod crypto;
mod errors;
mod frames;
mod identity;
mod secret_key;

use pyo3::prelude::*;

/// Rust backend of `mina_webrtc`.
#[pymodule(gil_used = false)]
mod _native {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::base58::{base58_decode, base58_encode, base58check_decode, base58check_encode};
    #[pymodule_export]
    use crate::bin_prot::{BinProtReader, BinProtWriter};
    #[pymodule_export]
    use crate::chain_id::ChainId;
    #[pymodule_export]
    use crate::crypto::{Cipher, sdp_hash};
    #[pymodule_export]
    use crate::frames::{FrameDecoder, frame_batch, frame_chunks};
    #[pymodule_export]
    use crate::identity::{PeerId, PublicKey, Signature};
    #[pymodule_export]
    use crate::secret_key::SecretKey;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        crate::errors::load(module.py())?;
        module.setattr("__version__", env!("CARGO_PKG_VERSION"))?;
        // PyO3 makes one from what is exported above; the contract has none.
        module.delattr("__all__")
    }
}
