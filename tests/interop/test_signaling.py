"""How nodes find each other's signaling server: TLS, proxies, addresses, IPv6, and what hostile servers do."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme
from tests.interop.support import NodeFactory, config, key

from mina_webrtc import ConfigError, DialAddress, DialError, ListenError, Node, Timeouts
from mina_webrtc.wire.address import Https

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
def ca(tmp_path: Path) -> trustme.CA:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    leaf = authority.issue_cert("127.0.0.1", "localhost")
    leaf.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    leaf.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    return authority


async def test_https_with_an_own_authority(start: NodeFactory, ca: trustme.CA, tmp_path: Path) -> None:
    alice = await start(1, ca_file=tmp_path / "ca.pem")
    bob = await start(2, tls_cert=tmp_path / "cert.pem", tls_key=tmp_path / "key.pem")
    address = bob.addresses[0]
    assert isinstance(address.method, Https)
    assert (await alice.dial(address)).id == bob.peer_id


async def test_https_without_the_authority_is_refused(start: NodeFactory, ca: trustme.CA, tmp_path: Path) -> None:
    alice = await start(1)
    bob = await start(2, tls_cert=tmp_path / "cert.pem", tls_key=tmp_path / "key.pem")
    with pytest.raises(DialError) as caught:
        await alice.dial(bob.addresses[0])
    assert (caught.value.stage, caught.value.reason) == ("signaling", "tls")


async def test_new_certificates_serve_the_next_connection(start: NodeFactory, ca: trustme.CA, tmp_path: Path) -> None:
    bob = await start(2, tls_cert=tmp_path / "cert.pem", tls_key=tmp_path / "key.pem")
    other = trustme.CA()
    other.cert_pem.write_to_path(str(tmp_path / "other.pem"))
    leaf = other.issue_cert("127.0.0.1")
    leaf.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    leaf.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    bob.reload_tls()
    alice = await start(1, ca_file=tmp_path / "other.pem")
    assert (await alice.dial(bob.addresses[0])).id == bob.peer_id


async def test_bad_new_certificates_leave_the_old_ones(start: NodeFactory, ca: trustme.CA, tmp_path: Path) -> None:
    bob = await start(2, tls_cert=tmp_path / "cert.pem", tls_key=tmp_path / "key.pem")
    (tmp_path / "key.pem").write_text("not a key")
    with pytest.raises(ListenError, match=r"key\.pem"):
        bob.reload_tls()
    alice = await start(1, ca_file=tmp_path / "ca.pem")
    assert (await alice.dial(bob.addresses[0])).id == bob.peer_id


async def test_ipv6(start: NodeFactory) -> None:
    alice, bob = await start(1), await start(2, listen=("[::1]:0",))
    assert str(bob.addresses[0]).startswith("/ip6/::1/tcp/")
    assert (await alice.dial(str(bob.addresses[0]))).id == bob.peer_id


async def test_a_legacy_address_and_a_name(start: NodeFactory) -> None:
    alice, bob = await start(1), await start(2)
    port = str(bob.addresses[0].legacy()).rsplit("/", 1)[1]
    assert (await alice.dial(f"/{bob.peer_id}/http/localhost/{port}")).id == bob.peer_id


@pytest.mark.parametrize(
    ("advertise", "printed"),
    [
        ("203.0.113.7:3000", "/ip4/203.0.113.7/tcp/3000/webrtc/http/p2p/"),
        ("[2001:db8::7]:3000", "/ip6/2001:db8::7/tcp/3000/webrtc/http/p2p/"),
        ("/https_proxy/7/gw.example/443", "/dns4/gw.example/tcp/443/webrtc/https/http-path/clusters%2F7/p2p/"),
    ],
)
async def test_an_advertised_address_is_what_is_printed(start: NodeFactory, advertise: str, printed: str) -> None:
    node = await start(1, advertise=advertise)
    assert [str(address) for address in node.addresses] == [printed + node.peer_id.to_libp2p()]


async def test_external_ips_stand_in_the_sdp_in_place_of_host_addresses(start: NodeFactory) -> None:
    """The rogue sees the offer's candidates: only the external address, with the real port."""
    node = await start(1, external_ips=("203.0.113.9",), timeouts=Timeouts(outgoing=0.5))
    seen: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        seen.set_result((await reader.readuntil(b"}")).decode())

    async with hostile(script) as address:
        dial = asyncio.ensure_future(node.dial(address))
        body = await seen
        dial.cancel()
    candidates = [
        line.split()[4] for line in body.split("\\r\\n") if line.startswith("a=candidate") and "." in line.split()[4]
    ]
    assert candidates
    assert set(candidates) == {"203.0.113.9"}


async def test_a_port_in_use_is_named(start: NodeFactory) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ListenError, match=f"127.0.0.1:{port}"):
            await start(1, listen=(f"127.0.0.1:{port}",))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"listen": ("nonsense",)}, "nonsense"),
        ({"listen": ("127.0.0.1:99999",)}, "99999"),
        ({"listen": ("::1:80",)}, "brackets"),
        ({"advertise": "/p2p/x"}, "advertise"),
        ({"advertise": "host"}, "advertise"),
        ({"external_ips": ("0.0.0.0",)}, "external_ips"),
        ({"external_ips": ("host",)}, "external_ips"),
        ({"trusted_proxies": ("10.0.0.1/8",)}, "trusted_proxies"),
        ({"tls_cert": Path("cert.pem")}, "tls_key"),
        ({"ice_servers": ("http://stun",)}, "ice_servers"),
    ],
)
def test_settings_that_cannot_work_are_named(changes: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        config(1, **changes)


# ---------------------------------------------------------------- hostile servers


@asynccontextmanager
async def hostile(script: Script) -> AsyncIterator[DialAddress]:
    """A server on loopback that runs `script` for each connection; gives its dial address under key 66."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await script(reader, writer)
            await writer.drain()
            await reader.read()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield DialAddress.parse(f"/{key(66).peer_id}/http/127.0.0.1/{port}")


def reply(status: str, body: bytes, *headers: str) -> Script:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await reader.readuntil(b"}")
        head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
        writer.write("\r\n".join(head).encode() + body)

    return script


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def trickling(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while not writer.is_closing():
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("script", "stage", "reason"),
    [
        (silent, "signaling", "timeout"),
        (trickling, "signaling", "timeout"),
        (reply("500 Oops", b"broken"), "signaling", "not_json"),
        (reply("500 Oops", b'"InternalError"'), "answer", "InternalError"),
        (reply("302 Found", b"", "Location: http://127.0.0.1:1/"), "signaling", "redirect"),
        (reply("200 OK", b"{" * 70_000), "signaling", "too_large"),
        (reply("200 OK", b"\xff\xfe garbage"), "signaling", "not_json"),
        (reply("400 Bad", b'"SignalDecryptionFailed"'), "answer", "SignalDecryptionFailed"),
    ],
    ids=["silent", "trickling", "500", "500 JSON", "redirect", "too large", "garbage", "undecryptable"],
)
async def test_hostile_servers_end_the_dial_with_the_reason(
    start: NodeFactory, script: Script, stage: str, reason: str
) -> None:
    node: Node = await start(1, timeouts=Timeouts(outgoing=0.6))
    async with hostile(script) as address:
        with pytest.raises(DialError) as caught:
            await node.dial(address)
    assert (caught.value.stage, caught.value.reason) == (stage, reason)
