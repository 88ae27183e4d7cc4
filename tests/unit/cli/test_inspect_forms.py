"""`inspect`: the forms in which the same can be written, one reading by `--as`, and what a refusal says."""

from __future__ import annotations

import json
from base64 import b64encode, urlsafe_b64encode
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.cli.conftest import Cli
from tests.unit.cli.inspecting import ANSWER, KEY, OFFER, OTHER, SDP, ends_well, first

from mina_webrtc import ChainId
from mina_webrtc._backend import base58_encode, frame_chunks
from mina_webrtc.cli.inspect import Kind
from mina_webrtc.cli.inspect_found import Asked
from mina_webrtc.cli.inspect_messages import MAX_LISTED, PERHAPS_SEALED
from mina_webrtc.cli.inspect_text import explain
from mina_webrtc.cli.inspect_values import is_point
from mina_webrtc.errors import InvalidInput
from mina_webrtc.identity import Cipher
from mina_webrtc.keybox import PUBLIC, libp2p_text
from mina_webrtc.wire.auth import ConnectionAuth
from mina_webrtc.wire.channels import Channel
from mina_webrtc.wire.messages import Rpc, RpcRequest, encode_message
from mina_webrtc.wire.signal import EncryptedOffer, P2pConnectionResponse, Signal, offer_to_get

ID = KEY.peer_id.to_libp2p()
ADDRESS = f"/ip4/192.0.2.1/tcp/3000/webrtc/http/p2p/{ID}"
OFFER_TEXT = OFFER.to_json().decode()
RAW = bytes(KEY.public_key)
FRAME = b"".join(frame_chunks(encode_message(Channel.RPC, RpcRequest(2, Rpc.BLOCK, bytes(32)))))
SEALED = EncryptedOffer.seal(Cipher(KEY, OTHER.public_key), OFFER).data
OFF_CURVE = next(bytes([n] * 32) for n in range(0x20, 0x80) if not is_point(bytes([n] * 32)))
KEYS = {"peer_id": str(KEY.peer_id), "libp2p_peer_id": ID, "public_key": str(KEY.public_key)}


def _refusal(content: str | bytes, asked: Asked | None = None) -> str:
    with pytest.raises(InvalidInput) as caught:
        explain(content, asked or Asked())
    return str(caught.value)


def _written(data: bytes) -> list[str | bytes]:
    return [
        data,
        data.hex(),
        json.dumps(list(data)),
        json.dumps(list(data), separators=(",", ":")),
        ",".join(f"0x{byte:02x}" for byte in data),
        f"{{{', '.join(map(hex, data))}}};",
        b64encode(data).decode(),
        urlsafe_b64encode(data).decode().rstrip("="),
        b64encode(data).decode()[:40] + "\n" + b64encode(data).decode()[40:],
    ]


# ---------------------------------------------------------------- keys and ids without a checksum


@pytest.mark.parametrize("content", [*_written(RAW), base58_encode(RAW)])
def test_a_raw_public_key_is_told_in_all_its_texts(content: str | bytes) -> None:
    told = first(content)
    assert told["kind"] == "public key or peer id, raw"
    assert {name: told[name] for name in KEYS} == KEYS
    assert [other["kind"] for other in told["could_also_be"]] == ["chain id"]


def test_a_known_chain_is_certain_and_32_bytes_that_are_no_key_are_not_shown() -> None:
    assert first(str(ChainId.MAINNET)) == {
        "kind": "chain id",
        "form": "hex",
        "network": "mainnet",
        "chain_id": str(ChainId.MAINNET),
        "libp2p_preshared_key": ChainId.MAINNET.preshared_key().hex(),
        "could_also_be": [],
    }
    told = first(OFF_CURVE.hex())
    assert [told["kind"], *(other["kind"] for other in told["could_also_be"])] == ["chain id", "peer id, raw"]
    assert OFF_CURVE.hex() not in str(told)
    assert first(OFF_CURVE.hex(), Asked(kind=Kind.chain_id))["chain_id"] == OFF_CURVE.hex()


@pytest.mark.parametrize("form", ["triple", "private", "raw"])
def test_secret_keys_as_other_tools_keep_them_are_known_and_not_shown(form: str) -> None:
    triple = libp2p_text(KEY).decode()
    pair = KEY.expose_seed() + RAW
    told = first({"triple": triple, "private": triple.split(",")[0], "raw": pair.hex()}[form])
    assert told["kind"].startswith("secret key")
    assert told["public_key"] == str(KEY.public_key)
    assert told["could_also_be"] == []
    assert KEY.expose_seed().hex() not in str(told)


def test_a_libp2p_public_key_in_base64() -> None:
    told = first(b64encode(PUBLIC + RAW).decode())
    assert (told["kind"], told["public_key"]) == ("public key", str(KEY.public_key))


@pytest.mark.parametrize("cut", [0, 1, 25, 49, 50])
def test_a_secret_that_lacks_a_character_is_not_shown_as_a_message(cut: int) -> None:
    text = KEY.expose_base58check()
    assert "checksum does not fit" in _refusal(text[:cut] + text[cut + 1 :])
    assert "checksum does not fit" in _refusal(base58_encode(b"\x02" + bytes(range(35))))


# ---------------------------------------------------------------- bytes


@pytest.mark.parametrize("content", [*_written(FRAME), base58_encode(FRAME)])
def test_a_frame_in_any_form(content: str | bytes) -> None:
    told = first(content)
    assert told["kind"] == "frame"
    assert told["frames"][0]["message"]["kind"] == "BLOCK"


@pytest.mark.parametrize("content", [*_written(SEALED), base58_encode(SEALED)])
def test_what_is_sealed_is_opened_in_any_form(content: str | bytes) -> None:
    told = first(content, Asked(secret_key=OTHER, peer=KEY.public_key))
    assert told["kind"] == "offer (encrypted)"
    assert told["opened"]["offerer"] == KEYS
    assert told["could_also_be"] == []
    for asked in (Asked(), Asked(secret_key=OTHER, peer=OTHER.public_key)):
        closed = first(content, asked)
        last = [closed, *closed["could_also_be"]][-1]
        assert last["kind"] == PERHAPS_SEALED
        assert SEALED[:12].hex() not in str(last)


def test_numbers_are_not_taken_for_sealed_ones_only() -> None:
    assert first("[0,0,0,3,0,1,6]")["kind"] == "frame"
    assert first(json.dumps(list(encode_message(Channel.RPC, RpcRequest(2, Rpc.BLOCK, bytes(32))))))["kind"].startswith(
        "bin_prot message"
    )
    assert "no frame, message or value" in _refusal(json.dumps([255] * 40))


def test_why_it_is_no_message_of_the_channel() -> None:
    assert _refusal("0105004ba2", Asked(Channel.STREAMING)) == (
        "5 bytes in hex: no frame and no message on channel 8 (rpc/streaming): 32 bytes are needed, 2 are left"
    )
    assert "channel 0, which carries 92 bytes" in _refusal("00", Asked(Channel.AUTH))
    note = first("00000003ffffff", Asked(Channel.RPC))["frames"][0]["note"]
    assert note.startswith("no message: on channel 7 (rpc): ")


# ---------------------------------------------------------------- around the content


def test_a_byte_order_mark_is_left_out(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "offer").write_text(OFFER_TEXT, encoding="utf-8-sig")
    done = cli("inspect", "--json", f"@{tmp_path / 'offer'}")
    assert json.loads(done.out)["kind"] == "offer"


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_http_messages(end: str) -> None:
    head = end.join(["POST /mina/webrtc/signal HTTP/1.1", "Host: a", "", ""])
    assert first(head + OFFER_TEXT)["kind"] == "offer"
    answer = P2pConnectionResponse.accepted(ANSWER).to_json().decode()
    assert first(end.join(["HTTP/1.1 200 OK", "", answer]))["kind"] == "connection response"
    get = end.join([f"GET /mina/webrtc/signal/{offer_to_get(OFFER)} HTTP/1.1", "Host: a", "", ""])
    assert first(get)["kind"] == "offer"
    assert "without a body" in _refusal(head)


@pytest.mark.parametrize(
    ("url", "method"),
    [
        ("http://node.example.com:3000/mina/webrtc/signal", "/http/node.example.com/3000"),
        ("https://node.example.com/mina/webrtc/signal/", "/https/node.example.com/443"),
        ("http://[::1]:80/mina/webrtc/signal", "/http/[::1]/80"),
        ("https://a.example/x%20y/mina/webrtc/signal", "/proxied/https/%2Fx%20y/a.example/443"),
    ],
)
def test_a_signaling_url_is_a_method(url: str, method: str) -> None:
    assert first(url)["text"] == method
    assert first(url, Asked(kind=Kind.method))["text"] == method


def test_several_addresses_are_told_one_by_one() -> None:
    told = first(f"# seeds\n{ADDRESS}\n\n/ip4/192.0.2.1/tcp/1/http/p2p/{ID}  # old\n/http/a/1\n")
    assert (told["kind"], told["form"]) == ("3 values", "one a line")
    good, bad, method = told["values"]
    assert (good["kind"], good["peer"]) == ("dial address", KEYS)
    assert bad == {"kind": "none", "fault": "looks like a dial address, but lacks /webrtc before /http"}
    assert method["kind"] == "signaling method"
    assert first(f"# one\n{ADDRESS}\n")["kind"] == "dial address"
    many = first("\n".join([ADDRESS] * (MAX_LISTED + 2)))
    assert (len(many["values"]), many["values_not_shown"]) == (MAX_LISTED, 2)


def test_strings_in_an_array_are_told_one_by_one() -> None:
    assert first(json.dumps([ADDRESS]))["kind"] == "dial address"
    told = first(json.dumps([str(KEY.peer_id), KEY.expose_base58check(), "?", ID]))
    assert [value["kind"] for value in told["values"]] == ["peer id", "secret key", "none", "libp2p peer id"]
    found = explain(json.dumps([str(KEY.peer_id), KEY.expose_base58check()]), Asked())
    assert found[0].secret
    assert KEY.expose_base58check() not in str(found)
    assert first(json.dumps([SDP, str(KEY.public_key), str(OTHER.peer_id)]))["kind"] == "answer"
    assert "2 values of which none is known" in _refusal('["?","!"]')


# ---------------------------------------------------------------- what a refusal says


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"/ip4/192.0.2.1/tcp/3000/http/p2p/{ID}", "lacks /webrtc before /http"),
        (f"/ip4/192.0.2.1/tcp/3000/webrtc/p2p/{ID}", "lacks /http or /https after /webrtc"),
        ("/ip4/192.0.2.1/tcp/3000/webrtc/http", "lacks /p2p/PEER at its end"),
        (f"/p2p/{ID}", "names a peer and no way to it"),
        (json.dumps([f"/p2p/{ID}"]), "names a peer and no way to it"),
        (f"/ip4/192.0.2.1/udp/3000/quic/p2p/{ID}", "/webrtc/http|https"),
        (f"/{KEY.peer_id}/smtp/a/1", "its signaling method names no known signaling method: http"),
        (f"/{KEY.peer_id}/http/a/99999", "its signaling method has a port that is not within"),
        ("https://example.com/", "ends with /mina/webrtc/signal"),
        ("http://a:99999/mina/webrtc/signal", "a port that is none"),
        ("http:///mina/webrtc/signal", "has a host that is none"),
        ("http://a/%00/mina/webrtc/signal", "its path is refused"),
        ('[["…"]]', "an array of 1 (an answer has 3 values, an offer 6)"),
        ('{"box_primitive":1}', "looks like an encrypted key file, but is none: "),
        ("hello world", "hex, base58 or base64"),
    ],
)
def test_a_refusal_says_what_is_lacking(text: str, words: str) -> None:
    assert words in _refusal(text)
    assert ID not in _refusal(text)


# ---------------------------------------------------------------- --as


@pytest.mark.parametrize(
    ("kind", "content", "title"),
    [
        ("secret-key", KEY.expose_seed().hex(), "secret key"),
        ("secret-key", KEY.expose_pem(), "secret key"),
        ("public-key", str(KEY.public_key), "public key"),
        ("public-key", ID, "public key"),
        ("public-key", json.dumps(str(KEY.peer_id)), "public key"),
        ("peer-id", RAW.hex(), "peer id"),
        ("peer-id", OFF_CURVE.hex(), "peer id"),
        ("chain-id", str(ChainId.DEVNET), "chain id"),
        ("signature", bytes(64).hex(), "signature"),
        ("auth", bytes(64), "connection auth"),
        ("auth", ConnectionAuth.new("a", "b").encrypt(KEY, OTHER.public_key).to_json().decode(), "connection auth"),
        ("sealed", SEALED.hex(), "encrypted offer or answer"),
        ("offer", OFFER_TEXT, "offer"),
        ("offer", offer_to_get(OFFER), "offer"),
        ("answer", ANSWER.to_json().decode(), "answer"),
        ("response", '"InternalError"', "connection response"),
        ("signal", Signal(OFFER).to_json().decode(), "signal"),
        ("host", '{"Domain":"a"}', "host"),
        ("sdp", SDP, "SDP"),
        ("address", ADDRESS, "address"),
        ("method", "/http/a/1", "signaling method"),
        ("message", "000106", "bin_prot message"),
        ("frames", "00000003000106", "frames"),
    ],
)
def test_a_kind_is_asked_for(cli: Cli, kind: str, content: str | bytes, title: str) -> None:
    assert first(content, Asked(kind=Kind(kind)))["kind"] == title
    if isinstance(content, str):
        told = json.loads(cli("inspect", "--json", "--as", kind, "--", content).out)
        assert (told["kind"], told["could_also_be"]) == (title, [])


@pytest.mark.parametrize(
    ("kind", "content", "words"),
    [
        ("public-key", RAW.hex()[2:], "no public key: a peer id must be 32 bytes, not 31"),
        ("public-key", OFF_CURVE.hex(), "no public key: the bytes are not a point on the curve"),
        ("peer-id", KEY.expose_base58check(), "no peer id: base58check version byte is 0x80, not 0x2f"),
        ("chain-id", "devnet", "no chain id: a chain id must be 64 hex digits"),
        ("signature", "00", "no signature: a signature must be 64 bytes, not 1"),
        ("signature", "?", "no signature: not bytes in hex, base58 or base64, or an array of numbers"),
        ("auth", "00", "no connection auth: it must be 64 bytes, or 92 when encrypted, not 1"),
        ("sealed", "00", "no encrypted offer or answer: 1 bytes are shorter than anything encrypted"),
        ("offer", '{"sdp":1}', "no offer: offer lacks the field chain_id"),
        ("offer", b"\xff".hex(), "no offer: not JSON"),
        ("address", "a", "no address: an address begins with /"),
        ("address", b"\xff", "no address: bytes that are no text"),
        ("message", "ffff", "no bin_prot message: of none of the channels; --channel tells"),
        ("frames", "0000000500", "no frames: at byte 0 stands a length of 5"),
        ("frames", base58_encode(b"\xff" * 5), "no frames: at byte 0 stands a length of 4294967295"),
        ("host", "", "no host: there is nothing"),
    ],
)
def test_why_it_is_none_of_the_kind(kind: str, content: str | bytes, words: str) -> None:
    assert _refusal(content, Asked(kind=Kind(kind))).startswith(words)


def test_what_is_sealed_is_opened_for_the_kind_in_it() -> None:
    asked = Asked(secret_key=OTHER, peer=KEY.public_key, kind=Kind.offer)
    assert first(SEALED.hex(), asked)["offerer"] == KEYS
    other = Asked(secret_key=OTHER, peer=OTHER.public_key, kind=Kind.offer)
    assert "does not authenticate" in _refusal(SEALED.hex(), other)


def test_a_secret_that_is_asked_for_as_something_else_is_not_shown() -> None:
    text = KEY.expose_base58check()
    for kind in Kind:
        for found in ends_well(text, Asked(kind=kind)):
            assert not {text, KEY.expose_seed().hex(), "80" + KEY.expose_seed().hex()[:22]} & set(found.facts.values())


def test_peers_are_named_in_hex_too(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(OTHER.expose_base58check())
    (tmp_path / "key").chmod(0o600)
    done = cli("inspect", "--json", "--key-file", str(tmp_path / "key"), "--peer", RAW.hex(), SEALED.hex())
    assert json.loads(done.out)["opened"]["kind"] == "offer"


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.one_of(
        st.text(),
        st.binary(max_size=100),
        st.sampled_from([OFFER_TEXT, ADDRESS, SDP, ID, RAW.hex(), FRAME.hex(), SEALED.hex(), KEY.expose_pem()]),
        st.lists(st.sampled_from([ADDRESS, "/p2p/x", "?", "[", "0x00", "GET / HTTP/1.1", "\r\n", ID])).map("\n".join),
        st.lists(st.text(max_size=9), max_size=5).map(json.dumps),
    ),
    kind=st.none() | st.sampled_from(list(Kind)),
    keys=st.booleans(),
)
def test_any_input_of_any_kind_is_explained_or_refused(
    capsys: pytest.CaptureFixture[str], content: str | bytes, kind: Kind | None, keys: bool
) -> None:
    ends_well(content, Asked(None, KEY, OTHER.public_key, kind) if keys else Asked(kind=kind))
    capsys.readouterr()
