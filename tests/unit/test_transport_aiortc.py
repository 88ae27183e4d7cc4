"""What is particular to the transport over aioice and aiortc: gathering, addresses, foreign peers, leaving nothing."""

from __future__ import annotations

import asyncio
import copy
import ctypes
import functools
import gc
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import ifaddr
import pytest
from aioice import ice as aioice_ice
from aioice import stun
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.rtcsctptransport import DataChunk, serialize_packet
from tests.parity.transport_harness import CHANNELS, LOOPS, End, World, run

from mina_webrtc.errors import TransportError
from mina_webrtc.services import consent, hosts
from mina_webrtc.services.ice import IceAgent
from mina_webrtc.services.inbox import MAX_CHUNK
from mina_webrtc.services.transport_aiortc import AiortcTransport
from mina_webrtc.wire.ice_url import IceServer

CANDIDATE = re.compile(r"a=candidate:\S+ 1 udp \d+ (\S+) (\d+) typ (\w+)")


def on_loops(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @pytest.mark.parametrize("loop", LOOPS)
    @functools.wraps(test)
    def wrapper(loop: str) -> None:
        run("aiortc", loop, test)

    del wrapper.__wrapped__  # type: ignore[attr-defined]
    return wrapper


def inner(end: End) -> AiortcTransport:
    assert isinstance(end.transport, AiortcTransport)
    return end.transport


def adapters(*addresses: str) -> Callable[[], list[Any]]:
    ips = [SimpleNamespace(ip=a if ":" not in a else (a, 0, 0)) for a in addresses]
    return lambda: [SimpleNamespace(name=f"eth{n}", ips=[ip]) for n, ip in enumerate(ips)]


def servers(*urls: str) -> tuple[IceServer, ...]:
    return tuple(map(IceServer.parse, urls))


# ---------------------------------------------------------------- addresses


@pytest.mark.parametrize(
    ("addresses", "allow", "expected"),
    [
        (["127.0.0.1", "::1"], None, ["127.0.0.1", "::1"]),
        (["127.0.0.1", "::1"], False, []),
        (["127.0.0.1", "10.0.0.1"], None, ["10.0.0.1"]),
        (["127.0.0.1", "10.0.0.1"], True, ["10.0.0.1", "127.0.0.1"]),
        (["fd00::2", "fe80::1%eth0", "10.0.0.1", "169.254.1.1"], None, ["10.0.0.1", "fd00::2"]),
        (["127.0.0.1", "fe80::1"], None, ["127.0.0.1"]),
        ([f"10.0.0.{n}" for n in range(1, 100)], None, [f"10.0.0.{n}" for n in range(1, 17)]),
    ],
)
def test_which_addresses_become_candidates(
    monkeypatch: pytest.MonkeyPatch, addresses: list[str], allow: bool | None, expected: list[str]
) -> None:
    monkeypatch.setattr(ifaddr, "get_adapters", adapters(*addresses))
    assert hosts.host_addresses(allow) == expected


def test_a_machine_with_loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ifaddr, "get_adapters", adapters("127.0.0.1", "::1"))

    async def test(world: World) -> None:
        a, b = world.end(allow_loopback=None), world.end(allow_loopback=None)
        await world.connect(a, b)
        with pytest.raises(TransportError, match="no address"):
            await world.end(allow_loopback=False).transport.create_offer()

    run("aiortc", "asyncio", test)


@pytest.mark.parametrize("loop", LOOPS)
def test_ipv6_alone(monkeypatch: pytest.MonkeyPatch, loop: str) -> None:
    monkeypatch.setattr(ifaddr, "get_adapters", adapters("::1"))

    async def test(world: World) -> None:
        a, b = await world.pair()
        a.send((1, b"six"))
        await b.sink.until(lambda: b.sink.messages)

    run("aiortc", loop, test)


@on_loops
async def test_external_addresses_replace_host_candidates_of_their_family(world: World) -> None:
    plain = CANDIDATE.findall(await world.end().transport.create_offer())
    sdp = await world.end(external_ips=("192.0.2.7", "192.0.2.8")).transport.create_offer()
    shown = CANDIDATE.findall(sdp)
    fours = [host for host, _, _ in plain if ":" not in host]
    assert [host for host, _, _ in shown if ":" not in host] == ["192.0.2.7", "192.0.2.8"] * len(fours)
    assert [host for host, _, _ in shown if ":" in host] == [host for host, _, _ in plain if ":" in host]
    assert "c=IN IP4 192.0.2.7\r\n" in sdp


@on_loops
async def test_a_peer_without_any_candidate_is_found(world: World) -> None:
    a, b = world.end(), world.end()
    answer = await b.transport.create_answer(await a.transport.create_offer())
    bare = re.sub(r"a=candidate:[^\r]*\r\n", "", answer)
    assert "candidate:" not in bare
    assert "a=end-of-candidates" in bare
    await a.transport.set_answer(bare)
    await asyncio.gather(a.sink.opened(), b.sink.opened())


@on_loops
async def test_a_peer_that_hides_its_addresses_is_found(world: World) -> None:
    a, b = world.end(), world.end()
    answer = await b.transport.create_answer(await a.transport.create_offer())
    hidden = re.sub(r"(a=candidate:\S+ 1 udp \d+) \S+", r"\1 5b1f0c6a-0000-4000-8000-000000000000.local", answer)
    assert hidden != answer
    assert "a=end-of-candidates" in hidden
    begin = time.monotonic()
    await a.transport.set_answer(hidden)
    await asyncio.gather(a.sink.opened(), b.sink.opened())
    assert time.monotonic() - begin < 0.9  # a look-up of the name would take a second


# ---------------------------------------------------------------- servers


@on_loops
async def test_gathering_ends_when_its_time_is_over(world: World) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        silent.setblocking(False)
        url = f"stun:127.0.0.1:{silent.getsockname()[1]}"
        a = world.end(ice_servers=servers(url, url.replace("stun:", "turn:user:secret@")), gathering_timeout=0.1)
        begin = time.monotonic()
        sdp = await a.transport.create_offer()
        assert 0.09 < time.monotonic() - begin < 0.6
        assert silent.recv(2000)[:2] in (b"\x00\x01", b"\x00\x03")
        assert {kind for _, _, kind in CANDIDATE.findall(sdp)} == {"host"}


@on_loops
async def test_close_during_gathering(world: World) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        url = f"stun:127.0.0.1:{silent.getsockname()[1]}"
        a = world.end(ice_servers=servers(url, url.replace("stun:", "turn:user:secret@")), gathering_timeout=10)
        offer = asyncio.ensure_future(a.transport.create_offer())
        await asyncio.sleep(0.02)
        await a.transport.close()
        with pytest.raises(TransportError):
            await offer


class _Stun(asyncio.DatagramProtocol):
    """Answers binding requests with an address of the documentation range."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        request = stun.parse_message(data)
        response = stun.Message(stun.Method.BINDING, stun.Class.RESPONSE, transaction_id=request.transaction_id)
        response.attributes["XOR-MAPPED-ADDRESS"] = ("198.51.100.1", 4242)
        self.transport.sendto(bytes(response), addr)  # type: ignore[attr-defined]


@on_loops
async def test_a_stun_server_adds_a_candidate(world: World) -> None:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(_Stun, local_addr=("127.0.0.1", 0))
    url = f"stun:127.0.0.1:{transport.get_extra_info('sockname')[1]}"
    begin = time.monotonic()
    sdp = await world.end(ice_servers=servers(url), gathering_timeout=0.3).transport.create_offer()
    assert ("198.51.100.1", "4242", "srflx") in CANDIDATE.findall(sdp)
    assert time.monotonic() - begin < 1
    transport.close()
    await asyncio.sleep(0)


# ---------------------------------------------------------------- losing the peer


@on_loops
async def test_a_peer_that_vanishes_is_noticed(world: World) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(consent, "CONSENT_PACE", 0.01)
        patch.setattr(consent, "CONSENT_RETRY", 0.01)
        a, b = await world.pair(consent_timeout=0.1)
        ice = inner(b)._ice
        assert ice is not None
        ice.detach()
        for protocol in ice._protocols:
            protocol.transport.abort()
        await a.sink.until(lambda: a.sink.closed)
        error, fault = a.sink.closed[0]
        assert str(error).startswith("the peer is gone: no sign of it for 0.")
        assert not fault


def test_a_bug_while_connecting_is_told(caplog: pytest.LogCaptureFixture) -> None:
    async def test(world: World) -> None:
        a, b = world.end(), world.end()
        answer = await b.transport.create_answer(await a.transport.create_offer())
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(IceAgent, "sort_check_list", lambda self: {}["a bug"])
            patch.setattr(IceAgent, "add_remote", lambda *words: None)
            await a.transport.set_answer(answer)
            await a.sink.until(lambda: a.sink.closed)
        assert isinstance(a.sink.closed[0][0], TransportError)
        assert a.sink.closed[0][0].reason == "internal"
        assert "a bug" in caplog.text

    run("aiortc", "asyncio", test)


@on_loops
async def test_when_no_pair_works_the_connection_fails(world: World) -> None:
    silent = await asyncio.get_running_loop().create_datagram_endpoint(asyncio.DatagramProtocol, ("127.0.0.1", 0))
    dead = f"stun:127.0.0.1:{silent[0].get_extra_info('sockname')[1]}"
    a, b = world.end(ice_timeout=0.1, ice_servers=servers(dead), gathering_timeout=0.05), world.end()
    answer = await b.transport.create_answer(await a.transport.create_offer())
    await b.transport.close()
    await a.transport.set_answer(answer)
    await a.sink.until(lambda: a.sink.closed)
    silent[0].close()
    error, fault = a.sink.closed[0]
    assert a.sink.kinds() == ["closed"]
    assert not fault
    assert error is not None
    assert error.reason == "no_route"
    assert re.search(r"our candidates: \d+ host; theirs: \d+ host; checks that failed: \d+ host-host", str(error))
    assert f"{dead}: no answer" in str(error)


@on_loops
async def test_a_dial_takes_few_milliseconds(world: World) -> None:
    times = []
    for _ in range(5):
        begin = time.monotonic()
        await world.connect(world.end(), world.end())
        times.append(time.monotonic() - begin)
    assert min(times) < 0.05  # aioice alone sleeps 20 ms after the last check on each side


# ---------------------------------------------------------------- noise and loss on the network


@on_loops
async def test_datagrams_from_strangers_do_no_harm(world: World) -> None:
    a, b = world.end(), world.end()
    offer = await a.transport.create_offer()
    port = next(int(port) for host, port, _ in CANDIDATE.findall(offer) if host == "127.0.0.1")
    binding = bytes.fromhex("000100082112a442") + bytes(12)
    noise = [
        b"",
        b"\x00",
        bytes(20),
        binding,
        binding + b"\x00\x06\x00\x04abcd",
        binding + b"\x00\x24\x00\x01a\x00\x00\x00",
    ]
    noise.append(bytes.fromhex("15fefd000000000000000000020228"))  # a fatal alert: handshake failure
    noise += [bytes([first]) + bytes(60) for first in (20, 22, 23, 63, 128, 255)]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:

        def shout() -> None:
            for datagram in noise:
                stranger.sendto(datagram, ("127.0.0.1", port))

        shout()
        answer = await b.transport.create_answer(offer)
        shout()
        await a.transport.set_answer(answer)
        shout()
        await asyncio.gather(a.sink.opened(), b.sink.opened())
        shout()
        a.admit()
        b.send((1, b"unharmed"))
        await a.sink.until(lambda: a.sink.messages)


@on_loops
async def test_loss_costs_time_only(world: World) -> None:
    a, b = await world.pair()
    count = 0

    def lossy(send: Callable[[bytes], None]) -> Callable[[bytes], None]:
        def maybe(data: bytes) -> None:
            nonlocal count
            count += 1
            if count % 23:
                send(data)

        return maybe

    for end in (a, b):
        dtls = inner(end)._dtls
        assert dtls is not None
        dtls._send = lossy(dtls._send)
    body = os.urandom(200_000)
    a.send((7, body), (1, b"x"))
    b.send((7, body))
    await asyncio.gather(
        b.sink.until(lambda: len(b.sink.messages) == 2), a.sink.until(lambda: len(a.sink.messages) == 1)
    )
    assert b.sink.payloads(7) == a.sink.payloads(7) == [body]


# ---------------------------------------------------------------- plain aiortc on the other side


async def _foreign(world: World, end: End, *, offering: bool) -> tuple[RTCPeerConnection, dict[int, Any]]:
    """A peer made of nothing but aiortc, connected to `end`."""
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    channels = {spec.id: peer.createDataChannel(spec.label, negotiated=True, id=spec.id) for spec in CHANNELS}
    if offering:
        await peer.setLocalDescription(await peer.createOffer())
        answer = await end.transport.create_answer(peer.localDescription.sdp)
        await peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    else:
        offer = await end.transport.create_offer()
        await peer.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        await peer.setLocalDescription(await peer.createAnswer())
        await end.transport.set_answer(peer.localDescription.sdp)
    await end.sink.opened()
    return peer, channels


async def _opened(channel: Any) -> None:
    opened = asyncio.Event()
    channel.on("open", opened.set)
    if channel.readyState != "open":
        await opened.wait()


def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain aiortc takes no loopback address by itself: both sides are told that there is nothing but 127.0.0.1."""
    monkeypatch.setattr(aioice_ice, "get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])
    monkeypatch.setattr(ifaddr, "get_adapters", adapters("127.0.0.1"))


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("offering", [True, False])
def test_plain_aiortc_as_peer(monkeypatch: pytest.MonkeyPatch, loop: str, offering: bool) -> None:
    _alone(monkeypatch)

    async def test(world: World) -> None:
        end = world.end()
        peer, channels = await _foreign(world, end, offering=offering)
        got: list[bytes] = []
        whole = asyncio.Event()

        def receive(chunk: bytes) -> None:
            got.append(chunk)
            if sum(map(len, got)) == 40_004:
                whole.set()

        channels[7].on("message", receive)
        end.admit()
        end.send((7, bytes(40_000)))
        await _opened(channels[7])
        channels[7].send(b"\x00\x00\x00\x03abc")
        await end.sink.until(lambda: end.sink.messages)
        assert end.sink.messages == [(7, b"abc")]
        await whole.wait()
        assert [len(chunk) for chunk in got] == [16_384, 16_384, 7_236]
        end.close_channel(0)
        await end.sink.until(lambda: ("channel_closed", 0) in end.sink.events)
        await peer.close()
        await end.sink.until(lambda: end.sink.closed)
        assert not end.sink.closed[0][1]

    run("aiortc", loop, test)


@pytest.mark.parametrize(
    ("payload", "what"), [(b"", "empty"), (bytes(65_536), "65536 bytes")], ids=["empty", "too large"]
)
def test_messages_that_no_peer_may_send(monkeypatch: pytest.MonkeyPatch, payload: bytes, what: str) -> None:
    _alone(monkeypatch)

    async def test(world: World) -> None:
        end = world.end()
        peer, channels = await _foreign(world, end, offering=True)
        await _opened(channels[1])
        peer.sctp._remote_max_message_size = 0
        channels[1].send(payload)
        await end.sink.until(lambda: end.sink.closed)
        error, fault = end.sink.closed[0]
        assert fault
        assert what in str(error)
        await peer.close()

    run("aiortc", "asyncio", test)


def test_a_peer_that_ignores_the_window_is_disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    _alone(monkeypatch)

    async def test(world: World) -> None:
        end = world.end(receive_buffer=256 << 10, receive_credit=1)
        peer, channels = await _foreign(world, end, offering=True)
        end.admit()
        await _opened(channels[7])
        peer.sctp._cwnd = 1 << 20
        message = (16_000).to_bytes(4, "big") + bytes(16_000)
        for _ in range(100):
            channels[7].send(message)
        await end.sink.until(lambda: end.sink.closed)
        error, fault = end.sink.closed[0]
        assert fault
        assert "overran" in str(error)
        await peer.close()

    run("aiortc", "asyncio", test)


@on_loops
async def test_before_authentication_little_is_held_out_of_order(world: World) -> None:
    a, _ = await world.pair(admit=False)
    sctp = inner(a)._sctp
    assert sctp is not None
    first = (sctp._last_received_tsn or 0) + 1

    def come(ahead: int, size: int) -> None:
        chunk = DataChunk(flags=0)
        chunk.tsn, chunk.stream_id, chunk.protocol = (first + ahead) % 2**32, 7, 53
        chunk.user_data = bytes(size)
        inner(a).dtls_data(serialize_packet(5000, 5000, sctp._local_verification_tag, chunk))

    come(8000, 1)
    for ahead in range(1, 41):
        come(ahead, 16_000)
    assert 65_536 < sctp._reassembly.size <= 65_536 + MAX_CHUNK
    a.admit()
    for ahead in range(1, 41):
        come(ahead, 16_000)
    assert sctp._reassembly.size == 40 * 16_000 + 1
    assert not a.sink.closed


# ---------------------------------------------------------------- leaving nothing


def _traces() -> tuple[int, int, int]:
    timers = [t for t in getattr(asyncio.get_running_loop(), "_scheduled", ()) if not t.cancelled()]
    return len(os.listdir("/proc/self/fd")), len(asyncio.all_tasks()), len(timers)


def _rss() -> int:
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def _use(world: World, index: int) -> None:
    a, b = await world.pair()
    a.send((7, bytes(100_000)), (0, b"auth"))
    b.send((7, bytes(10_000)))
    await asyncio.gather(b.sink.until(lambda: len(b.sink.messages) == 2), a.sink.until(lambda: a.sink.messages))
    if index % 2:
        await asyncio.gather(a.transport.close(), b.transport.close())
    else:
        await a.transport.close()
        await b.sink.until(lambda: b.sink.closed)
        await b.transport.close()
    world.ends.clear()


@on_loops
async def test_sockets_tasks_timers_and_threads_are_freed(world: World) -> None:
    await _use(world, 0)
    before, threads = _traces(), threading.active_count()
    for index in range(4):
        await _use(world, index)
    assert _traces() == before
    assert threading.active_count() == threads


@pytest.mark.slow
@on_loops
async def test_three_hundred_connections_leave_no_memory(world: World) -> None:
    await _use(world, 0)
    before = _traces()
    for index in range(100):
        await _use(world, index)
    middle = _rss()
    for index in range(200):
        await _use(world, index)
    assert _traces() == before
    assert _rss() - middle < 2 << 20


def test_every_address_of_the_peer_has_a_say_after_a_pair_was_nominated() -> None:
    """The two sides may nominate different pairs: then DTLS comes from another address than ours goes to."""

    async def check(world: World) -> None:
        a, _ = await world.pair()
        assert isinstance(a.transport, AiortcTransport)
        agent = a.transport._ice
        assert agent is not None
        nominated = agent._remote_candidates[0]
        other = copy.copy(nominated)
        other.port ^= 1
        agent._remote_candidates.append(other)
        assert agent.knows((other.host, other.port))
        assert agent.knows((nominated.host, nominated.port))
        assert not agent.knows(("203.0.113.1", 9))

    run("aiortc", "asyncio", check)
