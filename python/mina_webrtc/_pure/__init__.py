"""The backend in plain Python: the names, results and errors of `_native.pyi`, where there is no Rust extension.

It promises less in two ways. Python copies bytes at will and never wipes them, so secrets stay in memory until they
happen to be overwritten, and may reach swap and core dumps. And big-integer arithmetic (base58 of a secret key) does
not take constant time; signing, key agreement, encryption and comparisons do, as far as `cryptography` and
`hmac.compare_digest` promise it.
"""

from __future__ import annotations

from mina_webrtc._pure.base58 import base58_decode, base58_encode, base58check_decode, base58check_encode
from mina_webrtc._pure.binprot import BinProtReader, BinProtWriter
from mina_webrtc._pure.chain import ChainId
from mina_webrtc._pure.crypto import Cipher, sdp_hash
from mina_webrtc._pure.frames import FrameDecoder, frame_batch, frame_chunks
from mina_webrtc._pure.identity import PeerId, PublicKey, SecretKey, Signature
from mina_webrtc._version import __version__

__all__ = [
    "BinProtReader",
    "BinProtWriter",
    "ChainId",
    "Cipher",
    "FrameDecoder",
    "PeerId",
    "PublicKey",
    "SecretKey",
    "Signature",
    "__version__",
    "base58_decode",
    "base58_encode",
    "base58check_decode",
    "base58check_encode",
    "frame_batch",
    "frame_chunks",
    "sdp_hash",
]
