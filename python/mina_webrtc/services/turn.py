"""TURN allocations (RFC 8656): aioice's client, with IPv6 relays and farewells that end.

aioice asks for no address family, and so gets IPv4 relays only.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import struct
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, cast

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

HEAD_START = 0.25
"""Seconds between the attempts at two addresses of a server (RFC 8305 §5)."""

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
        self._lost = asyncio.Event()

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
        self._lost.set()
        for renewal in self._renewals:
            renewal.cancel()
        super().connection_lost(exc)

    async def request_with_retry(self, request: stun.Message) -> tuple[stun.Message, Address]:
        if self.ipv6 and request.message_method is stun.Method.ALLOCATE:
            request = _Allocate(request.message_method, request.message_class, attributes=request.attributes)
        return await super().request_with_retry(request)

    async def dismiss(self) -> None:
        """Closes at once. The server may be making an allocation for a request of ours, and would keep it for ten
        minutes: so it is given back before its address has come."""
        if self.integrity_key is not None and not self.transport.is_closing():
            refresh = stun.Message(stun.Method.REFRESH, stun.Class.REQUEST, attributes={"LIFETIME": 0})
            cast(Any, self)._TurnClientMixin__add_authentication(refresh)
            for _ in range(1 if isinstance(self, _TcpClient) else 2):  # one of them may be lost
                self._send(bytes(refresh))
        self.transport.close()
        if isinstance(self, _TcpClient):
            try:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(FAREWELL):
                        await self._lost.wait()
            finally:
                self.transport.abort()


class _UdpClient(_Client, TurnClientUdpProtocol):
    pass


class _TcpClient(_Client, TurnClientTcpProtocol):
    pass


Client = _UdpClient | _TcpClient


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

    def open(self, receiver: asyncio.DatagramProtocol) -> None:
        """From now on datagrams go to `receiver`."""
        inner = vars(self)["_TurnTransport__inner_protocol"]
        vars(self)["_TurnTransport__relayed_address"] = inner.relayed_address
        inner.receiver = receiver
        receiver.connection_made(cast(asyncio.DatagramTransport, self))


class Relay(Endpoint):
    """The receiving side of an allocation; its transport is aioice's, which has no `is_closing`."""

    def send_stun(self, message: stun.Message, addr: Address) -> None:
        self.transport.sendto(bytes(message), addr)


async def allocate(
    server: IceServer,
    hosts: Sequence[str],
    tls: Callable[[], ssl.SSLContext],
    receiver: asyncio.DatagramProtocol,
    *,
    ipv6: bool = False,
) -> Allocation:
    """An IPv4 relay, or an IPv6 one, whose datagrams go to `receiver`. `hosts` are the server's addresses; those after
    the first are tried beside it when it does not answer soon, or fails (RFC 8305). Raises the first one's `OSError` or
    `stun.TransactionError`; an address family that the server does not have is the latter (440)."""
    client = await _race(lambda host: _attempt(server, host, tls, ipv6), hosts)
    allocation = Allocation(client)
    if isinstance(client, _UdpClient):
        allocation.packets = widen(client.transport.get_extra_info("socket"))
    allocation.open(receiver)
    return allocation


async def _race(attempt: Callable[[str], Coroutine[Any, Any, Client]], hosts: Sequence[str]) -> Client:
    left, failed = list(hosts), list[BaseException]()
    attempts, won = set[asyncio.Task[Client]](), set[asyncio.Task[Client]]()
    try:
        while left or attempts:
            if left:
                attempts.add(asyncio.create_task(attempt(left.pop(0))))
            wait = HEAD_START if left else None
            done, _ = await asyncio.wait(attempts, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                error = task.exception()
                if error is None:
                    won = won or {task}
                    continue
                attempts.remove(task)
                failed.append(error)
            if won or any(isinstance(error, stun.TransactionFailed) for error in failed):
                break  # an answer, if only a refusal, is the server's
        await _dismiss(attempts - won)
    except BaseException:
        await _dismiss(attempts)
        raise
    for task in won:
        return task.result()
    raise next((error for error in failed if isinstance(error, stun.TransactionFailed)), failed[0])


async def _attempt(server: IceServer, host: str, tls: Callable[[], ssl.SSLContext], ipv6: bool) -> Client:
    name, password = server.login.credentials(time.time()) if server.login else (None, None)
    given = ((host, server.port), name, password)
    loop = asyncio.get_running_loop()
    client: Client
    if server.transport == "tcp":
        context, expected = (tls(), server.host) if server.tls else (None, None)
        opening = loop.create_connection(
            lambda: _TcpClient(*given), host, server.port, ssl=context, server_hostname=expected
        )
        _, client = await opening
    else:
        _, client = await loop.create_datagram_endpoint(lambda: _UdpClient(*given), remote_addr=given[0])
    client.ipv6 = ipv6
    try:
        await client.connect()
    except stun.TransactionFailed:
        client.integrity_key = None  # there is nothing to give back
        await client.dismiss()
        raise
    except BaseException:
        await client.dismiss()  # also when gathering's time is over
        raise
    return client


async def _dismiss(attempts: set[asyncio.Task[Client]]) -> None:
    """Ends attempts, those included that have an allocation by now."""
    for attempt in attempts:
        attempt.cancel()
    over = await asyncio.gather(*attempts, return_exceptions=True)
    await give_back([Allocation(client) for client in over if not isinstance(client, BaseException)])


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
