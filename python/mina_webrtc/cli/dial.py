"""`mina-webrtc dial`: connect to a peer and tell where the time went, once or many times."""

from __future__ import annotations

import asyncio
import time
from math import sqrt
from typing import TYPE_CHECKING, Annotated, Any

import typer
from msgspec import Struct

from mina_webrtc.cli.keys import find_key
from mina_webrtc.cli.options import (
    AllowLoopback,
    CaFile,
    Chain,
    IceServers,
    Interfaces,
    Json,
    KeyFile,
    Level,
    LogJson,
    LogLevel,
    Loop,
    LoopName,
    RelayOnly,
    UdpPorts,
    address_of,
    chain_of,
    config_of,
    ice_of,
    usage,
)
from mina_webrtc.cli.shell import milliseconds, note, path_json, path_text, run, say, say_json, set_up_logging
from mina_webrtc.errors import DialError, MinaWebrtcError, RequestError
from mina_webrtc.machines.vocab import IcePath

if TYPE_CHECKING:
    from mina_webrtc.config import Config
    from mina_webrtc.wire.address import DialAddress

STAGES = ("gathering", "signaling", "ice", "dtls", "authentication", "first_reply", "total")
_TITLES = {"ice": "ICE", "dtls": "DTLS", "first_reply": "first reply"}

Address = Annotated[str, typer.Argument(metavar="ADDRESS", help="Dial address, as a node prints it (either form).")]
Count = Annotated[int, typer.Option("--count", "-c", min=1, help="Dial this many times and print statistics.")]
Interval = Annotated[float, typer.Option("--interval", "-i", min=0.0, help="Seconds between two dials.")]
Via = Annotated[str | None, typer.Option(metavar="ADDRESS", help="Where the relay of a /p2p/... address is dialled.")]
Timeout = Annotated[float, typer.Option("--timeout", "-t", min=0.001, help="Seconds one dial may take.")]


class Result(Struct, frozen=True):
    """One dial: its times in milliseconds by stage, or why it failed."""

    times: dict[str, float]
    peers: int = 0
    path: IcePath | None = None
    error: str | None = None
    stage: str | None = None


def dial(
    address: Address,
    via: Via = None,
    count: Count = 1,
    interval: Interval = 1.0,
    timeout: Timeout = 15.0,
    chain: Chain = "devnet",
    key_file: KeyFile = None,
    ca_file: CaFile = None,
    ice_server: IceServers = None,
    relay_only: RelayOnly = False,
    udp_ports: UdpPorts = None,
    interface: Interfaces = None,
    allow_loopback: AllowLoopback = None,
    loop: LoopName = Loop.auto,
    json: Json = False,
    log_level: LogLevel = Level.warning,
    log_json: LogJson = False,
) -> None:
    """Connect to a peer and print how long each stage took.

    The first reply is the peer's answer to the question which peers it knows. With --count it dials again and again,
    as ping does, each time on a new connection, and prints statistics at the end (also after Ctrl-C). The exit code is
    0 only if every dial succeeded. Without a key each dial has a new identity.

    A /p2p/RELAY/webrtc/p2p-circuit/p2p/TARGET address is dialled through a relay that TARGET is connected to, and --via
    tells where that one is. A relay introduces the same two once in ten minutes.

    \b
    Examples:
      mina-webrtc dial /ip4/127.0.0.1/tcp/3000/webrtc/http/p2p/12D3KooW...
      mina-webrtc dial --count 10 --interval 0.2 --json /2b.../http/127.0.0.1/3000
      mina-webrtc dial /p2p/12D3KooWA.../webrtc/p2p-circuit/p2p/12D3KooWB... --via /2b.../http/127.0.0.1/3000
    """
    from mina_webrtc.config import Timeouts
    from mina_webrtc.identity import SecretKey

    set_up_logging(log_level, log_json)
    target = address_of(address, "ADDRESS")
    relay = _relay_of(target, via)
    key = find_key(key_file)
    chain_id = chain_of(chain)
    ice = ice_of(ice_server, relay_only, udp_ports, interface)

    def config() -> Config:
        return config_of(
            secret_key=key or SecretKey.random(),
            chain_id=chain_id,
            ca_file=ca_file,
            allow_loopback=allow_loopback,
            timeouts=Timeouts(outgoing=timeout),
            **ice,
        )

    config()
    if key is None:
        note("no key was given: dialling under a new identity")
    results: list[Result] = []
    try:
        run(lambda: _dial_often(target, relay, config, count, interval, results, json), loop)
    except KeyboardInterrupt:
        if not results:
            raise
    if count > 1:
        _print_statistics(target, results, json)
    if any(result.error for result in results):
        raise typer.Exit(1)


def _relay_of(target: DialAddress, via: str | None) -> DialAddress | None:
    """Where the relay is that the target is dialled through, None when there is none."""
    from mina_webrtc.wire.address import Relayed

    if not isinstance(target.method, Relayed):
        if via is not None:
            raise usage("--via", "ADDRESS goes through no relay")
        return None
    if via is None:
        raise usage("ADDRESS", f"it goes through {target.method.relay}: tell with --via where that relay is dialled")
    relay = address_of(via, "--via")
    if relay.peer != target.method.relay or isinstance(relay.method, Relayed):
        raise usage("--via", f"{via!r} is no address at which {target.method.relay} is dialled")
    return relay


async def _dial_often(
    target: DialAddress,
    relay: DialAddress | None,
    config: Any,
    count: int,
    interval: float,
    results: list[Result],
    as_json: bool,
) -> None:
    for number in range(1, count + 1):
        if results:
            await asyncio.sleep(interval)
        result = await _dial_once(target, relay, config())
        results.append(result)
        if as_json:
            _print_json(target, number, result)
        elif count > 1:
            _print_line(number, result)
        else:
            _print_table(target, result)


async def _dial_once(target: DialAddress, relay: DialAddress | None, config: Config) -> Result:
    from mina_webrtc.node import Node

    try:
        async with Node(config) as node:
            if relay is not None:
                await node.dial(relay)
            started = time.perf_counter()
            peer = await node.dial(target)
            ready = time.perf_counter()
            found = await peer.initial_peers()
            replied = time.perf_counter()
            path = peer.path
    except DialError as error:
        return Result({}, error=str(error), stage=error.stage)
    except RequestError as error:
        return Result({}, error=f"connected, but no answer: {error}", stage="first_reply")
    except MinaWebrtcError as error:
        return Result({}, error=str(error), stage="first_reply")
    stages = {name: milliseconds(getattr(peer.timings, name)) for name in STAGES[:5]}
    stages["first_reply"] = milliseconds(replied - ready)
    stages["total"] = milliseconds(replied - started)
    return Result(stages, peers=len(found), path=path)


def _print_table(target: DialAddress, result: Result) -> None:
    if result.error:
        note(result.error)
        return
    say(f"connected to {target.peer}, which knows {result.peers} peer{'s' * (result.peers != 1)}")
    say(f"  {'stage':<15}{'ms':>10}")
    for name in STAGES:
        say(f"  {_TITLES.get(name, name):<15}{result.times[name]:>10.1f}")
    if result.path:
        say(f"  over {path_text(result.path)}")


def _print_line(number: int, result: Result) -> None:
    if result.error:
        say(f"{number}: {result.error}")
        return
    parts = ", ".join(f"{_TITLES.get(name, name)} {result.times[name]:.1f}" for name in STAGES[:-1])
    say(f"{number}: {result.times['total']:.1f} ms ({parts})")


def _print_json(target: DialAddress, number: int, result: Result) -> None:
    head = {"event": "dial", "number": number, "peer_id": str(target.peer), "ok": result.error is None}
    if result.error:
        say_json(**head, stage=result.stage, error=result.error)
    else:
        path = path_json(result.path) if result.path else None
        say_json(**head, peers=result.peers, path=path, **{f"{name}_ms": result.times[name] for name in STAGES})


def statistics(values: list[float]) -> dict[str, float]:
    """min, avg, max and mdev (the standard deviation, as ping computes it) of at least one value."""
    mean = sum(values) / len(values)
    spread = sqrt(sum((value - mean) ** 2 for value in values) / len(values))
    return {"min": min(values), "avg": mean, "max": max(values), "mdev": spread}


def _print_statistics(target: DialAddress, results: list[Result], as_json: bool) -> None:
    good = [result for result in results if result.error is None]
    loss = 100 * (len(results) - len(good)) / len(results)
    columns = {
        name: {word: round(value, 3) for word, value in statistics([r.times[name] for r in good]).items()}
        for name in (STAGES if good else ())
    }
    if as_json:
        figures = {f"{name}_ms": values for name, values in columns.items()}
        say_json(event="statistics", dials=len(results), connected=len(good), loss_percent=round(loss, 1), **figures)
        return
    say(f"--- {target.peer} ---")
    say(f"{len(results)} dials, {len(good)} connected, {loss:g} % loss")
    if good:
        say(f"  {'ms':<15}" + "".join(f"{word:>10}" for word in ("min", "avg", "max", "mdev")))
    for name, values in columns.items():
        say(f"  {_TITLES.get(name, name):<15}" + "".join(f"{value:>10.1f}" for value in values.values()))
