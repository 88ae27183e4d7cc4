"""Nodes that stay up in their namespaces, and what they say while they do."""

from __future__ import annotations

import json
import queue
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tests.nat.net import Space
from tests.nat.servers import ROOT, asking, environment, program, stop


class Life:
    """A process whose lines of JSON are kept as they come. `address` is where it can be dialled, "" if nowhere."""

    def __init__(self, process: Any) -> None:
        self.process = process
        self._lines: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.first = self.next(30)
        self.peer_id = str(self.first["peer_id"])
        self.address = next(iter(self.first.get("addresses", ())), "")

    def _read(self) -> None:
        for text in self.process.stdout:
            self._lines.put(json.loads(text))
        self._lines.put(None)

    def next(self, timeout: float) -> dict[str, Any]:
        """The next line. Fails when there is none in time."""
        try:
            told = self._lines.get(timeout=timeout)
        except queue.Empty:
            raise AssertionError(f"nothing was said for {timeout:.1f} s") from None
        assert told is not None, self.process.stderr.read()
        return told

    def until(self, event: str, peer: str, timeout: float = 30) -> dict[str, Any]:
        """The next `event` about this peer; other lines are passed over."""
        end = time.monotonic() + timeout
        while True:
            told = self.next(end - time.monotonic())
            if (told.get("event"), told.get("peer_id")) == (event, peer):
                return told

    def dial(self, address: str) -> dict[str, Any]:
        """For a `member`: what came of dialling this address."""
        print(address, file=self.process.stdin, flush=True)
        return self.next(30)

    def close(self) -> None:
        stop(self.process)
        self._reader.join(5)


@contextmanager
def living(space: Space, *words: str, interface: str = "eth0") -> Iterator[Life]:
    """`mina-webrtc node` in a namespace."""
    life = Life(program(space, "node", "--json", "--interface", interface, *words))
    try:
        yield life
    finally:
        life.close()


@contextmanager
def behind(space: Space, seed: str, servers: Sequence[str], ca: object) -> Iterator[Life]:
    """A node that nobody can dial, and that knows one other."""
    with living(space, "--no-listen", "--seed", seed, *asking(servers), "--ca-file", str(ca)) as life:
        yield life


@contextmanager
def member(space: Space, servers: Sequence[str]) -> Iterator[Life]:
    """A node that nobody can dial, and that dials what it is told."""
    command = (sys.executable, "-m", "tests.nat.member", *servers)
    life = Life(space.spawn(*command, stdin=-1, stdout=-1, stderr=-1, env=environment(), cwd=ROOT))
    try:
        yield life
    finally:
        life.close()
