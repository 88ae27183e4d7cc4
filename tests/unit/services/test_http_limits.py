"""Clients of the signaling server that are slow, many, or both (protocol.md §5)."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress

import pytest
from tests.unit.services.http_desk import (
    JSON,
    PATH,
    POST,
    Desk,
    SlowDesk,
    connected,
    exchange,
    read_all,
    request,
    serving,
)
from tests.unit.services.http_doubles import DIALER, LISTENER

from mina_webrtc.services.http_server import SignalServer
from mina_webrtc.wire.signal import Answer, P2pConnectionResponse

CLOSED = (ConnectionError, RuntimeError)
"""Writing to a closed connection; uvloop says it in its own way."""


async def trickle(server: SignalServer, data: bytes) -> float:
    """Sends a byte every few milliseconds, then waits; returns how long the server bore it."""
    loop = asyncio.get_running_loop()
    begin = loop.time()
    async with connected(server) as (reader, writer):
        with suppress(*CLOSED):
            for byte in data:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0.005)
                if reader.at_eof():
                    break
        await read_all(reader)
    return loop.time() - begin


CHUNKS = request("POST", PATH, b"", "Transfer-Encoding: chunked") + b"1\r\n \r\n" * 1000


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"G",
        b"GET /" + b"a" * 1000,
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 1000,
        POST[:-20] + b" " * 1000,
        CHUNKS,
        request("OPTIONS", PATH) * 100,
    ],
    ids=["nothing", "one byte", "request line", "headers", "body", "chunks", "preflights"],
)
async def test_a_request_that_trickles_in_is_cut_at_the_deadline(data: bytes) -> None:
    desk = Desk()
    async with serving(desk, read_timeout=0.1) as server:
        assert await trickle(server, data) < 5
        await asyncio.sleep(0)
        assert server.connections == 0
    assert desk.offers == []


async def test_a_kept_connection_gets_no_new_deadline() -> None:
    async with serving(Desk(), read_timeout=0.1) as server, connected(server) as (reader, writer):
        loop = asyncio.get_running_loop()
        begin = loop.time()
        writer.write(request("OPTIONS", PATH))
        assert (await read_all(reader)).startswith(b"HTTP/1.1 204")
        assert loop.time() - begin < 5


async def test_the_handlers_time_is_not_the_clients() -> None:
    desk = SlowDesk()
    async with serving(desk, read_timeout=0.05, handler_timeout=0.2, write_timeout=0.05) as server:
        status, _, _ = await exchange(server, POST)
    assert status == 500
    assert desk.cancelled.is_set()


async def test_an_answer_that_is_not_taken_is_cut_at_the_deadline() -> None:
    answer = Answer.new("x" * 10_000_000, LISTENER.public_key, DIALER.peer_id)
    desk = Desk(P2pConnectionResponse.accepted(answer))
    async with serving(desk, write_timeout=0.1) as server:
        with socket.socket() as client:
            client.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(client, server.addresses[0])
            await loop.sock_sendall(client, POST)
            begin = loop.time()
            await desk.told.wait()
            assert 0.05 < loop.time() - begin < 5
        await asyncio.sleep(0)
        assert server.connections == 0
    assert desk.written == [False]


async def test_an_answer_that_is_taken_by_bytes_is_cut_at_the_deadline() -> None:
    answer = Answer.new("x" * 10_000_000, LISTENER.public_key, DIALER.peer_id)
    desk = Desk(P2pConnectionResponse.accepted(answer))
    async with serving(desk, write_timeout=0.1) as server:
        with socket.socket() as client:
            client.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(client, server.addresses[0])
            await loop.sock_sendall(client, POST)
            begin = loop.time()
            while not desk.told.is_set():
                await loop.sock_recv(client, 1)
                await asyncio.sleep(0.005)
            assert loop.time() - begin < 5
    assert desk.written == [False]


async def test_who_goes_on_sending_after_the_answer_is_cut_at_the_deadline() -> None:
    async with serving(Desk(), write_timeout=0.1) as server, connected(server) as (_, writer):
        loop = asyncio.get_running_loop()
        begin = loop.time()
        writer.write(request("POST", PATH, b"", "Transfer-Encoding: chunked"))
        await admitted(server, 1)
        while server.connections:
            writer.write(b"4000\r\n" + b" " * 0x4000 + b"\r\n")
            await asyncio.sleep(0.001)
        assert loop.time() - begin < 5


async def test_an_upload_that_is_too_large_still_reads_its_answer() -> None:
    """Closing with unread bytes would reset the connection, and the answer with it."""
    body = b" " * 1_000_000
    async with serving(Desk()) as server:
        for data in (
            request("POST", PATH, body),
            request("POST", PATH, b"", "Transfer-Encoding: chunked") + b"f4240\r\n" + body + b"\r\n0\r\n\r\n",
        ):
            assert (await exchange(server, data))[0] == 413


@pytest.mark.parametrize(
    "line", [b"x: " + b"y" * 3000 + b"\r\n", b"x: y\r\n", b"y" * 1000], ids=["fields", "small", "one"]
)
async def test_an_endless_head_is_cut_before_the_deadline(line: bytes) -> None:
    async with serving(Desk(), read_timeout=30) as server, connected(server) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\n")
        sent = 0
        with suppress(*CLOSED):
            while not reader.at_eof():
                writer.write(line)
                await writer.drain()
                await asyncio.sleep(0)
                sent += len(line)
        assert sent < 150_000
        await read_all(reader)


async def test_a_head_of_too_many_fields_is_refused() -> None:
    async with serving(Desk()) as server:
        for count, status in ((30, 200), (80, 400)):
            headers = [f"x-{number}: y" for number in range(count)]
            got = await exchange(server, request("POST", PATH, JSON, "Content-Type: application/json", *headers))
            assert got[0] == status


# ------------------------------------------------------------ floods


async def admitted(server: SignalServer, count: int) -> None:
    """Waits until the server has that many connections."""
    async with asyncio.timeout(1):
        while server.connections != count:  # noqa: ASYNC110
            await asyncio.sleep(0)


async def turned_away(server: SignalServer, source: str | None = None) -> bool:
    """Whether a new connection is closed at once."""
    async with connected(server, source) as (reader, _):
        return await read_all(reader) == b""


async def test_connections_are_capped_and_the_rest_is_closed_at_once() -> None:
    limits = {"max_connections": 5, "max_connections_per_source": 100, "read_timeout": 30}
    async with serving(Desk(), **limits) as server, AsyncExitStack() as stack:
        idle = [await stack.enter_async_context(connected(server)) for _ in range(5)]
        await admitted(server, 5)
        for _ in range(20):
            assert await turned_away(server)
        assert server.connections == 5
        idle[0][1].transport.abort()
        await admitted(server, 4)
        assert (await exchange(server, POST))[0] == 200


async def test_a_source_cannot_take_the_places_of_others() -> None:
    async with serving(Desk(), max_connections_per_source=3, read_timeout=30) as server, AsyncExitStack() as stack:
        for _ in range(3):
            await stack.enter_async_context(connected(server, "127.0.0.1"))
        await admitted(server, 3)
        assert await turned_away(server, "127.0.0.1")
        assert (await exchange(server, POST, "127.0.0.2"))[0] == 200


async def test_on_ipv6_a_network_is_one_source() -> None:
    async with serving(Desk(), host="::1", max_connections_per_source=1, read_timeout=30) as server:
        async with connected(server):
            await admitted(server, 1)
            assert await turned_away(server)
        await admitted(server, 0)
        assert (await exchange(server, POST))[0] == 200


async def test_a_trusted_proxy_is_no_source() -> None:
    limits = {"max_connections_per_source": 1, "read_timeout": 30}
    async with serving(Desk(), trusted=["127.0.0.1/32"], **limits) as server, AsyncExitStack() as stack:
        for _ in range(5):
            await stack.enter_async_context(connected(server))
        await admitted(server, 5)
        assert (await exchange(server, POST))[0] == 200


async def test_a_flood_does_not_keep_out_the_honest() -> None:
    desk = Desk()
    async with (
        serving(desk, max_connections=8, max_connections_per_source=4, read_timeout=30) as server,
        AsyncExitStack() as stack,
    ):
        for _ in range(60):
            await stack.enter_async_context(connected(server, "127.0.0.9"))
        assert (await exchange(server, POST, "127.0.0.1"))[0] == 200
        assert server.connections == 4
    assert desk.written == [True]


async def test_running_out_of_files_is_survived(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(Desk()) as server:
        accept: Callable[..., object] = socket.socket.accept
        failures = iter([OSError(24, "Too many open files")])

        def failing(self: socket.socket) -> object:
            for failure in failures:
                raise failure
            return accept(self)

        monkeypatch.setattr(socket.socket, "accept", failing)
        async with asyncio.timeout(1):
            assert (await exchange(server, request("POST", PATH, JSON)))[0] == 200
    assert "Too many open files" in caplog.text
    assert caplog.records[0].levelno == logging.WARNING
