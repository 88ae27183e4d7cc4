"""How long a dial takes through NATs (no delay on the links, coturn beside them), and how much gets through bad
networks (20 ms round trip, one answer of 16 MiB): two processes in network namespaces."""

from __future__ import annotations

import pytest
from tests.nat.cells import Cell
from tests.nat.lab import median_to_ready
from tests.nat.net import missing
from tests.nat.pairs import MIB, NETWORKS, goodput

from benches.conftest import Report


@pytest.fixture(autouse=True)
def _laboratory() -> None:
    if reason := missing():
        pytest.skip(reason)


@pytest.mark.parametrize(
    ("figure", "cell"),
    [
        ("nat_dial_to_ready_direct_ms", Cell("port", "port", "stun")),
        ("nat_dial_to_ready_relayed_ms", Cell("symmetric", "symmetric", "stun+turn")),
    ],
)
def test_dial_to_ready_behind_nats(figure: str, cell: Cell, smoke: bool, report: Report) -> None:
    report(figure, median_to_ready(cell, 1 if smoke else 10))


@pytest.mark.parametrize("name", NETWORKS)
def test_goodput_over_20_ms(name: str, smoke: bool, report: Report) -> None:
    report(f"wan_goodput_{name}_mb_per_s", goodput(name, MIB if smoke else 16 * MIB))
