"""Bounds of what is parsed at all, each at its edge."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mina_webrtc._backend import BinProtWriter
from mina_webrtc.errors import BinProtError, SignalError
from mina_webrtc.identity import ChainId, SecretKey
from mina_webrtc.wire.auth import ConnectionAuthEncrypted
from mina_webrtc.wire.json import FLOAT, MAX_BYTES, MAX_VALUES, parse_json
from mina_webrtc.wire.offer import Offer
from mina_webrtc.wire.sealed import MAX_SEALED, EncryptedAnswer, EncryptedOffer
from mina_webrtc.wire.streaming import MAX_TREES, Part, PartKind


def test_json_of_the_largest_body() -> None:
    assert parse_json(b'"' + b"x" * (MAX_BYTES - 2) + b'"') == "x" * (MAX_BYTES - 2)
    with pytest.raises(SignalError, match="longer than 65536"):
        parse_json(b'"' + b"x" * (MAX_BYTES - 1) + b'"')


def test_an_integer_of_any_length_is_read_without_being_computed() -> None:
    assert parse_json(b"[" + b"9" * 20 + b"]") == [int("9" * 20)]
    assert parse_json(b"[" + b"9" * 21 + b"]") == [FLOAT]
    assert parse_json(b"[" + b"9" * 60_000 + b"]") == [FLOAT]


def test_the_number_of_values() -> None:
    """Brackets and commas in a text are no values."""
    text = r'"[{,\",[' + "[{," * 200 + '"'
    fields = [f'"{name}":[{{}}]' for name in range((MAX_VALUES - 3) // 3)]
    most = f'{{"sdp":{text},{",".join(fields)},"x":[]}}'
    assert len(dict(parse_json(most.encode()))) == len(fields) + 2
    assert parse_json(b"[" + b"1," * (MAX_VALUES - 2) + b"1]") == [1] * (MAX_VALUES - 1)
    for beyond in (most[:-2] + ",[]]}", "[" + "1," * (MAX_VALUES - 1) + "1]", "[" + text + ",[],{}" * 200 + "]"):
        with pytest.raises(SignalError, match=f"more than {MAX_VALUES} values"):
            parse_json(beyond.encode())
    assert parse_json(b"[" + b"1," * 999 + b"1]", values=2000) == [1] * 1000


def test_an_offer_with_many_unknown_fields() -> None:
    """As serde reads it, as long as they are not too many; the fields of the offer itself may be behind them."""
    key = SecretKey.deterministic(0)
    offer = Offer.new("v=0\r\n", ChainId.DEVNET, key.public_key, key.peer_id)
    known = offer.to_json()[1:]
    unknown = b",".join(b'"x%d":[{},"a"]' % number for number in range(60))
    assert Offer.from_json(b"{" + unknown + b"," + known) == offer
    with pytest.raises(SignalError, match="values"):
        Offer.from_json(b"{" + unknown + b"," + unknown + b"," + known)


@given(
    st.lists(
        st.sampled_from(
            ["[", "]", ",", "0", "00", "7", "255", "256", "1000", "-0", "-1", "1.0", "1e1", '"1"', "null", "{}"]
        )
        | st.text(" \t\n\r", max_size=2),
        max_size=7,
    ).map("".join),
    st.booleans(),
)
def test_arrays_of_bytes_are_those_that_json_knows(text: str, whole: bool) -> None:
    text = f"[{text}]" if whole else text
    try:
        value = json.loads(text)
        right = type(value) is list and all(type(item) is int and 0 <= item <= 255 for item in value)
        right = right and "-0" not in text
    except ValueError:
        right = False
    if right:
        assert EncryptedOffer.from_json(text.encode()).data == bytes(value)
    else:
        with pytest.raises(SignalError):
            EncryptedOffer.from_json(text.encode())


@pytest.mark.parametrize(
    ("read", "numbers", "longest"),
    [
        (EncryptedOffer.from_json, MAX_SEALED, 4 * MAX_SEALED + 1),
        (EncryptedAnswer.from_json, MAX_SEALED, 4 * MAX_SEALED + 1),
        (ConnectionAuthEncrypted.from_json, 92, 4 * 92 + 1024),
    ],
)
def test_arrays_of_numbers_with_space_around(
    read: Callable[[bytes], EncryptedOffer | EncryptedAnswer | ConnectionAuthEncrypted], numbers: int, longest: int
) -> None:
    """The largest fits, in three digits each; space that makes it longer does not."""
    text = b"[" + b",".join([b"255"] * numbers) + b"]"
    assert read(text).data == b"\xff" * numbers
    with pytest.raises(SignalError, match=f"longer than {numbers} bytes"):
        read(b"[" + b"1," * numbers + b"1]")
    with pytest.raises(SignalError, match=f"longer than {longest}"):
        read(text.ljust(longest + 1))


def test_the_number_of_trees() -> None:
    for trees in (MAX_TREES, MAX_TREES + 1):
        writer = BinProtWriter()
        writer.integer(trees)
        part = Part(PartKind.SCAN_STATE_BASE, writer.getvalue())
        if trees == MAX_TREES:
            assert part.trees == trees
        else:
            with pytest.raises(BinProtError):
                part.trees  # noqa: B018 - it is read here
