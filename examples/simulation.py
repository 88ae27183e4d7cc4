"""A network in virtual time: it forms, is cut in two, heals, and one node asks all its peers for a block."""

from __future__ import annotations

from mina_webrtc.machines.vocab import CompleteRequest
from mina_webrtc.testing import Plan, Simulation
from mina_webrtc.wire.messages import Rpc

simulation = Simulation(Plan(seed=7, nodes=20, min_peers=8, unreachable=0.3))
simulation.run(60.0)
print(f"after a minute: {len(simulation.groups())} group")

hosts = [node.host for node in simulation.nodes]
simulation.network.partition([hosts[:10], hosts[10:]])
simulation.run(60.0)
print(f"cut in two: {len(simulation.groups())} groups")

simulation.network.heal()
for node in simulation.nodes:
    node.application.handler = lambda kind, body: (0.2, b"the block")  # 0.2 s later
simulation.run(60.0)
print(f"healed: {len(simulation.groups())} group")

answers: list[CompleteRequest] = []
asker = simulation.nodes[3]
asker.performers[CompleteRequest] = answers.append
for conn in asker.ends:
    asker.request(conn, Rpc.BLOCK, bytes(32), timeout=8.0)
simulation.run(1.0)
print(f"{len(answers)} of {len(simulation.peers(3))} peers have answered; {simulation.steps} events")
