"""A worker of the demonstration as its parent sees it: settings and orders go in, events and replies come out."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from mina_webrtc.errors import MinaWebrtcError

if TYPE_CHECKING:
    from asyncio.subprocess import Process

WORKER = "mina_webrtc.cli.demo_worker"
BLOCK_SIZE = 1024 * 1024
"""Bytes of the block that each worker has."""

Told = Callable[["Child", dict[str, Any]], None]


class DemoError(MinaWebrtcError):
    """A part of the demonstration failed; the message says which."""


class Child:
    """A worker process. `told` is called with each of its events, at last with `ended`."""

    def __init__(self, name: str, process: Process, told: Told) -> None:
        self.name = name
        self.process = process
        self.hello: dict[str, Any] = {}
        self._told = told
        self._orders = 0
        self._ended = False
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, name: str, told: Told, *arguments: str, module: str = WORKER) -> Self:
        """Starts the process. It does nothing before `begin`."""
        command = (sys.executable, "-P", "-m", module, *arguments)
        process = await asyncio.create_subprocess_exec(*command, env=_environment(), stdin=PIPE, stdout=PIPE)
        return cls(name, process, told)

    async def begin(self, **settings: Any) -> None:
        """Gives the settings and returns when the node runs; `hello` says where."""
        self.hello = await self._ask(settings)

    async def order(self, do: str, **words: Any) -> dict[str, Any]:
        """Gives an order and returns its reply; raises `DemoError` when it could not be carried out."""
        self._orders += 1
        return await self._ask({"id": self._orders, "do": do, **words})

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

    async def _ask(self, words: dict[str, Any]) -> dict[str, Any]:
        if self._ended:
            raise self._gone()
        future = self._waiting[self._orders] = asyncio.get_running_loop().create_future()
        assert self.process.stdin is not None  # noqa: S101
        self.process.stdin.write(json.dumps(words).encode() + b"\n")
        reply: dict[str, Any] = await future
        if not reply["ok"]:
            raise DemoError(f"{self.name}: {reply['error']}")
        return reply

    async def _read(self) -> None:
        assert self.process.stdout is not None  # noqa: S101
        while line := await self.process.stdout.readline():
            message = json.loads(line)
            if message["event"] != "reply":
                self._told(self, message)
            elif not (future := self._waiting.pop(message["id"])).done():
                future.set_result(message)
        self._ended = True
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(self._gone())
        self._told(self, {"event": "ended"})

    def _gone(self) -> DemoError:
        return DemoError(f"{self.name}: its process ended")


def _environment() -> dict[str, str]:
    """The child runs this very package, whatever lies in the working directory."""
    here = str(Path(__file__).parents[2])
    others = os.environ.get("PYTHONPATH")
    return os.environ | {"PYTHONPATH": os.pathsep.join([here, others] if others else [here])}
