"""Two connected nodes, as processes, with a bad network between them."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.nat import emulator
from tests.nat.net import Space, laboratory
from tests.nat.servers import ROOT, environment, stop

MIB = 1 << 20
NETWORKS: dict[str, tuple[str, ...]] = {
    "clean": (),
    "loss_1": ("--loss", "1"),
    "loss_5": ("--loss", "5"),
    "reorder_5": ("--reorder", "5"),
}
"""The emulator's arguments, beside 10 ms of delay each way."""


class Talk:
    """A process that is told things by lines and answers by lines."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def tell(self, word: str) -> None:
        assert self.process.stdin is not None
        print(word, file=self.process.stdin, flush=True)

    def hear(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        assert line, self.process.stderr.read() if self.process.stderr else "the process ended"
        return line


class Pair:
    """The client's process, its namespace, and the network's."""

    def __init__(self, network: Talk, client: Talk, space: Space) -> None:
        self.network = network
        self.client = client
        self.space = space

    def switch(self, word: str) -> None:
        self.network.tell(word)
        assert self.network.hear() == word

    def ask(self, word: str) -> dict[str, Any]:
        self.client.tell(word)
        told: dict[str, Any] = json.loads(self.client.hear())
        return told


@contextmanager
def connected(size: int, *words: str) -> Iterator[Pair]:
    """A pair whose answers have `size` bytes; `words` are the emulator's arguments."""
    with ExitStack() as stack:
        net = stack.enter_context(laboratory(Path(stack.enter_context(tempfile.TemporaryDirectory()))))
        a, b = net.space("A"), net.space("B")
        net.signaling(a, b)

        def talk(module: str, *words: str, space: Space | None = None) -> Talk:
            command = (sys.executable, "-m", f"tests.nat.{module}", *words)
            options: dict[str, Any] = {"stdin": -1, "stdout": -1, "stderr": -1, "cwd": ROOT, "env": environment()}
            if space is not None:
                process = space.spawn(*command, **options)
            else:
                process = subprocess.Popen(command, text=True, start_new_session=True, **options)
            stack.callback(stop, process)
            return Talk(process)

        network = talk("emulator", a.name, b.name, *words)
        assert network.hear() == "ready"
        server = talk("worker", "serve", "192.168.77.2:3000", emulator.DEVICE, str(size), space=b)
        address = json.loads(server.hear())["address"]
        client = talk("worker", "fetch", address, emulator.DEVICE, str(size), space=a)
        assert json.loads(client.hear())["ready"]
        yield Pair(network, client, a)


def goodput(name: str, size: int) -> float:
    """Megabytes a second of one answer of `size` bytes over 20 ms round trip; it must arrive intact."""
    with connected(size, "--delay", "10", *NETWORKS[name]) as pair:
        told = pair.ask("fetch")
    assert told["intact"]
    return float(told["mb_per_s"])
