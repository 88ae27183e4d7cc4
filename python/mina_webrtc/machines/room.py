"""Whom a node that is nearly full drops, so that newcomers find a place (protocol.md §6).

Above 80 % of the maximum it drops one guest at a time: of the best represented network (IPv4 /16, IPv6 /32) the one
that came last. Who was there long stays, so that newcomers take the places of newcomers; and many from one network take
each other's. The reference drops a random peer; there whoever connects most often wins.

Nobody goes before `room_age` is over, except where a network has been there for longer and has several peers, all of
them younger: whoever connects again in time would stay by that, and others would go.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from ipaddress import ip_address

from mina_webrtc.machines.state import Attempt
from mina_webrtc.machines.vocab import Settings

FULL = 0.8
"""Share of the maximum above which room is made (§6)."""
MAX_LEFT = 1024
"""Networks that are remembered after their last peer has gone."""


class Room:
    """When each peer came, since when its network has been there, and when the next one is dropped."""

    def __init__(self, settings: Settings) -> None:
        self._most = max(FULL * settings.max_peers, settings.min_peers)
        self._interval = settings.keeping.room_interval
        self._age = settings.keeping.room_age
        self._since: dict[int, float] = {}
        self._networks: dict[str, float] = {}
        self._peers: Counter[str] = Counter()
        self._left: dict[str, float] = {}
        """Networks whose last peer has gone, in that order; one that returns soon was never away."""
        self.due: float | None = None
        """When a peer is to be dropped."""

    def came(self, link: Attempt, now: float) -> None:
        """A peer is ready."""
        self._since[link.conn] = now
        of = network(link.source)
        self._forget(now)
        self._left.pop(of, None)
        self._networks.setdefault(of, now)
        self._peers[of] += 1

    def gone(self, link: Attempt, now: float) -> None:
        """It is no more."""
        del self._since[link.conn]
        of = network(link.source)
        self._peers[of] -= 1
        if not self._peers[of]:
            del self._peers[of]
            self._left[of] = now
        self._forget(now)

    def drop(self, ready: int, guests: Iterable[Attempt], now: float) -> int | None:
        """The connection to end now, if there is one. `guests`: the peers that may go, of `ready` in all."""
        if ready <= self._most:
            self.due = None
            return None
        due = self.due is not None and self.due <= now
        if due or self.due is None:
            self.due = now + self._interval
        if not due:
            return None
        crowds: dict[str, list[Attempt]] = {}
        for link in guests:
            crowds.setdefault(network(link.source), []).append(link)
        most = max(map(len, crowds.values()), default=0)
        return self._last({of: links for of, links in crowds.items() if len(links) == most}, now - self._age)

    def _last(self, crowds: dict[str, list[Attempt]], old: float) -> int | None:
        """Of equally well represented networks: of the one whose newest peer came last, if one of its peers may go."""

        def came(link: Attempt) -> tuple[float, int]:
            return self._since[link.conn], link.conn

        for of, links in sorted(crowds.items(), key=lambda crowd: max(map(came, crowd[1])), reverse=True):
            returning = links if len(links) > 1 and self._networks[of] <= old else []
            going = [link for link in links if self._since[link.conn] <= old] or returning
            if going:
                return max(going, key=came).conn
        return None

    def _forget(self, now: float) -> None:
        while self._left:
            of = next(iter(self._left))
            if self._left[of] + self._age > now and len(self._left) <= MAX_LEFT:
                return
            del self._left[of], self._networks[of]


def network(source: str | None) -> str:
    """What addresses of one owner have in common: IPv4 /16, IPv6 /32; a relay stands for itself."""
    try:
        ip = ip_address(source or "")
    except ValueError:
        return source or ""
    mapped = getattr(ip, "ipv4_mapped", None)
    packed = (mapped or ip).packed
    return packed[: 2 if len(packed) == 4 else 4].hex()
