"""How fast messages pass through the Transport seam."""

from __future__ import annotations

from statistics import median

from pytest_benchmark.fixture import BenchmarkFixture

from benches.conftest import Report
from benches.transport_goodput import measure

MIB = 1024 * 1024


def test_goodput_aiortc(benchmark: BenchmarkFixture, smoke: bool, report: Report) -> None:
    size = (1 if smoke else 32) * MIB
    rates: list[float] = []
    benchmark.pedantic(lambda: rates.append(measure(size)), rounds=1 if smoke else 3)
    report("goodput_aiortc_mb_per_s", median(rates))
