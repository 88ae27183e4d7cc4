"""Sockets and allocations that lost are given back, those that the peer uses are not, in virtual time."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from aioice.ice import CandidatePair
from tests.parity.transport_harness import World, run
from tests.unit.services.test_turn import adapters, turn
from tests.unit.services.virtual import Agent, Network, join, run_virtually

from mina_webrtc.services import unused
from mina_webrtc.services.endpoints import Address, Endpoint
from mina_webrtc.services.ice import SETTLING
from mina_webrtc.services.unused import UNUSED

OURS = [f"192.0.2.{last}" for last in range(1, 5)]
THEIRS = [f"192.0.2.{last}" for last in range(11, 15)]


def open_(network: Network) -> list[str]:
    return [host for (host, _), wire in network.wires.items() if not wire.closing]


async def talk(a: Agent, b: Agent) -> None:
    a.ice.transmit(b"\x80there")
    b.ice.transmit(b"\x80back")
    await asyncio.sleep(1)
    assert (a.data, b.data, a.lost, b.lost) == ([b"\x80back"], [b"\x80there"], [], [])


def disagree(a: Agent, b: Agent) -> tuple[Address, Address]:
    """`b` goes on with another pair than `a`; the two addresses of `a` in them."""
    here = a.ice._nominated[1].local_addr
    candidate = next(c for c in b.ice.remote_candidates if (c.host, c.port) != here)
    other = b.ice._nominated[1] = CandidatePair(b.ice._protocols[0], candidate)
    return here, other.remote_addr


def test_what_lost_is_closed_and_the_rest_works(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        network = Network()
        a, b = Agent(network, *OURS, controlling=True), Agent(network, *THEIRS)
        await join(a, b)
        await asyncio.sleep(UNUSED / 2)
        assert len(open_(network)) == 8
        await asyncio.sleep(2 * UNUSED)
        assert len(open_(network)) == len(a.ice._protocols) + len(b.ice._protocols) < 8
        assert {pair.protocol for pair in a.ice._check_list} <= set(a.ice._protocols)
        await asyncio.sleep(120)  # with consent checks
        await talk(a, b)
        await a.ice.close()
        await b.ice.close()
        assert open_(network) == []

    run_virtually(monkeypatch, test)


def test_both_come_to_the_pair_of_the_controlling_side(monkeypatch: pytest.MonkeyPatch) -> None:
    """aioice nominates with every check, and the sides may begin with different pairs."""

    async def test() -> None:
        network = Network()
        a, b = Agent(network, *OURS, controlling=True), Agent(network, THEIRS[0])
        await join(a, b)
        await asyncio.sleep(SETTLING)
        here, _ = disagree(a, b)
        await asyncio.sleep(2 * UNUSED)
        assert b.ice._nominated[1].remote_addr == here
        assert sorted(open_(network)) == sorted([here[0], THEIRS[0]])
        await talk(a, b)
        await a.ice.close()
        await b.ice.close()

    run_virtually(monkeypatch, test)


def test_a_pair_that_only_the_peer_nominated_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain aioice says only once which pair it goes on with, and we may have another one by then."""

    async def test() -> None:
        network = Network()
        a, b = Agent(network, *OURS), Agent(network, THEIRS[0], controlling=True)
        ask = b.ice.build_request
        await join(a, b)
        monkeypatch.setattr(b.ice, "build_request", lambda pair, nominate: ask(pair, nominate=False))
        await asyncio.sleep(SETTLING)
        here, other = disagree(a, b)
        await asyncio.sleep(4 * UNUSED)
        assert sorted(open_(network)) == sorted([here[0], other[0], THEIRS[0]])
        await talk(a, b)
        await a.ice.close()
        await b.ice.close()

    run_virtually(monkeypatch, test)


def test_a_worse_pair_whose_nomination_was_on_its_way_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """A relay far away, say, whose check was sent before the direct pair had worked."""

    async def test() -> None:
        network = Network()
        network.delay = lambda data, *ends: 0.3 if (OURS[1], 4000) in ends else 0.01
        a, b = Agent(network, *OURS[:2], controlling=True), Agent(network, THEIRS[0])
        await join(a, b)
        await asyncio.sleep(1)
        assert [agent.ice._nominated[1].remote_addr[0] for agent in (a, b)] == [THEIRS[0], OURS[0]]
        assert any(pair.remote_addr[0] == OURS[1] and pair.nominated for pair in b.ice._check_list)
        await a.ice.close()
        await b.ice.close()

    run_virtually(monkeypatch, test)


def test_another_pair_that_the_peer_nominates_later_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may do so while it goes on to check it, as browsers do."""

    async def test() -> None:
        network = Network()
        a, b = Agent(network, *OURS[:2], controlling=True), Agent(network, THEIRS[0])
        await join(a, b)
        first = a.ice._nominated[1]
        spare = cast(Endpoint, next(e for e in a.ice._protocols if e is not first.protocol))
        other = CandidatePair(spare, first.remote_candidate)
        key = (a.ice.remote_password or "").encode()
        for _ in range(12):
            spare.heard = True
            await spare.ask(a.ice.build_request(other, nominate=False), other.remote_addr, key, 1)
            await asyncio.sleep(UNUSED / 3)
        assert b.ice._nominated[1].remote_addr == first.local_addr
        a.ice._nominated[1] = other
        await asyncio.sleep(UNUSED)
        assert b.ice._nominated[1].remote_addr == other.local_addr
        await talk(a, b)
        await a.ice.close()
        await b.ice.close()

    run_virtually(monkeypatch, test)


def test_closing_while_something_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        network = Network()
        a, b = Agent(network, *OURS, controlling=True), Agent(network, *THEIRS)
        await join(a, b)
        await asyncio.sleep(UNUSED - 0.001)
        for wire in network.wires.values():
            monkeypatch.setattr(wire, "close", lambda wire=wire: linger(wire))
        await asyncio.sleep(0.1)
        await a.ice.close()
        await b.ice.close()
        assert open_(network) == []

    def linger(wire: Any) -> None:
        wire.closing = True
        asyncio.get_running_loop().call_later(1, wire.endpoint.connection_lost, None)

    run_virtually(monkeypatch, test)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_allocations_are_given_back_and_data_goes_on(monkeypatch: pytest.MonkeyPatch, loop: str) -> None:
    adapters(monkeypatch, "127.0.0.1", "127.0.0.2")
    monkeypatch.setattr(unused, "UNUSED", 0.2)

    async def test(world: World) -> None:
        async with turn("4") as (server, url):
            a, b = world.end(ice_servers=(url,)), world.end(ice_servers=(url,))
            await world.connect(a, b)
            assert server.given == 2
            async with asyncio.timeout(10):
                await server.empty()
            agents: list[Any] = [end.transport._ice for end in (a, b)]  # type: ignore[attr-defined]
            async with asyncio.timeout(10):
                await asyncio.gather(*(agent._sweeping for agent in agents))
            assert [len(agent._protocols) for agent in agents] == [1, 1]
            a.admit()
            b.admit()
            a.send((4, b"still there"))
            await b.sink.until(lambda: b.sink.messages)

    run("aiortc", loop, test)
