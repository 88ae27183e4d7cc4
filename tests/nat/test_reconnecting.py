"""Whole nodes whose addresses change, whose peers vanish, whose relays go down: they notice within 15 s, and connect
again by themselves; a link that is down for 5 s costs nothing."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote

import pytest
from tests.nat.life import Life, living
from tests.nat.net import PUBLIC, laboratory
from tests.nat.servers import ICE_SERVERS, ROOT, SECRET, asking, coturn, environment

from mina_webrtc import SecretKey
from mina_webrtc.wire.ice_url import rest_credentials

pytestmark = [pytest.mark.nat, pytest.mark.timeout(180)]

NOTICED = 15


def lost(life: Life, peer: str) -> float:
    """Seconds until the loss is noticed."""
    begin = time.monotonic()
    told = life.until("peer_closed", peer)
    assert told["reason"] == "lost", told
    return time.monotonic() - begin


def swift(folder: Path) -> str:
    """A configuration file of a node that dials again soon."""
    file = folder / "node.toml"
    file.write_text("[timeouts]\nreconnect = 1\nreconnect_max = 4\n")
    return str(file)


def test_a_node_is_connected_again(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text(SecretKey.deterministic(1).expose_base58check())
    key.chmod(0o600)
    serving = ("--listen", f"{PUBLIC}:3000", "--key-file", str(key))
    with laboratory(tmp_path) as net, living(net.public, *serving, interface="br0") as first:
        client, nat = net.client("A", 1, "port"), net.spaces[-2]
        words = ("--no-listen", "--seed", first.address, "--config", swift(tmp_path))
        with living(client, *words) as life:
            life.until("peer_ready", first.peer_id)

            # the link is down for 5 s
            nat.ip("link", "set", "ext", "down")
            with pytest.raises(AssertionError, match="nothing was said"):
                life.next(5)
            nat.ip("link", "set", "ext", "up")
            nat.ip("route", "add", "default", "via", PUBLIC)
            with pytest.raises(AssertionError, match="nothing was said"):
                life.next(3)

            # the machine gets another address
            client.ip("addr", "flush", "dev", "eth0")
            client.address("eth0", "10.1.0.5/28")
            client.ip("route", "add", "default", "via", "10.1.0.1")
            assert lost(life, first.peer_id) < NOTICED
            assert life.until("peer_ready", first.peer_id)["found"] == "configured"
            first.until("peer_closed", life.peer_id, NOTICED)  # lost, or replaced by the new connection before

            # the peer dies without a word, and comes back
            os.killpg(first.process.pid, signal.SIGKILL)
            assert lost(life, first.peer_id) < NOTICED
            with living(net.public, *serving, interface="br0") as second:
                assert second.peer_id == first.peer_id
                life.until("peer_ready", second.peer_id)
                second.until("peer_ready", life.peer_id)


def test_a_relay_that_dies_is_replaced(tmp_path: Path) -> None:
    """The TURN server comes back without its allocations; the peers meet again on new ones."""
    servers = asking(ICE_SERVERS["turn-tcp"])
    settings = swift(tmp_path)
    with laboratory(tmp_path) as net:
        a, b = net.client("A", 1, "blocked"), net.client("B", 2, "blocked")
        net.signaling(a, b)
        with living(b, "--listen", "192.168.77.2:3000", *servers) as other, ExitStack() as stack:
            with coturn(net):
                words = ("--no-listen", "--seed", other.address, "--config", settings, *servers)
                life = stack.enter_context(living(a, *words))
                assert life.until("peer_ready", other.peer_id)["path"]["relayed"]
            assert lost(life, other.peer_id) < NOTICED
            with coturn(net):
                assert life.until("peer_ready", other.peer_id, 60)["path"]["relayed"]


def test_credentials_that_expire_do_not_end_an_allocation(tmp_path: Path) -> None:
    """coturn asks for them when an allocation is made, and lets one that stands be renewed after their expiry."""
    with laboratory(tmp_path) as net, coturn(net):
        client = net.client("A", 1, "port")
        user, password = rest_credentials(SECRET, "guest", int(time.time()) + 4)
        url = f"turn:{quote(user)}:{quote(password, safe='')}@{PUBLIC}:3478"
        process = client.spawn(sys.executable, "-m", "tests.nat.expiring", url, stdout=-1, env=environment(), cwd=ROOT)
        assert json.loads(process.communicate(timeout=30)[0]) == {"lifetime": 600, "again": 401}
