"""Runs cells of the matrix, several side by side."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from tests.nat.cells import Cell
from tests.nat.net import PUBLIC, SIX, laboratory
from tests.nat.servers import ICE_SERVERS, asking, coturn, dial, node

SIDE_BY_SIDE = max(2, (os.cpu_count() or 1) * 2)
"""Most of a cell is waiting: for processes, for repetitions, for what cannot be."""


class Outcome(NamedTuple):
    """`result` is `direct`, `relayed` or `impossible`; `detail` the pair that won, or what was tried."""

    result: str
    seconds: float
    detail: str


@contextmanager
def cell_of(cell: Cell) -> Iterator[Callable[[int], list[dict[str, Any]]]]:
    """A laboratory with the cell's NATs and a node behind the second; gives what dials it from behind the first, so
    many times, and says what `mina-webrtc dial` said."""
    relays = (SIX,) if cell.servers.startswith("ipv6") else (PUBLIC,)
    with (
        tempfile.TemporaryDirectory(prefix="natlab") as folder,
        laboratory(Path(folder)) as net,
        coturn(net, relays=relays) as ca,
    ):
        a, b = net.client("A", 1, cell.a), net.client("B", 2, cell.b)
        net.signaling(a, b)
        words = [*asking(ICE_SERVERS[cell.servers]), "--ca-file", str(ca)]
        with node(b, "--listen", "192.168.77.2:3000", *words) as address:
            yield lambda count: dial(a, address, *words, count=count)


def run_cell(cell: Cell) -> Outcome:
    with cell_of(cell) as dials:
        return read(dials(1)[0])


def median_to_ready(cell: Cell, count: int) -> float:
    """Milliseconds from the dial to ready, the median of so many on new connections and identities."""
    with cell_of(cell) as dials:
        said = dials(count)
    assert [read(one).result for one in said] == [cell.expected] * count
    return float(median(one["total_ms"] - one["first_reply_ms"] for one in said))


def read(said: dict[str, Any]) -> Outcome:
    """What one line of `dial` comes to."""
    if not said["ok"]:
        assert said["stage"] == "ice", said["error"]
        return Outcome("impossible", 0.0, str(said["error"]))
    path = said["path"]
    detail = f"{path['local']} to {path['remote']}"
    return Outcome("relayed" if path["relayed"] else "direct", said["total_ms"] / 1000, detail)


class Pool:
    """Cells that run behind the scenes; `outcome` waits for one."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(SIDE_BY_SIDE)
        self._running: dict[Cell, Future[Outcome]] = {}

    def begin(self, cells: list[Cell]) -> None:
        # what cannot be takes longest, and is only waiting
        for cell in sorted(cells, key=lambda cell: cell.expected != "impossible"):
            self._running[cell] = self._pool.submit(run_cell, cell)

    def outcome(self, cell: Cell) -> Outcome:
        running = self._running.get(cell)
        return running.result() if running is not None else run_cell(cell)

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)
