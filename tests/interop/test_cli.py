"""The command line as users run it: real processes, signals, exit codes."""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import trustme

from mina_webrtc import DialAddress, SecretKey

pytestmark = pytest.mark.slow

ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2] / "python")}
CLI = [sys.executable, "-m", "mina_webrtc"]
PATIENCE = 30.0

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts commands; whatever still runs at the end is killed."""
    with ExitStack() as stack:

        def popen(*arguments: str, **environment: str) -> subprocess.Popen[str]:
            process = stack.enter_context(
                subprocess.Popen(
                    [*CLI, *arguments],
                    env=ENVIRONMENT | environment,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
            stack.callback(process.kill)
            return process

        yield popen


def run(*arguments: str, patience: float = PATIENCE) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*CLI, *arguments],
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=patience,
        check=False,
    )


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


def event_of(process: subprocess.Popen[str], event: str) -> dict[str, Any]:
    while line := line_of(process):
        if (found := json.loads(line))["event"] == event:
            return dict(found)
    raise AssertionError(f"the process ended without {event}")


def stop(process: subprocess.Popen[str], number: int = signal.SIGTERM) -> tuple[int, str]:
    """Exit code and stderr of a process that was told to end, and did so at once."""
    process.send_signal(number)
    began = time.monotonic()
    _, errors = process.communicate(timeout=PATIENCE)
    assert time.monotonic() - began < 5
    return process.returncode, errors


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_node_is_dialled_and_ends_on_a_signal(start: Start, number: int) -> None:
    node = start("node", "--allow-loopback")
    address = line_of(node)
    assert str(DialAddress.parse(address)) == address
    dial = run("dial", address, "--allow-loopback")
    assert dial.returncode == 0, dial.stderr
    for stage in ("signaling", "ICE", "DTLS", "authentication", "first reply"):
        assert stage in dial.stdout
    assert line_of(node).startswith("peer-ready ")
    assert line_of(node).startswith("peer-closed ")
    code, errors = stop(node, number)
    assert code == 0
    assert "Traceback" not in errors


def test_a_node_that_nobody_can_reach_is_dialled_through_a_relay(start: Start) -> None:
    """Whichever of both has the greater id: the relay may name the one to the other or the other to the one."""
    lesser, middle, greater = sorted(map(SecretKey.deterministic, (1, 2, 3)), key=lambda key: key.peer_id)

    def secret(key: SecretKey) -> dict[str, str]:
        return {"MINA_WEBRTC_SECRET_KEY": key.expose_base58check()}

    listening = event_of(start("node", "--json", "--allow-loopback"), "listening")
    (via,) = listening["addresses"]
    hidden = start("node", "--json", "--no-listen", "--allow-loopback", "--seed", via, **secret(middle))
    event_of(hidden, "peer_ready")
    circuit = f"/{middle.peer_id}/p2p/{listening['peer_id']}"
    for key in (lesser, greater):
        dial = start("dial", circuit, "--via", via, "--allow-loopback", "--json", **secret(key))
        told, errors = dial.communicate(timeout=PATIENCE)
        assert dial.returncode == 0, told + errors
        assert json.loads(told)["peer_id"] == str(middle.peer_id)


def test_two_node_processes_find_each_other_by_key_and_address(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "node.key"
    assert run("keygen", "--out", str(path)).returncode == 0
    first = start("node", "--json", "--key-file", str(path), "--allow-loopback")
    listening = event_of(first, "listening")
    key = SecretKey.deterministic(3)
    second = start(
        *("node", "--json", "--no-listen", "--allow-loopback", "--peer", listening["addresses"][0]),
        MINA_WEBRTC_SECRET_KEY=key.expose_base58check(),
    )
    assert event_of(second, "listening")["addresses"] == []
    assert event_of(second, "peer_ready")["peer_id"] == listening["peer_id"]
    there = event_of(first, "peer_ready")
    path = there.pop("path")
    assert (path["local"], path["remote"], path["relayed"]) == ("host", "host", False)
    assert path["round_trip_ms"] > 0
    known = {"direction": "incoming", "found": "incoming", "source": "127.0.0.1", "marked": True}
    assert there == {"event": "peer_ready", "peer_id": str(key.peer_id), **known}
    assert stop(second)[0] == 0
    assert event_of(first, "peer_closed")["peer_id"] == str(key.peer_id)
    assert key.expose_base58check() not in stop(first)[1]


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_count_gives_statistics(start: Start, loop: str) -> None:
    node = start("node", "--loop", loop, "--allow-loopback")
    address = line_of(node)
    dial = run("dial", address, "--count", "3", "--interval", "0", "--json", "--loop", loop, "--allow-loopback")
    assert dial.returncode == 0, dial.stderr
    *dials, total = [json.loads(line) for line in dial.stdout.splitlines()]
    assert [(line["number"], line["ok"]) for line in dials] == [(1, True), (2, True), (3, True)]
    assert (total["dials"], total["connected"], total["loss_percent"]) == (3, 3, 0.0)
    assert total["total_ms"]["min"] == min(line["total_ms"] for line in dials)
    assert stop(node)[0] == 0


def test_a_failed_dial_names_its_stage(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    address = f"/{SecretKey.deterministic(1).peer_id}/http/127.0.0.1/{port}"
    dial = run("dial", address, "--timeout", "5")
    assert dial.returncode == 1
    assert dial.stdout == ""
    assert "stage signaling" in dial.stderr
    shown = run("dial", address, "--count", "2", "--interval", "0", "--json")
    assert shown.returncode == 1
    *_, total = [json.loads(line) for line in shown.stdout.splitlines()]
    assert (total["connected"], total["loss_percent"]) == (0, 100.0)


def test_a_node_of_another_chain_refuses(start: Start) -> None:
    node = start("node", "--chain", "mainnet", "--json", "--allow-loopback")
    address = event_of(node, "listening")["addresses"][0]
    dial = run("dial", address, "--chain", "devnet", "--allow-loopback")
    assert dial.returncode == 1
    assert "ChainIdMismatch" in dial.stderr
    assert event_of(node, "offer_rejected")["reason"] == "ChainIdMismatch"
    assert stop(node)[0] == 0


def test_a_port_in_use_is_one_line(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run("node", "--listen", f"127.0.0.1:{taken.getsockname()[1]}")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("mina-webrtc: ")
    assert "Traceback" not in done.stderr


def test_an_unreachable_peer_does_not_end_a_node(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    target = DialAddress.parse(f"/{SecretKey.deterministic(1).peer_id}/http/127.0.0.1/{port}")
    node = start("node", "--json", "--peer", str(target))
    assert event_of(node, "listening")["addresses"]
    failed = event_of(node, "dial_failed")
    assert (failed["address"], failed["stage"]) == (str(target), "signaling")
    assert stop(node)[0] == 0


def test_a_node_says_once_that_a_seed_is_away_and_finds_it_when_it_comes(start: Start, tmp_path: Path) -> None:
    """Its settings stand in a file, its seeds in another, and a line of the log is one event of a peer."""
    key = SecretKey.deterministic(1)
    (tmp_path / "seed.key").write_text(key.expose_base58check())
    (tmp_path / "seed.key").chmod(0o600)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = f"127.0.0.1:{taken.getsockname()[1]}"
    address = str(DialAddress.parse(f"/{key.peer_id}/http/{place.replace(':', '/')}"))
    (tmp_path / "seeds.txt").write_text(f"# ours\n{address}\n")
    settings = (
        'seed_lists = ["seeds.txt"]',
        "allow_loopback = true",
        "[timeouts]",
        "reconnect = 0.2",
        "reconnect_max = 0.5",
    )
    (tmp_path / "node.toml").write_text("\n".join(settings))
    options = ("--json", "--log-json", "--log-level", "info")
    node = start("node", "--config", str(tmp_path / "node.toml"), *options)
    assert event_of(node, "listening")
    assert event_of(node, "dial_failed")["address"] == address
    seed = start("node", "--key-file", str(tmp_path / "seed.key"), "--listen", place, "--allow-loopback")
    assert line_of(seed) == address
    ready = json.loads(line_of(node))
    assert (ready["event"], ready["peer_id"], ready["found"]) == ("peer_ready", str(key.peer_id), "configured")
    assert stop(seed)[0] == 0
    _, log = stop(node)
    told = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    kinds = [line["message"] for line in told if line["details"].get("peer") == str(key.peer_id)]
    failed = kinds.index("PeerReady")
    assert failed >= 1
    assert kinds[: failed + 2] == ["AttemptFailed"] * failed + ["PeerReady", "PeerClosed"]
    ready = told[[line["message"] for line in told].index("PeerReady")]["details"]
    assert (ready["address"], ready["origin"]) == (address, "configured")


def _write_certificate(authority: trustme.CA, folder: Path) -> bytes:
    leaf = authority.issue_cert("127.0.0.1")
    (folder / "cert.pem").write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    (folder / "key.pem").write_bytes(leaf.private_key_pem.bytes())
    return leaf.cert_chain_pems[0].bytes()


def test_https_and_its_reload_on_sighup(start: Start, tmp_path: Path) -> None:
    old, new = trustme.CA(), trustme.CA()
    for name, authority in (("old", old), ("new", new)):
        authority.cert_pem.write_to_path(str(tmp_path / f"{name}.pem"))
    _write_certificate(old, tmp_path)
    tls = ("--tls-cert", str(tmp_path / "cert.pem"), "--tls-key", str(tmp_path / "key.pem"))
    node = start("node", "--allow-loopback", *tls)
    address = line_of(node)
    assert "/webrtc/https/" in address

    def reaches(authority: str) -> bool:
        trust = ("--ca-file", str(tmp_path / f"{authority}.pem"))
        return run("dial", address, "--allow-loopback", *trust).returncode == 0

    assert reaches("old")
    assert not reaches("new")
    _write_certificate(new, tmp_path)
    node.send_signal(signal.SIGHUP)
    assert node.stderr is not None
    while "read again" not in (line := node.stderr.readline()):
        assert line
    assert reaches("new")
    assert stop(node)[0] == 0


@pytest.mark.timeout(120)
def test_the_demonstration_succeeds_without_a_terminal() -> None:
    done = run("demo", "--json", patience=70.0)
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    first, *others = [event for event in events if event["event"] == "started"]
    again = others.pop()
    assert (first["node"], first["address"]) == (again["node"], again["address"])
    assert first["pid"] != again["pid"]
    assert [event["address"] for event in others] == [None] * 3
    killed = [event["event"] for event in events].index("killed")
    ready = [event for event in events[:killed] if event["event"] == "ready"]
    assert len({(event["node"], event["peer"]) for event in ready}) == 12
    found = {
        (event["found"], event.get("relay")) for event in ready if first["node"] not in (event["node"], event["peer"])
    }
    assert found == {("relay", first["node"])}
    fetched = [event for event in events if event["event"] == "fetched"]
    assert len(fetched) == 12 + 6 + 6
    assert all(event["hash_correct"] and event["bytes"] == 1024 * 1024 for event in fetched)
    assert (events[-1]["event"], events[-1]["ok"]) == ("done", True)


def test_the_demonstration_draws_on_a_terminal_and_ends_on_ctrl_c() -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(sys.executable, [*CLI, "demo"], ENVIRONMENT | {"TERM": "xterm", "COLUMNS": "80"})
    shown, children = b"", []
    with suppress(OSError):  # how a terminal says that nobody is there any more
        while part := os.read(terminal, 65536):
            shown += part
            if not children and b"dialled seed" in shown:
                children = psutil.Process(pid).children()
                os.write(terminal, b"\x03")
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 130
    assert len(children) == 4
    assert psutil.wait_procs(children, timeout=10)[1] == []
    assert b"Traceback" not in shown


def test_the_demonstration_fails_when_a_node_dies(start: Start) -> None:
    demo = start("demo", "--json")
    os.kill(event_of(demo, "started")["pid"], signal.SIGKILL)
    done = event_of(demo, "done")
    demo.communicate(timeout=PATIENCE)
    assert done["ok"] is False
    assert demo.returncode == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_the_demonstration_leaves_no_process_behind(start: Start, number: int) -> None:
    demo = start("demo", "--json")
    event_of(demo, "started")
    children = psutil.Process(demo.pid).children()
    assert len(children) == 4
    demo.send_signal(number)
    demo.communicate(timeout=PATIENCE)
    assert demo.returncode in {130, -signal.SIGKILL}
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []
