"""The application's part in propagation: its id functions, its handlers, and those of them that run."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from hashlib import blake2b
from typing import Any

from msgspec import Struct

from mina_webrtc.errors import LocalProtocolError
from mina_webrtc.identity import PeerId
from mina_webrtc.machines import vocab as v
from mina_webrtc.wire.channels import Topic

log = logging.getLogger("mina_webrtc.driver")

ItemHandler = Callable[[PeerId, bytes], Awaitable[bool | None]]
"""Whether an item is right: True, hand it on; False, no honest peer sends it; None, neither."""
ItemId = Callable[[bytes], bytes]
MAX_ID = 64
"""Bytes of an id that are kept; a longer one is kept as its hash."""


def digest(payload: bytes) -> bytes:
    """The id of an item whose application names it no other way: 32 bytes of BLAKE2b."""
    return blake2b(payload, digest_size=32).digest()


class Interest(Struct, frozen=True):
    """What the application has registered for a topic."""

    handler: ItemHandler
    id: ItemId


class Items:
    """Performs the effects of `machines.gossip` for one driver."""

    def __init__(self, dispatch: Callable[[v.Event], None]) -> None:
        self._dispatch = dispatch
        self.interests: dict[Topic, Interest] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._broadcasts = 0
        self._placed: dict[int, int] = {}
        self.performers: dict[type[v.Effect], Callable[[Any], None]] = {
            v.NameItem: self._name,
            v.HandleItem: self._handle,
            v.AbandonItem: self._abandon,
            v.BroadcastPlaced: self._broadcast_placed,
        }

    def broadcast(self, topic: Topic, payload: bytes) -> int:
        """Hands an item to the machines and returns how many peers it goes to."""
        self._broadcasts += 1
        number = self._broadcasts
        self._dispatch(v.BroadcastMade(number, topic.channel, self._id(topic, payload), payload))
        if number not in self._placed:
            raise LocalProtocolError("broadcast was called by an id function")
        return self._placed.pop(number)

    async def close(self) -> None:
        """Cancels what runs."""
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _id(self, topic: Topic, payload: bytes) -> bytes:
        interest = self.interests.get(topic)
        name = digest(payload) if interest is None else interest.id(payload)
        return name if len(name) <= MAX_ID else digest(name)

    def _name(self, effect: v.NameItem) -> None:
        name = None
        try:
            name = self._id(Topic(effect.channel), effect.payload)
        except Exception:
            log.exception("no id for an item of %s; dropping it", effect.channel.label)
        self._dispatch(v.ItemNamed(effect.item, name))

    def _handle(self, effect: v.HandleItem) -> None:
        work = self._judge(effect, self.interests[Topic(effect.channel)].handler)
        self._tasks[effect.item] = asyncio.get_running_loop().create_task(work)

    async def _judge(self, effect: v.HandleItem, handler: ItemHandler) -> None:
        verdict = None
        try:
            verdict = await handler(effect.peer, effect.payload)
        except Exception:
            log.exception("the handler for %s failed; dropping the item", effect.channel.label)
        if self._tasks.pop(effect.item, None) is not None:
            self._dispatch(v.ItemHandled(effect.item, verdict))

    def _abandon(self, effect: v.AbandonItem) -> None:
        task = self._tasks.pop(effect.item, None)
        if task is not None:
            task.cancel()

    def _broadcast_placed(self, effect: v.BroadcastPlaced) -> None:
        self._placed[effect.broadcast] = effect.peers
