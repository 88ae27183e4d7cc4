"""Connection authentication, through the wire values, with ciphers of both backends."""

from __future__ import annotations

import json
from types import ModuleType
from typing import Any

import pytest

from mina_webrtc.errors import DecryptionError, InvalidInput, NonContributoryKeyError, SignalError
from mina_webrtc.identity import PublicKey, SecretKey
from mina_webrtc.wire.auth import ConnectionAuth, ConnectionAuthEncrypted


@pytest.mark.entries("connection_auth", "valid")
def test_vector_valid(backend: ModuleType, entry: dict[str, Any]) -> None:
    offerer, answerer = (
        backend.SecretKey.from_seed(bytes.fromhex(entry[name])) for name in ("offerer_seed_hex", "answerer_seed_hex")
    )
    assert backend.sdp_hash(entry["offer_sdp"]).hex() == entry["offer_sdp_hash_hex"]
    assert backend.sdp_hash(entry["answer_sdp"]).hex() == entry["answer_sdp_hash_hex"]
    auth = ConnectionAuth.new(entry["offer_sdp"], entry["answer_sdp"])
    assert bytes(auth).hex() == entry["connection_auth_hex"]
    assert ConnectionAuth.from_bytes(bytes.fromhex(entry["connection_auth_hex"])) == auth

    to_answerer = backend.Cipher(offerer, answerer.public_key)
    to_offerer = backend.Cipher(answerer, offerer.public_key)
    by_offerer, by_answerer = (
        ConnectionAuthEncrypted(bytes.fromhex(entry[f"encrypted_by_{name}_hex"])) for name in ("offerer", "answerer")
    )
    assert by_offerer.open(to_offerer) == auth
    assert by_answerer.open(to_answerer) == auth
    assert auth.seal(to_answerer).open(to_offerer) == auth
    assert by_offerer.to_json().decode() == entry["encrypted_by_offerer_json"]
    assert ConnectionAuthEncrypted.from_json(entry["encrypted_by_offerer_json"].encode()) == by_offerer


@pytest.mark.entries("connection_auth", "valid")
def test_vector_own_auth_opens_and_is_known_by_its_nonce(backend: ModuleType, entry: dict[str, Any]) -> None:
    """The hole of the reference (protocol.md §3): only the nonce tells that it is one's own."""
    offerer, answerer = (
        backend.SecretKey.from_seed(bytes.fromhex(entry[name])) for name in ("offerer_seed_hex", "answerer_seed_hex")
    )
    own = ConnectionAuthEncrypted(bytes.fromhex(entry["encrypted_by_offerer_hex"]))
    assert bytes(own.open(backend.Cipher(offerer, answerer.public_key))).hex() == entry["connection_auth_hex"]
    assert own.nonce == bytes(own)[:12]


@pytest.mark.entries("connection_auth", "must_fail")
def test_vector_must_fail(backend: ModuleType, entry: dict[str, Any]) -> None:
    own = backend.SecretKey.from_seed(bytes.fromhex(entry["own_seed_hex"]))
    cipher = backend.Cipher(own, backend.PublicKey.parse(entry["peer_public_key_text"]))
    expected = ConnectionAuth.from_bytes(bytes.fromhex(entry["expected_auth_hex"]))
    received = bytes.fromhex(entry["received_hex"])
    if len(received) != 92:
        with pytest.raises(InvalidInput, match="92 bytes"):
            ConnectionAuthEncrypted(received)
        return
    try:
        opened = ConnectionAuthEncrypted(received).open(cipher)
    except DecryptionError:
        return
    assert opened != expected


@pytest.mark.entries("connection_auth", "valid")
def test_vector_encrypt_and_decrypt_by_keys(entry: dict[str, Any]) -> None:
    """The named methods, on the backend of this run."""
    offerer, answerer = (
        SecretKey.from_seed(bytes.fromhex(entry[name])) for name in ("offerer_seed_hex", "answerer_seed_hex")
    )
    auth = ConnectionAuth.new(entry["offer_sdp"], entry["answer_sdp"])
    first, second = (auth.encrypt(offerer, answerer.public_key) for _ in range(2))
    assert len(first.data) == 92
    assert first.nonce != second.nonce
    assert first.decrypt(answerer, offerer.public_key) == auth
    with pytest.raises(DecryptionError):
        first.decrypt(SecretKey.deterministic(77), offerer.public_key)
    with pytest.raises(NonContributoryKeyError):
        auth.encrypt(offerer, PublicKey.from_bytes(bytes(32)))


def test_content_is_not_printed() -> None:
    auth = ConnectionAuth.new("offer", "answer")
    sealed = auth.encrypt(SecretKey.deterministic(0), SecretKey.deterministic(1).public_key)
    for value in (auth, sealed):
        printed = f"{value} {value!r}"
        assert bytes(value)[:4].hex() not in printed
        assert repr(bytes(value)[:4])[2:-1] not in printed


def test_order_of_the_two_sdps_matters() -> None:
    assert ConnectionAuth.new("one", "two") != ConnectionAuth.new("two", "one")
    assert ConnectionAuth.new("one", "two") == ConnectionAuth.new("one", "two")
    assert hash(ConnectionAuth.new("one", "two")) == hash(ConnectionAuth.new("one", "two"))
    assert ConnectionAuth.new("one", "two") != bytes(64)


@pytest.mark.parametrize("size", [0, 63, 65, 92])
def test_an_auth_is_64_bytes(size: int) -> None:
    with pytest.raises(InvalidInput):
        ConnectionAuth.from_bytes(bytes(size))


@pytest.mark.parametrize(
    "text",
    ["", "{}", "null", '"abc"', "[256]", "[-1]", "[1.0]", "[true]", "[" * 5000, "[1,", json.dumps([0] * 93)],
)
def test_json_of_something_else_is_refused(text: str) -> None:
    with pytest.raises(SignalError):
        ConnectionAuthEncrypted.from_json(text.encode())


def test_json_of_another_length_is_refused() -> None:
    for count in (0, 91):
        with pytest.raises(InvalidInput):
            ConnectionAuthEncrypted.from_json(json.dumps([0] * count).encode())
    spaced = json.dumps([255] * 92, indent=2).encode()
    assert ConnectionAuthEncrypted.from_json(spaced).data == b"\xff" * 92


def test_buffers_other_than_bytes_are_taken_and_copied() -> None:
    buffer = bytearray(92)
    sealed = ConnectionAuthEncrypted(memoryview(buffer))
    buffer[0] = 1
    assert sealed.data == bytes(92)
