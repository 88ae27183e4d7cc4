"""What goes wrong in a simulation, and what its applications do meanwhile: one seeded thing after another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mina_webrtc.machines import vocab as v
from mina_webrtc.machines.chance import Chance
from mina_webrtc.testing.items import VERDICTS
from mina_webrtc.testing.rogue import Rogue
from mina_webrtc.wire.address import DialAddress, Relayed
from mina_webrtc.wire.channels import Topic
from mina_webrtc.wire.messages import Rpc
from mina_webrtc.wire.streaming import PART_TIMEOUT

if TYPE_CHECKING:
    from mina_webrtc.testing.shell import SimNode
    from mina_webrtc.testing.simulation import Simulation

FORWARD = (0.5, 20.0, 3600.0)
"""Seconds that a clock steps by."""


class Events:
    """Things that happen every `every` seconds on the average; `stop` ends them."""

    def __init__(self, simulation: Simulation, seed: int, every: float) -> None:
        self.simulation = simulation
        self.chance = Chance(seed)
        self._every = every
        self._stopped = False
        self._plan()

    def stop(self) -> None:
        """No more of them."""
        self._stopped = True

    def happen(self) -> None:
        """The next one."""
        raise NotImplementedError

    def some(self, nodes: list[SimNode]) -> SimNode:
        """One of several."""
        return nodes[self.chance.below(len(nodes))]

    def _plan(self) -> None:
        self.simulation.clock.after(self.chance.spread(self._every, 0.9), self._next)

    def _next(self) -> None:
        if not self._stopped:
            self.happen()
            self._plan()


class Faults(Events):
    """Crashes and restarts, partitions, lost connections, clock steps."""

    def happen(self) -> None:
        deeds = (self._crash, self._restart, self._restart, self._partition, self._heal, self._lose, self._jump)
        deeds[self.chance.below(len(deeds))]()

    def _crash(self) -> None:
        alive = self.simulation.honest
        if len(alive) > 1:
            self.some(alive).crash()

    def _restart(self) -> None:
        dead = [node for node in self.simulation.nodes if not node.alive]
        if dead:
            self.simulation.restart(self.some(dead))

    def _partition(self) -> None:
        sides: list[list[str]] = [[], []]
        for node in self.simulation.nodes:
            sides[self.chance.below(2)].append(node.host)
        self.simulation.network.partition(sides)

    def _heal(self) -> None:
        self.simulation.network.heal()

    def _lose(self) -> None:
        ends = list(self.simulation.network.ends.values())
        if ends:
            self.simulation.network.lose(ends[self.chance.below(len(ends))])

    def _jump(self) -> None:
        self.some(self.simulation.nodes).jump(FORWARD[self.chance.below(len(FORWARD))])


class Traffic(Events):
    """What applications and rogues do: they dial, ask, change their minds, close."""

    def happen(self) -> None:
        alive = [node for node in self.simulation.nodes if node.alive]
        honest = self.simulation.honest
        if not honest:
            return
        node = self.some(alive)
        if isinstance(node, Rogue):
            node.act(honest)
            return
        deeds = (
            self._dial,
            self._dial_relayed,
            self._dial_astray,
            self._cancel,
            self._close,
            self._ask,
            self._ask,
            self._ask,
            self._stream,
        )
        deeds[self.chance.below(len(deeds))](node)

    def _one(self, numbers: list[int]) -> int:
        return numbers[self.chance.below(len(numbers))]

    def _dial(self, node: SimNode) -> None:
        other = self.some(self.simulation.nodes)
        if other.listens:
            node.dial(other.address)

    def _dial_relayed(self, node: SimNode) -> None:
        relay, target = self.some(self.simulation.nodes), self.some(self.simulation.nodes)
        node.dial(DialAddress(target.id, Relayed(relay.id)))

    def _dial_astray(self, node: SimNode) -> None:
        """The address of one under the name of another."""
        one, two = self.some(self.simulation.nodes), self.some(self.simulation.nodes)
        if one.listens:
            node.dial(DialAddress(two.id, one.address.method))

    def _cancel(self, node: SimNode) -> None:
        dials = list(node.watch.dials) if node.watch is not None else []
        if dials:
            node.give(v.DialCancelled(self._one(dials)))

    def _close(self, node: SimNode) -> None:
        node.give(v.CloseRequested(self.some(self.simulation.nodes).id))

    def _ask(self, node: SimNode) -> None:
        watch = node.watch
        if watch is None or not watch.ready:
            return
        conn = self._one(list(watch.ready.values()))
        kind = (Rpc.BLOCK, Rpc.BEST_TIP, Rpc.INITIAL_PEERS)[self.chance.below(3)]
        number = node.request(conn, kind, bytes(32) if kind is Rpc.BLOCK else b"", kind.timeout)
        if not self.chance.below(8) and number in watch.requests:
            node.give(v.RequestCancelled(conn, number))

    def _stream(self, node: SimNode) -> None:
        """A ledger of a few trees, or of none, which nobody has."""
        if node.watch is None or not node.watch.ready:
            return
        conn = self._one(list(node.watch.ready.values()))
        number = node.stream(conn, bytes((self.chance.below(5),)) + bytes(31), PART_TIMEOUT)
        if not self.chance.below(8):
            node.application.give_up(number)


class Broadcasts(Events):
    """Items of all kinds, from honest nodes right ones and such as lead nowhere, from rogues also wrong ones, which all
    of them may send together."""

    def happen(self) -> None:
        nodes = [node for node in self.simulation.nodes if node.alive]
        if not nodes:
            return
        node, topics = self.some(nodes), list(Topic)
        topic = topics[self.chance.below(len(topics))]
        kinds = [kind for kind, verdict in VERDICTS.items() if verdict is not False or not node.honest]
        payload = kinds[self.chance.below(len(kinds))] + b"%d " % self.simulation.network.count()
        if topic is Topic.BEST_TIP and not self.chance.below(4):
            payload += bytes(200_000)
        rogues = [other for other in nodes if not other.honest]
        together = VERDICTS[payload[:1]] is False and self.chance.below(2)
        for _ in range(1 if self.chance.below(64) else 40):
            for sender in rogues if together else [node]:
                sender.items.broadcast(topic.channel, payload)
            payload += b"."
