//! Chain ids.

use mina_webrtc_core::chain_id::{self, ChainConstants};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use crate::buf::Input;
use crate::errors::{raise, state_hash_not_utf8};
use crate::identity::{Reduced, hash, reduce};

/// Which chain a node is on: 32 bytes, in text lower-case hex.
#[pyclass(module = "mina_webrtc._native", frozen, eq)]
#[derive(PartialEq)]
pub struct ChainId(chain_id::ChainId);

#[pymethods]
impl ChainId {
    #[classattr]
    const DEVNET: Self = Self(chain_id::ChainId::DEVNET);
    #[classattr]
    const MAINNET: Self = Self(chain_id::ChainId::MAINNET);

    /// From 32 bytes.
    #[staticmethod]
    #[allow(clippy::needless_pass_by_value)] // borrowed from what Python hands in
    fn from_bytes(data: Input<'_>) -> PyResult<Self> {
        chain_id::ChainId::from_bytes(data.as_slice()).map(Self).map_err(raise)
    }

    /// From exactly 64 hex digits of either case.
    #[staticmethod]
    fn parse(text: &Bound<'_, PyString>) -> PyResult<Self> {
        chain_id::ChainId::parse(&text.to_string_lossy()).map(Self).map_err(raise)
    }

    /// The chain id of a Mina network from its constants.
    #[staticmethod]
    #[allow(clippy::too_many_arguments, clippy::needless_pass_by_value)] // the contract's signature
    fn compute(
        constraint_system_digests: Vec<Input<'_>>,
        genesis_state_hash: &Bound<'_, PyString>,
        genesis_timestamp_ms: u64,
        k: u32,
        slots_per_epoch: u32,
        slots_per_sub_window: u32,
        delta: u32,
        protocol_transaction_version: u8,
        protocol_network_version: u8,
        tx_pool_max_size: u32,
    ) -> PyResult<Self> {
        let digests: Vec<_> =
            constraint_system_digests.iter().map(|digest| digest.as_slice().to_vec()).collect();
        let constants = ChainConstants {
            constraint_system_digests: &digests,
            genesis_state_hash: genesis_state_hash.to_str().map_err(|_| state_hash_not_utf8())?,
            genesis_timestamp_ms,
            k,
            slots_per_epoch,
            slots_per_sub_window,
            delta,
            protocol_transaction_version,
            protocol_network_version,
            tx_pool_max_size,
        };
        chain_id::ChainId::compute(&constants).map(Self).map_err(raise)
    }

    /// Key of the libp2p private network of this chain.
    fn preshared_key<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.preshared_key())
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
