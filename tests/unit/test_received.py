"""Which TSNs have come, against a plain set of them."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from mina_webrtc.services.received import Received, ascending

MODULO = 2**32


def _blocks(come: set[int], cumulative: int) -> list[tuple[int, int]]:
    blocks: list[tuple[int, int]] = []
    for position in sorted(p for p in come if p > cumulative):
        offset = position - cumulative
        if blocks and blocks[-1][1] == offset - 1:
            blocks[-1] = (blocks[-1][0], offset)
        else:
            blocks.append((offset, offset))
    return blocks


@given(
    initial=st.one_of(st.integers(MODULO - 40, MODULO - 1), st.integers(0, MODULO - 1)),
    arrivals=st.lists(st.integers(-5, 50), max_size=80),
    limit=st.integers(0, 30),
)
def test_it_is_a_set_of_tsns(initial: int, arrivals: list[int], limit: int) -> None:
    received = Received(initial)
    come = set(range(-5, 1))
    cumulative = 0
    for position in arrivals:
        tsn = (initial + position) % MODULO
        ahead = received.ahead(tsn)
        assert ahead == (0 if position in come else position - cumulative)
        if ahead:
            received.add(ahead)
            come.add(position)
        while cumulative + 1 in come:
            cumulative += 1
        blocks = _blocks(come, cumulative)
        assert received.cumulative == (initial + cumulative) % MODULO
        assert received.broken == bool(blocks)
        assert received.gaps(limit) == blocks[:limit]
        assert received.gaps(100) == blocks
        assert received.ahead(tsn) == 0


def test_half_of_all_tsns_is_behind() -> None:
    received = Received(5)
    assert received.ahead(4 + 2**31) == 2**31 - 1
    assert received.ahead(5 + 2**31) == 0


def test_they_start_over_within_a_gap() -> None:
    received = Received(MODULO - 3)
    for tsn in (MODULO - 1, 1, 0):
        received.add(received.ahead(tsn))
    assert received.gaps(9) == [(2, 4)]
    received.add(received.ahead(MODULO - 2))
    assert (received.cumulative, received.broken) == (1, False)


@given(
    gaps=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=20),
    limit=st.integers(0, 50),
)
def test_gap_blocks_are_made_ascending_and_never_name_more(gaps: list[tuple[int, int]], limit: int) -> None:
    blocks = ascending(gaps, limit)
    ends = [end for block in blocks for end in block]
    assert ends == sorted(ends)
    assert all(before[1] < after[0] for before, after in pairwise(blocks))
    named = {position for start, end in gaps for position in range(start, end + 1)}
    assert {position for start, end in blocks for position in range(start, end + 1)} <= named & set(range(1, limit + 1))


def test_gap_blocks_that_are_sound_stay_as_they_are() -> None:
    assert ascending([(2, 2), (4, 9), (11, 400)], 20) == [(2, 2), (4, 9), (11, 20)]
    assert ascending([(1, 65_535)] * 4000, 916) == [(1, 916)]
