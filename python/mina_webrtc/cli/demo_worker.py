"""One node of the demonstration, in a process of its own: lines of JSON on stdin and on stdout.

The first line are its settings: `secret`, `seeds`, and others of `Config` by name. From then on lines are orders,
`{"id", "do": "fetch", "peer", "block"}`. Out come `ready`, `closed` and `progress` events, and for each line that came
a `reply` with its id (0 for the settings), which says `ok`. The process ends when stdin does, so it never outlives who
started it.
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
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from mina_webrtc.cli.demo_process import BLOCK_SIZE
from mina_webrtc.cli.options import Level, Loop
from mina_webrtc.cli.shell import found_json, milliseconds, run, say_json, set_up_logging
from mina_webrtc.config import Config, Limits, Timeouts
from mina_webrtc.errors import MinaWebrtcError
from mina_webrtc.identity import PeerId, SecretKey
from mina_webrtc.machines.vocab import PeerClosed, PeerReady
from mina_webrtc.node import Node, Peer
from mina_webrtc.wire.messages import Rpc

log = logging.getLogger("mina_webrtc.cli.demo")

_STEP = 0.1
"""Seconds between two `progress` events: as often as an eye can follow."""

Reply = dict[str, Any]


class Worker:
    """A node with one block to give, named by its SHA-256 as a real one is by its state hash."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self._events = node.events()
        self.block = os.urandom(BLOCK_SIZE)
        self.name = hashlib.sha256(self.block).digest()
        self.orders: dict[str, Callable[[Reply], Awaitable[Reply]]] = {"fetch": self.fetch}
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve_block(self, peer: PeerId, body: bytes) -> bytes | None:
        """Answers `Rpc.BLOCK`: the body of the request is the name of the block."""
        return self.block if body == self.name else None

    async def obey(self, lines: asyncio.StreamReader) -> None:
        """Carries out orders side by side until there are no more."""
        while line := await lines.readline():
            order = json.loads(line)
            task = asyncio.create_task(self._carry_out(order))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _carry_out(self, order: dict[str, Any]) -> None:
        try:
            result = await self.orders[order["do"]](order)
        except MinaWebrtcError as error:
            _reply(order["id"], ok=False, error=str(error))
        else:
            _reply(order["id"], ok=True, **result)

    async def fetch(self, order: dict[str, Any]) -> Reply:
        """Asks a ready peer for its block."""
        peer = self.node.peers.get(PeerId.parse(order["peer"]))
        if peer is None:
            raise MinaWebrtcError("the peer is not connected")
        name = bytes.fromhex(order["block"])
        started = time.perf_counter()
        async with _progress(peer):
            block = await peer.request(Rpc.BLOCK, name)
        if block is None:
            raise MinaWebrtcError("the peer does not have its own block")
        if hashlib.sha256(block).digest() != name:
            raise MinaWebrtcError("the block that came is not the one that was asked for")
        return {"bytes": len(block), "ms": milliseconds(time.perf_counter() - started)}

    async def watch(self) -> None:
        """Tells of peers that come and go, until the node is closed."""
        async for notice in self._events:
            match notice:
                case PeerReady(peer=peer, outgoing=outgoing):
                    ready = self.node.peers.get(peer)
                    ms = milliseconds(ready.timings.total) if ready else None
                    say_json(event="ready", peer=str(peer), outgoing=outgoing, ms=ms, **found_json(notice))
                case PeerClosed(peer=peer, failure=failure, replaced=False):
                    say_json(event="closed", peer=str(peer), reason=failure.reason)


@asynccontextmanager
async def _progress(peer: Peer) -> AsyncIterator[None]:
    """Tells how much comes from the peer."""

    def received() -> int:
        stats = peer.stats()
        return stats.bytes_received if stats else 0

    async def tell() -> None:
        first = received()
        while True:
            await asyncio.sleep(_STEP)
            say_json(event="progress", peer=str(peer.id), bytes=max(0, min(received() - first, BLOCK_SIZE)))

    telling = asyncio.create_task(tell())
    try:
        yield
    finally:
        telling.cancel()


def _reply(number: int, **words: Any) -> None:
    say_json(event="reply", id=number, **words)


def _config(words: dict[str, Any]) -> Config:
    """JSON has no tuples, paths and keys. Everything stays on this machine: candidates are loopback ones."""
    kinds: dict[str, Callable[[Any], Any]] = {
        "limits": lambda given: Limits(**given),
        "timeouts": lambda given: Timeouts(**given),
        "peer_db": Path,
    }
    secret = SecretKey.parse(words.pop("secret"))
    made = {name: kinds.get(name, _tuple)(value) for name, value in words.items()}
    return Config(secret_key=secret, allow_loopback=True, **made)


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


async def _main(kind: type[Worker]) -> int:
    bugs: list[dict[str, Any]] = []

    def report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        bugs.append(context)
        loop.default_exception_handler(context)

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(report)
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    settings = await lines.readline()
    if not settings:
        return 0
    async with Node(_config(json.loads(settings))) as node:
        worker = kind(node)
        watching = asyncio.create_task(worker.watch())
        node.on_request(Rpc.BLOCK, worker.serve_block)
        address = str(node.addresses[0]) if node.addresses else None
        _reply(0, ok=True, pid=os.getpid(), peer=str(node.peer_id), address=address, block=worker.name.hex())
        await worker.obey(lines)
    await watching
    return 1 if bugs else 0


def main(level: str = "warning", log_json: str = "text", loop: str = "auto", *, kind: type[Worker] = Worker) -> int:
    """Runs one worker; 0 when it ended because stdin did, and nothing went wrong unseen."""
    # Ctrl-C reaches the whole process group: only the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    set_up_logging(Level(level), log_json == "json")
    try:
        return run(lambda: _main(kind), Loop(loop))
    except BrokenPipeError:
        return 0
    except MinaWebrtcError as error:
        _reply(0, ok=False, error=str(error))
        return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:4]))
