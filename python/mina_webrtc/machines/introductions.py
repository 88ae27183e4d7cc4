"""We are the relay: who wants a peer, who takes an offer, and who was told of whom (protocol.md §9).

A target is promised to one asker at a time, and an asker has one offer under way: the turns of channels 1 and 2 see to
both. Two peers are introduced once within a while, whoever of them asked, and however it went.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from mina_webrtc.errors import BinProtError
from mina_webrtc.identity import PeerId
from mina_webrtc.machines.chance import Chance
from mina_webrtc.machines.discovery import Guide
from mina_webrtc.machines.exchange import Exchange, Post
from mina_webrtc.machines.followers import Followers
from mina_webrtc.machines.state import Attempt
from mina_webrtc.machines.vocab import Effect, PeerClosed, SetTimer, Settings, Timer
from mina_webrtc.machines.words import Declined, OfferEntrusted, PeerWanted, TargetAnswered, TargetReady
from mina_webrtc.wire.channels import Channel

Effects = list[Effect]

PAIRS = 8192
"""Pairs remembered: all pairs of 128 peers. A pair that is forgotten early may be introduced again."""


class Ready(Protocol):
    """The ready peers, by connection: what `peers` is to the components beside it."""

    chance: Chance

    def link(self, conn: int) -> Attempt:
        """Of a live connection."""

    def part(self, conn: int, channel: Channel) -> Any:
        """A ready peer's machine of a channel; None when the peer is gone."""

    def change(self, conn: int, channel: Channel, step: Callable[[Any], tuple[Any, Effects]]) -> Effects:
        """Takes a step of a ready peer's machine; nothing when the peer is gone."""


class Introductions:
    """The relay's side of all connections."""

    def __init__(self, settings: Settings, ready: Ready) -> None:
        self._ready = ready
        self._askers: dict[int, PeerId] = {}
        """They want a peer and have been told of none."""
        self._targets: dict[int, PeerId] = {}
        """They take an offer and are promised to nobody."""
        self._target_of: dict[int, int] = {}
        self._asker_of: dict[int, int] = {}
        self._pairs = Pairs(settings.pair_memory)

    def state(self) -> dict[str, int]:
        """Counts, for a snapshot."""
        counts = {"askers": len(self._askers), "targets": len(self._targets)}
        return {**counts, "promises": len(self._target_of), "pairs": len(self._pairs)}

    # ------------------------------------------------------------ words

    def wanted(self, word: PeerWanted, now: float) -> Effects:
        """The peer wants another one."""
        self._askers[word.conn] = self._ready.link(word.conn).peer
        return self._match_asker(word.conn, now)

    def ready(self, word: TargetReady, now: float) -> Effects:
        """The peer takes an offer."""
        self._targets[word.conn] = self._ready.link(word.conn).peer
        return self._match_target(word.conn, now)

    def declined(self, word: Declined, now: float) -> Effects:
        """No offer for the target: others may have it."""
        target = self._part(word.conn)
        return [] if target is None else self._set_free(target, now)

    def entrusted(self, word: OfferEntrusted, now: float) -> Effects:
        """The offer goes on to the target, which may be gone by now."""
        asker, key = word.conn, self._ready.link(word.conn).key
        target = self._target_of.get(asker)
        if target is None:
            return self._answer(asker, None)
        try:
            return self._exchange(target, lambda part: part.deliver(key, word.offer, now))
        except BinProtError:
            # the offerer's key makes it 32 bytes longer here: it fits channel 1, and not channel 2
            self._part(asker)
            return [*self._answer(asker, None), *self._set_free(target, now)]

    def answered(self, word: TargetAnswered, now: float) -> Effects:
        """The target's answer, or none, goes back to the asker, if that one is still there."""
        asker = self._asker_of.get(word.conn)
        if asker is None:
            return []
        self._part(asker)
        return self._answer(asker, word)

    def gone(self, conn: int, now: float) -> Effects:
        """A peer is gone, with all that it was in."""
        self._askers.pop(conn, None)
        self._targets.pop(conn, None)
        effects: Effects = []
        asker = self._asker_of.get(conn)
        if asker is not None:
            self._part(asker)
            asking = self._ready.part(asker, Channel.DISCOVERY)
            if asking is not None and asking.guide is Guide.ENTRUSTED:
                effects += self._answer(asker, None)
        target = self._part(conn)
        taking = None if target is None else self._ready.part(target, Channel.EXCHANGE)
        if target is not None and taking is not None and taking.post is Post.PROMISED:
            effects += self._set_free(target, now)
        return effects

    def forget(self, now: float) -> Effects:
        """The PAIRS timer fired: some may be introduced again."""
        self._pairs.forget(now)
        effects = self._arm()
        for asker in list(self._askers):
            effects += self._match_asker(asker, now)
        return effects

    def follow(self, followers: Followers) -> None:
        """Whose effects matter here."""
        followers.consume(PeerWanted, self.wanted)
        followers.consume(TargetReady, self.ready)
        followers.consume(Declined, self.declined)
        followers.consume(OfferEntrusted, self.entrusted)
        followers.consume(TargetAnswered, self.answered)
        followers.add(PeerClosed, lambda effect, now: (True, self.gone(effect.conn, now)))

    # ------------------------------------------------------------ matches

    def _match_asker(self, asker: int, now: float) -> Effects:
        peer = self._askers[asker]
        return self._choose([(asker, target) for target, other in self._targets.items() if self._fit(peer, other)], now)

    def _match_target(self, target: int, now: float) -> Effects:
        peer = self._targets[target]
        return self._choose([(asker, target) for asker, other in self._askers.items() if self._fit(other, peer)], now)

    def _fit(self, asker: PeerId, target: PeerId) -> bool:
        return asker != target and (asker, target) not in self._pairs

    def _choose(self, pairs: list[tuple[int, int]], now: float) -> Effects:
        if not pairs:
            return []
        asker, target = pairs[self._ready.chance.below(len(pairs))]
        idle = not self._pairs
        self._pairs.remember(self._askers.pop(asker), self._targets.pop(target), now)
        self._target_of[asker], self._asker_of[target] = target, asker
        key = self._ready.link(target).key
        effects = self._exchange(target, lambda part: part.promise(True))
        effects += self._ready.change(asker, Channel.DISCOVERY, lambda part: part.introduce(key, now))
        return effects + (self._arm() if idle else [])

    def _part(self, asker: int) -> int | None:
        """Ends the asker's promise, if there is one, and returns whose it was."""
        target = self._target_of.pop(asker, None)
        if target is not None:
            del self._asker_of[target]
        return target

    def _set_free(self, target: int, now: float) -> Effects:
        effects = self._exchange(target, lambda part: part.promise(False))
        self._targets[target] = self._ready.link(target).peer
        return effects + self._match_target(target, now)

    def _answer(self, asker: int, word: TargetAnswered | None) -> Effects:
        answer = None if word is None else word.answer
        return self._ready.change(asker, Channel.DISCOVERY, lambda part: part.answer(answer))

    def _exchange(self, conn: int, step: Callable[[Exchange], tuple[Exchange, Effects]]) -> Effects:
        return self._ready.change(conn, Channel.EXCHANGE, step)

    def _arm(self) -> Effects:
        at = self._pairs.deadline
        return [] if at is None else [SetTimer(Timer.PAIRS, 0, 0, at)]


class Pairs:
    """Who was introduced to whom, in either direction, and until when that is remembered."""

    def __init__(self, memory: float) -> None:
        self._memory = memory
        self._until: dict[frozenset[PeerId], float] = {}

    def __len__(self) -> int:
        return len(self._until)

    def __contains__(self, pair: tuple[PeerId, PeerId]) -> bool:
        return frozenset(pair) in self._until

    @property
    def deadline(self) -> float | None:
        """When the oldest may be forgotten."""
        return next(iter(self._until.values()), None)

    def remember(self, one: PeerId, two: PeerId, now: float) -> None:
        """They are introduced now; the oldest pair goes when there are too many."""
        self._until[frozenset((one, two))] = now + self._memory
        if len(self._until) > PAIRS:
            del self._until[next(iter(self._until))]

    def forget(self, now: float) -> None:
        """Drops what is old enough; the oldest come first, as all are kept equally long."""
        while self._until and next(iter(self._until.values())) <= now:
            del self._until[next(iter(self._until))]
