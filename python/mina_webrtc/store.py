"""The store: owns the machines' state and their deadlines, counts what was ignored, and hands out effects.

It is as deterministic as the machines: whoever drives it brings the time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Any

from mina_webrtc.machines.peers import Peers
from mina_webrtc.machines.state import State
from mina_webrtc.machines.vocab import CancelTimer, Effect, Event, Ignored, SetTimer, Settings, Timer, TimerFired

Name = tuple[Timer, int, int]


class Store:
    """One node's machines and timers."""

    def __init__(self, settings: Settings) -> None:
        self._peers = Peers(settings)
        self._timers = Timers()
        self.ignored: Counter[str] = Counter()
        """Late events by name (architecture rule 4)."""

    def dispatch(self, event: Event, now: float) -> list[Effect]:
        """Gives one event to the machines and returns what is to be done, in order; timers are seen to here. Raises
        `LocalProtocolError`, and has changed nothing then, for an event that cannot happen."""
        rest = []
        for effect in self._peers.on(event, now):
            match effect:
                case SetTimer(timer=timer, conn=conn, key=key, at=at):
                    self._timers.arm((timer, conn, key), at)
                case CancelTimer(timer=timer, conn=conn, key=key):
                    self._timers.disarm((timer, conn, key))
                case _:
                    if isinstance(effect, Ignored):
                        self.ignored[effect.event] += 1
                    rest.append(effect)
        return rest

    def deadline(self) -> float | None:
        """When `next_due` has something to give, on the clock of `now`."""
        return self._timers.deadline()

    def next_due(self, now: float) -> TimerFired | None:
        """Takes out the earliest timer that is due, as the event to dispatch next; None when none is (any more)."""
        name = self._timers.due(now)
        return None if name is None else TimerFired(*name)

    def armed(self) -> list[Name]:
        """Every deadline there is, by its name."""
        return list(self._timers)

    def due(self, name: Name) -> float | None:
        """When a deadline is, None when there is none of that name."""
        return self._timers.due_at(name)

    def connection(self, conn: int) -> State | None:
        """A connection's state as it is, for who examines it; None when it is over."""
        return self._peers.connection(conn)

    def state(self) -> dict[str, Any]:
        """A plain snapshot of public data: ready peers, attempts, counts."""
        return {**self._peers.state(), "timers": len(self._timers), "ignored": dict(self.ignored)}


class Timers:
    """Named deadlines. Replacing and disarming leave a stale entry in the heap, which is passed over when it comes up,
    and swept out when most entries are such."""

    SLACK = 64
    """Stale entries that are not worth a sweep."""

    def __init__(self) -> None:
        self._armed: dict[Name, tuple[float, int]] = {}
        self._heap: list[tuple[float, int, Name]] = []
        self._serial = count()

    def __len__(self) -> int:
        return len(self._armed)

    def __iter__(self) -> Iterator[Name]:
        return iter(self._armed)

    def arm(self, name: Name, at: float) -> None:
        """Sets or moves a deadline."""
        entry = (at, next(self._serial))
        self._armed[name] = entry
        heappush(self._heap, (*entry, name))
        if len(self._heap) > 2 * len(self._armed) + self.SLACK:
            self._heap = [(*armed, name) for name, armed in self._armed.items()]
            heapify(self._heap)

    def disarm(self, name: Name) -> None:
        """Removes a deadline; no error when there is none."""
        self._armed.pop(name, None)

    def due_at(self, name: Name) -> float | None:
        """When that one is; None when it is not armed."""
        entry = self._armed.get(name)
        return None if entry is None else entry[0]

    def deadline(self) -> float | None:
        """The earliest one."""
        self._skip_stale()
        return self._heap[0][0] if self._heap else None

    def due(self, now: float) -> Name | None:
        """Takes out the earliest deadline if it is not after `now`."""
        self._skip_stale()
        if not self._heap or self._heap[0][0] > now:
            return None
        name = heappop(self._heap)[2]
        del self._armed[name]
        return name

    def _skip_stale(self) -> None:
        heap = self._heap
        while heap and self._armed.get(heap[0][2]) != heap[0][:2]:
            heappop(heap)
