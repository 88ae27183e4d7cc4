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
LARGE: Final = 1024
"""A chunk of so many bytes is kept as it is: whoever sent it paid for more than what an object takes to be one."""


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

    __slots__ = ("_failed", "_length", "_limit", "_missing", "_parts", "_prefix")
    _limit: int
    _prefix: bytearray
    """The first bytes of a message, as long as its length is not known."""
    _length: int
    """Of the unfinished message, when it is known; else 0."""
    _missing: int
    """How much of it has not come."""
    _parts: list[bytes | bytearray]
    """What has come of it: large chunks as they were, so that a byte is copied only once; small ones together."""
    _failed: bool

    def __new__(cls, max_message: int) -> FrameDecoder:
        """`max_message` is the channel's limit in bytes, inclusive, without the 4-byte prefix."""
        decoder = object.__new__(cls)
        object.__setattr__(decoder, "_limit", unsigned(max_message, U32))
        object.__setattr__(decoder, "_prefix", bytearray())
        object.__setattr__(decoder, "_length", 0)
        object.__setattr__(decoder, "_missing", 0)
        object.__setattr__(decoder, "_parts", [])
        object.__setattr__(decoder, "_failed", False)
        return decoder

    def receive_data(self, data: Buffer) -> list[bytes]:
        """The payloads that `data` completes, in order. Raises `FrameError`, and then for ever."""
        messages: list[bytes] = []
        self._receive(octets(data), messages)
        return messages

    def receive_batch(self, chunks: list[bytes]) -> list[bytes]:
        """`receive_data` of each chunk in turn; what was complete is lost when one fails."""
        instance_of(list, chunks)
        messages: list[bytes] = []
        for data in [octets(chunk) for chunk in chunks]:
            self._receive(data, messages)
        return messages

    def allow(self, max_message: int) -> None:
        """Another limit from now on. An unfinished message that is longer makes the next call fail."""
        object.__setattr__(self, "_limit", unsigned(max_message, U32))

    @property
    def buffered(self) -> int:
        """Bytes of an unfinished message held now, prefix included."""
        return PREFIX + self._length - self._missing if self._length else len(self._prefix)

    def _receive(self, data: bytes, messages: list[bytes]) -> None:
        if self._failed:
            raise FrameError("the decoder has failed before and cannot go on")
        try:
            self._read(data, messages)
        except FrameError:
            object.__setattr__(self, "_failed", True)
            object.__setattr__(self, "_length", 0)
            self._prefix.clear()
            self._parts.clear()
            raise

    def _read(self, data: bytes, messages: list[bytes]) -> None:
        position = 0
        if self._prefix:
            position = PREFIX - len(self._prefix)
            self._prefix.extend(data[:position])
            if len(self._prefix) < PREFIX:
                return
            self._begin(self._checked(int.from_bytes(self._prefix, "big")))
            self._prefix.clear()
        if self._length:
            self._checked(self._length)
            end = position + self._missing
            if end > len(data):
                self._hold(data[position:])
                return
            messages.append(self._joined(data[position:end]))
            position = end
        while len(data) >= position + PREFIX:
            length = self._checked(int.from_bytes(data[position : position + PREFIX], "big"))
            position += PREFIX
            if position + length > len(data):
                self._begin(length)
                self._hold(data[position:])
                return
            messages.append(data[position : position + length])
            position += length
        self._prefix.extend(data[position:])

    def _begin(self, length: int) -> None:
        object.__setattr__(self, "_length", length)
        object.__setattr__(self, "_missing", length)

    def _hold(self, piece: bytes) -> None:
        object.__setattr__(self, "_missing", self._missing - len(piece))
        parts = self._parts
        if len(piece) >= LARGE:
            parts.append(piece)
        elif parts and isinstance(parts[-1], bytearray) and len(parts[-1]) < CHUNK:
            parts[-1].extend(piece)
        elif piece:
            parts.append(bytearray(piece))

    def _joined(self, last: bytes) -> bytes:
        message = b"".join([*self._parts, last])
        self._parts.clear()
        self._begin(0)
        return message

    def _checked(self, length: int) -> int:
        if length == 0:
            raise FrameError("a message must not be empty")
        if length > self._limit:
            raise FrameError(f"a message of {length} bytes is over the limit of {self._limit}")
        return length

    def __reduce__(self) -> NoReturn:
        raise TypeError("a FrameDecoder cannot be pickled")
