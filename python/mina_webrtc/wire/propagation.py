"""Channels 3 to 6: best tips, transactions, snarks and commitments are handed on to who asks (protocol.md §7).

What is handed on is opaque bytes to this project.
"""

from __future__ import annotations

from msgspec import Struct

from mina_webrtc._backend import BinProtReader, BinProtWriter
from mina_webrtc.errors import BinProtError
from mina_webrtc.wire.relay import GetNext

_U8 = range(256)


class BestTip(Struct, frozen=True):
    """Channel 3: the answer to a `GetNext`."""

    block: bytes

    def __repr__(self) -> str:
        return f"BestTip(<{len(self.block)} bytes>)"


class GetItems(Struct, frozen=True):
    """Channels 4 to 6, `GetNext` with a limit: "tell me up to so many"; 0…255."""

    limit: int


class WillSend(Struct, frozen=True):
    """Channels 4 to 6: so many items follow. 0…255 here; that it is neither 0 nor above the limit that was asked for
    is for the receiver's state to say."""

    count: int


class Item(Struct, frozen=True):
    """Channels 4 to 6: one transaction, snark or commitment."""

    body: bytes

    def __repr__(self) -> str:
        return f"Item(<{len(self.body)} bytes>)"


BestTipMessage = GetNext | BestTip
ItemsMessage = GetItems | WillSend | Item


def write_best_tip(writer: BinProtWriter, message: BestTipMessage) -> None:
    """A message of channel 3. Raises `BinProtError` for one of another channel."""
    match message:
        case GetNext():
            writer.variant(0)
        case BestTip(block):
            writer.variant(1)
            writer.raw(block)
        case _:
            raise BinProtError(f"{type(message).__name__} is no message of channel 3")


def read_best_tip(reader: BinProtReader) -> BestTipMessage:
    """Inverse of `write_best_tip`. Raises `BinProtError`."""
    return BestTip(reader.rest()) if reader.variant(2) else GetNext()


def write_items(writer: BinProtWriter, message: ItemsMessage) -> None:
    """A message of channels 4 to 6. Raises `BinProtError` for one of another channel, `OverflowError` for a number
    that is no u8."""
    match message:
        case GetItems(number):
            _write_number(writer, 0, number)
        case WillSend(number):
            _write_number(writer, 1, number)
        case Item(body):
            writer.variant(2)
            writer.raw(body)
        case _:
            raise BinProtError(f"{type(message).__name__} is no message of channels 4 to 6")


def read_items(reader: BinProtReader) -> ItemsMessage:
    """Inverse of `write_items`. Raises `BinProtError`."""
    match reader.variant(3):
        case 0:
            return GetItems(reader.integer(0, 255))
        case 1:
            return WillSend(reader.integer(0, 255))
    return Item(reader.rest())


def _write_number(writer: BinProtWriter, variant: int, number: int) -> None:
    if number not in _U8:
        raise OverflowError(f"{number} is not within 0…255")
    writer.variant(variant)
    writer.integer(number)
