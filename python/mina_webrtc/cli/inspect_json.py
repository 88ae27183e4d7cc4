"""Reads JSON as every message and file of the protocol that is JSON (protocol.md §1, §4)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from mina_webrtc.cli.inspect_found import Facts, Found
from mina_webrtc.cli.inspect_values import of_answer, of_offer, of_response
from mina_webrtc.errors import InvalidInput, KeyFileError, SignalError
from mina_webrtc.keybox import KeyBox
from mina_webrtc.wire.host import read_host_json
from mina_webrtc.wire.json import MAX_BYTES, parse_bytes, parse_json
from mina_webrtc.wire.sealed import MAX_SEALED
from mina_webrtc.wire.signal import Answer, Offer, P2pConnectionResponse, Signal

_NUMBERS = re.compile(r"\[\s*-?[0-9]")


def explain_json(text: str, form: str) -> Found:
    """What the JSON is. Raises `InvalidInput`, whose message says what is wrong with the likeliest reading."""
    data = text.encode("utf-8", "surrogatepass")
    if _NUMBERS.match(text):
        parse_bytes(data, "a list of bytes", MAX_SEALED, MAX_BYTES)  # says what is wrong: right ones are told elsewhere
    kind, read = _likeliest(parse_json(data))
    return Found(kind, form, read(data))


def _likeliest(value: Any) -> tuple[str, Callable[[bytes], Facts]]:
    """By the names in it, so that a damaged one can be told what is wrong with it."""
    if type(value) is list:
        return _of_array(value)
    names = {key for key, _ in value} if type(value) is tuple else {value} if type(value) is str else set()
    for needed, kind, read in _BY_NAME:
        if names & needed:
            return kind, read
    raise SignalError("JSON of nothing that is known here")


def _of_array(value: list[Any]) -> tuple[str, Callable[[bytes], Facts]]:
    match len(value):
        case 3:
            return "answer", read_answer
        case 6:
            return "offer", read_offer
    raise SignalError(
        f"JSON of nothing that is known here: an array of {len(value)} (an answer has 3 values, an offer 6)"
    )


def read_offer(data: bytes) -> Facts:
    """Raises `SignalError`, as the others here do."""
    return of_offer(Offer.from_json(data))


def read_answer(data: bytes) -> Facts:
    """The facts of an answer."""
    return of_answer(Answer.from_json(data))


def read_signal(data: bytes) -> Facts:
    """The facts of the offer or answer in a signal."""
    message = Signal.from_json(data).message
    return {"offer": of_offer(message)} if isinstance(message, Offer) else {"answer": of_answer(message)}


def read_response(data: bytes) -> Facts:
    """The facts of a connection response."""
    return of_response(P2pConnectionResponse.from_json(data))


def read_host(data: bytes) -> Facts:
    """The text and kind of a host."""
    host = read_host_json(parse_json(data))
    return {"host": str(host), "host_kind": host.kind}


def read_box(data: bytes) -> Facts:
    """What an encrypted key file takes to be opened. Raises `InvalidInput`."""
    try:
        box = KeyBox.parse(data.decode())
    except (KeyFileError, UnicodeDecodeError) as error:
        fault = str(error).replace("is not an encrypted key file", "is none")
        raise InvalidInput(f"looks like an encrypted key file, but {fault}") from None
    return {
        "password_derivation": "argon2i",
        "memory_bytes": box.memory,
        "iterations": box.iterations,
        "cipher": "xsalsa20poly1305",
        "ciphertext_bytes": len(box.ciphertext),
        "note": "its public side is shown by: mina-webrtc keygen --key-file FILE",
    }


_BY_NAME: list[tuple[set[str], str, Callable[[bytes], Facts]]] = [
    ({"box_primitive", "pw_primitive", "pwsalt", "pwdiff"}, "encrypted key file", read_box),
    ({"Offer", "Answer"}, "signal", read_signal),
    ({"Accepted", "Rejected", "SignalDecryptionFailed", "InternalError"}, "connection response", read_response),
    ({"Domain", "Ipv4", "Ipv6"}, "host", read_host),
    ({"chain_id", "host", "listen_port"}, "offer", read_offer),
    ({"sdp", "identity_pub_key", "target_peer_id"}, "answer", read_answer),
]
