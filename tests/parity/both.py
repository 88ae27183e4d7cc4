"""The two backends side by side: one call on each, results and exception types compared."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from hypothesis import strategies as st

from mina_webrtc import _native, _pure

BACKENDS = (_native, _pure)
BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

# Order 1, 2, 4, 8, non-canonical forms of them, x = 0 with the sign bit, all ff, and y = 2, which is no point.
POINTS = [
    bytes.fromhex(point)
    for point in (
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "0100000000000000000000000000000000000000000000000000000000000080",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "0200000000000000000000000000000000000000000000000000000000000000",
    )
]


def plain(value: Any) -> Any:
    """A result in a form that does not depend on the backend."""
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    name = type(value).__name__
    if name == "SecretKey":
        return name, value.expose_seed(), repr(value)
    if name in {"PublicKey", "PeerId", "Signature", "ChainId"}:
        return name, bytes(value), str(value), repr(value)
    return (type(value), value) if type(value).__module__ == "builtins" else name


def outcome(call: Callable[[], object]) -> tuple[str, Any]:
    try:
        return "returned", plain(call())
    except Exception as error:
        return "raised", type(error)


def same(call: Callable[[ModuleType], object]) -> tuple[str, Any]:
    """What `call` gives on both backends; fails when they differ."""
    native, pure = (outcome(lambda b=backend: call(b)) for backend in BACKENDS)
    assert native == pure
    return native


def mutated(text: str, data: st.DataObject, alphabet: str) -> str:
    """`text` with up to three characters inserted, replaced or removed."""
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(text)))
        text = text[:at] + data.draw(st.text(alphabet, max_size=2)) + text[at + data.draw(st.integers(0, 2)) :]
    return text


seeds = st.binary(min_size=32, max_size=32)
points = st.one_of(st.sampled_from(POINTS), seeds)
junk = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.sampled_from([0, 1, -1, 255, 256, 257, 2**31, 2**32, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1]),
    st.floats(),
    st.text(st.characters(), max_size=70),
    st.binary(max_size=70),
    st.binary(max_size=70).map(bytearray),
    st.binary(max_size=70).map(memoryview),
    st.lists(st.binary(max_size=3), max_size=2),
)
