"""bin_prot values, on both backends."""

from __future__ import annotations

from collections.abc import Callable
from sys import getrefcount
from types import ModuleType
from typing import Any

import pytest

from mina_webrtc.errors import BinProtError

RANGES = {
    "i64": (-(2**63), 2**63 - 1),
    "i32": (-(2**31), 2**31 - 1),
    "u32": (0, 2**32 - 1),
    "u16": (0, 2**16 - 1),
    "u8": (0, 2**8 - 1),
}
CAST = {"number_u64": 64, "number_u32": 32}
"""Fees and their kin: a signed int of as many bits as the value has (protocol.md §8)."""


READERS: dict[str, Callable[[Any], Any]] = {
    **{name: (lambda reader, r=bounds: str(reader.integer(*r))) for name, bounds in RANGES.items()},
    **{name: (lambda reader, b=bits: str(reader.integer(*RANGES[f"i{b}"]) % 2**b)) for name, bits in CAST.items()},
    "nat0": lambda reader: str(reader.nat0()),
    "u64": lambda reader: str(reader.nat0()),
    "bool": lambda reader: reader.boolean(),
    "unit": lambda reader: reader.variant(1) or None,
    "option_u8": lambda reader: reader.integer(0, 255) if reader.option() else None,
    "list_u8": lambda reader: reader.byte_list().hex(),
    "bytes_string": lambda reader: reader.string().hex(),
    "char_string": lambda reader: reader.string().decode(),
    "list_u64": lambda reader: [reader.nat0() for _ in range(reader.nat0())],
}


def _write(writer: Any, kind: str, value: Any) -> None:
    if kind in RANGES:
        writer.integer(int(value))
    elif kind in CAST:
        writer.integer(int(value) - (2 ** CAST[kind] if int(value) >> CAST[kind] - 1 else 0))
    elif kind in {"nat0", "u64"}:
        writer.nat0(int(value))
    elif kind == "bool":
        writer.boolean(value)
    elif kind == "unit":
        writer.variant(0)
    elif kind == "option_u8":
        writer.option(value is not None)
        if value is not None:
            writer.integer(value)
    elif kind == "list_u64":
        writer.nat0(len(value))
        for item in value:
            writer.nat0(int(item))
    elif kind == "char_string":
        writer.string(value.encode())
    else:
        {"list_u8": writer.byte_list, "bytes_string": writer.string}[kind](bytes.fromhex(value))


@pytest.mark.entries("bin_prot", "primitives")
def test_vector_primitives(backend: ModuleType, entry: dict[str, Any]) -> None:
    writer = backend.BinProtWriter()
    _write(writer, entry["type"], entry["value"])
    assert writer.getvalue().hex() == entry["bin_prot_hex"]
    reader = backend.BinProtReader(bytes.fromhex(entry["bin_prot_hex"]))
    assert READERS[entry["type"]](reader) == entry["value"]
    reader.finish()


@pytest.mark.entries("bin_prot", "primitive_reads")
def test_vector_primitive_reads(backend: ModuleType, entry: dict[str, Any]) -> None:
    reader = backend.BinProtReader(bytes.fromhex(entry["bin_prot_hex"]))
    if entry["ok"]:
        assert READERS[entry["type"]](reader) == entry["value"]
        assert reader.remaining == entry["bytes_left"]
        return
    with pytest.raises(BinProtError):
        READERS[entry["type"]](reader)


HUGE = "fcffffffffffffffff0102"


@pytest.mark.parametrize("method", ["string", "byte_list"])
@pytest.mark.parametrize("data", [HUGE, "fcffffffffffffff7f00", "fdffffffff00", "0300", "01"])
def test_a_length_beyond_the_input_is_refused_at_once(backend: ModuleType, method: str, data: str) -> None:
    with pytest.raises(BinProtError):
        getattr(backend.BinProtReader(bytes.fromhex(data)), method)()


def test_values_one_after_another(backend: ModuleType) -> None:
    writer = backend.BinProtWriter()
    writer.variant(7)
    writer.nat0(2**64 - 1)
    writer.integer(-(2**63))
    writer.raw(memoryview(b"raw"))
    writer.string(bytearray(b"string"))
    writer.byte_list(b"\0\x7f\x80\xff")
    writer.option(False)
    writer.raw(b"the rest")
    reader = backend.BinProtReader(memoryview(writer.getvalue()))
    assert reader.variant(8) == 7
    assert reader.nat0() == 2**64 - 1
    assert reader.integer(-(2**63), 0) == -(2**63)
    assert reader.raw(3) == b"raw"
    assert reader.string() == b"string"
    assert reader.byte_list() == b"\0\x7f\x80\xff"
    assert reader.option() is False
    assert reader.remaining == 8
    with pytest.raises(BinProtError):
        reader.finish()
    assert reader.rest() == b"the rest"
    assert reader.rest() == b""
    reader.finish()


def test_the_input_is_read_as_it_was(backend: ModuleType) -> None:
    data = bytearray(b"\1\2")
    reader = backend.BinProtReader(data)
    data[:] = b"\3\4\5"
    assert reader.rest() == b"\1\2"


@pytest.mark.parametrize("method", ["raw", "string"])
def test_a_long_value_is_kept_and_not_copied(backend: ModuleType, method: str) -> None:
    """It is copied once, into what `getvalue` gives, between what was written before and after it."""
    long, prefix = bytes(range(256)) * 64, b"" if method == "raw" else b"\xfe\0\x40"
    writer = backend.BinProtWriter()
    writer.variant(1)
    before = getrefcount(long)
    getattr(writer, method)(long)
    assert getrefcount(long) == before + 1
    writer.variant(2)
    assert writer.getvalue() == b"\1" + prefix + long + b"\2"
    getattr(writer, method)(bytearray(long))
    getattr(writer, method)(memoryview(long)[1:-1])
    writer.boolean(True)
    inner = long[1:-1] if method == "raw" else b"\xfe\xfe\x3f" + long[1:-1]
    expected = b"\1" + prefix + long + b"\2" + prefix + long + inner + b"\1"
    assert writer.getvalue() == writer.getvalue() == expected


def test_a_view_of_bytes_is_read_in_place(backend: ModuleType) -> None:
    data = bytes(range(256))
    before = getrefcount(data)
    reader = backend.BinProtReader(memoryview(data))
    assert getrefcount(data) == before + 1
    assert reader.rest() == data


class Changed(bytes):
    """Bytes of a class of its own."""


@pytest.mark.parametrize(
    "view",
    [
        memoryview(bytes(range(100)))[7:93],
        memoryview(bytes(range(100)))[50:50],
        memoryview(bytes(range(100)))[::2],
        memoryview(bytes(range(100)))[::-1],
        memoryview(bytes(range(100))).cast("I"),
        memoryview(bytes(range(100))).cast("I")[3:9],
        memoryview(bytes(range(100))).cast("b")[1:],
        memoryview(bytes(range(100))).cast("B", [10, 10]),
        memoryview(bytearray(range(100)))[7:93],
        memoryview(Changed(range(100)))[7:93],
    ],
)
def test_views_of_every_kind(backend: ModuleType, view: memoryview) -> None:
    reader = backend.BinProtReader(view)
    assert reader.remaining == view.nbytes
    assert reader.rest() == view.tobytes()
    reader.finish()
    writer = backend.BinProtWriter()
    writer.raw(view)
    assert writer.getvalue() == view.tobytes()
    decoder = backend.FrameDecoder(100)
    assert (
        decoder.receive_batch([bytes([0, 0, 0, view.nbytes]), view] if view.nbytes else [])
        == [view.tobytes()][: view.nbytes]
    )


def test_a_released_view_is_refused(backend: ModuleType) -> None:
    view = memoryview(b"released")
    view.release()
    with pytest.raises(ValueError, match="released"):
        backend.BinProtReader(view)


def test_ranges_of_arguments(backend: ModuleType) -> None:
    reader, writer = backend.BinProtReader(b"\1\2\3"), backend.BinProtWriter()
    for call in (
        lambda: reader.raw(-1),
        lambda: reader.raw(2**64),
        lambda: reader.variant(0),
        lambda: reader.variant(257),
        lambda: reader.integer(-(2**63) - 1, 0),
        lambda: reader.integer(0, 2**63),
        lambda: writer.nat0(-1),
        lambda: writer.nat0(2**64),
        lambda: writer.integer(2**63),
        lambda: writer.integer(-(2**63) - 1),
        lambda: writer.variant(256),
        lambda: writer.variant(-1),
    ):
        with pytest.raises(OverflowError):
            call()
    for call in (
        lambda: writer.boolean(1),
        lambda: writer.option(None),
        lambda: writer.nat0(1.0),
        lambda: writer.integer("1"),
        lambda: writer.raw("text"),
        lambda: writer.string(5),
        lambda: backend.BinProtReader("text"),
        lambda: reader.raw("1"),
    ):
        with pytest.raises(TypeError):
            call()
    assert writer.getvalue() == b""
    assert reader.remaining == 3
