//! The primitives of the Mina WebRTC protocol: data in, data out, no I/O and no clock.
//!
//! The sections that comments cite are those of `docs/protocol.md`. Nothing here panics on any input: whatever a
//! peer sends becomes a value or an [`Error`].

#![forbid(unsafe_code)]

pub mod base58;
pub mod bin_prot;
pub mod chain_id;
pub mod crypto;
pub mod error;
pub mod frames;
pub mod identity;
mod libp2p;

pub use error::{Error, Result};
