"""examples/coturn.py: coturn takes its configuration, its credentials work, after one rotation too, not after two."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.nat.net import PUBLIC, SIX, Net, laboratory
from tests.nat.servers import ROOT, await_port, environment, stop
from tests.nat.test_doctor import examine

pytestmark = [pytest.mark.nat, pytest.mark.timeout(120)]


def script(*words: str) -> str:
    command = [sys.executable, str(ROOT / "examples" / "coturn.py"), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment()).stdout


def troubles(net: Net, file: Path, urls: list[str]) -> list[str | None]:
    """What the doctor says about each URL while coturn runs with this configuration."""
    client = next(space for space in net.spaces if space.name.endswith("cliA"))
    command = [
        "turnserver",
        "-c",
        str(file),
        "--log-file",
        "stdout",
        "--pidfile",
        f"{file}.pid",
        "--userdb",
        f"{file}.db",
    ]
    process = net.public.spawn(*command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        await_port(net.public, "3478", process)
        words = [word for url in urls for word in ("--ice-server", url)]
        return [server["trouble"] for server in examine(client, *words)["servers"]]
    finally:
        stop(process)


def test_configuration_credentials_and_rotation(tmp_path: Path) -> None:
    file = tmp_path / "turnserver.conf"
    file.write_text(script("config", "--realm", "lab", "--ip", PUBLIC, "--ip", SIX, "--ports", "50000-50999"))
    urls = script("credentials", str(file), "--host", PUBLIC).split()
    assert [url.partition(":")[0] for url in urls] == ["stun", "turn", "turn"]
    with laboratory(tmp_path) as net:
        net.client("A", 1, "port")
        assert troubles(net, file, urls) == [None, None, None]
        script("rotate", str(file))
        assert troubles(net, file, urls[:2]) == [None, None]
        script("rotate", str(file))
        stun, turn = troubles(net, file, urls[:2])
        assert stun is None
        assert turn is not None
        assert "401" in turn
