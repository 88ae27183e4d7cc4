"""`python -m benches [--smoke] [pytest arguments]`: runs the benchmarks.

A full run merges its figures into benches/results/summary.json; a smoke run does few rounds, only to check that every
benchmark still works, and writes nothing.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SUMMARY = HERE / "results" / "summary.json"


def main(arguments: list[str]) -> int:
    """Runs pytest on this folder and returns its exit code."""
    smoke = "--smoke" in arguments
    rest = [argument for argument in arguments if argument != "--smoke"]
    mode = ["--smoke", "--benchmark-quiet"] if smoke else [f"--summary={SUMMARY}"]
    common = ["--benchmark-enable", "--timeout=1200", "-o", "python_files=bench_*.py", str(HERE)]
    return int(pytest.main([*common, *mode, *rest]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
