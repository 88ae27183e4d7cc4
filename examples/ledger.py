"""Two nodes: one reads a staged ledger from the other, part by part, and the other makes what is asked for."""

import asyncio
from collections.abc import AsyncIterator

from mina_webrtc import Config, Node, Part, PartKind, PeerId, SecretKey

STATE_HASH = bytes(32)
TREES = 3


async def ledger(peer: PeerId, state_hash: bytes) -> AsyncIterator[Part]:
    """A made-up one; the scan state begins with the number of trees."""
    yield Part(PartKind.BASE, b"base")
    yield Part(PartKind.SCAN_STATE_BASE, bytes((TREES,)) + b"scan state")
    yield Part(PartKind.PREVIOUS_INCOMPLETE_ZKAPP_UPDATES, b"updates")
    for number in range(TREES):
        print(f"Bob makes tree {number}")
        yield Part(PartKind.SCAN_STATE_TREE, bytes(1_000_000))


async def main() -> None:
    def config() -> Config:
        return Config(secret_key=SecretKey.random(), listen=("127.0.0.1:0",), allow_loopback=True)

    async with Node(config()) as alice, Node(config()) as bob:
        bob.on_stream_staged_ledger(ledger)
        peer = await alice.dial(bob.addresses[0])
        parts = await peer.stream_staged_ledger(STATE_HASH)
        if parts is None:
            print("Bob does not have it")
            return
        async with parts:
            async for part in parts:
                print(f"Alice has {part}")
                await asyncio.sleep(0.1)


asyncio.run(main())
