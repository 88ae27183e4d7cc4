"""A worker of the demonstration that also reports what its process holds: `{"id", "do": "report"}`."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import sys
from typing import Any

import psutil

from mina_webrtc.cli.demo_worker import Worker, main
from mina_webrtc.node import Node


class Reporter(Worker):
    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self.orders["report"] = self.report

    async def report(self, order: dict[str, Any]) -> dict[str, Any]:
        state = self.node.state()
        counts = {name: len(state[name]) for name in ("ready", "attempts")}
        return {"peers": [str(peer) for peer in self.node.peers], **counts, **(held(state) if order["held"] else {})}


def held(state: dict[str, Any]) -> dict[str, int]:
    """What must not grow; memory in bytes, after everything that can be given back was given back."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    process = psutil.Process()
    return {
        "fds": len(os.listdir("/proc/self/fd")),
        "sockets": len(process.net_connections("udp")),
        "tasks": len(asyncio.all_tasks()),
        "timers": state["timers"],
        "rss": process.memory_info().rss,
    }


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:4], kind=Reporter))
