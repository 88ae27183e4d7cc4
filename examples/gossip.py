"""Four nodes in a row: a transaction goes from one end to the other, and everybody examines it once."""

import asyncio
from contextlib import AsyncExitStack

from mina_webrtc import Config, Node, PeerId, SecretKey, Topic

TRANSACTION = b"a payment"


async def main() -> None:
    arrived: asyncio.Queue[str] = asyncio.Queue()

    def follow(node: Node, name: str) -> None:
        async def examine(peer: PeerId, payload: bytes) -> bool:
            arrived.put_nowait(f"{name} got {payload!r} from {peer}")
            return payload.startswith(b"a ")

        node.on_item(Topic.TRANSACTION, examine)

    async with AsyncExitStack() as stack:
        row: list[Node] = []
        for name in ("Alice", "Bob", "Carol", "Dave"):
            config = Config(secret_key=SecretKey.random(), listen=("127.0.0.1:0",), allow_loopback=True)
            node = await stack.enter_async_context(Node(config))
            follow(node, name)
            if row:
                await node.dial(row[-1].addresses[0])
            row.append(node)
        row[-1].broadcast(Topic.TRANSACTION, TRANSACTION)
        for _ in row[:-1]:
            print(await arrived.get())


asyncio.run(main())
