"""Exit codes and last words: 0, 1 for failures, 2 for wrong usage, one line and never a traceback."""

from __future__ import annotations

import sys

import pytest
from tests.unit.cli.conftest import Cli

import mina_webrtc
from mina_webrtc import SecretKey

PEER, RELAY = (SecretKey.deterministic(number).peer_id for number in (1, 2))
ADDRESS = f"/{PEER}/http/127.0.0.1/3000"
CIRCUIT = f"/{PEER}/p2p/{RELAY}"


@pytest.mark.parametrize("command", ["keygen", "node", "dial", "inspect", "demo"])
def test_help_has_an_example_and_the_common_options(cli: Cli, command: str) -> None:
    done = cli(command, "--help")
    assert done.code == 0
    assert f"mina-webrtc {command}" in done.out.split("Example", 1)[1]
    assert all(option in done.out for option in ("--json", "--log-level", "--log-json"))


@pytest.mark.parametrize("command", ["node", "dial"])
def test_no_option_takes_a_secret(cli: Cli, command: str) -> None:
    done = cli(command, "--secret-key", "x")
    assert done.code == 2
    assert "--secret-key" in done.err


def test_without_its_extra_it_says_what_to_install(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "typer", None)
    monkeypatch.delitem(sys.modules, "mina_webrtc.cli.app", raising=False)
    done = cli("--version")
    assert done.code == 1
    assert done.err == "mina-webrtc: the command line is not installed: pip install 'mina-webrtc[cli]'\n"


def test_version(cli: Cli) -> None:
    done = cli("--version")
    assert done.code == 0
    assert done.out == f"mina-webrtc {mina_webrtc.__version__} ({mina_webrtc.backend} backend)\n"


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["nothing"], "nothing"),
        (["dial"], "ADDRESS"),
        (["dial", "hello"], "hello"),
        (["dial", "/ip4/127.0.0.1/tcp/1/p2p/12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X"], "libp2p"),
        (["dial", CIRCUIT], "--via"),
        (["dial", CIRCUIT, "--via", CIRCUIT], "--via"),
        (["dial", CIRCUIT, "--via", ADDRESS], "--via"),
        (["dial", ADDRESS, "--via", ADDRESS], "--via"),
        (["dial", ADDRESS, "--chain", "testnet"], "--chain"),
        (["dial", ADDRESS, "--count", "0"], "--count"),
        (["dial", ADDRESS, "--timeout", "0"], "--timeout"),
        (["dial", ADDRESS, "--loop", "trio"], "--loop"),
        (["dial", ADDRESS, "--log-level", "loud"], "--log-level"),
        (["node", "--listen", "nowhere"], "--listen"),
        (["node", "--listen", "127.0.0.1:0", "--no-listen"], "--no-listen"),
        (["node", "--peer", "/http/127.0.0.1/1"], "--peer"),
        (["node", "--advertise", "/smtp/a/1"], "--advertise"),
        (["node", "--external-ip", "home"], "--external-ip"),
        (["node", "--trusted-proxy", "10.0.0.1/8"], "--trusted-proxy"),
        (["node", "--tls-cert", "a.pem"], "--tls-cert"),
        (["node", "--max-peers", "0"], "--max-peers"),
        (["node", "--min-peers", "101"], "--min-peers"),
        (["node", "--seed", "nowhere"], "--seed"),
        (["node", "--seed-list", "http://example.com/"], "--seed-list"),
        (["demo", "--timeout", "61"], "--timeout"),
        (["keygen", "--force"], "--force"),
    ],
)
def test_wrong_usage_is_exit_code_2_and_names_what_is_wrong(cli: Cli, arguments: list[str], word: str) -> None:
    done = cli(*arguments)
    assert done.code == 2
    assert word in done.err
    assert "Traceback" not in done.err
    assert done.out == ""


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["node", "--key-file", "/no/such/file"], "/no/such/file"),
        (["dial", ADDRESS, "--key-file", "/"], "directory"),
        (["keygen", "--out", "/no/such/folder/key"], "/no/such/folder/key"),
        (["node", "--ca-file", "/no/such/file"], "/no/such/file"),
        (["node", "--seed-list", "/no/such/file"], "/no/such/file"),
        (["node", "--peer-db", "/no/such/folder/peers.db"], "/no/such/folder/peers.db"),
        (["node", "--tls-cert", "/no/cert", "--tls-key", "/no/key"], "/no/"),
    ],
)
def test_a_failure_is_exit_code_1_and_one_line(cli: Cli, arguments: list[str], word: str) -> None:
    done = cli(*arguments)
    assert done.code == 1
    last = done.err.splitlines()[-1]
    assert last.startswith("mina-webrtc: ")
    assert word in last
    assert "Traceback" not in done.err
