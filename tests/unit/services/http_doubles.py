"""Settings, messages and raw HTTP peers for the tests of the signaling client and server."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from mina_webrtc.identity import ChainId, SecretKey
from mina_webrtc.services.http_client import ClientSettings
from mina_webrtc.services.http_connection import ServerLimits
from mina_webrtc.services.resolve import ResolveSettings
from mina_webrtc.wire.signal import Answer, Offer, P2pConnectionResponse

DIALER, LISTENER = SecretKey.deterministic(1), SecretKey.deterministic(2)
OFFER = Offer.new("v=0\r\no=- 1 2 IN IP4 0.0.0.0\r\n", ChainId.DEVNET, DIALER.public_key, LISTENER.peer_id)
ACCEPTED = P2pConnectionResponse.accepted(Answer.new("v=0\r\ns=-\r\n", LISTENER.public_key, DIALER.peer_id))

RESOLVE = ResolveSettings(max_addresses=4, max_learnt_lookups=4, learnt_networks=(), nameservers=("127.0.0.1:9",))
CLIENT = ClientSettings(
    max_response=64 * 1024,
    max_connections=16,
    max_connections_per_host=16,
    dns_timeout=1,
    happy_eyeballs_delay=0.05,
    ca_file=None,
    system_roots=False,
)
LIMITS = ServerLimits(
    max_body=64 * 1024,
    max_get=16 * 1024,
    max_connections=64,
    max_connections_per_source=32,
    read_timeout=2,
    handler_timeout=2,
    write_timeout=2,
    retry_after=7,
    backlog=64,
)

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def http_peer(script: Script, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> AsyncIterator[int]:
    """A server that plays `script` with each connection; gives its port."""
    tasks: set[asyncio.Task[None]] = set()

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await script(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()
            tasks.discard(task)

    server = await asyncio.start_server(play, host, 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks)


async def read_request(reader: asyncio.StreamReader) -> tuple[str, dict[str, str], bytes]:
    """The request line, the headers (lower case names) and the body."""
    line, *fields = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[:-2]
    headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
    return line, headers, await reader.readexactly(int(headers.get("content-length", 0)))


def answers(data: bytes) -> Script:
    """A script that reads the request, writes `data` as it is, and closes."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(data)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    return script


def http_reply(status: int, body: bytes = b"", *headers: str) -> bytes:
    """A whole HTTP answer."""
    lines = (f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", *headers)
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@contextmanager
def no_bugs() -> Iterator[None]:
    """Nothing raised where only the event loop could see it."""
    loop = asyncio.get_running_loop()
    bugs: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: bugs.append(context))
    try:
        yield
    finally:
        loop.set_exception_handler(None)
    assert bugs == []


def open_files() -> int:
    """How many file descriptors this process has."""
    return len(os.listdir("/proc/self/fd"))
