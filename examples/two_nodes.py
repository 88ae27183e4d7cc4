"""Two nodes: one asks the other for a block."""

import asyncio

from mina_webrtc import Config, Node, PeerId, Rpc, SecretKey

STATE_HASH = bytes.fromhex("3c0ffee5" * 8)


async def block(peer: PeerId, state_hash: bytes) -> bytes | None:
    return b"the block" if state_hash == STATE_HASH else None


async def main() -> None:
    here, there = (Config(secret_key=SecretKey.random(), listen=("127.0.0.1:0",), allow_loopback=True) for _ in "ab")
    async with Node(here) as alice, Node(there) as bob:
        bob.on_request(Rpc.BLOCK, block)
        peer = await alice.dial(bob.addresses[0])
        print(f"connected to {peer.id} in {peer.timings.total * 1000:.0f} ms")
        print(await peer.request(Rpc.BLOCK, STATE_HASH))


asyncio.run(main())
