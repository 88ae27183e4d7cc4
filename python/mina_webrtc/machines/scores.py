"""Whom we have had enough of (protocol.md §4).

A peer that has authenticated has a score: 0 at first, a breach of the protocol costs 50, a minute gives 1 back. At -80
or below, which is two breaches within twenty minutes or three within seventy, it is neither dialled nor accepted for a
while, and comes back with half of what it takes.

Who has not authenticated is counted by source address only, never by the identity that is claimed: after some faults
the offers of that source are refused for a while. So nobody can bring another's identity into disrepute; who shares a
source address with an attacker (behind one NAT, or a proxy that is not among the trusted ones) shares that, no more.
"""

from __future__ import annotations

from typing import TypeVar

from msgspec import Struct

from mina_webrtc.identity import PeerId
from mina_webrtc.machines.admission import source_key

K = TypeVar("K")
V = TypeVar("V")

BREACH = 50.0
LOWEST = -80.0
PARDONED = -40.0
RECOVERY = 1.0 / 60.0
"""Points a second."""
MEMORY = 1024
"""Peers, and sources, remembered at a time; the one whose entry is the oldest is forgotten first."""


class _Score(Struct, frozen=True):
    value: float
    at: float
    banned_until: float = 0.0


class _Faults(Struct, frozen=True):
    count: int
    until: float
    """When they are forgotten, and the source is heard again."""


class Scores:
    """All of them, in bounded tables. Times in seconds on the clock of `now`."""

    def __init__(self, ban: float, max_source_faults: int) -> None:
        self._ban = ban
        self._max_source_faults = max_source_faults
        self._peers: dict[PeerId, _Score] = {}
        self._sources: dict[str, _Faults] = {}

    def state(self) -> dict[str, int]:
        """How many entries there are."""
        return {"scored_peers": len(self._peers), "faulty_sources": len(self._sources)}

    def score(self, peer: PeerId, now: float) -> float:
        """0 at best."""
        entry = self._peers.get(peer)
        return 0.0 if entry is None else min(0.0, entry.value + RECOVERY * (now - entry.at))

    def breach(self, peer: PeerId, now: float) -> bool:
        """An authenticated peer broke the protocol: whether it is banned now."""
        value = self.score(peer, now) - BREACH
        banned = value <= LOWEST
        entry = _Score(PARDONED, now + self._ban, now + self._ban) if banned else _Score(value, now)
        _put(self._peers, peer, entry)
        return banned

    def banned(self, peer: PeerId, now: float) -> bool:
        """Whether it is kept out."""
        entry = self._peers.get(peer)
        return entry is not None and now < entry.banned_until

    def banned_until(self, peer: PeerId) -> float:
        """When a ban ends or ended; 0 without one."""
        entry = self._peers.get(peer)
        return 0.0 if entry is None else entry.banned_until

    def fault(self, source: str, now: float) -> bool:
        """A stranger from `source` broke the protocol: whether this is what bars the source."""
        key = source_key(source)
        entry = self._sources.get(key)
        count = 0 if entry is None or entry.until <= now else entry.count
        _put(self._sources, key, _Faults(count + 1, now + self._ban))
        return count + 1 == self._max_source_faults

    def barred(self, source: str, now: float) -> bool:
        """Whether offers from `source` are refused."""
        entry = self._sources.get(source_key(source))
        return entry is not None and self._is_barred(entry, now)

    def _is_barred(self, faults: _Faults, now: float) -> bool:
        return faults.count >= self._max_source_faults and now < faults.until


def _put(table: dict[K, V], key: K, value: V) -> None:
    table.pop(key, None)
    if len(table) >= MEMORY:
        del table[next(iter(table))]
    table[key] = value
