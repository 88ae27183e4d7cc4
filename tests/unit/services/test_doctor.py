"""What the doctor concludes without servers, and from dead and live ones on loopback."""

from __future__ import annotations

import asyncio
import socket
import ssl
from types import SimpleNamespace
from typing import Any

import ifaddr
import pytest
from aioice import stun
from tests.unit.services.test_turn import turn

from mina_webrtc.cli import main
from mina_webrtc.services import doctor
from mina_webrtc.services.doctor import examine
from mina_webrtc.wire.ice_url import IceServer, TurnLogin


@pytest.fixture(autouse=True)
def _loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = SimpleNamespace(name="lo", ips=[SimpleNamespace(ip="127.0.0.1")])
    monkeypatch.setattr(ifaddr, "get_adapters", lambda: [adapter])


class _Stun(asyncio.DatagramProtocol):
    """Sees every socket at another public port, as a symmetric NAT makes it look; garbage comes before each answer."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        request = stun.parse_message(data)
        self.transport.sendto(b"\x01\x01" + bytes(30), addr)
        response = stun.Message(stun.Method.BINDING, stun.Class.RESPONSE, transaction_id=request.transaction_id)
        response.attributes["XOR-MAPPED-ADDRESS"] = ("198.51.100.1", 4000)
        self.transport.sendto(bytes(response), addr)


async def test_without_servers_nothing_is_asked() -> None:
    report = await examine((), (), ssl.create_default_context)
    assert (report.addresses, report.ipv6, report.udp, report.mapping) == (("127.0.0.1",), False, "unknown", "unknown")
    assert any("--ice-server" in text for text in report.advice)


async def test_no_usable_address() -> None:
    report = await examine((IceServer("127.0.0.1", 9),), ("eth9",), ssl.create_default_context)
    assert report.addresses == ()
    assert report.servers[0].trouble is not None
    assert any("no address that leads anywhere" in text for text in report.advice)


async def test_a_live_and_a_dead_server() -> None:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(_Stun, ("127.0.0.1", 0))
    live = IceServer("127.0.0.1", transport.get_extra_info("sockname")[1])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        dead = IceServer("127.0.0.1", silent.getsockname()[1])
        report = await examine((dead, live), (), ssl.create_default_context)
    transport.close()
    assert [server.trouble for server in report.servers] == ["no answer", None]
    assert (report.udp, report.public_address) == ("works", "198.51.100.1:4000")
    assert any(f"Remove or repair {dead}: no answer." in text for text in report.advice)


async def test_one_silent_server_is_a_network_without_udp_or_a_server_that_is_down() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        dead = IceServer("127.0.0.1", silent.getsockname()[1])
        report = await examine((dead,), (), ssl.create_default_context)
    assert (report.udp, report.reachable, report.servers[0].reached) == ("blocked", "from this network", False)
    assert any("Unless these servers are down, UDP does not get out" in text for text in report.advice)


class _Firewalled(asyncio.DatagramProtocol):
    """Behind a NAT that keeps one mapping; names a second address that answers nobody."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        request = stun.parse_message(data)
        if "CHANGE-REQUEST" not in request.attributes:
            response = stun.Message(stun.Method.BINDING, stun.Class.RESPONSE, request.transaction_id)
            response.attributes["XOR-MAPPED-ADDRESS"] = ("203.0.113.5", 4242)
            response.attributes["OTHER-ADDRESS"] = ("127.0.0.9", 9)
            self.transport.sendto(bytes(response), addr)


@pytest.mark.parametrize(
    ("count", "mapping", "reachable"), [(2, "endpoint-independent", "by hole punching"), (1, "unknown", "unknown")]
)
async def test_a_second_address_that_does_not_answer_says_nothing_about_the_nat(
    monkeypatch: pytest.MonkeyPatch, count: int, mapping: str, reachable: str
) -> None:
    """Then two servers are compared, where there are two."""
    monkeypatch.setattr(doctor, "REPETITIONS", (0.1, 0.1))
    loop, servers = asyncio.get_running_loop(), []
    for last in range(1, count + 1):
        transport, _ = await loop.create_datagram_endpoint(_Firewalled, (f"127.0.0.{last}", 0))
        servers.append(transport)
    urls = tuple(IceServer(*transport.get_extra_info("sockname")) for transport in servers)
    report = await examine(urls, (), ssl.create_default_context)
    for transport in servers:
        transport.close()
    assert (report.mapping, report.filtering, report.reachable) == (mapping, "unknown", reachable)


@pytest.mark.parametrize("answers", [False, True])
def test_the_exit_code_says_whether_any_server_works(monkeypatch: pytest.MonkeyPatch, answers: bool) -> None:
    async def found(*words: Any) -> doctor.Report:
        servers = (doctor.ServerReport("turn:a", True, trouble="it refuses the password (401)"),)
        if answers:
            servers += (doctor.ServerReport("stun:b", True, "192.0.2.1:1", 1.0),)
        return doctor.Report(("127.0.0.1",), False, servers, "works", None, "unknown", "unknown", "unknown", ())

    monkeypatch.setattr(doctor, "examine", found)
    monkeypatch.setattr("sys.argv", ["mina-webrtc", "doctor", "--ice-server", "stun:192.0.2.1"])
    assert main() == (0 if answers else 1)


async def test_a_server_that_refuses_is_reached() -> None:
    async with turn("4") as (_, server):
        wrong = IceServer(server.host, server.port, turn=True, login=TurnLogin("alice", "guessed"))
        report = await examine((wrong,), (), ssl.create_default_context)
    assert report.udp == "works"
    assert report.servers[0].trouble == "it refuses the user name or the password (401)"
