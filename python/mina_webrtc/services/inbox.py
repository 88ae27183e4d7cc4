"""What has arrived and is not delivered yet: early data, data held for lack of credit, unfinished messages."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from mina_webrtc._backend import FrameDecoder
from mina_webrtc.errors import FrameError, RemoteProtocolError
from mina_webrtc.services.base import ChannelSpec, Message, TransportSettings
from mina_webrtc.services.reporter import Reporter

MAX_CHUNK = 65_535
"""Largest data-channel message that is legal between peers of this network (protocol.md §6)."""

ITEM_COST = 128
"""What holding a message costs besides its bytes, charged to the receive window: else one-byte messages would take 150
times the memory that the window promises."""


class Inbox:
    """Receives data-channel messages and reports whole messages, as far as credit and `admit` allow.

    What cannot be delivered is held as it came: nothing is parsed before `admit`, and nothing while there is no credit,
    so that `used` is what the peer may not send any more (the receive window shrinks by it).
    """

    def __init__(
        self,
        channels: dict[int, ChannelSpec],
        settings: TransportSettings,
        reporter: Reporter,
        forget: Callable[[int], None],
    ) -> None:
        """`forget(channel)` runs just before the sink hears that a channel is closed."""
        self._channels = channels
        self._decoders = {spec.id: FrameDecoder(spec.max_unasked) for spec in channels.values() if spec.framed}
        self._unfinished = 0
        self._complete = dict.fromkeys(self._decoders, 0)
        self._begun: dict[int, int] = {}
        self._budget = settings.unfinished
        self._early_limit = settings.early_limit
        self._reporter = reporter
        self._credit = settings.receive_credit
        self._admitted = False
        self._early: deque[tuple[int, bytes | None]] = deque()
        self._early_size = 0
        self._held: deque[tuple[int, bytes | None]] = deque()
        self._held_size = 0
        self._ready: deque[Message] = deque()
        self._ready_size = 0
        self._forget = forget
        self.bytes_received = 0
        self.messages_received = 0

    @property
    def size(self) -> int:
        """Bytes held, early data included."""
        return self._held_size + self._ready_size + self._early_size

    @property
    def used(self) -> int:
        """Memory held, early data and bookkeeping included: what counts against the receive window."""
        items = len(self._held) + len(self._ready) + len(self._early)
        return self.size + items * ITEM_COST

    @property
    def undelivered(self) -> int:
        """Bytes held back for lack of credit."""
        return self._held_size + self._ready_size

    def receive(self, channel: int, data: bytes) -> None:
        """A data-channel message came in. Raises `RemoteProtocolError` when it breaks a rule of protocol.md §6, §7."""
        if not data:
            raise RemoteProtocolError(f"empty message on channel {channel}")
        if len(data) > MAX_CHUNK:
            raise RemoteProtocolError(f"message of {len(data)} bytes on channel {channel}, at most {MAX_CHUNK}")
        if channel in self._decoders and not self._admitted:
            self._early_size += len(data)
            if self._early_size > self._early_limit:
                raise RemoteProtocolError(f"more than {self._early_limit} bytes before authentication")
            self._early.append((channel, data))
            return
        self._held.append((channel, data))
        self._held_size += len(data)
        self.drain()

    def close(self, channel: int) -> None:
        """The channel is closed; said after everything that came before on it."""
        if any(early == channel for early, _ in self._early):
            self._early.append((channel, None))
            return
        self._held.append((channel, None))
        self.drain()

    def admit(self) -> None:
        """Authentication has passed: early data is treated as data that just came."""
        self._admitted = True
        self._held.extend(self._early)
        self._held_size += self._early_size
        self._early.clear()
        self._early_size = 0
        self.drain()

    def expect(self, channel: int, large: bool) -> None:
        """What the channel's messages may have as a size from now on."""
        decoder = self._decoders.get(channel)
        if decoder is not None:
            spec = self._channels[channel]
            decoder.allow(spec.max_message if large else spec.max_unasked)

    def stuck(self) -> bool:
        """Whether a message that was unfinished when this was last asked is unfinished still."""
        before = self._begun
        self._begun = {channel: self._complete[channel] for channel, item in self._decoders.items() if item.buffered}
        return any(before.get(channel) == count for channel, count in self._begun.items())

    def grant(self, size: int) -> None:
        """`size` more bytes may be delivered."""
        self._credit += size
        self.drain()

    def drain(self) -> None:
        """Delivers what may be delivered. Raises `RemoteProtocolError` for a bad frame."""
        batch: list[Message] = []
        try:
            while True:
                if self._ready:
                    if self._credit <= 0:
                        return
                    batch.append(self._pop_ready())
                elif not self._held or (self._credit <= 0 and self._held[0][1] is not None):
                    return
                else:
                    self._next_held(batch)
        finally:
            if batch:
                self._reporter.messages(batch)

    def clear(self) -> None:
        """Forgets everything; the connection is over."""
        self._early.clear()
        self._held.clear()
        self._ready.clear()
        self._decoders.clear()
        self._budget.move(-self._unfinished)
        self._unfinished = 0
        self._early_size = self._held_size = self._ready_size = 0

    def _pop_ready(self) -> Message:
        message = self._ready.popleft()
        size = len(message[1])
        self._ready_size -= size
        # One message may exceed the credit: else a message above the credit could never be delivered.
        self._credit -= size
        self.bytes_received += size
        self.messages_received += 1
        return message

    def _next_held(self, batch: list[Message]) -> None:
        channel, data = self._held[0]
        if data is None:
            self._held.popleft()
            if batch:
                self._reporter.messages(batch[:])
                batch.clear()
            self._reporter.channel_closed(channel, self._forget)
            return
        run = self._pop_run(channel)
        decoder = self._decoders.get(channel)
        if decoder is not None:
            run = self._decode(channel, decoder, run)
        elif max(map(len, run)) > self._channels[channel].max_message:
            raise RemoteProtocolError(f"message of {max(map(len, run))} bytes on raw channel {channel}")
        for payload in run:
            self._ready.append((channel, payload))
            self._ready_size += len(payload)

    def _pop_run(self, channel: int) -> list[bytes]:
        """What comes next on one channel, as much as there is credit for and one piece at least: it goes to the decoder
        in one call."""
        run: list[bytes] = []
        room = self._credit
        while self._held and self._held[0][0] == channel:
            data = self._held[0][1]
            if data is None or (run and len(data) > room):
                break
            self._held.popleft()
            run.append(data)
            room -= len(data)
            self._held_size -= len(data)
        return run

    def _decode(self, channel: int, decoder: FrameDecoder, run: list[bytes]) -> list[bytes]:
        before = decoder.buffered
        try:
            payloads = decoder.receive_batch(run)
        except FrameError as error:
            raise RemoteProtocolError(f"bad frame on channel {channel}: {error}") from error
        self._complete[channel] += len(payloads)
        change = decoder.buffered - before
        if not self._budget.move(change):
            raise RemoteProtocolError(f"unfinished messages of all peers hold more than {self._budget.limit} bytes")
        self._unfinished += change
        return payloads
