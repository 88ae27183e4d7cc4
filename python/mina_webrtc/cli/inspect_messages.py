"""Facts about bytes: what stands on the channels (protocol.md §7), raw or framed, and values by their length."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import Any

from mina_webrtc.cli.inspect_found import Asked, Facts, Found, blob
from mina_webrtc.cli.inspect_values import of_address, of_chain, of_peer, of_sealed
from mina_webrtc.errors import BinProtError, KeyFormatError
from mina_webrtc.identity import ChainId, PeerId, PublicKey, Signature
from mina_webrtc.wire.auth import SEALED
from mina_webrtc.wire.channels import Channel
from mina_webrtc.wire.messages import Message, OfferToYou, Part, Rpc, RpcResponse, decode_initial_peers, decode_message
from mina_webrtc.wire.sealed import EncryptedAnswer, EncryptedOffer

CHUNK = 16 * 1024
MAX_FRAMES = 50
"""Frames that are listed one by one; more are counted."""
_CHANNELS = [channel for channel in Channel if channel.framed]
_PREFIX = 4
_LAST_VARIANT = 5
"""Channel 1 has the most kinds of messages, six."""


def explain_bytes(data: bytes, form: str, asked: Asked) -> Iterator[Found]:
    """Everything that the bytes can be, likeliest first: frames whose lengths fit, values by their length, messages,
    the beginning of a frame. With a channel only what can stand on it."""
    framed = asked.channel is None or asked.channel.framed
    if framed:
        yield from _frames(data, form, asked)
    if asked.channel in (None, Channel.AUTH):
        yield from _by_length(data, form, asked)
    if framed:
        yield from _message(data, form, asked)
        yield from _beginning(data, form, asked)


def _by_length(data: bytes, form: str, asked: Asked) -> Iterator[Found]:
    if len(data) == SEALED:
        yield Found("connection auth (encrypted)", form, of_sealed(data, asked), certain=False)
    if asked.channel is not None:
        return
    if len(data) == 32:
        known = ChainId.from_bytes(data) in (ChainId.DEVNET, ChainId.MAINNET)
        yield Found("chain id", form, of_chain(ChainId.from_bytes(data)), certain=known)
        try:
            PublicKey.from_bytes(data)
            yield Found("public key or peer id, raw", form, of_peer(PeerId.from_bytes(data)), certain=False)
        except KeyFormatError:
            yield Found("peer id, raw", form, of_peer(PeerId.from_bytes(data)), certain=False)
    if len(data) == 64:
        yield Found("signature", form, {"signature": str(Signature.from_bytes(data))}, certain=False)
        halves = {"offer_sdp_sha256": data[:32].hex(), "answer_sdp_sha256": data[32:].hex()}
        yield Found("connection auth (not encrypted)", form, halves, certain=False)


def _message(data: bytes, form: str, asked: Asked) -> Iterator[Found]:
    readings = read_channels(data, asked)
    if not readings:
        return
    if len(readings) == 1:
        yield Found("bin_prot message", form, readings[0], certain=False)
    else:
        yield Found("bin_prot message, on one of several channels", form, {"readings": readings}, certain=False)


def read_channels(data: bytes, asked: Asked) -> list[Facts]:
    """The message that the payload is, on every channel (or the one that was asked for) where it decodes fully."""
    found = []
    for channel in _CHANNELS if asked.channel is None else [asked.channel]:
        try:
            told = of_message(decode_message(channel, data), asked)
        except BinProtError:
            continue
        found.append({"channel": int(channel), "label": channel.label, "message": told})
    return found


def of_message(message: Message | Part, asked: Asked) -> Facts:
    """The fields of a message, by their names. Raises `BinProtError` for a peer list that does not decode."""
    facts: Facts = {"type": type(message).__name__}
    peer = message.offerer if isinstance(message, OfferToYou) else None
    for name in message.__struct_fields__:
        facts[name] = _of_field(getattr(message, name), asked, peer)
    if isinstance(message, RpcResponse) and message.kind is Rpc.INITIAL_PEERS and message.body is not None:
        del facts["body"]
        facts["peers"] = [of_address(address) for address in decode_initial_peers(message.body)]
    if isinstance(message, Part) and message.trees is not None:
        facts["trees"] = message.trees
    return facts


def _of_field(value: Any, asked: Asked, peer: PublicKey | None) -> Any:
    match value:
        case IntEnum():
            return value.name
        case PublicKey():
            return of_peer(value.peer_id)
        case EncryptedOffer() | EncryptedAnswer():
            return of_sealed(value.data, asked, peer)
        case bytes():
            return blob(value)
        case Part():
            return of_message(value, asked)
    return value


def _frames(data: bytes, form: str, asked: Asked) -> Iterator[Found]:
    """Whole frames, one after another; the last may lack its end if others came before it."""
    spans, rest = cut_frames(data, asked)
    if not spans or (rest and not _is_prefix(data[rest:], asked)):
        return
    facts: Facts = {"frames": [_frame(data[start:end], asked) for start, end in spans[:MAX_FRAMES]]}
    if len(spans) > MAX_FRAMES:
        facts["frames_not_shown"] = len(spans) - MAX_FRAMES
    if rest:
        facts["unfinished"] = _of_beginning(data[rest:])
    count = len(spans)
    yield Found("frame" if count == 1 else f"{count} frames", form, facts, certain=False)


def cut_frames(data: bytes, asked: Asked) -> tuple[list[tuple[int, int]], int]:
    """Start and end of the payloads of all whole frames, and where what is left over begins (0 if nothing is)."""
    spans: list[tuple[int, int]] = []
    at = 0
    while at < len(data):
        length = int.from_bytes(data[at : at + _PREFIX], "big")
        end = at + _PREFIX + length
        if not 0 < length <= _limit(asked) or end > len(data):
            return spans, at
        spans.append((at + _PREFIX, end))
        at = end
    return spans, 0


def _frame(payload: bytes, asked: Asked) -> Facts:
    facts: Facts = {"payload_bytes": len(payload), "chunks": -(-(_PREFIX + len(payload)) // CHUNK)}
    readings = read_channels(payload, asked)
    if len(readings) == 1:
        return facts | readings[0]
    if readings:
        return facts | {"readings": readings}
    return facts | {"payload": blob(payload), "note": "no message of these channels"}


def _beginning(data: bytes, form: str, asked: Asked) -> Iterator[Found]:
    """A frame whose end is missing: the first chunks of a message. Every message begins with a small number."""
    if len(data) > _PREFIX and data[_PREFIX] <= _LAST_VARIANT and _is_prefix(data, asked):
        yield Found("beginning of a frame", form, _of_beginning(data), certain=False)


def _is_prefix(data: bytes, asked: Asked) -> bool:
    length = int.from_bytes(data[:_PREFIX], "big")
    return len(data) < _PREFIX or len(data) - _PREFIX < length <= _limit(asked)


def _of_beginning(data: bytes) -> Facts:
    if len(data) < _PREFIX:
        return {"bytes_of_the_length_prefix": len(data)}
    length = int.from_bytes(data[:_PREFIX], "big")
    return {"payload_bytes": length, "here": len(data) - _PREFIX, "payload": blob(data[_PREFIX:])}


def _limit(asked: Asked) -> int:
    return max(channel.max_message for channel in _CHANNELS) if asked.channel is None else asked.channel.max_message
