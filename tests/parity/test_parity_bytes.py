"""base58, bin_prot and frames: native against pure."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.parity.both import BACKENDS, BASE58, junk, mutated, outcome, same

READS = ("nat0", "boolean", "option", "string", "byte_list", "rest", "finish")
i64 = st.integers(-(2**63), 2**63 - 1)
u64 = st.integers(0, 2**64 - 1)


@given(st.binary(max_size=300))
def test_base58_of_any_bytes(data: bytes) -> None:
    _, (_, text) = same(lambda b: b.base58_encode(data))
    assert same(lambda b: b.base58_decode(text, len(text))) == ("returned", (bytes, data))


@given(st.one_of(st.text(BASE58, max_size=200), st.text(max_size=20)), st.integers(0, 210))
def test_base58_of_any_text(text: str, limit: int) -> None:
    same(lambda b: b.base58_decode(text, limit))


@given(st.data(), st.integers(0, 255), st.binary(max_size=80))
def test_base58check_of_mutated_texts(data: st.DataObject, version: int, payload: bytes) -> None:
    _, (_, text) = same(lambda b: b.base58check_encode(version, payload))
    changed = mutated(text, data, BASE58 + "0l é")
    near = data.draw(st.integers(max(version - 1, 0), min(version + 1, 255)))
    size = data.draw(st.integers(max(len(payload) - 1, 0), len(payload) + 1))
    same(lambda b: b.base58check_decode(changed, near, size))
    same(lambda b: b.base58check_decode(text, version, len(payload)))


@given(st.binary(max_size=40), st.integers(0, 255), st.integers(0, 40))
def test_base58check_of_texts_with_any_content(body: bytes, version: int, length: int) -> None:
    text = BACKENDS[0].base58_encode(body)
    same(lambda b: b.base58check_decode(text, version, length))


@pytest.mark.parametrize(
    ("name", "count"),
    {
        "base58_encode": 1,
        "base58_decode": 2,
        "base58check_encode": 2,
        "base58check_decode": 3,
        "frame_batch": 1,
        "frame_chunks": 1,
        "sdp_hash": 1,
        "BinProtReader": 1,
        "BinProtWriter": 0,
        "FrameDecoder": 1,
    }.items(),
)
@given(data=st.data())
def test_arguments_of_any_type(name: str, count: int, data: st.DataObject) -> None:
    arguments = data.draw(st.lists(junk, min_size=max(count - 1, 0), max_size=count + 1))
    same(lambda b: getattr(b, name)(*arguments))


@st.composite
def reads(draw: st.DrawFn) -> tuple[str, tuple[Any, ...]]:
    kind = draw(st.sampled_from([*READS, "integer", "variant", "raw", "remaining"]))
    if kind == "integer":
        low = draw(st.one_of(st.sampled_from([0, -(2**63), -128, -1]), i64, junk))
        return kind, (low, draw(st.one_of(st.sampled_from([255, 65535, 2**63 - 1]), i64, junk)))
    if kind in {"variant", "raw"}:
        return kind, (draw(st.one_of(st.integers(0, 300), u64, junk)),)
    return kind, ()


bin_prot = st.lists(
    st.one_of(
        st.sampled_from([bytes([code]) for code in (0, 1, 2, 0x7F, 0x80, 0xFB, 0xFC, 0xFD, 0xFE, 0xFF)]),
        st.binary(max_size=9),
        u64.map(lambda value: b"\xfc" + value.to_bytes(8, "little")),
    ),
    max_size=12,
).map(b"".join)


@given(bin_prot, st.lists(reads(), min_size=1, max_size=12))
def test_reading_any_values_from_any_bytes(data: bytes, steps: list[tuple[str, tuple[Any, ...]]]) -> None:
    native, pure = (backend.BinProtReader(data) for backend in BACKENDS)
    for name, arguments in steps:
        result = outcome(lambda n=name, a=arguments: _step(native, n, a))
        assert result == outcome(lambda n=name, a=arguments: _step(pure, n, a))
        if result[0] == "raised":
            return  # after an error the reader must not be used
        assert native.remaining == pure.remaining


@given(st.binary(max_size=200))
def test_reading_a_byte_list_of_anything(data: bytes) -> None:
    writer = BACKENDS[0].BinProtWriter()
    writer.byte_list(data)
    same(lambda b: b.BinProtReader(writer.getvalue()).byte_list())
    same(lambda b: b.BinProtReader(len(data).to_bytes(1, "big") + data).byte_list())


@st.composite
def writes(draw: st.DrawFn) -> tuple[str, tuple[Any, ...]]:
    kind = draw(st.sampled_from(["nat0", "integer", "boolean", "option", "variant", "raw", "string", "byte_list"]))
    right: dict[str, st.SearchStrategy[Any]] = {
        "nat0": st.one_of(st.integers(0, 300), u64),
        "integer": st.one_of(st.integers(-200, 70_000), i64),
        "variant": st.integers(0, 255),
    }
    by_kind = right.get(kind, st.booleans() if kind in {"boolean", "option"} else st.binary(max_size=300))
    return kind, (draw(st.one_of(by_kind, junk)),)


@given(st.lists(writes(), max_size=12))
def test_writing_any_values(steps: list[tuple[str, tuple[Any, ...]]]) -> None:
    native, pure = (backend.BinProtWriter() for backend in BACKENDS)
    for name, arguments in steps:
        result = outcome(lambda n=name, a=arguments: _step(native, n, a))
        assert result == outcome(lambda n=name, a=arguments: _step(pure, n, a))
        assert native.getvalue() == pure.getvalue()


frames = st.one_of(
    st.binary(min_size=1, max_size=60).map(lambda payload: len(payload).to_bytes(4, "big") + payload),
    st.binary(max_size=6),
    st.integers(0, 70).map(lambda length: length.to_bytes(4, "big")),
)


@given(st.lists(frames, max_size=6).map(b"".join), st.integers(0, 64), st.data())
def test_frames_of_any_bytes_cut_anywhere(stream: bytes, limit: int, data: st.DataObject) -> None:
    native, pure = (backend.FrameDecoder(limit) for backend in BACKENDS)
    start = 0
    while start < len(stream):
        end = start + data.draw(st.integers(0, len(stream)))
        chunk = stream[start:end] if data.draw(st.booleans()) else memoryview(stream)[start:end]
        result = outcome(lambda c=chunk: native.receive_data(c))
        assert result == outcome(lambda c=chunk: pure.receive_data(c))
        assert native.buffered == pure.buffered
        start = max(end, start + 1)


@given(st.lists(frames | st.binary(max_size=9).map(bytearray), max_size=12), st.lists(st.integers(0, 64), min_size=4))
def test_batches_of_any_bytes_under_changing_limits(chunks: list[bytes], limits: list[int]) -> None:
    native, pure = (backend.FrameDecoder(limits[0]) for backend in BACKENDS)
    step = max(len(chunks) // len(limits), 1)
    for index, limit in enumerate(limits):
        part = chunks[index * step : (index + 1) * step]
        for decoder in (native, pure):
            decoder.allow(limit)
        result = outcome(lambda p=part: native.receive_batch(p))
        assert result == outcome(lambda p=part: pure.receive_batch(p))
        assert native.buffered == pure.buffered


@given(st.lists(st.binary(max_size=9) | st.integers(1, 40_000).map(bytes) | junk, max_size=6))
def test_batches_of_any_payloads(payloads: list[Any]) -> None:
    same(lambda b: b.frame_batch(payloads))


@given(st.integers(1, 70_000), st.integers(0, 255))
def test_chunks_of_any_size(size: int, fill: int) -> None:
    _, chunks = same(lambda b: b.frame_chunks(bytes([fill]) * size))
    assert b"".join(data for _, data in chunks) == size.to_bytes(4, "big") + bytes([fill]) * size


def _step(target: Any, name: str, arguments: tuple[Any, ...]) -> Any:
    found = getattr(target, name)
    return found(*arguments) if callable(found) else found


def test_nothing_is_exported_by_one_alone() -> None:
    def public(module: ModuleType) -> set[str]:
        return {name for name in vars(module) if not name.startswith("_") and name[0] != "_"}

    modules = {"base58", "binprot", "chain", "convert", "crypto", "curve", "frames", "identity", "pem", "values"}
    assert public(BACKENDS[0]) == public(BACKENDS[1]) - modules - {"annotations"}
