"""Whole nodes leave nothing behind, and run on both event loops."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
from collections.abc import Callable

import psutil
import pytest
import uvloop
from tests.interop.support import Watch, config

from mina_webrtc import Node
from mina_webrtc.machines.vocab import PeerClosed

LOOPS: list[Callable[[], asyncio.AbstractEventLoop]] = [asyncio.new_event_loop, uvloop.new_event_loop]


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


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("loop", LOOPS, ids=["asyncio", "uvloop"])
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
            before, memory = descriptors(), resident()
            for _ in range(200):
                await once()
            await ended(asyncio.all_tasks() - idle)
            assert len(descriptors()) == len(before)
            assert timers(asyncio.get_running_loop()) <= 4
            grown = resident() - memory
        assert grown < 2 * 1024 * 1024

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(run())


async def ended(tasks: set[asyncio.Task[object]]) -> None:
    """Waits for connections on their way out."""
    if tasks:
        _, left = await asyncio.wait(tasks, timeout=5)
        assert not left


def timers(loop: asyncio.AbstractEventLoop) -> int:
    """Armed timers; uvloop does not show its own."""
    return sum(not handle.cancelled() for handle in getattr(loop, "_scheduled", ()))
