"""What has come and is no whole message in its turn yet: fragments, and what is ahead of something that is missing.

aiortc's `InboundStream` looks through a list for each chunk and copies it for each message, which a peer can make
expensive: here each chunk is touched twice, however they come.
"""

from __future__ import annotations

from aiortc.rtcsctptransport import (
    SCTP_DATA_FIRST_FRAG,
    SCTP_DATA_LAST_FRAG,
    SCTP_DATA_UNORDERED,
    DataChunk,
    tsn_plus_one,
)
from aiortc.utils import uint16_add, uint16_gt

from mina_webrtc.errors import RemoteProtocolError
from mina_webrtc.services.inbox import MAX_CHUNK

CHUNK_COST = 384
"""Memory that holding a chunk takes besides its data: the object, its fields and its places in two tables (measured:
360 bytes)."""

WHOLE = SCTP_DATA_FIRST_FRAG | SCTP_DATA_LAST_FRAG
NOTHING: list[tuple[int, bytes]] = []


class _Stream:
    """One inbound stream. Fragments of a message have consecutive TSNs (RFC 9260 §6.9), so what comes next is known:
    the TSN that continues the message begun, or the first fragment with the next sequence number."""

    __slots__ = ("begun", "first", "following", "held", "sequence", "size")

    def __init__(self) -> None:
        self.sequence = 0
        self.begun: list[bytes] = []
        self.size = 0  # bytes of `begun`
        self.following = 0
        self.held: dict[int, DataChunk] = {}
        self.first: dict[int, int] = {}

    def continues(self, chunk: DataChunk) -> bool:
        """Whether it is the chunk's turn. Raises `RemoteProtocolError` when its turn can never come."""
        first = chunk.flags & SCTP_DATA_FIRST_FRAG
        if self.begun and chunk.tsn == self.following:
            if first or chunk.stream_seq != self.sequence:
                raise RemoteProtocolError("SCTP message without an end")
            return True
        if not first:
            return False
        if not self.begun and chunk.stream_seq == self.sequence:
            return True
        if chunk.stream_seq in self.first or not uint16_gt(chunk.stream_seq, self.sequence):
            raise RemoteProtocolError("SCTP stream sequence number used twice")
        return False

    def next(self) -> DataChunk | None:
        """Takes out the held chunk whose turn it is."""
        tsn = self.following if self.begun else self.first.pop(self.sequence, None)
        return None if tsn is None else self.held.pop(tsn, None)


class Reassembly:
    """The inbound streams of an association. `size` is the payload that they hold."""

    def __init__(self) -> None:
        self._streams: dict[int, _Stream] = {}
        self._count = 0
        self.size = 0

    @property
    def memory(self) -> int:
        """What is held, bookkeeping included."""
        return self.size + self._count * CHUNK_COST

    def add(self, chunk: DataChunk) -> list[tuple[int, bytes]]:
        """Takes a chunk whose TSN is new; returns the messages of its stream that are whole and in their turn now, as
        payload protocol and data. Raises `RemoteProtocolError` for what cannot become a message that is allowed."""
        stream = self._streams.get(chunk.stream_id)
        if stream is None:
            stream = self._streams[chunk.stream_id] = _Stream()
        if chunk.flags & SCTP_DATA_UNORDERED:
            raise RemoteProtocolError("unordered data on an ordered channel")  # protocol.md §6
        if not stream.continues(chunk):
            self._hold(stream, chunk)
            return NOTHING
        if not stream.held and not chunk.flags & SCTP_DATA_LAST_FRAG:
            self._append(stream, chunk)
            return NOTHING
        messages: list[tuple[int, bytes]] = []
        turn: DataChunk | None = chunk
        while turn is not None:
            self._append(stream, turn)
            if turn.flags & SCTP_DATA_LAST_FRAG:
                messages.append((turn.protocol, self._finish(stream)))
            turn = self._release(stream)
        return messages

    def forget(self, stream_id: int) -> None:
        """The stream begins anew, or is no more: what it holds will never be whole."""
        stream = self._streams.pop(stream_id, None)
        if stream is not None:
            self.size -= stream.size + sum(len(chunk.user_data) for chunk in stream.held.values())
            self._count -= len(stream.begun) + len(stream.held)

    def clear(self) -> None:
        """Forgets everything; the association is over."""
        self._streams.clear()
        self.size = self._count = 0

    def _hold(self, stream: _Stream, chunk: DataChunk) -> None:
        stream.held[chunk.tsn] = chunk
        if chunk.flags & SCTP_DATA_FIRST_FRAG:
            stream.first[chunk.stream_seq] = chunk.tsn
        self.size += len(chunk.user_data)
        self._count += 1

    def _release(self, stream: _Stream) -> DataChunk | None:
        chunk = stream.next() if stream.held else None
        if chunk is not None:
            self.size -= len(chunk.user_data)
            self._count -= 1
            stream.continues(chunk)  # raises for what is held with a TSN that belongs to another message
        return chunk

    def _append(self, stream: _Stream, chunk: DataChunk) -> None:
        size = len(chunk.user_data)
        stream.begun.append(chunk.user_data)
        stream.size += size
        stream.following = tsn_plus_one(chunk.tsn)
        self.size += size
        self._count += 1
        if stream.size > MAX_CHUNK:
            raise RemoteProtocolError(
                f"message of {stream.size} bytes or more on channel {chunk.stream_id}, at most {MAX_CHUNK}"
            )

    def _finish(self, stream: _Stream) -> bytes:
        data = stream.begun[0] if len(stream.begun) == 1 else b"".join(stream.begun)
        self.size -= stream.size
        self._count -= len(stream.begun)
        stream.begun.clear()
        stream.size = 0
        stream.sequence = uint16_add(stream.sequence, 1)
        return data
