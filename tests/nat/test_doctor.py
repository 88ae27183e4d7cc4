"""`mina-webrtc doctor` behind every NAT, against coturn with two addresses."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.nat.net import PUBLIC, SECOND, Space, laboratory
from tests.nat.servers import ICE_SERVERS, asking, coturn, program, stop

pytestmark = [pytest.mark.nat, pytest.mark.timeout(120)]

EXPECTED = {
    "open": ("none", "endpoint-independent", "directly"),
    "full": ("endpoint-independent", "endpoint-independent", "directly"),
    "address": ("endpoint-independent", "address-dependent", "by hole punching"),
    "port": ("endpoint-independent", "address-and-port-dependent", "by hole punching"),
    "symmetric": ("address-and-port-dependent", "address-and-port-dependent", "through a relay"),
}


def doctor(space: Space, *words: str) -> tuple[int, str]:
    process = program(space, "doctor", "--interface", "eth0", *words)
    try:
        out, errors = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        stop(process)
        raise
    assert out, errors
    return process.returncode, out


def examine(space: Space, *words: str) -> dict[str, Any]:
    return json.loads(doctor(space, "--json", *words)[1])


@pytest.mark.parametrize("kind", EXPECTED)
def test_nats_are_told_apart(tmp_path: Path, kind: str) -> None:
    with laboratory(tmp_path) as net, coturn(net) as ca:
        client = net.client("A", 1, kind)
        dead = f"stun:{PUBLIC}:9"
        found = examine(client, *asking([*ICE_SERVERS["stun+turn"], dead]), "--ca-file", str(ca))
    assert (found["mapping"], found["filtering"], found["reachable"]) == EXPECTED[kind]
    assert found["udp"] == "works"
    live, turn, silent = found["servers"]
    assert live["milliseconds"] < 100
    assert turn["address"].startswith(PUBLIC)
    assert silent["trouble"] == "no answer"
    assert any(dead in text for text in found["advice"])


def test_two_servers_without_rfc_5780_tell_the_mapping(tmp_path: Path) -> None:
    with laboratory(tmp_path) as net, coturn(net, "--no-rfc5780"):
        client = net.client("A", 1, "symmetric")
        found = examine(client, *asking([f"stun:{PUBLIC}", f"stun:{SECOND}"]))
    assert (found["mapping"], found["filtering"]) == ("dependent", "unknown")
    assert found["reachable"] == "by some peers"
    assert any("use a TURN server" in text for text in found["advice"])


def test_certificates_and_passwords_are_checked(tmp_path: Path) -> None:
    """A TLS server must be who it is: a known authority says so, for this address."""
    tls, elsewhere = f"turns:{PUBLIC}:5349", f"turns:{SECOND}:5349"
    with laboratory(tmp_path) as net, coturn(net) as ca:
        client = net.client("A", 1, "port")
        found = examine(client, *asking([tls, elsewhere, f"turn:u:guess@{PUBLIC}"]), "--ca-file", str(ca))
        stranger = examine(client, *asking([tls]))
    good, mismatch, refused = (server["trouble"] for server in found["servers"])
    assert good is None
    assert "IP address mismatch" in mismatch
    assert "refuses the user name or the password" in refused
    assert "certificate is refused" in stranger["servers"][0]["trouble"]
    assert stranger["reachable"] == "unknown"


def test_udp_blocked(tmp_path: Path) -> None:
    with laboratory(tmp_path) as net, coturn(net) as ca:
        client = net.client("A", 1, "blocked")
        code, text = doctor(client, *asking(ICE_SERVERS["stun"]))
        assert code == 1
        assert "UDP does not get out" in text
        found = examine(client, *asking([*ICE_SERVERS["stun"], *ICE_SERVERS["turn-tls"]]), "--ca-file", str(ca))
    assert (found["udp"], found["reachable"]) == ("blocked", "through a relay")
