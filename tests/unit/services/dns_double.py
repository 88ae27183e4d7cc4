"""A name server on loopback, as small as c-ares lets it be (RFC 1035)."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_address
from itertools import chain, repeat

_A, _AAAA = 1, 28
_TYPES = {4: _A, 6: _AAAA}


class NameServer(asyncio.DatagramProtocol):
    """Answers each name with the next of its lists of addresses, the last one for ever; None is never answered, an
    unknown name does not exist."""

    def __init__(self, names: Mapping[str, Sequence[list[str]] | None]) -> None:
        self._names = {name: self._turns(lists) if lists else None for name, lists in names.items()}
        self.asked: list[str] = []
        self.address = ""
        self._news = asyncio.Event()
        self._transport: asyncio.DatagramTransport | None = None

    @staticmethod
    def _turns(lists: Sequence[list[str]]) -> tuple[Iterator[list[str]], Iterator[list[str]]]:
        return tuple(chain(lists, repeat(lists[-1])) for _ in _TYPES)  # type: ignore[return-value]

    async def __aenter__(self) -> NameServer:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", 0))
        host, port = self._transport.get_extra_info("sockname")
        self.address = f"{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._transport is not None
        self._transport.abort()

    async def heard(self, *names: str) -> None:
        """Waits until every one of `names` has been asked for."""
        while not set(names) <= set(self.asked):
            self._news.clear()
            await self._news.wait()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        labels, at = [], 12
        while length := data[at]:
            labels.append(data[at + 1 : at + 1 + length].decode())
            at += 1 + length
        name = ".".join(labels).lower()
        kind = int.from_bytes(data[at + 1 : at + 3], "big")
        self.asked.append(name)
        self._news.set()
        if name not in self._names:
            self._reply(data, at + 5, [], 3, addr)
        elif (turns := self._names[name]) is not None:
            ips = [ip_address(text) for text in next(turns[kind == _AAAA])]
            self._reply(data, at + 5, [ip.packed for ip in ips if _TYPES[ip.version] == kind], 0, addr)

    def _reply(self, query: bytes, end: int, answers: list[bytes], code: int, addr: tuple[str, int]) -> None:
        head = query[:2] + struct.pack("!HHHHH", 0x8180 | code, 1, len(answers), 0, 0)
        records = (
            b"\xc0\x0c" + struct.pack("!HHIH", _A if len(ip) == 4 else _AAAA, 1, 0, len(ip)) + ip for ip in answers
        )
        assert self._transport is not None
        self._transport.sendto(head + query[12:end] + b"".join(records), addr)
