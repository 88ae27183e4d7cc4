"""A node in a namespace that runs no signaling server and dials what it is told, by lines on standard input.

python -m tests.nat.member ICE_SERVER...        then addresses to dial, one a line; each is answered by a line of JSON
"""

from __future__ import annotations

import asyncio
import os
import sys

import uvloop
from tests.nat.worker import line, say

from mina_webrtc import Config, MinaWebrtcError, Node, SecretKey
from mina_webrtc.cli.shell import path_json


async def member(servers: list[str]) -> None:
    config = Config(
        secret_key=SecretKey.random(),
        interfaces=("eth0",),
        ice_servers=tuple(servers),
        turn_name=os.environ["MINA_WEBRTC_TURN_NAME"],
        turn_secret=os.environ["MINA_WEBRTC_TURN_SECRET"],
    )
    async with Node(config) as node:
        say(peer_id=str(node.peer_id), libp2p=node.peer_id.to_libp2p())
        while address := await line():
            try:
                peer = await node.dial(address)
            except MinaWebrtcError as error:
                say(error=str(error))
            else:
                say(seconds=peer.timings.total, **(path_json(peer.path) if peer.path else {}))


def main() -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(member(sys.argv[1:]))


if __name__ == "__main__":
    main()
