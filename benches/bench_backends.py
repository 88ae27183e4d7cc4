"""What the native backend is worth: the same call on both, one after the other in one process. A full run writes the
table and the pictures of docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benches.backends_report import Row, write
from benches.calls import BODY, CALLS, Call
from benches.conftest import Report
from mina_webrtc import _native, _pure

ROUNDS = 101

Seconds = dict[str, dict[str, float]]


@pytest.fixture(scope="module")
def seconds(request: pytest.FixtureRequest) -> Iterator[Seconds]:
    """By call and backend; reported when every one of them was timed, and not only tried."""
    found: Seconds = {}
    yield found
    whole = all(len(found.get(call.name, ())) == 2 for call in CALLS) and "copy" in found
    if whole and not request.config.option.smoke:
        write(
            [Row(call, found[call.name]["pure"], found[call.name]["native"]) for call in CALLS], found["copy"]["copy"]
        )


@pytest.mark.parametrize("backend", [_pure, _native], ids=["pure", "native"])
@pytest.mark.parametrize("call", CALLS, ids=[call.name for call in CALLS])
def test_backend(
    benchmark: BenchmarkFixture, smoke: bool, report: Report, seconds: Seconds, call: Call, backend: ModuleType
) -> None:
    name = backend.__name__.rpartition("_")[2]
    benchmark.group = call.name
    work = call.make(backend)
    benchmark.pedantic(work, rounds=1 if smoke else ROUNDS, iterations=1 if smoke else call.times, warmup_rounds=1)
    assert benchmark.stats is not None
    times = seconds.setdefault(call.name, {})
    # The quickest round: the others have in them what else the machine did.
    times[name] = benchmark.stats.stats.min / call.things
    if len(times) == 2 and call.figure is not None:
        report(f"native_over_pure_{call.figure}", times["pure"] / times["native"])
    if name == "native" and call.name.startswith("frame_batch"):
        report("native_frame_batch_us", times["native"] * 1e6)


def test_copy(benchmark: BenchmarkFixture, smoke: bool, seconds: Seconds) -> None:
    """What reassembly cannot be quicker than: one copy of the whole into an object of its own."""
    source = bytearray(BODY)
    benchmark.pedantic(lambda: bytes(source), rounds=1 if smoke else ROUNDS, warmup_rounds=1)
    assert benchmark.stats is not None
    seconds["copy"] = {"copy": benchmark.stats.stats.min}
