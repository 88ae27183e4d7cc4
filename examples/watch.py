"""A node that prints who comes and goes. With an address it dials that node first."""

from __future__ import annotations

import asyncio
import sys

from mina_webrtc import Config, Node, SecretKey
from mina_webrtc.machines.vocab import PeerClosed, PeerReady


async def main(addresses: list[str]) -> None:
    config = Config(secret_key=SecretKey.random(), listen=("127.0.0.1:0",))
    async with Node(config) as node:
        events = node.events()
        print("dial me at", *node.addresses, flush=True)
        for address in addresses:
            await node.dial(address)
        async for event in events:
            if isinstance(event, PeerReady | PeerClosed):
                print(type(event).__name__, event.peer, flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
