"""Two peers behind one NAT, with IPv6, and who hides his address."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.nat.lab import Outcome, read
from tests.nat.net import PUBLIC, Net, Space, laboratory, link
from tests.nat.servers import ICE_SERVERS, asking, coturn, dial, node

pytestmark = [pytest.mark.nat, pytest.mark.timeout(120)]

PORTS = {"A": (40000, 40099), "B": (41000, 41099)}


@pytest.fixture
def net(tmp_path: Path) -> Iterator[Net]:
    with laboratory(tmp_path) as net:
        yield net


def behind_one_nat(net: Net, *, hairpin: bool) -> tuple[Space, Space]:
    """Two clients in two networks that do not see each other, behind one port-restricted NAT."""
    nat = net.space("nat")
    net.outside(nat, 1)
    clients = []
    for number, name in enumerate(PORTS, 1):
        client = net.space(f"cli{name}")
        link(nat, f"int{name}", client, "eth0")
        nat.address(f"int{name}", f"10.{number}.0.1/24")
        client.address("eth0", f"10.{number}.0.2/24")
        client.ip("route", "add", "default", "via", f"10.{number}.0.1")
        nat.rule(f"-A FORWARD -i int{name} -o ext -j ACCEPT")
        clients.append(client)
    nat.rule("-A FORWARD -i ext -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT")
    nat.rule("-A POSTROUTING -o ext -j MASQUERADE", "nat")
    if hairpin:
        # RFC 4787 §6, "external source IP address and port"
        for number, (first, last) in enumerate(PORTS.values(), 1):
            outside = f"-p udp -d 203.0.113.1 --dport {first}:{last}"
            nat.rule(f"-A PREROUTING {outside} -j DNAT --to-destination 10.{number}.0.2", "nat")
        nat.rule("-A POSTROUTING ! -o ext -m conntrack --ctstate DNAT -j SNAT --to-source 203.0.113.1", "nat")
        nat.rule("-A FORWARD -m conntrack --ctstate DNAT -j ACCEPT")
    else:
        nat.rule("-A INPUT -j DROP")
    net.signaling(*clients)
    return clients[0], clients[1]


def meet(net: Net, clients: tuple[Space, Space], servers: str, *more: str, ports: bool = False) -> Outcome:
    a, b = clients
    ranges = [["--udp-ports", f"{first}-{last}"] if ports else [] for first, last in PORTS.values()]
    with coturn(net) as ca:
        words = [*asking(ICE_SERVERS[servers]), "--ca-file", str(ca), *more]
        with node(b, "--listen", "192.168.77.2:3000", *words, *ranges[1]) as address:
            return read(dial(a, address, *words, *ranges[0])[0])


def test_same_nat_with_hairpinning_is_direct(net: Net) -> None:
    found = meet(net, behind_one_nat(net, hairpin=True), "stun+turn", ports=True)
    assert found.result == "direct", found


def test_same_nat_without_hairpinning_is_relayed(net: Net) -> None:
    found = meet(net, behind_one_nat(net, hairpin=False), "stun+turn", ports=True)
    assert found.result == "relayed", found


def test_same_nat_without_hairpinning_and_turn_is_impossible(net: Net) -> None:
    found = meet(net, behind_one_nat(net, hairpin=False), "stun", ports=True)
    assert found.result == "impossible", found


def neighbours(net: Net, *pairs: tuple[str, str]) -> tuple[Space, Space]:
    """Two clients on one link, with addresses of these networks."""
    a, b = net.space("cliA"), net.space("cliB")
    link(a, "eth0", b, "eth0")
    for one, other in pairs:
        a.address("eth0", one)
        b.address("eth0", other)
    net.signaling(a, b)
    return a, b


@pytest.mark.parametrize(
    "pairs",
    [[("2001:db8:1::1/64", "2001:db8:1::2/64")], [("10.0.0.1/24", "10.0.0.2/24"), ("fd00::1/64", "fd00::2/64")]],
    ids=["ipv6-only", "dual-stack"],
)
def test_ipv6(net: Net, pairs: list[tuple[str, str]]) -> None:
    clients = neighbours(net, *pairs)
    with node(clients[1], "--listen", "192.168.77.2:3000") as address:
        found = read(dial(clients[0], address)[0])
    assert found.result == "direct"
    assert found.seconds < 1


def test_relay_only_shows_no_address_and_still_connects(net: Net) -> None:
    a, b = net.client("A", 1, "open"), net.client("B", 2, "open")
    net.signaling(a, b)
    with coturn(net) as ca, node(b, "--listen", "192.168.77.2:3000") as address:
        words = [*asking(ICE_SERVERS["stun+turn"]), "--ca-file", str(ca), "--relay-only"]
        said = dial(a, address, *words)[0]
    assert said["ok"], said
    assert said["path"]["local"] == "relay"
    assert said["path"]["local_address"].startswith(PUBLIC)
