"""Which addresses of this machine become host candidates."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

import ifaddr

MAX_ADDRESSES = 16
"""One socket and one candidate each, and 32 candidates are all that a peer uses (protocol.md §6)."""

Ip = ipaddress.IPv4Address | ipaddress.IPv6Address


def host_addresses(allow_loopback: bool | None, interfaces: Sequence[str] = ()) -> list[str]:
    """The addresses to bind to, IPv4 before IPv6. Loopback ones are in only when `allow_loopback` is True, or when it
    is None and there is nothing else (aioice itself always leaves 127.0.0.1 and ::1 out, so it fails on such a
    machine). `interfaces` are names or networks to use, with `!` in front those not to use."""
    found: dict[Ip, None] = {}
    for adapter in ifaddr.get_adapters():
        for ip in adapter.ips:
            text = ip.ip if isinstance(ip.ip, str) else ip.ip[0]
            address = ipaddress.ip_address(text.partition("%")[0])
            if _wanted(adapter.name, address, interfaces):
                found[address] = None
    addresses = sorted(found, key=lambda address: address.version)
    usable = [a for a in addresses if not (a.is_loopback or a.is_link_local or a.is_unspecified or a.is_multicast)]
    loopback = [a for a in addresses if a.is_loopback]
    if allow_loopback or (allow_loopback is None and not usable):
        usable += loopback
    return [str(address) for address in usable[:MAX_ADDRESSES]]


def _wanted(name: str, address: Ip, interfaces: Sequence[str]) -> bool:
    refused = [text[1:] for text in interfaces if text.startswith("!")]
    asked = [text for text in interfaces if not text.startswith("!")]
    if any(_is(name, address, text) for text in refused):
        return False
    return not asked or any(_is(name, address, text) for text in asked)


def _is(name: str, address: Ip, text: str) -> bool:
    if name == text:
        return True
    try:
        return address in ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
