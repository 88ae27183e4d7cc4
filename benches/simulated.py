"""A simulated network for a virtual minute, in its own process: `python -m benches.simulated 100`, or `1000`.

Prints the figures as JSON. All times are CPU time, so that what else the machine does is not in them. A transition is
the store's, with the performing of its effects by the simulated shell; events per second hold everything, also the
examination of the invariants.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from statistics import quantiles

import psutil  # type: ignore[import-untyped]

from mina_webrtc.testing import Plan, Simulation

VIRTUAL_SECONDS = 60.0
SMALL = 100
"""So many nodes have room at one seed."""


def plan(nodes: int) -> Plan:
    """Every node of a small network wants half of 100 peers, or half of the others, and knows one seed. In a big one it
    wants ten, and three in a hundred nodes are seeds."""
    if nodes <= SMALL:
        return Plan(seed=1, nodes=nodes, min_peers=min(50, nodes // 2))
    return Plan(seed=1, nodes=nodes, seeds=3 * nodes // 100, min_peers=10)


def measure(nodes: int) -> dict[str, float]:
    """The figures."""
    process = psutil.Process()
    gc.collect()
    before = process.memory_info().rss
    simulation = Simulation(plan(nodes))
    times = simulation.measure()
    begin = time.process_time()
    simulation.run(VIRTUAL_SECONDS)
    took = time.process_time() - begin
    gc.collect()
    peers = sum(len(simulation.peers(number)) for number in range(nodes))
    cuts = quantiles(times, n=100)
    return {
        "sim_cpu_s": took,
        "sim_events_per_s": len(times) / took,
        "transition_p50_us": cuts[49] / 1000,
        "transition_p99_us": cuts[98] / 1000,
        "rss_per_peer_kib": (process.memory_info().rss - before) / 1024 / peers,
    }


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]))))
