"""Asks a node for the peers it knows."""

from __future__ import annotations

import asyncio
import sys

from mina_webrtc import Config, DialError, Node, SecretKey


async def main(address: str) -> int:
    async with Node(Config(secret_key=SecretKey.random())) as node:
        try:
            peer = await node.dial(address)
        except DialError as error:
            print(error, file=sys.stderr)
            return 1
        for known in await peer.initial_peers():
            print(known)
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1])))
