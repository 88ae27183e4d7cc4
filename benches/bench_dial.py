"""How long it takes until two nodes can talk: two nodes in one process, loopback, uvloop, ICE gathering included."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack

import pytest
import uvloop
from pytest_benchmark.fixture import BenchmarkFixture

from benches.conftest import Report
from mina_webrtc import Config, Node, SecretKey
from mina_webrtc.machines.vocab import PeerClosed, PeerReady


class Pair:
    """A dialer and a listener that connect and part again and again."""

    def __init__(self, dialer: Node, listener: Node) -> None:
        self.dialer = dialer
        self.listener = listener

    @classmethod
    async def open(cls, stack: AsyncExitStack) -> Pair:
        here = Config(secret_key=SecretKey.random(), allow_loopback=True)
        there = Config(secret_key=SecretKey.random(), allow_loopback=True, listen=("127.0.0.1:0",))
        return cls(await stack.enter_async_context(Node(here)), await stack.enter_async_context(Node(there)))

    async def connect(self, ask: bool) -> None:
        """Returns when both sides have said ready, or, with `ask`, when the first reply has come."""
        events = self.listener.events()
        peer = await self.dialer.dial(self.listener.addresses[0])
        if ask:
            await peer.initial_peers()
            return
        async for event in events:
            if isinstance(event, PeerReady):
                return

    async def part(self) -> None:
        """Returns when neither side knows the other any more."""
        streams = [node.events() for node in (self.dialer, self.listener)]
        await self.dialer.peers[self.listener.peer_id].close()
        for events in streams:
            async for event in events:
                if isinstance(event, PeerClosed):
                    break


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        yield runner


@pytest.fixture
def measure(
    runner: asyncio.Runner, benchmark: BenchmarkFixture, smoke: bool, report: Report
) -> Iterator[Callable[[str, bool], None]]:
    stack = AsyncExitStack()
    pair = runner.run(Pair.open(stack))

    def run(figure: str, ask: bool) -> None:
        benchmark.pedantic(
            lambda: runner.run(pair.connect(ask)),
            teardown=lambda: runner.run(pair.part()),
            rounds=3 if smoke else 50,
            warmup_rounds=1,
        )
        assert benchmark.stats is not None
        report(figure, benchmark.stats.stats.median * 1000)

    yield run
    runner.run(stack.aclose())


def test_dial_to_ready(measure: Callable[[str, bool], None]) -> None:
    measure("dial_to_ready_ms", False)


def test_dial_to_first_reply(measure: Callable[[str, bool], None]) -> None:
    measure("dial_to_first_reply_ms", True)
