"""The example of the guide's page on simulation."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from mina_webrtc.testing import Plan, Simulation

ROOT = Path(__file__).parents[2]


def test_the_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(ROOT / "examples/simulation.py"))
    formed, cut, healed, answered = capsys.readouterr().out.splitlines()
    assert formed == "after a minute: 1 group"
    assert cut == "cut in two: 2 groups"
    assert healed == "healed: 1 group"
    asked, of = answered.split(" of ")
    assert int(asked) >= 8
    assert of.startswith(f"{asked} peers have answered")


def test_the_pages_test_passes() -> None:
    simulation = Simulation(Plan(seed=1, nodes=10, rogues=4, min_peers=4, traffic=0.2, faults=5.0))
    simulation.run(120.0)
    simulation.calm()
    assert len(simulation.groups()) == 1
