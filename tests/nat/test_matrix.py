"""Two nodes as processes, each behind a NAT: what they come to is what RFC 4787 says, and fast."""

from __future__ import annotations

import pytest
from tests.nat.cells import ALL, Cell, chosen, expected
from tests.nat.lab import Pool, median_to_ready

TO_READY = 3.0
"""Seconds a dial may take on a machine that runs many of them; the medians are measured elsewhere."""


@pytest.mark.nat
@pytest.mark.timeout(600)
@pytest.mark.parametrize("cell", chosen(), ids=lambda cell: cell.name)
def test_cell(pool: Pool, cell: Cell) -> None:
    outcome = pool.outcome(cell)
    assert outcome.result == cell.expected, outcome.detail
    if outcome.result == "impossible":
        # a failure says what was tried
        assert "our candidates: 1 host" in outcome.detail or "relay" in outcome.detail
        assert "theirs: " in outcome.detail
    else:
        assert outcome.seconds < TO_READY


@pytest.mark.nat
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("pair", "limit"), [(Cell("port", "port", "stun"), 1000), (Cell("symmetric", "symmetric", "stun+turn"), 1500)]
)
def test_a_dial_is_ready_soon(pair: Cell, limit: float) -> None:
    assert median_to_ready(pair, 10) <= limit


def test_what_is_expected_of_well_known_pairs() -> None:
    assert expected("port", "port", "stun") == "direct"
    assert expected("symmetric", "port", "stun") == "impossible"
    assert expected("symmetric", "address", "stun") == "direct"
    assert expected("symmetric", "symmetric", "stun+turn") == "relayed"
    assert expected("blocked", "port", "stun+turn") == "impossible"
    assert expected("blocked", "blocked", "turn-tcp") == "relayed"
    assert expected("port", "open", "none") == "direct"
    assert expected("port", "full", "none") == "impossible"
    assert expected("firewall", "firewall", "ipv6-none") == "direct"
    assert expected("translated", "firewall", "ipv6-none") == "impossible"
    assert expected("translated", "firewall", "ipv6-stun+turn") == "relayed"


def test_who_dials_makes_no_difference() -> None:
    assert all(cell.expected == expected(cell.b, cell.a, cell.servers) for cell in ALL)
