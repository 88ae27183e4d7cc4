"""What a node is told about its network: servers that are dead, the public address of a 1:1 NAT, hidden addresses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.nat.lab import read
from tests.nat.net import PUBLIC, Net, Space, laboratory
from tests.nat.servers import ICE_SERVERS, asking, coturn, dial, node

pytestmark = [pytest.mark.nat, pytest.mark.timeout(120)]

SILENT = "192.0.2.1:3478"
LIVE = f"stun:{PUBLIC}:3478"


GATHERING = {
    (LIVE,): (0.0, 1.0),
    (f"stun:{SILENT}", LIVE): (0.3, 1.0),
    (f"turn:{SILENT}", f"turn:{SILENT}?transport=tcp", LIVE, f"turn:{PUBLIC}:3478"): (0.3, 1.0),
    (f"stun:{SILENT}", f"turn:{PUBLIC}:3478?transport=tcp"): (1.0, 1.3),
    (f"stun:{SILENT}",): (2.9, 3.2),
    (f"turns:{SILENT}", LIVE): (2.9, 3.2),
}
"""Servers, and the seconds that gathering may take: a dead one beside a live one of its kind 0.3 s, STUN beside TURN
1 s, else its 3 s."""


def test_dead_servers_cost_what_they_may(tmp_path: Path) -> None:
    with laboratory(tmp_path) as net, coturn(net) as ca:
        net.public.rule(f"-A FORWARD -d {SILENT.partition(':')[0]} -j DROP")
        client = net.client("A", 1, "port")
        with node(net.public, "--listen", f"{PUBLIC}:3000", "--interface", "br0") as address:
            for servers, (least, most) in GATHERING.items():
                said = dial(client, address, *asking(servers), "--ca-file", str(ca))[0]
                assert read(said).result == "direct", said
                seconds = said["gathering_ms"] / 1000
                print(f"{', '.join(servers)}: gathering took {seconds:.2f} s")
                assert least <= seconds <= most


def one_to_one(net: Net) -> Space:
    """A machine like those that clouds rent: a private address, and a public one that is the NAT's."""
    client = net.client("B", 2, "full")
    nat = next(space for space in net.spaces if space.name.endswith("natB"))
    nat.rule("-A PREROUTING -i ext -p tcp -j DNAT --to-destination 10.2.0.2", "nat")
    nat.rule("-A FORWARD -i ext -p tcp -j ACCEPT")
    return client


def test_behind_a_1_to_1_nat_no_server_is_needed(tmp_path: Path) -> None:
    with laboratory(tmp_path) as net:
        a, b = net.client("A", 1, "symmetric"), one_to_one(net)
        outside = ("--advertise", "203.0.113.2:3000", "--external-ip", "203.0.113.2")
        with node(b, "--listen", "0.0.0.0:3000", *outside) as address:
            assert "203.0.113.2" in address
            said = dial(a, address)[0]
    assert read(said).result == "direct", said
    assert (said["path"]["remote"], said["path"]["remote_address"].partition(":")[0]) == ("host", "203.0.113.2")


def test_two_who_hide_their_addresses_meet_on_relays(tmp_path: Path) -> None:
    with laboratory(tmp_path) as net, coturn(net) as ca:
        a, b = net.client("A", 1, "open"), net.client("B", 2, "open")
        net.signaling(a, b)
        words = [*asking(ICE_SERVERS["stun+turn"]), "--ca-file", str(ca), "--relay-only"]
        with node(b, "--listen", "192.168.77.2:3000", *words) as address:
            path: dict[str, Any] = dial(a, address, *words)[0]["path"]
    assert (path["local"], path["remote"]) == ("relay", "relay")
    assert path["local_address"].startswith(PUBLIC)
    assert path["remote_address"].startswith(PUBLIC)


def test_without_a_way_the_failure_says_what_was_tried(tmp_path: Path) -> None:
    """Within 15 s from the dial, gathering with dead servers on both sides included."""
    servers = asking([f"stun:{SILENT}", f"turns:{PUBLIC}:5349", f"turn:who:knows@{PUBLIC}:3478"])
    with laboratory(tmp_path) as net, coturn(net):
        net.public.rule(f"-A FORWARD -d {SILENT.partition(':')[0]} -j DROP")
        a, b = net.client("A", 1, "port"), net.client("B", 2, "port")
        net.signaling(a, b)
        with node(b, "--listen", "192.168.77.2:3000", *servers) as address:
            error = dial(a, address, *servers)[0]["error"]
    for words in (
        "our candidates: 1 host; theirs: 1 host; checks that failed: 1 host-host",
        f"stun:{SILENT}: no answer",
        "its certificate is refused",
        "it refuses the user name or the password (401)",
    ):
        assert words in error, error


def test_a_dozen_addresses_do_not_keep_relays_out(tmp_path: Path) -> None:
    """Machines full of containers: of some 350 pairs, of which 100 are tried, only those with relays work."""
    words = [*asking(ICE_SERVERS["stun+turn"]), "--interface", "172.16.0.0/12"]
    with laboratory(tmp_path) as net, coturn(net):
        clients = net.client("A", 1, "symmetric"), net.client("B", 2, "symmetric")
        for client in clients:
            client.ip("link", "add", "docker0", "type", "bridge")
            client.address("docker0", *(f"172.20.{number}.1/24" for number in range(12)))
        net.signaling(*clients)
        with node(clients[1], "--listen", "192.168.77.2:3000", *words) as address:
            found = read(dial(clients[0], address, *words)[0])
    assert found.result == "relayed", found
    assert found.seconds < 3
