"""Nodes that keep themselves connected: seeds, a database, peers that go and come, peers that are kept out."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from tests.interop.support import NodeFactory, Watch, key

from mina_webrtc import DialError, Node, PeerDbError, Timeouts
from mina_webrtc.machines.keeping import Origin
from mina_webrtc.machines.vocab import AttemptFailed, PeerBanned, PeerClosed, PeerReady

QUICK = Timeouts(reconnect=0.05, reconnect_max=0.2, ask_peers=0.2)
LOOPBACK = ("127.0.0.0/8",)


def here(node: Node) -> str:
    return str(node.addresses[0])


async def met(node: Node, other: Node) -> PeerReady:
    """The two are connected."""
    watch = Watch(node)
    if other.peer_id in node.peers:
        return PeerReady(0, other.peer_id, False, False, None)
    return await watch.next(PeerReady, peer=other.peer_id)  # type: ignore[no-any-return]


async def test_a_node_with_seeds_connects_by_itself_and_one_without_does_not(start: NodeFactory) -> None:
    seed = await start(1)
    assert seed.state()["addresses"] == 0
    node = await start(2, seeds=(here(seed),))
    assert (await met(node, seed)).origin is Origin.CONFIGURED
    alone = await start(3)
    await alone.dial(here(seed))
    await alone.peers[seed.peer_id].close()
    assert not alone.peers
    assert not alone.state()["timers"]


async def test_every_event_of_a_peers_life_is_one_log_line_of_plain_fields(
    start: NodeFactory, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "mina_webrtc.node")
    seed = await start(1)
    where = here(seed)
    node = await start(2, seeds=(where,))
    await met(node, seed)
    watch = Watch(node)
    await seed.close()
    await watch.next(PeerClosed)
    told = {record.message: vars(record)["details"] for record in caplog.records}
    assert told["started"] == {"peer": str(node.peer_id), "seed": node.state()["seed"]}
    lines = [record for record in caplog.records if vars(record)["details"].get("peer") == str(seed.peer_id)]
    ready = [vars(record)["details"] for record in lines if record.message == "PeerReady"]
    assert [(line["outgoing"], line["origin"], line["address"]) for line in ready] == [
        (True, "configured", where),
    ]
    closed = [vars(record)["details"] for record in lines if record.message == "PeerClosed"]
    assert [(line["stage"], line["fault"]) for line in closed] == [("closed", "none")]


async def test_peers_of_peers_are_found(start: NodeFactory) -> None:
    seed, third = await start(1), await start(3)
    await seed.dial(here(third))
    node = await start(2, seeds=(here(seed),), learnt_networks=LOOPBACK, timeouts=QUICK)
    assert (await met(node, third)).origin is Origin.LEARNT


async def test_after_a_restart_a_node_finds_its_peers_without_any_seed(start: NodeFactory, tmp_path: Path) -> None:
    seed, third = await start(1), await start(3)
    await seed.dial(here(third))
    path = tmp_path / "peers.db"
    node = await start(2, seeds=(here(seed),), learnt_networks=LOOPBACK, peer_db=path, timeouts=QUICK)
    await met(node, third)
    await node.close()
    again = await start(2, learnt_networks=LOOPBACK, peer_db=path)
    origins = {(await met(again, other)).origin for other in (seed, third)}
    assert origins <= {Origin.DIALLED, Origin.LEARNT, None}
    assert again.state()["addresses"] == 2


async def test_two_nodes_do_not_share_a_database_and_the_refused_one_leaves_nothing(
    start: NodeFactory, tmp_path: Path
) -> None:
    path = tmp_path / "peers.db"
    await start(1, peer_db=path)
    with pytest.raises(PeerDbError, match="another process"):
        await start(2, peer_db=path)


async def test_a_peer_that_goes_away_is_found_when_it_comes_back(start: NodeFactory) -> None:
    seed = await start(1)
    where = here(seed)
    port = seed.addresses[0].method.port  # type: ignore[attr-defined]
    node = await start(2, seeds=(where,), timeouts=QUICK)
    await met(node, seed)
    watch = Watch(node)
    await seed.close()
    await watch.next(PeerClosed, peer=seed.peer_id)
    for _ in range(2):
        failed = await watch.next(AttemptFailed, peer=seed.peer_id)
        assert failed.failure.reason == "refused"
        assert (str(failed.address), failed.origin) == (where, Origin.CONFIGURED)
    back = await start(1, listen=(f"127.0.0.1:{port}",))
    assert (await watch.next(PeerReady)).peer == back.peer_id


async def test_who_breaks_the_protocol_twice_is_kept_out(start: NodeFactory) -> None:
    node, rogue = await start(1), await start(2)
    watch = Watch(node)
    for _ in range(2):
        gone = Watch(rogue)
        peer = await rogue.dial(here(node))
        await watch.next(PeerReady)
        assert rogue._driver is not None
        link = rogue._driver._links[peer.conn]
        link.on_sent = lambda count: None  # its own machines know nothing of what it sends now
        link.transport.send([(7, b"\xff\xff\xff")])
        closed = await watch.next(PeerClosed)
        assert closed.failure.reason == "protocol_error"
        await gone.next(PeerClosed)
    assert (await watch.next(PeerBanned)).peer == key(2).peer_id
    with pytest.raises(DialError, match="PeerCapacityFull"):
        await rogue.dial(here(node))
    with pytest.raises(DialError, match="banned"):
        await node.dial(here(rogue))
