"""Delay, loss, reordering and links that drop: what was sent arrives, and what is gone is noticed."""

from __future__ import annotations

import json
import subprocess

import pytest
from tests.nat import emulator
from tests.nat.pairs import MIB, NETWORKS, connected, goodput

pytestmark = [pytest.mark.nat, pytest.mark.timeout(300)]


@pytest.mark.parametrize("name", NETWORKS)
def test_16_mib_over_20_ms_arrive_intact(name: str) -> None:
    print(f"{name}: {goodput(name, 16 * MIB):.2f} MB/s")


def test_a_link_that_drops_for_5_s_comes_back() -> None:
    with connected(MIB, "--delay", "10") as pair:
        pair.switch("down")
        pair.client.tell("fetch")
        with pytest.raises(subprocess.TimeoutExpired):
            pair.client.process.wait(5)  # the five seconds; the client does not give up meanwhile
        pair.switch("up")
        told = json.loads(pair.client.hear())
    assert told["intact"]
    assert 5 <= told["seconds"] < 15


def test_a_peer_that_vanishes_is_noticed_within_15_s() -> None:
    with connected(MIB) as pair:
        pair.switch("down")
        assert pair.ask("lost")["seconds"] < 15


def test_an_address_that_changes_is_noticed_within_15_s() -> None:
    with connected(MIB) as pair:
        pair.space.ip("addr", "flush", "dev", emulator.DEVICE)
        pair.space.ip("addr", "add", "10.99.0.3", "peer", emulator.ADDRESSES[1], "dev", emulator.DEVICE)
        assert pair.ask("lost")["seconds"] < 15
