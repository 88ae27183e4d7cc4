"""Gathering and the port, interface and relay settings, on loopback with small servers of our own."""

from __future__ import annotations

import asyncio
import re
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import ifaddr
import pytest
from aioice import stun
from tests.parity.transport_harness import World, run

from mina_webrtc.services import hosts
from mina_webrtc.services.resolve import _Dns
from mina_webrtc.wire.ice_url import IceServer

CANDIDATE = re.compile(r"a=candidate:\S+ 1 udp \d+ (\S+) (\d+) typ (\w+)")


class _Stun(asyncio.DatagramProtocol):
    def __init__(self, mapped: str) -> None:
        self.mapped = mapped

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        request = stun.parse_message(data)
        response = stun.Message(stun.Method.BINDING, stun.Class.RESPONSE, transaction_id=request.transaction_id)
        response.attributes["XOR-MAPPED-ADDRESS"] = (self.mapped, 4242)
        self.transport.sendto(bytes(response), addr)  # type: ignore[attr-defined]


@asynccontextmanager
async def stun_server(mapped: str) -> AsyncIterator[IceServer]:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: _Stun(mapped), ("127.0.0.1", 0))
    yield IceServer("127.0.0.1", transport.get_extra_info("sockname")[1])
    transport.close()
    await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def _loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = SimpleNamespace(name="lo", ips=[SimpleNamespace(ip="127.0.0.1")])
    monkeypatch.setattr(ifaddr, "get_adapters", lambda: [adapter])


def test_a_dead_server_does_not_hold_up_a_live_one() -> None:
    async def test(world: World) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.bind(("127.0.0.1", 0))
            dead = IceServer("127.0.0.1", silent.getsockname()[1])
            async with stun_server("198.51.100.1") as live:
                begin = time.monotonic()
                sdp = await world.end(ice_servers=(dead, live)).transport.create_offer()
                assert time.monotonic() - begin < 1
        assert ("198.51.100.1", "4242", "srflx") in CANDIDATE.findall(sdp)

    run("aiortc", "asyncio", test)


def test_several_servers_are_asked_and_the_same_answer_counts_once() -> None:
    async def test(world: World) -> None:
        async with stun_server("198.51.100.1") as a, stun_server("198.51.100.1") as b, stun_server("198.51.100.2") as c:
            sdp = await world.end(ice_servers=(a, b, c)).transport.create_offer()
        assert sorted(found for found in CANDIDATE.findall(sdp) if found[2] == "srflx") == [
            ("198.51.100.1", "4242", "srflx"),
            ("198.51.100.2", "4242", "srflx"),
        ]

    run("aiortc", "asyncio", test)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_server_is_looked_up_once_and_by_no_thread(monkeypatch: pytest.MonkeyPatch, loop: str) -> None:
    """One that hangs would hold the thread for longer than gathering may take, and leaving the process as well."""
    ips = [SimpleNamespace(ip=f"127.0.0.{last}") for last in range(1, 5)]
    monkeypatch.setattr(ifaddr, "get_adapters", lambda: [SimpleNamespace(name="lo", ips=ips)])
    asked: list[str] = []
    plain = socket.getaddrinfo

    async def look_up(dns: object, name: str) -> list[str]:
        asked.append(name)
        if name == "hanging.lab":
            await asyncio.Event().wait()
        return ["127.0.0.1"]

    def getaddrinfo(host: Any, *words: Any, **more: Any) -> Any:
        assert "lab" not in str(host)
        return plain(host, *words, **more)

    monkeypatch.setattr(_Dns, "__call__", look_up)
    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    async def test(world: World) -> None:
        async with stun_server("198.51.100.1") as server:
            names = tuple(IceServer(name, server.port) for name in ("stun.lab", "hanging.lab"))
            sdp = await world.end(ice_servers=names, gathering_timeout=30.0).transport.create_offer()
        assert ("198.51.100.1", "4242", "srflx") in CANDIDATE.findall(sdp)
        assert sorted(asked) == ["hanging.lab", "stun.lab"]

    run("aiortc", loop, test)


def test_ports_stay_in_their_range_and_a_full_range_is_an_error() -> None:
    async def test(world: World) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        sdp = await world.end(udp_ports=(port, port)).transport.create_offer()
        assert [int(found[1]) for found in CANDIDATE.findall(sdp)] == [port]
        with pytest.raises(Exception, match=rf"no address .*no UDP port of {port}-{port} is free"):
            await world.end(udp_ports=(port, port)).transport.create_offer()

    run("aiortc", "asyncio", test)


def test_relay_only_shows_and_binds_no_address() -> None:
    async def test(world: World) -> None:
        async with stun_server("198.51.100.1") as server:
            with pytest.raises(Exception, match="not asked"):
                await world.end(relay_only=True, ice_servers=(server,)).transport.create_offer()

    run("aiortc", "asyncio", test)


@pytest.mark.parametrize(
    ("interfaces", "expected"),
    [
        ((), ["10.0.0.1", "10.1.0.1", "192.0.2.1"]),
        (("eth0",), ["10.0.0.1"]),
        (("!eth0",), ["10.1.0.1", "192.0.2.1"]),
        (("10.0.0.0/8",), ["10.0.0.1", "10.1.0.1"]),
        (("10.0.0.0/8", "!eth1"), ["10.0.0.1"]),
        (("10.1.0.1", "eth2"), ["10.1.0.1", "192.0.2.1"]),
        (("wlan0",), []),
    ],
)
def test_interfaces(monkeypatch: pytest.MonkeyPatch, interfaces: tuple[str, ...], expected: list[str]) -> None:
    ips = ("10.0.0.1", "10.1.0.1", "192.0.2.1")
    adapters = [SimpleNamespace(name=f"eth{n}", ips=[SimpleNamespace(ip=ip)]) for n, ip in enumerate(ips)]
    monkeypatch.setattr(ifaddr, "get_adapters", lambda: adapters)
    assert hosts.host_addresses(None, interfaces) == expected
