"""bin_prot values, one after another (protocol.md §8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn, final

from mina_webrtc._pure.convert import I64_HIGH, I64_LOW, U8, U64, instance_of, octets, unsigned, within
from mina_webrtc._pure.values import Sealed
from mina_webrtc.errors import BinProtError

if TYPE_CHECKING:
    from typing_extensions import Buffer

NEGATIVE: Final = 0xFF
WIDTHS: Final = {0xFE: 2, 0xFD: 4, 0xFC: 8}
ITEMS: Final = [bytes([byte]) if byte < 0x80 else bytes([0xFE, byte, 0]) for byte in range(256)]
"""Every byte as an int, in the items of a byte list."""
LONG: Final = 8 * 1024
"""A value of so many bytes is not copied into what is written, but kept as it is."""


@final
class BinProtReader(Sealed):
    """Reads values from a buffer. Non-minimal integers are accepted, as in the reference."""

    __slots__ = ("_data", "_position")
    _data: bytes
    _position: int

    def __new__(cls, data: Buffer) -> BinProtReader:
        """Reads `data` from its beginning."""
        reader = object.__new__(cls)
        object.__setattr__(reader, "_data", octets(data))
        object.__setattr__(reader, "_position", 0)
        return reader

    @property
    def remaining(self) -> int:
        """Bytes not read yet."""
        return len(self._data) - self._position

    def nat0(self) -> int:
        """An unsigned 64-bit number."""
        code = self._take(1)[0]
        # The reference takes 0x80…0xfb and 0xff for themselves.
        return int.from_bytes(self._take(WIDTHS[code]), "little") if code in WIDTHS else code

    def integer(self, low: int, high: int) -> int:
        """A signed number that must lie in `low…high`."""
        low, high = within(low, I64_LOW, I64_HIGH), within(high, I64_LOW, I64_HIGH)
        value = self._take(1)[0]
        if value == NEGATIVE:
            value = self._take(1)[0] - 0x100
            if value < -0x80:
                raise BinProtError("code ff is not followed by a negative byte")
        elif value in WIDTHS:
            value = int.from_bytes(self._take(WIDTHS[value]), "little", signed=True)
        if not low <= value <= high:
            raise BinProtError(f"integer {value} is not within {low}…{high}")
        return value

    def boolean(self) -> bool:
        """`00` or `01`."""
        return self._flag("bool")

    def option(self) -> bool:
        """Whether a value follows."""
        return self._flag("option")

    def variant(self, count: int) -> int:
        """One byte, an enum's index below `count`."""
        count = within(count, 1, U8 + 1)
        found = self._take(1)[0]
        if found >= count:
            raise BinProtError(f"variant {found} is not below {count}")
        return found

    def raw(self, length: int) -> bytes:
        """Exactly `length` bytes."""
        return self._take(unsigned(length, U64))

    def string(self) -> bytes:
        """nat0 length, then that many bytes."""
        return self._take(self.nat0())

    def byte_list(self) -> bytes:
        """A list of u8: nat0 length, then one int a byte."""
        count = self.nat0()
        if count > self.remaining:  # every item takes a byte at least
            raise self._truncated(count)
        # Each item stands at a place that depends on the ones before it: read in one go, the usual forms by hand.
        data, position, items = self._data, self._position, bytearray()
        for _ in range(count):
            code = data[position] if position < len(data) else NEGATIVE
            if code < 0xFC:
                items.append(code)
                position += 1
            elif code == 0xFE and data[position + 2 : position + 3] == b"\0":
                items.append(data[position + 1])
                position += 3
            else:
                object.__setattr__(self, "_position", position)
                items.append(self.integer(0, U8))
                position = self._position
        object.__setattr__(self, "_position", position)
        return bytes(items)

    def rest(self) -> bytes:
        """Everything that is left."""
        return self._take(self.remaining)

    def finish(self) -> None:
        """Raises `BinProtError` when bytes are left over."""
        if self.remaining:
            raise BinProtError(f"{self.remaining} bytes are left over")

    def _flag(self, what: str) -> bool:
        found = self._take(1)[0]
        if found > 1:
            raise BinProtError(f"{what} byte is {found:#04x}, neither 00 nor 01")
        return found == 1

    def _take(self, length: int) -> bytes:
        end = self._position + length
        if end > len(self._data):
            raise self._truncated(length)
        taken = self._data[self._position : end]
        object.__setattr__(self, "_position", end)
        return taken

    def _truncated(self, needed: int) -> BinProtError:
        return BinProtError(f"{needed} bytes are needed, {self.remaining} are left")

    def __reduce__(self) -> NoReturn:
        raise TypeError("a BinProtReader cannot be pickled")


@final
class BinProtWriter(Sealed):
    """Writes values, always in their minimal form."""

    __slots__ = ("_data", "_parts")
    _parts: list[bytes]
    """Everything up to the last long value, kept as it came: its bytes are copied once, when all are together."""
    _data: bytearray
    """What was written since."""

    def __new__(cls) -> BinProtWriter:
        """Nothing written yet."""
        writer = object.__new__(cls)
        object.__setattr__(writer, "_parts", [])
        object.__setattr__(writer, "_data", bytearray())
        return writer

    def nat0(self, value: int) -> None:
        """0…2**64-1, else `OverflowError`."""
        value = unsigned(value, U64)
        if value < 0x80:
            self._data.append(value)
        elif value < 2**16:
            self._coded(0xFE, value)
        elif value < 2**32:
            self._coded(0xFD, value)
        else:
            self._coded(0xFC, value)

    def integer(self, value: int) -> None:
        """-2**63…2**63-1, else `OverflowError`."""
        value = within(value, I64_LOW, I64_HIGH)
        if 0 <= value < 0x80:
            self._data.append(value)
        elif -0x80 <= value < 0:
            self._data.extend(bytes([NEGATIVE, value + 0x100]))
        elif -(2**15) <= value < 2**15:
            self._coded(0xFE, value)
        elif -(2**31) <= value < 2**31:
            self._coded(0xFD, value)
        else:
            self._coded(0xFC, value)

    def boolean(self, value: bool) -> None:
        """`00` or `01`."""
        instance_of(bool, value)
        self._data.append(value)

    def option(self, present: bool) -> None:
        """Whether a value follows."""
        self.boolean(present)

    def variant(self, index: int) -> None:
        """0…255, else `OverflowError`."""
        self._data.append(unsigned(index, U8))

    def raw(self, data: Buffer) -> None:
        """The bytes themselves."""
        self._keep(octets(data))

    def string(self, data: Buffer) -> None:
        """nat0 length, then the bytes."""
        body = octets(data)
        self.nat0(len(body))
        self._keep(body)

    def byte_list(self, data: Buffer) -> None:
        """A list of u8: nat0 length, then one int a byte."""
        body = octets(data)
        self.nat0(len(body))
        self._data.extend(b"".join(map(ITEMS.__getitem__, body)))

    def getvalue(self) -> bytes:
        """What was written so far."""
        last = bytes(self._data)  # with bytes alone, `join` releases the interpreter
        return b"".join([*self._parts, last]) if self._parts else last

    def _keep(self, body: bytes) -> None:
        if len(body) < LONG:
            self._data.extend(body)
        else:
            self._parts.extend((bytes(self._data), body))
            self._data.clear()

    def _coded(self, code: int, value: int) -> None:
        width = WIDTHS[code]
        self._data.append(code)
        self._data.extend((value % (1 << 8 * width)).to_bytes(width, "little"))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a BinProtWriter cannot be pickled")
