"""Small tools for tests with whole nodes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from mina_webrtc import Config, Node, SecretKey
from mina_webrtc.machines.vocab import Notice

NodeFactory = Callable[..., Awaitable[Node]]


def key(index: int) -> SecretKey:
    return SecretKey.deterministic(index)


def config(index: int, **changes: Any) -> Config:
    values: dict[str, Any] = {"secret_key": key(index), "listen": ("127.0.0.1:0",), "allow_loopback": True}
    return Config(**(values | changes))


class Watch:
    """Waits for notices of a node, from the moment it is made."""

    def __init__(self, node: Node) -> None:
        self._events = node.events()

    async def next(self, kind: type[Notice], within: float = 10.0, **wanted: Any) -> Any:
        """The next notice of a kind with these values."""
        async with asyncio.timeout(within):
            async for notice in self._events:
                if isinstance(notice, kind) and all(getattr(notice, name) == value for name, value in wanted.items()):
                    return notice
        raise AssertionError("the node was closed before the notice came")
