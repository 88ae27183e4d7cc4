"""How long a dial takes through NATs: two processes in network namespaces, coturn beside them, links without delay."""

from __future__ import annotations

import pytest
from tests.nat.cells import Cell
from tests.nat.lab import median_to_ready
from tests.nat.net import missing

from benches.conftest import Report


@pytest.mark.parametrize(
    ("figure", "cell"),
    [
        ("nat_dial_to_ready_direct_ms", Cell("port", "port", "stun")),
        ("nat_dial_to_ready_relayed_ms", Cell("symmetric", "symmetric", "stun+turn")),
    ],
)
def test_dial_to_ready_behind_nats(figure: str, cell: Cell, smoke: bool, report: Report) -> None:
    if reason := missing():
        pytest.skip(reason)
    report(figure, median_to_ready(cell, 1 if smoke else 10))
