"""The programs of a laboratory: coturn on the public segment, and nodes that dial one another."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import trustme
from tests.nat.net import PUBLIC, SECOND, SIX, Net, Space

SECRET = "of the laboratory"
ICE_SERVERS: dict[str, tuple[str, ...]] = {
    "none": (),
    "stun": (f"stun:{PUBLIC}:3478",),
    "stun+turn": (f"stun:{PUBLIC}:3478", f"turn:{PUBLIC}:3478"),
    "turn-tcp": (f"turn:{PUBLIC}:3478?transport=tcp",),
    "turn-tls": (f"turns:{PUBLIC}:5349",),
    "ipv6-none": (),
    "ipv6-stun+turn": (f"stun:[{SIX}]:3478", f"turn:[{SIX}]:3478"),
}
ROOT = Path(__file__).parents[2]


def stop(process: subprocess.Popen[str]) -> None:
    """Ends a process and what it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            os.killpg(process.pid, number)
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                continue
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with suppress(BrokenPipeError):
                pipe.close()


@contextmanager
def coturn(net: Net, *more: str, relays: Sequence[str] = (PUBLIC,)) -> Iterator[Path]:
    """coturn with time-limited credentials, on UDP, TCP and TLS; `relays` are the addresses that it gives. Gives the
    certificate authority's file."""
    folder = net.folder
    authority = trustme.CA()
    ca, certificate = folder / "ca.pem", folder / "turn.pem"
    authority.cert_pem.write_to_path(ca)
    authority.issue_cert(PUBLIC).private_key_and_cert_chain_pem.write_to_path(certificate)
    # fmt: off
    command = [
        "turnserver", "-n", "--listening-ip", PUBLIC, "--listening-ip", SECOND, "--listening-ip", SIX,
        *(word for address in relays for word in ("--relay-ip", address)),
        "--realm", "lab", "--use-auth-secret", "--static-auth-secret", SECRET,
        "--min-port", "50000", "--max-port", "50999", "--fingerprint", "--no-cli", "--no-dtls",
        "--cert", str(certificate), "--pkey", str(certificate), "--simple-log", "--log-file", "stdout",
        "--pidfile", str(folder / "turn.pid"), "--userdb", str(folder / "turn.db"), *more,
    ]
    # fmt: on
    with (folder / "turn.log").open("w") as log:
        process = net.public.spawn(*command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            await_port(net.public, "5349", process)
            yield ca
        finally:
            stop(process)


def await_port(space: Space, port: str, process: subprocess.Popen[str]) -> None:
    for _ in range(300):
        if space.run("ss", "-Hltn", f"sport = :{port}").strip():
            return
        assert process.poll() is None, "the server ended at once"
        time.sleep(0.05)
    raise AssertionError(f"nothing listens on port {port}")


def environment(**changes: str) -> dict[str, str]:
    """What a process of the laboratory is told, TURN credentials among it."""
    known = {name: value for name, value in os.environ.items() if not name.startswith("MINA_WEBRTC_TURN")}
    path = os.pathsep.join([str(ROOT / "python"), known.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    login = {"MINA_WEBRTC_TURN_SECRET": SECRET, "MINA_WEBRTC_TURN_NAME": "lab"}
    return known | {"PYTHONPATH": path} | login | changes


def program(space: Space, *words: str) -> subprocess.Popen[str]:
    """`mina-webrtc` with these arguments, in a namespace."""
    command = (sys.executable, "-m", "mina_webrtc", *words)
    return space.spawn(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(), cwd=ROOT)


@contextmanager
def node(space: Space, *words: str) -> Iterator[str]:
    """A node in a namespace; gives its address."""
    process = program(space, "node", "--json", "--interface", "eth0", *words)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.stderr.read() if process.stderr else ""
        yield json.loads(line)["addresses"][0]
    finally:
        stop(process)


def dial(space: Space, address: str, *words: str, count: int = 1) -> list[dict[str, Any]]:
    """What `mina-webrtc dial` says about each dial."""
    process = program(space, "dial", address, "--json", "--interface", "eth0", "-c", str(count), "-i", "0.1", *words)
    try:
        out, errors = process.communicate(timeout=60 + 15 * count)
    finally:
        stop(process)
    lines = [json.loads(line) for line in out.splitlines()]
    assert lines, errors
    return [line for line in lines if line["event"] == "dial"]


def asking(servers: Sequence[str]) -> list[str]:
    """The arguments that name ICE servers."""
    return [word for url in servers for word in ("--ice-server", url)]
