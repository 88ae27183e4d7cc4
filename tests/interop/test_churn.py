"""Twenty real processes, of which one is killed and one started every two seconds: the graph stays connected, and those
that live through it hold in the end what they held in the beginning."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from typing import Any

import pytest
from tests.interop.swarm import Swarm, children, component

__all__ = ["children"]  # a fixture that is used by being here

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SIZE = 20
TURNS = 90
PACE = 2.0
GROWN_UP = 10.0
"""Seconds since a node has begun to run, after which it has to be connected with the others."""

SEEDS = ("seed0", "seed1", "seed2", "seed3")
"""All know their addresses. They are killed like others, but come back, with the same key and at the same port."""
WITNESSES = ("witness0", "witness1", "witness2")
"""They are never killed."""
CORE = {*SEEDS, *WITNESSES}

GROWTH = 4 * 2**20
"""Bytes. Measured: 0.6 MiB."""

SETTINGS: dict[str, Any] = {
    "min_peers": len(CORE) - 1,
    "timeouts": {"consent": 6.0, "reconnect": 2.0, "ask_peers": 5.0, "relay_rest": 2.0, "pair_memory": 30.0},
    "learnt_networks": ["127.0.0.0/8"],
}


class Churn(Swarm):
    """A swarm whose nodes come and go."""

    def __init__(self) -> None:
        super().__init__(**SETTINGS)
        self._chance = random.Random(5)
        self._addresses: dict[str, str] = {}
        self._indices: dict[str, int] = {}
        self._starting: dict[str, asyncio.Task[str | None]] = {}
        self._due = deque(["node0"])
        self._count = 1

    async def enter(self, name: str) -> None:
        """A node begins, in a process of its own; a seed is where it was before."""
        index = self._indices.setdefault(name, len(self._indices) + 1)
        address = self._addresses.get(name)
        seeds = [known for known in self._addresses.values() if known != address]
        port = address.split("/")[4] if address else "0"
        listen = [f"127.0.0.1:{port}"] if name in SEEDS else []
        if name not in self.nodes:
            await self.spawn(name)
        found = await self.begin(name, index, seeds=seeds, listen=listen)
        if found is not None:
            self._addresses[name] = found

    async def turn(self) -> None:
        """One begins, one is killed; in that one's place one will begin in the next turn."""
        await self.settle()
        name = self._due.popleft()
        self._starting[name] = asyncio.create_task(self.enter(name))
        victim = self._chance.choice(sorted(self.nodes.keys() - {*WITNESSES, *self._starting}))
        self.leave(victim)
        self._due.append(victim if victim in SEEDS else self.newcomer())

    async def settle(self) -> None:
        """Takes note of those that have begun; a failure to begin is raised."""
        for name in [name for name, task in self._starting.items() if task.done()]:
            await self._starting.pop(name)

    def leave(self, *names: str) -> None:
        self.kill(*names)
        for name in names:
            self.began.pop(name, None)

    def newcomer(self) -> str:
        self._count += 1
        return f"node{self._count}"

    async def finish(self) -> None:
        """Only the core is left, with all its seeds."""
        await asyncio.gather(*self._starting.values())
        self.leave(*(self.nodes.keys() - CORE))
        for name in CORE - self.nodes.keys():
            await self.enter(name)

    async def links(self) -> dict[str, set[str]]:
        """Who says of itself to be connected to whom, of those that have begun to run."""
        names = list(self.began)
        reports = await asyncio.gather(*(self.report(name) for name in names))
        return {name: report["peers"] for name, report in zip(names, reports, strict=True) if name in self.began}

    async def rest(self, within: float) -> dict[str, dict[str, Any]]:
        """What the witnesses hold when all of the core are connected, over one socket each, and at rest."""
        async with asyncio.timeout(within):
            while True:
                reports = {name: await self.report(name, held=True) for name in WITNESSES}
                if all(self.rests(name, **report) for name, report in reports.items()):
                    return reports
                await asyncio.sleep(0.5)

    def rests(self, name: str, *, peers: set[str], attempts: int, sockets: int, **_: Any) -> bool:
        return peers == CORE - {name} and not attempts and sockets == len(peers)


async def test_twenty_processes_of_which_one_dies_and_one_begins_every_two_seconds() -> None:
    async with Churn() as swarm:
        newcomers = [swarm.newcomer() for _ in range(SIZE - len(CORE))]
        await swarm.spawn(*sorted(CORE))
        for name in sorted(CORE):
            await swarm.enter(name)
        before = await swarm.rest(within=120)
        await swarm.spawn(*newcomers)
        await asyncio.gather(*(swarm.enter(name) for name in newcomers))

        began = time.monotonic()
        for turn in range(1, TURNS + 1):
            await swarm.turn()
            await asyncio.sleep(began + turn * PACE - time.monotonic())
            links = await swarm.links()
            grown = {name for name, since in swarm.began.items() if time.monotonic() - since > GROWN_UP}
            apart = grown & links.keys() - component(links, WITNESSES[0])
            assert not apart, f"turn {turn}: {sorted(apart)} are not connected with the others: {links}"

        await swarm.finish()
        after = await swarm.rest(within=120)
        for name in WITNESSES:
            then, now = before[name], after[name]
            assert (now["fds"], now["tasks"]) == (then["fds"], then["tasks"])
            assert now["timers"] <= 2 * len(CORE)
            assert now["rss"] - then["rss"] < GROWTH, f"{(now['rss'] - then['rss']) / 2**20:.1f} MiB more"
        assert await swarm.stop() == {0}
