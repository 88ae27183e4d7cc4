"""Which TSNs have come: all up to a cumulative one, and disjoint ranges above it (RFC 9260 §3.3.4)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from aiortc.rtcsctptransport import SCTP_TSN_MODULO

HALF = SCTP_TSN_MODULO // 2
"""What is further ahead than this is behind (RFC 9260 §1.6, serial number arithmetic)."""


class Received:
    """What has come of an association's TSNs. Costs the logarithm of the number of ranges and one move in a list.

    Inside, TSNs are counted on instead of starting over at 2**32, so that they compare as they are.
    """

    __slots__ = ("_ends", "_last", "_starts")

    def __init__(self, cumulative: int) -> None:
        self._last = cumulative
        self._starts: list[int] = []
        self._ends: list[int] = []

    @property
    def cumulative(self) -> int:
        """The last TSN before the first that is missing."""
        return self._last % SCTP_TSN_MODULO

    @property
    def broken(self) -> bool:
        """Whether anything is missing below something that has come."""
        return bool(self._starts)

    def ahead(self, tsn: int) -> int:
        """How far `tsn` is after the cumulative one; 0 when it has come already."""
        distance = (tsn - self._last) % SCTP_TSN_MODULO
        if distance >= HALF:
            return 0
        if self._starts:
            index = bisect_right(self._starts, self._last + distance)
            if index and self._last + distance <= self._ends[index - 1]:
                return 0
        return distance

    def add(self, ahead: int) -> None:
        """The TSN that is this far after the cumulative one has come, which it had not before."""
        starts, ends = self._starts, self._ends
        if ahead == 1:
            self._last += 1
            if starts and starts[0] == self._last + 1:
                self._last = ends.pop(0)
                starts.pop(0)
            return
        position = self._last + ahead
        index = bisect_right(starts, position)
        follows = index > 0 and ends[index - 1] == position - 1
        precedes = index < len(starts) and starts[index] == position + 1
        if follows and precedes:
            del ends[index - 1], starts[index]
        elif follows:
            ends[index - 1] = position
        elif precedes:
            starts[index] = position
        else:
            starts.insert(index, position)
            ends.insert(index, position)

    def gaps(self, limit: int) -> list[tuple[int, int]]:
        """The first `limit` ranges as gap blocks: their ends, counted from the cumulative TSN."""
        last = self._last
        return [(start - last, end - last) for start, end in zip(self._starts[:limit], self._ends[:limit], strict=True)]


def ascending(gaps: Iterable[tuple[int, int]], limit: int) -> list[tuple[int, int]]:
    """Gap blocks as a SACK must have them: ascending, apart, and within what was sent; what is not so is cut off."""
    blocks: list[tuple[int, int]] = []
    before = 0
    for start, end in gaps:
        begin, last = max(start, before + 1), min(end, limit)
        if begin <= last:
            blocks.append((begin, last))
            before = last
    return blocks
