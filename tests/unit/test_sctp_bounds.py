"""SCTP under attack and under loss: what is held, what a packet costs, and what is sent again."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import pytest
from aiortc.rtcsctptransport import (
    SCTP_DATA_FIRST_FRAG,
    SCTP_MAX_PACKET_LENGTH,
    USERDATA_MAX_LENGTH,
    ReconfigChunk,
    SackChunk,
    StreamResetOutgoingParam,
    parse_packet,
)
from tests.unit.sctp_sides import BUFFER, EARLY, Ends, Side, deliver, pair, sack_of

from mina_webrtc.services.inbox import MAX_CHUNK
from mina_webrtc.services.reassembly import CHUNK_COST
from mina_webrtc.services.sctp import MAX_AHEAD, MAX_COST, MAX_OVERRUN
from mina_webrtc.services.sctp_sender import MAX_BACKOFF, MISSES, RTO_MIN

HOLE = 1 << 15
"""A sequence number that is always ahead."""


@pytest.fixture
async def ends() -> Any:
    a, b = pair()
    yield a, b
    for side in (a, b):
        side.sctp.stop_now()
    await asyncio.sleep(0)


@pytest.fixture
async def strangers() -> Any:
    a, b = pair(admit=False)
    yield a, b
    for side in (a, b):
        side.sctp.stop_now()
    await asyncio.sleep(0)


# ---------------------------------------------------------------- what is held


def _flood(b: Side, count: int, size: int) -> None:
    """Middles of messages, the last one first, so that all others fill a gap."""
    last = b.data(MAX_AHEAD, flags=0, user_data=b"x")
    chunks = [b.data(ahead, flags=0, user_data=bytes(size)) for ahead in range(2, count + 2)]
    for chunk in (last, *chunks):
        b.hear(chunk)


async def test_before_authentication_little_is_held_out_of_order(strangers: Ends) -> None:
    _, b = strangers
    _flood(b, 200, 16_000)
    held = b.sctp._reassembly.size
    assert EARLY < held <= EARLY + MAX_CHUNK
    assert not b.over  # the window that it was told is larger: dropped, to be sent again
    b.sctp.admit()
    b.hear(b.data(20, flags=0, user_data=bytes(16_000)))
    assert b.sctp._reassembly.size == held + 16_000


async def test_what_fills_a_gap_must_fit_the_window(ends: Ends) -> None:
    _, b = ends
    _flood(b, BUFFER // 16_000 + MAX_OVERRUN, 16_000)
    assert not b.over
    assert b.sctp._reassembly.size <= BUFFER
    b.hear(b.data(MAX_AHEAD - 1, flags=0, user_data=bytes(16_000)))
    assert [fault for _, fault in b.over] == [True]


@pytest.mark.parametrize("admit", [False, True])
async def test_what_all_others_wait_for_is_never_dropped(admit: bool) -> None:
    a, b = pair(admit=admit)
    count = (BUFFER if admit else EARLY + MAX_CHUNK) // 16_000
    for number in range(1, count + 1):
        b.hear(b.data(number + 1, stream_seq=number, user_data=bytes(16_000)))
    b.hear(b.data(number + 2, stream_seq=number + 1, user_data=bytes(16_000)))  # does not fit, and comes again
    b.hear(b.data(user_data=bytes(16_000)))
    assert len(b.received) == count + 1
    assert b.sctp._reassembly.memory == 0
    assert not b.over
    for side in (a, b):
        side.sctp.stop_now()


@pytest.mark.parametrize("fields", [{"stream_seq": HOLE}, {"flags": SCTP_DATA_FIRST_FRAG, "stream_seq": HOLE}])
@pytest.mark.parametrize("size", [1, 16_000])
async def test_messages_whose_turn_never_comes(strangers: Ends, fields: dict[str, int], size: int) -> None:
    _, b = strangers
    most = 0
    for number in range(6000):
        b.hear(b.data(user_data=bytes(size), **fields | {"stream_seq": (HOLE - 1 - number) % 2**16}))
        most = max(most, b.sctp._reassembly.memory)
        if b.over:
            break
    assert [fault for _, fault in b.over] == [True]
    assert most <= MAX_COST * (EARLY + 3 * MAX_CHUNK)


async def test_a_message_of_tiny_fragments(strangers: Ends) -> None:
    _, b = strangers
    b.hear(b.data(flags=SCTP_DATA_FIRST_FRAG, user_data=b"x"))
    for _ in range(6000):
        b.hear(b.data(flags=0, user_data=b"x"))
        if b.over:
            break
    assert [fault for _, fault in b.over] == [True]


async def test_tiny_chunks_out_of_order_are_bounded_in_memory(strangers: Ends) -> None:
    _, b = strangers
    _flood(b, 4000, 1)
    limit = MAX_COST * (EARLY + MAX_CHUNK)
    assert limit <= b.sctp._reassembly.memory <= limit + CHUNK_COST + 1
    assert not b.over


async def test_a_stream_that_is_reset_in_mid_message_gives_its_window_back(ends: Ends) -> None:
    _, b = ends
    b.hear(b.data(stream_id=7, flags=SCTP_DATA_FIRST_FRAG, user_data=bytes(1000)))
    b.hear(b.data(2, stream_id=7, stream_seq=4, user_data=bytes(1000)))
    assert b.sctp._reassembly.size == 2000
    last = b.sctp._last_received_tsn or 0
    request = StreamResetOutgoingParam(last + 100, last, last, [7])
    chunk = ReconfigChunk()
    chunk.params.append((13, bytes(request)))
    b.hear(chunk)
    assert b.sctp._reassembly.memory == 0
    assert not b.over


# ---------------------------------------------------------------- what a packet costs


async def test_a_hundred_gaps_or_thousands_cost_about_the_same(strangers: Ends) -> None:
    """Limits are processor time: sorting them at every packet takes 3 s for this."""
    _, b = strangers
    chunks = [b.data(2 * n + 2, stream_id=500, user_data=b"x") for n in range(MAX_AHEAD // 2)]
    for chunk in chunks[:-1000]:
        b.hear(chunk)
    b.packets.clear()
    begin = time.process_time()
    for chunk in chunks[-1000:]:
        b.hear(chunk)
    assert time.process_time() - begin < 1.5
    assert len(b.packets) == 1000  # §6.7: one SACK for each while anything is missing
    assert max(map(len, b.packets)) <= SCTP_MAX_PACKET_LENGTH  # 4096 blocks are more than a DTLS record takes
    sack = parse_packet(b.packets[-1])[3][0]
    assert isinstance(sack, SackChunk)
    assert sack.gaps[:3] == [(2, 2), (4, 4), (6, 6)]


async def test_duplicates_fit_into_a_packet(ends: Ends) -> None:
    _, b = ends
    old = bytes(b.data(0))
    packet = bytearray(old * 700)

    class Many(SackChunk):
        def __bytes__(self) -> bytes:
            return bytes(packet)

    b.hear(Many())
    assert max(map(len, b.packets)) <= SCTP_MAX_PACKET_LENGTH
    assert not b.over


def _outstanding(a: Side, size: int = 1_000_000) -> int:
    """Has as much in flight as `size` bytes are."""
    a.sctp._cwnd = a.sctp._peer_window = 4 << 20
    a.outbox.put(7, bytes(size))
    for _ in range(400):
        a.sctp.pump()
    a.packets.clear()
    a.sctp._cwnd = USERDATA_MAX_LENGTH
    return len(a.sctp._sent_queue)


def _sack(a: Side, *gaps: tuple[int, int], moved: int = 0) -> SackChunk:
    """Acknowledges `moved` chunks more and then these blocks."""
    sack = SackChunk()
    sack.cumulative_tsn = (a.sctp._last_sacked_tsn + moved) % 2**32
    sack.advertised_rwnd = 4 << 20
    sack.gaps = list(gaps)
    return sack


async def test_blocks_that_overlap_cost_no_more_than_others(ends: Ends) -> None:
    """Limits are processor time: walking every TSN of every block takes half a second for one."""
    a, _ = ends
    assert _outstanding(a) > 800
    sack = _sack(a, *[(1, 65_535)] * 4000)
    begin = time.process_time()
    for _ in range(10):
        a.sctp._take_sack(sack)
    assert time.process_time() - begin < 0.5
    assert not a.over


# ---------------------------------------------------------------- TSNs start over


@pytest.mark.parametrize("initial", [1000, 2**32 - 16, 2**32 - 5, 2**32 - 1])
@pytest.mark.parametrize("lost", range(8))
async def test_a_loss_where_tsns_start_over(initial: int, lost: int) -> None:
    a, b = Side("client"), Side("server")
    for side in (a, b):
        side.sctp._local_tsn = initial
        side.sctp._last_sacked_tsn = (initial - 1) % 2**32
        side.sctp.connect(5000)
    deliver(a, b)
    body = random.Random(1).randbytes(30_000)
    a.outbox.put(7, body)
    a.sctp.pump()
    missing = [(initial + lost) % 2**32]

    def pick(packet: bytes) -> bool:
        tsn = int.from_bytes(packet[16:20], "big")
        return packet[12] != 0 or tsn not in missing or missing.remove(tsn) is not None

    deliver(a, b, pick)
    if a.sctp._sent_queue:  # too little came after it to count as three misses
        a.sctp._t3_cancel()
        a.sctp._t3_expired()
        deliver(a, b)
    assert b"".join(data for _, data in b.received)[4:] == body
    assert not a.sctp._sent_queue
    for side in (a, b):
        side.sctp.stop_now()
    await asyncio.sleep(0)


# ---------------------------------------------------------------- what is sent again


def _expire(a: Side) -> float:
    """The retransmission timer runs out; returns the seconds that it is set to again."""
    a.sctp._t3_cancel()
    a.sctp._t3_expired()
    handle = a.sctp._t3_handle
    assert handle is not None
    return round(handle.when() - asyncio.get_running_loop().time(), 1)


async def test_the_timer_sends_again_only_what_is_missing(ends: Ends) -> None:
    a, _ = ends
    count = _outstanding(a, 50_000)
    first = a.sctp._last_sacked_tsn + 1
    a.hear(_sack(a, (2, 5), (8, count)))
    a.packets.clear()
    a.sctp._cwnd = 1 << 20
    _expire(a)
    marked = [(chunk.tsn - first) % 2**32 + 1 for chunk in a.sctp._sent_queue if chunk._retransmit]
    sent = [(int.from_bytes(packet[16:20], "big") - first) % 2**32 + 1 for packet in a.packets]
    assert sent + marked == [1, 6, 7]


async def test_the_timer_backs_off_and_does_not_for_long(ends: Ends) -> None:
    a, _ = ends
    _outstanding(a, 50_000)
    a.sctp._rto = RTO_MIN
    assert [_expire(a) for _ in range(5)] == [0.8, 1.6, MAX_BACKOFF, MAX_BACKOFF, MAX_BACKOFF]
    threshold = a.sctp._ssthresh
    _expire(a)
    assert a.sctp._ssthresh == threshold  # RFC 5681 §3.1: one loss, one halving
    a.hear(_sack(a, moved=1))
    assert _expire(a) == 0.8


async def test_a_round_trip_that_is_short_does_not_make_the_timer_short(ends: Ends) -> None:
    a, b = ends
    for _ in range(20):
        a.outbox.put(1, b"x")
        a.sctp.pump()
        deliver(a, b)
    assert a.sctp._rto == RTO_MIN


async def test_what_the_peer_had_and_dropped_is_sent_again(ends: Ends) -> None:
    """RFC 9260 §6.2.1 D: a receiver may go back on its gap blocks."""
    a, _ = ends
    count = _outstanding(a, 50_000)
    flight = a.sctp._flight_size
    a.hear(_sack(a, (2, count)))
    assert a.sctp._flight_size == USERDATA_MAX_LENGTH
    a.hear(_sack(a))
    assert a.sctp._flight_size == flight
    a.packets.clear()
    _expire(a)
    assert len(a.packets) + sum(chunk._retransmit for chunk in a.sctp._sent_queue) == count


async def test_what_is_reported_missing_three_times_is_sent_again(ends: Ends) -> None:
    a, _ = ends
    _outstanding(a, 50_000)
    for number in range(1, MISSES + 1):
        assert a.sctp._fast_recovery_exit is None
        a.packets.clear()
        a.hear(_sack(a, (2, 1 + number)))
    assert a.sctp._fast_recovery_exit is not None
    assert int.from_bytes(a.packets[0][16:20], "big") == (a.sctp._last_sacked_tsn + 1) % 2**32


async def test_acknowledgements_that_overtake_each_other_are_no_loss(ends: Ends) -> None:
    a, _ = ends
    _outstanding(a, 50_000)
    for _ in range(10):
        a.hear(_sack(a, (2, 4)))
        a.hear(_sack(a, (2, 3)))  # an older one
    assert a.sctp._fast_recovery_exit is None
    a.hear(_sack(a, moved=5))
    assert not a.sctp._search


async def test_a_peer_that_acknowledges_all_but_the_first_makes_us_keep_no_more_than_so_much(ends: Ends) -> None:
    a, _ = ends
    a.sctp._peer_window = 4 << 20
    for _ in range(MAX_AHEAD + 50):
        a.outbox.put(1, b"x")
    a.sctp.pump()
    while True:
        before = len(a.sctp._sent_queue)
        a.hear(_sack(a, (2, before)))
        if len(a.sctp._sent_queue) == before:
            break
    assert before == MAX_AHEAD


async def test_more_than_was_sent_is_not_acknowledged(ends: Ends) -> None:
    a, _ = ends
    _outstanding(a, 50_000)
    a.hear(sack_of(a, 1))
    assert [fault for _, fault in a.over] == [True]
