"""examples/coturn.py without a server: what becomes of the file, and what `check` tells strangers' answers apart by."""

from __future__ import annotations

import os
import runpy
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aioice import stun

ROOT = Path(__file__).parents[2]


def script(patch: pytest.MonkeyPatch, *words: str) -> None:
    patch.setattr(sys, "argv", ["coturn.py", *words])
    runpy.run_path(str(ROOT / "examples/coturn.py"), run_name="__main__")


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    script(monkeypatch, "config", "--realm", "lab", "--ip", "127.0.0.1")
    file = tmp_path / "turnserver.conf"
    file.write_text(capsys.readouterr().out)
    file.chmod(0o640)
    return file


def test_a_rotated_file_belongs_to_whom_it_belonged(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    """Else coturn, which runs as somebody else, may not read it, and asks nobody for credentials any more."""
    group = 4242 if os.geteuid() == 0 else os.getgroups()[-1]
    os.chown(file, -1, group)
    before, text = file.stat(), file.read_text()
    chown, taken = os.chown, []

    def record(path: Any, uid: int, gid: int) -> None:
        taken.append((uid, gid, file.read_text() == text))
        chown(path, uid, gid)

    monkeypatch.setattr(os, "chown", record)
    script(monkeypatch, "rotate", str(file))
    after = file.stat()
    assert (after.st_uid, after.st_gid, after.st_mode) == (before.st_uid, group, before.st_mode)
    assert taken == [(before.st_uid, group, True)]  # before the file is in place: no moment without
    assert len([line for line in file.read_text().splitlines() if line.startswith("static-auth-secret=")]) == 2


def test_a_file_that_cannot_be_given_away_stays_as_it_was(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    def refuse(*words: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    before = file.read_text()
    monkeypatch.setattr(os, "chown", refuse)
    with pytest.raises(SystemExit, match=r"is as before.*Operation not permitted"):
        script(monkeypatch, "rotate", str(file))
    assert file.read_text() == before
    assert [entry.name for entry in file.parent.iterdir()] == [file.name]


def test_a_file_behind_a_link_stays_behind_it(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    link = file.with_name("link.conf")
    link.symlink_to(file)
    before = file.read_text()
    script(monkeypatch, "rotate", str(link))
    assert link.is_symlink()
    assert file.read_text() != before


@contextmanager
def server(**attributes: Any) -> Iterator[int]:
    """Answers one request; gives its port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(5)

        def answer() -> None:
            data, addr = sock.recvfrom(2048)
            kind = stun.Class.ERROR if attributes else stun.Class.RESPONSE
            identity = stun.parse_message(data).transaction_id
            sock.sendto(bytes(stun.Message(stun.Method.ALLOCATE, kind, identity, attributes)), addr)

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield sock.getsockname()[1]
        finally:
            thread.join()


def test_a_server_that_wants_credentials_passes(
    monkeypatch: pytest.MonkeyPatch, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with server(**{"ERROR-CODE": (401, "Unauthorized")}) as port:
        script(monkeypatch, "check", str(file), "--port", str(port))
    assert "wants credentials" in capsys.readouterr().out


def test_an_open_relay_does_not(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    with server() as port, pytest.raises(SystemExit, match="OPEN RELAY"):
        script(monkeypatch, "check", str(file), "--port", str(port))
