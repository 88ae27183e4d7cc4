"""Messages out of chunks, in whatever order they come."""

from __future__ import annotations

import time
from typing import Any

import pytest
from aiortc.rtcsctptransport import SCTP_DATA_FIRST_FRAG, SCTP_DATA_LAST_FRAG, DataChunk
from hypothesis import given
from hypothesis import strategies as st

from mina_webrtc.errors import RemoteProtocolError
from mina_webrtc.services.inbox import MAX_CHUNK
from mina_webrtc.services.reassembly import CHUNK_COST, Reassembly

FIRST, LAST, MIDDLE, WHOLE = SCTP_DATA_FIRST_FRAG, SCTP_DATA_LAST_FRAG, 0, 3


def _chunk(tsn: int, flags: int = WHOLE, sequence: int = 0, data: bytes = b"x", stream: int = 1) -> DataChunk:
    chunk = DataChunk(flags=flags)
    chunk.tsn, chunk.stream_id, chunk.stream_seq = tsn % 2**32, stream, sequence % 2**16
    chunk.protocol, chunk.user_data = 53, data
    return chunk


def _cut(messages: list[tuple[int, int]], tsn: int, sequence: int) -> tuple[list[DataChunk], dict[int, list[bytes]]]:
    """Chunks of messages that are told as stream and number of fragments, and what each stream has to give."""
    chunks: list[DataChunk] = []
    whole: dict[int, list[bytes]] = {}
    for stream, count in messages:
        number = len(whole.setdefault(stream, []))
        parts = [f"{stream}.{number}.{part};".encode() for part in range(count)]
        for part, data in enumerate(parts):
            flags = (FIRST if part == 0 else 0) | (LAST if part == count - 1 else 0)
            chunks.append(_chunk(tsn + len(chunks), flags, sequence + number, data, stream))
        whole[stream].append(b"".join(parts))
    return chunks, whole


@given(
    messages=st.lists(st.tuples(st.integers(1, 3), st.integers(1, 5)), max_size=20),
    tsn=st.sampled_from([0, 2**32 - 10]),
    data=st.data(),
)
def test_any_order_gives_the_messages_of_each_stream_in_order(
    messages: list[tuple[int, int]], tsn: int, data: st.DataObject
) -> None:
    reassembly = Reassembly()
    chunks, whole = _cut(messages, tsn, 0)
    got: dict[int, list[bytes]] = {}
    held = 0
    for chunk in data.draw(st.permutations(chunks)):
        held += len(chunk.user_data)
        for protocol, message in reassembly.add(chunk):
            assert protocol == 53
            got.setdefault(chunk.stream_id, []).append(message)
            held -= len(message)
        assert reassembly.size == held
    assert got == whole
    assert reassembly.memory == 0


def test_sequence_numbers_start_over() -> None:
    reassembly = Reassembly()
    for number in range(2**16 + 2):
        assert reassembly.add(_chunk(number, sequence=number)) == [(53, b"x")]
    assert reassembly.add(_chunk(2**16 + 3, sequence=2**16 + 3)) == []
    assert len(reassembly.add(_chunk(2**16 + 2, sequence=2**16 + 2))) == 2


def test_memory_counts_the_chunks_that_are_held() -> None:
    reassembly = Reassembly()
    reassembly.add(_chunk(0, FIRST, data=b"abc"))
    reassembly.add(_chunk(5, sequence=3, data=b"de"))
    assert (reassembly.size, reassembly.memory) == (5, 5 + 2 * CHUNK_COST)
    reassembly.add(_chunk(1, LAST))
    assert (reassembly.size, reassembly.memory) == (2, 2 + CHUNK_COST)


def test_what_a_stream_held_is_given_back_when_it_is_reset() -> None:
    reassembly = Reassembly()
    reassembly.add(_chunk(0, FIRST, stream=1))
    reassembly.add(_chunk(7, sequence=4, stream=1))
    reassembly.add(_chunk(9, FIRST, data=b"other", stream=2))
    reassembly.forget(1)
    reassembly.forget(1)
    assert (reassembly.size, reassembly.memory) == (5, 5 + CHUNK_COST)
    assert reassembly.add(_chunk(10, sequence=0, stream=1)) == [(53, b"x")]  # it begins anew


@pytest.mark.parametrize(
    ("chunks", "what"),
    [
        ([_chunk(0, WHOLE | 4)], "unordered"),
        ([_chunk(0), _chunk(1)], "used twice"),
        ([_chunk(3, sequence=2), _chunk(5, sequence=2)], "used twice"),
        ([_chunk(0, FIRST), _chunk(1, WHOLE)], "without an end"),
        ([_chunk(0, FIRST), _chunk(1, LAST, 1)], "without an end"),
        ([_chunk(1, WHOLE, 1), _chunk(0, FIRST)], "without an end"),
        ([_chunk(0, FIRST, data=bytes(MAX_CHUNK)), _chunk(1, MIDDLE)], "65536 bytes"),
        ([_chunk(1, LAST), _chunk(0, FIRST, data=bytes(MAX_CHUNK))], "65536 bytes"),
    ],
)
def test_what_cannot_become_a_message(chunks: list[DataChunk], what: str) -> None:
    reassembly = Reassembly()
    for chunk in chunks[:-1]:
        reassembly.add(chunk)
    with pytest.raises(RemoteProtocolError, match=what):
        reassembly.add(chunks[-1])


@pytest.mark.parametrize("flags", [WHOLE, None], ids=["messages", "fragments"])
def test_the_worst_order_costs_no_more_than_any(flags: Any) -> None:
    """A list that is searched and copied takes seconds for this; limits are processor time."""
    count = 8000
    ends = {0: FIRST, count - 1: LAST}
    chunks = [_chunk(n, flags or ends.get(n, MIDDLE), n if flags else 0) for n in range(count)]
    reassembly = Reassembly()
    begin = time.process_time()
    got = [message for chunk in reversed(chunks) for _, message in reassembly.add(chunk)]
    assert time.process_time() - begin < 0.5
    assert b"".join(got) == b"x" * count
