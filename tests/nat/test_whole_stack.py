"""Nodes behind NATs, without a signaling server of their own, that know nothing but a public node, over its HTTP: they
find each other through it (relay signaling, protocol.md §9), and are connected without it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen

import pytest
from tests.nat.lab import read
from tests.nat.life import Life, behind, living, member
from tests.nat.net import PUBLIC, Net, Space, laboratory
from tests.nat.servers import ICE_SERVERS, ROOT, asking, await_port, coturn, dial, stop

pytestmark = [pytest.mark.nat, pytest.mark.timeout(120)]


@contextmanager
def public(folder: Path) -> Iterator[tuple[Net, Path, Life]]:
    """A laboratory with coturn and a public node; nothing but the public segment joins the clients."""
    with (
        laboratory(folder) as net,
        coturn(net) as ca,
        living(net.public, "--listen", f"{PUBLIC}:3000", interface="br0") as node,
    ):
        yield net, ca, node


@pytest.mark.parametrize(
    ("a", "b", "servers", "relayed"),
    [
        ("port", "port", "stun", False),
        ("symmetric", "full", "stun", False),
        ("symmetric", "symmetric", "stun+turn", True),
        ("blocked", "blocked", "turn-tls", True),
    ],
)
def test_two_behind_nats_find_each_other(tmp_path: Path, a: str, b: str, servers: str, relayed: bool) -> None:
    with public(tmp_path) as (net, ca, node):
        urls = ICE_SERVERS[servers]
        with (
            behind(net.client("A", 1, a), node.address, urls, ca) as one,
            behind(net.client("B", 2, b), node.address, urls, ca) as other,
        ):
            told = [one.until("peer_ready", other.peer_id), other.until("peer_ready", one.peer_id)]
            assert sorted(line["direction"] for line in told) == ["incoming", "outgoing"]
            for line in told:
                path = line["path"]
                assert path["relayed"] is relayed, line
                kinds = {path["local"], path["remote"]}
                assert "relay" in kinds if relayed else kinds <= {"srflx", "prflx"}, line
            node.until("peer_ready", one.peer_id)
            node.until("peer_ready", other.peer_id)
            # without the public node they stay connected
            node.close()
            assert one.until("peer_closed", node.peer_id)["reason"] == "closed_by_peer"
            with pytest.raises(AssertionError, match="nothing was said"):
                one.until("peer_closed", other.peer_id, 1)


@pytest.mark.parametrize(("kind", "servers", "relayed"), [("port", "stun", False), ("symmetric", "stun+turn", True)])
def test_a_dial_through_the_public_node(tmp_path: Path, kind: str, servers: str, relayed: bool) -> None:
    with public(tmp_path) as (net, _, node):
        urls = ICE_SERVERS[servers]
        with member(net.client("A", 1, kind), urls) as one, member(net.client("B", 2, kind), urls) as other:
            for life in (one, other):
                assert life.dial(node.address)["relayed"] is False
            relay = node.address.rpartition("/")[2]
            told = one.dial(f"/p2p/{relay}/webrtc/p2p-circuit/p2p/{other.first['libp2p']}")
            assert told["relayed"] is relayed, told
            assert told["seconds"] < 3


def test_the_public_nodes_own_http_answers_for_nobody_else(tmp_path: Path) -> None:
    """An HTTP address leads to the node that listens there (§4, TargetPeerIdNotMe); to its peers leads the relay's."""
    with (
        public(tmp_path) as (net, _, node),
        member(net.client("A", 1, "port"), ()) as one,
        member(net.client("B", 2, "port"), ()) as other,
    ):
        assert "seconds" in other.dial(node.address)
        wrong = f"{node.address.rpartition('/')[0]}/{other.first['libp2p']}"
        assert "TargetPeerIdNotMe" in one.dial(wrong)["error"]


@contextmanager
def helper(space: Space, *words: str) -> Iterator[Popen[str]]:
    """The gateway, or the tunnel to it."""
    process = space.spawn(sys.executable, "-m", "tests.nat.gateway", *words, cwd=ROOT)
    try:
        yield process
    finally:
        stop(process)


@pytest.mark.parametrize("kind", ["port", "address"])
def test_a_public_hosts_https_leads_to_a_node_behind_a_nat(tmp_path: Path, kind: str) -> None:
    """The public node shares its HTTPS with a node that keeps a tunnel to it (§5, a gateway in front of many nodes)."""
    servers = ICE_SERVERS["stun"]
    listen = ("--listen", "127.0.0.1:3000", "--trusted-proxy", "127.0.0.1/32")
    with (
        laboratory(tmp_path) as net,
        coturn(net) as ca,
        helper(net.public, "serve", PUBLIC, str(tmp_path / "turn.pem")) as gateway,
    ):
        a, b = net.client("A", 1, kind), net.client("B", 2, kind)
        await_port(net.public, "443", gateway)
        with (
            helper(b, "tunnel", PUBLIC),
            living(net.public, *listen, "--advertise", f"/https/{PUBLIC}/443", interface="br0") as node,
            living(b, *listen, "--advertise", f"/https_proxy/7/{PUBLIC}/443", *asking(servers)) as other,
        ):
            words = [*asking(servers), "--ca-file", str(ca)]
            assert read(dial(a, node.address, *words)[0]).result == "direct"
            said = dial(a, other.address, *words)[0]
            assert (read(said).result, said["path"]["remote"]) == ("direct", "srflx"), said
            assert other.next(10)["direction"] == "incoming"
