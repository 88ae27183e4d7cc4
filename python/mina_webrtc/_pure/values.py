"""What the fixed-size values have in common: immutable, compared by their bytes, picklable; some are ordered."""

from __future__ import annotations

import re
from typing import Any, ClassVar, Final, NoReturn, Self

from mina_webrtc.errors import KeyFormatError

HEX: Final = re.compile(r"[0-9a-fA-F]*")


class Sealed:
    """No constructor, no new attributes, no subclasses outside of this backend: as a native class."""

    __slots__ = ()

    def __new__(cls, *_args: object, **_kwargs: object) -> Self:
        """Refuses: values are made by the static methods."""
        raise TypeError(f"cannot create {cls.__name__!r} instances directly")

    def __init_subclass__(cls) -> None:
        if cls.__module__.rpartition(".")[0] != __package__:
            raise TypeError("this type is not an acceptable base type")

    def __setattr__(self, name: str, _value: object) -> NoReturn:
        raise AttributeError(f"{type(self).__name__!r} object has no writable attribute {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{type(self).__name__!r} object has no writable attribute {name!r}")


class Value(Sealed):
    """A fixed number of bytes."""

    __slots__ = ("_data",)
    _data: bytes
    _length: ClassVar[int]
    _what: ClassVar[str]

    @classmethod
    def _of(cls, data: bytes) -> Self:
        if len(data) != cls._length:
            raise KeyFormatError(f"{cls._what} must be {cls._length} bytes, not {len(data)}")
        value = object.__new__(cls)
        object.__setattr__(value, "_data", data)
        return value

    def __bytes__(self) -> bytes:
        return self._data

    def __repr__(self) -> str:
        return f'{type(self).__name__}("{self}")'

    def __eq__(self, other: object, /) -> bool:
        return self._data == other._data if type(other) is type(self) else NotImplemented

    def __hash__(self) -> int:
        return hash((type(self).__name__, self._data))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).from_bytes, (self._data,)  # type: ignore[attr-defined]


class Ordered(Value):
    """Ordered by its bytes, the first one most significant."""

    __slots__ = ()

    def __lt__(self, other: Self, /) -> bool:
        return self._data < other._data if type(other) is type(self) else NotImplemented

    def __le__(self, other: Self, /) -> bool:
        return self._data <= other._data if type(other) is type(self) else NotImplemented

    def __gt__(self, other: Self, /) -> bool:
        return self._data > other._data if type(other) is type(self) else NotImplemented

    def __ge__(self, other: Self, /) -> bool:
        return self._data >= other._data if type(other) is type(self) else NotImplemented


def unhex(what: str, text: str, length: int) -> bytes:
    """Exactly `2 · length` hex digits of either case, without anything between. Raises `KeyFormatError`."""
    if len(text) != 2 * length or HEX.fullmatch(text) is None:
        raise KeyFormatError(f"{what} must be {2 * length} hex digits")
    return bytes.fromhex(text)
