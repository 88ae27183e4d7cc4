"""`keygen`, and where the other commands take their key from."""

from __future__ import annotations

import io
import json
import stat
import sys
import warnings
from pathlib import Path

import pytest
from tests.unit.cli.conftest import Cli

from mina_webrtc import SecretKey, load_key
from mina_webrtc.cli.keys import STDIN, VARIABLE, find_key, key_or_new
from mina_webrtc.errors import KeyFileError

KEY = SecretKey.deterministic(7)
SECRET = KEY.expose_base58check()


def test_keygen_prints_the_public_side_only(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "node.key"
    done = cli("keygen", "--out", str(path), "--json")
    assert done.code == 0
    key = load_key(path)
    assert json.loads(done.out) == {
        "public_key": str(key.public_key),
        "peer_id": str(key.peer_id),
        "libp2p_peer_id": key.peer_id.to_libp2p(),
    }
    assert key.expose_base58check() not in done.out + done.err
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_keygen_without_out_says_that_the_key_is_gone(cli: Cli) -> None:
    done = cli("keygen")
    assert done.code == 0
    assert "--out" in done.err
    assert "secret" not in done.out


def test_keygen_overwrites_only_when_told(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "node.key"
    assert cli("keygen", "--out", str(path)).code == 0
    before = path.read_text()
    refused = cli("keygen", "--out", str(path))
    assert refused.code == 1
    assert path.read_text() == before
    assert cli("keygen", "--out", str(path), "--force").code == 0
    assert path.read_text() != before


def test_keygen_converts_a_key_to_pem(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(SECRET + "\n"))
    path = tmp_path / "node.pem"
    done = cli("keygen", "--key-file", "-", "--out", str(path), "--pem")
    assert done.code == 0
    assert path.read_text().startswith("-----BEGIN PRIVATE KEY-----")
    assert load_key(path) == KEY


def test_keygen_prints_a_secret_only_on_request(cli: Cli) -> None:
    done = cli("keygen", "--out", "-", "--json")
    shown = json.loads(done.out)
    assert str(SecretKey.parse(shown["secret_key"]).peer_id) == shown["peer_id"]


def test_a_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, SECRET)
    assert key_or_new(None) == (KEY, False)


def test_a_key_file_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(SecretKey.deterministic(8).expose_base58check())
    path.chmod(0o600)
    monkeypatch.setenv(VARIABLE, SECRET)
    assert find_key(path) == SecretKey.deterministic(8)


def test_a_terminal_is_asked_without_echo(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", terminal)
    monkeypatch.setattr("getpass.getpass", lambda prompt: SECRET)
    assert find_key(STDIN) == KEY


def test_without_any_key_there_is_a_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    first, new = key_or_new(None)
    assert new
    assert first != key_or_new(None)[0]


@pytest.mark.parametrize("text", ["", "no key", SECRET[:-1] + ("1" if SECRET[-1] != "1" else "2"), "5" * 5000])
def test_a_bad_key_in_the_environment_is_refused_without_showing_it(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(KeyFileError, match=VARIABLE) as caught:
        find_key(None)
    assert not text or text not in str(caught.value)


def test_a_key_file_that_others_may_read_is_a_warning_of_one_line(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(SECRET)
    path.chmod(0o644)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        done = cli("keygen", "--key-file", str(path))
    assert done.code == 0
    (line,) = done.err.splitlines()
    assert line.startswith(f"mina-webrtc: warning: key file {path}: ")
