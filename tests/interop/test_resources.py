"""Whole nodes leave nothing behind, and run on both event loops."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from weakref import WeakSet

import psutil
import pytest
import uvloop
from tests.interop.support import Watch, config

from mina_webrtc import Node, PeerId, Topic
from mina_webrtc.errors import ClosedError
from mina_webrtc.machines.vocab import PeerClosed

LOOPS: list[Callable[[], asyncio.AbstractEventLoop]] = [asyncio.new_event_loop, uvloop.new_event_loop]


class Counting(uvloop.Loop):  # type: ignore[misc]
    """uvloop, which by itself does not show its timers."""

    def __init__(self) -> None:
        super().__init__()
        self.handles: WeakSet[asyncio.TimerHandle] = WeakSet()

    def call_later(self, *args: Any, **kwargs: Any) -> asyncio.TimerHandle:
        handle = super().call_later(*args, **kwargs)  # call_at comes here, too
        self.handles.add(handle)
        return handle


def timers(loop: asyncio.AbstractEventLoop) -> int:
    """Armed ones."""
    gc.collect()
    handles = loop.handles if isinstance(loop, Counting) else loop._scheduled  # type: ignore[attr-defined]
    return sum(not handle.cancelled() for handle in handles)


def descriptors() -> set[str]:
    """What this process has open, without the listing itself."""
    return {link for fd in os.listdir("/proc/self/fd") if (link := _target(fd)) is not None}


def _target(fd: str) -> str | None:
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except FileNotFoundError:
        return None


def resident() -> int:
    """RSS in bytes, after everything that can be given back was given back."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    return psutil.Process().memory_info().rss


@pytest.mark.parametrize("loop", LOOPS, ids=["asyncio", "uvloop"])
def test_a_node_that_was_closed_leaves_no_descriptor_and_no_task(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def run() -> None:
        async with Node(config(1)) as alice, Node(config(2)) as bob:
            peer = await alice.dial(bob.addresses[0])
            assert await peer.initial_peers() == []
        assert asyncio.all_tasks() == {asyncio.current_task()}

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(run())  # the first loop of a process opens what the process keeps
    before = descriptors()
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(run())
    assert len(descriptors()) == len(before)


@pytest.mark.parametrize("steps", range(4))
async def test_a_node_that_is_closed_while_it_starts_leaves_nothing(steps: int, tmp_path: Path) -> None:
    await asyncio.to_thread(int)  # the loop's own threads stay
    before = descriptors()
    node = Node(config(1, peer_db=tmp_path / "peers.db"))
    starting = asyncio.create_task(node.start())
    for _ in range(steps):
        await asyncio.sleep(0)
    await node.close()
    with pytest.raises(ClosedError):
        await starting
    assert node.addresses == ()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert len(descriptors()) == len(before)


async def test_a_handler_may_close_its_node() -> None:
    alice, bob = Node(config(1)), Node(config(2))
    cancelled = asyncio.Event()

    async def shut_down(peer: PeerId, payload: bytes) -> None:
        try:
            await bob.close()
        finally:
            cancelled.set()

    async with alice, bob:
        watch = Watch(alice)
        bob.on_item(Topic.TRANSACTION, shut_down)
        await alice.dial(bob.addresses[0])
        alice.broadcast(Topic.TRANSACTION, b"the end")
        await cancelled.wait()
        await watch.next(PeerClosed, peer=bob.peer_id)
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("loop", [asyncio.new_event_loop, Counting], ids=["asyncio", "uvloop"])
def test_300_connections_leave_descriptors_tasks_and_memory_as_before(
    loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    """The last 200 of 300 connections, opened and closed, add less than 2 MiB."""

    async def run() -> None:
        async with Node(config(1)) as alice, Node(config(2)) as bob:
            watch = Watch(bob)

            async def once() -> None:
                peer = await alice.dial(bob.addresses[0])
                assert await peer.initial_peers() == []
                await peer.close()
                await watch.next(PeerClosed)

            idle = asyncio.all_tasks()
            for _ in range(100):
                await once()
            await ended(asyncio.all_tasks() - idle)
            before, armed, memory = descriptors(), timers(asyncio.get_running_loop()), resident()
            for _ in range(200):
                await once()
            await ended(asyncio.all_tasks() - idle)
            assert len(descriptors()) == len(before)
            assert timers(asyncio.get_running_loop()) <= armed
            grown = resident() - memory
        assert grown < 2 * 1024 * 1024

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(run())


async def ended(tasks: set[asyncio.Task[object]]) -> None:
    """Waits for connections on their way out."""
    if tasks:
        _, left = await asyncio.wait(tasks, timeout=5)
        assert not left
