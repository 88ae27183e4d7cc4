"""Passwords of encrypted key files: the environment first, then a terminal, never an argument."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.cli.conftest import Cli

from mina_webrtc import SecretKey, load_key
from mina_webrtc.cli.keys import PASSWORD_VARIABLES, STDIN, VARIABLE, find_key, new_password
from mina_webrtc.errors import KeyFileError
from mina_webrtc.keybox import MIN_ITERATIONS, MIN_MEMORY, KeyBox, libp2p_text

KEY = SecretKey.deterministic(7)
WORD = "pass ✓ word"
OURS, MINAS = PASSWORD_VARIABLES


@pytest.fixture
def box(tmp_path: Path) -> Path:
    path = tmp_path / "node.key"
    path.write_text(KeyBox.seal(libp2p_text(KEY), WORD, memory=MIN_MEMORY, iterations=MIN_ITERATIONS).to_json())
    path.chmod(0o600)
    return path


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in (*PASSWORD_VARIABLES, VARIABLE):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _terminal(patch: pytest.MonkeyPatch, *answers: str) -> list[str]:
    """Somebody who types `answers`; returns the prompts that he gets to see."""
    prompts: list[str] = []
    typed: Iterator[str] = iter(answers)

    def ask(prompt: str) -> str:
        prompts.append(prompt)
        try:
            return next(typed)
        except StopIteration:
            raise EOFError from None

    patch.setattr(sys, "stdin", _Terminal())
    patch.setattr("getpass.getpass", ask)
    return prompts


@pytest.mark.parametrize("name", PASSWORD_VARIABLES)
def test_the_password_comes_from_the_environment(clean: pytest.MonkeyPatch, box: Path, name: str) -> None:
    clean.setenv(name, WORD)
    assert find_key(box) == KEY


def test_our_variable_goes_before_minas(clean: pytest.MonkeyPatch, box: Path) -> None:
    clean.setenv(OURS, WORD)
    clean.setenv(MINAS, "wrong")
    assert find_key(box) == KEY
    clean.setenv(OURS, "")
    with pytest.raises(KeyFileError, match="password is wrong"):
        find_key(box)


def test_a_terminal_is_asked(clean: pytest.MonkeyPatch, box: Path) -> None:
    prompts = _terminal(clean, WORD)
    assert find_key(box) == KEY
    assert prompts == [f"Password of {box} (not shown): "]


def test_without_either_it_says_what_to_do(clean: pytest.MonkeyPatch, box: Path) -> None:
    clean.setattr(sys, "stdin", io.StringIO(WORD))
    clean.setattr(sys, "stderr", io.StringIO())
    with pytest.raises(KeyFileError, match=f"{box}.*set {OURS}"):
        find_key(box)


def test_an_encrypted_key_may_come_from_anywhere(clean: pytest.MonkeyPatch, box: Path) -> None:
    clean.setenv(OURS, WORD)
    clean.setenv(VARIABLE, box.read_text())
    assert find_key(None) == KEY
    clean.setattr(sys, "stdin", io.StringIO(box.read_text() + "\n"))
    assert find_key(STDIN) == KEY


def test_a_new_password_is_asked_for_twice(clean: pytest.MonkeyPatch) -> None:
    assert len(_terminal(clean, WORD, WORD)) == 0
    assert new_password() == WORD


@pytest.mark.parametrize(
    ("answers", "word"),
    [(["a", "b"], "differ"), ([""], "protects nothing"), ([], "no password"), (["a"], "no password")],
)
def test_slips_are_told(clean: pytest.MonkeyPatch, answers: list[str], word: str) -> None:
    _terminal(clean, *answers)
    with pytest.raises(KeyFileError, match=word):
        new_password()


def test_keygen_encrypts(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(MINAS, WORD)
    path = tmp_path / "new.key"
    done = cli("keygen", "--out", str(path), "--encrypt", "--json")
    assert done.code == 0
    key = load_key(path, WORD)
    assert json.loads(done.out)["peer_id"] == str(key.peer_id)
    shown = cli("keygen", "--key-file", str(path), "--json")
    assert json.loads(shown.out) == json.loads(done.out)
    assert WORD not in done.out + done.err + shown.out + shown.err


def test_keygen_takes_a_password_off(cli: Cli, monkeypatch: pytest.MonkeyPatch, box: Path, tmp_path: Path) -> None:
    monkeypatch.setenv(OURS, WORD)
    plain = tmp_path / "plain.key"
    assert cli("keygen", "--key-file", str(box), "--out", str(plain)).code == 0
    assert load_key(plain) == KEY


def test_keygen_prints_an_encrypted_key(cli: Cli, monkeypatch: pytest.MonkeyPatch, box: Path) -> None:
    monkeypatch.setenv(OURS, WORD)
    done = cli("keygen", "--key-file", str(box), "--out", "-", "--encrypt", "--json")
    text = json.loads(done.out)["secret_key"]
    assert KeyBox.parse(text).open(WORD) == libp2p_text(KEY)
    assert KEY.expose_base58check() not in done.out


def test_a_file_that_is_there_is_told_before_a_password_is_asked_for(cli: Cli, box: Path) -> None:
    done = cli("keygen", "--out", str(box), "--encrypt")
    assert done.code == 1
    assert "exists already" in done.err


@pytest.mark.parametrize("command", ["node", "dial /x/http/a/1", "keygen"])
def test_a_wrong_password_is_exit_code_1_and_one_line(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, box: Path, command: str
) -> None:
    monkeypatch.setenv(OURS, "not this")
    words = command.replace("/x/", f"/{KEY.peer_id}/").split()
    done = cli(*words, "--key-file", str(box))
    assert done.code == 1
    (line,) = done.err.splitlines()
    assert line.startswith(f"mina-webrtc: key file {box}: does not open")


@pytest.mark.parametrize("arguments", [["--encrypt"], ["--encrypt", "--pem", "--out", "-"]])
def test_encrypt_needs_somewhere_to_write_and_is_no_pem(cli: Cli, arguments: list[str]) -> None:
    done = cli("keygen", *arguments)
    assert done.code == 2
    assert "--encrypt" in done.err


@pytest.mark.parametrize("command", ["node", "dial", "keygen"])
def test_no_option_takes_a_password(cli: Cli, command: str) -> None:
    assert cli(command, "--password", "x").code == 2
