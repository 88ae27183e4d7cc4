"""Every limit of `Config.limits` is pushed against: here, with whole nodes, or where `PUSHED` says."""

from __future__ import annotations

import ast
import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import fields
from pathlib import Path

import pytest
from tests.interop.rogue import PATH, Endpoint, Rogue, post
from tests.interop.support import NodeFactory, Watch, key

from mina_webrtc import DialError, Limits, Node, P2pConnectionResponse, PeerId, RequestError, Rpc
from mina_webrtc.machines import vocab as v

TESTS = Path(__file__).parents[1]
HERE = "interop/test_limits.py"
ITEMS = "machines/test_items.py"
PUSHED = {
    "max_peers": "interop/test_refusals.py::test_a_full_node_refuses_and_stays_full",
    "max_pending_incoming": "machines/test_admission.py::test_a_flood_from_everywhere_is_capped_and_we_still_dial",
    "max_pending_per_source": "interop/test_refusals.py::test_a_flood_of_offers_meets_the_cap_and_honest_dials_succeed",
    "max_pending_outgoing": f"{HERE}::test_dials_under_way",
    "max_pending_requests": f"{HERE}::test_requests_without_an_answer",
    "max_initial_peers": f"{HERE}::test_addresses_in_an_answer",
    "max_through_relay": f"{HERE}::test_peers_through_one_relay",
    "max_known": f"{HERE}::test_addresses_that_are_remembered",
    "max_learnt_per_peer": f"{HERE}::test_addresses_that_one_peer_tells",
    "max_upkeep_dials": f"{HERE}::test_dials_that_a_node_begins_by_itself",
    "max_source_faults": f"{HERE}::test_faults_of_a_source",
    "item_batch": f"{ITEMS}::test_what_was_not_asked_for_ends_the_connection",
    "max_items_queued": f"{ITEMS}::test_a_peer_gets_what_it_asks_for_and_misses_the_oldest_when_it_does_not_ask",
    "max_item_handlers": f"{ITEMS}::test_nothing_more_is_asked_for_before_all_is_judged",
    "max_items_waiting": f"{ITEMS}::test_items_beyond_what_may_wait_are_dropped",
    "item_bytes": f"{ITEMS}::test_bytes_beyond_what_may_wait_are_dropped",
    "items_remembered": f"{ITEMS}::test_ids_beyond_what_is_remembered_are_forgotten",
    "max_trees": "interop/test_streams.py::test_more_trees_than_allowed_close_the_peer",
    "early_data": "interop/test_refusals.py::test_more_than_64_kib_before_authentication_ends_the_connection",
    "receive_credit": f"{HERE}::test_a_block_comes_through_the_smallest_windows",
    "receive_buffer": "unit/test_transport_aiortc.py::test_a_peer_that_ignores_the_window_is_disconnected",
    "unfinished": "interop/test_unfinished.py::test_a_node_holds_no_more_than_its_budget",
    "signal_body": f"{HERE}::test_the_body_of_an_offer",
    "signal_get": f"{HERE}::test_the_text_of_an_offer",
    "signal_connections": f"{HERE}::test_connections_to_the_signaling_server",
    "signal_connections_per_source": f"{HERE}::test_connections_to_the_signaling_server",
    "event_backlog": f"{HERE}::test_events_that_nobody_reads",
}


def test_every_limit_has_its_test() -> None:
    assert set(PUSHED) == {field.name for field in fields(Limits)}
    for place in PUSHED.values():
        file, _, name = place.partition("::")
        tree = ast.parse((TESTS / file).read_text())
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@asynccontextmanager
async def silent() -> AsyncIterator[Endpoint]:
    """A signaling server that takes offers and never answers."""

    async def wait(_: object) -> P2pConnectionResponse:
        await asyncio.Event().wait()
        raise AssertionError

    async with Endpoint(wait) as endpoint:
        yield endpoint


async def until_seen(endpoint: Endpoint, count: int) -> None:
    async with asyncio.timeout(10):
        while len(endpoint.seen) < count:  # noqa: ASYNC110 - the endpoint tells nobody
            await asyncio.sleep(0.01)


async def test_dials_under_way(start: NodeFactory) -> None:
    node = await start(1, limits=Limits(max_pending_outgoing=2))
    async with silent() as endpoint:
        dials = [asyncio.ensure_future(node.dial(endpoint.address(key(index).peer_id))) for index in (50, 51)]
        await until_seen(endpoint, 2)
        with pytest.raises(DialError, match="too_many_pending"):
            await node.dial(endpoint.address(key(52).peer_id))
        for dial in dials:
            dial.cancel()
        await asyncio.gather(*dials, return_exceptions=True)


@pytest.mark.parametrize("limit", [2, 5])
async def test_requests_without_an_answer(start: NodeFactory, limit: int) -> None:
    """Ours beyond the limit fail at once; who sends more than we bear is disconnected (protocol.md §7)."""
    asked, free = asyncio.Semaphore(0), asyncio.Event()

    async def handler(peer: PeerId, body: bytes) -> bytes | None:
        asked.release()
        await free.wait()
        return None

    node = await start(1, limits=Limits(max_pending_requests=2))
    node.on_request(Rpc.BLOCK, handler)
    other = await start(2, limits=Limits(max_pending_requests=limit))
    peer = await other.dial(node.addresses[0])
    watch = Watch(other)
    requests = [asyncio.ensure_future(peer.request(Rpc.BLOCK, bytes(32))) for _ in range(2)]
    for _ in requests:
        await asked.acquire()
    reason = "too_many_requests" if limit == 2 else "closed"
    with pytest.raises(RequestError, match=reason):
        await peer.request(Rpc.BLOCK, bytes(32))
    if limit == 5:
        assert (await watch.next(v.PeerClosed)).peer == node.peer_id
    free.set()
    found = await asyncio.gather(*requests, return_exceptions=True)
    assert all(isinstance(each, RequestError) == (limit == 5) for each in found)


async def test_addresses_in_an_answer(start: NodeFactory) -> None:
    node = await start(1, limits=Limits(max_initial_peers=2))
    for index in (2, 3, 4):
        await node.dial((await start(index)).addresses[0])
    asker = await start(5)
    assert len(await (await asker.dial(node.addresses[0])).initial_peers()) == 2


async def test_peers_through_one_relay(start: NodeFactory) -> None:
    relay = await start(1)
    others = [await start(index, min_peers=3) for index in (2, 3, 4)]
    node = await start(5, min_peers=4, limits=Limits(max_through_relay=1))
    for each in (*others, node):
        await each.dial(relay.addresses[0])
    for each, least in ((node, 2), *((other, 3) for other in others)):
        watch = Watch(each)
        while len(each.peers) < least:
            await watch.next(v.PeerReady)
    assert [peer.relay for peer in node.peers.values()].count(relay.peer_id) == 1


async def test_addresses_that_are_remembered(start: NodeFactory) -> None:
    async with silent() as endpoint:
        seeds = tuple(str(endpoint.address(key(index).peer_id)) for index in range(50, 55))
        node = await start(1, seeds=seeds, limits=Limits(max_known=3))
        assert node.state()["addresses"] == 3


async def test_addresses_that_one_peer_tells(start: NodeFactory) -> None:
    seed = await start(1)
    for index in (2, 3, 4):
        await seed.dial((await start(index)).addresses[0])
    networks = ("127.0.0.0/8",)
    node = await start(
        5, seeds=(str(seed.addresses[0]),), learnt_networks=networks, limits=Limits(max_learnt_per_peer=1)
    )
    watch = Watch(node)
    while node.state()["addresses"] < 2:
        await watch.next(v.Notice)
    assert len(await node.peers[seed.peer_id].initial_peers()) == 3
    assert node.state()["addresses"] == 2


async def test_dials_that_a_node_begins_by_itself(start: NodeFactory) -> None:
    async with silent() as endpoint:
        seeds = tuple(str(endpoint.address(key(index).peer_id)) for index in range(50, 55))
        node = await start(1, seeds=seeds, limits=Limits(max_upkeep_dials=2))
        await until_seen(endpoint, 2)
        assert len(node.state()["attempts"]) == 2


async def test_faults_of_a_source(start: NodeFactory) -> None:
    node = await start(1, limits=Limits(max_source_faults=2))
    watch = Watch(node)
    async with Rogue(key(66)) as rogue:
        offer = await rogue.offer(node.peer_id, sdp="v=0 nonsense")
        for _ in range(3):
            assert (await post(node.addresses[0], offer)).answer is None
        assert (await watch.next(v.SourceBarred)).source == "127.0.0.1"
    async with Rogue(key(67)) as another:
        assert (await another.dial(node.addresses[0])).answer is None
    assert (await watch.next(v.OfferRejected, reason="SourceBarred")).source == "127.0.0.1"


@pytest.mark.parametrize("limits", [Limits(receive_credit=1), Limits(receive_buffer=32 * 1024), Limits()])
async def test_a_block_comes_through_the_smallest_windows(start: NodeFactory, limits: Limits) -> None:
    block = bytes(range(256)) * 1024

    async def handler(peer: PeerId, body: bytes) -> bytes | None:
        return block

    giver, asker = await start(1), await start(2, limits=limits)
    giver.on_request(Rpc.BLOCK, handler)
    peer = await asker.dial(giver.addresses[0])
    assert await peer.request(Rpc.BLOCK, bytes(32)) == block


# ---------------------------------------------------------------- the signaling server


async def answered(node: Node, data: bytes) -> int:
    """The status that a request gets; 0 when the connection is closed without one."""
    method = node.addresses[0].method
    reader, writer = await asyncio.open_connection("127.0.0.1", method.port)  # type: ignore[attr-defined]
    try:
        writer.write(data)
        line = await reader.readline()
    except ConnectionError:
        return 0
    finally:
        writer.close()
    return int(line.split()[1]) if line else 0


def http(verb: str, path: str, *headers: str, body: bytes = b"") -> bytes:
    lines = [
        f"{verb} {path} HTTP/1.1",
        "Host: x",
        f"Content-Length: {len(body)}",
        "Connection: close",
        *headers,
        "",
        "",
    ]
    return "\r\n".join(lines).encode() + body


async def test_the_body_of_an_offer(start: NodeFactory) -> None:
    node = await start(1, limits=Limits(signal_body=1000))
    posted = [http("POST", PATH, "Content-Type: application/json", body=b" " * size) for size in (1000, 1001)]
    assert [await answered(node, data) for data in posted] == [400, 413]


async def test_the_text_of_an_offer(start: NodeFactory) -> None:
    node = await start(1, limits=Limits(signal_get=1000))
    got = [http("GET", f"{PATH}/{'1' * size}") for size in (1000, 1001)]
    assert [await answered(node, data) for data in got] == [400, 414]


@pytest.mark.parametrize("limits", [Limits(signal_connections=3), Limits(signal_connections_per_source=3)])
async def test_connections_to_the_signaling_server(start: NodeFactory, limits: Limits) -> None:
    node = await start(1, limits=limits)
    port = node.addresses[0].method.port  # type: ignore[attr-defined]
    async with AsyncExitStack() as stack:
        for _ in range(3):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            stack.callback(writer.close)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        stack.callback(writer.close)
        assert await reader.read() == b""
    began = time.monotonic()
    while not await answered(node, http("GET", "/")):
        assert time.monotonic() - began < 5


async def test_events_that_nobody_reads(start: NodeFactory) -> None:
    node, other = await start(1, limits=Limits(event_backlog=2)), await start(2)
    slow = node.events()
    watch = Watch(other)
    await node.dial(other.addresses[0])
    await node.peers[other.peer_id].close()
    await watch.next(v.PeerClosed)
    assert slow.dropped > 2
    await node.close()
    assert [type(notice) async for notice in slow] == [v.PeerClosed]
