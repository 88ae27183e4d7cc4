"""The parts of the command line that have something to get wrong by themselves."""

from __future__ import annotations

import io
import json
import logging
import sys

import pytest

from mina_webrtc import DialAddress, SecretKey
from mina_webrtc.cli.demo_view import LineView, LiveView, how, make_view
from mina_webrtc.cli.dial import statistics
from mina_webrtc.cli.shell import JsonFormatter, TextFormatter, found_json
from mina_webrtc.machines.keeping import Origin
from mina_webrtc.machines.vocab import PeerReady
from mina_webrtc.wire.address import Relayed


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
    line = TextFormatter().format(_record(details={"conn": 3, "detail": "it is gone"}))
    assert line.endswith('mina_webrtc.node: PeerReady conn=3 detail="it is gone"')


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


FOUND = {
    "through Alice": {"found": "relay", "relay": "Alice", "outgoing": True},
    "dialled seed": {"found": "configured", "outgoing": True},
    "told by Carol": {"found": "learnt", "teller": "Carol", "outgoing": True},
    "incoming": {"found": "incoming", "source": "127.0.0.1", "outgoing": False},
    "dialled": {"found": "dialled", "outgoing": True},
}


@pytest.mark.parametrize("words", FOUND)
def test_how_a_peer_was_found(words: str) -> None:
    assert how(FOUND[words]) == words


def test_how_a_peer_was_found_comes_from_the_notice() -> None:
    me, relay = (SecretKey.deterministic(index).peer_id for index in (1, 2))
    direct = DialAddress.parse(f"/{me}/http/127.0.0.1/3000")
    relayed = DialAddress(me, Relayed(relay))
    told = [
        PeerReady(1, me, True, True, direct, Origin.LEARNT, relay),
        PeerReady(1, me, True, True, direct),
        PeerReady(1, me, True, True, relayed),
        PeerReady(1, me, False, True, None, source=f"/p2p/{relay}"),
        PeerReady(1, me, False, True, None, source="10.0.0.1"),
    ]
    assert [found_json(ready) for ready in told] == [
        {"found": "learnt", "teller": str(relay)},
        {"found": "dialled"},
        {"found": "relay", "relay": str(relay)},
        {"found": "relay", "relay": str(relay)},
        {"found": "incoming", "source": "10.0.0.1"},
    ]


def test_the_live_picture_shows_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = _Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    view = make_view(("Alice", "Bob"), as_json=False)
    assert isinstance(view, LiveView)
    with view:
        view.started("Alice", {"peer": "2alice"})
        view.ready("Bob", "Alice", FOUND["dialled seed"])
        view.ready("Alice", "Bob", FOUND["through Alice"] | {"outgoing": False})
        view.fetching(2)
        view.received("Alice", "Bob", 512 * 1024)
        view.fetched("Bob", "Alice", 1024 * 1024, 200.0)
        view.step("all are connected")
        view.done()
    shown = screen.getvalue()
    for text in ("2alice", "→ dialled seed", "← through Alice", "1.5/2 MiB", "all are connected", "done"):
        assert text in shown


def test_a_killed_node_loses_its_row_of_the_live_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = _Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("TERM", "xterm")
    view = make_view(("Alice", "Bob"), as_json=False)
    view.ready("Alice", "Bob", FOUND["incoming"])
    view.killed("Alice")
    view.closed("Bob", "Alice", "lost")
    with view:
        pass
    shown = screen.getvalue()
    assert "incoming" not in shown
    assert all(text in shown for text in ("killed", "gone"))


def test_without_a_terminal_there_are_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    view = make_view(("Alice", "Bob"), as_json=False)
    assert type(view) is LineView
    view.ready("Alice", "Bob", FOUND["dialled seed"] | {"ms": 45.4})
    view.ready("Bob", "Alice", FOUND["through Alice"] | {"outgoing": False})
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" s  ")[1] for line in lines] == [
        "Alice: Bob is ready, dialled seed, 45 ms",
        "Bob: Alice is ready, incoming through Alice",
    ]


def test_a_failed_demonstration_says_so_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    view = make_view(("Alice", "Bob"), as_json=True)
    view.failed("Bob: its process ended")
    last = json.loads(capsys.readouterr().out)
    assert last.pop("seconds") >= 0
    assert last == {"event": "done", "ok": False, "error": "Bob: its process ended"}
