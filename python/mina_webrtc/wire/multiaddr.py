"""Dial addresses in standard multiaddr text (protocol.md §5): the four shapes that occur, and no others.

The methods of the text form `/…/webrtc/http|https/…` say how the offer travels, not how the data does.
"""

from __future__ import annotations

from ipaddress import IPv4Address

from mina_webrtc.errors import AddressError, InvalidInput
from mina_webrtc.identity import PeerId
from mina_webrtc.wire.host import Host, ip_text, parse_ipv4, parse_ipv6
from mina_webrtc.wire.method import (
    Http,
    Https,
    HttpsProxy,
    Proxied,
    Relayed,
    SignalingMethod,
    decode_prefix,
    encode_prefix,
    parse_u16,
)

Target = tuple[Host, int]
"""Host and port of a plain libp2p address."""

_FIRST = ("ip4", "ip6", "dns", "dns4", "dns6", "dnsaddr", "p2p")


def is_multiaddr(text: str) -> bool:
    """Whether the text begins as a multiaddr does, rather than with a peer id as the legacy form."""
    return text.startswith("/") and text[1:].partition("/")[0] in _FIRST


def parse_multiaddr(text: str) -> tuple[PeerId, SignalingMethod | Target]:
    """The peer and how to reach it: a method, or for an address without `/webrtc` the libp2p host and port. Raises
    `AddressError`: a kind of its own for a bad host, port or peer id, `Other` for another shape."""
    match text.split("/")[1:]:
        case ["p2p", relay, "webrtc", "p2p-circuit", "p2p", peer]:
            return _peer(peer), Relayed(_peer(relay))
        case [kind, host, "tcp", port, "p2p", peer] if kind in _FIRST:
            return _peer(peer), (_host(kind, host), _port(port))
        case [kind, host, "tcp", port, "webrtc", "http", "p2p", peer] if kind in _FIRST:
            return _peer(peer), Http(_host(kind, host), _port(port))
        case [kind, host, "tcp", port, "webrtc", "https", "p2p", peer] if kind in _FIRST:
            return _peer(peer), Https(_host(kind, host), _port(port))
        case [kind, host, "tcp", port, "webrtc", "http" | "https" as scheme, "http-path", path, "p2p", peer]:
            return _peer(peer), Proxied(scheme, decode_prefix(path), _host(kind, host), _port(port))
    raise AddressError("Other", f"not a multiaddr of a Mina peer: {text[:120]!r}", text)


def method_multiaddr(peer: PeerId, method: SignalingMethod) -> str:
    """The text of a dial address. Raises `KeyFormatError` for a peer id that is not a curve point (§1)."""
    match method:
        case Relayed(relay):
            return f"/p2p/{relay.to_libp2p()}/webrtc/p2p-circuit/p2p/{peer.to_libp2p()}"
        case Http(host, port):
            way = f"{target_multiaddr(host, port)}/webrtc/http"
        case Https(host, port):
            way = f"{target_multiaddr(host, port)}/webrtc/https"
        case HttpsProxy(cluster, host, port):
            way = f"{target_multiaddr(host, port)}/webrtc/https/http-path/clusters%2F{cluster}"
        case Proxied(scheme, prefix, host, port):
            way = f"{target_multiaddr(host, port)}/webrtc/{scheme}/http-path/{encode_prefix(prefix)}"
        case _:
            raise TypeError(f"not a signaling method: {method!r}")
    return f"{way}/p2p/{peer.to_libp2p()}"


def target_multiaddr(host: Host, port: int) -> str:
    """`/{dns4|ip4|ip6}/{host}/tcp/{port}`."""
    if isinstance(host.value, str):
        return f"/dns4/{host.value}/tcp/{port}"
    family = "ip4" if isinstance(host.value, IPv4Address) else "ip6"
    return f"/{family}/{ip_text(host.value)}/tcp/{port}"


def _host(kind: str, text: str) -> Host:
    try:
        match kind:
            case "dns" | "dns4" | "dns6":
                return Host.parse(text)
            case "ip4":
                return Host(parse_ipv4(text))
            case "ip6":
                return Host(parse_ipv6(text))
    except AddressError:
        raise
    except ValueError:
        raise AddressError("HostParseError", f"not an {kind} address: {text[:80]!r}", text) from None
    raise AddressError("Other", f"a host by {kind[:20]!r} is not supported")


def _port(text: str) -> int:
    return parse_u16(text, "PortParseError")


def _peer(text: str) -> PeerId:
    try:
        return PeerId.from_libp2p(text)
    except InvalidInput as error:
        raise AddressError("PeerIdParseError", f"peer id {text[:80]!r}: {error}", text) from None
