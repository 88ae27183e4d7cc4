"""Seed lists: what a line may be, files, and pages that are fetched by the rules of signaling."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme
from msgspec.structs import replace
from tests.unit.services.http_doubles import CLIENT, RESOLVE, answers, http_peer, http_reply, read_request

from mina_webrtc import Config, Node, PeerId, SecretKey
from mina_webrtc.errors import ConfigError, SignalingError
from mina_webrtc.machines.vocab import AttemptFailed
from mina_webrtc.services.http_client import HttpOfferClient
from mina_webrtc.services.resolve import Resolver
from mina_webrtc.services.seeds import MAX_LIST, SeedPages, parse_list, read_list
from mina_webrtc.wire.address import DialAddress

CA = trustme.CA()
ONE, TWO = (f"/{SecretKey.deterministic(index).peer_id}/http/127.0.0.1/{index}" for index in (1, 2))
LIBP2P = "/ip4/192.0.2.9/tcp/10003/p2p/12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X"
LIST = f"# seeds\n\n  {ONE}  # the first\r\n{LIBP2P}\n{TWO}\n"
BOTH = [DialAddress.parse(ONE), DialAddress.parse(TWO)]


def tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    CA.issue_cert("127.0.0.1").configure_cert(context)
    return context


@asynccontextmanager
async def open_client(tmp_path: Path) -> AsyncIterator[HttpOfferClient]:
    path = tmp_path / "ca.pem"
    CA.cert_pem.write_to_path(str(path))
    client = HttpOfferClient(replace(CLIENT, ca_file=path), Resolver(RESOLVE))
    try:
        yield client
    finally:
        await client.close()
        await asyncio.sleep(0)


def test_a_list_holds_one_address_a_line_comments_and_libp2p_addresses_that_are_passed_over() -> None:
    assert parse_list(LIST.encode(), "x") == BOTH
    assert parse_list(b"", "x") == []


@pytest.mark.parametrize("line", ["nonsense", "\xff\xfe", f"{ONE} {TWO}", ONE.replace("http/127.0.0.1/1", "p2p/x")])
def test_another_line_is_an_error_that_names_it(tmp_path: Path, line: str) -> None:
    path = tmp_path / "seeds.txt"
    path.write_bytes(f"{ONE}\n{line}\n".encode("latin-1"))
    with pytest.raises(ConfigError, match="line 2") as caught:
        read_list(path)
    assert str(path) in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        read_list(tmp_path / "nowhere")
    path = tmp_path / "long.txt"
    path.write_bytes(b"#" * (MAX_LIST + 1))
    with pytest.raises(ConfigError, match="longer"):
        read_list(path)


async def test_a_page_is_one_get(tmp_path: Path) -> None:
    seen = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await read_request(reader))
        writer.write(http_reply(200, LIST.encode()))
        await writer.drain()
        writer.close()

    async with http_peer(script, tls()) as port, open_client(tmp_path) as client:
        assert await client.fetch(f"https://127.0.0.1:{port}/a/list.txt?b=c", timeout=2, limit=1000) == LIST.encode()
    ((line, headers, body),) = seen
    assert (line, headers["host"], body) == ("GET /a/list.txt?b=c HTTP/1.1", f"127.0.0.1:{port}", b"")


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (http_reply(302, b"", f"Location: {ONE}"), "redirect"),
        (http_reply(404, b"no"), "bad_http"),
        (http_reply(200, b"#" * 1001), "too_large"),
        (b"nonsense\r\n\r\n", "bad_http"),
    ],
)
async def test_other_answers_are_errors(tmp_path: Path, reply: bytes, reason: str) -> None:
    async with http_peer(answers(reply), tls()) as port, open_client(tmp_path) as client:
        with pytest.raises(SignalingError) as caught:
            await client.fetch(f"https://127.0.0.1:{port}/", timeout=2, limit=1000)
    assert caught.value.reason == reason


async def test_a_page_that_fails_is_fetched_again_until_it_has_been_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    replies = [http_reply(500), http_reply(200, b"nonsense"), http_reply(200, LIST.encode())]
    found: asyncio.Future[Sequence[DialAddress]] = asyncio.get_running_loop().create_future()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answers(replies.pop(0))(reader, writer)

    async with http_peer(script, tls()) as port, open_client(tmp_path) as client:
        pages = SeedPages(client, 2.0, 0.01, 0.02, found.set_result)
        pages.fetch(f"https://127.0.0.1:{port}/")
        assert await found == BOTH
        await pages.close()
    assert [record.levelno for record in caplog.records if "seed list" in record.message] == [logging.WARNING] * 2


@pytest.mark.parametrize("url", ["http://example.com/", "ftp://example.com/seeds"])
def test_a_page_comes_by_https_only(url: str) -> None:
    with pytest.raises(ConfigError, match="https only"):
        Config(secret_key=SecretKey.deterministic(0), seed_lists=(url,))


async def test_a_node_begins_with_all_its_lists(tmp_path: Path) -> None:
    path = tmp_path / "seeds.txt"
    path.write_text(ONE)
    ca_file = tmp_path / "ca.pem"
    CA.cert_pem.write_to_path(str(ca_file))
    failed: set[PeerId] = set()
    async with http_peer(answers(http_reply(200, TWO.encode())), tls()) as port:
        lists = (str(path), f"https://127.0.0.1:{port}/")
        config = Config(secret_key=SecretKey.deterministic(0), seed_lists=lists, ca_file=ca_file, allow_loopback=True)
        async with Node(config) as node, asyncio.timeout(10):
            async for notice in node.events():
                failed |= {notice.peer} if isinstance(notice, AttemptFailed) else set()
                if failed == {address.peer for address in BOTH}:
                    break


async def test_a_node_is_told_of_a_list_that_is_not_there(tmp_path: Path) -> None:
    config = Config(secret_key=SecretKey.deterministic(0), seed_lists=(str(tmp_path / "nowhere"),))
    with pytest.raises(ConfigError, match="nowhere"):
        await Node(config).start()
