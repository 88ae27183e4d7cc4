"""TLS on both sides of signaling: whom the client believes, and how the server's certificate is changed."""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from msgspec.structs import replace
from tests.unit.services.http_desk import POST, Desk, connected, exchange, read_all, request, serving
from tests.unit.services.http_doubles import (
    ACCEPTED,
    CLIENT,
    OFFER,
    RESOLVE,
    Script,
    answers,
    http_peer,
    http_reply,
    open_files,
    read_request,
)

from mina_webrtc.errors import ConfigError, ListenError, SignalingError
from mina_webrtc.services.http_client import HttpOfferClient
from mina_webrtc.services.http_server import TlsFiles
from mina_webrtc.services.resolve import Resolver
from mina_webrtc.wire.address import SignalingMethod
from mina_webrtc.wire.signal import P2pConnectionResponse

CA, OTHER_CA = trustme.CA(), trustme.CA()
NODE = CA.issue_cert("node.example", "127.0.0.1")


async def lookup(name: str) -> Sequence[str]:
    return ["127.0.0.1"]


def server_side(cert: trustme.LeafCert = NODE) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    cert.configure_cert(context)
    return context


def client_side() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    CA.configure_trust(context)
    return context


@pytest.fixture
def ca_file(tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    CA.cert_pem.write_to_path(str(path))
    return path


def files(folder: Path, cert: trustme.LeafCert = NODE, key: trustme.LeafCert | None = None) -> TlsFiles:
    """Writes a certificate and a key, over those of before."""
    made = TlsFiles(folder / "cert.pem", folder / "key.pem")
    made.certificate.write_bytes(b"".join(blob.bytes() for blob in cert.cert_chain_pems))
    made.key.write_bytes((key or cert).private_key_pem.bytes())
    return made


@asynccontextmanager
async def open_client(ca_file: Path | None, system_roots: bool = False) -> AsyncIterator[HttpOfferClient]:
    settings = replace(CLIENT, ca_file=ca_file, system_roots=system_roots)
    client = HttpOfferClient(settings, Resolver(RESOLVE, lookup))
    try:
        yield client
    finally:
        await client.close()


async def post(client: HttpOfferClient, method: str, timeout: float = 2) -> P2pConnectionResponse:
    return await client.send(
        SignalingMethod.parse(method), OFFER.to_json(), timeout=timeout, learnt=False, on_sent=lambda: None
    )


async def refused(port: int, ca_file: Path | None, host: str = "node.example", *, system_roots: bool = False) -> str:
    """The message of the error that TLS ends with."""
    async with open_client(ca_file, system_roots) as client:
        with pytest.raises(SignalingError) as caught:
            await post(client, f"/https/{host}/{port}")
    assert caught.value.reason == "tls"
    return str(caught.value)


# ------------------------------------------------------------ the client


@pytest.mark.parametrize("method", ["/https/node.example/{}", "/https/127.0.0.1/{}", "/https_proxy/7/node.example/{}"])
async def test_a_server_that_the_own_ca_certifies_is_believed(ca_file: Path, method: str) -> None:
    seen: list[tuple[str, str, str | None]] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line, headers, _ = await read_request(reader)
        seen.append((line, headers["host"], names.pop()))
        writer.write(http_reply(200, ACCEPTED.to_json()))
        await writer.drain()

    names: list[str | None] = []
    context = server_side()
    context.sni_callback = lambda _object, name, _context: names.append(name)
    async with http_peer(script, context) as port, open_client(ca_file) as client:
        assert await post(client, method.format(port)) == ACCEPTED
    path = ("/clusters/7" if "proxy" in method else "") + "/mina/webrtc/signal"
    host = "127.0.0.1" if "127" in method else "node.example"
    # the connection went to the address that was looked up; the name stands in the header and in SNI
    assert seen == [(f"POST {path} HTTP/1.1", f"{host}:{port}", None if host == "127.0.0.1" else host)]


async def unheard(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    pytest.fail("the handshake was completed")


async def test_a_server_of_an_unknown_ca_is_refused(ca_file: Path) -> None:
    async with http_peer(unheard, server_side(OTHER_CA.issue_cert("node.example"))) as port:
        assert "certificate verify failed" in await refused(port, ca_file)
    async with http_peer(unheard, server_side()) as port:
        assert "certificate verify failed" in await refused(port, None)
        assert "certificate verify failed" in await refused(port, None, system_roots=True)


async def test_a_certificate_for_another_name_is_refused(ca_file: Path) -> None:
    async with http_peer(unheard, server_side(CA.issue_cert("other.example"))) as port:
        assert "node.example" in await refused(port, ca_file)
        await refused(port, ca_file, "127.0.0.1")


async def test_an_expired_certificate_is_refused(ca_file: Path) -> None:
    old = CA.issue_cert(
        "node.example", not_before=datetime(2020, 1, 1, tzinfo=UTC), not_after=datetime(2021, 1, 1, tzinfo=UTC)
    )
    async with http_peer(unheard, server_side(old)) as port:
        assert "expired" in await refused(port, ca_file)


async def test_the_own_ca_may_stand_beside_the_systems(ca_file: Path) -> None:
    async with (
        http_peer(answers(http_reply(200, ACCEPTED.to_json())), server_side()) as port,
        open_client(ca_file, system_roots=True) as client,
    ):
        assert await post(client, f"/https/node.example/{port}") == ACCEPTED


async def test_https_does_not_fall_back_to_http(ca_file: Path) -> None:
    seen: list[bytes] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.read(3))
        writer.write(http_reply(200, ACCEPTED.to_json()))
        await writer.drain()

    async with http_peer(script) as port:
        await refused(port, ca_file)
    assert [data[:1] for data in seen] == [b"\x16"]  # one connection, which began with TLS


async def test_http_to_a_port_of_tls_fails(ca_file: Path) -> None:
    async with http_peer(unheard, server_side()) as port, open_client(ca_file) as client:
        with pytest.raises(SignalingError) as caught:
            await post(client, f"/http/node.example/{port}")
    assert caught.value.reason in ("disconnected", "bad_http")


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(30)


async def hung_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(10)


@pytest.mark.parametrize(("script", "reason"), [(silent, "timeout"), (hung_up, "unreachable tls disconnected")])
async def test_a_handshake_that_does_not_happen_is_an_error(ca_file: Path, script: Script, reason: str) -> None:
    async with http_peer(script) as port, open_client(ca_file) as client:
        with pytest.raises(SignalingError) as caught:
            await post(client, f"/https/node.example/{port}", timeout=0.2)
    assert caught.value.reason in reason
    assert "connecting" in str(caught.value)


@pytest.mark.parametrize("content", [None, "not PEM"])
async def test_a_bad_ca_file_is_named(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "bad.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=r"bad\.pem"):
        HttpOfferClient(replace(CLIENT, ca_file=path), Resolver(RESOLVE))


# ------------------------------------------------------------ the server


async def test_an_offer_over_tls(tmp_path: Path, ca_file: Path) -> None:
    desk = Desk()
    async with serving(desk, tls=files(tmp_path)) as server, open_client(ca_file) as client:
        assert await post(client, f"/https/node.example/{server.addresses[0][1]}") == ACCEPTED
        await asyncio.sleep(0)
    assert desk.offers == [OFFER]
    assert desk.written == [True]


async def served(port: int) -> x509.Certificate:
    """The certificate that the server shows now."""
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client_side(), server_hostname="node.example")
    data = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.transport.abort()
    return x509.load_der_x509_certificate(data)


async def test_new_certificates_serve_after_sighup(tmp_path: Path) -> None:
    old, new = CA.issue_cert("node.example"), CA.issue_cert("node.example")
    loop = asyncio.get_running_loop()
    reloaded = asyncio.Event()
    async with serving(Desk(), tls=files(tmp_path, old)) as server:
        port = server.addresses[0][1]
        first = await served(port)
        async with connected(server, tls=client_side()) as (reader, writer):
            files(tmp_path, new)
            assert await served(port) == first

            def on_hup() -> None:
                server.reload()
                reloaded.set()

            loop.add_signal_handler(signal.SIGHUP, on_hup)
            os.kill(os.getpid(), signal.SIGHUP)
            async with asyncio.timeout(1):
                await reloaded.wait()
            loop.remove_signal_handler(signal.SIGHUP)
            assert await served(port) != first
            writer.write(POST)  # a connection of before goes on
            assert (await read_all(reader)).startswith(b"HTTP/1.1 200")


async def test_bad_new_files_leave_the_old_ones_in_use(tmp_path: Path) -> None:
    async with serving(Desk(), tls=(made := files(tmp_path))) as server:
        port = server.addresses[0][1]
        first = await served(port)
        for spoil in (
            lambda: made.certificate.write_text("garbage"),
            lambda: files(tmp_path, NODE, CA.issue_cert("node.example")),
            made.key.unlink,
        ):
            spoil()
            with pytest.raises(ListenError, match=r"cert\.pem"):
                server.reload()
            assert await served(port) == first
        files(tmp_path)
        server.reload()


async def test_reload_without_tls_does_nothing() -> None:
    async with serving(Desk()) as server:
        server.reload()


ENCRYPTED = b"""-----BEGIN ENCRYPTED PRIVATE KEY-----
MIGjMF8GCSqGSIb3DQEFDTBSMDEGCSqGSIb3DQEFDDAkBBAEbUGGOsWFVZaGGSWT
AgIIADAMBggqhkiG9w0CCQUAMB0GCWCGSAFlAwQBKgQQ
-----END ENCRYPTED PRIVATE KEY-----
"""


async def test_a_certificate_that_cannot_serve_is_an_error_at_the_start(tmp_path: Path) -> None:
    before = open_files()
    made = files(tmp_path, NODE, CA.issue_cert("node.example"))
    with pytest.raises(ListenError, match=r"cert\.pem.*key\.pem.*mismatch"):
        await serving(Desk(), tls=made).__aenter__()
    made.key.write_bytes(ENCRYPTED)  # and nobody is asked for the password
    with pytest.raises(ListenError, match=r"key\.pem"):
        await serving(Desk(), tls=made).__aenter__()
    made.certificate.unlink()
    with pytest.raises(ListenError, match=r"cert\.pem"):
        await serving(Desk(), tls=made).__aenter__()
    assert open_files() == before


@pytest.mark.parametrize("data", [b"", b"\x16", b"\x16\x03\x01\x02\x00\x01\x00", POST, b"nonsense"])
async def test_a_handshake_that_does_not_happen_is_cut_at_the_deadline(tmp_path: Path, data: bytes) -> None:
    async with serving(Desk(), tls=files(tmp_path), read_timeout=0.1) as server:
        loop = asyncio.get_running_loop()
        begin = loop.time()
        async with connected(server) as (reader, writer):
            writer.write(data)
            await read_all(reader)
            assert loop.time() - begin < 0.5
            await asyncio.sleep(0.01)
            assert server.connections == 0


async def test_the_handshake_takes_from_the_requests_deadline(tmp_path: Path) -> None:
    async with serving(Desk(), tls=files(tmp_path), read_timeout=0.1) as server:
        loop = asyncio.get_running_loop()
        begin = loop.time()
        async with connected(server, tls=client_side()) as (reader, _):
            await read_all(reader)
        assert loop.time() - begin < 0.5


async def test_caps_hold_before_the_handshake(tmp_path: Path) -> None:
    async with (
        serving(Desk(), tls=files(tmp_path), max_connections_per_source=2, read_timeout=30) as server,
        connected(server),
        connected(server),
        connected(server) as (reader, _),
    ):
        assert await read_all(reader) == b""
        assert server.connections == 2
        assert (await exchange(server, request("GET", "/healthz"), "127.0.0.2", client_side()))[0] == 200


async def test_closing_during_handshakes_leaves_nothing(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    async with serving(Desk(), tls=files(tmp_path)) as server:
        await exchange(server, POST, tls=client_side())
    await asyncio.sleep(0.01)
    before, tasks = open_files(), asyncio.all_tasks()
    for turns in range(8):
        async with (
            serving(Desk(), tls=files(tmp_path), read_timeout=30) as server,
            connected(server) as (_, writer),
        ):
            writer.write(b"\x16\x03\x01")
            for _ in range(turns):
                await asyncio.sleep(0)
            begin = loop.time()
            await server.close()
            assert loop.time() - begin < 0.2
    await asyncio.sleep(0.02)
    assert asyncio.all_tasks() == tasks
    assert open_files() <= before
