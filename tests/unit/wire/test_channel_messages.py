"""Messages of all channels (protocol.md §7, §8): built from the vectors' fields, written, read, cut, and refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.wire.support import entries, label

from mina_webrtc._backend import BinProtReader, BinProtWriter, FrameDecoder, frame_chunks
from mina_webrtc.errors import BinProtError, FrameError
from mina_webrtc.identity import ChainId, PublicKey, SecretKey, Signature
from mina_webrtc.wire.address import SignalingMethod, parse_address
from mina_webrtc.wire.binprot import read_method, read_public_key, write_method
from mina_webrtc.wire.channels import Channel
from mina_webrtc.wire.messages import (
    BestTip,
    Discover,
    Discovered,
    DiscoveredAccept,
    DiscoveredReject,
    GetItems,
    GetNext,
    Item,
    Message,
    OfferToYou,
    Part,
    PartKind,
    RelayedAnswer,
    Rpc,
    RpcRequest,
    RpcResponse,
    StreamNext,
    StreamRequest,
    StreamResponse,
    WillSend,
    decode_message,
    encode_initial_peers,
    encode_message,
)
from mina_webrtc.wire.sealed import EncryptedAnswer, EncryptedOffer

FRAMED = [channel for channel in Channel if channel.framed]
KEY = SecretKey.deterministic(0).public_key
KINDS = {
    "BestTipWithProof": Rpc.BEST_TIP,
    "LedgerQuery": Rpc.LEDGER_QUERY,
    "StagedLedgerAuxAndPendingCoinbasesAtBlock": Rpc.STAGED_LEDGER,
    "Block": Rpc.BLOCK,
    "Snark": Rpc.SNARK,
    "Transaction": Rpc.TRANSACTION,
    "InitialPeers": Rpc.INITIAL_PEERS,
}
QUERIES = {"WhatContents": b"\x01", "NumAccounts": b"\x02"}
LEFT_OVER = "protocol.md §7: a payload that does not decode and bytes left over after decoding are errors"
CUT = "protocol.md §7: any cut is accepted, down to single bytes; the reference needs the prefix in one chunk"

DIFFERENCES = {
    ("bin_prot", "channel_message_reads", "GetNext with a trailing byte"): LEFT_OVER,
    ("bin_prot", "receiving", "payload with trailing bytes after the message"): LEFT_OVER,
    **{
        (
            "bin_prot",
            "receiving",
            why,
        ): "protocol.md §7: any cut is accepted; the reference needs the prefix in one chunk"
        for why in (
            "first chunk is the length alone (4 bytes)",
            "first chunk has 1 byte",
            "first chunk has 3 bytes",
            "a message and 2 bytes of the next length",
            "a message and the next length alone",
        )
    },
}


def job_id(fields: dict[str, str]) -> bytes:
    order = ("source_first_pass", "source_second_pass", "target_first_pass", "target_second_pass")
    return b"".join(bytes.fromhex(fields[name]) for name in order)


def request_body(fields: dict[str, Any]) -> bytes:
    """What stands after the variant of an rpc request."""
    match fields:
        case {"query": "WhatContents"}:
            address = bytes.fromhex(fields["address_bytes_hex"])
            head = bytes.fromhex(fields["ledger_hash_hex"]) + QUERIES["WhatContents"]
            return head + bytes([fields["address_length"], len(address)]) + address
        case {"query": query}:
            return bytes.fromhex(fields["ledger_hash_hex"]) + QUERIES[query]
        case {"job_id": job}:
            return job_id(job)
        case {"state_hash_hex": text} | {"hash_hex": text}:
            return bytes.fromhex(text)
    return b""


def optional_answer(text: str | None) -> RelayedAnswer:
    return RelayedAnswer(None if text is None else EncryptedAnswer(bytes.fromhex(text)))


def relay_message(name: str, fields: dict[str, Any]) -> Message:
    match name:
        case "Discovered":
            return Discovered(PublicKey.parse(fields["target_public_key"]))
        case "DiscoveredAccept":
            return DiscoveredAccept(EncryptedOffer(bytes.fromhex(fields["encrypted_offer_hex"])))
        case "OfferToYou":
            offer = EncryptedOffer(bytes.fromhex(fields["encrypted_offer_hex"]))
            return OfferToYou(PublicKey.parse(fields["offerer_pub_key"]), offer)
        case "Answer":
            return optional_answer(fields["encrypted_answer_hex"])
    return {"GetNext": GetNext(), "Discover": Discover(), "DiscoveredReject": DiscoveredReject()}[name]


def items_message(name: str, fields: dict[str, Any], payload: bytes) -> Message:
    match name:
        case "GetNext":
            return GetItems(fields["limit"])
        case "WillSend":
            return WillSend(fields["count"])
    return Item(payload[1:])  # opaque (§7), so the vector itself is the only source


def rpc_message(name: str, fields: dict[str, Any]) -> Message:
    id_ = int(fields["id"])
    if name == "Request":
        return RpcRequest(id_, KINDS[fields["request"]["variant"]], request_body(fields["request"]))
    if fields["response"] is None:
        return RpcResponse(id_, None, None)
    return RpcResponse(id_, Rpc.INITIAL_PEERS, encode_initial_peers([*map(parse_address, fields["response"]["peers"])]))


def stream_message(name: str, fields: dict[str, Any]) -> Message:
    id_ = int(fields["id"])
    if name == "Next":
        return StreamNext(id_)
    if name == "Request":
        return StreamRequest(id_, bytes.fromhex(fields["request"]["state_hash_hex"]))
    assert fields["response"] is None
    return StreamResponse(id_, None)


def message_of(entry: dict[str, Any]) -> Message:
    """The message that a vector describes."""
    name, fields = entry["message"], entry["fields"]
    match Channel(entry["channel_id"]):
        case Channel.DISCOVERY | Channel.EXCHANGE | Channel.BEST_TIP:
            return relay_message(name, fields)
        case Channel.RPC:
            return rpc_message(name, fields)
        case Channel.STREAMING:
            return stream_message(name, fields)
    return items_message(name, fields, bytes.fromhex(entry["payload_hex"]))


@pytest.mark.entries("bin_prot", "channel_messages")
def test_vector_channel_messages(entry: dict[str, Any]) -> None:
    channel, payload = Channel(entry["channel_id"]), bytes.fromhex(entry["payload_hex"])
    message = message_of(entry)
    assert decode_message(channel, payload) == message
    assert encode_message(channel, message) == payload
    assert b"".join(frame_chunks(payload)).hex() == entry["framed_hex"]
    for end in range(len(payload)):
        if not isinstance(message, Item | RpcRequest | RpcResponse):
            with pytest.raises(BinProtError):
                decode_message(channel, payload[:end])


@pytest.mark.entries("bin_prot", "channel_message_reads")
def test_vector_channel_message_reads(entry: dict[str, Any]) -> None:
    channel, payload = Channel(entry["channel_id"]), bytes.fromhex(entry["payload_hex"])
    is_different = ("bin_prot", "channel_message_reads", entry["why"]) in DIFFERENCES
    if not entry["reference_accepts"] or is_different:
        assert is_different == entry["reference_accepts"]
        with pytest.raises(BinProtError):
            decode_message(channel, payload)
        return
    assert entry["bytes_left"] == 0
    message = decode_message(channel, payload)
    assert decode_message(channel, encode_message(channel, message)) == message
    assert READS.get(entry["why"], message) == message


READS: dict[str, Message] = {
    "DiscoveredAccept, byte 128 as one byte": DiscoveredAccept(EncryptedOffer(b"\x80")),
    "GetNext": GetNext(),
    "limit 255 as int16": GetItems(255),
    "limit not minimal": GetItems(1),
    "count 128 as one byte": WillSend(128),
    "Request InitialPeers": RpcRequest(0, Rpc.INITIAL_PEERS),
    "Next": StreamNext(5),
}
"""What the accepted ones mean; the vectors tell it in the words of the reference."""


@pytest.mark.entries("bin_prot", "receiving")
def test_vector_receiving_messages(entry: dict[str, Any]) -> None:
    """Frames and what is in them together, as a peer's bytes come."""
    channel = Channel(entry["channel_id"])
    decoder = FrameDecoder(channel.max_message)
    events = [event for chunk in entry["reference_events_per_chunk"] for event in chunk]
    is_error = any(set(event) != {"message_payload_hex"} for event in events)
    is_different = ("bin_prot", "receiving", entry["why"]) in DIFFERENCES
    try:
        found = [
            (payload, decode_message(channel, payload))
            for chunk in entry["chunks_hex"]
            for payload in decoder.receive_data(bytes.fromhex(chunk))
        ]
    except (BinProtError, FrameError):
        assert is_error != is_different
        return
    assert is_error == is_different
    if not is_different:
        assert [payload.hex() for payload, _ in found] == [event["message_payload_hex"] for event in events]


RAW = {
    "PublicKey": (PublicKey.parse, read_public_key),
    "Signature": (Signature.parse, lambda reader: Signature.from_bytes(reader.raw(64))),
    "ChainId": (ChainId.parse, lambda reader: ChainId.from_bytes(reader.raw(32))),
}
"""Types whose bin_prot is their raw bytes."""
WITH_ADDRESSES = {"Host", "SignalingMethod", "PeerId", "P2pConnectionOutgoingInitOpts"}
"""Types that test_address runs."""


def others(name: str) -> list[Any]:
    return [entry for entry in entries("bin_prot.json", name) if entry["type"] not in WITH_ADDRESSES]


@pytest.mark.parametrize("entry", others("types"), ids=label)
def test_vector_other_types(entry: dict[str, Any]) -> None:
    reader = BinProtReader(bytes.fromhex(entry["bin_prot_hex"]))
    if entry["type"] == "HttpSignalingInfo":  # what stands after the variant of an http method
        method = SignalingMethod.parse(f"/http{entry['value']}")
        writer = BinProtWriter()
        write_method(writer, method)
        assert writer.getvalue()[1:].hex() == entry["bin_prot_hex"]
        reader = BinProtReader(bytes.fromhex("00" + entry["bin_prot_hex"]))
        assert read_method(reader) == method
    else:
        parse, read = RAW[entry["type"]]
        value = parse(entry["value"])
        assert bytes(value).hex() == entry["bin_prot_hex"]
        assert read(reader) == value
    reader.finish()


@pytest.mark.parametrize("entry", others("type_reads"), ids=label)
def test_vector_other_type_reads(entry: dict[str, Any]) -> None:
    parse, read = RAW[entry["type"]]
    reader = BinProtReader(bytes.fromhex(entry["bin_prot_hex"]))
    if entry["ok"]:
        assert read(reader) == parse(entry["value"])
        assert reader.remaining == entry["bytes_left"]
    else:
        with pytest.raises(BinProtError):
            read(reader)


IDS = st.integers(0, 2**64 - 1)
KEYS = st.integers(0, 9).map(lambda index: SecretKey.deterministic(index).public_key)
BODIES = st.binary(max_size=60)
HASHES = st.binary(min_size=32, max_size=32)
OFFERS = st.builds(EncryptedOffer, BODIES)
ANSWERS = st.builds(RelayedAnswer, st.none() | st.builds(EncryptedAnswer, BODIES))
PARTS = st.builds(Part, st.sampled_from(PartKind), BODIES.map(lambda body: b"\x07" + body))
U8 = st.integers(0, 255)
ITEMS = st.builds(GetItems, U8) | st.builds(WillSend, U8) | st.builds(Item, BODIES)
MESSAGES: dict[Channel, st.SearchStrategy[Message]] = {
    Channel.DISCOVERY: st.sampled_from([GetNext(), Discover(), DiscoveredReject()])
    | st.builds(Discovered, KEYS)
    | st.builds(DiscoveredAccept, OFFERS)
    | ANSWERS,
    Channel.EXCHANGE: st.just(GetNext()) | st.builds(OfferToYou, KEYS, OFFERS) | ANSWERS,
    Channel.BEST_TIP: st.just(GetNext()) | st.builds(BestTip, BODIES),
    Channel.TRANSACTION: ITEMS,
    Channel.SNARK: ITEMS,
    Channel.SNARK_JOB_COMMITMENT: ITEMS,
    Channel.RPC: st.builds(RpcRequest, IDS, st.just(Rpc.BLOCK), HASHES)
    | st.builds(RpcResponse, IDS, st.sampled_from(Rpc), BODIES),
    Channel.STREAMING: st.builds(StreamNext, IDS)
    | st.builds(StreamRequest, IDS, HASHES)
    | st.builds(StreamResponse, IDS, st.none() | PARTS),
}


@pytest.mark.parametrize("channel", FRAMED)
@given(data=st.data())
def test_messages_survive(channel: Channel, data: st.DataObject) -> None:
    message = data.draw(MESSAGES[channel])
    payload = encode_message(channel, message)
    assert decode_message(channel, payload) == message
    assert decode_message(channel, memoryview(bytearray(payload))) == message


@pytest.mark.parametrize("channel", FRAMED)
@given(data=st.binary(max_size=80))
def test_any_bytes_are_a_message_or_a_bin_prot_error(channel: Channel, data: bytes) -> None:
    try:
        message = decode_message(channel, data)
    except BinProtError:
        return
    assert decode_message(channel, encode_message(channel, message)) == message


@pytest.mark.parametrize("channel", FRAMED)
@pytest.mark.parametrize("wrong", FRAMED)
def test_a_message_of_another_channel_is_not_written(channel: Channel, wrong: Channel) -> None:
    sample: dict[Channel, Message] = {
        Channel.DISCOVERY: Discover(),
        Channel.EXCHANGE: OfferToYou(KEY, EncryptedOffer(b"x")),
        Channel.BEST_TIP: BestTip(b"x"),
        **dict.fromkeys((Channel.TRANSACTION, Channel.SNARK, Channel.SNARK_JOB_COMMITMENT), WillSend(1)),
        Channel.RPC: RpcResponse(1, None, None),
        Channel.STREAMING: StreamNext(1),
    }
    if sample[channel] == sample[wrong]:
        return
    with pytest.raises(BinProtError, match="no message of channel"):
        encode_message(wrong, sample[channel])


def test_channel_0_has_no_messages() -> None:
    for call in (
        lambda: encode_message(Channel.AUTH, GetNext()),
        lambda: decode_message(Channel.AUTH, b"\x00"),
    ):
        with pytest.raises(BinProtError):
            call()


@pytest.mark.parametrize("fill", [0x7F, 0x80])
@pytest.mark.parametrize("make", [DiscoveredAccept, lambda o: OfferToYou(KEY, o)])
def test_the_limit_counts_the_grown_size(make: Any, fill: int) -> None:
    channel = Channel.DISCOVERY if isinstance(make(EncryptedOffer(b"")), DiscoveredAccept) else Channel.EXCHANGE
    # the variant, the key on channel 2, and the list's length come before the bytes
    room = channel.max_message - 4 - (32 if channel is Channel.EXCHANGE else 0)
    most = room if fill < 0x80 else room // 3
    message = make(EncryptedOffer(bytes([fill]) * most))
    payload = encode_message(channel, message)
    assert channel.max_message - 2 <= len(payload) <= channel.max_message
    assert decode_message(channel, payload) == message
    with pytest.raises(BinProtError):
        encode_message(channel, make(EncryptedOffer(bytes([fill]) * (most + 1))))


@pytest.mark.parametrize("channel", [Channel.TRANSACTION, Channel.SNARK, Channel.SNARK_JOB_COMMITMENT])
def test_items_have_limits(channel: Channel) -> None:
    body = bytes(channel.max_message - 1)
    assert decode_message(channel, encode_message(channel, Item(body))) == Item(body)
    with pytest.raises(BinProtError):
        encode_message(channel, Item(body + b"x"))
    with pytest.raises(BinProtError):
        decode_message(channel, b"\x02" + body + b"x")


@pytest.mark.parametrize("number", [-1, 256])
def test_limits_and_counts_are_u8(number: int) -> None:
    for message in (GetItems(number), WillSend(number)):
        with pytest.raises(OverflowError):
            encode_message(Channel.SNARK, message)


@pytest.mark.parametrize("length", ["fcffffffffffffffff", "fdffffff7f", "fe0040", "05"])
@pytest.mark.parametrize("head", ["04", "0501"])
def test_a_length_beyond_the_input_is_refused_at_once(head: str, length: str) -> None:
    with pytest.raises(BinProtError):
        decode_message(Channel.DISCOVERY, bytes.fromhex(head + length + "00"))


@pytest.mark.parametrize(
    ("kind", "size", "is_right"),
    [
        *((kind, 32, True) for kind in (Rpc.STAGED_LEDGER, Rpc.BLOCK, Rpc.TRANSACTION)),
        *((kind, size, False) for kind in (Rpc.STAGED_LEDGER, Rpc.BLOCK, Rpc.TRANSACTION) for size in (0, 31, 33)),
        (Rpc.LEDGER_QUERY, 33, True),
        (Rpc.LEDGER_QUERY, 32, False),
        (Rpc.SNARK, 128, True),
        (Rpc.SNARK, 0, False),
        (Rpc.BEST_TIP, 1, False),
        (Rpc.INITIAL_PEERS, 1, False),
    ],
)
def test_requests_have_the_fields_of_their_kind(kind: Rpc, size: int, is_right: bool) -> None:
    request, payload = RpcRequest(3, kind, bytes(size)), bytes([0, 3, kind]) + bytes(size)
    if is_right:
        assert encode_message(Channel.RPC, request) == payload
        assert decode_message(Channel.RPC, payload) == request
        return
    with pytest.raises(BinProtError):
        encode_message(Channel.RPC, request)
    with pytest.raises(BinProtError):
        decode_message(Channel.RPC, payload)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("02050100" + "00aabb", Part(PartKind.BASE, b"\xaa\xbb")),
        ("02050100" + "0105cc", Part(PartKind.SCAN_STATE_BASE, b"\x05\xcc")),
        ("02050100" + "01feff00cc", Part(PartKind.SCAN_STATE_BASE, b"\xfe\xff\x00\xcc")),
        ("02050100" + "02dd", Part(PartKind.PREVIOUS_INCOMPLETE_ZKAPP_UPDATES, b"\xdd")),
        ("02050100" + "03ee", Part(PartKind.SCAN_STATE_TREE, b"\xee")),
    ],
)
def test_parts_of_a_stream(text: str, part: Part) -> None:
    payload = bytes.fromhex(text)
    assert decode_message(Channel.STREAMING, payload) == StreamResponse(5, part)
    assert encode_message(Channel.STREAMING, StreamResponse(5, part)) == payload


def test_the_number_of_trees_is_read() -> None:
    assert Part(PartKind.SCAN_STATE_BASE, b"\x07rest").trees == 7
    assert Part(PartKind.SCAN_STATE_BASE, b"\xfe\xff\x00").trees == 255
    assert Part(PartKind.BASE, b"\x07").trees is None


@pytest.mark.parametrize(
    "text",
    ["020501", "0205010004", "02050101", "0205010001", "0205010001ff80", "0205010001fc0000000001000000", "02050200"],
    ids=["no part", "part 4", "kind 1", "no trees", "negative trees", "trees above i32", "option 2"],
)
def test_parts_that_are_none(text: str) -> None:
    with pytest.raises(BinProtError):
        decode_message(Channel.STREAMING, bytes.fromhex(text))


@pytest.mark.parametrize(
    "message",
    [
        StreamRequest(1, bytes(31)),
        StreamRequest(1, bytes(33)),
        StreamResponse(1, Part(PartKind.SCAN_STATE_BASE, b"")),
        StreamResponse(1, Part(PartKind.SCAN_STATE_BASE, b"\xff\xff")),
    ],
)
def test_stream_messages_that_make_no_sense_are_not_written(message: Message) -> None:
    with pytest.raises(BinProtError):
        encode_message(Channel.STREAMING, message)


def test_reprs_do_not_spill_bodies() -> None:
    for message in (
        BestTip(bytes(1000)),
        Item(bytes(1000)),
        DiscoveredAccept(EncryptedOffer(bytes(1000))),
        StreamResponse(1, Part(PartKind.BASE, bytes(1000))),
    ):
        assert len(repr(message)) < 120
