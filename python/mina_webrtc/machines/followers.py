"""What the outcome of one event means for others: the components beside the connections follow the effects."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from mina_webrtc.machines.vocab import Effect

Effects = list[Effect]
Follow = Callable[[Any, float], tuple[bool, Effects]]
"""(effect, now) → whether it leaves the core, and what follows it."""


class Followers:
    """Who follows which effects."""

    def __init__(self) -> None:
        self._of: dict[type[Effect], Follow] = {}

    def add(self, kind: type[Effect], follow: Follow) -> None:
        """`follow` is told of every effect of that kind; after those who were before it."""
        before = self._of.get(kind)
        self._of[kind] = follow if before is None else _both(before, follow)

    def consume(self, kind: type[Effect], follow: Callable[[Any, float], Effects]) -> None:
        """The same for an effect that never leaves the core."""
        self.add(kind, lambda effect, now: (False, follow(effect, now)))

    def settle(self, effects: Effects, now: float) -> Effects:
        """The effects that leave the core, in order, each before what follows it."""
        if self._of.keys().isdisjoint(map(type, effects)):
            return effects
        done: Effects = []
        queue = deque(effects)
        while queue:
            effect = queue.popleft()
            follow = self._of.get(type(effect))
            leaves, more = (True, []) if follow is None else follow(effect, now)
            if leaves:
                done.append(effect)
            queue.extendleft(reversed(more))
        return done


def _both(one: Follow, two: Follow) -> Follow:
    def follow(effect: Effect, now: float) -> tuple[bool, Effects]:
        first, effects = one(effect, now)
        second, more = two(effect, now)
        return first and second, effects + more

    return follow
