"""What the signaling server answers, to whom, and what it tells its handler (protocol.md §4, §5)."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import socket
from typing import Any

import pytest
from tests.unit.services.http_desk import JSON, PATH, POST, Desk, SlowDesk, exchange, request, serving
from tests.unit.services.http_doubles import ACCEPTED, DIALER, LIMITS, LISTENER, OFFER, open_files

from mina_webrtc.errors import ListenError
from mina_webrtc.services.base import SignalReply
from mina_webrtc.services.http_server import SignalServer
from mina_webrtc.wire.signal import Answer, Offer, P2pConnectionResponse, RejectionReason, offer_to_get

# ------------------------------------------------------------ statuses


@pytest.mark.parametrize(
    ("response", "status"),
    [
        (ACCEPTED, 200),
        (P2pConnectionResponse.rejected(RejectionReason.CHAIN_ID_MISMATCH), 200),
        (P2pConnectionResponse.rejected(RejectionReason.PEER_ID_AND_PUBLIC_KEY_MISMATCH), 400),
        (P2pConnectionResponse.rejected(RejectionReason.TARGET_PEER_ID_NOT_ME), 400),
        (P2pConnectionResponse.rejected(RejectionReason.CONNECTING_TO_SELF), 200),
        (P2pConnectionResponse.rejected(RejectionReason.ALREADY_CONNECTED), 400),
        (P2pConnectionResponse.rejected(RejectionReason.PEER_CAPACITY_FULL), 200),
        (P2pConnectionResponse.signal_decryption_failed(), 400),
        (P2pConnectionResponse.internal_error(), 500),
    ],
)
@pytest.mark.parametrize("data", [POST, request("GET", f"{PATH}/{offer_to_get(OFFER)}")], ids=["POST", "GET"])
async def test_statuses_of_responses(response: P2pConnectionResponse, status: int, data: bytes) -> None:
    desk = Desk(response)
    async with serving(desk) as server:
        got, headers, body = await exchange(server, data)
    assert (got, body) == (status, response.to_json())
    assert headers["Content-Type"] == "application/json"
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert headers["Server"] == "mina-webrtc"
    assert desk.offers == [OFFER]
    assert desk.sources == ["127.0.0.1"]
    assert desk.written == [True]


async def test_overload_is_429_with_the_response_as_body() -> None:
    full = P2pConnectionResponse.rejected(RejectionReason.PEER_CAPACITY_FULL)
    desk = Desk(full, overloaded=True)
    async with serving(desk) as server:
        status, headers, body = await exchange(server, POST)
    assert (status, headers["Retry-After"], body) == (429, "7", full.to_json())
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert desk.written == [True]


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (request("POST", PATH, JSON), 200),
        (request("POST", PATH, JSON, "Content-Type:"), 200),
        (request("POST", PATH, JSON, "Content-Type: Application/JSON; charset=utf-8"), 200),
        (request("POST", PATH, JSON, "Content-Type: application/json", "Expect: 100-continue"), 100),
        (request("POST", PATH, JSON + b" " * (65536 - len(JSON))), 200),
        (request("POST", PATH + "?x=y", JSON), 200),
        (request("POST", PATH, JSON, "Content-Type: text/plain"), 415),
        (request("POST", PATH, JSON, "Content-Type: application/jsonp"), 415),
        (request("POST", PATH, JSON + b" " * (65537 - len(JSON))), 413),
        (request("POST", PATH, b"", "Content-Length: 999999999999"), 413),
        (request("POST", PATH, b"", "Transfer-Encoding: chunked") + b"10000\r\n" + b" " * 65536 + b"\r\n2\r\n  ", 413),
        (request("POST", PATH, b"{"), 400),
        (request("POST", PATH), 400),
        (request("POST", PATH, b"\xff\xfe\x00"), 400),
        (request("POST", PATH, b"[" * 50_000), 400),
        (request("POST", PATH, b"\x1f\x8b\x08" + b"\0" * 20, "Content-Encoding: gzip"), 400),
        (request("POST", PATH, b'{"sdp":"x"}'), 400),
        (request("GET", PATH), 405),
        (request("HEAD", PATH), 405),
        (request("PUT", PATH, JSON), 405),
        (request("DELETE", PATH), 405),
        (request("TRACE", PATH), 405),
        (request("POST", f"{PATH}/{offer_to_get(OFFER)}", JSON), 405),
        (request("HEAD", f"{PATH}/{offer_to_get(OFFER)}"), 405),
        (request("GET", PATH + "/"), 400),
        (request("GET", PATH + "/0OIl"), 400),
        (request("GET", PATH + "/a/b"), 400),
        (request("GET", PATH + "/%41%42"), 400),
        (request("GET", PATH + "/" + "z" * 16384), 400),
        (request("GET", PATH + "/" + "z" * 16385), 414),
        (request("GET", PATH + "/" + "z" * 40_000), 414),
        (request("GET", "/"), 404),
        (request("GET", "/favicon.ico"), 404),
        (request("POST", PATH + "s", JSON), 404),
        (request("POST", "/clusters/7" + PATH, JSON), 404),
        (request("POST", "/mina/webrtc/../webrtc/signal", JSON), 404),
        (request("GET", "/healthz"), 200),
        (request("HEAD", "/healthz"), 200),
        (request("POST", "/healthz", JSON), 405),
        (request("GET", "/healthz", b"", "X: " + "x" * 10_000), 431),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\xaa" * 100, 400),
        (b"GET /healthz HTTP/9.9\r\n\r\n", 400),
        (b"nonsense\r\n\r\n", 400),
    ],
)
async def test_statuses_of_requests(data: bytes, status: int) -> None:
    desk = Desk()
    async with serving(desk) as server:
        got, headers, body = await exchange(server, data)
        assert got == status
        if status == 100:
            assert b"HTTP/1.1 200 OK" in body
            return
        assert headers["Access-Control-Allow-Origin"] == "*"
        assert headers["Server"] == "mina-webrtc"
        if status != 200:
            assert desk.offers == []
            assert len(body) < 500


async def test_a_get_that_does_not_decode_is_answered_in_json() -> None:
    async with serving(Desk()) as server:
        status, headers, body = await exchange(server, request("GET", PATH + "/zzzz"))
    assert (status, headers["Content-Type"], body) == (400, "application/json", b'"SignalDecryptionFailed"')


async def test_health() -> None:
    async with serving(Desk()) as server:
        assert (await exchange(server, request("GET", "/healthz")))[2] == b'{"status":"ok"}'
        status, headers, body = await exchange(server, request("HEAD", "/healthz"))
    assert (status, headers["Content-Length"], body) == (200, "15", b"")


@pytest.mark.parametrize("path", [PATH, PATH + "/abc", "/healthz"])
async def test_preflight_is_answered_and_the_connection_kept_for_what_follows(path: str) -> None:
    asked = request(
        "OPTIONS",
        path,
        b"",
        "Origin: https://explorer.example",
        "Access-Control-Request-Method: POST",
        "Access-Control-Request-Headers: content-type",
    )
    async with serving(Desk()) as server:
        status, headers, body = await exchange(server, asked + POST)
    assert status == 204
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert headers["Access-Control-Allow-Methods"] == "GET, POST, OPTIONS"
    assert headers["Access-Control-Allow-Headers"] == "Content-Type"
    assert body.startswith(b"HTTP/1.1 200 OK")


async def test_405_names_the_methods() -> None:
    async with serving(Desk()) as server:
        assert (await exchange(server, request("GET", PATH)))[1]["Allow"] == "POST, OPTIONS"


# ------------------------------------------------------------ the handler


async def test_a_handler_that_fails_is_an_internal_error(caplog: pytest.LogCaptureFixture) -> None:
    async def handler(offer: Offer, source: str) -> SignalReply:
        raise RuntimeError("a bug")

    async with serving(handler) as server:
        status, _, body = await exchange(server, POST)
    assert (status, body) == (500, b'"InternalError"')
    assert "could not be handled" in caplog.text


async def test_a_handler_that_never_replies_is_an_internal_error() -> None:
    desk = SlowDesk()
    async with serving(desk, handler_timeout=0.05) as server:
        status, _, body = await exchange(server, POST)
    assert (status, body) == (500, b'"InternalError"')
    assert desk.cancelled.is_set()


@pytest.mark.parametrize("how", ["close", "abort", "half"])
async def test_a_handler_is_told_at_once_that_the_asker_is_gone(how: str) -> None:
    desk = SlowDesk()
    async with serving(desk) as server:
        _, writer = await asyncio.open_connection(*server.addresses[0])
        writer.write(POST)
        await desk.asked.wait()
        {"close": writer.close, "abort": writer.transport.abort, "half": writer.write_eof}[how]()
        async with asyncio.timeout(0.5):
            await desk.cancelled.wait()
        writer.transport.abort()
    assert desk.written == []


async def test_a_reply_for_an_asker_that_is_gone_was_not_written() -> None:
    desk = SlowDesk(stubborn=True)
    async with serving(desk) as server:
        _, writer = await asyncio.open_connection(*server.addresses[0])
        writer.write(POST)
        await desk.asked.wait()
        writer.transport.abort()
        async with asyncio.timeout(0.5):
            await desk.told.wait()
    assert desk.written == [False]


async def test_what_follows_an_offer_on_the_same_connection_is_dropped() -> None:
    desk = Desk()
    async with serving(desk) as server:
        _, _, body = await exchange(server, POST * 50)
    assert body == ACCEPTED.to_json()
    assert len(desk.offers) == 1


async def test_nothing_of_an_offer_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with serving(Desk()) as server:
        await exchange(server, POST)
    details = [getattr(record, "details", None) for record in caplog.records if record.name == "mina_webrtc.http"]
    assert {"method": "POST", "status": 200} in details
    assert OFFER.sdp[:10] not in caplog.text
    assert "aiohttp.access" not in {record.name for record in caplog.records}


# ------------------------------------------------------------ the source


@pytest.mark.parametrize(
    ("trusted", "headers", "source"),
    [
        ([], ["X-Forwarded-For: 8.8.8.8"], "127.0.0.1"),
        (["10.0.0.0/8"], ["X-Forwarded-For: 8.8.8.8"], "127.0.0.1"),
        (["127.0.0.1/32"], [], "127.0.0.1"),
        (["127.0.0.1/32"], ["X-Forwarded-For: 8.8.8.8"], "8.8.8.8"),
        (["127.0.0.1/32"], ["X-Forwarded-For: 1.1.1.1, 8.8.8.8"], "8.8.8.8"),
        (["127.0.0.1/32"], ["X-Forwarded-For: 127.0.0.1, 8.8.8.8"], "8.8.8.8"),
        (["127.0.0.0/8", "10.0.0.0/8"], ["X-Forwarded-For: 1.1.1.1, 8.8.8.8, 10.0.0.7"], "8.8.8.8"),
        (["127.0.0.0/8", "10.0.0.0/8"], ["X-Forwarded-For: 1.1.1.1", "X-Forwarded-For: 8.8.8.8, 10.1.1.1"], "8.8.8.8"),
        (["127.0.0.0/8", "10.0.0.0/8"], ["X-Forwarded-For: 10.0.0.1, 10.0.0.2"], "10.0.0.1"),
        (["127.0.0.1/32"], ["X-Forwarded-For: 8.8.8.8, unknown"], "127.0.0.1"),
        (["127.0.0.1/32"], ["X-Forwarded-For: 8.8.8.8, "], "127.0.0.1"),
        (["127.0.0.1/32"], ["X-Forwarded-For: 8.8.8.8:4711"], "8.8.8.8"),
        (["127.0.0.1/32"], ["X-Forwarded-For: [2a00::1]:4711"], "2a00::1"),
        (["127.0.0.1/32"], ["X-Forwarded-For: 2a00::1"], "2a00::1"),
        (["127.0.0.1/32"], ["X-Forwarded-For: ::ffff:8.8.8.8"], "8.8.8.8"),
        (["127.0.0.1/32"], ["X-Forwarded-For: ::ffff:127.0.0.1"], "127.0.0.1"),
    ],
)
async def test_the_source_is_what_trusted_proxies_say(trusted: list[str], headers: list[str], source: str) -> None:
    desk = Desk()
    async with serving(desk, trusted=trusted) as server:
        await exchange(server, request("POST", PATH, JSON, *headers))
    assert desk.sources == [source]


# ------------------------------------------------------------ endpoints


async def test_ipv4_and_ipv6_with_the_same_port() -> None:
    desk = Desk()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    endpoints = [("0.0.0.0", port), ("::", port), ("localhost", 0)]
    server = await SignalServer.start(desk, endpoints, limits=LIMITS, tls=None, trusted_proxies=())
    try:
        assert server.addresses[:2] == (("0.0.0.0", port), ("::", port))
        assert server.addresses[2][0] == "127.0.0.1"
        assert server.addresses[2][1] > 0
        for host in ("127.0.0.1", "::1"):
            _, writer = await asyncio.open_connection(host, port)
            desk.asked.clear()
            writer.write(POST)
            await desk.asked.wait()
            writer.transport.abort()
        assert desk.sources == ["127.0.0.1", "::1"]
    finally:
        await server.close()


@pytest.mark.parametrize(
    ("host", "named", "why"),
    [
        ("127.0.0.1", "127.0.0.1:{}", "already in use"),
        ("::1", "[::1]:{}", "already in use"),
    ],
)
async def test_a_port_in_use_is_named_and_nothing_stays_open(host: str, named: str, why: str) -> None:
    async with serving(Desk(), host=host) as other:
        taken = other.addresses[0][1]
        before = open_files()
        with pytest.raises(ListenError, match=why) as caught:
            await SignalServer.start(
                Desk(), [("127.0.0.1", 0), (host, taken)], limits=LIMITS, tls=None, trusted_proxies=()
            )
        assert named.format(taken) in str(caught.value)
        assert open_files() == before


@pytest.mark.parametrize("host", ["203.0.113.7", "2001:db8::7", "node.example", "", "127.0.0.256"])
async def test_an_address_that_is_not_ours_is_named(host: str) -> None:
    with pytest.raises(ListenError) as caught:
        await SignalServer.start(Desk(), [(host, 0)], limits=LIMITS, tls=None, trusted_proxies=())
    assert f"{host}" in str(caught.value)


async def test_a_scope_that_is_not_there_is_named() -> None:
    with pytest.raises(ListenError, match=r"fe80::1%nowhere.*: No interface nowhere"):
        await SignalServer.start(Desk(), [("fe80::1%nowhere", 0)], limits=LIMITS, tls=None, trusted_proxies=())


async def test_a_machine_without_ipv6_is_told_and_nothing_stays_open(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = socket.socket

    def without_ipv6(family: int, *rest: Any) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
        return plain(family, *rest)

    before = open_files()
    monkeypatch.setattr(socket, "socket", without_ipv6)
    with pytest.raises(ListenError, match=r"cannot listen on .*::1.*: Address family not supported"):
        await SignalServer.start(Desk(), [("127.0.0.1", 0), ("::1", 0)], limits=LIMITS, tls=None, trusted_proxies=())
    assert open_files() == before


# ------------------------------------------------------------ the end


@pytest.fixture
async def warm() -> None:
    """uvloop opens a file of its own for its first connection."""
    async with serving(Desk()) as server:
        await exchange(server, POST)
    await asyncio.sleep(0.01)


@pytest.mark.usefixtures("warm")
async def test_closing_is_immediate_and_leaves_nothing() -> None:
    loop = asyncio.get_running_loop()
    files, tasks = open_files(), asyncio.all_tasks()
    desk = SlowDesk()
    async with serving(desk, read_timeout=60, handler_timeout=60, write_timeout=60) as server:
        writers = []
        for data in (b"", b"GET /", POST[:-1], POST, request("OPTIONS", PATH)):
            reader, writer = await asyncio.open_connection(*server.addresses[0])
            writer.write(data)
            writers.append(writer)
        await desk.asked.wait()
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 204")
        assert server.connections == 5
        begin = loop.time()
        await server.close()
        assert loop.time() - begin < 0.2
        assert desk.cancelled.is_set()
        assert server.connections == 0
        with pytest.raises(OSError):  # noqa: PT011
            await asyncio.open_connection("127.0.0.1", server.addresses[0][1] if server.addresses else 9)
        for writer in writers:
            writer.transport.abort()
    await asyncio.sleep(0.02)
    assert asyncio.all_tasks() == tasks
    assert open_files() <= files


@pytest.mark.usefixtures("warm")
async def test_closing_right_after_a_connection_came_leaves_nothing() -> None:
    files, tasks = open_files(), asyncio.all_tasks()
    for turns in range(8):
        async with serving(Desk()) as server:
            sock = socket.create_connection(server.addresses[0])
            for _ in range(turns):
                await asyncio.sleep(0)
        sock.close()
    await asyncio.sleep(0.02)
    assert asyncio.all_tasks() == tasks
    assert open_files() <= files


async def test_a_large_answer_arrives_whole() -> None:
    answer = Answer.new("x" * 3_000_000, LISTENER.public_key, DIALER.peer_id)
    desk = Desk(P2pConnectionResponse.accepted(answer))
    async with serving(desk) as server:
        _, _, body = await exchange(server, POST)
    assert json.loads(body)["Accepted"]["sdp"] == answer.sdp
    assert desk.written == [True]
