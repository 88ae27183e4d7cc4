"""IPv6 without IPv4: firewalls that need no server, translators that need a relay, and who meets IPv4 through one."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.nat.lab import Outcome, read
from tests.nat.net import PUBLIC, SIX, Net, Space, laboratory, link
from tests.nat.servers import asking, coturn, dial, node
from tests.nat.test_doctor import examine

pytestmark = [pytest.mark.nat, pytest.mark.timeout(120)]

STUN, TURN = f"stun:[{SIX}]:3478", f"turn:[{SIX}]:3478"
BOTH = (PUBLIC, SIX)


def client(net: Net, name: str, number: int, kind: str) -> Space:
    """A client without IPv4 behind a stateful firewall, or (`translated`) behind one that also takes another port for
    each destination (NAT66)."""
    nat, client = net.space(f"nat{name}"), net.space(f"cli{name}")
    net.outside(nat, number)
    link(nat, "int", client, "eth0")
    nat.address("ext", f"2001:db8::{number}/64")
    nat.address("int", f"2001:db8:{number}::1/64")
    client.address("eth0", f"2001:db8:{number}::2/64")
    for space in (nat, net.public):
        space.run("sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
    client.ip("route", "add", "default", "via", f"2001:db8:{number}::1")
    nat.ip("route", "add", "default", "via", SIX)
    net.public.ip("route", "add", f"2001:db8:{number}::/64", "via", f"2001:db8::{number}")
    nat.rule6("-A INPUT -i ext -p udp -j DROP")
    nat.rule6("-P FORWARD DROP")
    nat.rule6("-A FORWARD -i int -j ACCEPT")
    nat.rule6("-A FORWARD -i ext -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT")
    if kind == "translated":
        nat.rule6("-A POSTROUTING -o ext -j MASQUERADE --random-fully", "nat")
    return client


def meet(net: Net, a: Space, b: Space, *servers: str) -> Outcome:
    net.signaling(a, b)
    words = asking(servers)
    with coturn(net, relays=(SIX,)), node(b, "--listen", "192.168.77.2:3000", *words) as address:
        return read(dial(a, address, *words)[0])


@pytest.mark.parametrize(
    ("a", "b", "servers", "result"),
    [
        ("firewall", "firewall", (), "direct"),
        ("translated", "firewall", (), "impossible"),
        ("translated", "translated", (STUN, TURN), "relayed"),
        ("translated", "translated", (f"{TURN}?transport=tcp",), "relayed"),
    ],
)
def test_ipv6_only(tmp_path: Path, a: str, b: str, servers: tuple[str, ...], result: str) -> None:
    with laboratory(tmp_path) as net:
        found = meet(net, client(net, "A", 1, a), client(net, "B", 2, b), *servers)
    assert found.result == result, found


def test_ipv6_only_and_ipv4_only_meet_on_a_relay(tmp_path: Path) -> None:
    with laboratory(tmp_path) as net:
        six, four = client(net, "A", 1, "firewall"), net.client("B", 2, "port")
        net.signaling(six, four)
        with (
            coturn(net, relays=BOTH),
            node(four, "--listen", "192.168.77.2:3000", *asking([f"turn:{PUBLIC}:3478"])) as address,
        ):
            found = read(dial(six, address, *asking([TURN]))[0])
    assert found.result == "relayed", found


def test_the_doctor_without_ipv4(tmp_path: Path) -> None:
    with laboratory(tmp_path) as net, coturn(net, relays=BOTH):
        found = examine(client(net, "A", 1, "translated"), *asking([STUN, TURN]))
    stun, turn = found["servers"]
    assert stun["address"].startswith("[2001:db8::1]:")
    assert f"[{SIX}]:" in turn["address"]
    assert (found["ipv6"], found["udp"], found["reachable"]) == (True, "works", "through a relay")
