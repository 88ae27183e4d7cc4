"""Every channel's messages, without their frame (protocol.md §7, §8): values and bytes.

`encode` and `decode` are channel 7's; `encode_message` and `decode_message` take any of channels 1–8.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mina_webrtc._backend import BinProtReader, BinProtWriter
from mina_webrtc.errors import BinProtError
from mina_webrtc.wire.channels import Channel
from mina_webrtc.wire.propagation import (
    BestTip,
    BestTipMessage,
    GetItems,
    Item,
    ItemsMessage,
    WillSend,
    read_best_tip,
    read_items,
    write_best_tip,
    write_items,
)
from mina_webrtc.wire.relay import (
    Discover,
    Discovered,
    DiscoveredAccept,
    DiscoveredReject,
    DiscoveryMessage,
    ExchangeMessage,
    GetNext,
    OfferToYou,
    RelayedAnswer,
    read_discovery,
    read_exchange,
    write_discovery,
    write_exchange,
)
from mina_webrtc.wire.rpc import (
    MAX_INITIAL_PEERS,
    Rpc,
    RpcMessage,
    RpcRequest,
    RpcResponse,
    decode,
    decode_initial_peers,
    encode,
    encode_initial_peers,
    read_rpc,
    write_rpc,
)
from mina_webrtc.wire.streaming import (
    Part,
    PartKind,
    StreamMessage,
    StreamNext,
    StreamRequest,
    StreamResponse,
    read_stream,
    write_stream,
)

__all__ = [
    "MAX_INITIAL_PEERS",
    "BestTip",
    "Discover",
    "Discovered",
    "DiscoveredAccept",
    "DiscoveredReject",
    "GetItems",
    "GetNext",
    "Item",
    "Message",
    "OfferToYou",
    "Part",
    "PartKind",
    "RelayedAnswer",
    "Rpc",
    "RpcRequest",
    "RpcResponse",
    "StreamNext",
    "StreamRequest",
    "StreamResponse",
    "WillSend",
    "decode",
    "decode_initial_peers",
    "decode_message",
    "encode",
    "encode_initial_peers",
    "encode_message",
]

Message = DiscoveryMessage | ExchangeMessage | BestTipMessage | ItemsMessage | RpcMessage | StreamMessage

_CODECS: dict[Channel, tuple[Callable[[BinProtWriter, Any], None], Callable[[BinProtReader], Message]]] = {
    Channel.DISCOVERY: (write_discovery, read_discovery),
    Channel.EXCHANGE: (write_exchange, read_exchange),
    Channel.BEST_TIP: (write_best_tip, read_best_tip),
    Channel.TRANSACTION: (write_items, read_items),
    Channel.SNARK: (write_items, read_items),
    Channel.SNARK_JOB_COMMITMENT: (write_items, read_items),
    Channel.RPC: (write_rpc, read_rpc),
    Channel.STREAMING: (write_stream, read_stream),
}


def encode_message(channel: Channel, message: Message) -> bytes:
    """The payload of a message on a channel. Raises `BinProtError` for a message of another channel, for one that is
    no message at all or whose payload is beyond the channel's limit, and `OverflowError` for a number out of range."""
    write, _ = _codec(channel)
    writer = BinProtWriter()
    write(writer, message)
    payload = writer.getvalue()
    _check_size(channel, len(payload))
    return payload


def decode_message(channel: Channel, data: bytes | bytearray | memoryview) -> Message:
    """The message in a payload. Raises `BinProtError`, also for bytes left over and for a payload beyond the limit."""
    _, read = _codec(channel)
    _check_size(channel, len(data))
    reader = BinProtReader(data)
    message = read(reader)
    reader.finish()
    return message


def _codec(channel: Channel) -> tuple[Callable[[BinProtWriter, Any], None], Callable[[BinProtReader], Message]]:
    if channel not in _CODECS:
        raise BinProtError(f"channel {channel} carries no bin_prot messages")
    return _CODECS[channel]


def _check_size(channel: Channel, size: int) -> None:
    if size > channel.max_message:
        raise BinProtError(f"{size} bytes on channel {channel}, which carries {channel.max_message} at most")
