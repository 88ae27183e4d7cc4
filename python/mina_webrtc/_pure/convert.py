"""What callers may pass, checked the way the native backend's argument conversion does."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import TYPE_CHECKING, SupportsIndex

if TYPE_CHECKING:
    from typing_extensions import Buffer

U8 = 2**8 - 1
U32 = 2**32 - 1
U64 = 2**64 - 1
I64_LOW, I64_HIGH = -(2**63), 2**63 - 1


def instance_of(kind: type, value: object) -> None:
    """`TypeError` when `value` is of another type."""
    if not isinstance(value, kind):
        raise TypeError(f"a {kind.__name__} is needed, not {type(value).__name__}")


def sequence(value: object) -> None:
    """`TypeError` for what is no sequence, and for a str, which is one."""
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise TypeError(f"a list is needed, not {type(value).__name__}")


def octets(data: Buffer) -> bytes:
    """The bytes of any buffer. `TypeError` for what is none."""
    if type(data) is bytes:
        return data
    view = memoryview(data)
    shown = view.obj
    # A view of all of them is those bytes; everything else is copied, since others could change it.
    return shown if type(shown) is bytes and view.c_contiguous and view.nbytes == len(shown) else view.tobytes()


def characters(text: str) -> str:
    """`text` itself. `TypeError` for what is no string."""
    instance_of(str, text)
    return text


def unsigned(value: SupportsIndex, limit: int) -> int:
    """An integer within 0…limit. `OverflowError` outside of it, `TypeError` for what is no integer."""
    return within(value, 0, limit)


def within(value: SupportsIndex, low: int, high: int) -> int:
    """An integer within low…high. `OverflowError` outside of it, `TypeError` for what is no integer."""
    number = index(value)
    if not low <= number <= high:
        raise OverflowError(f"integer is not within {low}…{high}")
    return number
