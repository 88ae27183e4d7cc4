"""Known addresses: where they came from, how they did, and when each may be dialled again (protocol.md §4, §6).

Bounds: `max_known` in all, three for one peer, `max_learnt_per_peer` untried ones from one teller. When the table is
full, a newcomer takes the place of the worst address that was never good, and has none if there is no such address: who
floods us with addresses pushes out others that nobody has tried, never one that has worked or was configured.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address

from msgspec.structs import replace

from mina_webrtc.errors import KeyFormatError
from mina_webrtc.identity import PeerId
from mina_webrtc.machines.chance import Chance
from mina_webrtc.machines.keeping import Keeping, Known, Origin
from mina_webrtc.machines.vocab import DropAddress, Effect, Failure, KeepAddress, Stage
from mina_webrtc.wire.address import DialAddress, Relayed
from mina_webrtc.wire.signal import RejectionReason

Effects = list[Effect]

PER_PEER = 3
"""Addresses of one peer: direct, through a proxy, and the one it had before."""
JITTER = 0.2
"""Share by which waiting times are spread, so that those who lost a peer together do not return together."""
ANCHOR = 1.5
"""A configured address is tried again after at most so many first waiting times: it is what a node without peers, or
on the wrong side of a partition that has healed, comes back by."""
HOPELESS = frozenset({"forbidden", "bad_host", "invalid_peer_id", "no_url"})
"""Failures that no waiting mends."""
NEUTRAL = frozenset({"cancelled", "superseded", "closed", RejectionReason.ALREADY_CONNECTED.value})
"""Ends of a dial that say nothing against its address."""


class KnownAddresses:
    """The table. Methods that change it say what is to be stored."""

    def __init__(self, keeping: Keeping, me: PeerId, chance: Chance) -> None:
        self._keeping = keeping
        self._me = me
        self._chance = chance
        self._known: dict[DialAddress, Known] = {}
        self._of_peer: dict[PeerId, list[DialAddress]] = {}
        self.seeds: set[PeerId] = set()
        """Peers of the configuration; their addresses are never dropped."""

    def __len__(self) -> int:
        return len(self._known)

    def __iter__(self) -> Iterator[Known]:
        return iter(self._known.values())

    def told_to(self, asker: PeerId, limit: int) -> list[DialAddress]:
        """What the asker may know: addresses at which a dial of ours authenticated, and none has failed since (§4), the
        newest first."""
        good = [
            known
            for known in self._known.values()
            if known.success is not None and not known.failures and known.address.peer != asker
        ]
        good.sort(key=lambda known: -(known.success or 0.0))
        newest: dict[PeerId, DialAddress] = {}
        for known in good:
            newest.setdefault(known.address.peer, known.address)
        return list(newest.values())[:limit]

    # ------------------------------------------------------------ addresses come

    def give(self, entries: Iterable[Known]) -> Effects:
        """Addresses of the configuration and of the store, as they are."""
        effects: Effects = []
        for given in entries:
            before = self._known.get(given.address)
            if not self._dialable(given.address):
                continue
            if before is None:
                effects += self._add(given)
            elif given.origin is Origin.CONFIGURED:
                # what the store remembers of a seed stays, but it is tried at once
                effects += self._set(replace(before, origin=given.origin, teller=None, next_try=given.next_try))
        return effects

    def learn(self, addresses: Iterable[DialAddress], teller: PeerId, now: float) -> Effects:
        """An authenticated peer told of these."""
        untried = sum(known.teller == teller and known.success is None for known in self._known.values())
        effects: Effects = []
        for address in addresses:
            before = self._known.get(address)
            if before is not None and before.success is not None and before.failures:
                # it works for others: what kept us from it may be over, as a partition is
                soon = now + self._wait(0)
                effects += self._set(replace(before, next_try=soon)) if soon < before.next_try else []
            if untried >= self._keeping.max_learnt_per_peer:
                continue
            if before is None and self._plausible(address):
                added = self._add(Known(address=address, origin=Origin.LEARNT, teller=teller, next_try=now))
                untried += bool(added)
                effects += added
        return effects

    def claim(self, address: DialAddress, now: float) -> Effects:
        """The peer at `address` has authenticated by an offer that names it; a claim before this one is replaced."""
        if address in self._known or not self._plausible(address):
            return []
        effects: Effects = []
        for old in [self._known[known] for known in self._of_peer.get(address.peer, ())]:
            if old.origin is Origin.CLAIMED and old.success is None:
                effects += self._drop(old.address)
        wait = now + self._wait(0)
        return effects + self._add(Known(address=address, origin=Origin.CLAIMED, teller=address.peer, next_try=wait))

    # ------------------------------------------------------------ how they did

    def succeeded(self, address: DialAddress, now: float) -> Effects:
        """A dial to it has authenticated."""
        before = self._known.get(address)
        if before is None:
            return self._add(Known(address=address, origin=Origin.DIALLED, success=now, next_try=now))
        return self._set(replace(before, success=now, failures=0, next_try=now))

    def failed(self, address: DialAddress, failure: Failure, now: float, *, alone: bool) -> Effects:
        """A dial to it has ended without a ready peer. `alone`: we have no other peer."""
        before = self._known.get(address)
        if before is None:
            return []
        if failure.reason in HOPELESS and before.origin.foreign:
            return self._drop(address)
        if failure.stage is Stage.READY or failure.reason in NEUTRAL:
            return self._set(replace(before, next_try=now + self._wait(0)))
        wait = self._wait(before.failures)
        full = failure.reason == RejectionReason.PEER_CAPACITY_FULL.value
        if before.origin is Origin.CONFIGURED and (alone or not full):
            # one that is full lives, and who has other peers need not ask it so often
            wait = min(wait, self._spread(ANCHOR * self._keeping.reconnect))
        return self._set(replace(before, failures=before.failures + 1, next_try=now + wait))

    def lost(self, peer: PeerId, now: float, *, ours: bool) -> Effects:
        """The connection to `peer` is over; `ours`: we ended it, and do not want it back soon."""
        wait = self._spread(self._keeping.reconnect_max) if ours else self._wait(0)
        effects: Effects = []
        for address in self._of_peer.get(peer, ()):
            effects += self._set(replace(self._known[address], next_try=now + wait))
        return effects

    def _wait(self, failures: int) -> float:
        keeping = self._keeping
        return self._spread(min(keeping.reconnect * 2.0 ** min(failures, 32), keeping.reconnect_max))

    def _spread(self, wait: float) -> float:
        return self._chance.spread(wait, JITTER)

    # ------------------------------------------------------------ the table

    def _dialable(self, address: DialAddress) -> bool:
        if address.peer == self._me or isinstance(address.method, Relayed):
            return False
        try:
            address.peer.public_key  # noqa: B018  # a peer id's text is not checked against the curve, §1
        except KeyFormatError:
            return False
        return True

    def _plausible(self, address: DialAddress) -> bool:
        """What need not be tried at all; the policy itself is applied to what a name resolves to (§5)."""
        if not self._dialable(address):
            return False
        ip = address.method.host.value  # type: ignore[attr-defined]  # every method but `Relayed` has a host
        if not isinstance(ip, IPv4Address | IPv6Address):
            return True
        networks = self._keeping.learnt_networks
        return ip.is_global or any(ip.version == network.version and ip in network for network in networks)

    def _add(self, known: Known) -> Effects:
        peer = known.address.peer
        siblings = self._of_peer.get(peer, [])
        if len(siblings) >= PER_PEER and known.origin.foreign:
            return []
        effects: Effects = []
        if len(self._known) >= self._keeping.max_known:
            worst = self._worst(known.origin.foreign)
            if worst is None:
                return []
            effects += self._drop(worst.address)
        self._of_peer.setdefault(peer, []).append(known.address)
        return effects + self._set(known)

    def _worst(self, foreign: bool) -> Known | None:
        """Who makes place for a newcomer: of those that never worked the one that failed most, the oldest first. One
        that has worked goes only for an address of our own."""
        never = [known for known in self._known.values() if known.origin.foreign and known.success is None]
        if never:
            return max(never, key=lambda known: known.failures)
        if foreign:
            return None
        others = [known for known in self._known.values() if known.origin is not Origin.CONFIGURED]
        return min(others, key=lambda known: known.success or 0.0, default=None)

    def _set(self, known: Known) -> Effects:
        self._known[known.address] = known
        if known.origin is Origin.CONFIGURED:
            self.seeds.add(known.address.peer)
        return [KeepAddress(known)]

    def _drop(self, address: DialAddress) -> Effects:
        del self._known[address]
        siblings = self._of_peer[address.peer]
        siblings.remove(address)
        if not siblings:
            del self._of_peer[address.peer]
        return [DropAddress(address)]
