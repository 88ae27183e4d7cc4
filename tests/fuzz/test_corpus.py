"""Every input that fuzzing found worth keeping (`tests/corpus`), and a few large ones: the fuzzers' own checks, and how
much memory the parsers take for it. (What native code takes is counted by `rust/core/tests/corpus.rs`.)"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.fuzz.checks import BACKENDS, CHECKS, MESSAGES, allowed, text_of

from mina_webrtc.errors import InvalidInput
from mina_webrtc.wire.address import parse_address
from mina_webrtc.wire.messages import decode_message
from mina_webrtc.wire.sdp import read_sdp, usable_sdp
from mina_webrtc.wire.signal import EncryptedOffer, Offer, P2pConnectionResponse

CORPUS = Path(__file__).parents[1] / "corpus"
KIB = 1024

Parser = Callable[[Any], object]


def _in_bytes(backend: ModuleType, data: bytes) -> int:
    decoder = backend.FrameDecoder(2**32 - 1)
    return sum(len(decoder.receive_data(data[at : at + 1])) for at in range(len(data)))


PARSERS: dict[str, list[Parser]] = {
    "bin_prot": [
        *(lambda data, b=backend: b.BinProtReader(data).byte_list() for backend in BACKENDS),
        *(lambda data, b=backend: b.BinProtReader(data).string() for backend in BACKENDS),
    ],
    "frames": [
        *(lambda data, b=backend: b.FrameDecoder(2**32 - 1).receive_data(data) for backend in BACKENDS),
        *(lambda data, b=backend: _in_bytes(b, data) for backend in BACKENDS),
    ],
    "base58": [lambda data, b=backend: b.base58_decode(data, 2**32) for backend in BACKENDS],
    "identity": [lambda data, b=backend: b.SecretKey.from_pem(data) for backend in BACKENDS],
    "json": [Offer.from_json, P2pConnectionResponse.from_json, EncryptedOffer.from_json],
    "address": [parse_address],
    "sdp": [read_sdp, lambda data: usable_sdp(data, allow_loopback=True, allow_link_local=True)],
    "message": [lambda data, c=channel: decode_message(c, data) for channel in MESSAGES],
}
"""What reads a peer's input, by corpus."""

TEXTS = {"base58", "identity", "address", "sdp"}
"""Corpora whose parsers take a str."""

LARGE: dict[str, list[bytes]] = {
    "bin_prot": [
        b"\xfd\0\0\1\0" + b"a" * 65_536,
        b"\xfd\0\0\1\0" + b"\xfe\xff\0" * 65_536,
        b"\xfc" + b"\xff" * 7 + b"\x7f" + b"a" * 65_536,
    ],
    "frames": [b"\0\1\0\0" + b"a" * 65_536, b"\xff\xff\xff\xff" + b"a" * 65_536],
    "base58": [b"z" * 16_384, b"1" * 16_384, b"z" * 16_383 + b"0"],
    "identity": [b"-----BEGIN PRIVATE KEY-----\n" + b"A" * 65_536 + b"\n-----END PRIVATE KEY-----\n"],
    "json": [
        b"[" * 65_536,
        b"[" + b"[]," * 21_000 + b"[]]",
        b"[" + b"1," * 32_000 + b"1]",
        b"[" + b"300," * 16_000 + b"300]",
        b"[" + b"255," * 16_383 + b"255]",
        b"[" + b'"a",' * 16_000 + b'"a"]',
        b"[" + b'"ab"' * 16_000 + b"]",
        b'{"sdp":"' + b"," * 65_000 + b'"}',
        b"[" + b"{}," * 20_000 + b"{}]",
        b'{"Offer":{"sdp":"' + b"a=\\r\\n" * 10_000 + b'","x":[' + b"{}," * 1_000 + b"{}]}}",
        b'{"' + b'":0,"'.join(b"%d" % n for n in range(6_000)) + b'":0}',
        b'{"' + b'":0,"'.join(b"%d" % n for n in range(255)) + b'":0}',
        b'{"sdp":"' + b"\\u0061" * 10_000 + b'"}',
        b"1" * 65_536,
        b" " * 10**7,
    ],
    "address": [b"/" * 65_536, b"/ip4/" + b"1" * 65_536, b"/proxied/https/" + b"%2F" * 20_000 + b"/a/1"],
    "sdp": [b"v=0\r\n" + b"a=candidate:\r\n" * 1_000, b"v=0\n" * 4_000, b"a" * 10**6, b"\r\n" * 8_000],
    "message": [b"\4\xfd\0\0\1\0" + b"\xfe\xff\0" * 65_536, b"\1\0\1\6\xfd\0\0\1\0" + b"\1" * 65_536],
}

CONSTANTS = dict.fromkeys(PARSERS, 16 * KIB) | {"base58": 64 * KIB, "sdp": 64 * KIB, "json": 32 * KIB}
"""What may come on top of twice the input's size. Python's ints put by halves of their digits to multiply the 16 KiB
that base58 may have; its objects take more room than the text of an SDP's lines (512 of them) or of JSON's values (256
of them)."""


def entries() -> list[Any]:
    return [
        pytest.param(target, path.read_bytes(), id=f"{target}-{path.name}")
        for target in CHECKS
        for path in sorted((CORPUS / target).iterdir())
    ]


def large() -> list[Any]:
    return [
        pytest.param(target, data, id=f"{target}-{index}")
        for target in CHECKS
        for index, data in enumerate(LARGE[target])
    ]


def test_every_target_has_a_corpus() -> None:
    assert {path.name for path in CORPUS.iterdir()} == set(CHECKS) == set(PARSERS) == set(LARGE)


@pytest.mark.parametrize(("target", "data"), entries() + large())
def test_no_input_breaks_a_parser(target: str, data: bytes) -> None:
    CHECKS[target](data)


@pytest.mark.parametrize(("target", "data"), entries() + large())
def test_no_input_takes_much_memory(target: str, data: bytes) -> None:
    given = text_of(data) if target in TEXTS else data
    for parse in PARSERS[target]:
        allowed(lambda p=parse: p(given), InvalidInput)  # whatever is imported or cached by it
        assert _peak(parse, given) <= 2 * len(data) + CONSTANTS[target]


@pytest.mark.parametrize("last", ["€", "😀", "\\ud83d\\ude00"])
def test_text_beyond_latin_1_takes_what_python_takes_for_it(last: str) -> None:
    """Up to four bytes for every character of a text that has one such: for the JSON and for the value in it."""
    data = ('{"sdp":"' + "a" * 65_000 + last + '"}').encode()
    for parse in PARSERS["json"]:
        allowed(lambda p=parse: p(data), InvalidInput)
        assert _peak(parse, data) <= 8 * len(data) + CONSTANTS["json"]


def _peak(parse: Parser, given: str | bytes) -> int:
    tracemalloc.start()
    try:
        allowed(lambda: parse(given), InvalidInput)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
