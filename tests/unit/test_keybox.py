"""Encrypted key files: the reference's vectors, what we write, what a file may ask for, errors without content."""

from __future__ import annotations

import json
import tracemalloc
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mina_webrtc import keybox
from mina_webrtc._backend import base58check_encode
from mina_webrtc.errors import InvalidInput, KeyFileError
from mina_webrtc.identity import SecretKey
from mina_webrtc.keybox import KeyBox, libp2p_text, read_plaintext, seal_key
from mina_webrtc.keyfile import load_key, parse_secret, save_key

KEY = SecretKey.deterministic(11)
CHEAP = {"memory": keybox.MIN_MEMORY, "iterations": keybox.MIN_ITERATIONS}
WORD = "pass ✓ word"
TEXT = KeyBox.seal(libp2p_text(KEY), WORD, **CHEAP).to_json()


@pytest.mark.entries("encrypted_key", "decrypts_to")
def test_vector_opens(entry: dict[str, Any]) -> None:
    box = KeyBox.parse(entry["file_text"])
    plaintext = box.open(entry["password"])
    assert plaintext.hex() == entry["plaintext_hex"]
    assert box.to_json() == entry["file_text"]
    if not entry["is_libp2p_key"]:
        with pytest.raises(KeyFileError, match="Mina account"):
            read_plaintext(plaintext)
        return
    key = read_plaintext(plaintext)
    assert key.expose_seed().hex() == entry["seed_hex"]
    assert str(key.public_key) == entry["public_key_text"]
    assert key.peer_id.to_libp2p() == entry["libp2p_peer_id_text"]
    assert libp2p_text(key) == plaintext


@pytest.mark.entries("encrypted_key", "other_files")
def test_vector_other_files(entry: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(entry["file_text"])
    path.chmod(0o600)
    if entry["reference_accepts"]:
        assert libp2p_text(load_key(path, entry["password"]))
        return
    with pytest.raises(InvalidInput, match=str(path)) as caught:
        load_key(path, entry["password"])
    _check_quiet(caught.value, entry["file_text"])


def _check_quiet(error: BaseException, text: str) -> None:
    assert error.__cause__ is None
    assert error.__suppress_context__ or error.__context__ is None
    assert not any(part in f"{error!s} {error!r}" for part in text.split('"') if len(part) > 16)


def test_what_is_saved_is_loaded_with_the_default_cost(tmp_path: Path) -> None:
    path = tmp_path / "node.key"
    save_key(path, KEY, password=WORD)
    fields = json.loads(path.read_text())
    assert list(fields) == ["box_primitive", "pw_primitive", "nonce", "pwsalt", "pwdiff", "ciphertext"]
    assert fields["pwdiff"] == [134217728, 6]
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_key(path, WORD.encode()) == KEY


def test_no_two_files_are_alike() -> None:
    again = json.loads(KeyBox.seal(libp2p_text(KEY), WORD, **CHEAP).to_json())
    first = json.loads(TEXT)
    assert all(again[name] != first[name] for name in ("nonce", "pwsalt", "ciphertext"))


def test_a_password_is_asked_for_only_when_it_is_needed(tmp_path: Path) -> None:
    def never() -> str:
        raise AssertionError("asked")

    path = tmp_path / "node.key"
    save_key(path, KEY)
    assert load_key(path, never) == KEY
    with pytest.raises(KeyFileError, match="damaged"):
        parse_secret(TEXT.replace('"ciphertext":"', '"ciphertext":"z'), never)
    assert parse_secret(f"\n {TEXT}\r\n", lambda: WORD) == KEY


def test_without_a_password_nothing_is_tried() -> None:
    with pytest.raises(KeyFileError, match="is encrypted, and no password is given"):
        parse_secret(TEXT)


def test_an_encrypted_key_has_no_pem_form(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="PEM"):
        save_key(tmp_path / "key", KEY, pem=True, password=WORD)
    assert not (tmp_path / "key").exists()


@pytest.mark.parametrize("password", ["", "x" * 5000, "nul\0inside", b"\xff\xfe", "\udcff\udcfe"])
def test_any_password_is_a_password(password: str | bytes) -> None:
    box = KeyBox.seal(b"plain", password, **CHEAP)
    assert box.open(password) == b"plain"
    with pytest.raises(KeyFileError, match="password is wrong"):
        box.open("another")


def test_undecodable_bytes_of_the_environment_are_themselves() -> None:
    assert KeyBox.seal(b"plain", b"\xff\xfe", **CHEAP).open("\udcff\udcfe") == b"plain"


@pytest.mark.parametrize(
    ("pwdiff", "word"),
    [
        ([keybox.MAX_MEMORY + 1, 3], "bytes of memory"),
        ([2**53, 2**53], "bytes of memory"),
        ([8191, 3], "bytes of memory"),
        ([0, 6], "bytes of memory"),
        ([134217728, 2], "rounds"),
        ([134217728, 33], "rounds"),
        ([8192, keybox.MAX_WORK // 8192 + 1], "rounds"),
        ([2**64, 6], "pwdiff"),
        ([2**9999, 6], "not JSON|pwdiff"),
        ([-1, 6], "pwdiff"),
        ([134217728], "pwdiff"),
        ([134217728, 6, 1], "pwdiff"),
        ("134217728", "pwdiff"),
        ([True, 6], "pwdiff"),
        (None, "pwdiff"),
    ],
)
def test_a_file_cannot_ask_for_more_than_the_limits(pwdiff: object, word: str) -> None:
    number = str(2**9999) if isinstance(pwdiff, list) and pwdiff[0] == 2**9999 else None
    text = json.dumps(json.loads(TEXT) | {"pwdiff": [0, 6] if number else pwdiff})
    if number:
        text = text.replace("[0, 6]", f"[{number}, 6]")
    tracemalloc.start()
    try:
        with pytest.raises(KeyFileError, match=word):
            parse_secret(text, WORD)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("cost", [{"memory": 1024}, {"iterations": 2}, {"iterations": 33}])
def test_nothing_is_written_that_we_would_not_read(cost: dict[str, int]) -> None:
    with pytest.raises(KeyFileError):
        KeyBox.seal(b"", WORD, **cost)


def test_memory_that_is_not_to_be_had_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: object) -> bytes:
        raise MemoryError

    monkeypatch.setattr("nacl.bindings.crypto_pwhash_alg", exhausted)
    with pytest.raises(KeyFileError, match="memory"):
        parse_secret(TEXT, WORD)


def _plain(private: bytes, *others: bytes) -> bytes:
    return b",".join([b64encode(private), *others])


PUBLIC, PEER = libp2p_text(KEY).split(b",")[1:]
PRIVATE = keybox.PRIVATE + KEY.expose_seed() + bytes(KEY.public_key)


@pytest.mark.parametrize(
    ("plaintext", "word"),
    [
        (b"", "no Ed25519 key"),
        (b"\x01", "Mina account"),
        (b"\x01" + bytes(32), "Mina account"),
        (KEY.expose_seed(), "no Ed25519 key"),
        (libp2p_text(KEY).replace(b",", b";"), "no Ed25519 key"),
        (_plain(PRIVATE[:-1], PUBLIC, PEER), "no Ed25519 key"),
        (_plain(b"\x08\x02" + PRIVATE[2:], PUBLIC, PEER), "no Ed25519 key"),
        (b"\xff" + libp2p_text(KEY), "no Ed25519 key"),
        (_plain(PRIVATE, PUBLIC), "contradict"),
        (_plain(PRIVATE, PUBLIC, PEER, b""), "contradict"),
        (_plain(PRIVATE, PUBLIC, SecretKey.deterministic(12).peer_id.to_libp2p().encode()), "contradict"),
    ],
)
def test_other_things_in_a_box_are_no_key(plaintext: bytes, word: str) -> None:
    text = KeyBox.seal(plaintext, WORD, **CHEAP).to_json()
    with pytest.raises(KeyFileError, match=word) as caught:
        parse_secret(text, WORD)
    assert KEY.expose_seed().hex() not in str(caught.value)


def test_odd_primitives_are_told_when_the_box_does_not_open() -> None:
    text = TEXT.replace("argon2i", "scrypt")
    assert parse_secret(text, WORD) == KEY
    with pytest.raises(KeyFileError, match="claims to be made by something else") as caught:
        parse_secret(text, "wrong")
    assert "scrypt" not in str(caught.value)


def test_a_box_shows_nothing_of_itself() -> None:
    box = KeyBox.parse(TEXT)
    assert repr(box) == f"KeyBox({len(box.ciphertext)} bytes, memory=8192, iterations=3)"


@pytest.mark.parametrize("length", [0, 15])
def test_a_box_shorter_than_its_tag(length: int) -> None:
    text = json.dumps(json.loads(TEXT) | {"ciphertext": base58check_encode(2, bytes(length))})
    with pytest.raises(KeyFileError, match="ciphertext: shorter than 16 bytes"):
        parse_secret(text, WORD)


@pytest.mark.parametrize("text", ["{" + '"a":[' * 5000, "{}", "{", '{"nonce":"' + "1" * 9999, '{"a":"\udcff"}'])
def test_other_json_is_no_box(text: str) -> None:
    with pytest.raises(KeyFileError):
        KeyBox.parse(text)


@given(st.text(max_size=300) | st.binary(max_size=300).map(lambda raw: raw.decode("latin-1")))
def test_any_text_is_a_box_or_an_error(text: str) -> None:
    for candidate in (text, TEXT[: len(text)] + text + TEXT[len(text) :]):
        try:
            KeyBox.parse(candidate)
        except KeyFileError as error:
            _check_quiet(error, TEXT)


def test_sealing_a_key_takes_minas_form() -> None:
    box = KeyBox.parse(seal_key(KEY, WORD))
    assert (box.memory, box.iterations, box.usual) == (134217728, 6, True)
