"""`inspect`: what it tells, that no secret is shown, and that any input ends with 0 or 1 and no traceback."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.unit.cli.conftest import Cli
from tests.unit.cli.inspecting import ANSWER, KEY, OFFER, OTHER, SDP, ends_well, first

from mina_webrtc import ChainId, PeerId
from mina_webrtc._backend import base58check_encode, frame_chunks
from mina_webrtc.cli.inspect import MAX_INPUT
from mina_webrtc.cli.inspect_found import Asked
from mina_webrtc.cli.inspect_messages import MAX_LISTED
from mina_webrtc.cli.inspect_text import explain
from mina_webrtc.cli.inspect_values import is_point
from mina_webrtc.errors import InvalidInput
from mina_webrtc.keybox import MIN_ITERATIONS, MIN_MEMORY, KeyBox, libp2p_text
from mina_webrtc.wire.auth import ConnectionAuth
from mina_webrtc.wire.channels import Channel
from mina_webrtc.wire.messages import (
    GetItems,
    GetNext,
    OfferToYou,
    Rpc,
    RpcRequest,
    RpcResponse,
    encode_initial_peers,
    encode_message,
)
from mina_webrtc.wire.signal import EncryptedAnswer, EncryptedOffer, Offer, P2pConnectionResponse, Signal

# ---------------------------------------------------------------- what is told


def test_an_offer_is_told_with_its_sdp() -> None:
    for content in (OFFER.to_json().decode(), OFFER.to_json().hex(), Signal(OFFER).to_json().decode()):
        told = first(content)
        told = told.get("offer", told)
        assert (told["network"], told["chain_id"]) == ("devnet", str(ChainId.DEVNET))
        assert told["offerer"]["peer_id"] == str(KEY.peer_id)
        assert told["target"]["libp2p_peer_id"] == OTHER.peer_id.to_libp2p()
        assert told["claimed_address"].endswith(KEY.peer_id.to_libp2p())
        sdp = told["sdp"]
        assert sdp["fingerprints"] == ["sha-256 " + ":".join(["AB"] * 32)]
        assert sdp["candidates"] == 3
        assert sdp["mark_of_this_project"] == {"version": 1, "early": True, "app": None}
        assert [line.partition("  ")[2] for line in sdp["candidate_lines"]] == [
            "(loopback or link-local: used only where allowed)",
            "",
            "(not usable)",
        ]
        assert "topsecret" not in str(told)


def test_an_sdp_alone() -> None:
    assert first(SDP)["sha256"] == first(OFFER.to_json().decode())["sdp"]["sha256"]
    assert "refused" in first("v=0\r\n")


def test_a_response() -> None:
    told = first(P2pConnectionResponse.accepted(ANSWER).to_json().decode())
    assert told["answer"]["answerer"]["peer_id"] == str(OTHER.peer_id)
    assert first('{"Rejected":"AlreadyConnected"}')["bad"] is True


def test_a_peer_list_and_both_forms_of_its_addresses() -> None:
    peers = OFFER.dial_address
    assert peers is not None
    body = encode_initial_peers([peers])
    payload = encode_message(Channel.RPC, RpcResponse(5, Rpc.INITIAL_PEERS, body))
    told = first(payload, Asked(channel=Channel.RPC))
    assert told["message"]["peers"][0]["legacy"] == f"/{KEY.peer_id}/http/127.0.0.1/3000"
    damaged = encode_message(Channel.RPC, RpcResponse(5, Rpc.INITIAL_PEERS, b"\x07"))
    with pytest.raises(InvalidInput):
        explain(damaged, Asked(channel=Channel.RPC))


def test_a_relayed_offer_is_opened_by_the_own_key_alone() -> None:
    from mina_webrtc.identity import Cipher

    sealed = EncryptedOffer.seal(Cipher(KEY, OTHER.public_key), OFFER)
    payload = encode_message(Channel.EXCHANGE, OfferToYou(KEY.public_key, sealed))
    told = first(payload, Asked(channel=Channel.EXCHANGE, secret_key=OTHER))
    assert told["message"]["offer"]["opened"]["target"]["peer_id"] == str(OTHER.peer_id)
    answer = EncryptedAnswer.seal(Cipher(KEY, OTHER.public_key), P2pConnectionResponse.internal_error())
    told = first(answer.to_json().decode(), Asked(secret_key=OTHER, peer=KEY.public_key))
    assert told["opened"] == {"kind": "connection response", "response": "InternalError", "http_status": 500}


def test_frames_with_their_chunks_and_what_is_missing() -> None:
    block = frame_chunks(encode_message(Channel.RPC, RpcResponse(1, Rpc.BLOCK, bytes(40_000))))
    whole = b"".join(block)
    asked = Asked(channel=Channel.RPC)
    assert first(whole, asked)["frames"][0]["chunks"] == len(block) == 3
    assert first(block[0], asked)["kind"] == "beginning of a frame"
    ask = b"".join(frame_chunks(encode_message(Channel.RPC, RpcRequest(2, Rpc.BEST_TIP))))
    told = first(ask + whole + block[0], asked)
    assert told["kind"] == "2 frames"
    assert told["unfinished"]["payload_bytes"] == len(whole) - 4
    many = first(ask * (MAX_LISTED + 7), asked)
    assert many["frames_not_shown"] == 7


def test_a_frame_beyond_the_limit_of_its_channel_is_none() -> None:
    frame = b"".join(frame_chunks(bytes(2000)))
    assert first(frame)["kind"] == "frame"
    with pytest.raises(InvalidInput):
        explain(frame, Asked(channel=Channel.TRANSACTION))


def test_what_fits_several_channels_is_told_for_each() -> None:
    told = first(encode_message(Channel.SNARK, GetItems(7)).hex())
    assert [reading["channel"] for reading in told["readings"] if reading["message"]["type"] == "GetItems"] == [4, 5, 6]
    assert first(encode_message(Channel.BEST_TIP, GetNext()).hex(), Asked(channel=Channel.BEST_TIP))["channel"] == 3


def test_other_readings_are_told() -> None:
    told = first(bytes(range(64)).hex())
    assert told["kind"] == "signature"
    assert {
        "kind": "connection auth (not encrypted)",
        "form": "hex",
        "offer_sdp_sha256": bytes(range(32)).hex(),
        "answer_sdp_sha256": bytes(range(32, 64)).hex(),
    } in told["could_also_be"]


def test_other_readings_are_told_in_the_tree(cli: Cli) -> None:
    shown = cli("inspect", bytes(range(64)).hex()).out
    assert "connection auth (not encrypted)  (hex)" in shown
    assert f"answer sdp sha256: {bytes(range(32, 64)).hex()}" in shown


@pytest.mark.parametrize(
    "text",
    ["00 01 06", "0x000106", "00:01:06", "000106\n", " 000106 "],
    ids=["spaces", "0x", "colons", "line", "blank"],
)
def test_hex_as_tools_write_it(text: str) -> None:
    assert first(text, Asked(channel=Channel.RPC))["message"]["type"] == "RpcRequest"


# ---------------------------------------------------------------- secrets


@pytest.mark.parametrize("text", [KEY.expose_base58check(), KEY.expose_pem(), json.dumps(KEY.expose_base58check())])
def test_a_secret_key_is_not_shown(cli: Cli, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    _pipe(monkeypatch, text.encode())
    done = cli("inspect")
    assert done.code == 0
    assert str(KEY.peer_id) in done.out
    assert done.err == ""
    shown = done.out + cli("inspect", text).out
    for secret in (KEY.expose_base58check(), KEY.expose_seed().hex(), KEY.expose_pem().splitlines()[1][:30]):
        assert secret not in shown


def test_a_secret_in_an_argument_is_a_warning(cli: Cli) -> None:
    done = cli("inspect", KEY.expose_base58check())
    assert done.code == 0
    assert "shell's history" in done.err


def test_the_secret_of_an_account_is_known_and_not_shown() -> None:
    told = first(base58check_encode(0x5A, b"\x01" + KEY.expose_seed()))
    assert told == {
        "kind": "secret key of a Mina account",
        "form": "base58check, version 0x5a",
        "payload_bytes": 33,
        "could_also_be": [],
    }


@pytest.mark.parametrize("at", range(0, 50, 7))
def test_a_secret_with_a_typing_error_is_not_quoted(cli: Cli, at: int) -> None:
    text = KEY.expose_base58check()
    broken = text[:at] + ("2" if text[at] != "2" else "3") + text[at + 1 :]
    for given_ in (broken, f"/{broken}", f"/{broken}/http/a/1", f'"{broken}"', f'{{"sdp":"{broken}"}}', f"v=0{broken}"):
        done = cli("inspect", given_)
        assert broken[:at] + broken[at + 10 :] not in done.out + done.err
        assert broken not in done.out + done.err


def test_a_seed_in_hex_is_not_repeated() -> None:
    assert KEY.expose_seed().hex() not in str(first(KEY.expose_seed().hex()))


# ---------------------------------------------------------------- the command


def _pipe(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


def test_argument_pipe_and_file_are_the_same(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = str(KEY.public_key)
    _pipe(monkeypatch, f"{text}\n".encode())
    (tmp_path / "key").write_text(text)
    outputs = {cli("inspect", *words).out for words in ([text], ["-"], [f"@{tmp_path / 'key'}"])}
    assert len(outputs) == 1


def test_plain_bytes_are_read(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "frame").write_bytes(b"\0\0\0\x03\0\x01\x06")
    done = cli("inspect", "--channel", "7", "--json", f"@{tmp_path / 'frame'}")
    assert json.loads(done.out)["frames"][0]["message"]["kind"] == "INITIAL_PEERS"


def test_json_is_one_line_and_the_tree_has_a_name_for_everything(cli: Cli) -> None:
    text = OFFER.to_json().decode()
    done = cli("inspect", "--json", text)
    assert done.code == 0
    assert len(done.out.splitlines()) == 1
    tree = cli("inspect", text).out
    assert tree.startswith("offer  (JSON)\n")
    assert all(word in tree for word in ("network: devnet", "fingerprints", "mark of this project", str(KEY.peer_id)))


def test_terminals_are_not_told_what_peers_wrote(cli: Cli) -> None:
    text = Offer.new("\x1b[2J\u202e", ChainId.DEVNET, KEY.public_key, OTHER.peer_id).to_json().decode()
    text = text.replace('{"Ipv4":"127.0.0.1"}', '{"Domain":"a\\u001b[31m[bold]b\\u202e"}')
    done = cli("inspect", text)
    assert done.code == 0
    assert not {"\x1b", "\u202e"} & set(done.out)
    assert "[bold]" in done.out


def test_keys_for_what_is_sealed(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "own.key"
    path.write_text(KeyBox.seal(libp2p_text(OTHER), "word", memory=MIN_MEMORY, iterations=MIN_ITERATIONS).to_json())
    path.chmod(0o600)
    monkeypatch.setenv("MINA_WEBRTC_KEY_PASSWORD", "word")
    sealed = ConnectionAuth.new("a", "b").encrypt(KEY, OTHER.public_key).to_json().decode()
    for peer in (str(KEY.public_key), str(KEY.peer_id), KEY.peer_id.to_libp2p()):
        done = cli("inspect", "--json", "--key-file", str(path), "--peer", peer, sealed)
        assert json.loads(done.out)["opened"]["kind"] == "connection auth"


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["--channel", "9", "00"], 2, "--channel"),
        (["--peer", "x", "00"], 2, "--peer"),
        (["--key-file", "-"], 2, "--key-file"),
        (["--key-file", "/no/such/file", "00"], 1, "/no/such/file"),
        (["@/no/such/file"], 1, "/no/such/file"),
        (["@/"], 1, "directory"),
        ([""], 1, "nothing to explain"),
        (["hello world"], 1, "no form that is known"),
        (["/smtp/a/1"], 1, "dial address"),
        (["/http/a"], 1, "too few parts"),
        (["{"], 1, "JSON"),
        (["{}"], 1, "JSON of nothing that is known"),
        (['{"chain_id":1}'], 1, "lacks the field sdp"),
        (["[255,255]"], 1, "2 bytes in JSON: no frame, message or value"),
        (["[1,256]"], 1, "numbers from 0 to 255"),
        (["--", "-----BEGIN PRIVATE KEY-----"], 1, "PEM"),
        (["ffff"], 1, "2 bytes in hex"),
    ],
)
def test_what_cannot_be_explained(cli: Cli, arguments: list[str], code: int, word: str) -> None:
    done = cli("inspect", *arguments)
    assert done.code == code
    assert done.out == ""
    assert word in done.err
    assert "Traceback" not in done.err


def test_the_input_is_bounded(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    _pipe(monkeypatch, b"0" * (MAX_INPUT + 1))
    done = cli("inspect")
    assert done.code == 1
    assert "more than 4 MiB" in done.err
    assert cli("inspect", "@/dev/zero").code == 1


# ---------------------------------------------------------------- any input


CHANNELS = st.none() | st.sampled_from(list(Channel))
SAMPLES = [
    OFFER.to_json(),
    P2pConnectionResponse.accepted(ANSWER).to_json(),
    str(OFFER.dial_address).encode(),
    b"/proxied/https/%2Fa/b/1",
    KEY.expose_pem().encode(),
    str(KEY.peer_id).encode(),
    SDP.encode(),
    b"".join(frame_chunks(encode_message(Channel.RPC, RpcRequest(2, Rpc.BLOCK, bytes(32))))),
]


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.text() | st.binary(max_size=300), channel=CHANNELS)
def test_any_input_is_explained_or_refused(
    capsys: pytest.CaptureFixture[str], content: str | bytes, channel: Channel | None
) -> None:
    ends_well(content, Asked(channel))
    if isinstance(content, bytes):
        ends_well(content.hex(), Asked(channel, KEY, OTHER.public_key))
    capsys.readouterr()


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sample=st.sampled_from(SAMPLES), at=st.integers(0, 400), cut=st.integers(0, 5), put=st.text(max_size=5))
def test_damaged_samples_are_explained_or_refused(
    capsys: pytest.CaptureFixture[str], sample: bytes, at: int, cut: int, put: str
) -> None:
    raw = sample[:at] + put.encode("utf-8", "surrogatepass") + sample[at + cut :]
    ends_well(raw)
    ends_well(raw.decode("utf-8", "replace"))
    capsys.readouterr()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(content="\ud800")
@given(content=st.text(st.characters(exclude_characters="\0"), max_size=60).filter(lambda text: text[:1] not in "-@"))
def test_any_argument_ends_with_0_or_1(cli: Cli, content: str) -> None:
    done = cli("inspect", "--", content)
    assert done.code in (0, 1)
    assert "Traceback" not in done.err


@pytest.mark.parametrize("character", ["0", "1", "z", "[", "{", '"', "/", "/a", "\0", "é", " "])
def test_long_inputs_take_no_long_time(character: str) -> None:
    ends_well(character * (1024 * 1024 // len(character)))


def test_ids_off_the_curve_are_told() -> None:
    point = next(bytes([n]) + bytes(31) for n in range(256) if not is_point(bytes([n]) + bytes(31)))
    assert "not a point on the curve" in first(str(PeerId.from_bytes(point)))["note"]
