"""Messages and chunks, on both backends."""

from __future__ import annotations

import tracemalloc
from hashlib import sha256
from types import ModuleType
from typing import Any

import pytest

from mina_webrtc.errors import FrameError

LIMITS = {1: 16 << 10, 2: 16 << 10, 3: 32 << 20, 4: 1 << 10, 5: 1 << 10, 6: 2 << 10, 7: 256 << 20, 8: 16 << 20}

EMPTY = "protocol.md §7: no empty payloads are sent"
CUT = "protocol.md §7: any cut is accepted, down to single bytes; the reference needs the prefix in one chunk"
PAYLOAD = "protocol.md §7: decoding, and what is left over after it, is not the frame layer's"

DIFFERENCES = {
    ("bin_prot", "framing", "00000000"): EMPTY,
    ("bin_prot", "receiving", "first chunk is the length alone (4 bytes)"): CUT,
    ("bin_prot", "receiving", "first chunk has 1 byte"): CUT,
    ("bin_prot", "receiving", "first chunk has 3 bytes"): CUT,
    ("bin_prot", "receiving", "a message and 2 bytes of the next length"): CUT,
    ("bin_prot", "receiving", "a message and the next length alone"): CUT,
    ("bin_prot", "receiving", "payload that does not decode"): PAYLOAD,
    ("bin_prot", "receiving", "payload that does not decode, then a message"): PAYLOAD,
    ("bin_prot", "receiving", "payload that does not decode and a message in the same chunk"): PAYLOAD,
    ("bin_prot", "receiving", "payload with trailing bytes after the message"): PAYLOAD,
}


@pytest.mark.entries("bin_prot", "framing")
def test_vector_framing(backend: ModuleType, entry: dict[str, Any]) -> None:
    offset = int(entry["payload_rule"].split("+")[1].split(")")[0])
    payload = bytes((i * 31 + offset) % 251 for i in range(entry["payload_length"]))
    assert sha256(payload).hexdigest() == entry["payload_sha256"]
    if ("bin_prot", "framing", entry["framed_hex"]) in DIFFERENCES:
        with pytest.raises(FrameError):
            backend.frame_chunks(payload)
        return
    chunks = backend.frame_chunks(payload)
    assert [len(chunk) for chunk in chunks] == entry["chunk_lengths"]
    assert [sha256(chunk).hexdigest() for chunk in chunks] == entry["chunk_sha256"]
    assert sha256(b"".join(chunks)).hexdigest() == entry["framed_sha256"]
    decoder = backend.FrameDecoder(len(payload))
    assert [message for chunk in chunks for message in decoder.receive_data(chunk)] == [payload]
    assert decoder.buffered == 0


@pytest.mark.entries("bin_prot", "receiving")
def test_vector_receiving(backend: ModuleType, entry: dict[str, Any]) -> None:
    chunks = [bytes.fromhex(chunk) for chunk in entry["chunks_hex"]]
    events = entry["reference_events_per_chunk"]
    decoder = backend.FrameDecoder(LIMITS[entry["channel_id"]])
    if ("bin_prot", "receiving", entry["why"]) in DIFFERENCES:
        received = [message for chunk in chunks for message in decoder.receive_data(chunk)]
        framed = b"".join(len(message).to_bytes(4, "big") + message for message in received)
        assert framed == b"".join(chunks)
    elif any(set(event) != {"message_payload_hex"} for chunk in events for event in chunk):
        with pytest.raises(FrameError):
            list(map(decoder.receive_data, chunks))
    else:
        for chunk, expected in zip(chunks, events, strict=True):
            received = decoder.receive_data(chunk)
            assert [{"message_payload_hex": message.hex()} for message in received] == expected


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 300, 16_384])
def test_every_cut_gives_the_same_messages(backend: ModuleType, size: int) -> None:
    messages = [b"a", bytes(5), b"b" * 300, bytes(range(256)) * 80, b"c"]
    stream = b"".join(chunk for message in messages for chunk in backend.frame_chunks(message))
    decoder = backend.FrameDecoder(32 << 10)
    received = []
    for start in range(0, len(stream), size):
        received += decoder.receive_data(memoryview(stream)[start : start + size])
    assert received == messages
    assert decoder.buffered == 0


def test_large_and_small_chunks_mixed(backend: ModuleType) -> None:
    """Large ones are kept as objects, small ones together, these again in objects."""
    payload = bytes(range(251)) * 300
    stream = len(payload).to_bytes(4, "big") + payload + b"\0\0\0\1x"
    for sizes in ([1024], [1023], [1, 1023, 1024, 5], [300, 4000], [3, 2000, 1], [70_000, 1]):
        decoder = backend.FrameDecoder(len(payload))
        rest, cuts, messages = stream, list(sizes), []
        while rest:
            chunk, rest = rest[: cuts[0]], rest[cuts[0] :]
            cuts.append(cuts.pop(0))
            before = decoder.buffered
            found = decoder.receive_data(bytearray(chunk) if len(rest) % 2 else chunk)
            assert found or decoder.buffered == before + len(chunk)
            messages += found
        assert messages == [payload, b"x"], sizes
        assert decoder.buffered == 0


def test_the_limit_is_inclusive_and_without_the_prefix(backend: ModuleType) -> None:
    for size in (1, 1024):
        decoder = backend.FrameDecoder(1024)
        assert decoder.receive_data(size.to_bytes(4, "big") + bytes(size)) == [bytes(size)]


@pytest.mark.parametrize("prefix", ["00000000", "00000401", "ffffffff", "80000000"])
def test_a_failed_decoder_stays_failed_and_holds_nothing(backend: ModuleType, prefix: str) -> None:
    decoder = backend.FrameDecoder(1024)
    assert decoder.receive_data(bytes.fromhex(prefix[:6])) == []
    for data in (bytes.fromhex(prefix[6:]), b"\0\0\0\1x", b""):
        with pytest.raises(FrameError):
            decoder.receive_data(data)
        assert decoder.buffered == 0


def test_an_announced_length_allocates_nothing(backend: ModuleType) -> None:
    decoder = backend.FrameDecoder(2**32 - 1)
    tracemalloc.start()
    try:
        assert decoder.receive_data(b"\xff\xff\xff\xff12") == []
        assert tracemalloc.get_traced_memory()[1] < 64 << 10
    finally:
        tracemalloc.stop()
    assert decoder.buffered == 6


def test_what_is_held_is_counted(backend: ModuleType) -> None:
    decoder = backend.FrameDecoder(100)
    for data, held in ((b"\0\0", 2), (b"\0\5ab", 6), (b"cde\0", 1)):
        decoder.receive_data(data)
        assert decoder.buffered == held


def test_a_batch_gives_what_single_calls_give(backend: ModuleType) -> None:
    payloads = [bytes([index % 251]) * (1 + index * 37 % 40_000) for index in range(300)]
    chunks = backend.frame_batch(payloads)
    assert chunks == [chunk for payload in payloads for chunk in backend.frame_chunks(payload)]
    decoder = backend.FrameDecoder(40_000)
    assert decoder.receive_batch(chunks[:1]) + decoder.receive_batch(chunks[1:500]) == decoder_output(
        backend, chunks[:500]
    )
    assert decoder.receive_batch([]) == []
    rest = decoder.receive_batch([bytearray(chunk) for chunk in chunks[500:]])
    assert rest == payloads[len(payloads) - len(rest) :]
    assert decoder.buffered == 0


def decoder_output(backend: ModuleType, chunks: list[bytes]) -> list[bytes]:
    decoder = backend.FrameDecoder(40_000)
    return [message for chunk in chunks for message in decoder.receive_data(chunk)]


def test_a_bad_frame_spoils_its_batch(backend: ModuleType) -> None:
    decoder = backend.FrameDecoder(8)
    with pytest.raises(FrameError):
        decoder.receive_batch([b"\0\0\0\1a", bytes(4), b"\0\0\0\1b"])
    with pytest.raises(FrameError):
        decoder.receive_batch([b"\0\0\0\1c"])
    with pytest.raises(FrameError):
        backend.frame_batch([b"a", b""])


def test_a_wrong_item_spoils_nothing(backend: ModuleType) -> None:
    decoder = backend.FrameDecoder(8)
    with pytest.raises(TypeError):
        decoder.receive_batch([b"\0\0\0\1", "a"])
    assert decoder.buffered == 0


def test_another_limit_holds_at_once(backend: ModuleType) -> None:
    decoder = backend.FrameDecoder(2)
    decoder.allow(5)
    assert decoder.receive_data(b"\0\0\0\5ab") == []
    decoder.allow(5)
    assert decoder.receive_data(b"cde\0\0\0\3x") == [b"abcde"]
    decoder.allow(2)
    assert decoder.buffered == 5
    with pytest.raises(FrameError):
        decoder.receive_data(b"")
    assert decoder.buffered == 0
    decoder.allow(5)
    with pytest.raises(FrameError):
        decoder.receive_data(b"")


def test_wrong_arguments(backend: ModuleType) -> None:
    for limit in (-1, 2**32):
        with pytest.raises(OverflowError):
            backend.FrameDecoder(limit)
        with pytest.raises(OverflowError):
            backend.FrameDecoder(1).allow(limit)
    for call in (
        lambda: backend.FrameDecoder("1"),
        lambda: backend.FrameDecoder(1).receive_data("text"),
        lambda: backend.FrameDecoder(1).receive_batch(b"bytes"),
        lambda: backend.FrameDecoder(1).receive_batch((b"tuple",)),
        lambda: backend.frame_chunks("text"),
        lambda: backend.frame_batch(b"bytes"),
        lambda: backend.frame_batch(["text"]),
    ):
        with pytest.raises(TypeError):
            call()
    with pytest.raises(FrameError):
        backend.frame_chunks(b"")
