"""Channel 7 and the table of channels (protocol.md §7, §8); all vectors are in test_channel_messages."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.wire.support import DIAL_ADDRESSES, LIBP2P_ADDRESSES, entries

from mina_webrtc._backend import BinProtWriter
from mina_webrtc.errors import BinProtError
from mina_webrtc.identity import SecretKey
from mina_webrtc.wire.address import DialAddress, Host, Http, Libp2pAddress
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
ADDRESS = DialAddress(SecretKey.deterministic(0).peer_id, Http(Host.domain("a"), 80))


@pytest.mark.parametrize("entry", entries(FILE, "channels"), ids=lambda entry: str(entry["label"]))
def test_channel_vector(entry: dict[str, Any]) -> None:
    channel = Channel(entry["channel_id"])
    assert (channel.label, channel.max_message) == (entry["label"], entry["max_message_size"])
    assert channel.framed


def test_channel_0_is_raw() -> None:
    assert (Channel.AUTH.value, Channel.AUTH.label, Channel.AUTH.framed) == (0, "", False)
    assert len(Channel) == 9


IDS = st.integers(0, 2**64 - 1)
HASHES = st.binary(min_size=32, max_size=32)
REQUESTS = st.one_of(
    st.builds(RpcRequest, IDS, st.sampled_from([Rpc.BEST_TIP, Rpc.INITIAL_PEERS])),
    st.builds(RpcRequest, IDS, st.sampled_from([Rpc.STAGED_LEDGER, Rpc.BLOCK, Rpc.TRANSACTION]), HASHES),
    st.builds(RpcRequest, IDS, st.sampled_from([Rpc.LEDGER_QUERY, Rpc.SNARK]), st.binary(min_size=33, max_size=130)),
)
RESPONSES = st.builds(RpcResponse, IDS, st.sampled_from(Rpc), st.binary(max_size=40))


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
