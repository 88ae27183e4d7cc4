"""TURN allocations (RFC 8656): aioice's client, with IPv6 relays and farewells that end.

aioice asks for no address family, and so gets IPv4 relays only.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import struct
import time
from collections.abc import Callable, Sequence
from typing import cast

from aioice import stun
from aioice.turn import (
    DEFAULT_ALLOCATION_LIFETIME,
    TurnClientMixin,
    TurnClientTcpProtocol,
    TurnClientUdpProtocol,
    TurnTransport,
)

from mina_webrtc.services.endpoints import Address, Endpoint, widen
from mina_webrtc.wire.ice_url import IceServer

PERMISSION = 240
"""Seconds after which a TURN channel is bound again. Permissions end after 300 (RFC 8656 §9); aioice takes 500 s, the
life of a channel, and relies on the server's extending both."""

NEVER = 10**10
"""Seconds until aioice would bind a channel again by itself."""

RENEWAL = 10
"""Seconds until that is tried again when the server did not answer."""

FAREWELL = 0.2
"""Seconds a TURN server gets to answer our giving back the allocation; aioice waits up to 63 s."""

IPV6_RELAY = struct.pack("!HHB3x", 0x0017, 4, 2)
"""REQUESTED-ADDRESS-FAMILY (RFC 8656 §18.6) for an allocation of its own. Its younger sister for both families at once,
ADDITIONAL-ADDRESS-FAMILY, has another number in coturn than in the RFC, and is ignored there."""


class _Allocate(stun.Message):
    """An Allocate request with an attribute that aioice does not know; it stands first, so that it is signed."""

    def __bytes__(self) -> bytes:
        plain = super().__bytes__()
        length = len(plain) - stun.HEADER_LENGTH + len(IPV6_RELAY)
        return stun.set_body_length(plain[: stun.HEADER_LENGTH], length) + IPV6_RELAY + plain[stun.HEADER_LENGTH :]


class _Client(TurnClientMixin):
    """What both transports to a server have in common."""

    ipv6 = False

    def __init__(self, server: Address, name: str | None, password: str | None) -> None:
        super().__init__(server, name, password, DEFAULT_ALLOCATION_LIFETIME, NEVER)
        self._renewals: set[asyncio.Task[None]] = set()
        self._renew_at: dict[int, float] = {}

    async def channel_bind(self, channel_number: int, addr: Address) -> None:
        """As aioice's, which goes by the wall clock to tell when that must be done again; that may be set meanwhile."""
        await super().channel_bind(channel_number, addr)
        self._renew_at[channel_number] = time.monotonic() + PERMISSION

    async def send_data(self, data: bytes, addr: Address) -> None:
        """As aioice's, which binds a channel again for each packet that is sent while that goes on, and lets all of
        them wait for it."""
        channel, now = self.peer_to_channel.get(addr), time.monotonic()
        if channel is not None and now > self._renew_at[channel]:
            self._renew_at[channel] = now + RENEWAL
            renewal = asyncio.create_task(self._renew(channel, addr))
            self._renewals.add(renewal)
            renewal.add_done_callback(self._renewals.discard)
        await super().send_data(data, addr)

    async def _renew(self, channel: int, addr: Address) -> None:
        with contextlib.suppress(stun.TransactionError):
            await self.channel_bind(channel, addr)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncio."""
        for renewal in self._renewals:
            renewal.cancel()
        super().connection_lost(exc)

    async def request_with_retry(self, request: stun.Message) -> tuple[stun.Message, Address]:
        if self.ipv6 and request.message_method is stun.Method.ALLOCATE:
            request = _Allocate(request.message_method, request.message_class, attributes=request.attributes)
        return await super().request_with_retry(request)


class _UdpClient(_Client, TurnClientUdpProtocol):
    pass


class _TcpClient(_Client, TurnClientTcpProtocol):
    pass


class Allocation(TurnTransport):
    """A datagram transport that sends and receives at an address of the server."""

    packets: int | None = None
    """How many packets from the server the kernel keeps for us; None over TCP."""

    @property
    def address(self) -> Address:
        """What peers send to."""
        return cast(Address, self.get_extra_info("sockname"))

    @property
    def farewell(self) -> asyncio.Task[None]:
        """What `close` has begun."""
        return cast("asyncio.Task[None]", vars(self)["_TurnTransport__close_task"])

    def abort(self) -> set[asyncio.Task[None]]:
        """Drops what was not sent. Closing a stream waits until the server has read it all, which one that has gone
        never does, or for the end of TLS (30 s). Returns what still waits for a channel, to be cancelled."""
        inner = vars(self)["_TurnTransport__inner_protocol"]
        if isinstance(inner, _TcpClient):
            inner.transport.abort()
        return set(vars(self)["_TurnTransport__send_tasks"])

    async def open(self, receiver: asyncio.DatagramProtocol) -> None:
        """Asks the server; datagrams then go to `receiver`."""
        await self._connect(receiver)


class Relay(Endpoint):
    """The receiving side of an allocation; its transport is aioice's, which has no `is_closing`."""

    def send_stun(self, message: stun.Message, addr: Address) -> None:
        self.transport.sendto(bytes(message), addr)


async def allocate(
    server: IceServer,
    tls: Callable[[], ssl.SSLContext],
    receiver: asyncio.DatagramProtocol,
    *,
    ipv6: bool = False,
) -> Allocation:
    """An IPv4 relay, or an IPv6 one, whose datagrams go to `receiver`. Raises `OSError` or `stun.TransactionError`; an
    address family that the server does not have is the latter (440)."""
    name, password = server.login.credentials(time.time()) if server.login else (None, None)
    host, port = server.host, server.port
    given = ((host, port), name, password)
    loop = asyncio.get_running_loop()
    inner: asyncio.BaseTransport
    client: _UdpClient | _TcpClient
    if server.transport == "tcp":
        context = tls() if server.tls else None
        inner, client = await loop.create_connection(lambda: _TcpClient(*given), host, port, ssl=context)
    else:
        inner, client = await loop.create_datagram_endpoint(lambda: _UdpClient(*given), remote_addr=(host, port))
    client.ipv6 = ipv6
    allocation = Allocation(client)
    try:
        if server.transport == "udp":
            allocation.packets = widen(inner.get_extra_info("socket"))
        await allocation.open(receiver)
    except BaseException:
        inner.close()  # also when gathering's time is over, or the socket would leak
        raise
    return allocation


async def give_back(allocations: Sequence[Allocation]) -> None:
    """Ends allocations; their servers get a moment to hear of it."""
    for allocation in allocations:
        allocation.close()
    farewells = {allocation.farewell for allocation in allocations}
    if farewells:
        _, late = await asyncio.wait(farewells, timeout=FAREWELL)
        over = late.union(*(allocation.abort() for allocation in allocations))
        for task in over:
            task.cancel()  # a farewell's own `finally` closes the socket
        await asyncio.gather(*over, return_exceptions=True)
