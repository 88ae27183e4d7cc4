"""SCTP against a hostile or unlucky peer, without a network: packets in, packets out."""

from __future__ import annotations

import asyncio
import random
import struct
import time
from collections.abc import Callable
from typing import Any

import pytest
from aiortc.rtcsctptransport import (
    AbortChunk,
    Chunk,
    DataChunk,
    ForwardTsnChunk,
    InitChunk,
    SackChunk,
    ShutdownChunk,
    parse_packet,
    serialize_packet,
)
from tests.unit.sctp_sides import BUFFER, CHANNELS, Ends, Side, deliver, pair, sack_of

from mina_webrtc.services.packets import read_alone, write_sack
from mina_webrtc.services.sctp import MAX_AHEAD, MAX_COST, MAX_OVERRUN


@pytest.fixture
async def ends() -> Any:
    a, b = pair()
    yield a, b
    for side in (a, b):
        side.sctp.stop_now()
    await asyncio.sleep(0)


async def test_the_window_is_announced_and_obeyed(ends: Ends) -> None:
    a, b = ends
    b.close_window()
    deliver(a, b)
    a.outbox.put(7, bytes(100_000))
    a.sctp.pump()
    deliver(a, b)
    assert a.sctp._peer_window == 0
    assert len(b.received) == 0
    assert len(a.sctp._sent_queue) == 1  # RFC 9260 §6.1 rule A: the probe
    b.held = 0
    b.sctp.open_window()
    deliver(a, b)
    assert b"".join(data for _, data in b.received)[4:] == bytes(100_000)
    assert not a.over
    assert not b.over


async def test_nothing_is_marked_as_sent_before_it_is(ends: Ends) -> None:
    a, b = ends
    a.outbox.put(7, bytes(100_000))
    a.outbox.put(1, b"x")
    a.sctp.pump()
    assert a.sent == 0
    deliver(a, b)
    assert a.sent == 2


async def test_a_window_update_that_is_lost_is_made_good_by_the_probe(ends: Ends) -> None:
    a, b = ends
    b.close_window()
    deliver(a, b)
    a.outbox.put(7, bytes(50_000))
    a.sctp.pump()
    deliver(a, b)
    b.held = 0
    b.sctp.open_window()
    b.packets.clear()  # lost
    window = a.sctp._cwnd
    a.sctp._t3_expired()
    assert a.sctp._cwnd == window  # a closed window is no congestion
    await asyncio.sleep(0)
    deliver(a, b)
    assert sum(len(data) for _, data in b.received) == 50_004


async def test_a_peer_that_overruns_the_window_is_at_fault(ends: Ends) -> None:
    _, b = ends
    b.held = BUFFER
    for _ in range(100):
        b.hear(b.data())  # a probe, again and again
    assert not b.over
    for ahead in range(1, MAX_OVERRUN + 2):
        b.hear(b.data(ahead))
    assert [fault for _, fault in b.over] == [True]
    assert b.received == []


async def test_messages_that_are_too_small_beyond_the_window_are_the_peers_fault(ends: Ends) -> None:
    """Bookkeeping for each is memory too, which the window in bytes of payload does not count."""
    _, b = ends
    b.sctp_held = lambda: (0, MAX_COST * BUFFER)  # type: ignore[method-assign]
    b.hear(b.data())
    assert not b.over
    b.sctp_held = lambda: (0, MAX_COST * BUFFER + 1)  # type: ignore[method-assign]
    b.hear(b.data(stream_seq=1))
    assert [fault for _, fault in b.over] == [True]


@pytest.mark.parametrize("kind", [1, 2, 4, 5, 6, 9, 130])
async def test_a_parameter_of_length_zero(ends: Ends, kind: int) -> None:
    _, b = ends
    body = bytes(16 if kind < 3 else 0) + b"\x80\x08\x00\x04" + bytes(8)
    packet = bytes(12) + struct.pack("!BBH", kind, 0, 4 + len(body)) + body
    b.sctp.receive(_sealed(packet, b.sctp._local_verification_tag))
    assert [fault for _, fault in b.over] == [True]


async def test_data_far_ahead_is_dropped(ends: Ends) -> None:
    _, b = ends
    b.hear(b.data(MAX_AHEAD + 1))
    assert not b.sctp._received.broken
    b.hear(b.data(2, stream_seq=1))
    assert b.sctp._received.gaps(9) == [(2, 2)]
    b.hear(b.data())
    assert len(b.received) == 2


async def test_data_on_an_unknown_stream_is_thrown_away(ends: Ends) -> None:
    _, b = ends
    for stream in range(500, 600):
        b.hear(b.data(stream_id=stream))
    assert b.received == []
    assert not set(b.sctp._reassembly._streams) - set(CHANNELS)
    assert b.sctp._reassembly.memory == 0
    b.hear(b.data(protocol=50, user_data=b"\x03" + bytes(11)))  # DCEP OPEN for a channel that is negotiated
    assert not b.over


async def test_a_repeated_init_does_not_start_over(ends: Ends) -> None:
    a, b = ends
    init = InitChunk()
    init.initiate_tag, init.advertised_rwnd, init.outbound_streams, init.inbound_streams = 1, 10_000, 10, 10
    b.sctp.receive(serialize_packet(5000, 5000, 0, init))
    a.outbox.put(1, b"still here")
    a.sctp.pump()
    deliver(a, b)
    assert b.received == [(1, b"\x00\x00\x00\x0astill here")]


@pytest.mark.parametrize(
    "make",
    [
        lambda b: ForwardTsnChunk(body=struct.pack("!L", 5)),
        lambda b: b.data(user_data=b""),
        lambda b: b.data(protocol=57, user_data=b"\x00"),
        lambda b: sack_of(b, 1000),
    ],
    ids=["forward tsn", "no data", "empty message", "acknowledges the future"],
)
async def test_chunks_that_are_the_peers_fault(ends: Ends, make: Callable[[Side], Chunk]) -> None:
    _, b = ends
    b.hear(make(b))
    assert [fault for _, fault in b.over] == [True]


@pytest.mark.parametrize("chunk", [AbortChunk(), ShutdownChunk(body=bytes(4))], ids=["abort", "shutdown"])
async def test_a_peer_that_leaves_is_not_at_fault(ends: Ends, chunk: Chunk) -> None:
    _, b = ends
    b.hear(chunk)
    assert [fault for _, fault in b.over] == [False]


@pytest.mark.parametrize("seconds", [3600, -3600])
async def test_a_wall_clock_that_is_set_meanwhile_is_no_round_trip(
    ends: Ends, monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    a, b = ends
    before = a.sctp._rto
    a.outbox.put(7, b"one")
    a.sctp.pump()
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + seconds)
    deliver(a, b)
    assert not a.sctp._sent_queue
    assert a.sctp._rto <= before


async def test_gaps_beyond_what_was_sent_cost_nothing(ends: Ends) -> None:
    a, _ = ends
    sack = sack_of(a, 0)
    sack.gaps = [(1, 65_535)] * 200
    begin = asyncio.get_running_loop().time()
    for _ in range(20):
        a.hear(sack)
    assert asyncio.get_running_loop().time() - begin < 0.5
    assert not a.over


async def test_lost_and_reordered_packets(ends: Ends) -> None:
    a, b = ends
    generator = random.Random(7)
    body = generator.randbytes(60_000)
    a.outbox.put(7, body)
    b.outbox.put(7, body)
    a.sctp.pump()
    b.sctp.pump()
    for _ in range(400):
        deliver(a, b, lambda packet: generator.random() > 0.1)
        if len(b.received) == 4 and len(a.received) == 4:
            break
        for side in ends:
            generator.shuffle(side.packets)
            if side.sctp._t3_handle is not None:
                side.sctp._t3_handle.cancel()
                side.sctp._t3_expired()
        await asyncio.sleep(0)
    for side in ends:
        assert b"".join(data for _, data in side.received)[4:] == body
        assert not side.over


@pytest.mark.parametrize("seed", range(8))
async def test_mutated_packets_raise_nothing(seed: int) -> None:
    generator = random.Random(seed)
    a, b = pair()
    recorded: list[bytes] = []
    for channel in (1, 7):
        a.outbox.put(channel, generator.randbytes(3000))
    a.sctp.pump()
    a.sctp.close_channel(1)
    await asyncio.sleep(0)
    deliver(a, b, lambda packet: recorded.append(packet) or True)  # type: ignore[func-returns-value]
    recorded += [serialize_packet(5000, 5000, 0, chunk) for chunk in (b.data(), sack_of(b, 0), ForwardTsnChunk())]
    for _ in range(400):
        packet = bytearray(generator.choice(recorded))
        for _ in range(generator.randint(1, 4)):
            packet[generator.randrange(12, len(packet))] = generator.randrange(256)
        if generator.random() < 0.3:
            del packet[generator.randrange(16, len(packet) + 1) :]
        tag = b.sctp._local_verification_tag if generator.random() < 0.9 else 0
        b.sctp.receive(_sealed(bytes(packet), tag))
        if b.over:
            b.sctp.stop_now()
            a, b = pair()
    for side in (a, b):
        side.sctp.stop_now()
    await asyncio.sleep(0)


def _sealed(packet: bytes, tag: int) -> bytes:
    from google_crc32c import value

    head = packet[:4] + struct.pack("!L", tag)
    sealed = head + struct.pack("<L", value(head + bytes(4) + packet[12:])) + packet[12:]
    assert sealed[4:8] == struct.pack("!L", tag)
    return sealed


async def test_a_packet_is_what_aiortc_writes(ends: Ends) -> None:
    a, _ = ends
    for size in (1, 2, 3, 4, 1161):
        a.packets.clear()
        a.outbox.put(7, bytes(range(1, 1 + size % 255)) or b"x")
        a.sctp.pump()
        for packet in a.packets:
            source, target, tag, chunks = parse_packet(packet)
            assert serialize_packet(source, target, tag, chunks[0]) == packet


@pytest.mark.parametrize("gaps", [[], [(2, 3), (7, 7)]])
@pytest.mark.parametrize("duplicates", [[], [5, 2**32 - 1]])
def test_a_sack_is_what_aiortc_writes_and_reads(gaps: list[tuple[int, int]], duplicates: list[int]) -> None:
    sack = SackChunk()
    sack.cumulative_tsn, sack.advertised_rwnd, sack.gaps, sack.duplicates = 2**32 - 2, 1 << 20, gaps, duplicates
    packet = write_sack(5000, 5001, 77, 2**32 - 2, 1 << 20, gaps, duplicates)
    assert packet == serialize_packet(5000, 5001, 77, sack)
    read = read_alone(packet, 77)
    assert isinstance(read, SackChunk)
    assert (read.cumulative_tsn, read.advertised_rwnd, read.gaps) == (2**32 - 2, 1 << 20, gaps)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 1160])
def test_a_data_chunk_alone_is_read_as_aiortc_reads_it(size: int) -> None:
    chunk = DataChunk(flags=3)
    chunk.tsn, chunk.stream_id, chunk.stream_seq, chunk.protocol = 2**32 - 1, 8, 65_535, 53
    chunk.user_data = bytes(range(1, 1 + size % 255))
    packet = serialize_packet(5000, 5000, 77, chunk)
    read, whole = read_alone(packet, 77), parse_packet(packet)[3][0]
    assert isinstance(read, DataChunk)
    assert read.__dict__ == whole.__dict__


def test_only_a_sound_packet_with_one_such_chunk_takes_the_short_way() -> None:
    chunk = DataChunk(flags=3)
    chunk.user_data = b"abcd"
    packet = serialize_packet(5000, 5000, 77, chunk)
    sack = write_sack(5000, 5000, 77, 1, 2, [(2, 2)], [])
    assert read_alone(packet, 77) is not None
    for end in range(len(packet)):
        assert read_alone(packet[:end], 77) is None
    others = [packet + sack[12:], packet + bytes(4), packet[:12] + b"\x0a" + packet[13:]]
    others.append(sack[:24] + b"\x00\x02" + sack[26:])  # more blocks than there are
    others.append(packet[:14] + b"\x00\x10" + packet[16:28])  # without data
    for other in others:
        assert read_alone(_sealed(other, 77), 77) is None
    assert read_alone(packet, 78) is None
    assert read_alone(packet[:8] + bytes(4) + packet[12:], 77) is None
