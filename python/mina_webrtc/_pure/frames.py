"""Messages cut into data-channel messages, and put together again (protocol.md §7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn, final

from mina_webrtc._pure.convert import U32, instance_of, octets, unsigned
from mina_webrtc._pure.values import Sealed
from mina_webrtc.errors import FrameError

if TYPE_CHECKING:
    from typing_extensions import Buffer

CHUNK: Final = 16_384
PREFIX: Final = 4


def frame_chunks(payload: Buffer) -> list[bytes]:
    """One message as chunks: `length (u32 BE) ‖ payload`, cut at `CHUNK` bytes. Raises `FrameError`."""
    body = octets(payload)
    if not body:
        raise FrameError("a message must not be empty")
    if len(body) > U32:
        raise FrameError(f"a message of {len(body)} bytes is over the limit of {U32}")
    head = CHUNK - PREFIX
    first = len(body).to_bytes(PREFIX, "big") + body[:head]
    return [first, *(body[start : start + CHUNK] for start in range(head, len(body), CHUNK))]


def frame_batch(payloads: list[bytes]) -> list[bytes]:
    """The chunks of many messages, one after the other. Raises `FrameError`."""
    instance_of(list, payloads)
    return [chunk for body in [octets(payload) for payload in payloads] for chunk in frame_chunks(body)]


@final
class FrameDecoder(Sealed):
    """Puts messages together from a channel's chunks, cut anywhere."""

    __slots__ = ("_failed", "_held", "_limit")
    _limit: int
    _held: bytearray
    _failed: bool

    def __new__(cls, max_message: int) -> FrameDecoder:
        """`max_message` is the channel's limit in bytes, inclusive, without the 4-byte prefix."""
        decoder = object.__new__(cls)
        object.__setattr__(decoder, "_limit", unsigned(max_message, U32))
        object.__setattr__(decoder, "_held", bytearray())
        object.__setattr__(decoder, "_failed", False)
        return decoder

    def receive_data(self, data: Buffer) -> list[bytes]:
        """The payloads that `data` completes, in order. Raises `FrameError`, and then for ever."""
        octet = octets(data)
        if self._failed:
            raise FrameError("the decoder has failed before and cannot go on")
        try:
            return self._read(octet)
        except FrameError:
            object.__setattr__(self, "_failed", True)
            self._held.clear()
            raise

    def receive_batch(self, chunks: list[bytes]) -> list[bytes]:
        """`receive_data` of each chunk in turn; what was complete is lost when one fails."""
        instance_of(list, chunks)
        return [message for data in [octets(chunk) for chunk in chunks] for message in self.receive_data(data)]

    def allow(self, max_message: int) -> None:
        """Another limit from now on. An unfinished message that is longer makes the next call fail."""
        object.__setattr__(self, "_limit", unsigned(max_message, U32))

    @property
    def buffered(self) -> int:
        """Bytes of an unfinished message held now, prefix included."""
        return len(self._held)

    def _read(self, data: bytes) -> list[bytes]:
        messages: list[bytes] = []
        position = 0
        if self._held:
            position = self._hold(data, 0, PREFIX)
            length = self._length(self._held, 0)
            if length is None:
                return messages
            # The buffer grows with what has come, never with what the prefix promises.
            position = self._hold(data, position, PREFIX + length)
            if len(self._held) < PREFIX + length:
                return messages
            messages.append(bytes(memoryview(self._held)[PREFIX:]))
            self._held.clear()
        while (length := self._length(data, position)) is not None:
            end = position + PREFIX + length
            if end > len(data):
                break
            messages.append(data[position + PREFIX : end])
            position = end
        self._held.extend(memoryview(data)[position:])
        return messages

    def _hold(self, data: bytes, start: int, until: int) -> int:
        """Moves bytes of `data` from `start` on to the held ones until these are `until`; where it stopped."""
        end = start + max(until - len(self._held), 0)
        self._held.extend(memoryview(data)[start:end])
        return min(end, len(data))

    def _length(self, data: bytes | bytearray, position: int) -> int | None:
        """The payload's length, once the whole prefix is there."""
        if len(data) < position + PREFIX:
            return None
        length = int.from_bytes(data[position : position + PREFIX], "big")
        if length == 0:
            raise FrameError("a message must not be empty")
        if length > self._limit:
            raise FrameError(f"a message of {length} bytes is over the limit of {self._limit}")
        return length

    def __reduce__(self) -> NoReturn:
        raise TypeError("a FrameDecoder cannot be pickled")
