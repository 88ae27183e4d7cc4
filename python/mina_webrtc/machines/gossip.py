"""Items of all peers (protocol.md §7, channels 3 to 6): what came is examined once and handed on once.

An item is known by its id, which the application's function gives it; two payloads with one id are one item. It is
handed on when the application's handler says that it is right, and never to who sent it. Who sends what no honest peer
sends is disconnected. An item is remembered for a while by its id, unless it was refused: else whoever sends rubbish
under the id of another item would have that one refused as well.

Bounded, each channel by itself, so that no flood of one kind keeps another out: items that are not judged yet by number
and bytes, handlers, ids remembered. What comes beyond is dropped, and counted: propagation is a best effort, and the
item comes from other peers, too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from msgspec import Struct

from mina_webrtc.identity import PeerId
from mina_webrtc.machines.followers import Followers
from mina_webrtc.machines.peer import Success
from mina_webrtc.machines.propagation import SPECS, Propagation, Queued
from mina_webrtc.machines.state import Attempt
from mina_webrtc.machines.vocab import (
    AbandonItem,
    BroadcastMade,
    BroadcastPlaced,
    CancelTimer,
    Effect,
    Failure,
    Fault,
    HandleItem,
    Ignored,
    ItemHandled,
    ItemNamed,
    ItemsWanted,
    NameItem,
    PeerReady,
    SetTimer,
    Settings,
    Stage,
    Timer,
)
from mina_webrtc.machines.words import ItemCame
from mina_webrtc.wire.channels import Channel
from mina_webrtc.wire.messages import encode_message

Effects = list[Effect]
Name = tuple[Channel, bytes]


class Core(Protocol):
    """What `peers` can do for this component."""

    def link(self, conn: int) -> Attempt:
        """Of a live connection."""

    def change(self, conn: int, channel: Channel, step: Callable[[Any], tuple[Any, Effects]]) -> Effects:
        """Takes a step of a ready peer's machine; nothing when the peer is gone."""

    def ready_conns(self) -> list[int]:
        """Of all ready peers."""

    def expel(self, peer: PeerId, failure: Failure, now: float) -> Effects:
        """Ends a peer's connection, or counts its fault when it is gone."""


class Held(Struct, frozen=True):
    """An item that is not judged yet. `senders`: who sent it, by connection; `name` is there once it is known."""

    channel: Channel
    payload: bytes
    senders: dict[int, PeerId]
    name: bytes | None = None


class Desk:
    """One channel's items: those that are here, and where they are."""

    def __init__(self, memory: int) -> None:
        self.held = 0
        """Not judged yet …"""
        self.bytes = 0
        """… and their bytes."""
        self.waiting: deque[int] = deque()
        self.handling: set[int] = set()
        self.seen = Memory(memory)


class Gossip:
    """Items of all connections."""

    def __init__(self, settings: Settings, core: Core) -> None:
        self._settings = settings
        self._spreading = settings.spreading
        self._core = core
        self._wanted: list[Channel] = []
        self._next_item = 1
        self._held: dict[int, Held] = {}
        self._named: dict[Name, int] = {}
        """Those of `_held` that have a name and are not judged yet."""
        self._desks = {channel: Desk(settings.spreading.memory) for channel in SPECS}
        self._tip: Queued | None = None
        self._dropped = self._forwarded = self._refused = 0

    def state(self) -> dict[str, Any]:
        """Counts, for a snapshot."""
        return {
            "wanted": [channel.value for channel in self._wanted],
            "held": len(self._held),
            "held_bytes": sum(desk.bytes for desk in self._desks.values()),
            "handling": sum(len(desk.handling) for desk in self._desks.values()),
            "remembered": sum(len(desk.seen) for desk in self._desks.values()),
            "forwarded": self._forwarded,
            "refused": self._refused,
            "dropped": self._dropped,
        }

    # ------------------------------------------------------------ the application

    def want(self, event: ItemsWanted, now: float) -> Effects:
        """There is a handler for a channel's items: everybody is asked for them."""
        if event.channel in self._wanted:
            return [Ignored(0, "ItemsWanted")]
        self._wanted.append(event.channel)
        return [effect for conn in self._core.ready_conns() for effect in self._poll(conn, event.channel)]

    def broadcast(self, event: BroadcastMade, now: float) -> Effects:
        """An item of the application's own goes to everybody, if it did not before."""
        if self._desks[event.channel].seen.knows(event.name):
            return [BroadcastPlaced(event.broadcast, 0)]
        item = self._named.get((event.channel, event.name))
        senders = {} if item is None else self._held[item].senders
        effects, count = self._spread(event.channel, event.name, event.payload, senders)
        return [*effects, BroadcastPlaced(event.broadcast, count)]

    # ------------------------------------------------------------ items of others

    def came(self, word: ItemCame, now: float) -> Effects:
        """An item is here: its name first."""
        desk, spreading = self._desks[word.channel], self._spreading
        size = desk.bytes + len(word.payload)
        if desk.held >= spreading.max_waiting or size > spreading.max_waiting_bytes:
            self._dropped += 1
            return self._done(word.conn, word.channel)
        item, self._next_item = self._next_item, self._next_item + 1
        self._held[item] = Held(word.channel, word.payload, {word.conn: self._core.link(word.conn).peer})
        desk.held, desk.bytes = desk.held + 1, size
        return [NameItem(item, word.channel, word.payload)]

    def named(self, event: ItemNamed, now: float) -> Effects:
        """Its name is known: whether it is new."""
        held = self._held.get(event.item)
        if held is None or held.name is not None:
            return [Ignored(0, "ItemNamed")]
        name, effects = event.name, Effects()
        if name is None:
            self._dropped += 1
            return self._settle(event.item)
        for conn in held.senders:
            effects += self._core.change(conn, held.channel, lambda part: part.withdraw(name))
        desk = self._desks[held.channel]
        if desk.seen.knows(name):
            return effects + self._settle(event.item)
        before = self._named.get((held.channel, name))
        if before is not None:
            return effects + self._join(event.item, before)
        self._held[event.item] = Held(held.channel, held.payload, held.senders, name)
        self._named[held.channel, name] = event.item
        desk.waiting.append(event.item)
        return effects + self._start(desk, now)

    def handled(self, event: ItemHandled, now: float) -> Effects:
        """The application has judged it."""
        if not self._is_handled(event.item):
            return [Ignored(0, "ItemHandled")]
        return [CancelTimer(Timer.ITEM_HANDLER, 0, event.item), *self._judged(event.item, event.verdict, now)]

    def expired(self, item: int, now: float) -> Effects:
        """The application took too long: it is done with."""
        if not self._is_handled(item):
            return [Ignored(0, "TimerFired")]
        return [AbandonItem(item), *self._judged(item, None, now)]

    def ready(self, effect: PeerReady, now: float) -> tuple[bool, Effects]:
        """A new peer: it is asked for what is wanted, and gets the best tip when it asks."""
        conn, tip = effect.conn, self._tip
        effects = [effect for channel in self._wanted for effect in self._poll(conn, channel)]
        if tip is not None:
            effects += self._core.change(conn, Channel.BEST_TIP, lambda part: part.offer(tip))
        return True, effects

    def follow(self, followers: Followers) -> None:
        """Whose effects matter here."""
        followers.consume(ItemCame, self.came)
        followers.add(PeerReady, self.ready)

    # ------------------------------------------------------------ inside

    def _is_handled(self, item: int) -> bool:
        held = self._held.get(item)
        return held is not None and item in self._desks[held.channel].handling

    def _start(self, desk: Desk, now: float) -> Effects:
        effects: Effects = []
        while desk.waiting and len(desk.handling) < self._spreading.max_handlers:
            item = desk.waiting.popleft()
            desk.handling.add(item)
            held = self._held[item]
            peer = next(iter(held.senders.values()))
            effects.append(SetTimer(Timer.ITEM_HANDLER, 0, item, now + self._settings.handler_timeout))
            effects.append(HandleItem(item, held.channel, peer, held.payload))
        return effects

    def _join(self, item: int, before: int) -> Effects:
        """The same item from somebody else, while it is examined: it waits for the same judgement. Another payload with
        the same id shares neither praise nor blame."""
        new, held = self._held[item], self._held[before]
        if new.payload != held.payload:
            self._dropped += 1
            return self._settle(item)
        held.senders.update(new.senders)
        self._forget(item)
        return []

    def _judged(self, item: int, verdict: bool | None, now: float) -> Effects:
        held = self._held[item]
        desk, effects = self._desks[held.channel], Effects()
        if verdict is False:
            self._refused += 1
            failure = Failure(Stage.CLOSED, "bad_item", f"an item of {held.channel.label} was refused", Fault.PEER)
            for peer in dict.fromkeys(held.senders.values()):
                effects += self._core.expel(peer, failure, now)
        elif held.name is not None and not desk.seen.knows(held.name):
            if verdict:
                effects, count = self._spread(held.channel, held.name, held.payload, held.senders)
                self._forwarded += count > 0
            else:
                desk.seen.add(held.name)
        desk.handling.discard(item)
        return effects + self._settle(item) + self._start(desk, now)

    def _spread(self, channel: Channel, name: bytes, payload: bytes, senders: dict[int, PeerId]) -> tuple[Effects, int]:
        """To everybody who did not send it, encoded once; and how many they are."""
        self._desks[channel].seen.add(name)
        item = Queued(name, encode_message(channel, SPECS[channel].item(payload)))
        if SPECS[channel].single:
            self._tip = item
        effects, count, have = Effects(), 0, set(senders.values())
        for conn in self._core.ready_conns():
            if self._core.link(conn).peer not in have:
                effects += self._core.change(conn, channel, lambda part: part.offer(item))
                count += 1
        return effects, count

    def _settle(self, item: int) -> Effects:
        """It is done with, whatever became of it: its senders are asked again."""
        held = self._forget(item)
        return [effect for conn in held.senders for effect in self._done(conn, held.channel)]

    def _forget(self, item: int) -> Held:
        held = self._held.pop(item)
        desk = self._desks[held.channel]
        desk.held, desk.bytes = desk.held - 1, desk.bytes - len(held.payload)
        if held.name is not None:
            del self._named[held.channel, held.name]
        return held

    def _done(self, conn: int, channel: Channel) -> Effects:
        return self._core.change(conn, channel, Propagation.done)

    def _poll(self, conn: int, channel: Channel) -> Effects:
        return self._core.change(conn, channel, Propagation.poll)


def items(peer: Success) -> dict[str, int]:
    """What waits for a ready peer to ask for it, and what it has missed."""
    parts = [part for part in peer.parts if isinstance(part, Propagation)]
    return {"queued": sum(len(part.queue) for part in parts), "missed": sum(part.dropped for part in parts)}


class Memory:
    """Ids of items that are done with; the one that was not heard of for longest is forgotten first."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._names: dict[bytes, None] = {}

    def __len__(self) -> int:
        return len(self._names)

    def knows(self, name: bytes) -> bool:
        """Whether it is remembered; if so, then for longer."""
        if name not in self._names:
            return False
        del self._names[name]
        self._names[name] = None
        return True

    def add(self, name: bytes) -> None:
        """Remembers a new one."""
        self._names[name] = None
        if len(self._names) > self._limit:
            del self._names[next(iter(self._names))]
