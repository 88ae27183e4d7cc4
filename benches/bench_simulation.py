"""How fast a simulated network runs, and what one peer costs."""

from __future__ import annotations

import json
import subprocess
import sys

from pytest_benchmark.fixture import BenchmarkFixture

from benches.conftest import Report


def test_simulation(benchmark: BenchmarkFixture, smoke: bool, report: Report) -> None:
    command = [sys.executable, "-m", "benches.simulated", "10" if smoke else "100"]
    told = benchmark.pedantic(lambda: subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    for name, value in json.loads(told).items():
        report(name, value)
