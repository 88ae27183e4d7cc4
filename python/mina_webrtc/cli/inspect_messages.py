"""Facts about bytes: what stands on the channels (protocol.md §7), raw or framed, and values by their length."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from enum import IntEnum
from typing import Any

from mina_webrtc.cli.inspect_found import Asked, Facts, Found, blob
from mina_webrtc.cli.inspect_values import (
    NO_POINT,
    is_point,
    of_address,
    of_chain,
    of_hashes,
    of_peer,
    of_sealed,
    of_secret,
    open_sealed,
)
from mina_webrtc.errors import BinProtError, CryptoError, FrameError, InvalidInput
from mina_webrtc.identity import ChainId, PeerId, PublicKey, SecretKey, Signature
from mina_webrtc.keybox import PRIVATE, PUBLIC
from mina_webrtc.wire.auth import OVERHEAD, SEALED
from mina_webrtc.wire.channels import Channel
from mina_webrtc.wire.messages import Message, OfferToYou, Part, Rpc, RpcResponse, decode_initial_peers, decode_message
from mina_webrtc.wire.sealed import MAX_SEALED, EncryptedAnswer, EncryptedOffer

CHUNK = 16 * 1024
MAX_LISTED = 50
"""Frames or texts that are listed one by one; more are counted."""
PERHAPS_SEALED = "encrypted offer or answer, or noise"
SHORTEST_SEALED = OVERHEAD + len('"InternalError"')
"""Bytes: the shortest response."""
_CHANNELS = [channel for channel in Channel if channel.framed]
_PREFIX = 4
_LAST_VARIANT = 5
"""Channel 1 has the most kinds of messages, six."""


def explain_bytes(data: bytes, form: str, asked: Asked) -> Iterator[Found]:
    """Everything that the bytes can be, likeliest first: what opens with the keys, frames whose lengths fit, values by
    their length, messages, the beginning of a frame, and what 32 bytes or sealed ones may be as well as anything else.
    With a channel only what can stand on it."""
    channel = asked.channel
    anywhere = channel is None
    framed = channel is None or channel.framed
    unframed = channel is None or not channel.framed
    if unframed:
        yield from _opened(data, form, asked)
    frames = list(_frames(data, form, asked)) if framed else []
    yield from frames
    if len(data) == SEALED and unframed:
        yield Found("connection auth (encrypted)", form, of_sealed(data, asked), certain=False)
    if anywhere:
        yield from _by_length(data, form)
    if framed:
        yield from _message(data, form, asked)
        yield from _beginning(data, form, asked)
    if anywhere and not frames:
        yield from _perhaps(data, form, asked)


def _opened(data: bytes, form: str, asked: Asked) -> Iterator[Found]:
    with suppress(CryptoError):
        if len(data) >= OVERHEAD and open_sealed(data, asked) is not None:
            facts = of_sealed(data, asked)
            yield Found(f"{facts['opened']['kind']} (encrypted)", form, facts)


def _by_length(data: bytes, form: str) -> Iterator[Found]:
    if len(data) == 32:
        chain = ChainId.from_bytes(data)
        if chain in (ChainId.DEVNET, ChainId.MAINNET):
            yield Found("chain id", form, of_chain(chain))
        if is_point(data):
            yield Found("public key or peer id, raw", form, of_peer(PeerId.from_bytes(data)), certain=False)
    if data.startswith(PUBLIC) and len(data) == len(PUBLIC) + 32 and is_point(data[-32:]):
        yield Found("public key", f"libp2p, {form}", of_peer(PeerId.from_bytes(data[-32:])))
    if data.startswith(PRIVATE) and len(data) == len(PRIVATE) + 64:
        yield Found("secret key", f"libp2p, {form}", of_secret(SecretKey.from_seed(data[-64:-32])), secret=True)
    if len(data) == 64:
        key = SecretKey.from_seed(data[:32])
        if bytes(key.public_key) == data[32:]:
            yield Found("secret key, with its public key, raw", form, of_secret(key), secret=True)
        yield Found("signature", form, {"signature": str(Signature.from_bytes(data))}, certain=False)
        yield Found("connection auth (not encrypted)", form, of_hashes(data), certain=False)


def _perhaps(data: bytes, form: str, asked: Asked) -> Iterator[Found]:
    """What nothing speaks against."""
    if len(data) == 32:
        yield Found("chain id", form, of_chain(ChainId.from_bytes(data)), certain=False)
        if not is_point(data):  # an id that no key belongs to; its texts are left out, since it may be a secret
            yield Found("peer id, raw", form, {"note": NO_POINT}, certain=False)
    if SHORTEST_SEALED <= len(data) <= MAX_SEALED and len(data) != SEALED:
        facts = of_sealed(data, asked, certain=False)
        yield Found(PERHAPS_SEALED, form, facts, certain=False)


def _message(data: bytes, form: str, asked: Asked) -> Iterator[Found]:
    readings = read_channels(data, asked)
    if len(readings) == 1:
        yield Found("bin_prot message", form, readings[0], certain=False)
    elif readings:
        yield Found("bin_prot message, on one of several channels", form, {"readings": readings}, certain=False)


def of_payload(data: bytes, asked: Asked) -> Facts:
    """The message that the payload is. Raises `InvalidInput`, which says why it is none."""
    readings = read_channels(data, asked)
    if not readings:
        raise InvalidInput(why_no_message(data, asked))
    return readings[0] if len(readings) == 1 else {"readings": readings}


def why_no_message(data: bytes, asked: Asked) -> str:
    """What the decoder of the channel says; without a channel there are too many of them."""
    channel = asked.channel
    if channel is None:
        return "of none of the channels; --channel tells what is wrong for one"
    if not channel.framed:
        return f"on channel 0, which carries {SEALED} bytes: the connection auth, encrypted"
    try:
        of_message(decode_message(channel, data), asked)
    except BinProtError as error:
        return f"on channel {channel:d} ({channel.label}): {error}"
    return ""


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
    with suppress(FrameError):
        facts = of_frames(data, asked)
        count = len(facts["frames"]) + facts.get("frames_not_shown", 0)
        yield Found("frame" if count == 1 else f"{count} frames", form, facts, certain=False)


def of_frames(data: bytes, asked: Asked) -> Facts:
    """Whole frames, one after another; the last may lack its end if others came before it. Raises `FrameError`."""
    spans, rest = cut_frames(data, asked)
    if not spans or (rest and not _is_prefix(data[rest:], asked)):
        length = int.from_bytes(data[rest : rest + _PREFIX], "big")
        here = max(len(data) - rest - _PREFIX, 0)
        raise FrameError(
            f"at byte {rest} stands a length of {length} ({_limit(asked)} at most), and {here} bytes follow"
        )
    facts: Facts = {"frames": [_frame(data[start:end], asked) for start, end in spans[:MAX_LISTED]]}
    if len(spans) > MAX_LISTED:
        facts["frames_not_shown"] = len(spans) - MAX_LISTED
    if rest:
        facts["unfinished"] = _of_beginning(data[rest:])
    return facts


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
    return facts | {"payload": blob(payload), "note": f"no message: {why_no_message(payload, asked)}"}


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
