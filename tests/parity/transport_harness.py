"""What the tests of transports share: settings, a sink that watches the contract, and a runner that looks for
leftovers."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

import uvloop

from mina_webrtc.errors import TransportError
from mina_webrtc.services.base import ChannelSpec, Message, Transport, TransportFactory, TransportSettings
from mina_webrtc.services.budget import Budget
from mina_webrtc.services.transport_aiortc import AiortcTransports
from mina_webrtc.testing.transport_memory import MemoryNetwork, MemoryTransport

CHANNELS = (
    ChannelSpec(0, "", 65_535, False, 65_535),
    ChannelSpec(1, "signaling/discovery", 16_384, True, 16_384),
    ChannelSpec(4, "transaction/propagation", 1_024, True, 1_024),
    ChannelSpec(7, "rpc", 256 << 20, True, 65_536),
)
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}
FACTORIES: dict[str, Callable[[], TransportFactory]] = {"memory": MemoryNetwork, "aiortc": AiortcTransports}
WAIT = 20.0
"""Seconds until a test that waits for something gives up; nothing takes that long."""


def settings(**changes: Any) -> TransportSettings:
    values: dict[str, Any] = {
        "channels": CHANNELS,
        "gathering_timeout": 3.0,
        "early_limit": 65_536,
        "receive_credit": 1 << 30,
        "receive_buffer": 1 << 20,
        "unfinished": Budget(1 << 30),
        "message_timeout": 180.0,
        "ice_timeout": 10.0,
        "consent_timeout": 12.0,
        "allow_loopback": True,
    }
    return TransportSettings(**(values | changes))


class Sink:
    """Records reports, and every breach of the promises that `TransportSink` makes."""

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []
        self.messages: list[Message] = []
        self.sent = 0
        self.closed: list[tuple[TransportError | None, bool]] = []
        self.breaches: list[str] = []
        self.busy = False
        self.react: Callable[[Sequence[Message]], None] | None = None
        self._changed = asyncio.Event()

    def on_ice_connected(self, path: object) -> None:
        self._record("ice")

    def on_dtls_connected(self) -> None:
        self._record("dtls")

    def on_channel_open(self, channel: int) -> None:
        self._record("open", channel)

    def on_channel_closed(self, channel: int) -> None:
        self._record("channel_closed", channel)

    def on_messages(self, batch: Sequence[Message]) -> None:
        self.messages.extend(batch)
        self._record("messages", *batch)
        if self.react is not None:
            self.react(batch)

    def on_sent(self, count: int) -> None:
        self.sent += count
        self._record("sent", count)

    def on_closed(self, error: TransportError | None, remote_fault: bool) -> None:
        self._record("closed")
        self.closed.append((error, remote_fault))

    def _record(self, *event: Any) -> None:
        if self.busy:
            self.breaches.append(f"{event[0]} from inside a call into the transport")
        if self.closed:
            self.breaches.append(f"{event[0]} after on_closed")
        self.events.append(event)
        self._changed.set()

    def kinds(self) -> list[str]:
        return [event[0] for event in self.events]

    def payloads(self, channel: int) -> list[bytes]:
        return [payload for number, payload in self.messages if number == channel]

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(WAIT):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def opened(self) -> None:
        await self.until(lambda: self.kinds().count("open") == len(CHANNELS) or self.closed)
        assert not self.closed, self.closed


class End:
    """One transport with its sink; calls are marked, so that the sink notices a report from inside of one."""

    def __init__(self, factory: TransportFactory, **changes: Any) -> None:
        self.sink = Sink()
        self.transport: Transport = factory(settings(**changes), self.sink)

    def send(self, *batch: Message) -> None:
        self._call(self.transport.send, batch)

    def admit(self) -> None:
        self._call(self.transport.admit)

    def expect(self, channel: int, large: bool) -> None:
        self._call(self.transport.expect, channel, large)

    def grant(self, size: int) -> None:
        self._call(self.transport.grant, size)

    def close_channel(self, channel: int) -> None:
        self._call(self.transport.close_channel, channel)

    def _call(self, method: Callable[..., None], *args: Any) -> None:
        nested, self.sink.busy = self.sink.busy, True
        try:
            method(*args)
        finally:
            self.sink.busy = nested

    def inject(self, channel: int, chunk: bytes) -> None:
        """Sends one data-channel message as it is, without a frame."""
        if isinstance(self.transport, MemoryTransport):
            self.transport.inject(channel, chunk)
            return
        transport: Any = self.transport
        transport._outbox.put(channel, chunk)
        parcel = transport._outbox._order[-1]
        parcel.payload = None
        parcel.chunks.append(chunk)
        transport._pump()


class World:
    """A factory on a loop, and the ends that a test made."""

    def __init__(self, factory: TransportFactory) -> None:
        self.factory = factory
        self.ends: list[End] = []

    def end(self, **changes: Any) -> End:
        end = End(self.factory, **changes)
        self.ends.append(end)
        return end

    async def connect(self, a: End, b: End) -> None:
        answer = await b.transport.create_answer(await a.transport.create_offer())
        await a.transport.set_answer(answer)
        await asyncio.gather(a.sink.opened(), b.sink.opened())

    async def pair(self, *, admit: bool = True, large: bool = True, **changes: Any) -> tuple[End, End]:
        """Two connected ends; `large`: each expects large messages on channel 7."""
        a, b = self.end(**changes), self.end(**changes)
        for end in (a, b):
            end.expect(7, large)
        await self.connect(a, b)
        if admit:
            a.admit()
            b.admit()
        return a, b


def run(kind: str, loop: str, test: Callable[[World], Coroutine[Any, Any, None]]) -> None:
    """Runs a test on a loop of its own; afterwards nothing may be left: tasks, complaints of the loop, breaches."""
    complaints: list[dict[str, Any]] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        world = World(FACTORIES[kind]())
        try:
            await test(world)
        finally:
            await asyncio.gather(*(end.transport.close() for end in world.ends))
        assert [end.sink.closed for end in world.ends if len(end.sink.closed) != 1] == []
        assert [breach for end in world.ends for breach in end.sink.breaches] == []
        assert asyncio.all_tasks() == {asyncio.current_task()}
        world.ends.clear()
        del world
        gc.collect()

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(main())
    assert complaints == []


async def all_done(*waits: Awaitable[object]) -> None:
    async with asyncio.timeout(WAIT):
        await asyncio.gather(*waits)
