"""TURN allocations against a small server of our own: relays of both families, refusals, farewells."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import ifaddr
import pytest
import trustme
from aioice import stun
from aioice.turn import is_channel_data, make_integrity_key
from msgspec.structs import replace
from tests.parity.transport_harness import World, run
from tests.unit.services.test_gathering import stun_server

from mina_webrtc.errors import TransportError
from mina_webrtc.services import gathering
from mina_webrtc.services import turn as turn_service
from mina_webrtc.services.resolve import _Dns
from mina_webrtc.services.transport_aiortc import AiortcTransports
from mina_webrtc.services.turn import allocate, give_back
from mina_webrtc.wire.ice_url import IceServer, TurnLogin

RELAYED = re.compile(r"a=candidate:\S+ 1 udp \d+ (\S+) (\d+) typ relay raddr (\S+) rport (\d+)")
KEY = make_integrity_key("alice", "lab", "secret")
IPV6_RELAY = bytes.fromhex("00170004 02000000")


class Turn(asyncio.DatagramProtocol):
    """Wants credentials; `families` are those it relays. Its relays are addresses of the documentation range."""

    def __init__(self, families: str) -> None:
        self.families = families
        self.given = self.bound = self.packets = 0
        self.news, self.refreshed = asyncio.Event(), asyncio.Event()
        self.silent, self.renews, self.lifetime = False, True, 600

    stream: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    async def received(self, count: int) -> None:
        """Until so many datagrams for peers have come."""
        while self.packets < count:
            self.news.clear()
            await self.news.wait()

    async def empty(self) -> None:
        """Until no allocation is left."""
        while self.given:
            self.news.clear()
            await self.news.wait()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if is_channel_data(data):
            self.packets += 1
            return self.news.set()
        request = stun.parse_message(data)
        if self.silent:
            return
        if "USERNAME" not in request.attributes or not request.check_message_integrity(KEY):
            return self.answer(request, addr, **{"ERROR-CODE": (401, "Who"), "REALM": "lab", "NONCE": b"1"})
        if request.message_method is stun.Method.CHANNEL_BIND:
            self.bound += 1
            return self.answer(request, addr)
        if request.message_method is stun.Method.REFRESH and not self.renews:
            return self.answer(request, addr, **{"ERROR-CODE": (437, "Allocation Mismatch")})
        if request.message_method is stun.Method.REFRESH:
            self.given -= request.attributes["LIFETIME"] == 0
            self.news.set()
            self.refreshed.set()
            return self.answer(request, addr, LIFETIME=0)
        family = "6" if data[20:28] == IPV6_RELAY else "4"
        if family not in self.families:
            return self.answer(request, addr, **{"ERROR-CODE": (440, "Address Family not Supported")})
        self.given += 1
        relay = ("2001:db8::7", 6006) if family == "6" else ("198.51.100.7", 4004)
        mapped = {"XOR-RELAYED-ADDRESS": relay, "XOR-MAPPED-ADDRESS": addr[:2]}
        return self.answer(request, addr, LIFETIME=self.lifetime, **mapped)

    def answer(self, request: stun.Message, addr: Any, **attributes: Any) -> None:
        kind = stun.Class.ERROR if "ERROR-CODE" in attributes else stun.Class.RESPONSE
        response = stun.Message(request.message_method, kind, request.transaction_id, attributes)
        if "REALM" not in attributes:
            response.add_message_integrity(KEY)
        self.transport.sendto(bytes(response), addr)


@asynccontextmanager
async def turn(families: str) -> AsyncIterator[tuple[Turn, IceServer]]:
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(lambda: Turn(families), ("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    yield server, IceServer("127.0.0.1", port, turn=True, login=TurnLogin("alice", "secret"))
    transport.close()
    await asyncio.sleep(0)


class TurnStream(asyncio.Protocol):
    """The same over a stream."""

    stream: asyncio.Transport

    def __init__(self, server: Turn) -> None:
        self.server = server
        self.read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.stream = cast(asyncio.Transport, transport)
        self.server.stream, self.server.transport = self.stream, self

    def data_received(self, data: bytes) -> None:
        self.read += data
        while len(self.read) >= 20 and len(self.read) >= (size := 20 + int.from_bytes(self.read[2:4])):
            message, self.read = self.read[:size], self.read[size:]
            self.server.datagram_received(message, ("127.0.0.1", 5))

    def sendto(self, data: bytes, addr: Any) -> None:
        self.stream.write(data)


@asynccontextmanager
async def turn_stream(authority: trustme.CA | None) -> AsyncIterator[tuple[Turn, IceServer]]:
    """Over TCP, or TLS with a certificate of this authority."""
    context = None
    if authority is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
    server, loop = Turn("4"), asyncio.get_running_loop()
    listener = await loop.create_server(lambda: TurnStream(server), "127.0.0.1", 0, ssl=context)
    port, tls = listener.sockets[0].getsockname()[1], context is not None
    login = TurnLogin("alice", "secret")
    yield server, IceServer("127.0.0.1", port, turn=True, transport="tcp", tls=tls, login=login)
    listener.close()
    await asyncio.sleep(0)


def adapters(monkeypatch: pytest.MonkeyPatch, *addresses: Any) -> None:
    ips = [SimpleNamespace(ip=address) for address in addresses]
    monkeypatch.setattr(ifaddr, "get_adapters", lambda: [SimpleNamespace(name="lo", ips=ips)])


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize(
    ("families", "expected"),
    [
        ("46", {"198.51.100.7": "127.0.0.1", "2001:db8::7": "::"}),
        ("4", {"198.51.100.7": "127.0.0.1"}),
        ("6", {"2001:db8::7": "::"}),
    ],
)
def test_relays_of_each_family_that_the_server_has(
    monkeypatch: pytest.MonkeyPatch, loop: str, families: str, expected: dict[str, str]
) -> None:
    adapters(monkeypatch, "127.0.0.1", ("::1", 0, 0))

    async def test(world: World) -> None:
        async with turn(families) as (server, url):
            end = world.end(ice_servers=(url,))
            found = RELAYED.findall(await end.transport.create_offer())
            assert {host: related for host, _, related, _ in found} == expected
            assert server.given == len(families)
            await end.transport.close()
            assert server.given == 0  # given back

    run("aiortc", loop, test)


def test_without_ipv6_there_is_one_allocation(monkeypatch: pytest.MonkeyPatch) -> None:
    adapters(monkeypatch, "127.0.0.1")

    async def test(world: World) -> None:
        async with turn("46") as (server, url):
            found = RELAYED.findall(await world.end(ice_servers=(url,)).transport.create_offer())
            assert [host for host, *_ in found] == ["198.51.100.7"]
            assert server.given == 1

    run("aiortc", "asyncio", test)


def test_relay_only_hides_the_address_that_the_server_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    adapters(monkeypatch, "127.0.0.1")

    async def test(world: World) -> None:
        async with turn("4") as (_, url):
            sdp = await world.end(ice_servers=(url,), relay_only=True).transport.create_offer()
        assert RELAYED.findall(sdp) == [("198.51.100.7", "4004", "0.0.0.0", "9")]
        assert "127.0.0.1" not in sdp

    run("aiortc", "asyncio", test)


def test_a_server_that_has_gone_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    adapters(monkeypatch, "127.0.0.1")

    async def test(world: World) -> None:
        async with turn("4") as (server, url):
            end = world.end(ice_servers=(url,))
            await end.transport.create_offer()
            server.silent = True
            begin = time.monotonic()
            await end.transport.close()
            assert time.monotonic() - begin < 1

    run("aiortc", "asyncio", test)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("tls", [False, True])
def test_a_server_that_reads_no_more_does_not_hold_up_the_end(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, loop: str, tls: bool
) -> None:
    """A stream is closed once all was read, one with TLS once the other side has agreed."""
    adapters(monkeypatch, "127.0.0.1")

    async def test(world: World) -> None:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        world.factory = AiortcTransports(tmp_path / "ca.pem")
        async with turn_stream(authority if tls else None) as (server, url):
            end = world.end(ice_servers=(url,))
            assert RELAYED.search(await end.transport.create_offer())
            server.stream.pause_reading()
            relay: Any = end.transport._ice._protocols[-1]  # type: ignore[attr-defined]
            vars(relay.transport)["_TurnTransport__inner_protocol"].transport.write(bytes(16 << 20))
            try:
                async with asyncio.timeout(5):
                    await end.transport.close()
            finally:
                server.stream.abort()

    run("aiortc", loop, test)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_what_waits_for_a_channel_ends_with_the_allocation(monkeypatch: pytest.MonkeyPatch, loop: str) -> None:
    adapters(monkeypatch, "127.0.0.1")

    async def test(world: World) -> None:
        async with turn("4") as (server, url):
            end = world.end(ice_servers=(url,))
            await end.transport.create_offer()
            server.silent = True
            relay: Any = end.transport._ice._protocols[-1]  # type: ignore[attr-defined]
            for last in range(5):
                relay.transport.sendto(b"data", (f"192.0.2.{last % 3}", 9))
            await asyncio.sleep(0)
            await end.transport.close()
            assert asyncio.all_tasks() == {asyncio.current_task()}

    run("aiortc", loop, test)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("stream", [False, True])
def test_an_allocation_that_comes_too_late_is_given_back(
    monkeypatch: pytest.MonkeyPatch, loop: str, stream: bool
) -> None:
    """The server makes it when gathering is over already."""
    adapters(monkeypatch, "127.0.0.1")

    async def test(world: World) -> None:
        async with turn_stream(None) if stream else turn("4") as (server, url):
            begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            slow: list[tuple[bytes, Any]] = []
            received = server.datagram_received

            def hold(data: bytes, addr: Any) -> None:
                if "USERNAME" not in stun.parse_message(data).attributes:
                    return received(data, addr)
                slow.append((data, addr))
                if not begun.done():
                    begun.set_result(None)
                if stun.parse_message(data).message_method is stun.Method.REFRESH and not server.given:
                    for late in slow:
                        received(*late)
                return None

            monkeypatch.setattr(server, "datagram_received", hold)
            end = world.end(ice_servers=(url,), gathering_timeout=30.0)
            gathering_ = asyncio.ensure_future(end.transport.create_offer())
            await begun
            await end.transport.close()
            with pytest.raises(TransportError):
                await gathering_
            assert asyncio.all_tasks() == {asyncio.current_task()}
            async with asyncio.timeout(5):
                await server.refreshed.wait()
            assert server.given <= 0

    run("aiortc", loop, test)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("stream", [False, True])
def test_another_address_of_the_server_is_tried(monkeypatch: pytest.MonkeyPatch, loop: str, stream: bool) -> None:
    """As where IPv6 leads nowhere: the first one is silent, or refuses."""
    adapters(monkeypatch, "127.0.0.1")

    async def look_up(dns: object, name: str) -> list[str]:
        looked_up.append(name)
        return ["127.0.0.77", "127.0.0.1"]

    looked_up: list[str] = []
    monkeypatch.setattr(_Dns, "__call__", look_up)

    async def test(world: World) -> None:
        async with turn_stream(None) if stream else turn("4") as (server, url):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
                silent.bind(("127.0.0.77", url.port))
                end = world.end(ice_servers=(replace(url, host="turn.lab"),), gathering_timeout=30.0)
                assert RELAYED.search(await end.transport.create_offer())
            assert (server.given, looked_up) == (1, ["turn.lab"])
            await end.transport.close()
            assert server.given == 0

    run("aiortc", loop, test)


async def test_an_allocation_that_is_not_renewed_is_over() -> None:
    lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    class Receiver(asyncio.DatagramProtocol):
        def connection_lost(self, exc: Exception | None) -> None:
            lost.set_result(None)

    async with turn("4") as (server, url):
        server.lifetime, server.renews = 0, False
        await allocate(url, [url.host], ssl.create_default_context, Receiver())
        await asyncio.wait_for(lost, 5)


@pytest.mark.parametrize("step", [0, -3600, 3600])
async def test_a_channel_is_renewed_once_and_nothing_waits_for_it(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Also when the wall clock is set meanwhile."""
    plain = time.time
    monkeypatch.setattr(turn_service, "PERMISSION", -1)  # over as soon as it is bound
    async with turn("4") as (server, url):
        allocation = await allocate(url, [url.host], ssl.create_default_context, asyncio.DatagramProtocol())
        allocation.sendto(b"first", ("192.0.2.1", 4000))
        await server.received(1)
        monkeypatch.setattr(time, "time", lambda: plain() + step)
        for _ in range(50):
            allocation.sendto(b"more", ("192.0.2.1", 4000))
        await server.received(51)
        await give_back([allocation])
    assert server.bound == 2


@pytest.mark.parametrize("stream", [False, True])
def test_silent_stun_servers_do_not_hold_up_a_relay(monkeypatch: pytest.MonkeyPatch, stream: bool) -> None:
    """As where no UDP gets out."""
    adapters(monkeypatch, "127.0.0.1")
    monkeypatch.setattr(gathering, "FAIR", 0.1)

    async def test(world: World) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.bind(("127.0.0.1", 0))
            dead = IceServer("127.0.0.1", silent.getsockname()[1])
            async with turn_stream(None) if stream else turn("4") as (_, url):
                begin = time.monotonic()
                end = world.end(ice_servers=(dead, url), gathering_timeout=30.0)
                assert RELAYED.search(await end.transport.create_offer())
                assert time.monotonic() - begin < 10
                await end.transport.close()

    run("aiortc", "asyncio", test)


def test_relays_are_told_before_reflexive_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    adapters(monkeypatch, "127.0.0.1")

    async def test(world: World) -> None:
        async with stun_server("198.51.100.1") as stun_url, turn("4") as (_, url):
            sdp = await world.end(ice_servers=(stun_url, url)).transport.create_offer()
        assert re.findall(r" typ (\w+)", sdp) == ["host", "relay", "srflx"]

    run("aiortc", "asyncio", test)
