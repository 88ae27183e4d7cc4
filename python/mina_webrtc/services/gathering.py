"""Gathering: a socket for each address of this machine, and what STUN and TURN servers add to them (RFC 8445 §5.1)."""

from __future__ import annotations

import asyncio
import ipaddress
import random
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from aioice import Candidate, stun
from aioice.candidate import candidate_foundation, candidate_priority
from aioice.turn import TurnTransport, create_turn_endpoint

from mina_webrtc.errors import TransportError
from mina_webrtc.services.base import TransportSettings
from mina_webrtc.services.endpoints import Endpoint, Relay
from mina_webrtc.services.hosts import host_addresses
from mina_webrtc.wire.ice_url import IceServer

if TYPE_CHECKING:
    from mina_webrtc.services.ice import IceAgent

D = TypeVar("D", bound=asyncio.DatagramProtocol)

RECEIVE_BUFFER = 4 << 20
"""Bytes that the kernel is asked to keep per socket (used as needed); with aioice's 256 KiB it drops packets on
loopback."""

PACKET_COST = 2304
"""What Linux charges to that buffer for a packet of SCTP's size."""

SPARE = 0.3
"""Seconds that a server still gets once another of its kind has answered: it may be farther away, or dead."""

PERMISSION = 240
"""Seconds after which a TURN channel is bound again. Permissions end after 300 (RFC 8656 §9); aioice takes 500 s, the
life of a channel, and relies on the server's extending both."""

FAREWELL = 0.2
"""Seconds a TURN server gets to answer our giving back the allocation; aioice waits up to 63 s."""

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

    async def run(self) -> None:
        """Binds and asks, for at most the settings' `gathering_timeout` (protocol.md §6); what is there by then is
        used. Raises `TransportError` when there is no candidate at all."""
        settings = self._settings
        if not settings.relay_only:
            for address in host_addresses(settings.allow_loopback, settings.interfaces):
                await self._bind(address)
        tasks = {
            asyncio.create_task(self._ask(server, endpoint)): server
            for server in settings.ice_servers
            for endpoint in self._askers(server)
        }
        try:
            await self._wait(tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if not self.candidates:
            why = "; ".join(f"{server}: {trouble}" for server, trouble in self.troubles.items())
            detail = f" ({why})" if why else ""
            raise TransportError(f"no address of this machine can be used for a connection{detail}", "gathering")

    async def _wait(self, tasks: dict[asyncio.Task[None], IceServer]) -> None:
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._settings.gathering_timeout
        pending = set(tasks)
        while pending and (left := deadline - clock()) > 0:
            _, pending = await asyncio.wait(pending, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if {tasks[task].turn for task in pending} <= self._answered:
                deadline = min(deadline, clock() + SPARE)

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
            except OSError:
                continue
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            self.packets = min(self.packets, sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // PACKET_COST)
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

    def _askers(self, server: IceServer) -> Sequence[Endpoint | None]:
        self.troubles[str(server)] = "no answer" if server.turn or self.endpoints else "not asked"
        return [None] if server.turn else list(self.endpoints)

    async def _ask(self, server: IceServer, endpoint: Endpoint | None) -> None:
        """One query; its failure leaves us without its candidate and is nothing else."""
        try:
            await (self._relay(server) if endpoint is None else self._reflect(endpoint, server))
        except LookupError:
            return  # no address of this family, or no address in its answer
        except (OSError, stun.TransactionError, UnicodeError) as error:
            if str(server) in self.troubles:
                self.troubles[str(server)] = str(error) or type(error).__name__
            return
        self._answered.add(server.turn)
        self.troubles.pop(str(server), None)

    async def _reflect(self, endpoint: Endpoint, server: IceServer) -> None:
        base = endpoint.local_candidate
        address = await resolve(server, _version(base.host))
        request = stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST)
        response, _ = await endpoint.request(request, address)
        host, port = response.attributes["XOR-MAPPED-ADDRESS"]
        if any((c.host, c.port) == (host, port) for c in self.candidates):
            return  # RFC 8445 §5.1.3: redundant
        self.candidates.append(_candidate("srflx", host, port, base.host, related=(base.host, base.port)))

    async def _relay(self, server: IceServer) -> None:
        transport, relay = await allocate(server, self._tls, lambda: Relay(self._agent))
        relay.server = str(server)
        self.endpoints.append(relay)
        host, port = transport.get_extra_info("sockname")
        related = transport.get_extra_info("related_address")
        if self._settings.relay_only:
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
    related: tuple[str, int] | tuple[None, None] = (None, None),
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


async def allocate(
    server: IceServer, tls: Callable[[], ssl.SSLContext], factory: Callable[[], D]
) -> tuple[TurnTransport, D]:
    """A TURN allocation and what receives its datagrams. Raises `OSError` or `stun.TransactionError`."""
    name, password = server.login.credentials(time.time()) if server.login else (None, None)
    return await create_turn_endpoint(
        factory,
        server_addr=(server.host, server.port),
        username=name,
        password=password,
        channel_refresh_time=PERMISSION,
        ssl=tls() if server.tls else None,
        transport=server.transport,
    )


async def give_back(allocations: Sequence[TurnTransport]) -> None:
    """Ends allocations; their servers get a moment to hear of it."""
    for allocation in allocations:
        allocation.close()
    farewells = [vars(allocation)["_TurnTransport__close_task"] for allocation in allocations]
    if farewells:
        _, late = await asyncio.wait(farewells, timeout=FAREWELL)
        for task in late:
            task.cancel()  # its own `finally` closes the socket


async def resolve(server: IceServer, version: int) -> tuple[str, int]:
    """The server's address in IP `version`. Raises `OSError` for an unknown name, `LookupError` without one."""
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    try:
        if _version(server.host) == version:
            return server.host, server.port
    except ValueError:
        loop = asyncio.get_running_loop()
        infos = await loop.getaddrinfo(server.host, server.port, family=family, type=socket.SOCK_DGRAM)
        return str(infos[0][4][0]), server.port
    raise LookupError(f"no IPv{version} address")


def _version(host: str) -> int:
    return ipaddress.ip_address(host).version
