"""IPv6 without IPv4, beside its cells of the matrix: TURN over TCP, peers with IPv4 only, the doctor."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.nat.lab import read
from tests.nat.net import PUBLIC, SIX, laboratory
from tests.nat.servers import asking, coturn, dial, node
from tests.nat.test_doctor import examine

pytestmark = [pytest.mark.nat, pytest.mark.timeout(120)]

STUN, TURN = f"stun:[{SIX}]:3478", f"turn:[{SIX}]:3478"
BOTH = (PUBLIC, SIX)


def test_turn_over_tcp_without_ipv4(tmp_path: Path) -> None:
    words = asking([f"{TURN}?transport=tcp"])
    with laboratory(tmp_path) as net, coturn(net, relays=(SIX,)):
        a, b = net.client("A", 1, "translated"), net.client("B", 2, "translated")
        net.signaling(a, b)
        with node(b, "--listen", "192.168.77.2:3000", *words) as address:
            found = read(dial(a, address, *words)[0])
    assert found.result == "relayed", found


def test_ipv6_only_and_ipv4_only_meet_on_a_relay(tmp_path: Path) -> None:
    with laboratory(tmp_path) as net:
        six, four = net.client("A", 1, "firewall"), net.client("B", 2, "port")
        net.signaling(six, four)
        with (
            coturn(net, relays=BOTH),
            node(four, "--listen", "192.168.77.2:3000", *asking([f"turn:{PUBLIC}:3478"])) as address,
        ):
            found = read(dial(six, address, *asking([TURN]))[0])
    assert found.result == "relayed", found


def test_the_doctor_without_ipv4(tmp_path: Path) -> None:
    with laboratory(tmp_path) as net, coturn(net, relays=BOTH):
        found = examine(net.client("A", 1, "translated"), *asking([STUN, TURN]))
    stun, turn = found["servers"]
    assert stun["address"].startswith("[2001:db8::1]:")
    assert f"[{SIX}]:" in turn["address"]
    assert (found["ipv6"], found["udp"], found["reachable"]) == (True, "works", "through a relay")
