"""The order of reports from a transport to its sink: one queue, emptied by the event loop, ended by `on_closed`."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

from mina_webrtc.errors import TransportError
from mina_webrtc.machines.vocab import IcePath
from mina_webrtc.services.base import Message, TransportSink


class Reporter:
    """Keeps the promises of `TransportSink`: calls come from the loop only, in order, and none follows `on_closed`.

    Adjacent batches of messages and adjacent counts of sent messages are joined.
    """

    def __init__(self, sink: TransportSink, loop: asyncio.AbstractEventLoop) -> None:
        self._sink: TransportSink | None = sink
        self._loop = loop
        self._queue: deque[tuple[Callable[..., None], list[Any]]] = deque()
        self._scheduled = False
        self._finished = False
        self.done = loop.create_future()
        """Resolved once `on_closed` has been called."""
        self.ice_at: float | None = None
        self.dtls_at: float | None = None

    def ice_connected(self, path: IcePath) -> None:
        self.ice_at = perf_counter()
        self._post(self._ice, path)

    def dtls_connected(self) -> None:
        self.dtls_at = perf_counter()
        self._post(self._dtls)

    def channel_open(self, channel: int) -> None:
        self._post(self._open, channel)

    def channel_closed(self, channel: int, before: Callable[[int], None]) -> None:
        """`before(channel)` runs just before the sink hears of it: from then on sending is the caller's mistake."""
        self._post(self._closed_channel, channel, before)

    def messages(self, batch: Sequence[Message]) -> None:
        if self._queue and self._queue[-1][0] == self._messages:
            self._queue[-1][1].extend(batch)
        else:
            self._post(self._messages, *batch)

    def sent(self, count: int) -> None:
        if self._queue and self._queue[-1][0] == self._sent:
            self._queue[-1][1][0] += count
        elif count:
            self._post(self._sent, count)

    def finish(self, error: TransportError | None, remote_fault: bool) -> None:
        """The last report; later ones are dropped. With an error, what was reported before still goes out first; after
        `close()` (no error) nothing but `on_closed` does."""
        if self._finished:
            return
        if error is None:
            self._queue.clear()
        self._post(self._over, error, remote_fault)
        self._finished = True

    def _post(self, call: Callable[..., None], *args: Any) -> None:
        if self._finished:
            return
        self._queue.append((call, list(args)))
        self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        try:
            while self._queue:
                call, args = self._queue.popleft()
                call(*args)
        finally:
            self._scheduled = False
            if self._queue:  # a sink that raised in spite of its contract must not silence the rest
                self._schedule()

    # One method per report: a bound method is what tells them apart, and the sink is looked up late.

    def _ice(self, path: IcePath) -> None:
        if self._sink is not None:
            self._sink.on_ice_connected(path)

    def _dtls(self) -> None:
        if self._sink is not None:
            self._sink.on_dtls_connected()

    def _open(self, channel: int) -> None:
        if self._sink is not None:
            self._sink.on_channel_open(channel)

    def _closed_channel(self, channel: int, before: Callable[[int], None]) -> None:
        before(channel)
        if self._sink is not None:
            self._sink.on_channel_closed(channel)

    def _messages(self, *batch: Message) -> None:
        if self._sink is not None:
            self._sink.on_messages(batch)

    def _sent(self, count: int) -> None:
        if self._sink is not None:
            self._sink.on_sent(count)

    def _over(self, error: TransportError | None, remote_fault: bool) -> None:
        sink, self._sink = self._sink, None
        if not self.done.done():
            self.done.set_result(None)
        if sink is not None:
            sink.on_closed(error, remote_fault)
