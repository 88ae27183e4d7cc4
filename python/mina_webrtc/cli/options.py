"""What several commands share: their options, and how option texts become values (wrong ones are usage errors)."""

from __future__ import annotations

import os
from collections.abc import Collection
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mina_webrtc.errors import AddressError, ConfigError, KeyFormatError

if TYPE_CHECKING:
    from mina_webrtc.config import Config
    from mina_webrtc.identity import ChainId
    from mina_webrtc.wire.address import DialAddress


class Level(StrEnum):
    """Log levels."""

    debug = "debug"
    info = "info"
    warning = "warning"
    error = "error"


class Loop(StrEnum):
    """Event loops."""

    auto = "auto"
    uvloop = "uvloop"
    asyncio = "asyncio"


Json = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line, instead of text.")]
LogLevel = Annotated[Level, typer.Option("--log-level", help="How much is logged, on standard error.")]
LogJson = Annotated[bool, typer.Option("--log-json", help="Log JSON, one object a line.")]
LoopName = Annotated[Loop, typer.Option("--loop", help="Event loop; auto is uvloop where it is installed.")]
Chain = Annotated[
    str, typer.Option("--chain", metavar="devnet|mainnet|HEX", help="Chain to be on, by name or 64 hex digits.")
]
KeyFile = Annotated[
    Path | None,
    typer.Option(
        "--key-file",
        metavar="FILE",
        help="Secret key, as keygen writes it; - reads it from standard input, without echo on a terminal. "
        "The password of an encrypted one is asked for, or taken from MINA_WEBRTC_KEY_PASSWORD or MINA_LIBP2P_PASS. "
        "Default: the environment variable MINA_WEBRTC_SECRET_KEY, else a new key for this run.",
    ),
]
CaFile = Annotated[
    Path | None,
    typer.Option(
        "--ca-file", metavar="FILE", help="CA certificates (PEM) to trust for https signaling and turns: servers."
    ),
]
IceServers = Annotated[
    list[str] | None,
    typer.Option(
        "--ice-server",
        metavar="URL",
        envvar="MINA_WEBRTC_ICE_SERVERS",
        help="STUN or TURN server: stun:host:port, turn:host:port?transport=udp|tcp, turns:host:port; repeatable. TURN "
        "credentials stand before the host (user:password@) or come from the environment: MINA_WEBRTC_TURN_NAME with "
        "MINA_WEBRTC_TURN_PASSWORD, or MINA_WEBRTC_TURN_SECRET for time-limited ones. None is contacted by default.",
    ),
]
RelayOnly = Annotated[
    bool, typer.Option("--relay-only", help="Show peers no address of this machine: all traffic through TURN.")
]
UdpPorts = Annotated[
    str | None,
    typer.Option(
        "--udp-ports",
        metavar="FIRST-LAST",
        envvar="MINA_WEBRTC_UDP_PORTS",
        help="Ports for peer connections, for firewalls; each connection takes one per address.",
    ),
]
Interfaces = Annotated[
    list[str] | None,
    typer.Option(
        "--interface",
        metavar="NAME|NETWORK",
        envvar="MINA_WEBRTC_INTERFACES",
        help="Interface (eth0) or network (10.0.0.0/8) to use, with ! in front not to use; repeatable. Default: all.",
    ),
]
AllowLoopback = Annotated[
    bool | None,
    typer.Option(
        "--allow-loopback/--no-allow-loopback",
        help="Use loopback candidates. Default: only where the machine has no other address.",
        show_default=False,
    ),
]


def usage(option: str, message: object) -> typer.BadParameter:
    """The usage error (exit code 2) that `message` is for `option`."""
    return typer.BadParameter(str(message), param_hint=f"'{option}'")


def named_chain(text: str) -> ChainId:
    """The chain of this name or of these hex digits. Raises `KeyFormatError`."""
    from mina_webrtc.identity import ChainId

    match text.lower():
        case "devnet":
            return ChainId.DEVNET
        case "mainnet":
            return ChainId.MAINNET
    try:
        return ChainId.parse(text)
    except KeyFormatError as error:
        raise KeyFormatError(f"{error} (or say devnet or mainnet)") from None


def chain_of(text: str) -> ChainId:
    """The chain that `--chain` names."""
    try:
        return named_chain(text)
    except KeyFormatError as error:
        raise usage("--chain", error) from None


def address_of(text: str, option: str) -> DialAddress:
    """The dial address in `text`."""
    from mina_webrtc.wire.address import DialAddress

    try:
        return DialAddress.parse(text)
    except AddressError as error:
        raise usage(option, f"{text!r}: {error}") from None


def ice_of(
    servers: list[str] | None, relay_only: bool, udp_ports: str | None, interfaces: list[str] | None
) -> dict[str, Any]:
    """The settings of a `Config` about ICE that were given. TURN credentials may come from the environment: everybody
    on the machine can read arguments."""
    ports = None
    if udp_ports is not None:
        first, _, last = udp_ports.partition("-")
        if not (first.isdecimal() and (last or first).isdecimal()):
            raise usage("--udp-ports", f"{udp_ports!r} is not FIRST-LAST")
        ports = int(first), int(last or first)
    given = {
        "ice_servers": tuple(servers or ()),
        "turn_name": os.environ.get("MINA_WEBRTC_TURN_NAME"),
        "turn_password": os.environ.get("MINA_WEBRTC_TURN_PASSWORD"),
        "turn_secret": os.environ.get("MINA_WEBRTC_TURN_SECRET"),
        "relay_only": relay_only,
        "udp_ports": ports,
        "interfaces": tuple(interfaces or ()),
    }
    return {name: value for name, value in given.items() if value}


def config_of(file: Path | None = None, in_file: Collection[str] = (), **settings: Any) -> Config:
    """A `Config` of these settings; one that cannot work is a usage error that names its option, which is `--config`
    for those that stand in that file."""
    from mina_webrtc.config import Config

    try:
        return Config(**settings)
    except ConfigError as error:
        words = str(error).split(None, 1)
        if words[0].rstrip(":") in in_file:
            raise usage("--config", f"{file}: {error}") from None
        name = words[0].rstrip(":").replace("_", "-")
        option = {"external-ips": "--external-ip", "trusted-proxies": "--trusted-proxy", "ice-servers": "--ice-server"}
        option |= {"interfaces": "--interface", "seeds": "--seed", "seed-lists": "--seed-list"}
        raise usage(option.get(name, f"--{name}"), error) from None
