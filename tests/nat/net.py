"""Network namespaces of our own: a public segment, and clients behind NATs of every kind (iptables on Linux).

    clientA 10.1.0.2 -- natA (10.1.0.1 | 203.0.113.1) -- [ public: 203.0.113.10 and .11 ] -- natB ... clientB
    clientA 192.168.77.1 ---------------- signaling ---------------- 192.168.77.2 clientB

Signaling has a link of its own, which the nodes are told not to use for peer connections. All names begin with a
prefix, so that many laboratories stand side by side.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TOOLS = ("ip", "iptables", "ip6tables", "conntrack", "turnserver")
PUBLIC = "203.0.113.10"
SECOND = "203.0.113.11"
SIX = "2001:db8::10"
_numbers = itertools.count()


def missing() -> str | None:
    """What keeps this machine from having namespaces and NATs, None when nothing does."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    absent = [tool for tool in TOOLS if shutil.which(tool) is None]
    return f"not installed: {', '.join(absent)} (make nat-setup)" if absent else None


def shell(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


class Space:
    """One network namespace."""

    def __init__(self, name: str) -> None:
        self.name = name
        shell("ip", "netns", "add", name)
        self.ip("link", "set", "lo", "up")

    def ip(self, *words: str) -> str:
        return shell("ip", "-n", self.name, *words)

    def run(self, *command: str) -> str:
        return shell("ip", "netns", "exec", self.name, *command)

    def rule(self, line: str, table: str = "filter") -> None:
        self.run("iptables", "-w", "-t", table, *line.split())

    def rule6(self, line: str, table: str = "filter") -> None:
        self.run("ip6tables", "-w", "-t", table, *line.split())

    def address(self, device: str, *addresses: str) -> None:
        for address in addresses:
            self.ip("addr", "add", address, "dev", device, *(["nodad"] if ":" in address else []))
        self.ip("link", "set", device, "up")

    def spawn(self, *command: str, **options: object) -> subprocess.Popen[str]:
        words = ["ip", "netns", "exec", self.name, *command]
        return subprocess.Popen(words, text=True, start_new_session=True, **options)  # type: ignore[call-overload, no-any-return]

    def remove(self) -> None:
        subprocess.run(["ip", "netns", "del", self.name], check=False, capture_output=True)


def link(a: Space, device_a: str, b: Space, device_b: str) -> None:
    shell("ip", "link", "add", device_a, "netns", a.name, "type", "veth", "peer", "name", device_b, "netns", b.name)


class Net:
    """The spaces of one laboratory; see the module. `a` and `b` are clients, `kinds` the NATs in front of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.prefix = f"mw{os.getpid()}x{next(_numbers)}"
        self.spaces: list[Space] = []
        self.public = self.space("pub")
        self.public.ip("link", "add", "br0", "type", "bridge")
        self.public.address("br0", f"{PUBLIC}/24", f"{SECOND}/24", f"{SIX}/64")
        # without a route for everything coturn cannot send to an address that is not its neighbour's
        self.public.ip("route", "add", "default", "via", "203.0.113.254")

    def space(self, name: str) -> Space:
        space = Space(f"{self.prefix}{name}")
        self.spaces.append(space)
        return space

    def signaling(self, a: Space, b: Space) -> None:
        link(a, "sig", b, "sig")
        a.address("sig", "192.168.77.1/24")
        b.address("sig", "192.168.77.2/24")

    def client(self, name: str, number: int, kind: str) -> Space:
        """A client behind a NAT of its own, with IPv4 only; of the kinds in `FIREWALLS` with IPv6 only."""
        if kind in FIREWALLS:
            return self._client6(name, number, kind)
        nat, client = self.space(f"nat{name}"), self.space(f"cli{name}")
        self.outside(nat, number)
        inside = f"198.51.100.{number * 16}" if kind == "open" else f"10.{number}.0.0"
        router, address = (inside.rpartition(".")[0] + f".{int(inside.rpartition('.')[2]) + n}" for n in (1, 2))
        link(nat, "int", client, "eth0")
        nat.address("int", f"{router}/28")
        client.address("eth0", f"{address}/28")
        client.ip("route", "add", "default", "via", router)
        if kind == "open":
            self.public.ip("route", "add", f"{inside}/28", "via", f"203.0.113.{number}")
        NATS[kind](nat, address)
        return client

    def _client6(self, name: str, number: int, kind: str) -> Space:
        nat, client = self.space(f"nat{name}"), self.space(f"cli{name}")
        self.outside(nat, number)
        link(nat, "int", client, "eth0")
        nat.address("ext", f"2001:db8::{number}/64")
        nat.address("int", f"2001:db8:{number}::1/64")
        client.address("eth0", f"2001:db8:{number}::2/64")
        for space in (nat, self.public):
            space.run("sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
        client.ip("route", "add", "default", "via", f"2001:db8:{number}::1")
        nat.ip("route", "add", "default", "via", SIX)
        self.public.ip("route", "add", f"2001:db8:{number}::/64", "via", f"2001:db8::{number}")
        FIREWALLS[kind](nat)
        return client

    def outside(self, nat: Space, number: int) -> None:
        link(nat, "ext", self.public, f"p{number}")
        nat.address("ext", f"203.0.113.{number}/24")
        self.public.ip("link", "set", f"p{number}", "master", "br0", "up")
        nat.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        # what a neighbour does not know goes through the public space
        nat.ip("route", "add", "default", "via", PUBLIC)
        self.public.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        # A dropped packet leaves no trace in conntrack: without this an early check from outside takes the port, and
        # the client's mapping gets another one.
        nat.rule("-A INPUT -i ext -j DROP")
        nat.rule("-P FORWARD DROP")

    def remove(self) -> None:
        for space in self.spaces:
            space.remove()


# ---------------------------------------------------------------- NATs (RFC 4787)


def _open(nat: Space, client: str) -> None:
    nat.rule("-A FORWARD -j ACCEPT")


def _masquerade(nat: Space, random: bool = False) -> None:
    nat.rule("-A FORWARD -i int -j ACCEPT")
    nat.rule("-A FORWARD -i ext -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT")
    # iptables keeps the port, so that the mapping is endpoint-independent, unless it is told to choose
    nat.rule("-A POSTROUTING -o ext -j MASQUERADE" + " --random-fully" * random, "nat")


def _full_cone(nat: Space, client: str) -> None:
    _masquerade(nat)
    nat.rule(f"-A PREROUTING -i ext -p udp -j DNAT --to-destination {client}", "nat")
    nat.rule("-A FORWARD -i ext -p udp -j ACCEPT")


def _address_restricted(nat: Space, client: str) -> None:
    nat.rule("-A FORWARD -i int -p udp -m recent --name asked --rdest --set")
    _masquerade(nat)
    known = "-m recent --name asked --rsource --rcheck"
    nat.rule(f"-A PREROUTING -i ext -p udp {known} -j DNAT --to-destination {client}", "nat")
    nat.rule(f"-A FORWARD -i ext -p udp {known} -j ACCEPT")


def _port_restricted(nat: Space, client: str) -> None:
    _masquerade(nat)


def _symmetric(nat: Space, client: str) -> None:
    _masquerade(nat, random=True)


def _blocked(nat: Space, client: str) -> None:
    nat.rule("-A FORWARD -p udp -j DROP")
    _masquerade(nat)


NATS = {
    "open": _open,
    "full": _full_cone,
    "address": _address_restricted,
    "port": _port_restricted,
    "symmetric": _symmetric,
    "blocked": _blocked,
}


def _firewall(nat: Space) -> None:
    nat.rule6("-A INPUT -i ext -p udp -j DROP")
    nat.rule6("-P FORWARD DROP")
    nat.rule6("-A FORWARD -i int -j ACCEPT")
    nat.rule6("-A FORWARD -i ext -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT")


def _translated(nat: Space) -> None:
    _firewall(nat)
    nat.rule6("-A POSTROUTING -o ext -j MASQUERADE --random-fully", "nat")


FIREWALLS = {"firewall": _firewall, "translated": _translated}
"""For IPv6: a stateful firewall, and one that also takes another port for each destination (NAT66)."""


@contextmanager
def laboratory(folder: Path) -> Iterator[Net]:
    net = Net(folder)
    try:
        yield net
    finally:
        net.remove()
