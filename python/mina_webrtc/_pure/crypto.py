"""Encryption between two identities (protocol.md §2) and the hash of an SDP (§3)."""

from __future__ import annotations

import os
from hashlib import sha256, sha512
from typing import TYPE_CHECKING, Any, NoReturn, final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mina_webrtc._pure.convert import characters, instance_of, octets
from mina_webrtc._pure.identity import PublicKey, SecretKey
from mina_webrtc._pure.values import Sealed
from mina_webrtc.errors import DecryptionError, NonContributoryKeyError, SdpError

if TYPE_CHECKING:
    from typing_extensions import Buffer

NONCE, TAG = 12, 16


def sdp_hash(sdp: str) -> bytes:
    """SHA-256 of the UTF-8 bytes of `sdp`, exactly as it stands. Raises `SdpError` when it has none."""
    try:
        return sha256(characters(sdp).encode()).digest()
    except UnicodeEncodeError:
        raise SdpError("the SDP holds a lone surrogate: it has no UTF-8 form") from None


@final
class Cipher(Sealed):
    """Encryption between one own secret key and one peer; derives the shared key once. Never printed or copied."""

    __slots__ = ("_aead",)
    _aead: AESGCM

    def __new__(cls, secret_key: SecretKey, peer: PublicKey) -> Cipher:
        """Raises `NonContributoryKeyError` when the peer's key is a small-order point."""
        instance_of(SecretKey, secret_key)
        instance_of(PublicKey, peer)
        cipher = object.__new__(cls)
        object.__setattr__(cipher, "_aead", AESGCM(_shared_key(secret_key, peer)))
        return cipher

    def seal(self, message: Buffer) -> bytes:
        """`nonce(12) ‖ ciphertext ‖ tag(16)`; the nonce is fresh from the operating system every time."""
        nonce = os.urandom(NONCE)
        return nonce + self._aead.encrypt(nonce, octets(message), None)

    def open(self, sealed: Buffer) -> bytes:
        """The message. Raises `DecryptionError` when it is shorter than 28 bytes or does not authenticate."""
        data = octets(sealed)
        try:
            if len(data) >= NONCE + TAG:
                return self._aead.decrypt(data[:NONCE], data[NONCE:], None)
        except InvalidTag:
            pass
        raise DecryptionError("the ciphertext is too short or does not authenticate")

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Cipher cannot be pickled or copied")

    def __getstate__(self) -> NoReturn:
        raise TypeError("a Cipher cannot be pickled or copied")

    def __copy__(self) -> NoReturn:
        raise TypeError("a Cipher cannot be pickled or copied")

    def __deepcopy__(self, memo: Any) -> NoReturn:
        raise TypeError("a Cipher cannot be pickled or copied")


def _shared_key(secret_key: SecretKey, peer: PublicKey) -> bytes:
    # §2: the Ed25519 scalar before clamping, which X25519 does itself (RFC 7748 §5).
    scalar = X25519PrivateKey.from_private_bytes(sha512(secret_key.expose_seed()).digest()[:32])
    try:
        return scalar.exchange(X25519PublicKey.from_public_bytes(peer.to_x25519()))
    except ValueError:  # the library refuses an all-zero result
        raise NonContributoryKeyError(
            "the peer's key is a small-order point: the shared key would be all zero"
        ) from None
