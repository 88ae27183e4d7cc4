"""Configures coturn beside a node, and makes the time-limited credentials that nodes use with it.

python examples/coturn.py config --realm turn.example.com --ip 192.0.2.1 --cert cert.pem --key key.pem > turnserver.conf
python examples/coturn.py credentials turnserver.conf --name alice --hours 24
python examples/coturn.py rotate turnserver.conf       then restart coturn; the secret before this one stays valid
python examples/coturn.py check turnserver.conf        does the server that runs refuse those who show no credentials?
"""

from __future__ import annotations

import argparse
import os
import secrets
import socket
import sys
import time
from pathlib import Path
from urllib.parse import quote

from aioice import stun

from mina_webrtc.wire.ice_url import rest_credentials

PREFIX = "static-auth-secret="
KEPT = 2
"""Secrets in use at a time: the newest, first in the file, and the one before, for credentials made from it."""

TRIES = 3
"""Times that `check` asks, a second apart."""

TEMPLATE = """# TURN and STUN for peers of a Mina node.
# Ports to open: 3478 UDP and TCP, 5349 TCP (TLS), {ports[0]}-{ports[1]} UDP (relays).
listening-port=3478
tls-listening-port=5349
{addresses}
{external}realm={realm}
fingerprint
use-auth-secret
{PREFIX}{secret}
min-port={ports[0]}
max-port={ports[1]}
{tls}
# A relay must not lead into the network it stands in: no private, link-local or multicast address is relayed to.
no-multicast-peers
denied-peer-ip=0.0.0.0-0.255.255.255
denied-peer-ip=10.0.0.0-10.255.255.255
denied-peer-ip=100.64.0.0-100.127.255.255
denied-peer-ip=127.0.0.0-127.255.255.255
denied-peer-ip=169.254.0.0-169.254.255.255
denied-peer-ip=172.16.0.0-172.31.255.255
denied-peer-ip=192.168.0.0-192.168.255.255
denied-peer-ip=::-::1
denied-peer-ip=::ffff:0.0.0.0-::ffff:255.255.255.255
denied-peer-ip=64:ff9b::-64:ff9b::ffff:ffff
denied-peer-ip=fc00::-fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff
denied-peer-ip=fe80::-febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff
# Allocations per user (one for each relayed peer; six for each connection of the last 30 s) and in all.
user-quota=200
total-quota=4000
no-cli
no-dtls
"""


def config(given: argparse.Namespace) -> None:
    tls = f"cert={given.cert}\npkey={given.key}" if given.cert and given.key else "no-tls"
    addresses = "\n".join(f"{name}-ip={ip}" for name in ("listening", "relay") for ip in given.ip)
    external = f"external-ip={given.external_ip}/{given.ip[0]}\n" if given.external_ip else ""
    first, last = (int(port) for port in given.ports.split("-"))
    secret = secrets.token_urlsafe(32)
    values = {"addresses": addresses, "external": external, "realm": given.realm, "tls": tls, "ports": (first, last)}
    print(TEMPLATE.format(**values, PREFIX=PREFIX, secret=secret), end="")


def settings(file: Path) -> dict[str, str]:
    lines = file.read_text().splitlines()
    return dict(line.split("=", 1) for line in reversed(lines) if "=" in line)  # the first of a name counts


def credentials(given: argparse.Namespace) -> None:
    values = settings(given.file)
    expiry = int(time.time()) + int(given.hours * 3600)
    user, password = (quote(text, safe="") for text in rest_credentials(values[PREFIX[:-1]], given.name, expiry))
    host = given.host or values["realm"]
    print(f"stun:{host}:3478")
    for url in (f"turn:{user}:{password}@{host}:3478", f"turn:{user}:{password}@{host}:3478?transport=tcp"):
        print(url)
    if "cert" in values:
        print(f"turns:{user}:{password}@{host}:5349")


def rotate(given: argparse.Namespace) -> None:
    lines = given.file.read_text().splitlines()
    places = [number for number, line in enumerate(lines) if line.startswith(PREFIX)]
    if not places:
        sys.exit(f"{given.file} has no {PREFIX[:-1]}")
    lines.insert(places[0], PREFIX + secrets.token_urlsafe(32))
    for number in reversed(places[KEPT - 1 :]):
        del lines[number + 1]
    replace(given.file.resolve(), "\n".join(lines) + "\n")


def replace(file: Path, text: str) -> None:
    """Writes a file anew, at once, readable for whoever could read it before: coturn takes a file that it may not read
    for none at all, and then asks nobody for credentials."""
    before, fresh = file.stat(), file.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    try:
        fresh.touch(0o600, exist_ok=False)
        fresh.write_text(text)
        os.chown(fresh, before.st_uid, before.st_gid)
        fresh.chmod(before.st_mode & 0o777)  # after chown, which may take bits away
        fresh.replace(file)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        sys.exit(f"{file} is as before: its new version must have the same owner and group, and be in place ({error})")


def check(given: argparse.Namespace) -> None:
    """Asks for a relay as a stranger."""
    host = given.host or settings(given.file)["listening-ip"]
    request = stun.Message(stun.Method.ALLOCATE, stun.Class.REQUEST)
    request.attributes["REQUESTED-TRANSPORT"] = 17 << 24  # UDP
    family = socket.getaddrinfo(host, given.port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family[0], socket.SOCK_DGRAM) as sock:
        sock.connect(family[4])
        sock.settimeout(1)
        for _ in range(TRIES):
            try:
                sock.send(bytes(request))
                answer = stun.parse_message(sock.recv(2048))
            except (OSError, ValueError):
                continue
            if answer.error_code == 401:
                print(f"{host} wants credentials")
                return
            if answer.message_class is stun.Class.RESPONSE:
                sys.exit(f"{host} IS AN OPEN RELAY: stop it, and look whether it may read {given.file}")
            sys.exit(f"{host} answers with error {answer.error_code}")
    sys.exit(f"{host} does not answer")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("config", help="print a configuration with a new secret")
    command.set_defaults(run=config)
    command.add_argument("--realm", required=True, help="name of the server, as peers call it")
    command.add_argument("--ip", required=True, action="append", help="address of this machine; once more for IPv6")
    command.add_argument("--external-ip", help="public address, behind 1:1 NAT")
    command.add_argument("--cert", type=Path, help="certificate chain (PEM), for turns:")
    command.add_argument("--key", type=Path, help="private key (PEM) of --cert")
    command.add_argument("--ports", default="49152-65535", help="UDP ports of the relays")
    command = commands.add_parser("credentials", help="print ICE server URLs with credentials that expire")
    command.set_defaults(run=credentials)
    command.add_argument("file", type=Path)
    command.add_argument("--name", default="peer", help="for the server's log")
    command.add_argument("--hours", type=float, default=24)
    command.add_argument("--host", help="where the server is, if not at its realm")
    command = commands.add_parser("rotate", help="put a new secret first; the one before stays valid")
    command.set_defaults(run=rotate)
    command.add_argument("file", type=Path)
    command = commands.add_parser("check", help="exit 1 unless the running server refuses strangers")
    command.set_defaults(run=check)
    command.add_argument("file", type=Path)
    command.add_argument("--host", help="where the server is, if not at its first listening-ip")
    command.add_argument("--port", type=int, default=3478)
    given = parser.parse_args()
    given.run(given)


if __name__ == "__main__":
    main()
