"""What a pair of NATs must come to, computed from how they behave (RFC 4787), and the cells of the matrix."""

from __future__ import annotations

from typing import NamedTuple

from tests.nat.servers import ICE_SERVERS


class Behaviour(NamedTuple):
    """RFC 4787 §4.1 and §5: whether one mapping serves every destination, who may send to it, whether UDP passes."""

    one_mapping: bool
    filter: str  # "none", "address" or "port": what must have been sent to before
    udp: bool = True
    public: bool = False


BEHAVIOURS = {
    "open": Behaviour(True, "none", public=True),
    "full": Behaviour(True, "none"),
    "address": Behaviour(True, "address"),
    "port": Behaviour(True, "port"),
    "symmetric": Behaviour(False, "port"),
    "blocked": Behaviour(False, "port", udp=False),
}
BEHAVIOURS6 = {
    "firewall": Behaviour(True, "port", public=True),
    "translated": Behaviour(False, "port"),
}
"""Of peers with IPv6 only."""


def kinds(servers: str) -> dict[str, Behaviour]:
    """What the cells with these servers are made of."""
    return BEHAVIOURS6 if servers.startswith("ipv6") else BEHAVIOURS


def expected(a: str, b: str, servers: str) -> str:
    """`direct`, `relayed` or `impossible` for clients behind NATs `a` and `b` that both use `servers`."""
    one, other = kinds(servers)[a], kinds(servers)[b]
    stun = "stun" in servers
    over_udp, over_tcp = servers.endswith("stun+turn"), servers in ("turn-tcp", "turn-tls")

    def known(peer: Behaviour) -> bool:
        """Its address that others see can be in its SDP."""
        return peer.udp and (peer.public or stun)

    def reaches(sender: Behaviour, target: Behaviour) -> bool:
        """The first packet gets in; then both know where the other is, and its NAT has a mapping for the answer."""
        if not (sender.udp and known(target) and target.one_mapping):
            return False
        if target.filter == "none":
            return True
        # the target's own check opens its NAT, if it knows where the sender's packets come from
        return known(sender) and (target.filter == "address" or sender.one_mapping)

    def relay(peer: Behaviour) -> bool:
        return over_tcp or (over_udp and peer.udp)

    if reaches(one, other) or reaches(other, one):
        return "direct"
    if relay(one) and relay(other):
        return "relayed"
    return "impossible"


class Cell(NamedTuple):
    """`a` dials `b`."""

    a: str
    b: str
    servers: str

    @property
    def name(self) -> str:
        return f"{self.a}-dials-{self.b}-{self.servers}"

    @property
    def expected(self) -> str:
        return expected(*self)


ALL = [Cell(a, b, servers) for servers in ICE_SERVERS for a in kinds(servers) for b in kinds(servers)]


def chosen() -> list[Cell]:
    """What is run for every change: every pair of NATs in both directions with STUN and TURN, all without IPv4, and the
    telling ones of the other servers."""
    others = [
        *(("open", "open", "none"), ("port", "open", "none"), ("open", "port", "none"), ("full", "full", "none")),
        *(("full", "full", "stun"), ("address", "symmetric", "stun"), ("symmetric", "address", "stun")),
        *(("port", "port", "stun"), ("symmetric", "port", "stun"), ("blocked", "full", "stun")),
        *(("blocked", "port", "turn-tcp"), ("blocked", "blocked", "turn-tcp"), ("symmetric", "open", "turn-tcp")),
        *(("blocked", "blocked", "turn-tls"), ("symmetric", "symmetric", "turn-tls"), ("open", "blocked", "turn-tls")),
    ]
    return [cell for cell in ALL if cell.servers == "stun+turn" or cell.servers.startswith("ipv6")] + [
        Cell(*other) for other in others
    ]
