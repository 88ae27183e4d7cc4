"""Runs the command line inside the test's own process."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable, Iterator

import pytest
from msgspec import Struct

from mina_webrtc.cli import main
from mina_webrtc.cli.keys import PASSWORD_VARIABLES, VARIABLE


class Done(Struct):
    """How a command ended."""

    code: int
    out: str
    err: str


Cli = Callable[..., Done]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Cli]:
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    for name in (VARIABLE, *PASSWORD_VARIABLES):
        monkeypatch.delenv(name, raising=False)
    root = logging.getLogger()
    handlers = root.handlers[:]
    # The loggers whose level the command line sets.
    levels = {name: logging.getLogger(name).level for name in (None, "mina_webrtc", "aioice", "aiortc", "asyncio")}

    def run(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["mina-webrtc", *arguments])
        code = main()
        captured = capsys.readouterr()
        return Done(code, captured.out, captured.err)

    yield run
    root.handlers[:] = handlers
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
