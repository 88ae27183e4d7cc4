"""`mina-webrtc demo`: three nodes in three processes connect and fetch a block from each other."""

from __future__ import annotations

import asyncio
import json as jsonlib
import os
import sys
import time
from contextlib import suppress
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer

from mina_webrtc.cli.options import Json, Level, LogJson, LogLevel, Loop, LoopName
from mina_webrtc.cli.shell import run, set_up_logging
from mina_webrtc.errors import MinaWebrtcError

if TYPE_CHECKING:
    from asyncio.subprocess import Process

    from mina_webrtc.cli.demo_view import View

NAMES = ("Alice", "Bob", "Carol")
BLOCK_SIZE = 1024 * 1024
_ENDED = {"ok": False, "error": "its process ended"}

Timeout = Annotated[float, typer.Option("--timeout", "-t", min=1.0, max=60.0, help="Seconds until it gives up.")]


def demo(
    timeout: Timeout = 50.0,
    loop: LoopName = Loop.auto,
    json: Json = False,
    log_level: LogLevel = Level.warning,
    log_json: LogJson = False,
) -> None:
    """Connect three nodes on this machine and let them exchange blocks.

    Three processes are started, each with a node that connects to the others. Every node asks every other for a block
    of 1 MiB, over WebRTC data channels, and checks the answer by its hash. The nodes have new identities and talk on
    the loopback interface only. Ends by itself; the exit code is 0 only if everything worked.

    \b
    Examples:
      mina-webrtc demo
      mina-webrtc demo --json
    """
    from mina_webrtc.cli.demo_view import make_view

    set_up_logging(log_level, log_json)
    arguments = (log_level.value, "json" if log_json else "text", loop.value)
    view = make_view(NAMES, BLOCK_SIZE, json)
    with view:
        try:
            run(lambda: _demonstrate(view, arguments, timeout), loop)
        except DemoError as error:
            view.failed(str(error))
            raise typer.Exit(1) from None


class DemoError(MinaWebrtcError):
    """A part of the demonstration failed; the message says which."""


class Child:
    """A worker process, its orders and its replies."""

    def __init__(self, name: str, process: Process) -> None:
        self.name = name
        self.process = process
        self.hello: dict[str, Any] = {}
        self._ended = False
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {0: asyncio.get_running_loop().create_future()}
        self._progress: dict[int, Any] = {}
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, name: str, arguments: tuple[str, ...]) -> Self:
        """Starts the process and waits until its node listens."""
        pipe = asyncio.subprocess.PIPE
        module = "mina_webrtc.cli.demo_worker"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", module, *arguments), env=_environment(), stdin=pipe, stdout=pipe
        )
        return cls(name, process)

    async def started(self) -> None:
        """Returns when the node listens; `hello` says where."""
        self.hello = await self._reply(0)

    async def order(self, number: int, progress: Any = None, **words: Any) -> dict[str, Any]:
        """Gives an order and returns its reply; raises `DemoError` when it could not be carried out."""
        assert self.process.stdin is not None  # noqa: S101
        self._progress[number] = progress
        self.process.stdin.write(jsonlib.dumps({"id": number, **words}).encode() + b"\n")
        return await self._reply(number)

    async def stop(self, patience: float) -> int:
        """Ends the process: asks first, kills it `patience` seconds later. Returns its exit code."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        try:
            async with asyncio.timeout(patience):
                await self.process.wait()
        except TimeoutError:
            self.kill()
            await self.process.wait()
        self._reading.cancel()
        with suppress(asyncio.CancelledError):
            await self._reading
        assert self.process.returncode is not None  # noqa: S101
        return self.process.returncode

    def kill(self) -> None:
        """Ends the process at once."""
        with suppress(ProcessLookupError):
            self.process.kill()

    async def _reply(self, number: int) -> dict[str, Any]:
        future = self._waiting.setdefault(number, asyncio.get_running_loop().create_future())
        reply = _ENDED if self._ended else await future
        if not reply["ok"]:
            raise DemoError(f"{self.name}: {reply['error']}")
        return reply

    async def _read(self) -> None:
        assert self.process.stdout is not None  # noqa: S101
        while line := await self.process.stdout.readline():
            reply = jsonlib.loads(line)
            if "progress" in reply:
                if show := self._progress.get(reply["id"]):
                    show(reply["progress"])
            elif (future := self._waiting.get(reply["id"])) is not None and not future.done():
                future.set_result(reply)
        self._ended = True
        for future in self._waiting.values():
            if not future.done():
                future.set_result(_ENDED)


def _environment() -> dict[str, str]:
    """The child runs this very package, whatever lies in the working directory."""
    here = str(Path(__file__).parents[2])
    others = os.environ.get("PYTHONPATH")
    return os.environ | {"PYTHONPATH": os.pathsep.join([here, others] if others else [here])}


async def _demonstrate(view: View, arguments: tuple[str, ...], timeout: float) -> None:
    children: list[Child] = []
    started = time.monotonic()
    try:
        async with asyncio.timeout(timeout):
            for name in NAMES:
                children.append(await Child.start(name, arguments))
            await _play(view, children)
    except TimeoutError:
        raise DemoError(f"it was not over after {timeout:g} s") from None
    except BaseException:
        for child in children:
            child.kill()
        raise
    finally:
        codes = await asyncio.gather(*(child.stop(patience=3.0) for child in children))
    for name, code in zip(NAMES, codes, strict=True):
        if code != 0:
            raise DemoError(f"{name}: its process ended with exit code {code}")
    view.done(time.monotonic() - started)


async def _play(view: View, children: list[Child]) -> None:
    await _all(child.started() for child in children)
    for child in children:
        view.started(child.name, child.hello)
    links = list(combinations(children, 2))
    await _all(_dial(view, *link, number) for number, link in enumerate(links, 1))
    ways = [(asker, giver) for one, other in links for asker, giver in ((one, other), (other, one))]
    await _all(_fetch(view, *way, number) for number, way in enumerate(ways, len(links) + 1))


async def _all(jobs: Any) -> None:
    """Runs the jobs side by side; the first failure ends them all and is raised as it is."""
    tasks = [asyncio.ensure_future(job) for job in jobs]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _dial(view: View, one: Child, other: Child, number: int) -> None:
    reply = await one.order(number, do="dial", address=other.hello["address"])
    view.connected(one.name, other.name, reply["ms"])


async def _fetch(view: View, asker: Child, giver: Child, number: int) -> None:
    def show(received: int) -> None:
        view.received(asker.name, giver.name, received)

    reply = await asker.order(number, show, do="fetch", peer=giver.hello["peer"], block=giver.hello["block"])
    if reply["bytes"] != BLOCK_SIZE:
        raise DemoError(f"{asker.name}: the block of {giver.name} has {reply['bytes']} bytes, not {BLOCK_SIZE}")
    view.fetched(asker.name, giver.name, reply["bytes"], reply["ms"])
