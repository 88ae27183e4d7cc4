"""Channel 8: the staged ledger in parts, each asked for after the one before (protocol.md §7).

A response's part stands behind the index of its request's kind, of which there is one (0), as on channel 7.
"""

from __future__ import annotations

from enum import IntEnum

from msgspec import Struct

from mina_webrtc._backend import BinProtReader, BinProtWriter
from mina_webrtc.errors import BinProtError
from mina_webrtc.wire.rpc import HASH

PART_TIMEOUT = 30.0
"""Seconds after which a part is no longer waited for (§7)."""
MAX_TREES = 2**31 - 1
"""What the number of trees can be at most: a signed int of 32 bits."""


class PartKind(IntEnum):
    """What a part holds; the value is its variant's index. They come in this order, the last as often as there are
    trees."""

    BASE = 0
    SCAN_STATE_BASE = 1
    PREVIOUS_INCOMPLETE_ZKAPP_UPDATES = 2
    SCAN_STATE_TREE = 3


class Part(Struct, frozen=True):
    """One part; `body` is opaque, apart from `trees`."""

    kind: PartKind
    body: bytes

    @property
    def trees(self) -> int | None:
        """How many trees the stream ends with: the first field of a `SCAN_STATE_BASE`, None for the other kinds.
        Raises `BinProtError` for a body without it, which `decode_message` lets nobody send."""
        if self.kind is not PartKind.SCAN_STATE_BASE:
            return None
        return BinProtReader(self.body).integer(0, MAX_TREES)

    def __repr__(self) -> str:
        return f"Part({self.kind.name}, <{len(self.body)} bytes>)"


class StreamNext(Struct, frozen=True):
    """Asks for the next part of what request `id` asked for."""

    id: int


class StreamRequest(Struct, frozen=True):
    """Asks for the staged ledger at a block; `id` is a u64 of the asker's choice."""

    id: int
    state_hash: bytes
    """32 bytes."""


class StreamResponse(Struct, frozen=True):
    """The next part of what request `id` asked for; None: there is nothing, and nothing follows."""

    id: int
    part: Part | None


StreamMessage = StreamNext | StreamRequest | StreamResponse


def write_stream(writer: BinProtWriter, message: StreamMessage) -> None:
    """A message of channel 8. Raises `BinProtError` for one of another channel, for a hash of another length than 32
    bytes and a scan state without its number of trees; `OverflowError` for an id outside of u64."""
    match message:
        case StreamNext(id_):
            writer.variant(0)
            writer.nat0(id_)
        case StreamRequest(id_, state_hash):
            if len(state_hash) != HASH:
                raise BinProtError(f"a state hash has {HASH} bytes, not {len(state_hash)}")
            writer.variant(1)
            writer.nat0(id_)
            writer.variant(0)
            writer.raw(state_hash)
        case StreamResponse(id_, part):
            writer.variant(2)
            writer.nat0(id_)
            writer.option(part is not None)
            if part is not None:
                _write_part(writer, part)
        case _:
            raise BinProtError(f"{type(message).__name__} is no message of channel 8")


def read_stream(reader: BinProtReader) -> StreamMessage:
    """Inverse of `write_stream`. Raises `BinProtError`."""
    variant = reader.variant(3)
    id_ = reader.nat0()
    if variant == 0:
        return StreamNext(id_)
    if variant == 1:
        reader.variant(1)
        return StreamRequest(id_, reader.raw(HASH))
    return StreamResponse(id_, _read_part(reader) if reader.option() else None)


def _write_part(writer: BinProtWriter, part: Part) -> None:
    _ = part.trees
    writer.variant(0)
    writer.variant(part.kind)
    writer.raw(part.body)


def _read_part(reader: BinProtReader) -> Part:
    reader.variant(1)
    part = Part(PartKind(reader.variant(len(PartKind))), reader.rest())
    _ = part.trees
    return part
