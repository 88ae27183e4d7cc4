"""The parts of the command line that have something to get wrong by themselves."""

from __future__ import annotations

import io
import json
import logging
import sys

import pytest

from mina_webrtc.cli.demo_view import JsonView, LineView, LiveView, make_view
from mina_webrtc.cli.dial import statistics
from mina_webrtc.cli.shell import JsonFormatter, TextFormatter


def test_statistics_are_those_of_ping() -> None:
    assert statistics([2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]) == {"min": 2.0, "avg": 5.0, "max": 9.0, "mdev": 2.0}
    assert statistics([3.0]) == {"min": 3.0, "avg": 3.0, "max": 3.0, "mdev": 0.0}


def _record(**extra: object) -> logging.LogRecord:
    record = logging.LogRecord("mina_webrtc.node", logging.INFO, __file__, 1, "Peer%s", ("Ready",), None)
    record.__dict__.update(extra)
    return record


def test_json_logs_carry_the_details() -> None:
    line = json.loads(JsonFormatter().format(_record(details={"conn": 3})))
    assert line["message"] == "PeerReady"
    assert line["level"] == "info"
    assert line["logger"] == "mina_webrtc.node"
    assert line["details"] == {"conn": 3}


def test_json_logs_carry_exceptions() -> None:
    try:
        raise ValueError("broken")
    except ValueError:
        record = _record(exc_info=sys.exc_info())
    assert "ValueError: broken" in json.loads(JsonFormatter().format(record))["exception"]


def test_text_logs_carry_the_details() -> None:
    assert TextFormatter().format(_record(details={"conn": 3})).endswith("mina_webrtc.node: PeerReady conn=3")


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_live_table_shows_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = _Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("TERM", "xterm")
    view = make_view(("Alice", "Bob"), 1024 * 1024, as_json=False)
    assert isinstance(view, LiveView)
    with view:
        view.started("Alice", {"peer": "2alice"})
        view.connected("Alice", "Bob", 45.0)
        view.received("Alice", "Bob", 512 * 1024)
        view.fetched("Alice", "Bob", 1024 * 1024, 200.0)
        view.done(1.0)
    shown = screen.getvalue()
    for text in ("2alice", "45 ms", "1 MiB in 200 ms", "hash correct", "1.0/2.0 MiB"):
        assert text in shown


def test_without_a_terminal_there_are_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    view = make_view(("Alice", "Bob"), 1, as_json=False)
    assert type(view) is LineView
    view.fetched("Alice", "Bob", 1024 * 1024, 200.0)
    assert capsys.readouterr().out == "Alice <- Bob: 1 MiB in 200 ms, SHA-256 correct\n"


def test_a_failed_demonstration_says_so_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    view = make_view(("Alice", "Bob"), 1, as_json=True)
    assert isinstance(view, JsonView)
    view.failed("Bob: its process ended")
    assert json.loads(capsys.readouterr().out) == {"event": "done", "ok": False, "error": "Bob: its process ended"}
