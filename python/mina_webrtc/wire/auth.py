"""Connection authentication: both identities vouch for the two SDPs of a connection (protocol.md §3)."""

from __future__ import annotations

from hmac import compare_digest

from mina_webrtc.errors import InvalidInput
from mina_webrtc.identity import Cipher, PublicKey, SecretKey, sdp_hash
from mina_webrtc.wire.json import Bytes, parse_bytes

HASHES = 64
"""Bytes of a `ConnectionAuth`: two SHA-256 hashes."""
NONCE = 12
OVERHEAD = NONCE + 16
"""Bytes that sealing adds: nonce and tag (§2)."""
SEALED = HASHES + OVERHEAD
"""Bytes of a `ConnectionAuthEncrypted`, always."""
_JSON_LIMIT = 4 * SEALED + 1024
"""Every number with its comma, and some white space."""


class ConnectionAuth:
    """`sdp_hash(offer) ‖ sdp_hash(answer)`, 64 bytes; compared in constant time, its content is not printed."""

    __slots__ = ("_data",)

    def __init__(self, data: Bytes) -> None:
        """From the 64 bytes. Raises `InvalidInput` for another length."""
        self._data = _exactly(HASHES, "a connection auth", data)

    @classmethod
    def new(cls, offer_sdp: str, answer_sdp: str) -> ConnectionAuth:
        """Of the two SDPs exactly as they stand in the offer and the answer."""
        return cls(sdp_hash(offer_sdp) + sdp_hash(answer_sdp))

    @classmethod
    def from_bytes(cls, data: Bytes) -> ConnectionAuth:
        """From the 64 bytes. Raises `InvalidInput` for another length."""
        return cls(data)

    def encrypt(self, secret_key: SecretKey, peer: PublicKey) -> ConnectionAuthEncrypted:
        """What goes to `peer` on channel 0. Raises `NonContributoryKeyError` for a small-order key."""
        return self.seal(Cipher(secret_key, peer))

    def seal(self, cipher: Cipher) -> ConnectionAuthEncrypted:
        """What goes to the cipher's peer on channel 0, under a fresh nonce."""
        return ConnectionAuthEncrypted(cipher.seal(self._data))

    def __bytes__(self) -> bytes:
        return self._data

    def __repr__(self) -> str:
        return "ConnectionAuth(***)"

    def __eq__(self, other: object) -> bool:
        return compare_digest(self._data, other._data) if isinstance(other, ConnectionAuth) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._data)


class ConnectionAuthEncrypted:
    """The first message on channel 0: `nonce(12) ‖ ciphertext(64) ‖ tag(16)`, 92 bytes."""

    __slots__ = ("data",)

    def __init__(self, data: Bytes) -> None:
        """From the 92 bytes. Raises `InvalidInput` for another length."""
        self.data: bytes = _exactly(SEALED, "an encrypted connection auth", data)

    @classmethod
    def from_json(cls, data: Bytes) -> ConnectionAuthEncrypted:
        """From an array of 92 numbers. Raises `SignalError` for another form, `InvalidInput` for another length."""
        return cls(parse_bytes(data, "an encrypted connection auth", SEALED, _JSON_LIMIT))

    @property
    def nonce(self) -> bytes:
        """The 12 bytes that no honest process uses twice: by them a reflected auth is known (§3)."""
        return self.data[:NONCE]

    def decrypt(self, secret_key: SecretKey, peer: PublicKey) -> ConnectionAuth:
        """What `peer` sealed for us. Raises `DecryptionError`, `NonContributoryKeyError` for a small-order key."""
        return self.open(Cipher(secret_key, peer))

    def open(self, cipher: Cipher) -> ConnectionAuth:
        """What the cipher's peer sealed, or we ourselves did: see `nonce`. Raises `DecryptionError`."""
        return ConnectionAuth(cipher.open(self.data))

    def to_json(self) -> bytes:
        """An array of numbers, as serde prints bytes."""
        return f"[{','.join(map(str, self.data))}]".encode()

    def __bytes__(self) -> bytes:
        return self.data

    def __repr__(self) -> str:
        return f"ConnectionAuthEncrypted({SEALED} bytes)"

    def __eq__(self, other: object) -> bool:
        return self.data == other.data if isinstance(other, ConnectionAuthEncrypted) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.data)


def _exactly(length: int, what: str, data: Bytes) -> bytes:
    if len(data) != length:
        raise InvalidInput(f"{what} must be {length} bytes, not {len(data)}")
    return bytes(data)
