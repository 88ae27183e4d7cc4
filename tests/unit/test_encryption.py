"""Encryption between two identities, and that secrets do not leak, on both backends."""

from __future__ import annotations

import copy
import logging
import pickle
import pprint
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mina_webrtc.errors import DecryptionError, NonContributoryKeyError


def _key(backend: ModuleType, seed_hex: str) -> Any:
    return backend.SecretKey.from_seed(bytes.fromhex(seed_hex))


@pytest.mark.entries("encryption", "shared_keys")
def test_vector_shared_keys(backend: ModuleType, entry: dict[str, Any]) -> None:
    own, peer = _key(backend, entry["own_seed_hex"]), _key(backend, entry["peer_seed_hex"])
    assert bytes(own.public_key).hex() == entry["own_public_key_hex"]
    assert bytes(peer.public_key).hex() == entry["peer_public_key_hex"]
    # The shared key itself is not exposed: what it seals must open under the vector's key, and the other way round.
    reference = AESGCM(bytes.fromhex(entry["shared_key_hex"]))
    for cipher in (backend.Cipher(own, peer.public_key), backend.Cipher(peer, own.public_key)):
        sealed = cipher.seal(b"message")
        assert reference.decrypt(sealed[:12], sealed[12:], None) == b"message"
        assert cipher.open(bytes(12) + reference.encrypt(bytes(12), b"reply", None)) == b"reply"


@pytest.mark.entries("encryption", "decrypts_to")
def test_vector_decrypts_to(backend: ModuleType, entry: dict[str, Any]) -> None:
    sender, receiver = _key(backend, entry["sender_seed_hex"]), _key(backend, entry["receiver_seed_hex"])
    assert str(sender.public_key) == entry["sender_public_key_text"]
    assert str(receiver.public_key) == entry["receiver_public_key_text"]
    sealed, message = bytes.fromhex(entry["ciphertext_hex"]), bytes.fromhex(entry["plaintext_hex"])
    assert sealed[:12].hex() == entry["nonce_hex"]
    assert backend.Cipher(receiver, sender.public_key).open(sealed) == message
    assert backend.Cipher(sender, receiver.public_key).open(sealed) == message


@pytest.mark.entries("encryption", "must_not_decrypt")
def test_vector_must_not_decrypt(backend: ModuleType, entry: dict[str, Any]) -> None:
    sender = backend.PublicKey.parse(entry["sender_public_key_text"])
    cipher = backend.Cipher(_key(backend, entry["receiver_seed_hex"]), sender)
    with pytest.raises(DecryptionError):
        cipher.open(bytes.fromhex(entry["ciphertext_hex"]))


@pytest.mark.entries("encryption", "non_contributory_peers")
def test_vector_non_contributory_peers(backend: ModuleType, entry: dict[str, Any]) -> None:
    peer = backend.PublicKey.from_bytes(bytes.fromhex(entry["peer_public_key_hex"]))
    assert entry["encrypt"] == entry["decrypt"] == "error"
    with pytest.raises(NonContributoryKeyError):
        backend.Cipher(_key(backend, entry["own_seed_hex"]), peer)


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 64, 16_384, 70_000])
def test_what_one_seals_the_other_opens(backend: ModuleType, size: int) -> None:
    one, other = backend.SecretKey.deterministic(0), backend.SecretKey.deterministic(1)
    message = bytes(range(256)) * (size // 256 + 1)
    sealed = backend.Cipher(one, other.public_key).seal(memoryview(message)[:size])
    assert len(sealed) == size + 28
    assert backend.Cipher(other, one.public_key).open(bytearray(sealed)) == message[:size]


def test_nonces_are_fresh(backend: ModuleType) -> None:
    cipher = backend.Cipher(backend.SecretKey.deterministic(0), backend.SecretKey.deterministic(1).public_key)
    assert len({cipher.seal(b"")[:12] for _ in range(200)}) == 200


def test_every_cut_and_every_flip_is_refused(backend: ModuleType) -> None:
    key = backend.SecretKey.deterministic(0)
    cipher = backend.Cipher(key, key.public_key)
    sealed = cipher.seal(b"mina")
    changed = [sealed[:size] for size in range(len(sealed))] + [sealed + b"\0"]
    changed += [sealed[:i] + bytes([sealed[i] ^ 1]) + sealed[i + 1 :] for i in range(len(sealed))]
    for candidate in changed:
        with pytest.raises(DecryptionError):
            cipher.open(candidate)


def test_only_keys_make_a_cipher(backend: ModuleType) -> None:
    key = backend.SecretKey.deterministic(0)
    for arguments in ((key, bytes(key.public_key)), (key.public_key, key.public_key), (key, key.peer_id), (key,), ()):
        with pytest.raises(TypeError):
            backend.Cipher(*arguments)


PRINTERS: list[Callable[[object], str]] = [
    repr,
    str,
    "{}".format,
    "{!r}".format,
    "%s".__mod__,
    ascii,
    pprint.pformat,
    lambda secret: repr([secret]),
    lambda secret: str({"key": secret}),
    lambda secret: str(ValueError(secret)),
    lambda secret: logging.makeLogRecord({"msg": "%s %r", "args": (secret, secret)}).getMessage(),
]


@pytest.mark.parametrize("kind", ["SecretKey", "Cipher"])
def test_secrets_do_not_print(backend: ModuleType, kind: str) -> None:
    key, secret = _secret(backend, kind)
    forms = {key.expose_base58check(), key.expose_seed().hex(), repr(key.expose_seed()), key.expose_pem()[30:60]}
    for printer in PRINTERS:
        printed = printer(secret)
        assert ('SecretKey("***")' if kind == "SecretKey" else ".Cipher object at ") in printed
        assert not any(form in printed for form in forms)


@pytest.mark.parametrize("kind", ["SecretKey", "Cipher"])
def test_secrets_are_not_pickled_or_copied(backend: ModuleType, kind: str) -> None:
    _, secret = _secret(backend, kind)
    attempts: list[Callable[[], object]] = [lambda: copy.copy(secret), lambda: copy.deepcopy(secret)]
    attempts += [lambda p=p: pickle.dumps(secret, p) for p in range(pickle.HIGHEST_PROTOCOL + 1)]
    attempts += [lambda: copy.deepcopy([secret]), lambda: vars(secret), lambda: bytes(secret), lambda: iter(secret)]
    for attempt in attempts:
        with pytest.raises(TypeError):
            attempt()


def test_errors_about_secrets_do_not_quote_them(backend: ModuleType) -> None:
    text = backend.SecretKey.deterministic(9).expose_base58check()
    for damaged in (text[:-1], text + "0", text[:20] + "0" + text[20:], text[:20] + "\ud800" + text[20:]):
        with pytest.raises(ValueError, match=r".") as caught:
            backend.SecretKey.parse(damaged)
        assert text[:8] not in str(caught.value)
        assert caught.value.__context__ is None


def _secret(backend: ModuleType, kind: str) -> tuple[Any, object]:
    key = backend.SecretKey.random()
    return key, key if kind == "SecretKey" else backend.Cipher(key, backend.SecretKey.random().public_key)
