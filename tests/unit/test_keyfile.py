"""Key files: forms, permissions, atomicity, and errors that never quote a secret."""

from __future__ import annotations

import json
import os
import re
import socket
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from mina_webrtc import keyfile
from mina_webrtc.errors import InvalidInput, KeyFileError, KeyFileWarning
from mina_webrtc.identity import SecretKey
from mina_webrtc.keyfile import load_key, parse_secret, save_key

KEY = SecretKey.deterministic(41)
SECRETS = (KEY.expose_base58check()[:10], KEY.expose_pem().splitlines()[1][20:60], KEY.expose_seed().hex()[:10])


def _write(path: Path, content: str | bytes, mode: int = 0o600) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    path.chmod(mode)
    return path


@pytest.mark.parametrize("pem", [False, True])
def test_what_is_saved_is_loaded(tmp_path: Path, pem: bool) -> None:
    path = tmp_path / "node.key"
    save_key(path, KEY, pem=pem)
    assert load_key(path) == KEY
    assert load_key(str(path)) == KEY
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_text() == (KEY.expose_pem() if pem else KEY.expose_base58check() + "\n")
    assert os.listdir(tmp_path) == ["node.key"]


def test_the_mode_does_not_depend_on_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        save_key(tmp_path / "node.key", KEY)
    finally:
        os.umask(before)
    assert (tmp_path / "node.key").stat().st_mode & 0o777 == 0o600


def test_nothing_is_overwritten_unless_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "node.key"
    save_key(path, KEY)
    other = SecretKey.deterministic(42)
    with pytest.raises(KeyFileError, match=rf"{re.escape(str(path))}: exists already"):
        save_key(path, other)
    assert load_key(path) == KEY
    path.chmod(0o644)
    save_key(path, other, overwrite=True)
    assert load_key(path) == other
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_dangling_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(KeyFileError):
        save_key(tmp_path / "link", KEY)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_failed_write_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overwrite: bool) -> None:
    path = tmp_path / "node.key"
    if overwrite:
        save_key(path, KEY)

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(keyfile.os, "fsync", full)
    with pytest.raises(KeyFileError, match="No space left"):
        save_key(path, SecretKey.deterministic(43), overwrite=overwrite)
    monkeypatch.undo()
    assert os.listdir(tmp_path) == (["node.key"] if overwrite else [])
    if overwrite:
        assert load_key(path) == KEY


@pytest.mark.parametrize("where", ["missing/node.key", "file/node.key", "bad\0name", ""])
def test_places_that_cannot_be_written(tmp_path: Path, where: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(KeyFileError):
        save_key(tmp_path / where, KEY)
    with pytest.raises(KeyFileError):
        save_key(tmp_path / where, KEY, overwrite=True)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_file_that_others_may_use_is_loaded_with_a_warning(tmp_path: Path, mode: int) -> None:
    path = _write(tmp_path / "node.key", KEY.expose_base58check(), mode)
    with pytest.warns(KeyFileWarning, match=f"{mode:04o}") as caught:
        assert load_key(path) == KEY
    assert len(caught) == 1
    assert caught[0].filename == __file__


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_an_owners_file_gives_no_warning(tmp_path: Path, mode: int) -> None:
    path = _write(tmp_path / "node.key", KEY.expose_base58check(), mode)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_key(path) == KEY


TEXT = KEY.expose_base58check()
ENCRYPTED = json.dumps(
    {"box_primitive": "xsalsa20poly1305", "pw_primitive": "argon2i", "nonce": "n", "pwsalt": "s", "ciphertext": "c"}
)
DAMAGED: list[tuple[str | bytes, str]] = [
    ("", "is empty"),
    (" \n\t\n", "is empty"),
    (TEXT[:-1], "checksum"),
    (TEXT + "\n" + TEXT, "."),
    (TEXT[:20] + "0" + TEXT[21:], "alphabet"),
    (str(KEY.public_key), "version byte"),
    (KEY.expose_seed().hex(), "."),
    (KEY.expose_seed() + b"\xff", "ASCII"),
    (TEXT.encode("utf-16"), "ASCII"),
    (TEXT + "é", "ASCII"),
    (KEY.expose_pem()[:-20], "PEM"),
    (KEY.expose_pem().replace("MFECAQ", "MFECAg"), "PEM"),
    ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "PEM"),
    (KEY.expose_pem().replace("PRIVATE", "ENCRYPTED PRIVATE"), "encrypted PEM is not supported"),
    (ENCRYPTED, "missing required field `pwdiff`"),
    ("\n " + ENCRYPTED, "missing required field `pwdiff`"),
    (json.dumps({"key": TEXT}), "."),
    ("1" * (keyfile.MAX_BYTES + 1), "longer than 16384"),
    (TEXT + " " * keyfile.MAX_BYTES, "longer than 16384"),
]


@pytest.mark.parametrize(("content", "reason"), DAMAGED, ids=range(len(DAMAGED)))
def test_damaged_files_are_named_and_not_quoted(tmp_path: Path, content: str | bytes, reason: str) -> None:
    path = _write(tmp_path / "node.key", content)
    with pytest.raises(KeyFileError, match=reason) as caught:
        load_key(path)
    assert str(path) in str(caught.value)
    _check_quiet(caught.value)


def _check_quiet(error: BaseException) -> None:
    """Neither the error nor what is chained to it holds any of the content, or shows up in a traceback."""
    assert error.__cause__ is None
    assert error.__suppress_context__ or error.__context__ is None
    assert not any(secret in f"{error!s} {error!r} {error.args}" for secret in SECRETS)


def _directory(path: Path) -> None:
    path.mkdir()


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


KINDS: list[tuple[Callable[[Path], object], str]] = [
    (lambda path: None, "does not exist"),
    (_directory, "is a directory"),
    (os.mkfifo, "is a pipe"),
    (_socket, "cannot be read|is a socket"),
    (lambda path: path.symlink_to("/dev/zero"), "is a device"),
    (lambda path: path.symlink_to(path.name), "cannot be read"),
]


@pytest.mark.parametrize(("make", "reason"), KINDS, ids=["missing", "directory", "pipe", "socket", "device", "loop"])
def test_what_is_no_file_is_refused_without_hanging(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], object], reason: str
) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    make(Path("node.key"))
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(KeyFileError, match=reason):
        load_key("node.key")
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_link_to_a_key_is_followed(tmp_path: Path) -> None:
    _write(tmp_path / "real", TEXT)
    (tmp_path / "link").symlink_to("real")
    assert load_key(tmp_path / "link") == KEY


@pytest.mark.parametrize(
    "text", [TEXT, f"  {TEXT}\r\n", KEY.expose_pem(), KEY.expose_pem().replace("\n", "\r\n") + "\n\n"]
)
def test_secrets_from_a_prompt_or_the_environment(text: str) -> None:
    assert parse_secret(text) == KEY


@pytest.mark.parametrize("text", ["", " ", TEXT[:-1], TEXT + "\udcff", ENCRYPTED, "-----BEGIN ", "1" * 20_000])
def test_other_texts_are_no_secrets(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_secret(text)
    _check_quiet(caught.value)
