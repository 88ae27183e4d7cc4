"""What waits to be sent: one queue per channel, taken in turns, and the count of what has left."""

from __future__ import annotations

from collections import deque
from itertools import islice

from mina_webrtc._backend import frame_batch
from mina_webrtc.services.base import ChannelSpec

CHUNK = 16_384
"""Bytes of the largest data-channel message that is sent (protocol.md §7)."""

SMALL = CHUNK - 4
"""Bytes of the largest message that is one chunk with its prefix (protocol.md §7)."""

BATCH = 64
"""Small messages that are framed in one call: enough that the call itself costs nothing any more."""


class Parcel:
    """One message on its way. A chunk of a large one is cut when its turn comes: no message is held twice, and none is
    cut in one go, which would stop the event loop for 70 ms at 64 MiB."""

    __slots__ = ("channel", "chunks", "cut", "gone", "payload", "size")

    def __init__(self, channel: int, payload: bytes) -> None:
        self.channel = channel
        self.payload: bytes | None = payload
        self.cut = 0
        self.chunks: deque[bytes] = deque()
        self.size = len(payload)
        self.gone = False


class Piece:
    """One data-channel message to put on the wire; `last` is set on a message's last one."""

    __slots__ = ("data", "last", "parcel")

    def __init__(self, parcel: Parcel, data: bytes, last: bool) -> None:
        self.parcel = parcel
        self.data = data
        self.last = last

    @property
    def channel(self) -> int:
        return self.parcel.channel


class Outbox:
    """Messages in order per channel, channels in turns of one chunk, so that a block of 32 MiB on one channel does not
    hold up a request on another. Completion is counted oldest first over all channels, as `on_sent` has it."""

    def __init__(self, channels: dict[int, ChannelSpec]) -> None:
        self._framed = {spec.id: spec.framed for spec in channels.values()}
        self._queues: dict[int, deque[Parcel]] = {}
        self._turns: deque[int] = deque()
        self._order: deque[Parcel] = deque()
        self._unsent: dict[int, int] = {}
        self.buffered = 0
        self.bytes_sent = 0
        self.messages_sent = 0

    def put(self, channel: int, payload: bytes) -> None:
        """Queues a message; the caller has checked channel and size."""
        parcel = Parcel(channel, payload)
        queue = self._queues.setdefault(channel, deque())
        if not queue:
            self._turns.append(channel)
        queue.append(parcel)
        self._order.append(parcel)
        self._unsent[channel] = self._unsent.get(channel, 0) + 1
        self.buffered += parcel.size

    def take(self) -> Piece | None:
        """The next data-channel message, or None when nothing waits."""
        if not self._turns:
            return None
        channel = self._turns.popleft()
        queue = self._queues[channel]
        parcel = queue[0]
        if parcel.payload is not None:
            self._cut(queue, self._framed[channel])
        data = parcel.chunks.popleft()
        last = not parcel.chunks and parcel.payload is None
        if last:
            queue.popleft()
        if queue:
            self._turns.append(channel)
        return Piece(parcel, data, last)

    def left(self, piece: Piece) -> int:
        """`piece` was put on the wire; returns how many messages, oldest first, have now left completely."""
        if not piece.last or piece.parcel.gone:
            return 0
        self.bytes_sent += piece.parcel.size
        self.messages_sent += 1
        self._forget(piece.parcel)
        return self._count()

    def drop(self, channel: int) -> int:
        """The channel is gone: its messages will never leave and stop waiting; counts as `left` does."""
        if self._queues.pop(channel, None):
            self._turns.remove(channel)
        for parcel in self._order:
            if parcel.channel == channel and not parcel.gone:
                self._forget(parcel)
        return self._count()

    def pending(self, channel: int) -> bool:
        """Whether a message of this channel has not left completely."""
        return self._unsent.get(channel, 0) > 0

    def clear(self) -> None:
        """Forgets everything; the connection is over."""
        self._queues.clear()
        self._turns.clear()
        self._order.clear()
        self._unsent.clear()
        self.buffered = 0

    def _cut(self, queue: deque[Parcel], framed: bool) -> None:
        """Makes the first message's next chunk, and those of small ones behind it. Every message starts a fresh chunk
        (protocol.md §7); channel 0 is raw."""
        first = queue[0]
        if framed and first.size <= SMALL:
            batch: list[Parcel] = []
            payloads: list[bytes] = []
            for parcel in islice(queue, BATCH):
                if parcel.payload is None or parcel.size > SMALL:
                    break
                batch.append(parcel)
                payloads.append(parcel.payload)
                parcel.payload = None
            for parcel, chunk in zip(batch, frame_batch(payloads), strict=True):
                parcel.chunks.append(chunk)
        elif first.payload is not None:
            prefix = first.size.to_bytes(CHUNK - SMALL, "big") if framed and not first.cut else b""
            end = first.cut + CHUNK - len(prefix) if framed else first.size
            first.chunks.append(prefix + first.payload[first.cut : end])
            first.cut = end
            if end >= first.size:
                first.payload = None

    def _forget(self, parcel: Parcel) -> None:
        parcel.gone = True
        self._unsent[parcel.channel] -= 1
        self.buffered -= parcel.size

    def _count(self) -> int:
        count = 0
        while self._order and self._order[0].gone:
            self._order.popleft()
            count += 1
        return count
