"""Goodput through the transport seam: 16 KiB messages one way, both ends in one process on one event loop, over
loopback.

The figure is for both ends on one core; two processes on two cores do better. Prints MB/s (10^6 bytes of payload).
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence

from mina_webrtc.errors import TransportError
from mina_webrtc.services.base import ChannelSpec, Message, TransportSettings
from mina_webrtc.services.budget import Budget
from mina_webrtc.services.transport_aiortc import AiortcTransports

MESSAGE = 16_384
WINDOW = 4 << 20
SETTINGS = TransportSettings(
    message_timeout=180.0,
    ice_timeout=10.0,
    consent_timeout=12.0,
    channels=(ChannelSpec(7, "rpc", 256 << 20, True, 64 << 10),),
    gathering_timeout=3.0,
    early_limit=65_536,
    receive_credit=WINDOW,
    receive_buffer=1 << 20,
    unfinished=Budget(1 << 20),
    allow_loopback=True,
)


class _Meter:
    """A sink that counts bytes and gives the credit back at once."""

    def __init__(self) -> None:
        self.received = 0
        self.sent = 0
        self.opened = asyncio.Event()
        self.moved = asyncio.Event()

    def on_ice_connected(self, path: object) -> None: ...
    def on_dtls_connected(self) -> None: ...
    def on_channel_closed(self, channel: int) -> None: ...

    def on_channel_open(self, channel: int) -> None:
        self.opened.set()

    def on_messages(self, batch: Sequence[Message]) -> None:
        self.received += sum(len(payload) for _, payload in batch)
        self.moved.set()

    def on_sent(self, count: int) -> None:
        self.sent += count
        self.moved.set()

    def on_closed(self, error: TransportError | None, remote_fault: bool) -> None:
        self.moved.set()


async def _measure(total_bytes: int) -> float:
    factory, near, far = AiortcTransports(), _Meter(), _Meter()
    a, b = factory(SETTINGS, near), factory(SETTINGS, far)
    try:
        await a.set_answer(await b.create_answer(await a.create_offer()))
        await asyncio.gather(near.opened.wait(), far.opened.wait())
        a.admit()
        b.admit()
        payload, count = bytes(MESSAGE), max(1, total_bytes // MESSAGE)
        queued = granted = 0
        begin = time.perf_counter()
        while far.received < count * MESSAGE:
            batch = min(count - queued, (WINDOW - (queued - near.sent) * MESSAGE) // MESSAGE)
            if batch > 0:
                a.send([(7, payload)] * batch)
                queued += batch
            if far.received > granted:
                b.grant(far.received - granted)
                granted = far.received
            far.moved.clear()
            await far.moved.wait()
        return count * MESSAGE / (time.perf_counter() - begin) / 1e6
    finally:
        await asyncio.gather(a.close(), b.close())


def measure(total_bytes: int, *, uvloop: bool = True) -> float:
    """Sends `total_bytes` in messages of 16 KiB and returns MB/s."""
    if not uvloop:
        return asyncio.run(_measure(total_bytes))
    import uvloop as fast

    with asyncio.Runner(loop_factory=fast.new_event_loop) as runner:
        return runner.run(_measure(total_bytes))


if __name__ == "__main__":
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 64 << 20
    print(f"goodput_aiortc_mb_per_s {measure(size):.1f}")
