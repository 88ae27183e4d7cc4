"""Gathering: a socket for each address of this machine, and what STUN and TURN servers add to them (RFC 8445 §5.1)."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import random
import socket
import ssl
from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any

from aioice import Candidate, stun
from aioice.candidate import candidate_foundation, candidate_priority

from mina_webrtc.errors import ResolveError, TransportError
from mina_webrtc.services.base import TransportSettings
from mina_webrtc.services.endpoints import PACKET_COST, RECEIVE_BUFFER, Address, Endpoint, widen
from mina_webrtc.services.hosts import host_addresses
from mina_webrtc.services.names import Names
from mina_webrtc.services.turn import Relay, allocate
from mina_webrtc.wire.ice_url import IceServer

if TYPE_CHECKING:
    from mina_webrtc.services.ice import IceAgent

Query = Callable[[], Coroutine[Any, Any, None]]

SPARE = 0.3
"""Seconds that a server still gets once another of its kind has answered: it may be farther away, or dead."""

FAIR = 1.0
"""Seconds from the beginning that STUN servers get once a TURN server has answered: they need one round trip, and where
no UDP gets out, none of them ever answers."""

TURN_PREFERENCE = {("udp", False): 65_535, ("tcp", False): 65_534, ("tcp", True): 65_533}
"""Local preference of relayed candidates: a stream under datagrams waits for what is lost."""


class Gathering:
    """The candidates of one agent. What it opens stands in `endpoints` at once, for `close` to find."""

    def __init__(self, agent: IceAgent, settings: TransportSettings, tls: Callable[[], ssl.SSLContext]) -> None:
        self._agent = agent
        self._settings = settings
        self._tls = tls
        self.endpoints: list[Endpoint] = []
        self.candidates: list[Candidate] = []
        self.troubles: dict[str, str] = {}
        """Servers that gave nothing, and why."""
        self.packets = 2 * RECEIVE_BUFFER // PACKET_COST
        """How many packets the kernel keeps for us: granted may be much less than what was asked for."""
        self._answered: set[bool] = set()
        self._names = Names(settings.gathering_timeout)
        self._ipv6 = False
        self._full = False

    async def run(self) -> None:
        """Binds and asks, for at most the settings' `gathering_timeout` (protocol.md §6); what is there by then is
        used. Raises `TransportError` when there is no candidate at all."""
        settings = self._settings
        addresses = host_addresses(settings.allow_loopback, settings.interfaces)
        self._ipv6 = any(_version(address) == 6 for address in addresses)
        for address in () if settings.relay_only else addresses:
            await self._bind(address)
        tasks = {
            asyncio.create_task(self._ask(server, query)): server
            for server in settings.ice_servers
            for query in self._queries(server)
        }
        try:
            await self._wait(tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._names.close()
        # many addresses make many reflexive candidates, and a peer uses the first 32 of all (protocol.md §6)
        self.candidates.sort(key=lambda candidate: candidate.type == "srflx")
        if not self.candidates:
            troubles = [f"{server}: {trouble}" for server, trouble in self.troubles.items()]
            if self._full and settings.udp_ports:
                troubles.insert(0, "no UDP port of {}-{} is free".format(*settings.udp_ports))
            why = "; ".join(troubles)
            detail = f" ({why})" if why else ""
            raise TransportError(f"no address of this machine can be used for a connection{detail}", "gathering")

    async def _wait(self, tasks: dict[asyncio.Task[None], IceServer]) -> None:
        clock = asyncio.get_running_loop().time
        begin = clock()
        deadline = begin + self._settings.gathering_timeout
        pending = set(tasks)
        while pending and (left := deadline - clock()) > 0:
            _, pending = await asyncio.wait(pending, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if {tasks[task].turn for task in pending} <= self._answered:
                deadline = min(deadline, clock() + SPARE)
            elif self._answered and not any(tasks[task].turn for task in pending):
                deadline = min(deadline, max(begin + FAIR, clock() + SPARE))

    async def _bind(self, address: str) -> None:
        loop = asyncio.get_running_loop()
        sock = self._socket(address)
        if sock is None:
            return
        # Cut short, uvloop would leave its handle on a socket that is closed, and spin: so let it finish, then close.
        opening = asyncio.ensure_future(loop.create_datagram_endpoint(lambda: Endpoint(self._agent), sock=sock))
        try:
            transport, endpoint = await asyncio.shield(opening)
        except asyncio.CancelledError:
            _, endpoint = await opening
            await endpoint.close()
            raise
        self.endpoints.append(endpoint)
        host, port = transport.get_extra_info("sockname")[:2]
        endpoint.local_candidate = _candidate("host", host, port, host, 65_535 - len(self.candidates))
        self.candidates.append(endpoint.local_candidate)

    def _socket(self, address: str) -> socket.socket | None:
        sock = socket.socket(socket.AF_INET if _version(address) == 4 else socket.AF_INET6, socket.SOCK_DGRAM)
        sock.setblocking(False)
        for port in self._ports():
            try:
                sock.bind((address, port))
            except OSError as error:
                self._full |= error.errno == errno.EADDRINUSE
                continue
            self.packets = min(self.packets, widen(sock))
            return sock
        sock.close()
        return None

    def _ports(self) -> list[int]:
        if self._settings.udp_ports is None:
            return [0]
        first, last = self._settings.udp_ports
        start = random.randint(first, last)  # noqa: S311 - not to try the ports in use first, no secret
        return [*range(start, last + 1), *range(first, start)]

    # ---------------------------------------------------------------- servers

    def _queries(self, server: IceServer) -> list[Query]:
        self.troubles[str(server)] = "no answer" if server.turn or self.endpoints else "not asked"
        if server.turn:
            # an IPv6 relay costs an allocation more, and peers that need it are met where there is IPv6
            return [partial(self._relay, server, version) for version in ((4, 6) if self._ipv6 else (4,))]
        return [partial(self._reflect, server, endpoint) for endpoint in self.endpoints]

    async def _ask(self, server: IceServer, query: Query) -> None:
        """One query; its failure leaves us without its candidate and is nothing else."""
        try:
            await query()
        except LookupError:
            return  # no address of this family, or no address in its answer
        except (OSError, stun.TransactionError, ResolveError) as error:
            if str(server) in self.troubles:
                self.troubles[str(server)] = explain(error)
            return
        self._answered.add(server.turn)
        self.troubles.pop(str(server), None)

    async def _reflect(self, server: IceServer, endpoint: Endpoint) -> None:
        base = endpoint.local_candidate
        address = await self._names.address(server.host, _version(base.host)), server.port
        request = stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST)
        response, _ = await endpoint.request(request, address)
        host, port = response.attributes["XOR-MAPPED-ADDRESS"]
        if any((c.host, c.port) == (host, port) for c in self.candidates):
            return  # RFC 8445 §5.1.3: redundant
        self.candidates.append(_candidate("srflx", host, port, base.host, related=(base.host, base.port)))

    async def _relay(self, server: IceServer, version: int) -> None:
        relay = Relay(self._agent)
        hosts = await self._names.addresses(server.host)
        allocation = await allocate(server, hosts, self._tls, relay, ipv6=version == 6)
        relay.server = str(server)
        self.endpoints.append(relay)
        self.packets = min(self.packets, allocation.packets or self.packets)
        host, port = allocation.address
        related = allocation.get_extra_info("related_address")
        if self._settings.relay_only or _version(related[0]) != _version(host):
            related = ("0.0.0.0" if _version(host) == 4 else "::", 9)  # RFC 8839 §5.1
        preference = TURN_PREFERENCE[server.transport, server.tls]
        relay.local_candidate = _candidate("relay", host, port, host, preference, related)
        self.candidates.append(relay.local_candidate)


def _candidate(
    kind: str,
    host: str,
    port: int,
    base: str,
    preference: int = 65_535,
    related: Address | tuple[None, None] = (None, None),
) -> Candidate:
    return Candidate(
        foundation=candidate_foundation(kind, "udp", base),
        component=1,
        transport="udp",
        priority=candidate_priority(1, kind, preference),
        host=host,
        port=port,
        type=kind,
        related_address=related[0],
        related_port=related[1],
    )


def explain(error: Exception) -> str:
    """What is wrong with a server, in a few words."""
    match error:
        case ssl.SSLCertVerificationError():
            return f"its certificate is refused: {error.verify_message.rstrip('.')}"
        case stun.TransactionFailed() if error.response.error_code == 401:
            return "it refuses the user name or the password (401)"
        case OSError(strerror=str(text)):
            return text
    return str(error) or type(error).__name__


def _version(host: str) -> int:
    return ipaddress.ip_address(host).version
