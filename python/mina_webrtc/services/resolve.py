"""Names to addresses, and which addresses may be connected to (protocol.md §5).

Look-ups go through c-ares (aiodns): a look-up that hangs is a few datagrams in flight, not a thread. With `getaddrinfo`
every hanging name would hold a thread for as long as libc likes (ten seconds and more): a few of them would stall all
others, and leaving the process would wait for them. The price: names come from the hosts file and DNS only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from socket import SOCK_STREAM

import aiodns
from msgspec import Struct

from mina_webrtc.errors import AddressError, ResolveError
from mina_webrtc.wire.address import Host

Ip = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

Lookup = Callable[[str], Awaitable[Sequence[str]]]
"""The addresses of a name (ASCII), best first, as text. Raises `OSError` when there are none."""


class Address(Struct, frozen=True):
    """Where to connect to: an IP that the policy has passed, and a port."""

    ip: Ip
    port: int


class ResolveSettings(Struct, frozen=True, kw_only=True):
    """What a resolver must be told; it has no defaults of its own."""

    max_addresses: int
    """How many addresses of one name are tried."""
    max_learnt_lookups: int
    """Look-ups of learnt names at a time; more wait their turn. The application's own names never wait."""
    learnt_networks: tuple[Network, ...]
    """Networks that learnt addresses may point into although they are not global."""
    nameservers: tuple[str, ...]
    """`ip` or `ip:port`; empty for those of the system."""


class Resolver:
    """Resolves hosts on the current event loop. One for all; `close()` it."""

    def __init__(self, settings: ResolveSettings, lookup: Lookup | None = None) -> None:
        """`lookup` stands in for DNS, in tests."""
        self._settings = settings
        self._dns = _Dns(settings.nameservers)
        self._lookup = lookup or self._dns
        self._learnt = asyncio.Semaphore(settings.max_learnt_lookups)

    async def resolve(self, host: Host, port: int, *, timeout: float, learnt: bool) -> list[Address]:
        """The addresses to try for `host`, IPv6 and IPv4 by turns (RFC 8305 §4), never empty.

        Whoever connects must use these and not look the name up again, because a second answer may differ (DNS
        rebinding). `learnt`: the host came from the network, so only global addresses pass. Raises `ResolveError` with
        `reason` `bad_host`, `dns`, `dns_timeout` or `forbidden`; `timeout` in seconds.
        """
        target = canonical(host).value
        found = await self._named(target, timeout, learnt) if isinstance(target, str) else [_plain(target)]
        allowed = [ip for ip in found if _refusal(ip, learnt, self._settings.learnt_networks) is None]
        if not allowed:
            why = _refusal(found[0], learnt, self._settings.learnt_networks)
            raise ResolveError(f"{host}: {found[0]} is {why}", reason="forbidden")
        return [Address(ip, port) for ip in _by_turns(allowed)[: self._settings.max_addresses]]

    async def _named(self, name: str, timeout: float, learnt: bool) -> list[Ip]:
        try:
            async with asyncio.timeout(timeout):
                if learnt:
                    async with self._learnt:
                        texts = await self._lookup(name)
                else:
                    texts = await self._lookup(name)
        except TimeoutError:
            raise ResolveError(f"{name}: no answer from DNS within {timeout:g} s", reason="dns_timeout") from None
        except OSError as error:
            raise ResolveError(f"{name}: {error}", reason="dns") from None
        found = list(dict.fromkeys(_plain(ip_address(text)) for text in texts))
        if not found:
            raise ResolveError(f"{name}: the name has no address", reason="dns")
        return found

    async def close(self) -> None:
        """Ends every look-up under way; those who wait for one get a `ResolveError`."""
        await self._dns.close()


class _Dns:
    """c-ares, opened by the first look-up: a node that dials IP addresses only needs neither its sockets nor thread."""

    def __init__(self, nameservers: Sequence[str]) -> None:
        self._nameservers = nameservers
        self._resolver: aiodns.DNSResolver | None = None
        self._pending: set[asyncio.Future[Sequence[str]]] = set()
        self._closed = False

    async def __call__(self, name: str) -> Sequence[str]:
        if self._closed:
            raise OSError("the resolver is closed")
        task = asyncio.ensure_future(self._ask(name))
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)
        try:
            return await task
        except asyncio.CancelledError:
            if is_cancelled():
                raise
            raise OSError("the resolver was closed") from None

    async def _ask(self, name: str) -> Sequence[str]:
        if self._resolver is None:
            self._resolver = aiodns.DNSResolver(nameservers=self._nameservers or None)
        try:
            result = await self._resolver.getaddrinfo(name, type=SOCK_STREAM)
        except aiodns.error.DNSError as error:
            raise OSError(str(error.args[-1])) from None
        return [node.addr[0].decode() for node in result.nodes]

    async def close(self) -> None:
        self._closed = True
        for task in list(self._pending):
            task.cancel()
        if self._resolver is not None:
            await self._resolver.close()


def is_cancelled() -> bool:
    """Whether the current task itself is being cancelled, rather than something that it waits for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


# ---------------------------------------------------------------- hosts


def canonical(host: Host) -> Host:
    """The host that `host` means: a domain from JSON or bin_prot was not validated (§4) and may spell an IP.

    Parsed here, so that no resolver gives a meaning of its own to texts such as 127.1. Raises `ResolveError`.
    """
    text = host.value
    if not isinstance(text, str):
        return host
    bracketed = f"[{text}]" if ":" in text and not text.startswith("[") else text
    try:
        return Host.parse(bracketed)
    except AddressError as error:
        raise ResolveError(f"{text[:100]!r} is not a host: {error}", reason="bad_host") from None


def _plain(ip: Ip) -> Ip:
    """An IPv4-mapped address as the IPv4 address that the system would connect to."""
    return ip.ipv4_mapped or ip if isinstance(ip, IPv6Address) else ip


def _by_turns(ips: Sequence[Ip]) -> list[Ip]:
    """Families by turns, the resolver's first choice first; the order within a family is kept (RFC 8305 §4)."""
    first = [ip for ip in ips if ip.version == ips[0].version]
    second = [ip for ip in ips if ip.version != ips[0].version]
    turns = [ip for pair in zip(first, second, strict=False) for ip in pair]
    shorter = min(len(first), len(second))
    return turns + first[shorter:] + second[shorter:]


# ---------------------------------------------------------------- policy


def _refusal(ip: Ip, learnt: bool, extra: Sequence[Network]) -> str | None:
    """Why `ip` must not be connected to, or None. Own table: `is_global` differs between Python versions and counts
    multicast as global."""
    ends = _hidden(ip)
    if any(end.is_unspecified for end in ends):
        return "an unspecified address"
    if not learnt or any(ip.version == network.version and ip in network for network in extra):
        return None
    if all(is_global(end) for end in ends):
        return None
    return "not a global address, and it was learnt from the network"


def _hidden(ip: Ip) -> tuple[Ip, ...]:
    """Where packets to `ip` end: the IPv4 addresses inside a transition form, else `ip` itself."""
    if isinstance(ip, IPv4Address):
        return (ip,)
    if ip.ipv4_mapped is not None:
        return (ip.ipv4_mapped,)
    if ip.sixtofour is not None:
        return (ip.sixtofour,)
    if ip.teredo is not None:
        return ip.teredo
    if ip in _NAT64:
        return (IPv4Address(int(ip) & 0xFFFFFFFF),)
    if ip == _NAT64_LOCAL.network_address:
        return (IPv4Address(0),)
    # RFC 8215: where a local NAT64 form holds its IPv4 address is known to the local network only, so it stands for
    # itself, which is not global
    return (ip,)


def is_global(ip: Ip) -> bool:
    """Whether `ip` is a unicast address that is the same host everywhere (IANA special-purpose registries)."""
    if isinstance(ip, IPv4Address):
        return not any(ip in network for network in _SPECIAL_V4)
    return ip in _GLOBAL_V6 and not any(ip in network for network in _SPECIAL_V6)


_NAT64 = IPv6Network("64:ff9b::/96")
_NAT64_LOCAL = IPv6Network("64:ff9b:1::/48")
_GLOBAL_V6 = IPv6Network("2000::/3")
_SPECIAL_V6 = tuple(IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))
_SPECIAL_V4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",
    )
)


def networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Networks from text, for settings. Raises `ValueError`."""
    return tuple(ip_network(text) for text in texts)
