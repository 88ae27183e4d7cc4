"""A strict JSON reader that accepts and refuses what serde does for the signaling messages (protocol.md §4).

Objects become tuples of pairs, so that duplicate fields are still there to be seen; arrays become lists. Numbers that
serde would read as floating point (`3000.0`, `1e3`, `-0`, integers beyond 64 bits) become one opaque value that fits
no field.
"""

from __future__ import annotations

import re
from json import JSONDecoder, JSONEncoder
from typing import Any, NoReturn

from mina_webrtc.errors import SignalError

MAX_BYTES = 64 * 1024
"""A body larger than this is refused unread (protocol.md §5)."""
MAX_DEPTH = 127
"""serde_json stops at 128 nested values."""
MAX_VALUES = 256
"""A message has nine values at most, and whatever fields are added to it will not make it twenty. Each one takes up to
170 bytes of memory, however short it is."""
_MAX_DIGITS = 20
"""An integer with more characters is outside of 64 bits."""

Bytes = bytes | bytearray | memoryview

Json = Any
"""str, int, bool, None, `FLOAT`, a list, or a tuple of (key, value) pairs for an object."""


class _Marker:
    """A value that equals only itself."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


FLOAT = _Marker("floating point")
UNIT = _Marker("no content")
"""The content of an enum variant that stands alone, as a string."""


def parse_json(data: Bytes, limit: int = MAX_BYTES, values: int = MAX_VALUES) -> Json:
    """The JSON value in `data`, UTF-8 without a byte order mark. Raises `SignalError` for anything else, for more
    than `limit` bytes or `values` values, and for more than `MAX_DEPTH` nested ones."""
    raw = memoryview(data)
    if raw.nbytes > limit:
        raise SignalError(f"JSON of {raw.nbytes} bytes is longer than {limit}")
    try:
        text = str(raw, "utf-8")
        if text.count("[") + text.count("{") + text.count(",") >= min(values, MAX_DEPTH):
            _check_shape(text, values)
        return _DECODER.decode(text)
    except ValueError as error:
        raise SignalError(f"not JSON: {error}") from None


def text_json(value: str) -> str:
    """A string as serde_json prints it: only quote, backslash and control characters are escaped."""
    return _ENCODER.encode(value)


def read_text(value: Json, what: str) -> str:
    """`value` if it is a string of Unicode scalars, so without lone surrogates; `SignalError` otherwise."""
    if type(value) is not str:
        raise SignalError(f"{what} must be a string")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise SignalError(f"{what} holds a lone surrogate") from None
    return value


def read_int(value: Json, what: str, high: int) -> int:
    """`value` if it is an integer in `0…high`; `SignalError` otherwise."""
    if type(value) is not int or not 0 <= value <= high:
        raise SignalError(f"{what} must be an integer from 0 to {high}")
    return value


def parse_bytes(data: Bytes, what: str, limit: int, longest: int) -> bytes:
    """A JSON array of numbers `0…255`, at most `limit` of them in `longest` bytes; `SignalError` otherwise. The numbers
    are read one by one, because a list of them takes many times the memory of the text."""
    raw = memoryview(data)
    if raw.nbytes > longest:
        raise SignalError(f"JSON of {raw.nbytes} bytes is longer than {longest}")
    found = bytearray()
    position, item = 0, _FIRST.match(raw)
    while item is not None:
        if len(found) == limit:
            raise SignalError(f"{what} is longer than {limit} bytes")
        number = int(item[1])
        if number > 0xFF:
            raise SignalError(f"{what} must hold numbers from 0 to 255")
        found.append(number)
        position = item.end()
        item = _NEXT.match(raw, position)
    if not (_END.fullmatch(raw, position) if found else _EMPTY.fullmatch(raw)):
        raise SignalError(f"{what} must be an array of numbers")
    return bytes(found)


def read_struct(value: Json, what: str, names: tuple[str, ...], optional: frozenset[str] = frozenset()) -> list[Json]:
    """The fields of a struct in the order of `names`, from an object or an array; absent `optional` ones are None.

    As serde: unknown fields are ignored, known ones may not repeat, an array must have all of them. Raises
    `SignalError`.
    """
    if type(value) is list:
        if len(value) != len(names):
            raise SignalError(f"{what} as an array must have {len(names)} values, not {len(value)}")
        return value
    if type(value) is not tuple:
        raise SignalError(f"{what} must be an object")
    found: dict[str, Json] = {}
    for key, item in value:
        if key in names:
            if key in found:
                raise SignalError(f"{what} has the field {key} twice")
            found[key] = item
        else:
            read_text(key, f"a field name of {what}")
    for name in names:
        if name not in found and name not in optional:
            raise SignalError(f"{what} lacks the field {name}")
    return [found.get(name) for name in names]


def read_variant(value: Json, what: str) -> tuple[str, Json]:
    """The name and content of an externally tagged enum; the content of `"Name"` is `UNIT`. Raises `SignalError`."""
    if type(value) is str:
        return read_text(value, what), UNIT
    if type(value) is not tuple or len(value) != 1:
        raise SignalError(f"{what} must be a variant's name, or an object with one field")
    name, content = value[0]
    return read_text(name, what), content


def _integer(text: str) -> int | _Marker:
    # serde_json reads -0 as the float -0.0, and integers that do not fit 64 bits as floats.
    if text == "-0" or len(text) > _MAX_DIGITS:
        return FLOAT
    return int(text)


def _float(_text: str) -> _Marker:
    return FLOAT


def _constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a JSON value")


_DECODER = JSONDecoder(object_pairs_hook=tuple, parse_int=_integer, parse_float=_float, parse_constant=_constant)
_ENCODER = JSONEncoder(ensure_ascii=False)
_MARK = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{},]', re.DOTALL)
"""A string, as a whole, or what structures JSON."""
_SPACE = rb"[ \t\n\r]*"
_NUMBER = _SPACE + rb"(0|[1-9][0-9]{0,2})(?![0-9])"
_FIRST = re.compile(_SPACE + rb"\[" + _NUMBER)
_NEXT = re.compile(_SPACE + rb"," + _NUMBER)
_END = re.compile(_SPACE + rb"\]" + _SPACE)
_EMPTY = re.compile(_SPACE + rb"\[" + _SPACE + rb"\]" + _SPACE)


def _check_shape(text: str, values: int) -> None:
    """Raises `ValueError` before anything is made of a text that holds or nests too much."""
    depth, count = 0, 1
    for mark in _MARK.finditer(text):
        if mark[0] in "[{":
            depth += 1
        elif mark[0] in "]}":
            depth -= 1
        count += mark[0] in "[{,"
        if depth > MAX_DEPTH:
            raise ValueError(f"more than {MAX_DEPTH} nested values")
        if count > values:
            raise ValueError(f"more than {values} values")
