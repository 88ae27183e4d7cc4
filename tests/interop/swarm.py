"""Nodes in processes of their own that are started, asked, and killed."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterable
from itertools import permutations
from pathlib import Path
from typing import Any, Self

import pytest

from mina_webrtc import SecretKey
from mina_webrtc.cli.demo_process import Child, DemoError

ROOT = Path(__file__).parents[2]
WORKER = "tests.interop.swarm_worker"
Link = tuple[str, str]


@pytest.fixture(autouse=True)
def children(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Processes find the tests, and keep their bytecode: twenty of them would compile the same modules."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path_factory.getbasetemp() / "bytecode"))


class Swarm:
    """The nodes that run, by name, and who says of whom that it is connected."""

    def __init__(self, **settings: Any) -> None:
        self.settings = settings
        self.nodes: dict[str, Child] = {}
        self.found: dict[Link, dict[str, Any]] = {}
        """The ends of connections that are there, with how each was found."""
        self.began: dict[str, float] = {}
        """When each node has told that it runs."""
        self._names: dict[str, str] = {}
        self._ended: list[Child] = []
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for node in self.nodes.values():
            node.kill()
        await asyncio.gather(*(node.stop(5.0) for node in (*self.nodes.values(), *self._ended)))

    async def spawn(self, *names: str) -> None:
        """Starts processes, whose nodes do not run yet."""
        for name in names:
            self.nodes[name] = await Child.start(name, self._told, module=WORKER)

    async def begin(self, name: str, index: int, **settings: Any) -> str | None:
        """Lets a node run, with the key of this index; returns its address, if it has one."""
        key = SecretKey.deterministic(index)
        self._names[str(key.peer_id)] = name
        node = self.nodes[name]
        await node.begin(secret=key.expose_base58check(), **(self.settings | settings))
        self.began[name] = time.monotonic()
        return node.hello["address"]

    async def start(self, name: str, index: int, **settings: Any) -> str | None:
        """Both at once."""
        await self.spawn(name)
        return await self.begin(name, index, **settings)

    def kill(self, *names: str) -> None:
        """SIGKILL, which leaves no time for anything."""
        for name in names:
            node = self.nodes.pop(name)
            node.kill()
            self._ended.append(node)
            self.found = {link: how for link, how in self.found.items() if link[0] != name}

    async def stop(self) -> set[int]:
        """Lets all end by themselves and returns their exit codes; one that reported a bug has another than 0."""
        nodes, self.nodes = list(self.nodes.values()), {}
        return set(await asyncio.gather(*(node.stop(10.0) for node in nodes)))

    async def until(self, links: Iterable[Link], within: float) -> float:
        """Waits until exactly these are connected, and returns the seconds that took."""
        wanted, began = set(links), time.monotonic()
        try:
            async with asyncio.timeout(within):
                while set(self.found) != wanted:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            wrong = sorted(wanted ^ set(self.found))
            raise AssertionError(f"after {within} s these are connected and should not be, or not: {wrong}") from None
        return time.monotonic() - began

    async def ask(self, asker: str, giver: str) -> None:
        """A request over the connection of the two, and its right answer."""
        hello = self.nodes[giver].hello
        for again in (True, True, False):
            try:
                await self.nodes[asker].order("fetch", peer=hello["peer"], block=hello["block"])
                return
            except DemoError as error:
                # Both may have connected at once, and the request was on the connection that gave way.
                if not (again and str(error).endswith(": closed")):
                    raise

    async def ask_all(self) -> None:
        """Everybody asks everybody."""
        await asyncio.gather(*(self.ask(*pair) for pair in permutations(self.nodes, 2)))

    async def report(self, name: str, held: bool = False) -> dict[str, Any]:
        """What a node says of itself; its peers by name, as far as they run. One that is killed meanwhile has none."""
        try:
            report = await self.nodes[name].order("report", held=held)
        except (DemoError, KeyError):
            return {"peers": set()}
        names = {self._names[peer] for peer in report["peers"] if peer in self._names}
        return report | {"peers": names & set(self.nodes)}

    def _told(self, node: Child, event: dict[str, Any]) -> None:
        if self.nodes.get(node.name) is not node or event["event"] not in ("ready", "closed"):
            return
        link = node.name, self._names[event["peer"]]
        if event["event"] == "ready":
            self.found[link] = event
        else:
            self.found.pop(link, None)
        self._changed.set()


def component(links: dict[str, set[str]], start: str) -> set[str]:
    """Who can be reached from a node over connections that both ends know."""
    seen, todo = {start}, [start]
    while todo:
        node = todo.pop()
        near = {peer for peer in links[node] if node in links.get(peer, ())} - seen
        seen |= near
        todo += near
    return seen
