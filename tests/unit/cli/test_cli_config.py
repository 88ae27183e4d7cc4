"""`node --config`: a file's settings, whose word counts, and errors that name the key."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.conftest import Cli

from mina_webrtc import ChainId, Config, Limits, SecretKey, Timeouts
from mina_webrtc.cli import node as command
from mina_webrtc.cli.config_file import LONGEST, read_settings

SEED = f"/{SecretKey.deterministic(1).peer_id}/http/127.0.0.1/3000"
OTHER = f"/{SecretKey.deterministic(2).peer_id}/http/127.0.0.1/3000"
EVERYTHING = f"""
chain_id = "mainnet"
listen = ["127.0.0.1:3000", "[::1]:3000"]
seeds = ["{SEED}"]
seed_lists = ["more.txt", "https://example.com/seeds"]
min_peers = 7
peer_db = "peers.db"
key_file = "node.key"
advertise = "node.example.com:3000"
external_ips = ["192.0.2.1"]
learnt_networks = ["10.0.0.0/8"]
udp_ports = [4000, 4100]
allow_loopback = false
tls_cert = "/etc/cert.pem"
tls_key = "key.pem"

[limits]
max_peers = 50

[timeouts]
reconnect = 20
ban = 0.5
"""

Run = Callable[..., Config]


@pytest.fixture
def run(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Run:
    """What `node` with these arguments would run with."""
    configs: list[Config] = []

    def serve(config: Config, *_: Any) -> None:
        configs.append(config)

    monkeypatch.setattr(command, "run", lambda serving, _: serving())
    monkeypatch.setattr(command, "_serve", serve)
    for name in ("SEEDS", "SEED_LISTS", "PEER_DB", "CONFIG", "ICE_SERVERS", "INTERFACES", "UDP_PORTS"):
        monkeypatch.delenv(f"MINA_WEBRTC_{name}", raising=False)

    def run(*arguments: str, **environment: str) -> Config:
        for name, value in environment.items():
            monkeypatch.setenv(f"MINA_WEBRTC_{name}", value)
        done = cli("node", *arguments)
        assert done.code == 0, done.err
        return configs.pop()

    return run


def write(folder: Path, text: str) -> Path:
    path = folder / "node.toml"
    path.write_text(text)
    return path


def test_every_setting_by_its_name(tmp_path: Path) -> None:
    settings = read_settings(write(tmp_path, EVERYTHING))
    assert settings.pop("key_file") == tmp_path / "node.key"
    config = Config(secret_key=SecretKey.deterministic(0), **settings)
    assert config == Config(
        secret_key=SecretKey.deterministic(0),
        chain_id=ChainId.MAINNET,
        listen=("127.0.0.1:3000", "[::1]:3000"),
        seeds=(SEED,),
        seed_lists=(str(tmp_path / "more.txt"), "https://example.com/seeds"),
        min_peers=7,
        peer_db=tmp_path / "peers.db",
        advertise="node.example.com:3000",
        external_ips=("192.0.2.1",),
        learnt_networks=("10.0.0.0/8",),
        udp_ports=(4000, 4100),
        allow_loopback=False,
        tls_cert=Path("/etc/cert.pem"),
        tls_key=tmp_path / "key.pem",
        limits=Limits(max_peers=50),
        timeouts=Timeouts(reconnect=20.0, ban=0.5),
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sedes = []", ["sedes", "no such setting"]),
        ("[limits]\nmax_pears = 1", ["limits.max_pears", "no such setting"]),
        ("[timeouts]\nreconnect = 'soon'", ["timeouts.reconnect", "float"]),
        ("[limits]\nmax_peers = 0", ["limits", "max_peers"]),
        ("limits = 5", ["limits", "table"]),
        ("seeds = 'one'", ["seeds", "array"]),
        ("seeds = [1]", ["seeds", "str"]),
        ("min_peers = true", ["min_peers", "int"]),
        ("peer_db = 1", ["peer_db"]),
        ("chain_id = 'testnet'", ["chain_id", "mainnet"]),
        ("secret_key = 'x'", ["secret_key", "key_file"]),
        ("seeds = [", ["node.toml"]),
        ("seeds = ['nowhere']", ["seed", "nowhere"]),
    ],
)
def test_a_mistake_is_a_usage_error_that_names_it(cli: Cli, tmp_path: Path, text: str, words: list[str]) -> None:
    done = cli("node", "--config", str(write(tmp_path, text)))
    assert done.code == 2
    assert all(word in done.err.replace("│", "").replace("\n", "") for word in words)
    assert "Traceback" not in done.err


def test_a_file_that_is_not_there(cli: Cli) -> None:
    done = cli("node", "--config", "/no/such/file")
    assert done.code == 2
    assert "/no/such/file" in done.err


def test_the_command_line_goes_before_the_environment_and_that_before_the_file(run: Run, tmp_path: Path) -> None:
    path = str(write(tmp_path, f"seeds = ['{SEED}']\npeer_db = 'a.db'\n[limits]\nmax_peers = 50\nmax_known = 9"))
    config = run("--config", path)
    assert (config.seeds, config.peer_db, config.limits.max_peers) == ((SEED,), tmp_path / "a.db", 50)
    assert config.listen == ("127.0.0.1:0",)
    config = run("--config", path, "--max-peers", "20", SEEDS=f"{OTHER} {SEED}", PEER_DB="b.db")
    assert (config.seeds, config.peer_db, config.limits) == (
        (OTHER, SEED),
        Path("b.db"),
        Limits(max_peers=20, max_known=9),
    )
    config = run("--config", path, "--seed", OTHER, "--peer-db", "c.db", "--min-peers", "0")
    assert (config.seeds, config.peer_db, config.min_peers) == ((OTHER,), Path("c.db"), 0)


def test_the_environment_can_name_the_file_and_nothing_has_to_be_named(run: Run, tmp_path: Path) -> None:
    assert run().seeds == ()
    assert run().minimum() == 0
    config = run("--no-listen", CONFIG=str(write(tmp_path, f"listen = ['127.0.0.1:1']\nseeds = ['{SEED}']")))
    assert (config.listen, config.seeds, config.minimum()) == ((), (SEED,), 50)


@pytest.mark.parametrize(("most", "least"), [(1, 1), (2, 2), (3, 3), (5, 3), (8, 4), (100, 50)])
def test_the_minimum_of_the_protocol(most: int, least: int) -> None:
    key, limits = SecretKey.deterministic(0), Limits(max_peers=most)
    assert Config(secret_key=key, limits=limits, seeds=(SEED,)).minimum() == least
    assert Config(secret_key=key, limits=limits, peer_db=Path("x")).minimum() == least
    assert Config(secret_key=key, limits=limits).minimum() == 0


def test_a_file_that_is_too_long_is_not_read(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "node.toml"
    path.write_text("# " + "x" * LONGEST)
    done = cli("node", "--config", str(path))
    assert done.code == 2
    assert f"longer than {LONGEST} bytes" in done.err


@pytest.mark.parametrize("line", ["min_peers = 200", 'seeds = ["nowhere"]', 'advertise = "x"'])
def test_a_setting_that_cannot_work_is_looked_for_in_the_file(cli: Cli, tmp_path: Path, line: str) -> None:
    path = tmp_path / "node.toml"
    path.write_text(line)
    done = cli("node", "--config", str(path))
    assert done.code == 2
    assert f"'--config': {path}: {line.split(maxsplit=1)[0]}" in done.err
    other = cli("node", "--config", str(path), "--seed", "nowhere", "--min-peers", "150", "--advertise", "y")
    assert "'--config'" not in other.err
