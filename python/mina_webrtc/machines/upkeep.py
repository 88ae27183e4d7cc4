"""How a node keeps itself connected: whom it dials by itself, whom it asks for addresses, whom it drops to make room
(protocol.md §4, §6, §9).

- Below the minimum it dials known addresses that are due, a few at a time; when these do not suffice it asks ready
  peers for theirs. Own experience goes first: seeds, then what worked (what failed least and worked last first), then
  what others told, by chance and the tellers by turns. Equals go by chance, too, or a network's first seed would get
  every newcomer.
- Without a connection to any seed it dials the seeds that are due, also above the minimum, so that halves of a network
  that were apart find together through them.
- It connects to two seeds at once, and to one more whenever these, and whom they tell of, have not brought the missing
  peers for a while. Seeds are few: where each newcomer takes as many of their places as it misses peers, the last ones
  find all of them full.
- Of the peers that it looks for, at most half (and three) may come through one teller that is not a seed.
- When it is nearly full it makes room (`room`), never at the cost of a seed or of a peer that was dialled here.

Without a minimum and without seeds it does none of this but making room.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from math import inf
from typing import TypeVar

from msgspec import Struct

from mina_webrtc.identity import PeerId
from mina_webrtc.machines.chance import Chance
from mina_webrtc.machines.keeping import Known, Origin
from mina_webrtc.machines.known import KnownAddresses
from mina_webrtc.machines.peer import Success
from mina_webrtc.machines.room import Room
from mina_webrtc.machines.scores import Scores
from mina_webrtc.machines.slots import Slot
from mina_webrtc.machines.state import Attempt, State
from mina_webrtc.machines.vocab import (
    CancelTimer,
    Effect,
    Failure,
    Fault,
    PeerBanned,
    SetTimer,
    Settings,
    SourceBarred,
    Timer,
)
from mina_webrtc.wire.address import DialAddress, Relayed

Effects = list[Effect]

T = TypeVar("T")

MAX_ASKED = 2
"""Peers asked for addresses at a time."""
ANCHORS = 2
"""Seeds that a node connects to at once; others wait for `PATIENCE`."""
PATIENCE = 10.0
"""Seconds from one seed to the next, once there are so many."""
LEAST_SHARE = 3
"""How many peers may come through one teller in any case."""
OURS = frozenset({"closed", "room", "protocol_error"})
"""Reasons for which we ended a connection ourselves."""


class Plan(Struct, frozen=True):
    """What is to be done now."""

    drop: int | None
    dial: list[Known]
    ask: list[int]


class Upkeep:
    """Watches what becomes of connections; `plan` says what to do about it. The tables it reads are the root's own."""

    def __init__(
        self,
        settings: Settings,
        chance: Chance,
        slots: Mapping[PeerId, Slot],
        states: Mapping[int, State],
        ready: Mapping[PeerId, int],
        dialled: Mapping[PeerId, int],
    ) -> None:
        self._settings = settings
        self._keeping = keeping = settings.keeping
        self._chance = chance
        self._slots = slots
        self._states = states
        self._ready = ready
        self._dialled = dialled
        self.known = KnownAddresses(keeping, settings.public_key.peer_id, chance)
        self.scores = Scores(keeping.ban, keeping.max_source_faults)
        self.stirred = False
        """Something has happened that may call for a plan."""
        self._room = Room(settings)
        self._asked: dict[int, float] = {}
        self._asking: set[int] = set()
        self._armed: float | None = None
        self._anchored_at = -inf
        """When a seed was last chosen to be dialled."""

    # ------------------------------------------------------------ what happens

    def given(self, entries: Iterable[Known]) -> Effects:
        """Seeds and remembered addresses came in."""
        self.stirred = True
        return self.known.give(entries)

    def attempt_over(self, link: Attempt, failure: Failure, now: float) -> Effects:
        """An attempt has ended without a ready peer."""
        self.stirred = True
        if link.address is not None:
            return self.known.failed(link.address, failure, now, alone=not self._ready)
        if failure.fault is Fault.SOURCE and link.source is not None:
            return self.offended(link.source, now)
        return []

    def offended(self, source: str, now: float) -> Effects:
        """A stranger broke the protocol."""
        barred = self.scores.fault(source, now)
        return [SourceBarred(source, self._keeping.ban)] if barred else []

    def peer_ready(self, link: Attempt, now: float) -> Effects:
        """A peer has authenticated and is taken."""
        self.stirred = True
        self._room.came(link, now)
        if link.address is not None:
            return [] if isinstance(link.address.method, Relayed) else self.known.succeeded(link.address, now)
        return self.known.claim(link.claim, now) if link.claim is not None else []

    def peer_gone(self, link: Attempt, failure: Failure, now: float, *, replaced: bool) -> Effects:
        """A ready peer's connection is over; `replaced` by another one with the same peer."""
        self.stirred = True
        self._room.gone(link, now)
        self._asked.pop(link.conn, None)
        self._asking.discard(link.conn)
        if replaced:
            return []
        effects = self.known.lost(link.peer, now, ours=failure.reason in OURS)
        return effects + (self.breached(link.peer, now) if failure.fault is Fault.PEER else [])

    def breached(self, peer: PeerId, now: float) -> Effects:
        """A peer that had authenticated broke the protocol."""
        return [PeerBanned(peer, self._keeping.ban)] if self.scores.breach(peer, now) else []

    def heard(self, conn: int, addresses: Iterable[DialAddress], now: float) -> Effects:
        """A peer that was asked has answered."""
        self.stirred = True
        self._asking.discard(conn)
        return self.known.learn(addresses, self._states[conn].link.peer, now)

    def unheard(self, conn: int) -> None:
        """A peer that was asked did not answer. It is not asked again: what it owes counts among our open requests."""
        self.stirred = True
        self._asking.discard(conn)
        self._asked[conn] = inf

    # ------------------------------------------------------------ what to do

    def plan(self, now: float) -> Plan:
        """What is to be done now; `arm` is called when it has been."""
        dials = self._dials(now)
        return Plan(
            self._room.drop(len(self._ready), self._guests(), now),
            dials,
            self._ask(now) if self.missing() > len(dials) else [],
        )

    def arm(self, now: float) -> Effects:
        """When to look again."""
        self.stirred = False
        at = min(self._moments(now), default=None)
        if at == self._armed:
            return []
        self._armed = at
        return [CancelTimer(Timer.UPKEEP, 0, 0) if at is None else SetTimer(Timer.UPKEEP, 0, 0, at)]

    def fired(self) -> None:
        """The UPKEEP timer did."""
        self._armed = None
        self.stirred = True

    def _moments(self, now: float) -> list[float]:
        """What is due and not done now waits for another event: a dial that ends, an answer, a peer that goes."""
        moments = [] if self._room.due is None else [self._room.due]
        if self._own_dials() < self._keeping.max_dials:
            seeds_at = self._seeds_at()
            moments += [self._due(known, seeds_at) for known in self._candidates()]
        if self.missing() > 0 and len(self._asking) < MAX_ASKED:
            moments += [at + self._keeping.ask_interval for conn, at in self._asked.items() if conn not in self._asking]
        return [at for at in moments if now < at < inf]

    # ------------------------------------------------------------ dialling

    def taken(self) -> int:
        """Ready peers and those that we dial."""
        return len(self._ready) + sum(peer not in self._ready for peer in self._dialled)

    def missing(self) -> int:
        """How many peers are wanted beyond these (§6)."""
        return self._settings.min_peers - self.taken()

    def has_room(self) -> bool:
        """Whether a peer more would be taken, attempts of both directions counted (§6)."""
        return len(self._slots) < self._settings.max_peers

    def _own_dials(self) -> int:
        return sum(state.link.known is not None and type(state) is not Success for state in self._states.values())

    def _dials(self, now: float) -> list[Known]:
        count = min(self.missing(), self._keeping.max_dials - self._own_dials())
        anchorless = self._anchorless()
        if count <= 0 and not anchorless:
            return []
        seeds_at = self._seeds_at()
        due = [known for known in self._candidates() if self._due(known, seeds_at) <= now]
        seeds = max(ANCHORS - self._anchors(), 1)
        chosen: dict[PeerId, Known] = {}
        told: Counter[PeerId] = Counter()
        for known in self._ranked(due):
            seed = known.origin is Origin.CONFIGURED
            teller = known.teller if known.success is None else None
            if known.address.peer in chosen or (teller is not None and not self._may_tell(teller, told[teller])):
                continue
            if (not seed or seeds > 0) and len(chosen) < max(count, 1 if anchorless and seed else 0):
                chosen[known.address.peer] = known
                told.update([teller] if teller is not None else [])
                seeds -= seed
                self._anchored_at = now if seed else self._anchored_at
        return list(chosen.values())

    def _anchors(self) -> int:
        """How many seeds are ready or dialled."""
        return sum(seed in self._ready or seed in self._dialled for seed in self.known.seeds)

    def _seeds_at(self) -> float:
        """Seeds are not dialled before: at any time while there are few."""
        return self._anchored_at + PATIENCE if self._anchors() >= ANCHORS else -inf

    def _anchorless(self) -> bool:
        """Whether a connection to a seed is missing, and room for it is not; as for `missing`, offers of others do not
        count."""
        seeds, room = self.known.seeds, self.taken() < self._settings.max_peers
        return bool(seeds) and seeds.isdisjoint(self._ready) and seeds.isdisjoint(self._dialled) and room

    def _candidates(self) -> list[Known]:
        """What could be dialled, now or later, and is wanted: seeds only where nothing but a seed is missing."""
        all_ = self.missing() > 0
        if not all_ and not self._anchorless():
            return []
        return [
            known
            for known in self.known
            if (all_ or known.origin is Origin.CONFIGURED) and not self._busy(known.address.peer)
        ]

    def _busy(self, peer: PeerId) -> bool:
        # an offer that only claims to be from this peer does not keep us from dialling it (§4)
        slot = self._slots.get(peer)
        return slot is not None and (slot.ready is not None or slot.outgoing is not None or slot.given_way is not None)

    def _due(self, known: Known, seeds_at: float) -> float:
        due = max(known.next_try, self.scores.banned_until(known.address.peer))
        return max(due, seeds_at) if known.origin is Origin.CONFIGURED else due

    def _ranked(self, due: list[Known]) -> list[Known]:
        own = self._shuffled([known for known in due if known.success is not None or not known.origin.foreign])
        own.sort(key=lambda known: (known.origin is not Origin.CONFIGURED, known.failures, -(known.success or 0.0)))
        tellers: dict[PeerId | None, list[Known]] = {}
        for known in due:
            if known.success is None and known.origin.foreign:
                tellers.setdefault(known.teller, []).append(known)
        queues = [self._shuffled(queue) for queue in self._shuffled(list(tellers.values()))]
        turns = (
            queue[turn] for turn in range(max(map(len, queues), default=0)) for queue in queues if turn < len(queue)
        )
        return [*own, *turns]

    def _shuffled(self, items: list[T]) -> list[T]:
        keyed = [(self._chance.bits(), index) for index in range(len(items))]
        return [items[index] for _, index in sorted(keyed)]

    def _may_tell(self, teller: PeerId, more: int = 0) -> bool:
        if teller in self.known.seeds:
            return True
        through = sum(_teller(state.link) == teller for state in self._states.values())
        return through + more < max(self._settings.min_peers // 2, LEAST_SHARE)

    # ------------------------------------------------------------ asking

    def _ask(self, now: float) -> list[int]:
        before = now - self._keeping.ask_interval
        free = [conn for conn in self._ready.values() if self._asked.get(conn, before) <= before]
        chosen = self._shuffled(free)[: MAX_ASKED - len(self._asking)]
        for conn in chosen:
            self._asked[conn] = now
            self._asking.add(conn)
        return chosen

    # ------------------------------------------------------------ making room

    def _guests(self) -> Iterator[Attempt]:
        """Peers that nobody here asked for."""
        for conn in self._ready.values():
            link = self._states[conn].link
            if not (link.outgoing or self._slots[link.peer].wanted or link.peer in self.known.seeds):
                yield link


def _teller(link: Attempt) -> PeerId | None:
    """Who told of this peer, as long as it has not been good by itself."""
    return link.known.teller if link.known is not None and link.known.success is None else None
