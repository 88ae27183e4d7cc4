"""Messages of channel 7 and the table of channels (protocol.md §7, §8)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.wire.support import DIAL_ADDRESSES, LIBP2P_ADDRESSES, entries, label

from mina_webrtc._backend import BinProtWriter, FrameDecoder, frame_chunks
from mina_webrtc.errors import BinProtError, FrameError
from mina_webrtc.identity import SecretKey
from mina_webrtc.wire.address import DialAddress, Host, Http, Libp2pAddress, parse_address
from mina_webrtc.wire.binprot import write_host, write_peer_id
from mina_webrtc.wire.channels import Channel
from mina_webrtc.wire.messages import (
    Rpc,
    RpcRequest,
    RpcResponse,
    decode,
    decode_initial_peers,
    encode,
    encode_initial_peers,
)

FILE = "bin_prot.json"
VARIANTS = {
    "BestTipWithProof": Rpc.BEST_TIP,
    "LedgerQuery": Rpc.LEDGER_QUERY,
    "StagedLedgerAuxAndPendingCoinbasesAtBlock": Rpc.STAGED_LEDGER,
    "Block": Rpc.BLOCK,
    "Snark": Rpc.SNARK,
    "Transaction": Rpc.TRANSACTION,
    "InitialPeers": Rpc.INITIAL_PEERS,
}
HASHES = ("state_hash_hex", "hash_hex")
ADDRESS = DialAddress(SecretKey.deterministic(0).peer_id, Http(Host.domain("a"), 80))


def of_channel_7(name: str) -> list[Any]:
    return [entry for entry in entries(FILE, name) if entry["channel_id"] == Channel.RPC]


@pytest.mark.parametrize("entry", entries(FILE, "channels"), ids=lambda entry: str(entry["label"]))
def test_channel_vector(entry: dict[str, Any]) -> None:
    channel = Channel(entry["channel_id"])
    assert (channel.label, channel.max_message) == (entry["label"], entry["max_message_size"])
    assert channel.framed


def test_channel_0_is_raw() -> None:
    assert (Channel.AUTH.value, Channel.AUTH.label, Channel.AUTH.framed) == (0, "", False)
    assert len(Channel) == 9


@pytest.mark.parametrize("entry", of_channel_7("channel_messages"), ids=lambda entry: str(entry["payload_hex"][:24]))
def test_channel_message_vector(entry: dict[str, Any]) -> None:
    payload = bytes.fromhex(entry["payload_hex"])
    message = decode(payload)
    assert encode(message) == payload
    assert b"".join(frame_chunks(payload)).hex() == entry["framed_hex"]
    fields = entry["fields"]
    assert message.id == int(fields["id"])
    assert type(message).__name__ == f"Rpc{entry['message']}"
    content = fields["request"] if entry["message"] == "Request" else fields["response"]
    if content is None:
        assert message == RpcResponse(message.id, None, None)
        return
    assert message.kind is VARIANTS[content["variant"]]
    for name in HASHES:
        if name in content:
            assert message.body == bytes.fromhex(content[name])
    if "peers" in content:
        assert message.body is not None
        peers = decode_initial_peers(message.body)
        assert peers == tuple(map(parse_address, content["peers"]))
        assert encode_initial_peers(peers) == message.body


@pytest.mark.parametrize("entry", of_channel_7("channel_message_reads"), ids=label)
def test_channel_message_read_vector(entry: dict[str, Any]) -> None:
    payload = bytes.fromhex(entry["payload_hex"])
    if entry["reference_accepts"] and entry["bytes_left"] == 0:
        assert encode(decode(payload)) == payload
    else:
        with pytest.raises(BinProtError):
            decode(payload)


@pytest.mark.parametrize("entry", of_channel_7("receiving"), ids=label)
def test_receiving_vector(entry: dict[str, Any]) -> None:
    decoder = FrameDecoder(Channel.RPC.max_message)
    for chunk, events in zip(entry["chunks_hex"], entry["reference_events_per_chunk"], strict=True):
        if any("message_payload_hex" not in event for event in events):
            with pytest.raises(FrameError):
                decoder.receive_data(bytes.fromhex(chunk))
        else:
            expected = [bytes.fromhex(event["message_payload_hex"]) for event in events]
            assert decoder.receive_data(bytes.fromhex(chunk)) == expected


REQUESTS = st.builds(
    RpcRequest,
    st.integers(0, 2**64 - 1),
    st.sampled_from([Rpc.LEDGER_QUERY, Rpc.STAGED_LEDGER, Rpc.BLOCK, Rpc.SNARK, Rpc.TRANSACTION]),
    st.binary(max_size=40),
)
RESPONSES = st.builds(RpcResponse, st.integers(0, 2**64 - 1), st.sampled_from(Rpc), st.binary(max_size=40))


@given(REQUESTS | RESPONSES)
def test_messages_survive(message: RpcRequest | RpcResponse) -> None:
    assert decode(encode(message)) == message


@given(st.binary(max_size=60))
def test_any_bytes_are_a_message_or_a_bin_prot_error(data: bytes) -> None:
    for function in (decode, decode_initial_peers):
        try:
            function(data)
        except BinProtError:
            continue


@given(st.lists(DIAL_ADDRESSES | LIBP2P_ADDRESSES, max_size=5))
def test_initial_peers_survive(peers: list[DialAddress | Libp2pAddress]) -> None:
    assert decode_initial_peers(encode_initial_peers(peers)) == tuple(peers)


@given(st.lists(DIAL_ADDRESSES, min_size=1, max_size=3), st.data())
def test_cut_or_padded_initial_peers_are_refused(peers: list[DialAddress], data: st.DataObject) -> None:
    body = encode_initial_peers(peers)
    with pytest.raises(BinProtError):
        decode_initial_peers(body[: data.draw(st.integers(0, len(body) - 1))])
    with pytest.raises(BinProtError):
        decode_initial_peers(body + b"\x00")


def test_initial_peers_are_bounded_before_they_are_read() -> None:
    hundred = [ADDRESS] * 100
    assert len(decode_initial_peers(encode_initial_peers(hundred))) == 100
    with pytest.raises(BinProtError):
        encode_initial_peers([*hundred, ADDRESS])
    with pytest.raises(BinProtError):
        decode_initial_peers(encode_initial_peers([ADDRESS] * 101, limit=101))
    with pytest.raises(BinProtError):
        decode_initial_peers(b"\xfc" + b"\xff" * 8)
    assert decode_initial_peers(encode_initial_peers([ADDRESS] * 3, limit=3), limit=3) == (ADDRESS,) * 3


def test_a_refused_prefix_costs_its_entry_only() -> None:
    writer = BinProtWriter()
    writer.nat0(2)
    writer.variant(0)
    write_peer_id(writer, ADDRESS.peer)
    writer.variant(4)
    writer.variant(1)
    writer.byte_list(b"/../admin")
    write_host(writer, Host.domain("a"))
    writer.integer(443)
    body = writer.getvalue() + encode_initial_peers([ADDRESS])[1:]
    assert decode_initial_peers(body) == (ADDRESS,)


@pytest.mark.parametrize(
    "message",
    [
        RpcRequest(0, Rpc.INITIAL_PEERS, b"\x00"),
        RpcRequest(0, Rpc.BEST_TIP, b"\x00"),
        RpcResponse(0, Rpc.BLOCK, None),
        RpcResponse(0, None, b""),
    ],
)
def test_messages_that_make_no_sense_are_not_written(message: RpcRequest | RpcResponse) -> None:
    with pytest.raises(BinProtError):
        encode(message)


@pytest.mark.parametrize("data", ["", "00", "0000", "000007", "00000600", "0100", "010000ff", "010001", "01000107"])
def test_cut_and_padded_messages_are_refused(data: str) -> None:
    with pytest.raises(BinProtError):
        decode(bytes.fromhex(data))


def test_ids_are_u64() -> None:
    with pytest.raises(OverflowError):
        encode(RpcRequest(2**64, Rpc.BLOCK, bytes(32)))


def test_timeouts_are_those_of_the_protocol() -> None:
    assert {kind.name: kind.timeout for kind in Rpc} == {
        "BEST_TIP": 15,
        "LEDGER_QUERY": 4,
        "STAGED_LEDGER": 180,
        "BLOCK": 8,
        "SNARK": 8,
        "TRANSACTION": 8,
        "INITIAL_PEERS": 5,
    }


def test_reprs_do_not_spill_bodies() -> None:
    assert len(repr(RpcRequest(1, Rpc.BLOCK, bytes(1000)))) < 100
    assert len(repr(RpcResponse(1, Rpc.BLOCK, bytes(1000)))) < 100
    assert "nothing" in repr(RpcResponse(1, None, None))
