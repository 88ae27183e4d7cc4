"""How long it takes until four processes, of which three know only the first, are all connected to all."""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import Any

import pytest

from benches.conftest import Report
from mina_webrtc import SecretKey
from mina_webrtc.cli.demo_process import Child

NODES = 4


class Mesh:
    """Counts who says of whom that it is ready."""

    def __init__(self) -> None:
        self._links: set[tuple[str, str]] = set()
        self._complete = asyncio.Event()

    def told(self, node: Child, event: dict[str, Any]) -> None:
        """An event of one of the processes."""
        if event["event"] == "ready":
            self._links.add((node.name, event["peer"]))
        if len(self._links) == NODES * (NODES - 1):
            self._complete.set()

    async def run(self) -> tuple[float, float]:
        """Seconds from the start of the first process, and from when all nodes ran."""
        began = time.perf_counter()
        nodes = [await Child.start(str(number), self.told) for number in range(NODES)]
        try:
            first, *others = nodes
            await first.begin(**_settings(), listen=["127.0.0.1:0"])
            await asyncio.gather(*(node.begin(**_settings(), seeds=[first.hello["address"]]) for node in others))
            running = time.perf_counter()
            await self._complete.wait()
            return time.perf_counter() - began, time.perf_counter() - running
        finally:
            await asyncio.gather(*(node.stop(5.0) for node in nodes))


def _settings() -> dict[str, Any]:
    return {"secret": SecretKey.random().expose_base58check(), "min_peers": NODES - 1}


def test_mesh_of_four(smoke: bool, report: Report, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path))
    rounds = [asyncio.run(Mesh().run()) for _ in range(2 if smoke else 8)]
    # the first one compiled what the others found
    report("mesh_of_four_s", statistics.median(total for total, _ in rounds[1:]))
    report("mesh_of_four_network_s", statistics.median(network for _, network in rounds[1:]))
