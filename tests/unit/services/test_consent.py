"""Consent (RFC 7675) over paths of any length, in virtual time."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from aioice import stun
from tests.unit.services.virtual import Agent, Network, join, run_virtually

from mina_webrtc.services.consent import MAX_OUTSTANDING, Consent
from mina_webrtc.services.endpoints import Address

ROUND_TRIPS = [0.02, 0.2, 0.8, 1.0, 2.5, 6.0]


@pytest.mark.parametrize("round_trip", ROUND_TRIPS)
def test_a_path_of_any_length_lives_and_is_measured(monkeypatch: pytest.MonkeyPatch, round_trip: float) -> None:
    async def test() -> None:
        network = Network()
        network.delay = lambda *_: round_trip / 2
        a, b = Agent(network, "192.0.2.1", controlling=True), Agent(network, "192.0.2.2")
        await join(a, b)
        await asyncio.sleep(round_trip + 0.1)  # the first check is not a matter of seconds
        for agent in (a, b):
            path = agent.ice.path()
            assert path is not None
            assert path.round_trip == pytest.approx(round_trip, abs=0.001)
        for _ in range(600):
            await asyncio.sleep(0.1)
            assert len(a.ice._protocols[0].transactions) <= MAX_OUTSTANDING / 0.8
        a.ice.transmit(b"\x80data")
        await asyncio.sleep(round_trip)
        assert (a.lost, b.lost, b.data) == ([], [], [b"\x80data"])
        for agent in (a, b):
            await agent.ice.close()

    run_virtually(monkeypatch, test)


def test_behind_a_queue_that_fills_late_answers_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """The way there takes longer and longer, up to nine seconds: answers come after later checks."""

    async def test() -> None:
        loop, network = asyncio.get_running_loop(), Network()
        a, b = Agent(network, "192.0.2.1", controlling=True), Agent(network, "192.0.2.2")
        await join(a, b)
        begin = loop.time()
        network.delay = lambda data, source, target: (
            min(9.0, (loop.time() - begin) / 2) if source[0] == "192.0.2.1" else 0.01
        )
        await asyncio.sleep(120)
        assert (a.lost, b.lost) == ([], [])
        for agent in (a, b):
            await agent.ice.close()

    run_virtually(monkeypatch, test)


@pytest.mark.parametrize("after", [0.0, 30.0])
@pytest.mark.parametrize("round_trip", ROUND_TRIPS)
def test_a_peer_that_vanishes_is_noticed_in_time(
    monkeypatch: pytest.MonkeyPatch, round_trip: float, after: float
) -> None:
    async def test() -> None:
        network = Network()
        network.delay = lambda *_: round_trip / 2
        a, b = Agent(network, "192.0.2.1", controlling=True), Agent(network, "192.0.2.2")
        await join(a, b)
        await asyncio.sleep(after)
        network.delay = lambda *_: None
        await asyncio.sleep(7)
        assert (a.lost, b.lost) == ([], [])
        await asyncio.sleep(6 + round_trip)
        assert b.lost
        assert a.lost[0].startswith("no sign of it for 1")
        assert a.ice._protocols[0].transactions == {}
        for agent in (a, b):
            await agent.ice.close()

    run_virtually(monkeypatch, test)


def test_lost_checks_are_no_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven of eight are lost."""

    async def test() -> None:
        network, counts = Network(), Counter[Address]()
        a, b = Agent(network, "192.0.2.1", controlling=True), Agent(network, "192.0.2.2")
        await join(a, b)

        def lossy(data: bytes, source: Address, target: Address) -> float | None:
            if data[:2] == b"\x00\x01":
                counts[source] += 1
            return 0.01 if data[:2] != b"\x00\x01" or counts[source] % 8 == 0 else None

        network.delay = lossy
        await asyncio.sleep(120)
        assert (a.lost, b.lost) == ([], [])
        for agent in (a, b):
            await agent.ice.close()

    run_virtually(monkeypatch, test)


def test_silence_counts_from_the_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the first check waits, because the round trip is known already."""

    async def test() -> None:
        async def ask(pair: object) -> None:
            await asyncio.sleep(12.0)
            raise stun.TransactionTimeout

        pair: Any = object()
        begin = asyncio.get_running_loop().time()
        assert await Consent(lambda: pair, ask, 12.0).run(soon=False) is not None
        assert asyncio.get_running_loop().time() - begin < 13

    run_virtually(monkeypatch, test)
