"""Bounds of what is parsed at all, each at its edge."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mina_webrtc._backend import BinProtWriter
from mina_webrtc.errors import BinProtError, SignalError
from mina_webrtc.wire.auth import ConnectionAuthEncrypted
from mina_webrtc.wire.json import FLOAT, MAX_BYTES, parse_json
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
