"""Channels 1 and 2: two peers find each other through a third one (protocol.md §7, §9).

Offers and answers are lists of u8 here, so they grow to about twice their size, and the 16 KiB limit counts the grown
size (§8).
"""

from __future__ import annotations

from msgspec import Struct

from mina_webrtc._backend import BinProtReader, BinProtWriter
from mina_webrtc.errors import BinProtError
from mina_webrtc.identity import PublicKey
from mina_webrtc.wire.binprot import read_public_key
from mina_webrtc.wire.sealed import EncryptedAnswer, EncryptedOffer


class GetNext(Struct, frozen=True):
    """Channels 1 to 3: "give me the next request, offer or block"; it may stay unanswered for ever."""


class Discover(Struct, frozen=True):
    """To the relay: "I want another peer"."""


class Discovered(Struct, frozen=True):
    """From the relay: there is this peer, make it an offer."""

    target: PublicKey


class DiscoveredReject(Struct, frozen=True):
    """To the relay: no offer for the peer that it found."""


class DiscoveredAccept(Struct, frozen=True):
    """To the relay: the offer for the peer that it found."""

    offer: EncryptedOffer


class OfferToYou(Struct, frozen=True):
    """From the relay to the target: an offer, and whose it is said to be."""

    offerer: PublicKey
    offer: EncryptedOffer


class RelayedAnswer(Struct, frozen=True):
    """From the target to the relay on channel 2, from the relay to the asker on channel 1; None: there will be none."""

    answer: EncryptedAnswer | None


DiscoveryMessage = GetNext | Discover | Discovered | DiscoveredReject | DiscoveredAccept | RelayedAnswer
ExchangeMessage = GetNext | OfferToYou | RelayedAnswer


def write_discovery(writer: BinProtWriter, message: DiscoveryMessage) -> None:
    """A message of channel 1. Raises `BinProtError` for one of another channel."""
    match message:
        case GetNext():
            writer.variant(0)
        case Discover():
            writer.variant(1)
        case Discovered(target):
            writer.variant(2)
            writer.raw(bytes(target))
        case DiscoveredReject():
            writer.variant(3)
        case DiscoveredAccept(offer):
            writer.variant(4)
            writer.byte_list(offer.data)
        case RelayedAnswer(answer):
            writer.variant(5)
            _write_answer(writer, answer)
        case _:
            raise BinProtError(f"{type(message).__name__} is no message of channel 1")


def read_discovery(reader: BinProtReader) -> DiscoveryMessage:
    """Inverse of `write_discovery`. Raises `BinProtError`."""
    match reader.variant(6):
        case 0:
            return GetNext()
        case 1:
            return Discover()
        case 2:
            return Discovered(read_public_key(reader))
        case 3:
            return DiscoveredReject()
        case 4:
            return DiscoveredAccept(EncryptedOffer(reader.byte_list()))
    return RelayedAnswer(_read_answer(reader))


def write_exchange(writer: BinProtWriter, message: ExchangeMessage) -> None:
    """A message of channel 2. Raises `BinProtError` for one of another channel."""
    match message:
        case GetNext():
            writer.variant(0)
        case OfferToYou(offerer, offer):
            writer.variant(1)
            writer.raw(bytes(offerer))
            writer.byte_list(offer.data)
        case RelayedAnswer(answer):
            writer.variant(2)
            _write_answer(writer, answer)
        case _:
            raise BinProtError(f"{type(message).__name__} is no message of channel 2")


def read_exchange(reader: BinProtReader) -> ExchangeMessage:
    """Inverse of `write_exchange`. Raises `BinProtError`."""
    match reader.variant(3):
        case 0:
            return GetNext()
        case 1:
            return OfferToYou(read_public_key(reader), EncryptedOffer(reader.byte_list()))
    return RelayedAnswer(_read_answer(reader))


def _write_answer(writer: BinProtWriter, answer: EncryptedAnswer | None) -> None:
    writer.option(answer is not None)
    if answer is not None:
        writer.byte_list(answer.data)


def _read_answer(reader: BinProtReader) -> EncryptedAnswer | None:
    return EncryptedAnswer(reader.byte_list()) if reader.option() else None
