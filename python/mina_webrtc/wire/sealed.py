"""Offers and responses in disguise: sealed for a relay (protocol.md §2, §4), or base58 in a GET (§5)."""

from __future__ import annotations

from msgspec import Struct

from mina_webrtc._backend import base58_decode, base58_encode
from mina_webrtc.errors import SignalError
from mina_webrtc.identity import Cipher
from mina_webrtc.wire.json import Bytes, parse_bytes
from mina_webrtc.wire.offer import Offer
from mina_webrtc.wire.response import P2pConnectionResponse

MAX_GET = 16 * 1024
"""Characters of an offer in the GET form; base58 takes quadratic time, so the length is checked first (§5)."""
MAX_SEALED = 16 * 1024
"""Bytes of an encrypted offer or answer: channels 1 and 2 carry no more (§7)."""
_MAX_NUMBERS = 4 * MAX_SEALED + 1
"""Their JSON: three digits and a comma or bracket each."""


class EncryptedOffer(Struct, frozen=True):
    """An offer sealed for its target (§2): `nonce ‖ ciphertext ‖ tag`."""

    data: bytes

    @staticmethod
    def seal(cipher: Cipher, offer: Offer) -> EncryptedOffer:
        """`cipher` is between the offerer and the target."""
        return EncryptedOffer(cipher.seal(offer.to_json()))

    def open(self, cipher: Cipher) -> Offer:
        """Raises `DecryptionError`, or `SignalError` when an offer is not what was sealed."""
        return Offer.from_json(cipher.open(self.data))

    def to_json(self) -> bytes:
        """An array of numbers."""
        return _numbers(self.data)

    @staticmethod
    def from_json(data: Bytes) -> EncryptedOffer:
        """Raises `SignalError`, also for more than 16 KiB."""
        return EncryptedOffer(parse_bytes(data, "encrypted offer", MAX_SEALED, _MAX_NUMBERS))

    def __repr__(self) -> str:
        return f"EncryptedOffer(<{len(self.data)} bytes>)"


class EncryptedAnswer(Struct, frozen=True):
    """A whole `P2pConnectionResponse` sealed for the offerer (§2)."""

    data: bytes

    @staticmethod
    def seal(cipher: Cipher, response: P2pConnectionResponse) -> EncryptedAnswer:
        """`cipher` is between the answerer and the offerer."""
        return EncryptedAnswer(cipher.seal(response.to_json()))

    def open(self, cipher: Cipher) -> P2pConnectionResponse:
        """Raises `DecryptionError`, or `SignalError` when a response is not what was sealed."""
        return P2pConnectionResponse.from_json(cipher.open(self.data))

    def to_json(self) -> bytes:
        """An array of numbers."""
        return _numbers(self.data)

    @staticmethod
    def from_json(data: Bytes) -> EncryptedAnswer:
        """Raises `SignalError`, also for more than 16 KiB."""
        return EncryptedAnswer(parse_bytes(data, "encrypted answer", MAX_SEALED, _MAX_NUMBERS))

    def __repr__(self) -> str:
        return f"EncryptedAnswer(<{len(self.data)} bytes>)"


def offer_to_get(offer: Offer) -> str:
    """Base58 of the JSON, for the path of a GET. Raises `SignalError` when no server would read that much (§5)."""
    data = offer.to_json()
    # 58 characters carry fewer than 43 bytes: beyond this the text is too long in any case, and encoding is quadratic.
    text = base58_encode(data) if len(data) <= MAX_GET * 43 // 58 else None
    if text is None or len(text) > MAX_GET:
        raise SignalError(f"an offer of {len(data)} bytes is too long for the GET form")
    return text


def offer_from_get(text: str) -> Offer:
    """Inverse of `offer_to_get`. Raises `Base58Error` or `SignalError`; the length is checked before anything else."""
    return Offer.from_json(base58_decode(text, MAX_GET))


def _numbers(data: bytes) -> bytes:
    return f"[{','.join(map(str, data))}]".encode()
