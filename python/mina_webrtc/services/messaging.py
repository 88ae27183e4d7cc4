"""What every transport in Python has in common: messages in, messages out, credit, and one end."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from mina_webrtc.errors import LocalProtocolError, RemoteProtocolError, TransportError
from mina_webrtc.machines.vocab import IcePath
from mina_webrtc.services.base import Message, TransportSettings, TransportSink, TransportStats
from mina_webrtc.services.inbox import Inbox
from mina_webrtc.services.outbox import Outbox
from mina_webrtc.services.reporter import Reporter


class Messaging(ABC):
    """The half of a `Transport` that does not care what carries its data-channel messages."""

    def __init__(self, settings: TransportSettings, sink: TransportSink) -> None:
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._reporter = Reporter(sink, self._loop)
        self._channels = {spec.id: spec for spec in settings.channels}
        self._open: set[int] = set()
        self._outbox = Outbox(self._channels)
        self._inbox = Inbox(self._channels, settings, self._reporter, self._open.discard)
        self._ending: asyncio.Task[None] | None = None
        self._look: asyncio.TimerHandle | None = None

    def send(self, batch: Sequence[Message]) -> None:
        """Queues messages in order. Raises `LocalProtocolError`, and then has queued none of them. What is sent between
        the connection's end and the report of it is lost with the connection."""
        if self._ending is not None and not self._reporter.done.done():
            return
        for channel, payload in batch:
            spec = self._channels.get(channel)
            if spec is None or channel not in self._open:
                raise LocalProtocolError(f"channel {channel} is not open")
            if not 0 < len(payload) <= spec.max_message:
                raise LocalProtocolError(
                    f"{len(payload)} bytes on channel {channel}, which takes 1 to {spec.max_message}"
                )
        for channel, payload in batch:
            self._outbox.put(channel, payload)
        self._pump()

    def admit(self) -> None:
        """Authentication has passed: early data is parsed and delivered, as is all that follows."""
        self._take(self._inbox.admit)

    def expect(self, channel: int, large: bool) -> None:
        """Whether messages above the channel's `max_unasked` are received from now on."""
        self._inbox.expect(channel, large)

    def grant(self, size: int) -> None:
        """Gives back receive credit of `size` bytes."""
        self._take(self._inbox.grant, size)

    def close_channel(self, channel: int) -> None:
        """Closes one channel after its queued messages have left; nothing more can be sent on it."""
        if channel in self._open:
            self._open.discard(channel)
            self._shut(channel)

    async def close(self) -> None:
        """Frees every socket, task and timer; idempotent; safe at any moment."""
        if self._ending is None:
            self._ending = self._loop.create_task(self._finish(None, False))
        await asyncio.shield(self._ending)

    def stats(self) -> TransportStats:
        """Counters of payloads."""
        return TransportStats(
            bytes_sent=self._outbox.bytes_sent,
            bytes_received=self._inbox.bytes_received,
            messages_sent=self._outbox.messages_sent,
            messages_received=self._inbox.messages_received,
            buffered=self._outbox.buffered,
            undelivered=self._inbox.undelivered,
            path=self._path(),
            ice_at=self._reporter.ice_at,
            dtls_at=self._reporter.dtls_at,
        )

    # ---------------------------------------------------------------- for the transports

    @abstractmethod
    def _path(self) -> IcePath | None:
        """What the messages go over, once that is known."""

    @abstractmethod
    def _pump(self) -> None:
        """Takes from the outbox what can be sent now."""

    @abstractmethod
    def _widen(self) -> None:
        """The application took something: the peer may send more."""

    @abstractmethod
    def _shut(self, channel: int) -> None:
        """Closes a channel once the outbox has nothing for it."""

    @abstractmethod
    async def _release(self) -> None:
        """Frees everything that carries the messages."""

    def _opened(self) -> None:
        """All channels are open at once, since all were negotiated beforehand."""
        for channel in self._channels:
            self._open.add(channel)
            self._reporter.channel_open(channel)
        self._look = self._loop.call_later(self._settings.message_timeout, self._look_around)

    def _look_around(self) -> None:
        if self._ending is not None:
            return
        if self._inbox.stuck():
            self._fail(TransportError("the peer began a message and did not end it", "stalled"))
        else:
            self._look = self._loop.call_later(self._settings.message_timeout, self._look_around)

    def _alive(self) -> None:
        if self._ending is not None:
            raise TransportError("the transport is closed", "closed")

    def _fail(self, error: TransportError, *, remote_fault: bool = False) -> None:
        if self._ending is None:
            self._reporter.finish(error, remote_fault)
            self._ending = self._loop.create_task(self._finish(error, remote_fault))

    def _take(self, step: Callable[..., None], *args: Any) -> None:
        if self._ending is not None:
            return
        try:
            step(*args)
        except RemoteProtocolError as error:
            self._fail(TransportError(str(error), "protocol_error"), remote_fault=True)
        else:
            self._widen()

    async def _finish(self, error: TransportError | None, remote_fault: bool) -> None:
        self._open.clear()
        if self._look is not None:
            self._look.cancel()
        try:
            await self._release()
        finally:
            self._reporter.finish(error, remote_fault)
        await self._reporter.done
        self._outbox.clear()
        self._inbox.clear()
