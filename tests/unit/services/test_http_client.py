"""The signaling client against servers that behave, misbehave, and are not there (protocol.md §4, §5)."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import pytest
from msgspec.structs import replace
from tests.unit.services.dns_double import NameServer
from tests.unit.services.http_doubles import (
    ACCEPTED,
    CLIENT,
    DIALER,
    OFFER,
    RESOLVE,
    Script,
    answers,
    http_peer,
    http_reply,
    no_bugs,
    open_files,
    read_request,
)

from mina_webrtc.errors import ResolveError, SignalingError
from mina_webrtc.services.http_client import HttpOfferClient
from mina_webrtc.services.resolve import Lookup, Resolver
from mina_webrtc.wire.address import Relayed, SignalingMethod
from mina_webrtc.wire.signal import P2pConnectionResponse, RejectionReason

Post = Callable[..., Awaitable[P2pConnectionResponse]]


@asynccontextmanager
async def open_client(lookup: Lookup | None = None, resolve: Any = RESOLVE, **changes: Any) -> AsyncIterator[Any]:
    with no_bugs():
        client = HttpOfferClient(replace(CLIENT, **changes), Resolver(resolve, lookup))
        try:
            yield client
        finally:
            await client.close()
            await asyncio.sleep(0)


async def post(
    client: HttpOfferClient,
    method: str,
    *,
    timeout: float = 2,
    learnt: bool = False,
    on_sent: Callable[[], None] = lambda: None,
) -> P2pConnectionResponse:
    return await client.send(
        SignalingMethod.parse(method), OFFER.to_json(), timeout=timeout, learnt=learnt, on_sent=on_sent
    )


async def failed(script: Script, timeout: float = 2, **changes: Any) -> SignalingError:
    """The error of one offer to a server that plays `script`."""
    async with http_peer(script) as port, open_client(**changes) as client:
        with pytest.raises(SignalingError) as caught:
            await post(client, f"/http/127.0.0.1/{port}", timeout=timeout)
    return caught.value


def at(*addresses: str) -> Lookup:
    async def lookup(name: str) -> Sequence[str]:
        return addresses

    return lookup


# ------------------------------------------------------------ what is sent


@pytest.mark.parametrize(
    ("method", "line", "host"),
    [
        ("/http/127.0.0.1/{}", "POST /mina/webrtc/signal HTTP/1.1", "127.0.0.1:{}"),
        ("/http/[::ffff:127.0.0.1]/{}", "POST /mina/webrtc/signal HTTP/1.1", "[::ffff:7f00:1]:{}"),
        ("/http/node.example/{}", "POST /mina/webrtc/signal HTTP/1.1", "node.example:{}"),
        (
            "/proxied/http/%2Fclusters%2F7/node.example/{}",
            "POST /clusters/7/mina/webrtc/signal HTTP/1.1",
            "node.example:{}",
        ),
    ],
)
async def test_an_offer_is_one_post_of_json(method: str, line: str, host: str) -> None:
    seen: list[tuple[str, dict[str, str], bytes]] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await read_request(reader))
        writer.write(http_reply(200, ACCEPTED.to_json(), "Set-Cookie: a=b; Path=/"))
        await writer.drain()

    async with http_peer(script) as port, open_client(at("127.0.0.1")) as client:
        for _ in range(2):
            assert await post(client, method.format(port)) == ACCEPTED
    assert len(seen) == 2  # connections: none is used twice
    for request_line, headers, body in seen:
        assert request_line == line
        assert headers["host"] == host.format(port)
        assert headers["content-type"] == "application/json"
        assert headers["accept-encoding"] == "identity"
        assert "cookie" not in headers
        assert body == OFFER.to_json()


async def test_sent_is_told_once_and_before_the_answer() -> None:
    told = asyncio.Event()
    times: list[int] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        await told.wait()
        writer.write(http_reply(200, ACCEPTED.to_json()))
        await writer.drain()

    def on_sent() -> None:
        times.append(1)
        told.set()

    async with http_peer(script) as port, open_client() as client:
        await post(client, f"/http/127.0.0.1/{port}", on_sent=on_sent)
    assert times == [1]


async def test_nothing_is_told_sent_that_was_not() -> None:
    times: list[int] = []
    async with http_peer(answers(b"")) as port:
        pass
    async with open_client() as client:
        with pytest.raises(SignalingError) as caught:
            await post(client, f"/http/127.0.0.1/{port}", on_sent=lambda: times.append(1))
    assert caught.value.reason == "refused"
    assert "connecting" in str(caught.value)
    assert f"127.0.0.1/{port}" in str(caught.value)
    assert times == []


async def test_the_proxy_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with http_peer(answers(http_reply(200, ACCEPTED.to_json()))) as port, open_client() as client:
        assert await post(client, f"/http/127.0.0.1/{port}") == ACCEPTED


async def test_a_relay_has_no_url() -> None:
    async with open_client() as client:
        with pytest.raises(SignalingError) as caught:
            await client.send(Relayed(DIALER.peer_id), OFFER.to_json(), timeout=1, learnt=False, on_sent=lambda: None)
    assert caught.value.reason == "no_url"


# ------------------------------------------------------------ what comes back


@pytest.mark.parametrize(
    ("status", "response"),
    [
        (200, ACCEPTED),
        (200, P2pConnectionResponse.rejected(RejectionReason.PEER_CAPACITY_FULL)),
        (400, P2pConnectionResponse.rejected(RejectionReason.TARGET_PEER_ID_NOT_ME)),
        (400, P2pConnectionResponse.signal_decryption_failed()),
        (429, P2pConnectionResponse.rejected(RejectionReason.PEER_CAPACITY_FULL)),
        (500, P2pConnectionResponse.internal_error()),
        (599, ACCEPTED),
    ],
)
async def test_json_is_read_whatever_the_status_and_the_content_type_are(
    status: int, response: P2pConnectionResponse
) -> None:
    for header in ("Content-Type: application/json", "Content-Type: text/plain", "X-None: 1"):
        script = answers(http_reply(status, response.to_json(), header))
        async with http_peer(script) as port, open_client() as client:
            assert await post(client, f"/http/127.0.0.1/{port}") == response


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not_json"),
        (b"<html><h1>502 Bad Gateway</h1>\n\x1b[31m", "not_json"),
        (b"\xff\xfe\x00garbage", "not_json"),
        (b"[" * 60_000, "not_json"),
        (b'{"error":"down for maintenance"}', "not_an_answer"),
        (b'{"Rejected":"BecauseISaySo"}', "not_an_answer"),
        (b'"Whatever"', "not_an_answer"),
        (b"null", "not_an_answer"),
    ],
)
async def test_another_body_is_an_error_that_quotes_it(body: bytes, reason: str) -> None:
    error = await failed(answers(http_reply(502, body)))
    assert error.reason == reason
    assert "HTTP 502" in str(error)
    assert str(error).isprintable()
    assert body[:20].decode(errors="replace").replace("\x00", "·")[:10] in str(error)
    assert len(str(error)) < 600


async def test_at_most_200_characters_are_quoted() -> None:
    error = await failed(answers(http_reply(200, b"x" * 60_000)))
    assert "x" * 200 in str(error)
    assert "x" * 201 not in str(error)


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308])
async def test_no_redirect_is_followed(status: int) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pytest.fail("the redirect was followed")

    async with http_peer(script) as elsewhere:
        location = f"Location: http://127.0.0.1:{elsewhere}/mina/webrtc/signal"
        body = b"" if status == 304 else ACCEPTED.to_json()
        error = await failed(answers(http_reply(status, body, location)))
    assert error.reason == "redirect"
    assert str(elsewhere) in str(error)
    assert f"HTTP {status}" in str(error)


def chunked(size: int) -> bytes:
    chunk = b"1000\r\n" + b" " * 4096 + b"\r\n"
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk * (size // 4096) + b"0\r\n\r\n"


@pytest.mark.parametrize(
    "data",
    [
        http_reply(200, b" " * 65537),
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
        chunked(1 << 20),
        b"HTTP/1.0 200 OK\r\n\r\n" + b" " * 1_000_000,
    ],
    ids=["length", "claimed", "chunked", "until close"],
)
async def test_a_body_that_is_too_large_is_not_read(data: bytes) -> None:
    error = await failed(answers(data))
    assert error.reason == "too_large"
    assert "65536" in str(error)


async def test_a_body_of_the_limit_is_read() -> None:
    json = ACCEPTED.to_json()
    body = json + b" " * (65536 - len(json))
    async with http_peer(answers(http_reply(200, body))) as port, open_client() as client:
        assert await post(client, f"/http/127.0.0.1/{port}") == ACCEPTED


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "disconnected"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", "disconnected"),
        (b"HTTP/1.1 200 OK\r\nContent-Len", "disconnected"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "bad_http"),
        (b"\x15\x03\x01\x00\x02\x02\x50" * 10, "bad_http"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", "bad_http"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 10_000 + b"\r\n", "bad_http"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "bad_http"),
    ],
)
async def test_what_is_no_http_answer_is_an_error(data: bytes, reason: str) -> None:
    assert (await failed(answers(data))).reason == reason


# ------------------------------------------------------------ time


async def trickled(writer: asyncio.StreamWriter, data: bytes) -> None:
    for i in range(len(data)):
        writer.write(data[i : i + 1])
        await writer.drain()
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("script", "stage"),
    [
        (lambda r, w: asyncio.sleep(30), "waiting for the answer"),
        (lambda r, w: trickled(w, b"HTTP/1.1 200 OK" + b"\r\nX: y" * 1000), "waiting for the answer"),
    ],
    ids=["silent", "headers"],
)
async def test_the_timeout_covers_a_server_that_is_slow(script: Script, stage: str) -> None:
    loop = asyncio.get_running_loop()
    begin = loop.time()
    error = await failed(script, timeout=0.1)
    assert loop.time() - begin < 1
    assert error.reason == "timeout"
    assert stage in str(error)
    assert "0.1 s" in str(error)


async def test_a_trickled_body_is_cut_as_well() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        await trickled(writer, b" " * 1000)

    error = await failed(script, timeout=0.1)
    assert error.reason == "timeout"
    assert "reading the answer" in str(error)


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
async def test_a_server_that_does_not_read_is_cut() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(30)

    async with http_peer(script) as port, open_client() as client:
        with pytest.raises(SignalingError) as caught:
            await client.send(
                SignalingMethod.parse(f"/http/127.0.0.1/{port}"),
                b" " * 50_000_000,
                timeout=0.2,
                learnt=False,
                on_sent=lambda: pytest.fail("it cannot have been sent"),
            )
    assert caught.value.reason == "timeout"
    assert "sending" in str(caught.value)


async def test_a_hanging_name_server_is_cut() -> None:
    async with NameServer({"hung.example": None}) as dns:
        resolve = replace(RESOLVE, nameservers=(dns.address,))
        async with open_client(resolve=resolve, dns_timeout=0.1) as client:
            with pytest.raises(ResolveError) as slow:
                await post(client, "/http/hung.example/3000")
            with pytest.raises(SignalingError) as short:
                await post(client, "/http/hung.example/3000", timeout=0.05)
    assert slow.value.reason == "dns_timeout"
    assert short.value.reason == "timeout"
    assert "resolving" in str(short.value)


async def test_connections_are_capped_and_waiting_for_one_takes_from_the_timeout() -> None:
    busy = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert not busy.is_set(), "a second connection"
        busy.set()
        await reader.read()

    async with http_peer(script) as port, open_client(max_connections=1) as client:
        first = asyncio.create_task(post(client, f"/http/127.0.0.1/{port}", timeout=30))
        await busy.wait()
        with pytest.raises(SignalingError) as caught:
            await post(client, f"/http/localhost/{port}", timeout=0.05)
        assert caught.value.reason == "timeout"
        assert "connecting" in str(caught.value)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first


# ------------------------------------------------------------ where it connects to


async def test_a_learnt_name_with_a_private_address_is_not_connected_to() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pytest.fail("connected")

    async with http_peer(script) as port, open_client(at("127.0.0.1", "::1", "::ffff:127.0.0.1")) as client:
        for host in ("rebound.example", "127.0.0.1", "[::ffff:7f00:1]", "2130706433"):
            with pytest.raises(ResolveError) as caught:
                await post(client, f"/http/{host}/{port}", learnt=True)
            assert caught.value.reason == "forbidden"


async def test_the_name_is_looked_up_once_so_that_it_cannot_be_rebound() -> None:
    """The second answer would lead elsewhere; the connection goes to the address that was checked."""
    asked: list[str] = []

    async def lookup(name: str) -> Sequence[str]:
        asked.append(name)
        return ["127.0.0.1"] if len(asked) == 1 else ["127.0.0.2"]

    async with http_peer(answers(http_reply(200, ACCEPTED.to_json()))) as port, open_client(lookup) as client:
        assert await post(client, f"/http/rebound.example/{port}") == ACCEPTED
    assert asked == ["rebound.example"]


async def test_concurrent_offers_to_one_name_keep_their_own_addresses() -> None:
    async def lookup(name: str) -> Sequence[str]:
        turn.append(name)
        mine = ["127.0.0.1"] if len(turn) == 1 else ["127.0.0.2"]
        await both.wait()
        return mine

    turn: list[str] = []
    both = asyncio.Event()
    async with http_peer(answers(http_reply(200, ACCEPTED.to_json()))) as port, open_client(lookup) as client:
        first = asyncio.create_task(post(client, f"/http/same.example/{port}"))
        second = asyncio.create_task(post(client, f"/http/same.example/{port}"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        both.set()
        assert await first == ACCEPTED
        with pytest.raises(SignalingError) as caught:  # nobody listens at 127.0.0.2
            await second
    assert caught.value.reason == "refused"


async def test_the_next_address_is_tried_when_one_refuses() -> None:
    async with (
        http_peer(answers(http_reply(200, ACCEPTED.to_json()))) as port,
        open_client(at("::1", "127.0.0.2", "127.0.0.1")) as client,
    ):
        assert await post(client, f"/http/many.example/{port}") == ACCEPTED


async def test_the_next_address_joins_when_one_does_not_answer() -> None:
    async with (
        http_peer(answers(http_reply(200, ACCEPTED.to_json()))) as port,
        open_client(at("127.0.0.2", "127.0.0.1")) as client,
    ):
        with socket.socket() as full, ExitStack() as stack:
            full.bind(("127.0.0.2", port))
            full.listen(0)
            for _ in range(4):  # more than the queue holds, so that nobody else gets in
                waiting = stack.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(("127.0.0.2", port))
            assert await post(client, f"/http/many.example/{port}", timeout=0.5) == ACCEPTED


async def test_ipv6_works() -> None:
    script = answers(http_reply(200, ACCEPTED.to_json()))
    async with http_peer(script, host="::1") as port, open_client(at("::1")) as client:
        assert await post(client, f"/http/[::1]/{port}") == ACCEPTED
        assert await post(client, f"/http/six.example/{port}") == ACCEPTED


async def test_a_name_that_does_not_exist_is_an_error_of_dns() -> None:
    async with NameServer({}) as dns, open_client(resolve=replace(RESOLVE, nameservers=(dns.address,))) as client:
        with pytest.raises(ResolveError) as caught:
            await post(client, "/http/missing.example/3000")
    assert caught.value.reason == "dns"
    assert "missing.example" in str(caught.value)


# ------------------------------------------------------------ the end


async def test_closing_fails_what_runs_and_frees_everything() -> None:
    loop = asyncio.get_running_loop()
    connected = asyncio.Semaphore(0)

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.release()
        await reader.read()

    async with http_peer(script) as port:
        gc.collect()
        files, tasks = open_files(), asyncio.all_tasks()
        async with open_client() as client:
            running = [asyncio.create_task(post(client, f"/http/127.0.0.1/{port}", timeout=30)) for _ in range(5)]
            for _ in running:
                await connected.acquire()
            begin = loop.time()
            await client.close()
            for task in running:
                with pytest.raises(SignalingError) as caught:
                    await task
                assert caught.value.reason == "closed"
            assert loop.time() - begin < 0.5
            with pytest.raises(SignalingError) as late:
                await post(client, f"/http/127.0.0.1/{port}")
            assert late.value.reason == "closed"
            await client.close()
        await asyncio.sleep(0.05)  # the server's side notices
        assert open_files() <= files  # fewer when an earlier resolver goes just now
        assert asyncio.all_tasks() == tasks


async def test_many_exchanges_leave_nothing_behind() -> None:
    async with http_peer(answers(http_reply(200, ACCEPTED.to_json()))) as port, open_client() as client:
        await post(client, f"/http/127.0.0.1/{port}")
        await asyncio.sleep(0.01)
        files, tasks = open_files(), len(asyncio.all_tasks())
        for _ in range(50):
            await post(client, f"/http/127.0.0.1/{port}")
        await asyncio.sleep(0.01)
        assert open_files() <= files
        assert len(asyncio.all_tasks()) <= tasks
