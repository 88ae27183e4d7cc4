"""A node in a namespace that serves or fetches large answers, told by lines on standard input.

python -m tests.nat.worker serve HOST:PORT INTERFACE BYTES
python -m tests.nat.worker fetch ADDRESS INTERFACE BYTES     then `fetch` or `lost`
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
import time

import uvloop

from mina_webrtc import Config, Node, PeerId, Rpc, SecretKey
from mina_webrtc.machines.vocab import PeerClosed

PATTERN = hashlib.sha512(b"a large answer").digest()


def answer(size: int) -> bytes:
    return (PATTERN * (size // len(PATTERN) + 1))[:size]


def say(**fields: object) -> None:
    print(json.dumps(fields), flush=True)


async def line() -> str:
    return (await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)).strip()


async def serve(listen: str, interface: str, size: int) -> None:
    body = answer(size)

    async def handler(peer: PeerId, asked: bytes) -> bytes:
        return body

    config = Config(secret_key=SecretKey.deterministic(1), listen=(listen,), interfaces=(interface,))
    async with Node(config) as node:
        node.on_request(Rpc.STAGED_LEDGER, handler)
        say(address=str(node.addresses[0]))
        await line()


async def fetch(address: str, interface: str, size: int) -> None:
    async with Node(Config(secret_key=SecretKey.deterministic(2), interfaces=(interface,))) as node:
        events = node.events()
        peer = await node.dial(address)
        say(ready=True)
        while word := await line():
            begin = time.monotonic()
            if word == "fetch":
                body = await peer.request(Rpc.STAGED_LEDGER, bytes(32))
                seconds = time.monotonic() - begin
                say(intact=body == answer(size), seconds=seconds, mb_per_s=size / seconds / 1e6)
            elif word == "lost":
                async for event in events:
                    if isinstance(event, PeerClosed):
                        break
                say(seconds=time.monotonic() - begin)


def main() -> None:
    word, where, interface, size = sys.argv[1:]
    work = serve if word == "serve" else fetch
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work(where, interface, int(size)))


if __name__ == "__main__":
    main()
