"""ICE on aioice: its agent with our gathering, pacing and limits, and without what it does behind our back.

Everything stands on our own `Connection`, so that other users of aioice in the process notice nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import Callable
from typing import Any, cast

from aioice import Candidate, Connection, stun
from aioice.candidate import candidate_foundation, candidate_priority
from aioice.ice import ICE_COMPLETED, ConnectionClosed, ConnectionEvent, StunProtocol, relayed_candidate

from mina_webrtc.errors import TransportError
from mina_webrtc.services.hosts import IceServer, host_addresses

PACE = 0.005
"""Seconds between two checks (Ta): the smallest that RFC 8445 §14.2 allows. aioice takes 20 ms, and takes them once
more after the last check, which alone is most of its set-up time."""

MAX_PAIRS = 100
"""RFC 8445 §6.1.2.5; every source address of an authenticated check makes one in aioice, without a bound."""

MAX_CANDIDATES = 32
"""Remote candidates used (protocol.md §6)."""

MAX_EARLY_DATAGRAMS = 64
"""Datagrams kept between the first successful check of the peer and our own: its ClientHello and repetitions."""

RECEIVE_BUFFER = 4 << 20
"""Bytes that the kernel is asked to keep per socket (used as needed); with aioice's 256 KiB it drops packets on
loopback."""

PACKET_COST = 2304
"""What Linux charges to that buffer for a packet of SCTP's size."""

RELAY_FAREWELL = 0.2
"""Seconds a TURN server gets to answer our giving back the allocation; aioice waits up to 63 s."""


class Endpoint(StunProtocol):
    """One socket. aioice parses every datagram as STUN first, lets malformed attributes raise out of the callback, and
    sends on closed sockets."""

    receiver: IceAgent

    def datagram_received(self, data: bytes | str, addr: tuple[Any, ...]) -> None:
        if not data:
            return  # legal for UDP, an IndexError further up
        if cast(bytes, data)[0] > 3:  # RFC 7983 §7
            if self.receiver.knows((addr[0], addr[1])):
                self.receiver.data_received(cast(bytes, data), 1)
            return
        # An attribute that is too short raises struct.error or IndexError in aioice, one that is missing a KeyError.
        with contextlib.suppress(Exception):
            super().datagram_received(data, addr)

    def send_stun(self, message: stun.Message, addr: tuple[str, int]) -> None:
        if not self.transport.is_closing():
            super().send_stun(message, addr)


class Relay(Endpoint):
    """The receiving side of a TURN allocation; its transport is aioice's, which has no `is_closing`."""

    def send_stun(self, message: stun.Message, addr: tuple[str, int]) -> None:
        self.transport.sendto(bytes(message), addr)


class IceAgent(Connection):
    """An ICE agent for one component. Times in seconds."""

    def __init__(
        self,
        *,
        controlling: bool,
        servers: tuple[IceServer, ...],
        allow_loopback: bool | None,
        on_data: Callable[[bytes], None],
        on_lost: Callable[[], None],
    ) -> None:
        super().__init__(ice_controlling=controlling)
        self._servers = servers
        self._allow_loopback = allow_loopback
        self._on_data: Callable[[bytes], None] | None = on_data
        self._on_lost: Callable[[], None] | None = on_lost
        self._early: list[bytes] | None = []
        self._known: tuple[str, int] | None = None
        self.packets = 2 * RECEIVE_BUFFER // PACKET_COST
        """How many packets the kernel keeps for us: granted may be much less than what was asked for."""

    # ---------------------------------------------------------------- gathering

    async def gather(self, timeout: float) -> None:
        """Opens a socket for each address and asks the servers, for at most `timeout` seconds (protocol.md §6); what is
        there by then is used. Raises `TransportError` when there is no candidate at all."""
        endpoints = []
        for address in host_addresses(self._allow_loopback):
            if (endpoint := await self._bind(address)) is not None:
                endpoints.append(endpoint)
        tasks = [asyncio.create_task(self._ask(server, endpoints)) for server in self._servers]
        try:
            if tasks:
                await asyncio.wait(tasks, timeout=timeout)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if not self._local_candidates:
            raise TransportError("no address of this machine can be used for a connection", "gathering")
        self._local_candidates_start = self._local_candidates_end = True

    async def _bind(self, address: str) -> Endpoint | None:
        loop = asyncio.get_running_loop()
        sock = socket.socket(socket.AF_INET if _version(address) == 4 else socket.AF_INET6, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            sock.bind((address, 0))
            self.packets = min(self.packets, sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // PACKET_COST)
        except OSError:
            sock.close()
            return None
        # Cut short, uvloop would leave its handle on a socket that is closed, and spin: so let it finish, then close.
        opening = asyncio.ensure_future(loop.create_datagram_endpoint(lambda: Endpoint(self), sock=sock))
        try:
            transport, endpoint = await asyncio.shield(opening)
        except asyncio.CancelledError:
            _, endpoint = await opening
            await endpoint.close()
            raise
        self._protocols.append(endpoint)  # at once, so that `close` finds it whenever it comes
        host, port = transport.get_extra_info("sockname")[:2]
        endpoint.local_candidate = Candidate(
            foundation=candidate_foundation("host", "udp", host),
            component=1,
            transport="udp",
            priority=candidate_priority(1, "host", 65_535 - len(self._local_candidates)),
            host=host,
            port=port,
            type="host",
        )
        self._local_candidates.append(endpoint.local_candidate)
        return endpoint

    async def _ask(self, server: IceServer, endpoints: list[Endpoint]) -> None:
        """One server; its failure leaves us without its candidates and is nothing else."""
        with contextlib.suppress(OSError, stun.TransactionError, UnicodeError):
            if server.turn:
                await self._relay(server)
                return
            addresses = await _resolve(server)
            by_version = {_version(address[0]): address for address in reversed(addresses)}
            pairs = ((endpoint, by_version.get(_version(endpoint.local_candidate.host))) for endpoint in endpoints)
            await asyncio.gather(*(self._reflect(endpoint, address) for endpoint, address in pairs if address))

    async def _reflect(self, endpoint: Endpoint, server: tuple[str, int]) -> None:
        request = stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST)
        try:
            response, _ = await endpoint.request(request, server)
            host, port = response.attributes["XOR-MAPPED-ADDRESS"]
        except (stun.TransactionError, KeyError):
            return
        base = endpoint.local_candidate
        if any((c.host, c.port) == (host, port) for c in self._local_candidates):
            return  # RFC 8445 §5.1.3: redundant
        self._local_candidates.append(
            Candidate(
                foundation=candidate_foundation("srflx", "udp", base.host),
                component=1,
                transport="udp",
                priority=candidate_priority(1, "srflx"),
                host=host,
                port=port,
                type="srflx",
                related_address=base.host,
                related_port=base.port,
            )
        )

    async def _relay(self, server: IceServer) -> None:
        candidate, protocol = await relayed_candidate(
            component=1,
            hide_related_address=False,
            protocol_factory=lambda: Relay(self),
            turn_server=(server.host, server.port),
            turn_username=server.username,
            turn_password=server.password,
            turn_ssl=server.tls,
            turn_transport=server.transport,
        )
        self._protocols.append(protocol)
        self._local_candidates.append(candidate)

    # ---------------------------------------------------------------- connecting

    def add_remote(self, candidates: list[Candidate]) -> None:
        """Takes the peer's candidates. mDNS names are left out: aioice would look each up for a second, and the peer is
        found peer-reflexively anyway (protocol.md §6)."""
        for candidate in candidates[:MAX_CANDIDATES]:
            if candidate.component == 1 and candidate.transport.lower() == "udp" and 0 < candidate.port < 65_536:
                self._add_remote_candidate(candidate, candidate.host)  # drops what is not an IP address
        # Non-trickle: there will be no more, so that a failure of all pairs is one.
        self._remote_candidates_end = True

    async def establish(self) -> None:
        """Checks until a pair is nominated. Raises `ConnectionError` when all pairs have failed. Without any pair it
        waits for the peer's checks: aioice gives up at once there, so that a browser which hides its addresses cannot
        connect.

        aioice's `connect` sleeps after every check, the last one included; this one goes on as soon as there is a
        result.
        """
        for remote in self._remote_candidates:
            self._pair_remote_candidate(remote)
        self.sort_check_list()
        self._unfreeze_initial()
        while self._early_checks:
            self.check_incoming(*self._early_checks.popleft())
        self._early_checks_done = True
        result = None
        while result is None:
            pause = PACE if self._check_periodic() else None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    result = await self._check_list_state.get()
        for pair in self._check_list:
            if pair.task is not None:
                pair.task.cancel()
        if result != ICE_COMPLETED:
            raise ConnectionError("ICE negotiation failed")
        self._query_consent_task = asyncio.create_task(self.query_consent())

    def check_incoming(self, message: stun.Message, addr: tuple[str, int], protocol: StunProtocol) -> None:
        known = any(pair.protocol is protocol and pair.remote_addr == addr for pair in self._check_list)
        if known or len(self._check_list) < MAX_PAIRS:
            super().check_incoming(message, addr, protocol)

    def _pair_remote_candidate(self, remote_candidate: Candidate) -> None:
        if len(self._check_list) < MAX_PAIRS:
            super()._pair_remote_candidate(remote_candidate)

    # ---------------------------------------------------------------- data

    def open(self) -> None:
        """From now on datagrams go to `on_data`, those kept so far first."""
        early, self._early = self._early or [], None
        for datagram in early:
            self.data_received(datagram, 1)

    def knows(self, addr: tuple[str, int]) -> bool:
        """Whether ICE has to do with this address. Others get no say in the DTLS handshake, which is not authenticated
        until its end: a forged alert would end it."""
        if addr != self._known and any(pair.remote_addr == addr for pair in self._check_list):
            self._known = addr
        return addr == self._known

    def data_received(self, data: bytes, component: int) -> None:
        """What aioice would queue here without a bound, for a task to fetch, goes on at once."""
        if self._early is not None:
            if len(self._early) < MAX_EARLY_DATAGRAMS:
                self._early.append(data)
        elif self._on_data is not None:
            self._on_data(data)

    def transmit(self, data: bytes) -> None:
        """Sends one datagram over the nominated pair; nothing when there is none (any more)."""
        pair = self._nominated.get(1)
        if pair is not None and not self._closing:
            pair.protocol.transport.sendto(data, pair.remote_addr)

    # ---------------------------------------------------------------- the end

    def protocol_lost(self, protocol: StunProtocol) -> None:
        if any(pair.protocol is protocol for pair in self._nominated.values()):
            self._nominated.clear()
            self._lost()

    def _emit_event(self, event: ConnectionEvent) -> None:
        if isinstance(event, ConnectionClosed):  # consent has expired (RFC 7675), or our own `close`
            self._lost()

    def _lost(self) -> None:
        if self._on_lost is not None:
            self._on_lost()

    async def close(self) -> None:
        """Frees every socket and task; aioice's own, with relays given a moment only."""
        relays = [endpoint for endpoint in self._protocols if isinstance(endpoint, Relay)]
        for relay in relays:
            relay.transport.close()
        if relays:
            farewells = [cast(Any, relay.transport)._TurnTransport__close_task for relay in relays]
            _, late = await asyncio.wait(farewells, timeout=RELAY_FAREWELL)
            for task in late:
                task.cancel()  # its own `finally` closes the socket
        await super().close()

    def detach(self) -> None:
        """Drops the callbacks: nothing is reported any more."""
        self._on_data = self._on_lost = None
        self._early = None


async def _resolve(server: IceServer) -> list[tuple[str, int]]:
    with contextlib.suppress(ValueError):
        return [(str(ipaddress.ip_address(server.host)), server.port)]
    infos = await asyncio.get_running_loop().getaddrinfo(server.host, server.port, type=socket.SOCK_DGRAM)
    return [(str(address[0]), int(address[1])) for *_, address in infos]


def _version(host: str) -> int:
    return ipaddress.ip_address(host).version
