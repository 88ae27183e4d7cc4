"""Two nodes connect, authenticate and talk: the whole stack over real HTTP and aiortc."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import pytest
from tests.interop.support import NodeFactory, Watch, key

from mina_webrtc import DialError, PeerId, RequestError, Rpc, parse_address
from mina_webrtc.machines.vocab import PeerClosed, PeerReady

BLOCK = bytes(range(256)) * 4096


async def test_two_nodes_request_from_each_other(start: NodeFactory) -> None:
    alice, bob = await start(1), await start(2)

    async def block(peer: PeerId, body: bytes) -> bytes | None:
        return BLOCK if body == b"\x07" * 32 else None

    alice.on_request(Rpc.BLOCK, block)
    bob.on_request(Rpc.BLOCK, block)
    watch = Watch(bob)
    to_bob = await alice.dial(bob.addresses[0])
    assert (to_bob.id, to_bob.outgoing, to_bob.marked) == (bob.peer_id, True, True)
    assert to_bob.address == bob.addresses[0]
    assert (await watch.next(PeerReady)).peer == alice.peer_id
    to_alice = bob.peers[alice.peer_id]
    assert not to_alice.outgoing

    answers = await asyncio.gather(
        to_bob.request(Rpc.BLOCK, b"\x07" * 32),
        to_alice.request(Rpc.BLOCK, b"\x07" * 32),
        to_bob.request(Rpc.BLOCK, b"\x08" * 32),
    )
    assert [a and hashlib.sha256(a).digest() for a in answers] == [hashlib.sha256(BLOCK).digest()] * 2 + [None]
    assert 0 < to_bob.timings.total < 15
    assert to_bob.stats() is not None


async def test_initial_peers_names_only_addresses_that_authenticated(start: NodeFactory) -> None:
    seed, first_peer, second_peer = await start(1), await start(2), await start(3)
    await seed.dial(first_peer.addresses[0])
    to_seed = await second_peer.dial(seed.addresses[0])
    assert await to_seed.initial_peers() == [parse_address(str(first_peer.addresses[0]))]


async def test_a_request_without_a_handler_gets_nothing(start: NodeFactory) -> None:
    alice, bob = await start(1), await start(2)
    peer = await alice.dial(bob.addresses[0])
    assert await peer.request(Rpc.TRANSACTION, bytes(32)) is None


async def test_a_handler_that_fails_answers_nothing_and_harms_nobody(start: NodeFactory) -> None:
    alice, bob = await start(1), await start(2)

    async def broken(peer: PeerId, body: bytes) -> bytes | None:
        raise RuntimeError("broken handler")

    bob.on_request(Rpc.BLOCK, broken)
    peer = await alice.dial(bob.addresses[0])
    assert await peer.request(Rpc.BLOCK, bytes(32)) is None
    assert await peer.initial_peers() == []


async def test_a_handler_that_returns_no_bytes_answers_nothing(
    start: NodeFactory, caplog: pytest.LogCaptureFixture
) -> None:
    alice, bob = await start(1), await start(2)

    async def broken(peer: PeerId, body: bytes) -> Any:
        return "text"

    bob.on_request(Rpc.BLOCK, broken)
    peer = await alice.dial(bob.addresses[0])
    assert await peer.request(Rpc.BLOCK, bytes(32)) is None
    assert "not str" in caplog.text


async def test_a_request_times_out_and_its_late_answer_is_ignored(start: NodeFactory) -> None:
    alice, bob = await start(1), await start(2)
    release = asyncio.Event()

    async def slow(peer: PeerId, body: bytes) -> bytes | None:
        await release.wait()
        return b"late"

    bob.on_request(Rpc.BLOCK, slow)
    peer = await alice.dial(bob.addresses[0])
    with pytest.raises(RequestError, match="timeout"):
        await peer.request(Rpc.BLOCK, bytes(32), timeout=0.05)
    release.set()
    assert await peer.initial_peers() == []
    assert alice.peers


async def test_a_sixth_unanswered_request_is_refused_here_not_there(start: NodeFactory) -> None:
    alice, bob = await start(1), await start(2)
    release = asyncio.Event()

    async def slow(peer: PeerId, body: bytes) -> bytes | None:
        await release.wait()
        return body

    bob.on_request(Rpc.BLOCK, slow)
    peer = await alice.dial(bob.addresses[0])
    five = [asyncio.ensure_future(peer.request(Rpc.BLOCK, bytes([n]) * 32)) for n in range(5)]
    await asyncio.sleep(0)
    with pytest.raises(RequestError, match="too_many_requests"):
        await peer.request(Rpc.BLOCK, bytes(32))
    release.set()
    assert await asyncio.gather(*five) == [bytes([n]) * 32 for n in range(5)]


async def test_closing_a_peer_tells_both_sides_and_fails_open_requests(start: NodeFactory) -> None:
    alice, bob = await start(1), await start(2)
    asked = asyncio.Event()

    async def never(peer: PeerId, body: bytes) -> bytes | None:
        asked.set()
        await asyncio.Event().wait()
        return None

    bob.on_request(Rpc.BLOCK, never)
    peer = await alice.dial(bob.addresses[0])
    request = asyncio.ensure_future(peer.request(Rpc.BLOCK, bytes(32)))
    await asked.wait()
    watch = Watch(bob)
    await peer.close()
    with pytest.raises(RequestError, match="closed"):
        await request
    closed = await watch.next(PeerClosed)
    assert (closed.peer, closed.failure.reason) == (alice.peer_id, "closed_by_peer")
    assert not alice.peers
    assert not bob.peers


async def test_dialling_a_ready_peer_again_gives_the_same_connection(start: NodeFactory) -> None:
    alice, bob = await start(1), await start(2)
    once = await alice.dial(bob.addresses[0])
    assert await alice.dial(bob.addresses[0]) is once


async def test_both_dial_at_once_and_one_connection_remains(start: NodeFactory) -> None:
    alice, bob = await start(1), await start(2)
    to_bob, to_alice = await asyncio.gather(alice.dial(bob.addresses[0]), bob.dial(alice.addresses[0]))
    assert (to_bob.id, to_alice.id) == (bob.peer_id, alice.peer_id)
    assert to_bob.outgoing != to_alice.outgoing
    assert await to_bob.initial_peers() is not None
    assert await to_alice.initial_peers() is not None


async def test_a_dial_that_nobody_answers_names_stage_and_reason(start: NodeFactory) -> None:
    alice, bob = await start(1), await start(2)
    address = bob.addresses[0]
    await bob.close()
    with pytest.raises(DialError) as caught:
        await alice.dial(address)
    assert caught.value.stage == "signaling"
    assert caught.value.reason == "refused"


async def test_a_cancelled_dial_hangs_up(start: NodeFactory) -> None:
    alice = await start(1)
    asked, hung_up = asyncio.Event(), asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await reader.read()
        writer.close()
        hung_up.set()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        dial = asyncio.ensure_future(alice.dial(f"/{key(2).peer_id}/http/127.0.0.1/{port}"))
        await asked.wait()
        dial.cancel()
        with pytest.raises(asyncio.CancelledError):
            await dial
        await hung_up.wait()
