"""`mina-webrtc node`: run a node until it is told to stop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mina_webrtc.cli.config_file import read_settings
from mina_webrtc.cli.keys import key_or_new
from mina_webrtc.cli.options import (
    AllowLoopback,
    CaFile,
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
from mina_webrtc.cli.shell import found_json, note, path_json, path_text, quoted, run, say, say_json, set_up_logging
from mina_webrtc.errors import DialError, ListenError, MinaWebrtcError

if TYPE_CHECKING:
    from mina_webrtc.config import Config, Limits
    from mina_webrtc.machines.vocab import IcePath, Notice
    from mina_webrtc.node import Node
    from mina_webrtc.wire.address import DialAddress

Chain = Annotated[
    str | None,
    typer.Option(
        "--chain", metavar="devnet|mainnet|HEX", help="Chain to be on, by name or 64 hex digits.  [default: devnet]"
    ),
]
Listen = Annotated[
    list[str] | None,
    typer.Option(
        "--listen",
        metavar="HOST:PORT",
        help="Where the signaling server listens; repeatable; port 0 is a free one.  [default: 127.0.0.1:0]",
    ),
]
NoListen = Annotated[bool, typer.Option("--no-listen", help="Run no signaling server: this node only dials.")]
Peers = Annotated[
    list[str] | None, typer.Option("--peer", metavar="ADDRESS", help="Dial this address at start; repeatable.")
]
Advertise = Annotated[
    str | None,
    typer.Option(
        "--advertise",
        metavar="HOST:PORT",
        help="Where others reach the signaling server, if not where it listens; also a method such as "
        "/https/example.com/443 or /https_proxy/7/gateway.example.com/443.",
    ),
]
ExternalIps = Annotated[
    list[str] | None,
    typer.Option("--external-ip", metavar="IP", help="Public address of this machine behind 1:1 NAT; repeatable."),
]
TlsCert = Annotated[Path | None, typer.Option("--tls-cert", metavar="FILE", help="Certificate chain (PEM) to serve.")]
TlsKey = Annotated[Path | None, typer.Option("--tls-key", metavar="FILE", help="Private key (PEM) of --tls-cert.")]
TrustedProxies = Annotated[
    list[str] | None,
    typer.Option("--trusted-proxy", metavar="NETWORK", help="Whose X-Forwarded-For is believed; repeatable."),
]
MaxPeers = Annotated[
    int | None, typer.Option("--max-peers", min=1, help="How many ready peers this node takes.  [default: 100]")
]
MinPeers = Annotated[
    int | None,
    typer.Option(
        "--min-peers", min=0, help="Below this many look for more.  [default: with seeds half of --max-peers]"
    ),
]
Seeds = Annotated[
    list[str] | None,
    typer.Option(
        "--seed",
        metavar="ADDRESS",
        envvar="MINA_WEBRTC_SEEDS",
        help="Node to join the network by; repeatable. The node dials it by itself, again when it is lost.",
    ),
]
SeedLists = Annotated[
    list[str] | None,
    typer.Option(
        "--seed-list",
        metavar="FILE|URL",
        envvar="MINA_WEBRTC_SEED_LISTS",
        help="File or https URL with one such address a line; repeatable.",
    ),
]
PeerDb = Annotated[
    Path | None,
    typer.Option(
        "--peer-db",
        metavar="FILE",
        envvar="MINA_WEBRTC_PEER_DB",
        help="SQLite file that keeps known addresses for the next run; made if there is none.",
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        envvar="MINA_WEBRTC_CONFIG",
        help="TOML file with settings; the command line goes before the environment, that before the file.",
    ),
]


def node(
    config_file: ConfigFile = None,
    listen: Listen = None,
    no_listen: NoListen = False,
    chain: Chain = None,
    seed: Seeds = None,
    seed_list: SeedLists = None,
    peer_db: PeerDb = None,
    peer: Peers = None,
    key_file: KeyFile = None,
    advertise: Advertise = None,
    external_ip: ExternalIps = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    ca_file: CaFile = None,
    trusted_proxy: TrustedProxies = None,
    ice_server: IceServers = None,
    relay_only: RelayOnly = False,
    udp_ports: UdpPorts = None,
    interface: Interfaces = None,
    max_peers: MaxPeers = None,
    min_peers: MinPeers = None,
    allow_loopback: AllowLoopback = None,
    loop: LoopName = Loop.auto,
    json: Json = False,
    log_level: LogLevel = Level.warning,
    log_json: LogJson = False,
) -> None:
    """Run a node until SIGINT or SIGTERM.

    Prints the addresses at which others can dial it, one a line, then a line for each peer that comes or goes. A new
    node knows nobody: with a --seed it joins the network and stays connected by itself; --peer dials once. With TLS,
    SIGHUP reads its files again.

    \b
    Examples:
      mina-webrtc node --key-file node.key --listen 0.0.0.0:3000 --advertise node.example.com:3000
      mina-webrtc node --no-listen --seed /dns4/node.example.com/tcp/3000/webrtc/http/p2p/12D3KooW...
    """
    set_up_logging(log_level, log_json)
    if no_listen and listen:
        raise usage("--no-listen", "it contradicts --listen")
    peers = [address_of(text, "--peer") for text in peer or ()]
    settings = {} if config_file is None else read_settings(config_file)
    file_key = settings.pop("key_file", None)
    key, new = key_or_new(key_file or file_key)
    given = {
        "chain_id": None if chain is None else chain_of(chain),
        "listen": tuple(listen or ()),
        "seeds": tuple(seed or ()),
        "seed_lists": tuple(seed_list or ()),
        "peer_db": peer_db,
        "advertise": advertise,
        "external_ips": tuple(external_ip or ()),
        **ice_of(ice_server, relay_only, udp_ports, interface),
        "tls_cert": tls_cert,
        "tls_key": tls_key,
        "ca_file": ca_file,
        "trusted_proxies": tuple(trusted_proxy or ()),
        "min_peers": min_peers,
        "allow_loopback": allow_loopback,
        "limits": _limits(settings.get("limits"), max_peers),
    }
    merged = _merged(settings, given, no_listen)
    in_file = [name for name, value in settings.items() if merged[name] is value]
    config = config_of(config_file, in_file, secret_key=key, **merged)
    if new:
        note("no key was given: this node has a new identity, and another one next time (see keygen)")
    run(lambda: _serve(config, peers, Report(json)), loop)


def _limits(limits: Limits | None, max_peers: int | None) -> Limits | None:
    from mina_webrtc.config import Limits

    if max_peers is None:
        return limits
    return Limits(max_peers=max_peers) if limits is None else replace(limits, max_peers=max_peers)


def _merged(settings: dict[str, Any], given: dict[str, Any], no_listen: bool) -> dict[str, Any]:
    """What was not given is left to the file, and what neither says to the defaults."""
    absent = {name for name, value in given.items() if value is None or value in ((), "")}
    merged = settings | {name: value for name, value in given.items() if name not in absent}
    return merged | {"listen": () if no_listen else merged.get("listen", ("127.0.0.1:0",))}


class Report:
    """Life events on stdout, as text or JSON lines."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self._unreachable: set[DialAddress] = set()
        """Seeds of which it was said already; they are tried again and again."""

    def started(self, node: Node) -> None:
        """Where the node can be dialled."""
        addresses = [str(address) for address in node.addresses]
        if self.as_json:
            say_json(event="listening", peer_id=str(node.peer_id), addresses=addresses)
            return
        for address in addresses:
            say(address)
        if not addresses:
            note(f"{node.peer_id} cannot be dialled: it runs no signaling server")

    def notice(self, notice: Notice, path: IcePath | None) -> None:
        """What others need not know is left out: only peers that come, go, or fail to come. `path` is what a peer that
        is ready is reached over."""
        from mina_webrtc.machines import vocab as v
        from mina_webrtc.machines.keeping import Origin
        from mina_webrtc.machines.known import NEUTRAL
        from mina_webrtc.wire.address import DialAddress

        match notice:
            case v.PeerReady(peer=peer, outgoing=outgoing, marked=marked):
                self._unreachable = {address for address in self._unreachable if address.peer != peer}
                told = {"direction": "outgoing" if outgoing else "incoming", **found_json(notice)}
                self._line("peer_ready", peer, **told, marked=marked, path=path and self._path(path))
            case v.PeerClosed(peer=peer, failure=failure, replaced=replaced):
                self._line("peer_closed", peer, reason=failure.reason, detail=failure.detail, replaced=replaced)
            case v.OfferRejected(claimed=claimed, source=source, reason=reason):
                self._line("offer_rejected", claimed, source=source, reason=reason)
            case v.AttemptFailed(outgoing=False, peer=peer, source=source, failure=failure):
                self._line("incoming_failed", peer, source=source, stage=failure.stage.value, reason=failure.reason)
            case v.AttemptFailed(address=DialAddress() as address, origin=Origin.CONFIGURED, failure=failure):
                if failure.reason not in NEUTRAL and address not in self._unreachable:
                    self._unreachable.add(address)
                    stage = failure.stage.value
                    self.dial_failed(address, DialError(stage, failure.reason, failure.detail))

    def _path(self, path: IcePath) -> object:
        return path_json(path) if self.as_json else path_text(path)

    def dial_failed(self, address: DialAddress, error: MinaWebrtcError) -> None:
        """An address of --peer or a seed could not be reached."""
        stage = error.stage if isinstance(error, DialError) else "address"
        self._line("dial_failed", address, stage=stage, message=str(error))

    def _line(self, event: str, subject: object, **fields: object) -> None:
        if self.as_json:
            name = "address" if event == "dial_failed" else "peer_id"
            say_json(event=event, **{name: str(subject)}, **fields)
            return
        words = [f"{name}={quoted(value)}" for name, value in fields.items() if value not in ("", None, False)]
        say(" ".join([event.replace("_", "-"), str(subject), *words]))


async def _serve(config: Config, peers: list[DialAddress], report: Report) -> None:
    from mina_webrtc.node import Node

    stop = asyncio.Event()
    async with Node(config) as node:
        _on_signals(stop, node.reload_tls if config.tls_cert else None)
        watching = asyncio.create_task(_watch(node, report))
        # It ends early only when nobody reads our output any more.
        watching.add_done_callback(lambda _: stop.set())
        report.started(node)
        dials = [asyncio.create_task(_dial(node, address, report)) for address in peers]
        await stop.wait()
        for task in dials:
            task.cancel()
        await asyncio.gather(*dials, return_exceptions=True)
    await watching


async def _watch(node: Node, report: Report) -> None:
    from mina_webrtc.machines.vocab import PeerReady

    async for notice in node.events():
        peer = node.peers.get(notice.peer) if isinstance(notice, PeerReady) else None
        report.notice(notice, peer.path if peer else None)


async def _dial(node: Node, address: DialAddress, report: Report) -> None:
    try:
        await node.dial(address)
    except MinaWebrtcError as error:
        report.dial_failed(address, error)


def _on_signals(stop: asyncio.Event, reload: Callable[[], None] | None) -> None:
    """`reload` is what SIGHUP asks for; without it that is the terminal's hanging up, and ends the node."""
    loop = asyncio.get_running_loop()

    def end(number: int) -> None:
        # A second one is for a node that does not end: it gets the signal's own effect.
        loop.remove_signal_handler(number)
        stop.set()

    def read_again(reload: Callable[[], None]) -> None:
        try:
            reload()
            note("the TLS files were read again")
        except ListenError as error:
            note(f"the TLS files stay as they were: {error}")

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, end, number)
    if reload is not None:
        loop.add_signal_handler(signal.SIGHUP, read_again, reload)
