"""One node of the demonstration, in a process of its own: orders come as JSON lines on stdin, replies go to stdout.

Orders: `{"id", "do": "dial", "address"}` and `{"id", "do": "fetch", "peer", "block"}`. Every reply repeats the id and
says `ok`; before any order comes `started`, during a fetch `progress`. The process ends when stdin does, so it never
outlives who started it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import signal
import sys
import time
from typing import Any

from mina_webrtc.cli.options import Level, Loop
from mina_webrtc.cli.shell import milliseconds, run, say_json, set_up_logging
from mina_webrtc.config import Config
from mina_webrtc.errors import MinaWebrtcError
from mina_webrtc.identity import PeerId, SecretKey
from mina_webrtc.node import Node, Peer
from mina_webrtc.wire.messages import Rpc

log = logging.getLogger("mina_webrtc.cli.demo")

BLOCK_SIZE = 1024 * 1024
_STEP = 0.1
"""Seconds between two `progress` lines: as often as an eye can follow."""
_PATIENCE = 15.0
"""Seconds until a peer that dialled us must be ready here too; its dial has succeeded already."""


class Worker:
    """A node with one block to give, named by its SHA-256 as a real one is by its state hash."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.block = os.urandom(BLOCK_SIZE)
        self.name = hashlib.sha256(self.block).digest()
        self.tasks: set[asyncio.Task[None]] = set()

    async def serve_block(self, peer: PeerId, body: bytes) -> bytes | None:
        """Answers `Rpc.BLOCK`: the body of the request is the name of the block."""
        return self.block if body == self.name else None

    async def obey(self, orders: asyncio.StreamReader) -> None:
        """Carries out orders side by side until there are no more."""
        while line := await orders.readline():
            order = json.loads(line)
            task = asyncio.create_task(self._carry_out(order))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def _carry_out(self, order: dict[str, Any]) -> None:
        number = order["id"]
        try:
            if order["do"] == "dial":
                result = await self._dial(order["address"])
            else:
                result = await self._fetch(number, PeerId.parse(order["peer"]), bytes.fromhex(order["block"]))
        except (MinaWebrtcError, TimeoutError) as error:
            say_json(id=number, ok=False, error=str(error) or type(error).__name__)
        else:
            say_json(id=number, ok=True, **result)

    async def _dial(self, address: str) -> dict[str, Any]:
        peer = await self.node.dial(address)
        return {"ms": milliseconds(peer.timings.total)}

    async def _fetch(self, number: int, wanted: PeerId, name: bytes) -> dict[str, Any]:
        peer = await self._ready(wanted)
        showing = asyncio.create_task(_show_progress(number, peer))
        started = time.perf_counter()
        try:
            block = await peer.request(Rpc.BLOCK, name)
        finally:
            showing.cancel()
        if block is None:
            raise MinaWebrtcError("the peer does not have its own block")
        if hashlib.sha256(block).digest() != name:
            raise MinaWebrtcError("the block that came is not the one that was asked for")
        return {"bytes": len(block), "ms": milliseconds(time.perf_counter() - started)}

    async def _ready(self, wanted: PeerId) -> Peer:
        events = self.node.events()
        async with asyncio.timeout(_PATIENCE):
            while (peer := self.node.peers.get(wanted)) is None:
                await anext(events)
        return peer


async def _show_progress(number: int, peer: Peer) -> None:
    first = stats.bytes_received if (stats := peer.stats()) else 0
    while True:
        await asyncio.sleep(_STEP)
        if stats := peer.stats():
            say_json(id=number, progress=min(stats.bytes_received - first, BLOCK_SIZE))


async def _main() -> int:
    bugs: list[dict[str, Any]] = []

    def report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        bugs.append(context)
        loop.default_exception_handler(context)

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(report)
    orders = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    # The demonstration stays on this machine: its candidates are loopback ones.
    config = Config(secret_key=SecretKey.random(), listen=("127.0.0.1:0",), allow_loopback=True)
    async with Node(config) as node:
        worker = Worker(node)
        node.on_request(Rpc.BLOCK, worker.serve_block)
        hello = {"peer": str(node.peer_id), "address": str(node.addresses[0]), "block": worker.name.hex()}
        say_json(id=0, ok=True, pid=os.getpid(), **hello)
        await worker.obey(orders)
    return 1 if bugs else 0


def main(level: str, log_json: str, loop: str) -> int:
    """Runs one worker; 0 when it ended because stdin did, and nothing went wrong unseen."""
    # Ctrl-C reaches the whole process group: only the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    set_up_logging(Level(level), log_json == "json")
    try:
        return run(_main, Loop(loop))
    except BrokenPipeError:
        return 0
    except MinaWebrtcError as error:
        say_json(id=0, ok=False, error=str(error))
        return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:4]))
