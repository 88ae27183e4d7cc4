"""A pytest plugin for CI (`-p tests.no_skips`): a skipped or expected-to-fail test fails the run.

Everything the tests need is installed there, so a skip means that a real component was not tested.
"""

from __future__ import annotations

import pytest

_skipped: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped:
        _skipped.append(report.nodeid)


@pytest.hookimpl(tryfirst=True)
def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.skipped:  # a file that is skipped as a whole; pytest-xdist's workers report failures only
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid} is skipped, and skips are failures here: {report.longrepr}"


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if _skipped and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _skipped:
        terminalreporter.section("skips are failures here")
        for nodeid in _skipped:
            terminalreporter.line(nodeid)
