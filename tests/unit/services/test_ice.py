"""The ICE agent: what the peer's checks set off."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
from aioice import Candidate, stun
from aioice.candidate import candidate_priority
from tests.parity.transport_harness import World, run
from tests.unit.services.virtual import Agent, Network, join, run_virtually

from mina_webrtc.errors import TransportError
from mina_webrtc.services import endpoints
from mina_webrtc.services.endpoints import Endpoint
from mina_webrtc.services.ice import MAX_CANDIDATES, MAX_EARLY_DATAGRAMS


class Firewall:
    """Around one node: loses its checks until one of the peer's has come, as a NAT on the other side does that lets
    nobody in to whom nothing was sent."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.node: Any = None
        self.opened = False
        self.lost = asyncio.Event()
        send, receive = Endpoint.send_stun, Endpoint.datagram_received

        def send_stun(endpoint: Endpoint, message: stun.Message, addr: tuple[str, int]) -> None:
            request = message.message_class is stun.Class.REQUEST
            if request and endpoint.receiver is self.node._ice and not self.opened:
                self.lost.set()
            else:
                send(endpoint, message, addr)

        def datagram_received(endpoint: Endpoint, data: bytes, addr: Any) -> None:
            self.opened |= endpoint.receiver is self.node._ice and data[:2] == b"\x00\x01"
            receive(endpoint, data, addr)

        patch.setattr(Endpoint, "send_stun", send_stun)
        patch.setattr(Endpoint, "datagram_received", datagram_received)


def test_a_check_in_progress_is_repeated_when_the_peers_check_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 8445 §7.3.1.4. Nothing is repeated by the clock here before the test is over."""
    monkeypatch.setattr(endpoints, "RTO", 30.0)

    async def test(world: World) -> None:
        firewall = Firewall(monkeypatch)
        a, b = world.end(), world.end()
        firewall.node = b.transport
        answer = await b.transport.create_answer(await a.transport.create_offer())
        await firewall.lost.wait()
        begin = time.monotonic()
        await a.transport.set_answer(answer)
        await asyncio.gather(a.sink.opened(), b.sink.opened())
        assert time.monotonic() - begin < 5

    run("aiortc", "asyncio", test)


def test_many_addresses_leave_room_for_relays() -> None:
    """A dozen addresses on both sides: 14 sockets here and 25 candidates there are 350 pairs, of which 100 are used."""
    ours = [candidate("host", n) for n in range(12)] + [candidate("relay", 100 + n) for n in range(2)]
    theirs = [candidate("host", n) for n in range(12)] + [candidate("srflx", 50 + n) for n in range(12)]
    theirs.append(candidate("relay", 99))

    async def test(world: World) -> None:
        end = world.end(ice_timeout=0.05)
        await end.transport.create_offer()
        agent: Any = end.transport._ice  # type: ignore[attr-defined]
        own = list(agent._protocols)
        agent._protocols[:] = [SimpleNamespace(local_candidate=one, request=silence) for one in ours]
        agent.remote_username = agent.remote_password = "x" * 22
        agent.add_remote(theirs)
        with pytest.raises(TransportError):
            await agent.establish()
        agent._protocols[:] = own
        pairs = Counter((pair.local_candidate.type, pair.remote_candidate.type) for pair in agent._check_list)
        assert 80 < pairs.total() <= 100
        assert pairs["relay", "relay"] == 2
        assert pairs["relay", "srflx"] >= 2

    run("aiortc", "asyncio", test)


def test_what_comes_before_a_pair_works_is_kept_up_to_a_bound() -> None:
    """The peer's first check may have worked, and its DTLS be under way, before ours does."""

    async def test(world: World) -> None:
        end = world.end()
        await end.transport.create_offer()
        agent: Any = end.transport._ice  # type: ignore[attr-defined]
        for number in range(1000):
            agent.data_received(number.to_bytes(2), 1)
        assert agent._early == [number.to_bytes(2) for number in range(MAX_EARLY_DATAGRAMS)]

    run("aiortc", "asyncio", test)


def test_candidates_beyond_the_first_are_not_paired() -> None:
    async def test(world: World) -> None:
        end = world.end()
        await end.transport.create_offer()
        agent: Any = end.transport._ice  # type: ignore[attr-defined]
        agent.add_remote([candidate("host", n) for n in range(MAX_CANDIDATES + 5)])
        assert len(agent.remote_candidates) == MAX_CANDIDATES

    run("aiortc", "asyncio", test)


def test_an_early_check_without_a_priority_is_refused_and_does_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 8445 §7.1.1. One that was authenticated ended the task that connects, in silence."""

    async def test() -> None:
        network = Network()
        a, b = Agent(network, "192.0.2.1", controlling=True), Agent(network, "192.0.2.2")
        wire, answers = network.wires["192.0.2.2", 4000], []
        monkeypatch.setattr(b.ice._protocols[0], "datagram_received", lambda data, addr: answers.append(data))
        request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
        request.attributes["USERNAME"] = f"{a.ice.local_username}:{b.ice.local_username}"
        request.attributes["ICE-CONTROLLED"] = 1
        request.add_message_integrity(a.ice.local_password.encode())
        wire.sendto(bytes(request), ("192.0.2.1", 4000))
        await asyncio.sleep(1)
        assert [stun.parse_message(data).error_code for data in answers] == [400]
        monkeypatch.undo()
        await join(a, b)
        for agent in (a, b):
            await agent.ice.close()

    run_virtually(monkeypatch, test)


@pytest.mark.parametrize("text", ["2001:db8::a", "2001:DB8::A", "2001:db8:0:0:0:0:0:a", "2001:0db8::000A"])
def test_data_from_an_ipv6_candidate_is_taken_however_it_is_written(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    async def test() -> None:
        network = Network()
        a, b = Agent(network, "2001:db8::b", controlling=True), Agent(network, "2001:db8::a")
        a.meet(b, as_if_at=text)
        b.meet(a)
        await asyncio.gather(a.ice.establish(), b.ice.establish())
        a.ice.open()
        b.ice.transmit(b"\x80data")
        await asyncio.sleep(1)
        assert a.data == [b"\x80data"]
        path = a.ice.path()
        assert path is not None
        assert path.remote_address == "[2001:db8::a]:4000"
        for agent in (a, b):
            await agent.ice.close()

    run_virtually(monkeypatch, test)


def test_the_answering_side_waits_for_checks_when_its_own_have_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The peer is not where it said; its checks come later, from elsewhere."""
    monkeypatch.setattr(endpoints, "RTO", 0.01)

    async def test() -> None:
        network = Network()
        a, b = Agent(network, "192.0.2.1", controlling=True), Agent(network, "192.0.2.2")
        b.meet(a, as_if_at="192.0.2.3")
        connecting = asyncio.ensure_future(b.ice.establish())
        await asyncio.sleep(5)
        assert not connecting.done()
        assert b.ice._tried().endswith("checks that failed: 1 host-host")
        a.meet(b)
        await asyncio.gather(a.ice.establish(), connecting)
        for agent in (a, b):
            await agent.ice.close()

    run_virtually(monkeypatch, test)


def candidate(kind: str, last: int) -> Candidate:
    host = f"192.0.2.{last + 1}"
    return Candidate(kind + host, 1, "udp", candidate_priority(1, kind, 65_535 - last), host, 4000, kind)


async def silence(*words: Any, **more: Any) -> None:
    await asyncio.Event().wait()
