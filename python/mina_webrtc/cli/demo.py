"""`mina-webrtc demo`: four nodes in four processes find each other, lose the one that brought them together, and get it
back."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from itertools import permutations
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from mina_webrtc.cli.demo_process import BLOCK_SIZE, Child, DemoError
from mina_webrtc.cli.options import Json, Level, LogJson, LogLevel, Loop, LoopName
from mina_webrtc.cli.shell import run, set_up_logging

if TYPE_CHECKING:
    from mina_webrtc.cli.demo_view import View
    from mina_webrtc.identity import SecretKey

T = TypeVar("T")
Pair = tuple[str, str]

FIRST, *OTHERS = NAMES = ("Alice", "Bob", "Carol", "Dave")
QUICK = {"consent": 5.0, "reconnect": 1.0, "ask_peers": 1.0, "relay_rest": 1.0}
"""Shorter than usual, so that nobody waits: above all the silence until a peer counts as gone (12 s), and from then to
the next dial (30 s)."""

PATIENCE = 10.0
"""Seconds for a process to end by itself."""

Timeout = Annotated[float, typer.Option("--timeout", "-t", min=1.0, max=60.0, help="Seconds until it gives up.")]


def demo(
    timeout: Timeout = 60.0,
    loop: LoopName = Loop.auto,
    json: Json = False,
    log_level: LogLevel = Level.warning,
    log_json: LogJson = False,
) -> None:
    """Let four nodes on this machine find each other and exchange blocks.

    Four processes are started. Three of the nodes know only the address of the first, and cannot be dialled; they find
    each other through it, by relay signaling. Every node fetches a block of 1 MiB from every other one and checks it by
    its hash. Then the first is killed, and the others go on without it; it comes back, and they find it again. The
    nodes have new identities and talk on the loopback interface only. Ends by itself; the exit code is 0 only if all of
    this was seen.

    \b
    Examples:
      mina-webrtc demo
      mina-webrtc demo --json
    """
    from mina_webrtc.cli.demo_view import make_view

    set_up_logging(log_level, log_json)
    arguments = (log_level.value, "json" if log_json else "text", loop.value)
    with make_view(NAMES, json) as view:
        try:
            run(lambda: _demonstrate(Play(view, arguments), view, timeout), loop)
        except DemoError as error:
            view.failed(str(error))
            raise typer.Exit(1) from None


async def _demonstrate(play: Play, view: View, timeout: float) -> None:
    try:
        async with asyncio.timeout(timeout):
            await play.run()
    except TimeoutError:
        play.abort()
        raise DemoError(f"it was not over after {timeout:g} s; waiting for {play.missing()}") from None
    except BaseException:
        play.abort()
        raise
    finally:
        codes = await play.stop()
    for name, code in codes.items():
        if code != 0:
            raise DemoError(f"{name}: its process ended with exit code {code}")
    view.done()


class Play:
    """The nodes, and who of them is connected to whom."""

    def __init__(self, view: View, arguments: tuple[str, ...]) -> None:
        from mina_webrtc.identity import SecretKey

        self._view = view
        self._arguments = arguments
        self._keys: dict[str, SecretKey] = {name: SecretKey.random() for name in NAMES}
        self._names = {str(key.peer_id): name for name, key in self._keys.items()}
        self._nodes: dict[str, Child] = {}
        self._killed: list[Child] = []
        self._links: set[Pair] = set()
        self._wanted: set[Pair] = set()
        self._changed = asyncio.Event()
        self._lost: str | None = None
        self._over = False

    async def run(self) -> None:
        """From beginning to end; raises `DemoError` when something does not happen as it should."""
        await _all(self._spawn(name) for name in NAMES)
        await self._begin(FIRST, listen=["127.0.0.1:0"])
        await _all(self._begin(name, seeds=[self._address]) for name in OTHERS)
        self._view.step(f"the nodes run: {len(OTHERS)} know only the address of {FIRST}, and have none themselves")
        await self._until(permutations(NAMES, 2), "all are connected to all")
        await self._exchange(permutations(NAMES, 2))
        port = self._address.split("/")[4]
        self._kill(FIRST)
        await self._exchange(permutations(OTHERS, 2))
        await self._until(permutations(OTHERS, 2), f"the others are connected as before, and miss {FIRST}")
        await self._spawn(FIRST)
        await self._begin(FIRST, listen=[f"127.0.0.1:{port}"])
        await self._until(permutations(NAMES, 2), f"{FIRST} was found again")
        await self._exchange(pair for pair in permutations(NAMES, 2) if FIRST in pair)
        self._over = True

    async def stop(self) -> dict[str, int]:
        """Ends every process and returns the exit codes of those that were not killed on purpose."""
        codes = await asyncio.gather(*(node.stop(PATIENCE) for node in (*self._nodes.values(), *self._killed)))
        return dict(zip(self._nodes, codes, strict=False))

    def abort(self) -> None:
        """Ends every process at once."""
        for node in self._nodes.values():
            node.kill()

    def missing(self) -> str:
        """What is waited for, in words."""
        pairs = sorted(self._wanted ^ self._links)
        return ", ".join(f"{one} - {other}" for one, other in pairs[:4]) or "no connection is missing"

    # ------------------------------------------------------------ scenes

    @property
    def _address(self) -> str:
        return str(self._nodes[FIRST].hello["address"])

    async def _spawn(self, name: str) -> None:
        self._nodes[name] = await Child.start(name, self._told, *self._arguments)

    async def _begin(self, name: str, **settings: Any) -> None:
        node = self._nodes[name]
        secret = self._keys[name].expose_base58check()
        await node.begin(secret=secret, min_peers=len(NAMES) - 1, timeouts=QUICK, **settings)
        self._view.started(name, node.hello)

    async def _until(self, pairs: Iterable[Pair], words: str) -> None:
        self._wanted, began = set(pairs), self._view.seconds
        while self._lost is None and self._links != self._wanted:
            self._changed.clear()
            await self._changed.wait()
        if self._lost is not None:
            raise DemoError(self._lost)
        self._view.step(f"{words}, after {self._view.seconds - began:.1f} s")

    def _kill(self, name: str) -> None:
        node = self._nodes.pop(name)
        node.kill()
        self._killed.append(node)
        self._links = {pair for pair in self._links if pair[0] != name}
        self._view.killed(name)

    async def _exchange(self, pairs: Iterable[Pair]) -> None:
        ways = list(pairs)
        self._view.fetching(len(ways))
        times = await _all(self._fetch(*way) for way in ways)
        quickest, slowest = min(times), max(times)
        amount = f"{len(ways)} blocks of 1 MiB, one each way"
        self._view.step(f"{amount}, in {quickest:.0f}-{slowest:.0f} ms, every hash correct")

    async def _fetch(self, asker: str, giver: str) -> float:
        hello = self._nodes[giver].hello
        reply = await self._nodes[asker].order("fetch", peer=hello["peer"], block=hello["block"])
        if reply["bytes"] != BLOCK_SIZE:
            raise DemoError(f"{asker}: the block of {giver} has {reply['bytes']} bytes, not {BLOCK_SIZE}")
        self._view.fetched(asker, giver, reply["bytes"], reply["ms"])
        return float(reply["ms"])

    # ------------------------------------------------------------ events

    def _told(self, node: Child, event: dict[str, Any]) -> None:
        if self._over or self._nodes.get(node.name) is not node:
            return  # its last words, after it was killed, or after all was seen
        peer = self._names.get(event.get("peer", ""), "")
        match event["event"]:
            case "ended":
                self._lost = f"{node.name}: its process ended"
            case "ready":
                self._links.add((node.name, peer))
                named = {word: self._names[event[word]] for word in ("relay", "teller") if word in event}
                self._view.ready(node.name, peer, event | named)
            case "closed":
                self._links.discard((node.name, peer))
                self._view.closed(node.name, peer, event["reason"])
                if peer in self._nodes:
                    self._lost = f"{node.name} lost {peer}: {event['reason']}"
            case "progress":
                self._view.received(node.name, peer, event["bytes"])
        self._changed.set()


async def _all(jobs: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Runs the jobs side by side; the first failure ends them all and is raised as it is."""
    tasks = [asyncio.ensure_future(job) for job in jobs]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
