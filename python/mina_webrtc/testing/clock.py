"""Virtual time: what is to happen, in order of its moment. An hour passes as fast as its events are handled."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any


class Clock:
    """Seconds since the simulation began. Two things at one moment happen in the order they were arranged in."""

    __slots__ = ("_heap", "_serial", "now")

    def __init__(self) -> None:
        self.now = 0.0
        self._serial = 0
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []

    def __len__(self) -> int:
        return len(self._heap)

    def at(self, when: float, action: Callable[..., None], *arguments: Any) -> None:
        """`action(*arguments)` at `when`, or now when that has passed."""
        self._serial += 1
        heappush(self._heap, (when, self._serial, action, arguments))

    def after(self, delay: float, action: Callable[..., None], *arguments: Any) -> None:
        """The same, `delay` seconds from now."""
        self._serial += 1
        heappush(self._heap, (self.now + delay, self._serial, action, arguments))

    def step(self, until: float) -> bool:
        """The next thing, if it is not after `until`; whether there was one."""
        heap = self._heap
        if not heap or heap[0][0] > until:
            return False
        when, _, action, arguments = heappop(heap)
        self.now = max(self.now, when)
        action(*arguments)
        return True

    def run(self, until: float) -> None:
        """Everything up to `until`; then it is that late."""
        while self.step(until):
            pass
        self.now = max(self.now, until)
