"""Keys, ids, signatures and chain ids, on both backends."""

from __future__ import annotations

import copy
import json
import pickle
from base64 import b64encode
from hashlib import sha512
from types import ModuleType
from typing import Any

import pytest

from mina_webrtc.errors import Base58Error, KeyFormatError, NonContributoryKeyError, SignatureError

KINDS = {"secret_key": "SecretKey", "public_key": "PublicKey", "peer_id": "PeerId"}

DIFFERENCES = {
    ("identity", "chain_id_texts", "66 digits"): "protocol.md §1: exactly 64 hex digits; the reference ignores the rest"
}


@pytest.mark.entries("identity", "keys")
def test_vector_keys(backend: ModuleType, entry: dict[str, Any]) -> None:
    key = backend.SecretKey.from_seed(bytes.fromhex(entry["seed_hex"]))
    if "deterministic_index" in entry:
        assert backend.SecretKey.deterministic(entry["deterministic_index"]) == key
    assert key.expose_base58check() == entry["secret_key_text"] == json.loads(entry["secret_key_json"])
    assert backend.SecretKey.parse(entry["secret_key_text"]) == key
    assert key.expose_pem() == entry["pem"]
    assert backend.SecretKey.from_pem(entry["pem"]) == key
    assert repr(key) == str(key) == entry["secret_key_debug"]

    public_key, peer_id = key.public_key, key.peer_id
    assert bytes(public_key).hex() == entry["public_key_hex"]
    assert str(public_key) == entry["public_key_text"] == json.loads(entry["public_key_json"])
    assert backend.PublicKey.parse(entry["public_key_text"]) == public_key
    assert bytes(peer_id).hex() == entry["peer_id_hex"]
    assert str(peer_id) == entry["peer_id_text"] == json.loads(entry["peer_id_json"])
    assert backend.PeerId.parse(entry["peer_id_text"]) == peer_id == public_key.peer_id
    assert peer_id.public_key == public_key
    assert peer_id.to_libp2p() == entry["libp2p_peer_id_text"]
    assert backend.PeerId.from_libp2p(entry["libp2p_peer_id_text"]) == peer_id

    assert sha512(key.expose_seed()).digest()[:32].hex() == entry["x25519_secret_bytes_hex"]
    assert public_key.to_x25519().hex() == entry["x25519_public_hex"]


@pytest.mark.entries("identity", "peer_id_order")
def test_vector_peer_id_order(backend: ModuleType, entry: dict[str, Any]) -> None:
    ids = [backend.PeerId.parse(text) for text in entry["peer_ids"]]
    assert [str(peer_id) for peer_id in sorted(ids)] == entry["sorted_ascending"]


@pytest.mark.entries("identity", "points")
def test_vector_points(backend: ModuleType, entry: dict[str, Any]) -> None:
    point = bytes.fromhex(entry["point_hex"])
    peer_id = backend.PeerId.from_bytes(point)
    assert str(peer_id) == entry["peer_id_text"]
    if entry["peer_id_text_parses"]:
        assert backend.PeerId.parse(entry["peer_id_text"]) == peer_id
    if not entry["is_valid_public_key"]:
        for refused in (
            lambda: backend.PublicKey.from_bytes(point),
            lambda: backend.PublicKey.parse(entry["public_key_text"]),
            lambda: peer_id.public_key,
            peer_id.to_libp2p,
        ):
            with pytest.raises(KeyFormatError):
                refused()
        assert not entry["public_key_text_parses"]
        return
    public_key = backend.PublicKey.from_bytes(point)
    assert entry["public_key_text_parses"]
    assert backend.PublicKey.parse(entry["public_key_text"]) == public_key
    assert str(public_key) == entry["public_key_text"]
    assert bytes(public_key).hex() == entry["public_key_hex_after_round_trip"]
    assert peer_id.to_libp2p() == entry["libp2p_peer_id_text"]
    own = backend.SecretKey.deterministic(0)
    assert entry["shared_key_is_contributory"] == entry["encrypt_to_it_succeeds"]
    if entry["encrypt_to_it_succeeds"]:
        cipher = backend.Cipher(own, public_key)
        assert cipher.open(cipher.seal(b"message")) == b"message"
    else:
        with pytest.raises(NonContributoryKeyError):
            backend.Cipher(own, public_key)


@pytest.mark.entries("identity", "texts")
def test_vector_texts(backend: ModuleType, entry: dict[str, Any]) -> None:
    parse = getattr(backend, KINDS[entry["kind"]]).parse
    if not entry["valid"]:
        error = KeyFormatError if entry["why"].startswith("not on the curve") else Base58Error
        with pytest.raises(error):
            parse(entry["text"])
        return
    value = parse(entry["text"])
    assert (value.expose_base58check() if entry["kind"] == "secret_key" else str(value)) == entry["text"]


@pytest.mark.entries("identity", "libp2p_peer_ids")
def test_vector_libp2p_peer_ids(backend: ModuleType, entry: dict[str, Any]) -> None:
    text = entry["libp2p_peer_id_text"]
    if entry["valid"]:
        assert str(backend.PeerId.from_libp2p(text)) == entry["peer_id_text"]
        return
    with pytest.raises(Base58Error if "outside the alphabet" in entry["why"] else KeyFormatError):
        backend.PeerId.from_libp2p(text)


@pytest.mark.entries("identity", "signatures")
def test_vector_signatures(backend: ModuleType, entry: dict[str, Any]) -> None:
    key = backend.SecretKey.from_seed(bytes.fromhex(entry["seed_hex"]))
    message = bytes.fromhex(entry["message_hex"])
    signature = key.sign(message)
    assert str(key.public_key) == entry["public_key_text"]
    assert str(signature) == entry["signature_text"] == json.loads(entry["signature_json"])
    assert backend.Signature.parse(entry["signature_text"]) == signature
    key.public_key.verify(message, signature)
    assert str(key.sign(b"libp2p-pubsub:" + message)) == entry["libp2p_pubsub_signature_text"]


@pytest.mark.entries("identity", "signature_texts")
def test_vector_signature_texts(backend: ModuleType, entry: dict[str, Any]) -> None:
    if entry["valid"]:
        assert str(backend.Signature.parse(entry["text"])) == entry["canonical_text"]
        return
    with pytest.raises(KeyFormatError):
        backend.Signature.parse(entry["text"])


@pytest.mark.entries("identity", "chain_ids")
def test_vector_chain_ids(backend: ModuleType, entry: dict[str, Any]) -> None:
    chain = backend.ChainId.parse(entry["chain_id_text"])
    assert str(chain) == entry["chain_id_text"]
    assert backend.ChainId.from_bytes(bytes.fromhex(entry["chain_id_text"])) == chain
    assert chain.preshared_key().hex() == entry["preshared_key_hex"]
    if entry["name"] is not None:
        assert getattr(backend.ChainId, entry["name"].upper()) == chain


@pytest.mark.entries("identity", "chain_id_texts")
def test_vector_chain_id_texts(backend: ModuleType, entry: dict[str, Any]) -> None:
    known = ("identity", "chain_id_texts", entry["why"]) in DIFFERENCES
    if entry["reference_accepts"] and not known:
        assert str(backend.ChainId.parse(entry["text"])) == entry["canonical_text"]
        return
    with pytest.raises(KeyFormatError):
        backend.ChainId.parse(entry["text"])


@pytest.mark.entries("identity", "chain_id_compute")
def test_vector_chain_id_compute(backend: ModuleType, entry: dict[str, Any]) -> None:
    chain = backend.ChainId.compute(
        [bytes.fromhex(digest) for digest in entry["constraint_system_digests_hex"]],
        entry["genesis_state_hash_text"],
        *(entry[name] for name in ("genesis_timestamp_ms", "k", "slots_per_epoch", "slots_per_sub_window", "delta")),
        entry["protocol_transaction_version"],
        entry["protocol_network_version"],
        entry["tx_pool_max_size"],
    )
    assert str(chain) == entry["chain_id_text"]


def test_random_keys_differ(backend: ModuleType) -> None:
    keys = [backend.SecretKey.random() for _ in range(8)]
    assert len({key.expose_seed() for key in keys}) == 8


def test_secret_keys_are_equal_by_seed_and_have_no_hash_or_order(backend: ModuleType) -> None:
    key = backend.SecretKey.deterministic(1)
    assert key == backend.SecretKey.deterministic(1)
    assert key != backend.SecretKey.deterministic(2)
    assert key != key.expose_seed()
    with pytest.raises(TypeError):
        hash(key)
    with pytest.raises(TypeError):
        key < key  # noqa: B015, PLR0124


def test_deterministic_index_is_bounded(backend: ModuleType) -> None:
    assert backend.SecretKey.deterministic(2**64 - 2).expose_seed() == bytes(24) + b"\xff" * 8
    for index in (-1, 2**64 - 1):
        with pytest.raises(OverflowError):
            backend.SecretKey.deterministic(index)


@pytest.mark.parametrize("name", ["PublicKey", "PeerId", "Signature", "ChainId"])
def test_values_are_immutable_hashable_picklable(backend: ModuleType, name: str) -> None:
    kind = getattr(backend, name)
    size = 64 if name == "Signature" else 32
    value, same = kind.from_bytes(b"\1" + bytes(size - 1)), kind.from_bytes(bytearray(b"\1" + bytes(size - 1)))
    assert value == same
    assert hash(value) == hash(same)
    assert value != bytes(value)
    assert repr(value) == f'{name}("{value}")'
    for copied in (pickle.loads(pickle.dumps(value)), copy.copy(value), copy.deepcopy(value)):
        assert type(copied) is kind
        assert copied == value
    with pytest.raises(AttributeError):
        value.anything = 1
    with pytest.raises(TypeError):
        kind(bytes(size))
    with pytest.raises(TypeError):
        type("Child", (kind,), {})
    for wrong in (size - 1, size + 1, 0):
        with pytest.raises(KeyFormatError):
            kind.from_bytes(bytes(wrong))


def test_ordering_is_by_bytes_and_within_one_type(backend: ModuleType) -> None:
    low, high = (backend.PeerId.from_bytes(bytes([first]) + bytes(31)) for first in (1, 0x80))
    assert low < high
    assert low <= high
    assert high > low
    assert high >= low
    assert not low < low  # noqa: PLR0124
    with pytest.raises(TypeError):
        low < low.to_libp2p  # noqa: B015


def test_signatures_bind_key_and_message(backend: ModuleType) -> None:
    key = backend.SecretKey.deterministic(3)
    signature = key.sign(memoryview(b"message"))
    flipped = backend.Signature.from_bytes(bytes(signature)[:-1] + b"\0")
    for public_key, message, candidate in (
        (key.public_key, b"other", signature),
        (key.public_key, b"message", flipped),
        (backend.SecretKey.deterministic(4).public_key, b"message", signature),
    ):
        with pytest.raises(SignatureError):
            public_key.verify(message, candidate)
    with pytest.raises(TypeError):
        key.public_key.verify(b"message", bytes(signature))


def test_pem_of_version_one_and_other_line_ends(backend: ModuleType) -> None:
    key = backend.SecretKey.deterministic(5)
    version_one = bytes.fromhex("302e020100300506032b657004220420") + key.expose_seed()
    assert backend.SecretKey.from_pem(_pem(version_one)) == key
    assert backend.SecretKey.from_pem(key.expose_pem().replace("\n", "\r\n")) == key
    assert backend.SecretKey.from_pem("# a comment before it\n" + key.expose_pem()) == key


@pytest.mark.parametrize("cut", [0, 10, 30, 80, 140])
def test_damaged_pem_is_refused_without_quoting_it(backend: ModuleType, cut: int) -> None:
    pem = backend.SecretKey.deterministic(5).expose_pem()
    with pytest.raises(KeyFormatError) as caught:
        backend.SecretKey.from_pem(pem[:cut])
    assert "MFECAQ" not in str(caught.value)


def test_pem_with_the_public_key_of_another_is_refused(backend: ModuleType) -> None:
    first, other = (backend.SecretKey.deterministic(index).expose_pem().splitlines() for index in (1, 2))
    with pytest.raises(KeyFormatError):
        backend.SecretKey.from_pem("\n".join([*first[:2], *other[2:], ""]))


def _pem(der: bytes) -> str:
    return f"-----BEGIN PRIVATE KEY-----\n{b64encode(der).decode()}\n-----END PRIVATE KEY-----\n"
