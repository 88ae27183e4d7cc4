"""What stands between this machine and its peers: addresses, servers, and the NAT's behaviour (RFC 4787, RFC 5780)."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from time import perf_counter
from typing import Any, cast

from aioice import stun
from msgspec import Struct
from msgspec.structs import replace

from mina_webrtc.errors import ResolveError
from mina_webrtc.services.endpoints import Address
from mina_webrtc.services.gathering import explain
from mina_webrtc.services.hosts import host_addresses
from mina_webrtc.services.names import Names
from mina_webrtc.services.turn import allocate, give_back
from mina_webrtc.wire.ice_url import IceServer

Homes = dict[int, str]
"""Our address to ask from, by IP version."""

REPETITIONS = (0.1, 0.2, 0.4, 0.8)
"""Seconds to wait for an answer after each sending of a question."""

PATIENCE = 3.0
"""Seconds that a TURN server may take, TCP and TLS included: what gathering gives it (protocol.md §6)."""

SILENCE = "no answer"

LOCAL_IPV6 = ip_network("fc00::/7")
"""Addresses that lead nowhere outside (RFC 4193)."""

CHANGE_ADDRESS_AND_PORT = 6
CHANGE_PORT = 2
"""Flags of CHANGE-REQUEST (RFC 5780 §7.2)."""


class ServerReport(Struct, frozen=True):
    """One configured server: whether it said anything, what it gave (our address as it sees it, or relayed ones) and
    after how long, or what was wrong."""

    server: str
    reached: bool = False
    address: str | None = None
    milliseconds: float | None = None
    trouble: str | None = None


class Report(Struct, frozen=True):
    """What was found. `mapping` and `filtering` are `endpoint-independent`, `address-dependent`,
    `address-and-port-dependent`, `dependent` (which of the two cannot be told), `none` (no NAT) or `unknown`; `udp` is
    `works`, `blocked` or `unknown`; `reachable` is `directly`, `by hole punching`, `through a relay`, `by some peers`
    (whose NAT does not filter by port), `from this network` or `unknown`."""

    addresses: tuple[str, ...]
    ipv6: bool
    servers: tuple[ServerReport, ...]
    udp: str
    public_address: str | None
    mapping: str
    filtering: str
    reachable: str
    advice: tuple[str, ...]


class Prober(asyncio.DatagramProtocol):
    """One socket that asks STUN servers."""

    transport: asyncio.DatagramTransport

    def __init__(self) -> None:
        self._waiting: dict[bytes, asyncio.Future[stun.Message]] = {}

    @classmethod
    async def open(cls, host: str) -> Prober:
        """A socket on a local address. Raises `OSError`."""
        _, prober = await asyncio.get_running_loop().create_datagram_endpoint(cls, (host, 0))
        return prober

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """Called by asyncio; whatever is not an answer to a question of ours is nothing."""
        with contextlib.suppress(Exception):  # aioice's parser raises anything on malformed attributes
            message = stun.parse_message(data)
            future = self._waiting.get(message.transaction_id)
            if future is not None and not future.done() and message.message_class is stun.Class.RESPONSE:
                future.set_result(message)

    async def ask(self, server: Address, change: int = 0) -> stun.Message | None:
        """The answer to a Binding request; None when none comes."""
        request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
        if change:
            request.attributes["CHANGE-REQUEST"] = change
        future = self._waiting[request.transaction_id] = asyncio.get_running_loop().create_future()
        try:
            for wait in REPETITIONS:
                self.transport.sendto(bytes(request), server)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        return await asyncio.shield(future)
        finally:
            del self._waiting[request.transaction_id]
        return None

    async def mapped(self, server: Address) -> Address | None:
        """As what a server sees this socket."""
        return _mapped(await self.ask(server))


async def examine(
    servers: tuple[IceServer, ...], interfaces: tuple[str, ...], tls: Callable[[], ssl.SSLContext]
) -> Report:
    """Asks every server, and finds out about the NAT with those that speak STUN over UDP."""
    names = Names(PATIENCE)
    try:
        return await _examine(servers, interfaces, tls, names)
    finally:
        await names.close()


async def _examine(
    servers: tuple[IceServer, ...], interfaces: tuple[str, ...], tls: Callable[[], ssl.SSLContext], names: Names
) -> Report:
    addresses = tuple(host_addresses(None, interfaces))
    if any(server.tls for server in servers):
        tls()  # reads the system's authorities, which takes longer than most servers
    homes = {6 if ":" in text else 4: text for text in reversed(addresses)}  # the first of each family
    reports = tuple(await asyncio.gather(*(_examine_server(server, homes, tls, names) for server in servers)))
    answering = [server for server, report in zip(servers, reports, strict=True) if report.trouble is None]
    over_udp = [report for server, report in zip(servers, reports, strict=True) if server.transport == "udp"]
    udp = "works" if any(report.reached for report in over_udp) else "blocked"
    if udp == "blocked" and not any(report.trouble == SILENCE for report in over_udp):
        udp = "unknown"
    nat = Nat()
    if udp == "works":
        nat = await _examine_nat([s for s in answering if s.transport == "udp"], homes, names)
    relay = any(server.turn for server in answering)
    reachable = _reachable(nat, udp, relay)
    ipv6 = any(ip.version == 6 and ip not in LOCAL_IPV6 and not ip.is_loopback for ip in map(ip_address, addresses))
    public = _text(nat.public) if nat.public else None
    report = Report(addresses, ipv6, reports, udp, public, nat.mapping, nat.filtering, reachable, ())
    return replace(report, advice=tuple(_advice(servers, report, relay)))


async def _examine_server(
    server: IceServer, homes: Homes, tls: Callable[[], ssl.SSLContext], names: Names
) -> ServerReport:
    try:
        async with asyncio.timeout(PATIENCE):
            found, seconds = await (
                _relays(server, homes, tls, names) if server.turn else _reflect(server, homes, names)
            )
    except TimeoutError:
        return ServerReport(str(server), trouble=SILENCE)
    except (OSError, stun.TransactionError, ResolveError, LookupError) as error:
        reached = isinstance(error, stun.TransactionFailed | ssl.SSLError)
        return ServerReport(str(server), reached, trouble=explain(error))
    return ServerReport(str(server), True, ", ".join(map(_text, found)), round(seconds * 1000, 1))


async def _relays(
    server: IceServer, homes: Homes, tls: Callable[[], ssl.SSLContext], names: Names
) -> tuple[tuple[Address, ...], float]:
    """What a TURN server relays, of each family, and after how many seconds the first was there."""
    found, seconds = [], 0.0
    hosts = await names.addresses(server.host)
    begin = perf_counter()  # uvloop's own clock counts whole milliseconds
    refused: stun.TransactionFailed | None = None
    for ipv6 in (False, True) if 6 in homes else (False,):
        try:
            allocation = await allocate(server, hosts, tls, asyncio.DatagramProtocol(), ipv6=ipv6)
        except stun.TransactionFailed as error:
            refused = refused or error
            continue
        seconds = seconds or perf_counter() - begin
        found.append(allocation.address)
        await give_back([allocation])
    if refused is not None and not found:
        raise refused
    return tuple(found), seconds


async def _reflect(server: IceServer, homes: Homes, names: Names) -> tuple[tuple[Address, ...], float]:
    """As what a STUN server sees us, and after how many seconds it said so."""
    target, local = await _way(server, homes, names)
    prober = await Prober.open(local)
    begin = perf_counter()
    try:
        address = await prober.mapped(target)
    finally:
        prober.transport.close()
    if address is None:
        raise TimeoutError
    return (address,), perf_counter() - begin


async def _way(server: IceServer, homes: Homes, names: Names) -> tuple[Address, str]:
    """The server's address, IPv4 first, and ours to ask from. Raises `OSError`, `ResolveError`, `LookupError`."""
    trouble: ResolveError | LookupError | None = None
    for version in sorted(homes):
        try:
            return (await names.address(server.host, version), server.port), homes[version]
        except (ResolveError, LookupError) as error:
            trouble = error
    raise trouble or OSError("this machine has no address to ask from")


# ---------------------------------------------------------------- the NAT


class Nat(Struct, frozen=True):
    """How the NAT in front of us behaves (RFC 4787 §4.1, §5)."""

    mapping: str = "unknown"
    filtering: str = "unknown"
    public: Address | None = None


async def _examine_nat(servers: list[IceServer], homes: Homes, names: Names) -> Nat:
    ways = []
    for server in servers:
        with contextlib.suppress(OSError, ResolveError, LookupError):
            ways.append(await _way(server, homes, names))
    local = min((local for _, local in ways), key=lambda text: ":" in text, default=None)
    if local is None:
        return Nat()
    targets = [target for target, other in ways if other == local]
    sockets = [await Prober.open(local) for _ in range(2)]
    try:
        # filtering first and on a socket of its own: it must not have sent to the addresses that are to try it
        filtering, other = await _filtering(sockets[0], targets)
        return await _mapping(sockets[1], targets, other, filtering)
    finally:
        for prober in sockets:
            prober.transport.close()


async def _filtering(prober: Prober, targets: list[Address]) -> tuple[str, tuple[Address, Address] | None]:
    """RFC 5780 §4.4, with the first server whose second address answers, and that server and its other address. Silence
    there may be a firewall's before the server, and says nothing about the NAT before us."""
    for target in targets:
        reply = await prober.ask(target)
        other = reply.attributes.get("OTHER-ADDRESS") if reply is not None else None
        if other is None or other[0] == target[0]:
            continue
        if await prober.ask(target, CHANGE_ADDRESS_AND_PORT) is not None:
            return "endpoint-independent", (target, other)
        by_port = await prober.ask(target, CHANGE_PORT) is not None
        if await prober.ask(other) is None:  # not asked before: that lets its answers in
            continue
        return "address-dependent" if by_port else "address-and-port-dependent", (target, other)
    return "unknown", None


async def _mapping(prober: Prober, targets: list[Address], pair: tuple[Address, Address] | None, filtering: str) -> Nat:
    """RFC 5780 §4.3, or by comparing what two servers see."""
    first = pair[0] if pair else next(iter(targets), None)
    seen = await prober.mapped(first) if first else None
    if first is None or seen is None:
        return Nat(filtering=filtering)
    here = prober.transport.get_extra_info("sockname")
    if seen[0] == here[0]:
        return Nat("none", filtering, seen)
    if pair is not None:
        other = pair[1]
        second, third = await prober.mapped((other[0], first[1])), await prober.mapped(other)
        if second is None and third is None:
            return await _mapping(prober, targets, None, filtering)
        if seen in (second, third):
            return Nat("endpoint-independent", filtering, seen)
        if second is None or third is None:
            return Nat("dependent", filtering, seen)
        return Nat("address-dependent" if third == second else "address-and-port-dependent", filtering, seen)
    for target in targets:
        if target[0] != first[0] and (again := await prober.mapped(target)) is not None:
            return Nat("endpoint-independent" if again == seen else "dependent", filtering, seen)
    return Nat("unknown", filtering, seen)


def _reachable(nat: Nat, udp: str, relay: bool) -> str:
    if nat.mapping in ("none", "endpoint-independent"):
        return "directly" if nat.filtering == "endpoint-independent" else "by hole punching"
    if relay:
        return "through a relay"
    if udp == "blocked":
        return "from this network"
    return "by some peers" if "dependent" in nat.mapping else "unknown"


def _advice(servers: tuple[IceServer, ...], report: Report, relay: bool) -> list[str]:
    advice = []
    if all(ip_address(text).is_loopback for text in report.addresses):
        advice.append("This machine has no address that leads anywhere: check its network and --interface.")
    if not servers:
        advice.append("Name a STUN server with --ice-server; without one peers outside this network cannot find you.")
    blocked = report.udp == "blocked"
    for server, found in zip(servers, report.servers, strict=True):
        if found.trouble is not None and not (blocked and found.trouble == SILENCE and server.transport == "udp"):
            advice.append(f"Remove or repair {server}: {found.trouble}.")
    if blocked and relay:
        advice.append("UDP does not get out, so that all connections go through a relay: allow it for direct ones.")
    elif blocked:
        silent = "Nothing answers over UDP. Unless these servers are down, UDP does not get out: "
        advice.append(silent + "allow it, or use a TURN server over TCP or TLS.")
    elif report.udp == "works" and report.mapping == "unknown":
        advice.append("Name a second STUN server, at another address, to learn how your NAT maps.")
    elif report.reachable == "by some peers":
        advice.append("Your NAT maps each peer to another port: use a TURN server, or let the NAT keep ports.")
    elif report.udp == "works" and not relay and report.mapping != "none":
        advice.append("Add a TURN server for peers behind symmetric NATs and for those whose UDP is blocked.")
    return advice


def _mapped(reply: stun.Message | None) -> Address | None:
    return reply.attributes.get("XOR-MAPPED-ADDRESS") if reply is not None else None


def _text(address: Address) -> str:
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
