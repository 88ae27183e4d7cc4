"""PKCS#8 PEM of an Ed25519 seed (RFC 8410 §7, RFC 5958, strict grammar of RFC 7468)."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from binascii import Error as BinasciiError
from textwrap import wrap
from typing import Final

from mina_webrtc.errors import KeyFormatError

HEAD, TAIL = "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----"
EOL: Final = r"(?:\r\n|\n|\r)"
BEFORE: Final = r"(?:(?!-----BEGIN )[^\0\n]*\n)*"  # whatever begins first is what is read: never the second key of two
TEXT: Final = re.compile(
    rf"\A{BEFORE}{HEAD}{EOL}((?:[A-Za-z0-9+/]{{64}}{EOL})*[A-Za-z0-9+/]{{0,64}}={{0,2}}){EOL}{{1,2}}{TAIL}{EOL}?\Z"
)  # an empty line before the end is taken, as by the native backend's library
LIMIT: Final = 64 * 1024  # bytes of UTF-8; a key takes 168, the rest is comment

SEQUENCE, INTEGER, OCTETS, ATTRIBUTES, PUBLIC_KEY = 0x30, 0x02, 0x04, 0xA0, 0x81
ED25519: Final = bytes.fromhex("06032b6570")  # 1.3.101.112, no parameters


def read(text: str) -> tuple[bytes, bytes | None]:
    """The seed and the public key, if it is there. Raises `KeyFormatError`; the message has nothing of the text."""
    match = TEXT.fullmatch(text) if _size(text) <= LIMIT else None
    if match is None:
        raise _fault()
    body = re.sub(r"[\r\n]", "", match[1])
    try:
        der = b64decode(body, validate=True)
    except BinasciiError:
        raise _fault() from None
    if b64encode(der).decode() != body:  # the last character may hold bits that no byte has
        raise _fault()
    return _structure(der)


def write(seed: bytes, public_key: bytes) -> str:
    """Version 2, with the public key, as the reference writes it."""
    inner = (
        _element(INTEGER, b"\1")
        + _element(SEQUENCE, ED25519)
        + _element(OCTETS, _element(OCTETS, seed))
        + _element(PUBLIC_KEY, b"\0" + public_key)
    )
    lines = wrap(b64encode(_element(SEQUENCE, inner)).decode(), 64)
    return "\n".join([HEAD, *lines, TAIL, ""])


def _size(text: str) -> int:
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        raise _fault() from None


def _structure(der: bytes) -> tuple[bytes, bytes | None]:
    inner, rest = _take(der, SEQUENCE)
    version, inner = _take(inner, INTEGER)
    algorithm, inner = _take(inner, SEQUENCE)
    outer, inner = _take(inner, OCTETS)
    seed, after = _take(outer, OCTETS)
    if inner[:1] == bytes([ATTRIBUTES]):
        _, inner = _take(inner, ATTRIBUTES)
    public_key = None
    if version == b"\1":  # RFC 5958 §2: the public key comes with version 2, which is written 1
        bits, inner = _take(inner, PUBLIC_KEY)
        public_key = bits[1:] if bits[:1] == b"\0" else b""
    sizes = len(seed) == 32 and (public_key is None or len(public_key) == 32)
    if rest or after or inner or version not in {b"\0", b"\1"} or algorithm != ED25519 or not sizes:
        raise _fault()
    return seed, public_key


def _element(tag: int, content: bytes) -> bytes:
    return bytes([tag, len(content)]) + content


def _take(data: bytes, tag: int) -> tuple[bytes, bytes]:
    """Content of the element at the start of `data`, and what follows it. Every length here fits one byte."""
    if len(data) < 2 or data[0] != tag or data[1] >= 0x80 or len(data) < 2 + data[1]:
        raise _fault()
    end = 2 + data[1]
    return data[2:end], data[end:]


def _fault() -> KeyFormatError:
    return KeyFormatError("not a PKCS#8 PEM of an Ed25519 secret key")
