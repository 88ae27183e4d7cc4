"""`python -m tests.nat.matrix`: runs every cell and writes the table to docs/nat-matrix.md, with the commit."""

from __future__ import annotations

import subprocess
import sys
import time

from tests.nat.cells import ALL, Cell, kinds
from tests.nat.lab import Outcome, Pool
from tests.nat.net import missing
from tests.nat.servers import ICE_SERVERS, ROOT

PAGE = ROOT / "docs" / "nat-matrix.md"
TITLES = {
    "none": "No server",
    "stun": "STUN",
    "stun+turn": "STUN, and TURN over UDP",
    "turn-tcp": "TURN over TCP",
    "turn-tls": "TURN over TLS",
    "ipv6-none": "IPv6 only, no server",
    "ipv6-stun+turn": "IPv6 only, STUN, and TURN over UDP",
}
HEAD = """# What connects through which NATs

Written by `make nat-matrix` at commit `{commit}`: {cells} cells in {minutes:.0f} minutes, {right} as RFC 4787 says.

Rows dial columns. Two `mina-webrtc` processes, each in a network namespace behind a NAT made of iptables rules, coturn
between them; signaling has a link of its own. *open* is no NAT, *full* a full cone (endpoint-independent mapping and
filtering), *address* and *port* filter by the peer's address or address and port, *symmetric* takes another mapping for
each destination, *blocked* lets no UDP pass. Those with IPv6 only are behind a stateful *firewall*, or are *translated*
as by a symmetric NAT as well (NAT66); their server has no IPv4 relays. Times are from the dial to the first reply;
several cells ran at once.
"""


def table(servers: str, found: dict[Cell, Outcome]) -> str:
    """The cells of one set of servers."""
    names = kinds(servers)
    lines = [f"\n## {TITLES[servers]}\n", "| | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for a in names:
        row = [text(cell := Cell(a, b, servers), found[cell]) for b in names]
        lines.append(f"| **{a}** | " + " | ".join(row) + " |")
    return "\n".join(lines) + "\n"


def text(cell: Cell, outcome: Outcome) -> str:
    if outcome.result != cell.expected:
        return f"**{outcome.result}, not {cell.expected}**"
    if outcome.result == "impossible":
        return "impossible"
    return f"{outcome.result}, {outcome.seconds:.2f} s"


def main() -> int:
    if reason := missing():
        print(reason, file=sys.stderr)
        return 1
    pool, begin, found = Pool(), time.monotonic(), {}
    pool.begin(ALL)
    for number, cell in enumerate(ALL, 1):
        found[cell] = pool.outcome(cell)
        print(f"{number}/{len(ALL)} {cell.name}: {text(cell, found[cell])}", flush=True)
    pool.close()
    right = sum(outcome.result == cell.expected for cell, outcome in found.items())
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    minutes = (time.monotonic() - begin) / 60
    head = HEAD.format(commit=commit, cells=len(ALL), minutes=minutes, right=right)
    PAGE.write_text(head + "".join(table(servers, found) for servers in ICE_SERVERS))
    return 0 if right == len(ALL) else 1


if __name__ == "__main__":
    sys.exit(main())
