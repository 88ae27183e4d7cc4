"""Channel 7, requests and responses (protocol.md §7, §8).

Bodies are the bin_prot fields of a request's or response's variant and stay opaque bytes, but for `InitialPeers`.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

from msgspec import Struct

from mina_webrtc._backend import BinProtReader, BinProtWriter
from mina_webrtc.errors import AddressError, BinProtError
from mina_webrtc.wire.address import DialAddress, Libp2pAddress
from mina_webrtc.wire.binprot import read_address, write_address

MAX_INITIAL_PEERS = 100
"""Entries of an `InitialPeers` response, written or read."""


class Rpc(IntEnum):
    """What can be asked on channel 7; the value is the variant's index in requests and responses."""

    BEST_TIP = 0
    LEDGER_QUERY = 1
    STAGED_LEDGER = 2
    """The staged ledger auxiliary and the pending coinbases at a block."""
    BLOCK = 3
    SNARK = 4
    TRANSACTION = 5
    INITIAL_PEERS = 6

    @property
    def timeout(self) -> float:
        """Seconds after which an answer is no longer waited for (§7)."""
        return _TIMEOUTS[self]


_TIMEOUTS = {
    Rpc.BEST_TIP: 15.0,
    Rpc.LEDGER_QUERY: 4.0,
    Rpc.STAGED_LEDGER: 180.0,
    Rpc.BLOCK: 8.0,
    Rpc.SNARK: 8.0,
    Rpc.TRANSACTION: 8.0,
    Rpc.INITIAL_PEERS: 5.0,
}

HASH = 32
"""Bytes of a state, ledger or transaction hash."""

_REQUEST_SIZES = {
    Rpc.BEST_TIP: range(1),
    Rpc.LEDGER_QUERY: range(HASH + 1, 2**32),
    Rpc.STAGED_LEDGER: range(HASH, HASH + 1),
    Rpc.BLOCK: range(HASH, HASH + 1),
    Rpc.SNARK: range(1, 2**32),
    Rpc.TRANSACTION: range(HASH, HASH + 1),
    Rpc.INITIAL_PEERS: range(1),
}
"""How long a request's body may be: nothing, a hash, a ledger's hash and a query, a job id (§7)."""


class RpcRequest(Struct, frozen=True):
    """A question; `id` is a u64 of the asker's choice, unused among its open ones. `body` is the 32-byte hash that
    `STAGED_LEDGER`, `BLOCK` and `TRANSACTION` name, nothing for `BEST_TIP` and `INITIAL_PEERS`."""

    id: int
    kind: Rpc
    body: bytes = b""

    def __repr__(self) -> str:
        return f"RpcRequest(id={self.id}, kind={self.kind.name}, <{len(self.body)} bytes>)"


class RpcResponse(Struct, frozen=True):
    """The answer to the request with the same id. `kind` and `body` are None together: the peer does not have it."""

    id: int
    kind: Rpc | None
    body: bytes | None

    def __repr__(self) -> str:
        if self.kind is None or self.body is None:
            return f"RpcResponse(id={self.id}, nothing)"
        return f"RpcResponse(id={self.id}, kind={self.kind.name}, <{len(self.body)} bytes>)"


RpcMessage = RpcRequest | RpcResponse


def encode(message: RpcMessage) -> bytes:
    """The message's payload, of whatever size. Raises `BinProtError` for a body of a length that does not fit its kind,
    and `OverflowError` for an id outside of u64."""
    writer = BinProtWriter()
    write_rpc(writer, message)
    return writer.getvalue()


def decode(data: bytes | bytearray | memoryview) -> RpcMessage:
    """The message in a payload. Raises `BinProtError`, also for bytes left over."""
    reader = BinProtReader(data)
    message = read_rpc(reader)
    reader.finish()
    return message


def write_rpc(writer: BinProtWriter, message: RpcMessage) -> None:
    """A message of channel 7. Raises as `encode`, also for a message of another channel."""
    match message:
        case RpcRequest(id_, asked, fields):
            _check_request(asked, fields)
            writer.variant(0)
            writer.nat0(id_)
            _write_content(writer, asked, fields)
        case RpcResponse(id_, None, None):
            writer.variant(1)
            writer.nat0(id_)
            writer.option(False)
        case RpcResponse(id_, kind, body):
            if kind is None or body is None:
                raise BinProtError("a response has a kind and a body, or neither")
            writer.variant(1)
            writer.nat0(id_)
            writer.option(True)
            _write_content(writer, kind, body)
        case _:
            raise BinProtError(f"{type(message).__name__} is no message of channel 7")


def read_rpc(reader: BinProtReader) -> RpcMessage:
    """Inverse of `write_rpc`. Raises `BinProtError`."""
    is_request = reader.variant(2) == 0
    id_ = reader.nat0()
    if not is_request and not reader.option():
        return RpcResponse(id_, None, None)
    kind = Rpc(reader.variant(len(Rpc)))
    body = reader.rest()
    if not is_request:
        return RpcResponse(id_, kind, body)
    _check_request(kind, body)
    return RpcRequest(id_, kind, body)


def encode_initial_peers(peers: Sequence[DialAddress | Libp2pAddress], limit: int = MAX_INITIAL_PEERS) -> bytes:
    """The body of an `InitialPeers` response. Raises `BinProtError` for more than `limit` entries."""
    if len(peers) > limit:
        raise BinProtError(f"{len(peers)} initial peers are more than {limit}")
    writer = BinProtWriter()
    writer.nat0(len(peers))
    for peer in peers:
        write_address(writer, peer)
    return writer.getvalue()


def decode_initial_peers(
    data: bytes | bytearray | memoryview, limit: int = MAX_INITIAL_PEERS
) -> tuple[DialAddress | Libp2pAddress, ...]:
    """Inverse of `encode_initial_peers`. Raises `BinProtError`.

    An entry that is well-formed but whose `proxied` prefix we refuse (§5) is left out: the peer may have it from
    somebody else, and nobody shall be able to turn honest peers against each other with it.
    """
    reader = BinProtReader(data)
    count = reader.nat0()
    if count > limit:
        raise BinProtError(f"{count} initial peers are more than {limit}")
    found = []
    for _ in range(count):
        try:
            found.append(read_address(reader))
        except AddressError:
            continue
    reader.finish()
    return tuple(found)


def _write_content(writer: BinProtWriter, kind: Rpc, body: bytes) -> None:
    writer.variant(kind)
    writer.raw(body)


def _check_request(kind: Rpc, body: bytes) -> None:
    if len(body) not in _REQUEST_SIZES[kind]:
        raise BinProtError(f"a {kind.name} request does not have {len(body)} bytes of fields")
