"""How long a broadcast takes to reach fifty peers: a node with fifty connected nodes, all in this process, loopback,
uvloop. Every one of the fifty connections is a real one; all 51 nodes share this process's one core."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from itertools import count
from statistics import median
from time import perf_counter

import uvloop

from benches.conftest import Report
from mina_webrtc import Config, Limits, Node, PeerId, SecretKey, Topic

PEERS = 50
ITEM = 500
"""Bytes, about as many as a transaction has."""


class Audience:
    """Fifty nodes that have the hub's items handled, and say when the last of them has."""

    def __init__(self, hub: Node) -> None:
        self.hub = hub
        self._missing = 0
        self._done = asyncio.Event()

    async def join(self, stack: AsyncExitStack) -> None:
        """Connects them."""
        events = self.hub.events()
        for _ in range(PEERS):
            node = Node(Config(secret_key=SecretKey.random(), allow_loopback=True))
            node.on_item(Topic.TRANSACTION, self._handle)
            await stack.enter_async_context(node)
            await node.dial(self.hub.addresses[0])
        async for _ in events:
            if len(self.hub.peers) == PEERS:
                return

    async def reached(self, payload: bytes) -> float:
        """Seconds from the broadcast until the last one has handled it."""
        self._missing = PEERS
        self._done.clear()
        begin = perf_counter()
        assert self.hub.broadcast(Topic.TRANSACTION, payload) == PEERS
        await self._done.wait()
        return perf_counter() - begin

    async def _handle(self, peer: PeerId, payload: bytes) -> bool | None:
        self._missing -= 1
        if not self._missing:
            self._done.set()
        return None


async def measure(rounds: int) -> list[float]:
    async with AsyncExitStack() as stack:
        limits = Limits(max_pending_per_source=PEERS)
        config = Config(secret_key=SecretKey.random(), allow_loopback=True, listen=("127.0.0.1:0",), limits=limits)
        audience = Audience(await stack.enter_async_context(Node(config)))
        await audience.join(stack)
        items = count()
        await audience.reached(next(items).to_bytes(ITEM, "big"))
        return [await audience.reached(next(items).to_bytes(ITEM, "big")) for _ in range(rounds)]


def test_broadcast_to_fifty_peers(smoke: bool, report: Report) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        times = runner.run(measure(3 if smoke else 100))
    report("broadcast_50_peers_ms", median(times) * 1000)
