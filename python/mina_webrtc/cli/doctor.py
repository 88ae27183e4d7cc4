"""`mina-webrtc doctor`: what is my NAT, do my servers answer, can others reach me, what to change."""

from __future__ import annotations

import ssl
from functools import cache
from typing import TYPE_CHECKING

import typer

from mina_webrtc.cli.options import CaFile, IceServers, Interfaces, Json, Loop, LoopName, config_of, ice_of
from mina_webrtc.cli.shell import run, say, say_json

if TYPE_CHECKING:
    from mina_webrtc.services.doctor import Report


def doctor(
    ice_server: IceServers = None,
    interface: Interfaces = None,
    ca_file: CaFile = None,
    loop: LoopName = Loop.auto,
    json: Json = False,
) -> None:
    """Examine this machine's connection: addresses, NAT, configured servers, and what to change.

    A server that supports RFC 5780, as coturn with two addresses does, tells how the NAT maps and filters; two STUN
    servers tell how it maps. Nothing but the servers named is contacted. The exit code is 1 when no peer outside this
    network can be reached, or none of the servers works.

    \b
    Examples:
      mina-webrtc doctor --ice-server stun:stun.example.com:3478 --ice-server turns:turn.example.com
    """
    from mina_webrtc.identity import SecretKey
    from mina_webrtc.services.doctor import examine

    config = config_of(secret_key=SecretKey.random(), **ice_of(ice_server, False, None, interface))

    @cache
    def context() -> ssl.SSLContext:
        trusted = ssl.create_default_context()
        if ca_file is not None:
            trusted.load_verify_locations(cafile=ca_file)
        return trusted

    report = run(lambda: examine(config.ice(), config.interfaces, context), loop)
    if json:
        fields = {name: getattr(report, name) for name in report.__struct_fields__ if name != "servers"}
        servers = [{name: getattr(s, name) for name in s.__struct_fields__} for s in report.servers]
        say_json(event="doctor", **fields, servers=servers)
    else:
        _print(report)
    useless = all(server.trouble is not None for server in report.servers)
    if report.servers and (useless or report.reachable == "from this network"):
        raise typer.Exit(1)


def _print(report: Report) -> None:
    rows = [
        ("addresses", ", ".join(report.addresses) or "none"),
        ("IPv6", "yes" if report.ipv6 else "no"),
        ("UDP", report.udp),
        ("public address", report.public_address or "unknown"),
        ("NAT mapping", report.mapping),
        ("NAT filtering", report.filtering),
        ("others reach you", report.reachable),
    ]
    for name, value in rows:
        say(f"{name:<18}{value}")
    for server in report.servers:
        found = server.trouble or f"{server.milliseconds:.1f} ms, {server.address}"
        say(f"{server.server:<44}{found}")
    for text in report.advice:
        say(f"* {text}")
