"""Clients behind NATs and a public node, whose HTTP carries the signaling: nothing else connects the two."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.nat.lab import read
from tests.nat.net import PUBLIC, laboratory
from tests.nat.servers import ICE_SERVERS, asking, coturn, dial, node

pytestmark = [pytest.mark.nat, pytest.mark.timeout(120)]


@pytest.mark.parametrize(
    ("kind", "servers", "result"),
    [
        ("full", "none", "direct"),
        ("port", "none", "direct"),
        ("symmetric", "none", "direct"),
        ("blocked", "stun", "impossible"),
        ("blocked", "turn-tls", "relayed"),
    ],
)
def test_a_public_node_is_reached_over_its_own_http(tmp_path: Path, kind: str, servers: str, result: str) -> None:
    with laboratory(tmp_path) as net, coturn(net) as ca:
        client = net.client("A", 1, kind)
        words = [*asking(ICE_SERVERS[servers]), "--ca-file", str(ca)]
        with node(net.public, "--listen", f"{PUBLIC}:3000", "--interface", "br0") as address:
            found = read(dial(client, address, *words)[0])
    assert found.result == result, found
