"""Tests in network namespaces. Without root or the tools they are skipped, with the reason; never when CI=true."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from tests.nat.cells import Cell
from tests.nat.lab import Pool
from tests.nat.net import missing

CELLS = pytest.StashKey[list[Cell]]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    reason = missing()
    for item in items:
        if item.path.parent.name != "nat" or item.get_closest_marker("nat") is None:
            continue
        if reason is not None and os.environ.get("CI") != "true":
            item.add_marker(pytest.mark.skip(reason=reason))


def pytest_collection_finish(session: pytest.Session) -> None:
    calls = (getattr(item, "callspec", None) for item in session.items)
    session.config.stash[CELLS] = [call.params["cell"] for call in calls if call and "cell" in call.params]


@pytest.fixture(scope="session")
def pool(request: pytest.FixtureRequest) -> Iterator[Pool]:
    """Runs every cell that was selected, side by side, from the first test on. Under pytest-xdist, whose workers are
    side by side themselves, each runs when its test does."""
    pool = Pool()
    if "PYTEST_XDIST_WORKER" not in os.environ:
        pool.begin(request.config.stash[CELLS])
    yield pool
    pool.close()
