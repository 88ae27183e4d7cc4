"""Keys, ids and the encryption between two identities (protocol.md §1, §2), from the backend in use."""

from __future__ import annotations

from mina_webrtc._backend import ChainId, Cipher, PeerId, PublicKey, SecretKey, Signature, sdp_hash

__all__ = ["ChainId", "Cipher", "PeerId", "PublicKey", "SecretKey", "Signature", "sdp_hash"]
