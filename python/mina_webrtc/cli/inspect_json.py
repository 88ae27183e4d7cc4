"""Reads JSON as every message and file of the protocol that is JSON (protocol.md §1, §4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import json as msgspec_json

from mina_webrtc.cli.inspect_found import Asked, Facts, Found
from mina_webrtc.cli.inspect_values import of_answer, of_offer, of_response, of_sealed
from mina_webrtc.errors import InvalidInput, KeyFileError, SignalError
from mina_webrtc.keybox import KeyBox
from mina_webrtc.wire.auth import SEALED
from mina_webrtc.wire.host import read_host_json
from mina_webrtc.wire.json import parse_bytes, parse_json
from mina_webrtc.wire.response import P2pConnectionResponse
from mina_webrtc.wire.sealed import MAX_SEALED
from mina_webrtc.wire.signal import Answer, Offer, Signal

_LONGEST = 4 * MAX_SEALED + 1
"""Bytes: an encrypted offer takes the most, up to four characters a byte."""
_OVERHEAD = 28
"""Nonce and tag (§2)."""


def explain_json(text: str, form: str, asked: Asked) -> Found:
    """What the JSON is. Raises `InvalidInput`, whose message says what is wrong with the likeliest reading."""
    data = text.encode("utf-8", "surrogatepass")
    value = parse_json(data, _LONGEST, _LONGEST)
    if type(value) is list and not any(type(item) is list or type(item) is str for item in value):
        return _array(data, form, asked)
    kind, read = _likeliest(value)
    return Found(kind, form, read(data))


def _array(data: bytes, form: str, asked: Asked) -> Found:
    raw = parse_bytes(data, "an array", MAX_SEALED, _LONGEST)
    if len(raw) < _OVERHEAD:
        raise SignalError(f"an array of {len(raw)} numbers is shorter than anything encrypted")
    kind = "connection auth (encrypted)" if len(raw) == SEALED else "encrypted offer or answer"
    return Found(kind, form, of_sealed(raw, asked))


def _likeliest(value: Any) -> tuple[str, Callable[[bytes], Facts]]:
    """By the names in it, so that a damaged one can be told what is wrong with it."""
    names = {key for key, _ in value} if type(value) is tuple else {value} if type(value) is str else set()
    for needed, kind, read in _BY_NAME:
        if names & needed:
            return kind, read
    if type(value) is list:
        return ("offer", _offer) if len(value) > _ANSWER_FIELDS else ("answer", _answer)
    raise SignalError("JSON of nothing that is known here")


def _offer(data: bytes) -> Facts:
    return of_offer(Offer.from_json(data))


def _answer(data: bytes) -> Facts:
    return of_answer(Answer.from_json(data))


def _signal(data: bytes) -> Facts:
    message = Signal.from_json(data).message
    return {"offer": of_offer(message)} if isinstance(message, Offer) else {"answer": of_answer(message)}


def _response(data: bytes) -> Facts:
    return of_response(P2pConnectionResponse.from_json(data))


def _host(data: bytes) -> Facts:
    host = read_host_json(parse_json(data))
    return {"host": str(host), "host_kind": host.kind}


def _box(data: bytes) -> Facts:
    try:
        box = KeyBox.parse(data.decode())
    except (KeyFileError, UnicodeDecodeError) as error:
        raise InvalidInput(f"an encrypted key file that {error}") from None
    return {
        "password_derivation": "argon2i",
        "memory_bytes": box.memory,
        "iterations": box.iterations,
        "cipher": "xsalsa20poly1305",
        "ciphertext_bytes": len(box.ciphertext),
        "note": "its public side is shown by: mina-webrtc keygen --key-file FILE",
    }


_ANSWER_FIELDS = 3
_BY_NAME: list[tuple[set[str], str, Callable[[bytes], Facts]]] = [
    ({"box_primitive", "pw_primitive", "pwsalt", "pwdiff"}, "encrypted key file", _box),
    ({"Offer", "Answer"}, "signal", _signal),
    ({"Accepted", "Rejected", "SignalDecryptionFailed", "InternalError"}, "connection response", _response),
    ({"Domain", "Ipv4", "Ipv6"}, "host", _host),
    ({"chain_id", "host", "listen_port"}, "offer", _offer),
    ({"sdp", "identity_pub_key", "target_peer_id"}, "answer", _answer),
]


def json_string(text: str) -> str | None:
    """The text in a JSON string; None for anything else."""
    try:
        value = msgspec_json.decode(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, str) else None
