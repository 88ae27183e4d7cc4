"""Identities and addresses in bin_prot (protocol.md §8), on the backend's reader and writer."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from mina_webrtc._backend import BinProtReader, BinProtWriter
from mina_webrtc.errors import AddressError, BinProtError, KeyFormatError
from mina_webrtc.identity import PeerId, PublicKey
from mina_webrtc.wire.address import (
    DialAddress,
    Host,
    Http,
    Https,
    HttpsProxy,
    Libp2pAddress,
    Proxied,
    Relayed,
    SignalingMethod,
)

_SCHEMES = ("http", "https")


def write_peer_id(writer: BinProtWriter, peer: PeerId) -> None:
    """Four nat0, each a big-endian u64 of the 32 bytes."""
    raw = bytes(peer)
    for start in range(0, 32, 8):
        writer.nat0(int.from_bytes(raw[start : start + 8], "big"))


def read_peer_id(reader: BinProtReader) -> PeerId:
    """Raises `BinProtError`."""
    return PeerId.from_bytes(b"".join(reader.nat0().to_bytes(8, "big") for _ in range(4)))


def read_public_key(reader: BinProtReader) -> PublicKey:
    """Its 32 raw bytes. Raises `BinProtError`, also for what is no point of the curve."""
    try:
        return PublicKey.from_bytes(reader.raw(32))
    except KeyFormatError as error:
        raise BinProtError(f"public key: {error}") from None


def write_host(writer: BinProtWriter, host: Host) -> None:
    """A domain as a string, an IPv4 as four ints, an IPv6 as eight."""
    match host.value:
        case str(name):
            writer.variant(0)
            writer.string(name.encode())
        case IPv4Address(packed=packed):
            writer.variant(1)
            for octet in packed:
                writer.integer(octet)
        case IPv6Address(packed=packed):
            writer.variant(2)
            for start in range(0, 16, 2):
                writer.integer(int.from_bytes(packed[start : start + 2], "big"))


def read_host(reader: BinProtReader) -> Host:
    """A domain is parsed as in a URL, so it may turn out to be an IP. Raises `BinProtError`."""
    match reader.variant(3):
        case 0:
            try:
                return Host.parse(reader.string().decode())
            except (AddressError, UnicodeDecodeError) as error:
                raise BinProtError(f"host: {error}") from None
        case 1:
            return Host(IPv4Address(bytes(reader.integer(0, 0xFF) for _ in range(4))))
    return Host(IPv6Address(b"".join(reader.integer(0, 0xFFFF).to_bytes(2, "big") for _ in range(8))))


def write_method(writer: BinProtWriter, method: SignalingMethod) -> None:
    """Variants 0 http, 1 https, 2 https_proxy, 3 p2p, 4 proxied; nodes before 0.19 do not know the last."""
    match method:
        case Http(host, port):
            writer.variant(0)
        case Https(host, port):
            writer.variant(1)
        case HttpsProxy(cluster, host, port):
            writer.variant(2)
            writer.integer(cluster)
        case Relayed(relay):
            writer.variant(3)
            write_peer_id(writer, relay)
            return
        case Proxied(scheme, prefix, host, port):
            writer.variant(4)
            writer.variant(_SCHEMES.index(scheme))
            writer.byte_list(prefix.encode())
        case _:
            raise TypeError(f"not a signaling method: {method!r}")
    _write_target(writer, host, port)


def read_method(reader: BinProtReader) -> SignalingMethod:
    """Raises `BinProtError`; or `AddressError`, with all bytes read, for a `proxied` prefix that is refused (§5)."""
    match reader.variant(5):
        case 0:
            return Http(*_read_target(reader))
        case 1:
            return Https(*_read_target(reader))
        case 2:
            return HttpsProxy(reader.integer(0, 0xFFFF), *_read_target(reader))
        case 3:
            return Relayed(read_peer_id(reader))
    scheme = _SCHEMES[reader.variant(2)]
    raw = reader.byte_list()
    host, port = _read_target(reader)
    try:
        prefix = raw.decode()
    except UnicodeDecodeError:
        raise BinProtError("proxied prefix is not UTF-8") from None
    return Proxied(scheme, prefix, host, port)


def write_address(writer: BinProtWriter, address: DialAddress | Libp2pAddress) -> None:
    """Variant 0 WebRTC, 1 libp2p."""
    if isinstance(address, DialAddress):
        writer.variant(0)
        write_peer_id(writer, address.peer)
        write_method(writer, address.method)
    else:
        writer.variant(1)
        write_peer_id(writer, address.peer)
        _write_target(writer, address.host, address.port)


def read_address(reader: BinProtReader) -> DialAddress | Libp2pAddress:
    """Raises as `read_method`."""
    if reader.variant(2) == 0:
        return DialAddress(read_peer_id(reader), read_method(reader))
    return Libp2pAddress(read_peer_id(reader), *_read_target(reader))


def _write_target(writer: BinProtWriter, host: Host, port: int) -> None:
    write_host(writer, host)
    writer.integer(port)


def _read_target(reader: BinProtReader) -> tuple[Host, int]:
    return read_host(reader), reader.integer(0, 0xFFFF)
