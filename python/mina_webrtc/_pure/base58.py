"""base58 and base58check (protocol.md §1)."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final

from mina_webrtc._pure.convert import U8, U64, characters, octets, unsigned
from mina_webrtc.errors import Base58Error

if TYPE_CHECKING:
    from typing_extensions import Buffer

ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
NONE: Final = 0xFF
DIGITS: Final = bytes(ALPHABET.find(chr(byte)) % 256 for byte in range(256))  # NONE outside of the alphabet
CHECKSUM: Final = 4
LEAF: Final = 32  # digits below which the plain loop is quicker than cutting in halves


def base58_encode(data: Buffer) -> str:
    """Bitcoin base58 without checksum."""
    octet = octets(data)
    body = octet.lstrip(b"\0")
    if not body:
        return ALPHABET[0] * len(octet)
    # 58 > 2**5.857, so this many digits are always enough; the surplus are leading ones.
    text = _digits(int.from_bytes(body, "big"), len(body) * 1366 // 1000 + 1)
    return ALPHABET[0] * (len(octet) - len(body)) + text.lstrip(ALPHABET[0])


def base58_decode(text: str, limit: int) -> bytes:
    """Inverse of `base58_encode`; nothing longer than `limit` is decoded. Raises `Base58Error`."""
    characters(text)
    limit = unsigned(limit, U64)
    if len(text) > limit:
        raise Base58Error(f"base58 text is longer than {limit} characters")
    digits = text.encode("ascii", "replace").translate(DIGITS)
    if NONE in digits:
        # Neither the text nor the character is told: it may be a secret key.
        raise Base58Error(f"base58 text has a character outside of the alphabet at position {digits.index(NONE)}")
    body = text.lstrip(ALPHABET[0])
    value = _value(digits, len(text) - len(body), len(text))
    return bytes(len(text) - len(body)) + value.to_bytes((value.bit_length() + 7) // 8, "big")


def base58check_encode(version: int, payload: Buffer) -> str:
    """`base58(version ‖ payload ‖ first 4 bytes of sha256(sha256(version ‖ payload)))`."""
    body = bytes([unsigned(version, U8)]) + octets(payload)
    return base58_encode(body + _checksum(body))


def base58check_decode(text: str, version: int, length: int) -> bytes:
    """The payload of a base58check text of this version and exactly `length` payload bytes. Raises `Base58Error`."""
    characters(text)
    version, length = unsigned(version, U8), unsigned(length, U64)
    # 58 > 2**5.85: so many bytes never take more than 7/5 as many digits, a longer text needs no decoding.
    decoded = base58_decode(text, min(((length + 1 + CHECKSUM) // 5 + 1) * 7, U64))
    body, checksum = decoded[:-CHECKSUM], decoded[-CHECKSUM:]
    if not body:
        raise Base58Error(f"base58check payload is not {length} bytes long")
    if _checksum(body) != checksum:
        raise Base58Error("base58check checksum does not fit")
    if body[0] != version:
        raise Base58Error(f"base58check version byte is {body[0]:#04x}, not {version:#04x}")
    if len(body) != 1 + length:
        raise Base58Error(f"base58check payload is not {length} bytes long")
    return body[1:]


def _checksum(body: bytes) -> bytes:
    return sha256(sha256(body).digest()).digest()[:CHECKSUM]


def _digits(value: int, count: int) -> str:
    if count <= LEAF:
        text = []
        for _ in range(count):
            value, digit = divmod(value, 58)
            text.append(ALPHABET[digit])
        return "".join(reversed(text))
    low = count // 2
    head, tail = divmod(value, 58**low)
    return _digits(head, count - low) + _digits(tail, low)


def _value(digits: bytes, start: int, end: int) -> int:
    if end - start <= LEAF:
        value = 0
        for digit in digits[start:end]:
            value = value * 58 + digit
        return value
    middle = (start + end) // 2
    scale: int = 58 ** (end - middle)
    return _value(digits, start, middle) * scale + _value(digits, middle, end)
