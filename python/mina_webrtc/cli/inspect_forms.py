"""Bytes in text: lists of numbers, hex, base58 and base64, as tools write them."""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error as BinasciiError

from msgspec import json as msgspec_json

from mina_webrtc._backend import base58_decode
from mina_webrtc.wire.sealed import MAX_GET

BASE58 = re.compile(r"[1-9A-HJ-NP-Za-km-z]+")
_NUMBERS = re.compile(r"\[\s*[0-9]{1,3}(?:\s*,\s*[0-9]{1,3})*\s*\]")
_0X = r"0[xX][0-9A-Fa-f]{1,2}"
_0X_LIST = re.compile(rf"[\[({{]?\s*{_0X}(?:[\s,]+{_0X})*[\s,]*[\])}}]?;?")
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2})+")
_BETWEEN_HEX = re.compile(r"\A0[xX]|[\s:]")
_BASE64 = re.compile(r"[A-Za-z0-9+/]{8,}={0,2}")
"""Eight characters or more: below, most are words."""
_URL_SAFE = str.maketrans("-_", "+/", "\r\n")


def decoded(text: str) -> tuple[bytes, str] | None:
    """The bytes that the text stands for, and the name of the form; None for other texts. Hex digits are hex, though
    without a zero among them they could be base58."""
    if (listed := byte_list(text)) is not None:
        return listed
    if (data := unhex(text)) is not None:
        return data, "hex"
    if BASE58.fullmatch(text):
        return (base58_decode(text, MAX_GET), "base58") if len(text) <= MAX_GET else None
    return (data, "base64") if (data := _base64(text)) is not None else None


def byte_list(text: str) -> tuple[bytes, str] | None:
    """The bytes of `[0,1,255]`, and of `0x00, 0x01` as in the sources of programs."""
    try:
        if _NUMBERS.fullmatch(text):
            return bytes(map(int, re.findall("[0-9]+", text))), "JSON"
    except ValueError:  # above 255
        return None
    if _0X_LIST.fullmatch(text):
        return bytes(int(digits, 16) for digits in re.findall(_0X, text)), "hex"
    return None


def unhex(text: str) -> bytes | None:
    """The bytes of hex digits; white space, colons and a leading 0x are left out."""
    digits = _BETWEEN_HEX.sub("", text)
    return bytes.fromhex(digits) if _HEX.fullmatch(digits) else None


def json_string(text: str) -> str | None:
    """The text in a JSON string; None for anything else."""
    value = _json(text)
    return value if isinstance(value, str) else None


def json_texts(text: str) -> list[str]:
    """The strings in a JSON array of nothing but strings; none for anything else."""
    value = _json(text)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return value
    return []


def _json(text: str) -> object:
    try:
        return msgspec_json.decode(text)
    except (ValueError, RecursionError):
        return None


def _base64(text: str) -> bytes | None:
    digits = text.translate(_URL_SAFE)
    if not _BASE64.fullmatch(digits):
        return None
    try:
        return b64decode(digits.rstrip("=") + "=" * (-len(digits.rstrip("=")) % 4), validate=True)
    except BinasciiError:
        return None
