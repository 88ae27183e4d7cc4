"""base58 and base58check, on both backends."""

from __future__ import annotations

import time
from types import ModuleType

import pytest

from mina_webrtc.errors import Base58Error

# https://datatracker.ietf.org/doc/html/draft-msporny-base58-03#section-5 and the reference client's list
PAIRS = [
    (b"", ""),
    (b"Hello World!", "2NEpo7TZRRrLZSi2U"),
    (b"The quick brown fox jumps over the lazy dog.", "USm3fpXnKG5EUBx2ndxBDMPVciP5hGey2Jh4NDv6gmeo1LkMeiKrLJUUBk6Z"),
    (bytes.fromhex("0000287fb4cd"), "11233QC4"),
    (b"\0", "1"),
    (bytes(10), "1111111111"),
    (b"\x39", "z"),
    (b"\x3a", "21"),
    (b"\xff\xff", "LUv"),
]


@pytest.mark.parametrize(("data", "text"), PAIRS)
def test_known_pairs(backend: ModuleType, data: bytes, text: str) -> None:
    assert backend.base58_encode(data) == text
    assert backend.base58_decode(text, len(text)) == data


@pytest.mark.parametrize("text", ["0", "O", "I", "l", " 1", "1\n", "é", "1\0", "\ud800", "²"])
def test_other_characters_are_refused(backend: ModuleType, text: str) -> None:
    with pytest.raises(Base58Error):
        backend.base58_decode(text, 10)


def test_too_long_a_text_is_refused_before_it_is_decoded(backend: ModuleType) -> None:
    text = "z" * 4_000_000
    start = time.perf_counter()
    with pytest.raises(Base58Error, match="16384"):
        backend.base58_decode(text, 16_384)
    assert time.perf_counter() - start < 0.1  # decoding it would take minutes
    assert backend.base58_decode("z" * 8, 8)
    with pytest.raises(Base58Error):
        backend.base58_decode("z" * 9, 8)


def test_the_longest_get_form_goes_both_ways(backend: ModuleType) -> None:
    data = bytes(range(256)) * 46
    text = backend.base58_encode(data)
    assert backend.base58_decode(text, 16_384) == data


@pytest.mark.parametrize("size", [0, 1, 2, 31, 32, 33, 64, 200])
def test_check_goes_both_ways_and_every_change_is_seen(backend: ModuleType, size: int) -> None:
    payload = bytes(range(size))
    text = backend.base58check_encode(0x2F, payload)
    assert backend.base58check_decode(text, 0x2F, size) == payload
    wrong = [(text, 0x2E, size), (text, 0x2F, size + 1), (text[1:], 0x2F, size), ("1" + text, 0x2F, size)]
    wrong += [(text, 0x2F, max(size - 1, 0))] if size else []
    wrong += [(text[:-1] + ("2" if text[-1] == "1" else "1"), 0x2F, size)]
    for arguments in wrong:
        with pytest.raises(Base58Error):
            backend.base58check_decode(*arguments)


@pytest.mark.parametrize("text", ["", "1", "111", "1111", "11111"])
def test_texts_without_room_for_a_checksum(backend: ModuleType, text: str) -> None:
    with pytest.raises(Base58Error):
        backend.base58check_decode(text, 0, 0)


def test_a_payload_longer_than_asked_for_is_not_decoded(backend: ModuleType) -> None:
    start = time.perf_counter()
    with pytest.raises(Base58Error):
        backend.base58check_decode("z" * 4_000_000, 0x16, 32)
    assert time.perf_counter() - start < 0.1


def test_wrong_types_and_ranges(backend: ModuleType) -> None:
    for call in (
        lambda: backend.base58_encode("text"),
        lambda: backend.base58_decode(b"1", 1),
        lambda: backend.base58_decode("1", 1.0),
        lambda: backend.base58check_encode(0, "text"),
        lambda: backend.base58check_decode(None, 0, 0),
    ):
        with pytest.raises(TypeError):
            call()
    for call in (
        lambda: backend.base58_decode("1", -1),
        lambda: backend.base58check_encode(256, b""),
        lambda: backend.base58check_encode(-1, b""),
        lambda: backend.base58check_decode("1", 256, 0),
        lambda: backend.base58check_decode("1", 0, -1),
    ):
        with pytest.raises(OverflowError):
            call()
