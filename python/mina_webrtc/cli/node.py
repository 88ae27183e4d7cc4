"""`mina-webrtc node`: run a node until it is told to stop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mina_webrtc.cli.keys import key_or_new
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
from mina_webrtc.cli.shell import note, path_json, path_text, run, say, say_json, set_up_logging
from mina_webrtc.errors import DialError, ListenError, MinaWebrtcError

if TYPE_CHECKING:
    from mina_webrtc.config import Config
    from mina_webrtc.machines.vocab import IcePath, Notice
    from mina_webrtc.node import Node
    from mina_webrtc.wire.address import DialAddress

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
MaxPeers = Annotated[int, typer.Option("--max-peers", min=1, help="How many ready peers this node takes.")]


def node(
    listen: Listen = None,
    no_listen: NoListen = False,
    chain: Chain = "devnet",
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
    max_peers: MaxPeers = 100,
    allow_loopback: AllowLoopback = None,
    loop: LoopName = Loop.auto,
    json: Json = False,
    log_level: LogLevel = Level.warning,
    log_json: LogJson = False,
) -> None:
    """Run a node until SIGINT or SIGTERM.

    Prints the addresses at which others can dial it, one a line, then a line for each peer that comes or goes. A new
    node knows nobody: give it addresses with --peer, or give its own to others. SIGHUP reads the TLS files again.

    \b
    Examples:
      mina-webrtc node --key-file node.key --listen 0.0.0.0:3000 --advertise node.example.com:3000
      mina-webrtc node --no-listen --peer /dns4/node.example.com/tcp/3000/webrtc/http/p2p/12D3KooW...
    """
    from mina_webrtc.config import Limits

    set_up_logging(log_level, log_json)
    if no_listen and listen:
        raise usage("--no-listen", "it contradicts --listen")
    peers = [address_of(text, "--peer") for text in peer or ()]
    key, new = key_or_new(key_file)
    config = config_of(
        secret_key=key,
        chain_id=chain_of(chain),
        listen=() if no_listen else tuple(listen or ("127.0.0.1:0",)),
        advertise=advertise,
        external_ips=tuple(external_ip or ()),
        **ice_of(ice_server, relay_only, udp_ports, interface),
        allow_loopback=allow_loopback,
        tls_cert=tls_cert,
        tls_key=tls_key,
        ca_file=ca_file,
        trusted_proxies=tuple(trusted_proxy or ()),
        limits=Limits(max_peers=max_peers),
    )
    if new:
        note("no key was given: this node has a new identity, and another one next time (see keygen)")
    run(lambda: _serve(config, peers, Report(json)), loop)


class Report:
    """Life events on stdout, as text or JSON lines."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json

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

        match notice:
            case v.PeerReady(peer=peer, outgoing=outgoing, marked=marked):
                direction = "outgoing" if outgoing else "incoming"
                self._line("peer_ready", peer, direction=direction, marked=marked, path=path and self._path(path))
            case v.PeerClosed(peer=peer, failure=failure, replaced=replaced):
                self._line("peer_closed", peer, reason=failure.reason, detail=failure.detail, replaced=replaced)
            case v.OfferRejected(claimed=claimed, source=source, reason=reason):
                self._line("offer_rejected", claimed, source=source, reason=reason)
            case v.AttemptFailed(outgoing=False, peer=peer, source=source, failure=failure):
                self._line("incoming_failed", peer, source=source, stage=failure.stage.value, reason=failure.reason)

    def _path(self, path: IcePath) -> object:
        return path_json(path) if self.as_json else path_text(path)

    def dial_failed(self, address: DialAddress, error: MinaWebrtcError) -> None:
        """A peer of --peer could not be reached."""
        stage = error.stage if isinstance(error, DialError) else "address"
        self._line("dial_failed", address, stage=stage, message=str(error))

    def _line(self, event: str, subject: object, **fields: object) -> None:
        if self.as_json:
            name = "address" if event == "dial_failed" else "peer_id"
            say_json(event=event, **{name: str(subject)}, **fields)
            return
        words = [f"{name}={_quoted(value)}" for name, value in fields.items() if value not in ("", None, False)]
        say(" ".join([event.replace("_", "-"), str(subject), *words]))


def _quoted(value: object) -> str:
    text = str(value)
    return f'"{text}"' if " " in text else text


async def _serve(config: Config, peers: list[DialAddress], report: Report) -> None:
    from mina_webrtc.node import Node

    stop = asyncio.Event()
    async with Node(config) as node:
        _on_signals(stop, node.reload_tls)
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


def _on_signals(stop: asyncio.Event, reload: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()

    def end(number: int) -> None:
        # A second one is for a node that does not end: it gets the signal's own effect.
        loop.remove_signal_handler(number)
        stop.set()

    def hang_up() -> None:
        try:
            reload()
            note("the TLS files were read again")
        except ListenError as error:
            note(f"the TLS files stay as they were: {error}")

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end, number)
    loop.add_signal_handler(signal.SIGHUP, hang_up)
