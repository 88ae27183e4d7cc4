"""What every benchmark gets: how many rounds to run, and where to report its figure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from benches.summary import merge

FIGURES = pytest.StashKey[dict[str, float]]()
Report = Callable[[str, float], None]


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("figures")
    group.addoption("--summary", metavar="PATH", type=Path, help="merge the figures into this JSON file")
    group.addoption("--smoke", action="store_true", help="few rounds: only check that the benchmarks work")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[FIGURES] = {}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for name, value in terminalreporter.config.stash[FIGURES].items():
        terminalreporter.line(f"{name} = {value:.4g}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    path: Path | None = session.config.option.summary
    figures = session.config.stash[FIGURES]
    if path is not None:
        merge(path, figures)


@pytest.fixture
def smoke(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.option.smoke)


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Report:
    """`report(name, value)`: the name ends in its unit."""
    return request.config.stash[FIGURES].__setitem__
