"""The HTTPS of a public host, shared: what stands under /clusters/7 goes through a tunnel that a node behind a NAT has
opened (as `ssh -R` and nginx do it), everything else to the public node beside it.

python -m tests.nat.gateway serve HOST CERTIFICATE      443 for clients, 9000 for the tunnel, the node on 127.0.0.1:3000
python -m tests.nat.gateway tunnel HOST                 from there to the node on 127.0.0.1:3000
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import sys

PREFIX = b"/clusters/7"
SPARE = 4
"""Tunnel connections that wait for a client."""

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def join(one: Stream, other: Stream) -> None:
    await asyncio.gather(pump(one[0], other[1]), pump(other[0], one[1]))


async def serve(host: str, certificate: str) -> None:
    waiting: asyncio.Queue[Stream] = asyncio.Queue()

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        method, path, rest = (await reader.readuntil(b"\r\n")).split(b" ", 2)
        if path.startswith(PREFIX):
            inner, path = await waiting.get(), path.removeprefix(PREFIX)
        else:
            inner = await asyncio.open_connection("127.0.0.1", 3000)
        source = str(writer.get_extra_info("peername")[0]).encode()
        inner[1].write(b" ".join((method, path, rest)) + b"X-Forwarded-For: " + source + b"\r\nConnection: close\r\n")
        await join((reader, writer), inner)

    async def end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        waiting.put_nowait((reader, writer))

    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate)
    await asyncio.start_server(end, host, 9000)
    await asyncio.start_server(client, host, 443, ssl=tls)
    await asyncio.Event().wait()


async def tunnel(host: str) -> None:
    async def hold() -> None:
        while True:
            outside = await asyncio.open_connection(host, 9000)
            first = await outside[0].read(65_536)
            inside = await asyncio.open_connection("127.0.0.1", 3000)
            inside[1].write(first)
            await join(outside, inside)

    await asyncio.gather(*(hold() for _ in range(SPARE)))


if __name__ == "__main__":
    asyncio.run({"serve": serve, "tunnel": tunnel}[sys.argv[1]](*sys.argv[2:]))
