"""Four real processes: they mesh through the one node that they know, lose it, and get it back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import permutations

import pytest
from tests.interop.swarm import Swarm, children

from mina_webrtc.cli.demo import QUICK

__all__ = ["children"]  # a fixture that is used by being here

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

FOUR = ("first", "second", "third", "fourth")


@pytest.fixture
async def swarm() -> AsyncIterator[Swarm]:
    async with Swarm(min_peers=3, timeouts=QUICK) as swarm:
        yield swarm


async def four(swarm: Swarm) -> str:
    """Four nodes of which three know only the first, and cannot be dialled; returns that one's address."""
    await swarm.spawn(*FOUR)
    address = await swarm.begin("first", 1, listen=["127.0.0.1:0"])
    assert address is not None
    began = [swarm.begin(name, index, seeds=[address]) for index, name in enumerate(FOUR[1:], 2)]
    assert await asyncio.gather(*began) == [None] * 3
    return address


@pytest.mark.parametrize("run", range(3))
async def test_four_processes_of_which_three_know_the_first_are_a_full_mesh_within_5_s(swarm: Swarm, run: int) -> None:
    await four(swarm)
    await swarm.until(permutations(FOUR, 2), within=5.0)
    first = swarm.nodes["first"].hello["peer"]
    for (one, other), found in swarm.found.items():
        if "first" not in (one, other):
            assert (found["found"], found["relay"]) == ("relay", first)
    assert {swarm.found[name, "first"]["found"] for name in FOUR[1:]} == {"configured"}
    await swarm.ask_all()
    assert await swarm.stop() == {0}


async def test_the_first_is_killed_and_comes_back(swarm: Swarm) -> None:
    address = await four(swarm)
    await swarm.until(permutations(FOUR, 2), within=5.0)
    port = address.split("/")[4]
    swarm.kill("first")
    await swarm.ask_all()
    await swarm.until(permutations(FOUR[1:], 2), within=15.0)
    await swarm.ask_all()
    assert await swarm.start("first", 1, listen=[f"127.0.0.1:{port}"]) == address
    await swarm.until(permutations(FOUR, 2), within=10.0)
    await swarm.ask_all()
    assert await swarm.stop() == {0}


async def test_the_first_comes_back_before_anybody_has_missed_it(swarm: Swarm) -> None:
    """Its peers hold connections that are dead, and find that out by themselves."""
    address = await four(swarm)
    await swarm.until(permutations(FOUR, 2), within=5.0)
    swarm.kill("first")
    await swarm.start("first", 1, listen=[f"127.0.0.1:{address.split('/')[4]}"])
    await swarm.until(permutations(FOUR, 2), within=20.0)
    await swarm.ask_all()
    assert await swarm.stop() == {0}
