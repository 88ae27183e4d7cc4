"""ICE candidates of a remote SDP: which of them may be used (protocol.md §6, RFC 8839 §5.1)."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

_PREFIX = "a=candidate:"
_GRAMMAR = re.compile(
    r"[A-Za-z0-9+/]{1,32} 1 udp [0-9]{1,10} (?P<address>[0-9A-Fa-f.:]{2,45}) (?P<port>[0-9]{1,5})"
    r" typ (?:host|srflx|prflx|relay)(?!.* (?:rport|generation) (?![0-9]{1,10}(?: |$)))(?: [!-~]+ [!-~]+)*",
    re.IGNORECASE | re.ASCII,
)
"""Component 1 over UDP with an IP literal: a name, `.local` or not, would cost a look-up, and a zone is not ours. The
numbers among the extensions must be numbers, for the sake of parsers that convert them."""

_NAT64 = IPv6Network("64:ff9b::/96")
_COMPATIBLE = IPv6Network("::/96")
_THIS_NETWORK = IPv4Network("0.0.0.0/8")
_BROADCAST = IPv4Address("255.255.255.255")
_MAX_PRIORITY = 0xFFFFFFFF


def is_candidate(line: str) -> bool:
    """Whether an SDP line is a candidate, well-formed or not."""
    return line.startswith(_PREFIX) or line.rstrip() == _PREFIX[:-1]


def is_usable(line: str, *, allow_loopback: bool, allow_link_local: bool) -> bool:
    """Whether a candidate line points where a connection may be tried. False for one that does not parse."""
    match = _GRAMMAR.fullmatch(line.rstrip()[len(_PREFIX) :])
    if match is None or not 1 <= int(match["port"]) <= 0xFFFF or int(match[0].split()[3]) > _MAX_PRIORITY:
        return False
    try:
        address = hidden_address(ip_address(match["address"]))
    except ValueError:
        return False
    if address.is_multicast or address.is_unspecified or address == _BROADCAST:
        return False
    if isinstance(address, IPv4Address) and address in _THIS_NETWORK:
        return False
    if address.is_loopback:
        return allow_loopback
    return allow_link_local or not address.is_link_local


def hidden_address(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 one stands for (IPv4-mapped, IPv4-compatible, NAT64), else the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    # ::1 and :: lie in ::/96 too, and are what they are.
    if address in _NAT64 or (address in _COMPATIBLE and int(address) > 1):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address
