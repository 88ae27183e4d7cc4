"""`inspect` tells every vector for what it is, or refuses it."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest
from tests.conftest import read_vectors
from tests.unit.cli.inspecting import KEY, ends_well, first

from mina_webrtc import SecretKey
from mina_webrtc._backend import base58_encode
from mina_webrtc.cli.inspect import Kind
from mina_webrtc.cli.inspect_found import Asked
from mina_webrtc.cli.inspect_messages import PERHAPS_SEALED
from mina_webrtc.cli.inspect_text import explain
from mina_webrtc.wire.auth import ConnectionAuth
from mina_webrtc.wire.channels import Channel


@pytest.mark.entries("identity", "keys")
def test_vector_keys_and_ids(entry: dict[str, Any]) -> None:
    for name, kind in (("public_key_text", "public key"), ("peer_id_text", "peer id")):
        told = first(entry[name])
        assert told["kind"] == kind
        assert told["public_key"] == entry["public_key_text"]
        assert told["peer_id"] == entry["peer_id_text"]
        assert told["could_also_be"] == []
    told = first(entry["secret_key_text"])
    assert told["kind"] == "secret key"
    assert told["peer_id"] == entry["peer_id_text"]
    assert entry["secret_key_text"] not in str(told)
    assert entry["seed_hex"] not in str(told)


@pytest.mark.entries("identity", "libp2p_peer_ids")
def test_vector_libp2p_ids(entry: dict[str, Any]) -> None:
    if entry["valid"]:
        assert first(entry["libp2p_peer_id_text"])["peer_id"] == entry["peer_id_text"]
    else:
        ends_well(entry["libp2p_peer_id_text"])


@pytest.mark.entries("identity", "texts")
def test_vector_texts_are_explained_or_refused(entry: dict[str, Any]) -> None:
    if entry["valid"]:
        assert first(entry["text"])["kind"] == entry["kind"].replace("_", " ")
    else:
        ends_well(entry["text"])


@pytest.mark.entries("identity", "signatures")
def test_vector_signatures(entry: dict[str, Any]) -> None:
    assert first(entry["signature_text"])["kind"] == "signature"
    assert first(entry["signature_json"])["signature"] == entry["signature_text"]


@pytest.mark.entries("identity", "chain_ids")
def test_vector_chain_ids(entry: dict[str, Any]) -> None:
    told = first(entry["chain_id_text"])
    if told["kind"] == "public key or peer id, raw":  # an unknown id that happens to be a point of the curve
        assert entry["name"] is None
        told = told["could_also_be"][-1]
    assert told["kind"] == "chain id"
    forced = first(entry["chain_id_text"], Asked(kind=Kind.chain_id))
    assert forced["libp2p_preshared_key"] == entry["preshared_key_hex"]
    if entry["name"] in ("devnet", "mainnet"):
        assert told["network"] == entry["name"]
        assert told["libp2p_preshared_key"] == entry["preshared_key_hex"]
    else:
        assert told["network"] == "none that is known here"


KINDS = {
    "Offer": "offer",
    "Answer": "answer",
    "P2pConnectionResponse": "connection response",
    "Signal": "signal",
    "Host": "host",
    "SignalingMethod": "signaling method",
    "ConnectionAuthEncrypted": "connection auth (encrypted)",
    "EncryptedOffer": PERHAPS_SEALED,
    "EncryptedAnswer": PERHAPS_SEALED,
    "PeerId": "peer id",
    "PublicKey": "public key",
    "Signature": "signature",
    "ChainId": "chain id",
}


@pytest.mark.entries("signaling_json", "written")
def test_vector_json(entry: dict[str, Any]) -> None:
    told = first(entry["json_text"])
    assert told["kind"] in (KINDS[entry["type"]], "connection auth (encrypted)"), entry["type"]


@pytest.mark.entries("signaling_json", "rejected")
def test_vector_json_rejected(entry: dict[str, Any]) -> None:
    ends_well(entry["json_text"] if "json_text" in entry else bytes.fromhex(entry["json_hex"]))


@pytest.mark.entries("signaling_json", "encrypted")
def test_vector_encrypted_json_is_opened_with_its_keys(entry: dict[str, Any]) -> None:
    sender = SecretKey.from_seed(bytes.fromhex(entry["sender_seed_hex"]))
    receiver = SecretKey.from_seed(bytes.fromhex(entry["receiver_seed_hex"]))
    text = json.dumps(list(bytes.fromhex(entry["encrypted_hex"])))
    assert "--key-file" in first(text)["sealed"]
    raw = bytes.fromhex(entry["encrypted_hex"])
    kind = "offer" if entry["type"] == "EncryptedOffer" else "connection response"
    for own, peer in ((receiver, sender), (sender, receiver)):
        for content in (text, raw, raw.hex(), base58_encode(raw), b64encode(raw).decode()):
            told = first(content, Asked(secret_key=own, peer=peer.public_key))
            assert (told["kind"], told["opened"]["kind"]) == (f"{kind} (encrypted)", kind)


@pytest.mark.entries("signaling_json", "http_get")
def test_vector_get_offers(entry: dict[str, Any]) -> None:
    expected = first(entry["offer_json_text"])
    for text in (entry["base58"], f"GET /mina/webrtc/signal/{entry['base58']} HTTP/1.1"):
        told = first(text)
        assert told["kind"] == "offer"
        assert told["sdp"] == expected["sdp"]


@pytest.mark.entries("addresses", "signaling_methods")
def test_vector_signaling_methods(entry: dict[str, Any]) -> None:
    if entry["ok"] and entry["text"].startswith("/"):
        assert first(entry["text"])["kind"] == "signaling method"
    else:
        ends_well(entry["text"])


@pytest.mark.entries("addresses", "dial_addresses")
def test_vector_dial_addresses(entry: dict[str, Any]) -> None:
    if not entry["ok"] or not entry["text"].startswith("/"):
        ends_well(entry["text"])
    elif entry["kind"] == "webrtc":
        told = first(entry["text"])
        assert told["kind"] == "dial address"
        assert told["peer"]["peer_id"] == entry["peer_id"]
        assert first(told["multiaddr"])["peer"] == told["peer"]
    else:
        assert first(entry["text"])["kind"] == "libp2p address"


@pytest.mark.entries("bin_prot", "channel_messages")
def test_vector_messages_and_frames(entry: dict[str, Any]) -> None:
    asked = Asked(channel=Channel(entry["channel_id"]))
    payload = first(entry["payload_hex"], asked)
    assert payload["kind"] == "bin_prot message"
    assert payload["label"] == entry["channel_name"]
    frame = first(entry["framed_hex"], asked)
    assert frame["kind"] == "frame"
    assert frame["frames"][0]["message"] == payload["message"]
    anywhere = explain(bytes.fromhex(entry["payload_hex"]), Asked())
    readings = [reading for found in anywhere for reading in found.facts.get("readings", [found.facts])]
    assert entry["channel_id"] in [reading.get("channel") for reading in readings]


@pytest.mark.entries("bin_prot", "channel_message_reads")
def test_vector_damaged_messages(entry: dict[str, Any]) -> None:
    ends_well(entry["payload_hex"])


@pytest.mark.entries("connection_auth", "valid")
def test_vector_connection_auth(entry: dict[str, Any]) -> None:
    offerer = SecretKey.from_seed(bytes.fromhex(entry["offerer_seed_hex"]))
    answerer = SecretKey.from_seed(bytes.fromhex(entry["answerer_seed_hex"]))
    sealed = bytes(ConnectionAuth.new(entry["offer_sdp"], entry["answer_sdp"]).encrypt(offerer, answerer.public_key))
    for content in (sealed.hex(), sealed, json.dumps(list(sealed))):
        told = first(content, Asked(secret_key=answerer, peer=offerer.public_key))
        assert told["kind"] == "connection auth (encrypted)"
        assert told["opened"]["offer_sdp_sha256"] == entry["offer_sdp_hash_hex"]
    wrong = first(sealed, Asked(secret_key=KEY, peer=offerer.public_key))
    assert wrong["sealed"] == "not between these two keys, or changed"


@pytest.mark.entries("encrypted_key", "decrypts_to")
def test_vector_encrypted_key_files(entry: dict[str, Any]) -> None:
    told = first(entry["file_text"])
    assert told["kind"] == "encrypted key file"
    assert told["memory_bytes"] == json.loads(entry["file_text"])["pwdiff"][0]


def test_every_channel_of_the_vectors_is_tried() -> None:
    assert {entry["channel_id"] for entry in read_vectors("bin_prot")["channel_messages"]} == set(range(1, 9))
