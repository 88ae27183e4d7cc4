"""What a text or bytes can be, in this order; the first that fits is the explanation, the others are named beside it.

1. JSON: `{`, `[` or `"` first. A JSON string of no message is explained by its content.
2. PEM: `-----BEGIN`.  3. SDP: `v=0`.  4. The path of a GET: `/mina/webrtc/signal/` and base58.
5. Addresses and signaling methods: `/` first.
6. base58check, whose checksum fits; libp2p peer ids.
7. Hex: JSON or SDP in it, frames, 32, 64 or 92 bytes, messages by channel, the beginning of a frame.
8. base58 without checksum: the same.
Bytes that are no text are taken as in 7. What stands in 1–6 rules out everything else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress

from mina_webrtc._backend import base58_decode, base58check_decode
from mina_webrtc.cli.inspect_found import Asked, Found
from mina_webrtc.cli.inspect_json import explain_json, json_string
from mina_webrtc.cli.inspect_messages import explain_bytes
from mina_webrtc.cli.inspect_values import of_address, of_method, of_peer, of_sdp
from mina_webrtc.errors import AddressError, Base58Error, InvalidInput, KeyFormatError
from mina_webrtc.identity import PeerId, SecretKey
from mina_webrtc.wire.address import Libp2pAddress, SignalingMethod, parse_address
from mina_webrtc.wire.sealed import MAX_GET

_HEX = re.compile(r"(?:[0-9A-Fa-f]{2})+")
_BETWEEN_HEX = re.compile(r"\A0[xX]|[\s:]")
_BASE58 = re.compile(r"[1-9A-HJ-NP-Za-km-z]+")
_GET_PATH = "/mina/webrtc/signal/"
_CHECKED = 4096
"""Characters of base58check that are looked at: keys have some 55."""
_SHORTEST = 5
"""Bytes: version and checksum."""

SECRET_KEY, PUBLIC_KEY, PEER_ID = 0x80, 0x16, 0x2F
_OTHERS = {
    0x02: "field of an encrypted key file",
    0x05: "ledger hash of Mina",
    0x0D: "epoch seed of Mina",
    0x10: "state hash of a Mina block",
    0x5A: "secret key of a Mina account",
    0xCB: "public key of a Mina account",
}
_ACCOUNT_SECRET = 0x5A
_METHODS = ("http", "https", "https_proxy", "proxied", "p2p")
_LEGACY = re.compile(r"/2[1-9A-HJ-NP-Za-km-z]+/")
_ADDRESS_FAULTS = {
    "NotEnoughArgs": "has too few parts",
    "UnknownSignalingMethod": "names no known signaling method",
    "InvalidClusterId": "has a cluster id that is not within 0…65535",
    "HostParseError": "has a host that is none",
    "PortParseError": "has a port that is not within 0…65535",
    "PeerIdParseError": "has a peer id that is none",
    "SignalingMethodParseError": "has a signaling method that does not parse",
}


def explain(content: str | bytes, asked: Asked) -> list[Found]:
    """The explanations, likeliest first, at least one. Raises `InvalidInput`; its message never quotes the content,
    which may be a secret with a typing error in it."""
    if isinstance(content, bytes):
        found = list(_of_bytes(content, "binary", asked))
    elif content.lstrip().startswith("v=0"):
        found = [Found("SDP", "text", of_sdp(content.lstrip()))]  # its hash counts the last line end, too
    else:
        found = list(_of_text(content.strip(), asked, nested=False))
    if not found:
        raise InvalidInput(_complaint(content))
    return found[:1] if found[0].certain else found


def _of_text(text: str, asked: Asked, nested: bool) -> Iterator[Found]:
    """Raises `InvalidInput` where the shape is clear, but the content is wrong."""
    if text.startswith(("{", "[", '"')) and not nested:
        yield from _of_json(text, asked)
        return
    if text.startswith("-----BEGIN "):
        yield _secret(SecretKey.from_pem(text), "PKCS#8 PEM")
        return
    if text.startswith("v=0"):
        yield Found("SDP", "text", of_sdp(text))
        return
    path, mark, rest = text.partition(_GET_PATH)
    if mark and not _BASE58.fullmatch(path):
        offer = _BASE58.match(rest)
        yield from _of_base58(offer[0] if offer else "", "the path of a GET", asked)
        return
    if text.startswith("/"):
        yield _address(text)
        return
    yield from _of_checked(text)
    if (data := _unhex(text)) is not None:
        yield from _of_bytes(data, "hex", asked)
    yield from _of_base58(text, "base58", asked)


def _unhex(text: str) -> bytes | None:
    digits = _BETWEEN_HEX.sub("", text)
    return bytes.fromhex(digits) if _HEX.fullmatch(digits) else None


def _of_json(text: str, asked: Asked) -> Iterator[Found]:
    inner = json_string(text)
    try:
        yield explain_json(text, "JSON", asked)
    except InvalidInput:
        if inner is None:
            raise
        yield from _of_text(inner.strip(), asked, nested=True)


def _of_base58(text: str, form: str, asked: Asked) -> Iterator[Found]:
    if len(text) <= MAX_GET and _BASE58.fullmatch(text):
        yield from _of_bytes(base58_decode(text, MAX_GET), form, asked)


def _of_bytes(data: bytes, form: str, asked: Asked) -> Iterator[Found]:
    if data.startswith((b"{", b"[", b"v=0")):
        try:
            text = data.decode()
            if data.startswith(b"v=0"):
                yield Found("SDP", form, of_sdp(text))
            else:
                yield explain_json(text, f"JSON in {form}", asked)
        except (InvalidInput, UnicodeDecodeError):
            pass
        else:
            return
    yield from explain_bytes(data, form, asked)


def _of_checked(text: str) -> Iterator[Found]:
    """By a checksum or a prefix that nothing else has."""
    if len(text) > _CHECKED or not _BASE58.fullmatch(text):
        return
    raw = base58_decode(text, _CHECKED)
    if raw.startswith(b"\x12\x20") and len(raw) == 34:
        yield Found("libp2p peer id", "base58", {"note": "a hash of a key (Qm…): it cannot be converted to a peer id"})
    with suppress(Base58Error, KeyFormatError):
        yield Found("libp2p peer id", "base58", of_peer(PeerId.from_libp2p(text)))
    try:
        payload = base58check_decode(text, raw[0], len(raw) - _SHORTEST) if len(raw) >= _SHORTEST else None
    except Base58Error:
        return
    if payload is not None:
        yield _checked(raw[0], payload)


def _checked(version: int, payload: bytes) -> Found:
    form = f"base58check, version {version:#04x}"
    if len(payload) == 32 and version == SECRET_KEY:
        return _secret(SecretKey.from_seed(payload), form)
    if len(payload) == 32 and version in (PUBLIC_KEY, PEER_ID):
        kind = "public key" if version == PUBLIC_KEY else "peer id"
        return Found(kind, form, of_peer(PeerId.from_bytes(payload)))
    kind = _OTHERS.get(version, "base58check of a kind that is not known here")
    return Found(kind, form, {"payload_bytes": len(payload)}, secret=version == _ACCOUNT_SECRET)


def _secret(key: SecretKey, form: str) -> Found:
    return Found("secret key", form, {"secret": "not shown", **of_peer(key.peer_id)}, secret=True)


def _address(text: str) -> Found:
    try:
        if text.split("/")[1] in _METHODS and "/webrtc/" not in text:
            return Found("signaling method", "text", of_method(SignalingMethod.parse(text)))
    except AddressError as error:
        if not text.startswith("/p2p/"):
            raise _fault("signaling method", error) from None
    try:
        address = parse_address(text)
    except AddressError as error:
        raise _fault("dial address", error) from None
    kind = "libp2p address" if isinstance(address, Libp2pAddress) else "dial address"
    legacy = not isinstance(address, Libp2pAddress) and _LEGACY.match(text) is not None
    return Found(kind, "legacy" if legacy else "multiaddr", of_address(address))


def _fault(kind: str, error: AddressError) -> InvalidInput:
    return InvalidInput(f"looks like a {kind}, but {_ADDRESS_FAULTS.get(error.kind, 'does not parse as one')}")


def _complaint(content: str | bytes) -> str:
    if isinstance(content, bytes):
        return f"{len(content)} bytes that are no frame, message or value of the protocol"
    text = content.strip()
    if not text:
        return "there is nothing to explain"
    if (data := _unhex(text)) is not None:
        return f"{len(data)} bytes in hex that are no frame, message or value of the protocol"
    if _BASE58.fullmatch(text) and len(text) in range(45, 60):
        return "looks like a key or an id, but its checksum does not fit: a character is wrong or missing"
    return f"{len(text)} characters of no form that is known here (see mina-webrtc inspect --help)"
