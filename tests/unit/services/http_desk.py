"""A signaling server with a scripted handler, and raw requests to it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from msgspec.structs import replace
from tests.unit.services.http_doubles import ACCEPTED, LIMITS, OFFER, no_bugs

from mina_webrtc.services.base import SignalReply
from mina_webrtc.services.http_server import SignalServer, TlsFiles
from mina_webrtc.services.resolve import networks
from mina_webrtc.wire.signal import Offer, P2pConnectionResponse

PATH = "/mina/webrtc/signal"
JSON = OFFER.to_json()


class Desk:
    """A handler that remembers what it was asked and what became of its replies."""

    def __init__(self, response: P2pConnectionResponse = ACCEPTED, overloaded: bool = False) -> None:
        self.response = response
        self.overloaded = overloaded
        self.sources: list[str] = []
        self.offers: list[Offer] = []
        self.written: list[bool] = []
        self.asked = asyncio.Event()
        self.told = asyncio.Event()

    def _tell(self, written: bool) -> None:
        self.written.append(written)
        self.told.set()

    def reply(self) -> SignalReply:
        return SignalReply(self.response, self.overloaded, self._tell)

    async def __call__(self, offer: Offer, source: str) -> SignalReply:
        self.offers.append(offer)
        self.sources.append(source)
        self.asked.set()
        return self.reply()


class SlowDesk(Desk):
    """One that never replies; `cancelled` says that it was told to give up."""

    def __init__(self, *, stubborn: bool = False) -> None:
        super().__init__()
        self.stubborn = stubborn
        self.cancelled = asyncio.Event()

    async def __call__(self, offer: Offer, source: str) -> SignalReply:
        await super().__call__(offer, source)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            if not self.stubborn:
                raise
        return self.reply()


@asynccontextmanager
async def serving(
    desk: Callable[[Offer, str], Awaitable[SignalReply]],
    *,
    host: str = "127.0.0.1",
    trusted: Sequence[str] = (),
    tls: TlsFiles | None = None,
    **limits: Any,
) -> AsyncIterator[SignalServer]:
    bounds = replace(LIMITS, **limits)
    with no_bugs():
        server = await SignalServer.start(desk, [(host, 0)], limits=bounds, tls=tls, trusted_proxies=networks(trusted))
        try:
            yield server
        finally:
            await server.close()
            await asyncio.sleep(0)


@asynccontextmanager
async def connected(
    server: SignalServer, source: str | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to the server's first endpoint, aborted in the end."""
    host, port = server.addresses[0]
    name = "node.example" if tls else None
    local = (source, 0) if source else None
    reader, writer = await asyncio.open_connection(host, port, ssl=tls, server_hostname=name, local_addr=local)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()


async def read_all(reader: asyncio.StreamReader) -> bytes:
    """Until the server closes; nothing when it resets."""
    try:
        async with asyncio.timeout(5):
            return await reader.read()
    except ConnectionError:
        return b""


async def exchange(
    server: SignalServer, data: bytes, source: str | None = None, tls: ssl.SSLContext | None = None
) -> tuple[int, dict[str, str], bytes]:
    """Sends `data` on a connection of its own and reads until the server closes: status, headers, body."""
    async with connected(server, source, tls) as (reader, writer):
        writer.write(data)
        head, _, body = (await read_all(reader)).partition(b"\r\n\r\n")
    line, *fields = head.decode().split("\r\n")
    return int(line.split()[1]), dict(field.split(": ", 1) for field in fields), body


def request(method: str, path: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: x", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


POST = request("POST", PATH, JSON, "Content-Type: application/json")
