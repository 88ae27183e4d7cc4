"""Delay, loss, reordering and links that drop: what was sent arrives, and what is gone is noticed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.nat import emulator
from tests.nat.net import Space, laboratory
from tests.nat.servers import ROOT, environment, stop

pytestmark = [pytest.mark.nat, pytest.mark.timeout(300)]

MIB = 1 << 20


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
    """Two connected nodes with a bad network between them."""

    def __init__(self, network: Talk, client: Talk) -> None:
        self.network = network
        self.client = client

    def switch(self, word: str) -> None:
        self.network.tell(word)
        assert self.network.hear() == word

    def ask(self, word: str) -> dict[str, Any]:
        self.client.tell(word)
        return json.loads(self.client.hear())


@pytest.fixture
def connect(tmp_path: Path) -> Iterator[Callable[..., Pair]]:
    """`connect(size, *emulator arguments)`: answers have `size` bytes."""
    with ExitStack() as stack:

        def talk(module: str, *words: str, space: Space | None = None) -> Talk:
            command = (sys.executable, "-m", f"tests.nat.{module}", *words)
            options: dict[str, Any] = {"stdin": -1, "stdout": -1, "stderr": -1, "cwd": ROOT, "env": environment()}
            if space is not None:
                process = space.spawn(*command, **options)
            else:
                process = subprocess.Popen(command, text=True, start_new_session=True, **options)
            stack.callback(stop, process)
            return Talk(process)

        def run(size: int, *words: str) -> Pair:
            net = stack.enter_context(laboratory(tmp_path))
            a, b = net.space("A"), net.space("B")
            net.signaling(a, b)
            network = talk("emulator", a.name, b.name, *words)
            assert network.hear() == "ready"
            server = talk("worker", "serve", "192.168.77.2:3000", emulator.DEVICE, str(size), space=b)
            address = json.loads(server.hear())["address"]
            client = talk("worker", "fetch", address, emulator.DEVICE, str(size), space=a)
            assert json.loads(client.hear())["ready"]
            return Pair(network, client)

        yield run


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("clean", ()),
        ("loss_1", ("--loss", "1")),
        ("loss_5", ("--loss", "5")),
        ("reorder_5", ("--reorder", "5")),
    ],
)
def test_16_mib_over_20_ms_arrive_intact(
    connect: Callable[..., Pair], record_property: Callable[[str, object], None], name: str, words: tuple[str, ...]
) -> None:
    told = connect(16 * MIB, "--delay", "10", *words).ask("fetch")
    assert told["intact"]
    record_property(f"goodput_{name}_mb_per_s", round(told["mb_per_s"], 3))
    print(f"{name}: {told['mb_per_s']:.2f} MB/s")


def test_a_link_that_drops_for_5_s_comes_back(connect: Callable[..., Pair]) -> None:
    pair = connect(MIB, "--delay", "10")
    pair.switch("down")
    pair.client.tell("fetch")
    with pytest.raises(subprocess.TimeoutExpired):
        pair.client.process.wait(5)  # the five seconds; the client does not give up meanwhile
    pair.switch("up")
    told = json.loads(pair.client.hear())
    assert told["intact"]
    assert 5 <= told["seconds"] < 15


def test_a_peer_that_vanishes_is_noticed_within_15_s(connect: Callable[..., Pair]) -> None:
    pair = connect(MIB)
    pair.switch("down")
    assert pair.ask("lost")["seconds"] < 15
