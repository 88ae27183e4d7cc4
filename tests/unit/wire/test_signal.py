"""Signaling messages as JSON, encrypted, and in the GET form (protocol.md §4, §5)."""

from __future__ import annotations

import json
import re
from ipaddress import IPv4Address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.wire.support import HOSTS, PORTS, entries, host_of, label

from mina_webrtc._backend import BinProtReader, BinProtWriter, base58_encode
from mina_webrtc.errors import CryptoError, InvalidInput, SignalError
from mina_webrtc.identity import ChainId, Cipher, PeerId, PublicKey, SecretKey
from mina_webrtc.wire.address import Host, Http
from mina_webrtc.wire.auth import ConnectionAuthEncrypted
from mina_webrtc.wire.signal import (
    MAX_GET,
    Answer,
    EncryptedAnswer,
    EncryptedOffer,
    Offer,
    P2pConnectionResponse,
    RejectionReason,
    Signal,
    offer_from_get,
    offer_to_get,
)

FILE = "signaling_json.json"
TYPES: dict[str, Any] = {
    "Offer": Offer,
    "Answer": Answer,
    "Signal": Signal,
    "P2pConnectionResponse": P2pConnectionResponse,
    "Host": Host,
    "EncryptedOffer": EncryptedOffer,
    "EncryptedAnswer": EncryptedAnswer,
    "ConnectionAuthEncrypted": ConnectionAuthEncrypted,
}

# Knowingly stricter than the reference, by list and `why` of signaling_json.json: protocol.md §1, "This project:
# exactly 64 hex digits of either case".
STRICTER = {"accepted": re.compile(r"chain_id \d+ digits")}

KEYS = [SecretKey.deterministic(index) for index in range(3)]
OFFER = Offer.new("v=0\r\n", ChainId.DEVNET, KEYS[0].public_key, KEYS[1].peer_id, Host.domain("a"), 80)
ANSWER = Answer.new("v=0\r\n", KEYS[1].public_key, KEYS[0].peer_id)


def built(kind: str, value: Any) -> Any:
    """The value that a `written` vector describes, made with this project's constructors."""
    match kind:
        case "Offer":
            return Offer.new(
                value["sdp"],
                ChainId.parse(value["chain_id"]),
                PublicKey.parse(value["identity_pub_key"]),
                PeerId.parse(value["target_peer_id"]),
                host_of(value["host_kind"], value["host_text"]),
                value["listen_port"],
            )
        case "Answer":
            return Answer.new(
                value["sdp"], PublicKey.parse(value["identity_pub_key"]), PeerId.parse(value["target_peer_id"])
            )
    return None


@pytest.mark.parametrize("entry", entries(FILE, "written"), ids=label)
def test_written_vector(entry: dict[str, Any]) -> None:
    data = entry["json_text"].encode()
    value = TYPES[entry["type"]].from_json(data)
    assert value.to_json() == data
    made = built(entry["type"], entry.get("value"))
    if made is not None:
        assert made == value
        assert made.to_json() == data
        assert hash(made) == hash(value)


@pytest.mark.parametrize("entry", entries(FILE, "accepted"), ids=label)
def test_accepted_vector(entry: dict[str, Any]) -> None:
    data = entry["json_text"].encode()
    if STRICTER["accepted"].fullmatch(entry["why"]):
        with pytest.raises(SignalError):
            TYPES[entry["type"]].from_json(data)
    else:
        assert TYPES[entry["type"]].from_json(data).to_json().decode() == entry["canonical_json_text"]


@pytest.mark.parametrize("entry", entries(FILE, "rejected"), ids=label)
def test_rejected_vector(entry: dict[str, Any]) -> None:
    data = bytes.fromhex(entry["json_hex"]) if "json_hex" in entry else entry["json_text"].encode()
    with pytest.raises(InvalidInput):
        TYPES[entry["type"]].from_json(data)


@pytest.mark.parametrize("entry", entries(FILE, "rejection_reasons"), ids=lambda entry: str(entry["reason"]))
def test_rejection_reason_vector(entry: dict[str, Any]) -> None:
    reason = RejectionReason(entry["reason"])
    response = P2pConnectionResponse.rejected(reason)
    assert (reason.is_bad, response.is_bad) == (entry["is_bad"], entry["is_bad"])
    assert reason.display == entry["display"]
    assert response.http_status == entry["http_status"]


@pytest.mark.parametrize("entry", entries(FILE, "encrypted"), ids=label)
def test_encrypted_vector(entry: dict[str, Any]) -> None:
    kind = TYPES[entry["type"]]
    sender = SecretKey.from_seed(bytes.fromhex(entry["sender_seed_hex"]))
    receiver = SecretKey.from_seed(bytes.fromhex(entry["receiver_seed_hex"]))
    sealed = kind(bytes.fromhex(entry["encrypted_hex"]))
    cipher = Cipher(receiver, sender.public_key)
    opened = sealed.open(cipher)
    assert opened.to_json().decode() == entry["decrypted_json_text"]
    assert sealed.to_json().decode() == entry["json_text"]
    assert kind.from_json(entry["json_text"].encode()) == sealed
    writer = BinProtWriter()
    writer.byte_list(sealed.data)
    assert writer.getvalue().hex() == entry["bin_prot_hex"]
    assert BinProtReader(bytes.fromhex(entry["bin_prot_hex"])).byte_list() == sealed.data
    assert kind.seal(Cipher(sender, receiver.public_key), opened).open(cipher) == opened


@pytest.mark.parametrize("entry", entries(FILE, "encrypted_rejected"), ids=label)
def test_encrypted_rejected_vector(entry: dict[str, Any]) -> None:
    receiver = SecretKey.from_seed(bytes.fromhex(entry["receiver_seed_hex"]))
    cipher = Cipher(receiver, PublicKey.parse(entry["sender_public_key_text"]))
    with pytest.raises((SignalError, CryptoError)):
        TYPES[entry["type"]](bytes.fromhex(entry["encrypted_hex"])).open(cipher)


@pytest.mark.parametrize("entry", entries(FILE, "http_get"), ids=label)
def test_http_get_vector(entry: dict[str, Any]) -> None:
    offer = offer_from_get(entry["base58"])
    assert offer.to_json().decode() == entry["offer_json_text"]
    assert offer_to_get(offer) == entry["base58"]
    assert entry["url_path"].endswith("/mina/webrtc/signal/" + offer_to_get(offer))


@pytest.mark.parametrize("entry", entries(FILE, "http_get_rejected"), ids=label)
def test_http_get_rejected_vector(entry: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        offer_from_get(entry["base58"])
    response = P2pConnectionResponse.signal_decryption_failed()
    assert (response.to_json().decode(), response.http_status) == (entry["expected_body"], entry["expected_status"])


OFFERS = st.builds(
    Offer.new,
    st.text(max_size=60),
    st.just(ChainId.MAINNET),
    st.sampled_from([key.public_key for key in KEYS]),
    st.sampled_from([key.peer_id for key in KEYS]),
    HOSTS | st.text(max_size=10).map(Host.domain),
    st.none() | PORTS,
)


@given(OFFERS)
def test_offers_survive_json_in_any_field_order(offer: Offer) -> None:
    assert Offer.from_json(offer.to_json()) == offer
    assert Signal.parse(Signal(offer).to_json()).message == offer
    fields = json.loads(offer.to_json())
    shuffled = json.dumps(dict(reversed(fields.items())), indent=1).encode()
    assert Offer.from_json(shuffled) == offer


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_a_message_or_a_signal_error(data: bytes) -> None:
    for kind in (Offer, Answer, Signal, P2pConnectionResponse, Host, EncryptedOffer):
        try:
            kind.from_json(data)
        except SignalError:
            continue


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("Offer"),
        lambda inner: (
            st.lists(inner, max_size=6)
            | st.dictionaries(
                st.sampled_from([*Offer.__struct_fields__, "Offer", "Accepted", "Rejected", "Domain", "Ipv6"]),
                inner,
                max_size=6,
            )
        ),
        max_leaves=12,
    )
)
def test_any_json_is_a_message_or_a_signal_error(value: object) -> None:
    data = json.dumps(value).encode()
    for kind in (Offer, Answer, Signal, P2pConnectionResponse, Host, EncryptedOffer):
        try:
            kind.from_json(data)
        except SignalError:
            continue


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 200 + b"]" * 200,
        b'{"zz":' * 200 + b"1" + b"}" * 200,
        b"[" * 60_000,
        b'"' + b"[" * 200 + b'"',
        b'{"sdp":"' + b"a" * 70_000 + b'"}',
        b"1" * 5000,
        b'{"\\ud800":1}',
        b"\xef\xbb\xbf{}",
    ],
)
def test_hostile_json_is_a_signal_error(data: bytes) -> None:
    with pytest.raises(SignalError):
        Offer.from_json(data)


def test_deep_but_legal_unknown_fields_are_ignored() -> None:
    extra = b',"zz":' + b"[" * 126 + b"]" * 126 + b"}"
    assert Offer.from_json(OFFER.to_json()[:-1] + extra) == OFFER
    brackets_in_text = b',"zz":"' + b"[" * 200 + b'\\""}'
    assert Offer.from_json(OFFER.to_json()[:-1] + brackets_in_text) == OFFER


def test_encrypted_messages_are_bounded() -> None:
    largest = EncryptedOffer(b"\xff" * 16384)
    assert EncryptedOffer.from_json(largest.to_json()) == largest
    with pytest.raises(SignalError):
        EncryptedAnswer.from_json(EncryptedAnswer(bytes(16385)).to_json())


def test_the_get_form_is_bounded_both_ways() -> None:
    big = Offer.new("a" * 13_000, ChainId.DEVNET, KEYS[0].public_key, KEYS[1].peer_id)
    with pytest.raises(SignalError):
        offer_to_get(big)
    with pytest.raises(InvalidInput):
        offer_from_get(base58_encode(big.to_json()))
    fitting = Offer.new("a" * 11_500, ChainId.DEVNET, KEYS[0].public_key, KEYS[1].peer_id)
    text = offer_to_get(fitting)
    assert len(text) <= MAX_GET
    assert offer_from_get(text) == fitting


@pytest.mark.parametrize(
    ("response", "kind", "status"),
    [
        (P2pConnectionResponse.accepted(ANSWER), "Accepted", 200),
        (P2pConnectionResponse.rejected(RejectionReason.PEER_CAPACITY_FULL), "Rejected", 200),
        (P2pConnectionResponse.rejected(RejectionReason.ALREADY_CONNECTED), "Rejected", 400),
        (P2pConnectionResponse.signal_decryption_failed(), "SignalDecryptionFailed", 400),
        (P2pConnectionResponse.internal_error(), "InternalError", 500),
    ],
)
def test_responses_name_their_kind_and_status(response: P2pConnectionResponse, kind: str, status: int) -> None:
    assert (response.kind, response.http_status) == (kind, status)
    assert P2pConnectionResponse.from_json(response.to_json()) == response


def test_a_sdp_with_a_lone_surrogate_cannot_be_offered() -> None:
    with pytest.raises(SignalError):
        Offer.new("\ud800", ChainId.DEVNET, KEYS[0].public_key, KEYS[1].peer_id)
    with pytest.raises(SignalError):
        Offer.new("", ChainId.DEVNET, KEYS[0].public_key, KEYS[1].peer_id, Host.domain("a"), 65536)


def test_the_claimed_dial_address_of_an_offer() -> None:
    def claim(host: Host, port: int | None) -> Any:
        return Offer.new("", ChainId.DEVNET, KEYS[0].public_key, KEYS[1].peer_id, host, port).dial_address

    address = claim(Host.domain("127.0.0.1"), 80)
    assert address.peer == KEYS[0].peer_id
    assert address.method == Http(Host.ip(IPv4Address("127.0.0.1")), 80)
    assert claim(Host.domain("a"), None) is None
    assert claim(Host.domain("evil/../x?"), 80) is None


def test_reprs_do_not_spill_the_sdp() -> None:
    secret = "a=ice-pwd:not-for-logs"
    offer = Offer.new(secret, ChainId.DEVNET, KEYS[0].public_key, KEYS[1].peer_id)
    answer = Answer.new(secret, KEYS[1].public_key, KEYS[0].peer_id)
    for value in (offer, answer, Signal(offer), P2pConnectionResponse.accepted(answer)):
        assert "not-for-logs" not in repr(value)


def test_reading_an_offer_is_quick(benchmark: Any) -> None:
    data = Offer.new("a=x\r\n" * 340, ChainId.DEVNET, KEYS[0].public_key, KEYS[1].peer_id).to_json()
    assert benchmark(Offer.from_json, data).to_json() == data
