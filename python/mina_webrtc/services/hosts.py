"""Which addresses of this machine become host candidates, and which ICE servers are asked."""

from __future__ import annotations

import ipaddress
import re

import ifaddr
from msgspec import Struct

from mina_webrtc.errors import TransportError

MAX_ADDRESSES = 16
"""One socket and one candidate each, and 32 candidates are all that a peer uses (protocol.md §6)."""

_SERVER = re.compile(
    r"(?P<scheme>stuns?|turns?):(?:(?P<user>[^:@\s]+):(?P<password>[^@\s]+)@)?"
    r"(?P<host>\[[0-9a-fA-F:.]+\]|[^\[\]:?@\s]+)(?::(?P<port>[0-9]{1,5}))?(?:\?transport=(?P<transport>udp|tcp))?"
)


class IceServer(Struct, frozen=True):
    """A STUN or TURN server; `username` and `password` for TURN."""

    turn: bool
    host: str
    port: int
    transport: str
    tls: bool
    username: str | None
    password: str | None


def parse_server(url: str) -> IceServer:
    """`stun:host[:port]`, `turn:user:password@host[:port][?transport=udp|tcp]`, `turns:…` (RFC 7064, RFC 7065; those
    have no place for the credentials, so they stand as in other URLs). Raises `TransportError`, which does not repeat
    the URL."""
    match = _SERVER.fullmatch(url)
    if match is None or match["scheme"] == "stuns":
        raise TransportError("an ICE server is not of the form stun:host:port or turn:user:password@host:port")
    turn, tls = match["scheme"].startswith("turn"), match["scheme"] == "turns"
    port = int(match["port"] or (5349 if tls else 3478))
    if not 0 < port < 65_536 or (turn and match["user"] is None) or (not turn and match["transport"]):
        raise TransportError("an ICE server has a bad port, no credentials, or a transport where none is allowed")
    transport = match["transport"] or ("tcp" if tls else "udp")
    return IceServer(turn, match["host"].strip("[]"), port, transport, tls, match["user"], match["password"])


def host_addresses(allow_loopback: bool | None) -> list[str]:
    """The addresses to bind to, IPv4 before IPv6. Loopback ones are in only when `allow_loopback` is True, or when it
    is None and there is nothing else (aioice itself always leaves 127.0.0.1 and ::1 out, so it fails on such a
    machine)."""
    found = [ip.ip if isinstance(ip.ip, str) else ip.ip[0] for adapter in ifaddr.get_adapters() for ip in adapter.ips]
    addresses = [ipaddress.ip_address(text.partition("%")[0]) for text in dict.fromkeys(found)]
    addresses.sort(key=lambda address: address.version)
    usable = [a for a in addresses if not (a.is_loopback or a.is_link_local or a.is_unspecified or a.is_multicast)]
    loopback = [a for a in addresses if a.is_loopback]
    if allow_loopback or (allow_loopback is None and not usable):
        usable += loopback
    return [str(address) for address in usable[:MAX_ADDRESSES]]
