"""What must hold for any input: `make fuzz` runs these under atheris, `test_corpus` over `tests/corpus`.

The first four compare the backends (on the pure one alone where there is no other) and read their inputs as
`rust/fuzz/checks.rs` does; the others check the parsers of `wire`. Whatever is raised must be of the kind that the
parser promises, and what a parser gives must be written so that it reads back as the same.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from importlib.util import find_spec
from types import ModuleType
from typing import Any, TypeVar

from mina_webrtc.errors import AddressError, BinProtError, InvalidInput, SdpError, SignalError
from mina_webrtc.wire.address import DialAddress, Host, SignalingMethod, parse_address
from mina_webrtc.wire.auth import ConnectionAuthEncrypted
from mina_webrtc.wire.channels import Channel
from mina_webrtc.wire.ice_url import IceServer
from mina_webrtc.wire.messages import decode_initial_peers, decode_message, encode_message
from mina_webrtc.wire.sdp import mark_sdp, read_sdp, usable_sdp
from mina_webrtc.wire.signal import (
    Answer,
    EncryptedAnswer,
    EncryptedOffer,
    Offer,
    P2pConnectionResponse,
    Signal,
    offer_from_get,
)

T = TypeVar("T")

BACKENDS = [
    importlib.import_module(f"mina_webrtc.{name}") for name in ("_native", "_pure") if find_spec(f"mina_webrtc.{name}")
]
MESSAGES = [channel for channel in Channel if channel.framed]
ALL = 2**63 - 1
TEXTS = ("SecretKey", "PublicKey", "PeerId", "Signature", "ChainId")


def bin_prot(data: bytes) -> None:
    """A count, as many reads to make (one byte each), and the bytes to read."""
    count = data[0] if data else 0
    steps, body = data[1 : 1 + count], data[1 + count :]
    readers = [backend.BinProtReader(body) for backend in BACKENDS]
    for step in steps:
        left = readers[0].remaining
        kind, value = same([_read(reader, step) for reader in readers])
        assert same([reader.remaining for reader in readers] if kind == "returned" else [0]) <= left
        if kind == "raised":
            return  # the reader must not be used any more
        _written_reads_back(step % 10, value)


def frames(data: bytes) -> None:
    """The limit (u16, little endian), the size of the chunks (a byte, 0 for one chunk), and the stream."""
    if len(data) < 3:
        return
    limit, size, stream = int.from_bytes(data[:2], "little"), data[2], data[3:]
    cuts = range(0, len(stream), size or max(len(stream), 1))
    chunks = [stream[start : start + (size or len(stream))] for start in cuts]
    decoders = [backend.FrameDecoder(limit) for backend in BACKENDS]
    messages: list[bytes] = []
    failed = False
    for chunk in chunks:
        kind, found = same([outcome(lambda d=decoder, c=chunk: d.receive_data(c)) for decoder in decoders])
        failed = kind == "raised"
        if failed:
            break
        messages += found
        assert same([decoder.buffered for decoder in decoders]) <= len(stream)
    assert all(0 < len(message) <= limit for message in messages)
    batch = same([outcome(lambda b=backend: b.FrameDecoder(limit).receive_batch(chunks)) for backend in BACKENDS])
    assert batch[0] == "raised" if failed else batch == ("returned", messages)


def base58(data: bytes) -> None:
    """A version byte, and bytes that are written as base58, and read as such if they are text."""
    if not data:
        return
    version, body = data[0], data[1:]
    text = same([backend.base58_encode(body) for backend in BACKENDS])
    assert same([backend.base58_decode(text, len(text)) for backend in BACKENDS]) == body
    checked = same([backend.base58check_encode(version, body) for backend in BACKENDS])
    assert same([backend.base58check_decode(checked, version, len(body)) for backend in BACKENDS]) == body
    given = text_of(body)
    kind, read = same([outcome(lambda b=backend: b.base58_decode(given, 16_384)) for backend in BACKENDS])
    assert kind == "raised" or BACKENDS[0].base58_encode(read) == given
    same([outcome(lambda b=backend: b.base58check_decode(given, version, 32)) for backend in BACKENDS])


def identity(data: bytes) -> None:
    """A text, or the bytes of a key."""
    for name in ("PublicKey", "PeerId", "Signature", "ChainId"):
        same([outcome(lambda b=backend, n=name: getattr(b, n).from_bytes(data)) for backend in BACKENDS])
    same([outcome(lambda b=backend: b.PublicKey.from_bytes(data).to_x25519()) for backend in BACKENDS])
    same([outcome(lambda b=backend: b.PeerId.from_bytes(data).to_libp2p()) for backend in BACKENDS])
    text = text_of(data)
    for name in TEXTS:
        kind, value = same([outcome(lambda b=backend, n=name: getattr(b, n).parse(text)) for backend in BACKENDS])
        assert kind == "raised" or name == "SecretKey" or value[2].lower() == text.lower()
    same([outcome(lambda b=backend: b.PeerId.from_libp2p(text)) for backend in BACKENDS])
    same([outcome(lambda b=backend: b.SecretKey.from_pem(text)) for backend in BACKENDS])
    same([outcome(lambda b=backend: b.sdp_hash(text)) for backend in BACKENDS])


def json(data: bytes) -> None:
    """A signaling message."""
    for kind in (Offer, Answer, Signal, P2pConnectionResponse, Host, EncryptedOffer, EncryptedAnswer):
        value = allowed(lambda k=kind: k.from_json(data), SignalError)
        assert value is None or kind.from_json(value.to_json()) == value
    allowed(lambda: ConnectionAuthEncrypted.from_json(data), InvalidInput)
    text = text_of(data)
    offer = allowed(lambda: offer_from_get(text), InvalidInput)
    assert offer is None or Offer.from_json(offer.to_json()) == offer


def address(data: bytes) -> None:
    """A text that may be a host, a signaling method or an address of either form, or an ICE server's URL."""
    text = text_of(data)
    for parse in (Host.parse, SignalingMethod.parse, parse_address):
        value = allowed(lambda p=parse: p(text), AddressError)
        assert value is None or str(parse(str(value))) == str(value)
        if isinstance(value, SignalingMethod):
            value.http_url()
        if isinstance(value, DialAddress):
            assert parse_address(value.legacy()) == value
    server = allowed(lambda: IceServer.parse(text), AddressError)
    assert server is None or allowed(lambda: str(server), ()) is not None


def sdp(data: bytes) -> None:
    """A session description."""
    text = text_of(data)
    facts = allowed(lambda: read_sdp(text), SdpError)
    if facts is None:
        usable = allowed(lambda: usable_sdp(text, allow_loopback=True, allow_link_local=True), SdpError)
        assert usable is None or allowed(lambda: read_sdp(usable), SdpError) is None
        return
    assert read_sdp(text.replace("\r\n", "\n")) == facts
    strict = usable_sdp(text, allow_loopback=False, allow_link_local=False)
    assert usable_sdp(strict, allow_loopback=False, allow_link_local=False) == strict
    assert read_sdp(strict).candidates <= min(facts.candidates, 32)
    marked = mark_sdp(text)
    assert marked == mark_sdp(marked)


def message(data: bytes) -> None:
    """A channel (a byte), and a payload on it."""
    if not data:
        return
    channel, payload = MESSAGES[data[0] % len(MESSAGES)], data[1:]
    value = allowed(lambda: decode_message(channel, payload), BinProtError)
    if value is not None:
        assert decode_message(channel, encode_message(channel, value)) == value
    allowed(lambda: decode_initial_peers(payload), BinProtError)


CHECKS: dict[str, Callable[[bytes], None]] = {
    check.__name__: check for check in (bin_prot, frames, base58, identity, json, address, sdp, message)
}


def text_of(data: bytes) -> str:
    """UTF-8; a byte that is none becomes a lone surrogate, which a text from JSON may hold."""
    return data.decode("utf-8", "surrogateescape")


def allowed(call: Callable[[], T], errors: type[Exception] | tuple[type[Exception], ...]) -> T | None:
    """What `call` gives, or None when it raises what it may."""
    try:
        return call()
    except errors:
        return None


def outcome(call: Callable[[], object]) -> tuple[str, Any]:
    """What `call` gives, in a form that does not depend on the backend, or the class of the tree's error."""
    try:
        return "returned", _plain(call())
    except InvalidInput as error:
        return "raised", type(error)


def same(outcomes: list[T]) -> T:
    """The one outcome of all backends."""
    assert all(found == outcomes[0] for found in outcomes), outcomes
    return outcomes[0]


def _plain(value: Any) -> Any:
    name = type(value).__name__
    if name == "SecretKey":
        return name, value.expose_seed(), value.expose_base58check()
    return (name, bytes(value), str(value)) if type(value).__module__.startswith("mina_webrtc") else value


def _read(reader: Any, step: int) -> tuple[str, Any]:
    calls: tuple[Callable[[], object], ...] = (
        reader.nat0,
        lambda: reader.integer(-ALL - 1, ALL),
        reader.boolean,
        reader.option,
        lambda: reader.variant(3),
        reader.string,
        reader.byte_list,
        lambda: reader.raw(5),
        reader.rest,
        reader.finish,
    )
    return outcome(calls[step % 10])


def _written_reads_back(step: int, value: Any) -> None:
    name = {0: "nat0", 1: "integer", 2: "boolean", 3: "option", 4: "variant", 5: "string", 6: "byte_list"}.get(step)
    if name is None:
        return
    written = same([_write(backend, name, value) for backend in BACKENDS])
    assert _read(BACKENDS[0].BinProtReader(written), step) == ("returned", value)


def _write(backend: ModuleType, name: str, value: Any) -> bytes:
    writer = backend.BinProtWriter()
    getattr(writer, name)(value)
    written: bytes = writer.getvalue()
    return written
