"""Whole nodes on loopback, and a check that none of them reported a bug."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from tests.interop.support import NodeFactory, config

from mina_webrtc import Node


@pytest.fixture
async def start() -> AsyncIterator[NodeFactory]:
    """`await start(index, **config)` gives a running node; all are closed at the end, and no bug was reported."""
    bugs: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: bugs.append(context))
    async with AsyncExitStack() as stack:

        async def open_node(index: int, **changes: Any) -> Node:
            return await stack.enter_async_context(Node(config(index, **changes)))

        yield open_node
    assert bugs == []
