"""Many nodes in one process and in virtual time, the network between them, and what goes wrong there.

The same plan gives the same run, event by event, on either backend and in any process: chance comes from the plan's
seed, time from the simulation's clock.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from ipaddress import IPv4Address
from zlib import crc32

from msgspec import Struct

from mina_webrtc.config import Config, Limits
from mina_webrtc.identity import PeerId, SecretKey
from mina_webrtc.machines import vocab as v
from mina_webrtc.machines.chance import Chance
from mina_webrtc.testing.clock import Clock
from mina_webrtc.testing.faults import Broadcasts, Faults, Traffic
from mina_webrtc.testing.invariants import Agreement, Violation, Watch
from mina_webrtc.testing.items import VERDICTS, right
from mina_webrtc.testing.network import Distances, Network
from mina_webrtc.testing.plain import Plain
from mina_webrtc.testing.rogue import Rogue
from mina_webrtc.testing.shell import SimNode
from mina_webrtc.wire.address import DialAddress, Host, Http
from mina_webrtc.wire.channels import Channel, Topic
from mina_webrtc.wire.messages import Part, PartKind, Rpc

FIRST_HOST = int(IPv4Address("11.0.0.1"))
"""Simulated nodes have global addresses, or the policy of protocol.md §5 would not let anybody dial them."""
PORT = 3000
SPREADING = 8.0
"""Seconds in which items reach everybody in a small network."""
LOOK = 5.0
"""Seconds between two comparisons of all ends, and two examinations of nodes that are not examined at every step."""


class Plan(Struct, frozen=True, kw_only=True):
    """A simulation from its beginning. Times in virtual seconds."""

    seed: int = 0
    nodes: int = 8
    """Honest ones."""
    rogues: int = 0
    seeds: int = 1
    """So many of the first nodes are known to all others from the beginning."""
    unreachable: float = 0.0
    """Share of the honest nodes that have no signaling server; seeds always have."""
    unmarked: float = 0.0
    """Share of the honest nodes that lack this project's mark, as those of the reference do."""
    max_peers: int = 100
    min_peers: int = 0
    """Below this many a node looks for more."""
    faults: float = 0.0
    """Seconds between two faults on the average; 0: nothing goes wrong."""
    traffic: float = 0.0
    """Seconds between two deeds of applications or rogues; 0: nobody does anything."""
    items: float = 0.0
    """Seconds between two broadcasts; 0: nobody makes any, or wants them."""
    thorough: bool = False
    """Examine the whole node after every step; dear with many peers."""
    distances: Distances = Distances()


class Simulation:
    """A network. `step` and `run` raise `Violation` as soon as an invariant does not hold."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.clock = Clock()
        self.chance = Chance(plan.seed)
        self.network = Network(self.clock, Chance(self.chance.bits()), plan.distances)
        self.times: array[int] | None = None
        """Nanoseconds of every transition with its effects, once `measure` was called."""
        self.nodes: list[SimNode] = []
        """All of them, by number; a crashed one keeps its place until it is restarted."""
        self.trace = 0
        """A checksum of every event so far: equal runs have equal traces."""
        self.steps = 0
        self._busy = True
        """Until it calms down, applications are late at times."""
        longest = Config(secret_key=SecretKey.deterministic(0)).timeouts
        self._agreement = Agreement(longest.incoming + 2 * plan.distances.consent)
        for number in range(plan.nodes + plan.rogues):
            self.nodes.append(self._node(number))
        for node in self.nodes:
            node.start({})
        events = ((Faults, plan.faults), (Traffic, plan.traffic), (Broadcasts, plan.items))
        self._events = [kind(self, self.chance.bits(), every) for kind, every in events if every]
        self.clock.after(LOOK, self._look)

    @property
    def honest(self) -> list[SimNode]:
        """Those that are alive and honest."""
        return [node for node in self.nodes if node.alive and node.honest]

    # ------------------------------------------------------------ running

    def run(self, seconds: float) -> None:
        """So many seconds pass. Raises `Violation`."""
        self.clock.run(self.clock.now + seconds)

    def calm(self, seconds: float = 60.0) -> None:
        """Faults and traffic end, partitions heal, rogues are gone, and `seconds` pass. Raises `Violation` when
        an answer is still owed to an application after that."""
        self._busy = False
        for events in self._events:
            events.stop()
        self.network.heal()
        for node in self.nodes:
            if not node.honest and node.alive:
                node.crash()
        self.run(seconds)
        for node in self.honest:
            if node.watch is not None:
                node.watch.settled()

    def spread(self) -> bool:
        """All honest nodes broadcast, and `SPREADING` passes. Raises `Violation` when somebody who is connected to one
        of them, at first or second hand, has not judged its items; returns False when that cannot be said, because
        connections came or went meanwhile."""
        before, sent = self._edges(), dict[int, tuple[Channel, bytes]]()
        for number, node in enumerate(self.nodes):
            if number in before:
                # of best tips at the same time only one is sure to get everywhere
                channel = list(Topic)[1 + number % 3].channel if sent else Topic.BEST_TIP.channel
                sent[number] = channel, right(self.network.count())
                node.items.broadcast(*sent[number])
        self.run(SPREADING)
        if self._edges() != before:
            return False
        for group in self.groups():
            for number in group:
                expected = {sent[other] for other in group - {number}}
                missed = expected - self.nodes[number].items.judged
                if missed:
                    raise Violation(f"node {self.nodes[number].host} at {self.clock.now:.3f} s: missed {missed}")
        return True

    def _edges(self) -> dict[int, dict[PeerId, int]]:
        return {
            number: dict(node.watch.ready)
            for number, node in enumerate(self.nodes)
            if node.alive and node.watch is not None
        }

    def restart(self, node: SimNode) -> SimNode:
        """Starts a crashed node again: the same identity and address, and what was on its disk."""
        number = self.nodes.index(node)
        self.nodes[number] = fresh = self._node(number)
        fresh.lead = node.lead
        fresh.start(node.disk)
        return fresh

    def measure(self) -> array[int]:
        """From now on every transition with its effects is timed, in nanoseconds."""
        self.times = array("Q")
        for node in self.nodes:
            node.times = self.times
        return self.times

    # ------------------------------------------------------------ the graph

    def groups(self) -> list[set[int]]:
        """Numbers of the honest nodes that are alive, by who is connected to whom, at first or second hand."""
        left = {node.id: number for number, node in enumerate(self.nodes) if node.alive and node.honest}
        found = []
        while left:
            todo = [next(iter(left))]
            group = set()
            while todo:
                number = left.pop(todo.pop(), None)
                if number is not None:
                    group.add(number)
                    todo += self.peers(number)
            found.append(group)
        return found

    def peers(self, number: int) -> list[PeerId]:
        """Who is connected to a node."""
        watch = self.nodes[number].watch
        return list(watch.ready) if watch is not None else []

    # ------------------------------------------------------------ inside

    def _node(self, number: int) -> SimNode:
        plan = self.plan
        host = host_of(number)
        hidden = plan.seeds <= number < plan.nodes and self.chance.bits() / 2**64 < plan.unreachable
        config = Config(
            secret_key=SecretKey.deterministic(number),
            seeds=tuple(address(seed) for seed in range(min(plan.seeds, plan.nodes)) if seed != number),
            advertise=None if hidden else f"{host}:{PORT}",
            min_peers=min(plan.min_peers, plan.max_peers),
            limits=Limits(max_peers=plan.max_peers),
        )
        kind = Rogue if number >= plan.nodes else Plain if self._is_plain(number) else SimNode
        node = kind(self.network, host, config, self.chance.bits())
        node.times = self.times
        node.application.handler = self._handle
        node.application.maker = self._make
        node.application.appetite = self._hunger
        node.on_step = self._stepped
        if node.honest:
            node.watch = Watch(node, plan.thorough)
            node.items.judge = self._judge
        if plan.items:
            node.items.want(topic.channel for topic in Topic)
        return node

    def _is_plain(self, number: int) -> bool:
        """Also after a restart."""
        return Chance(self.plan.seed + number).bits() / 2**64 < self.plan.unmarked

    def _handle(self, kind: int, body: bytes) -> tuple[float, bytes | None]:
        """What every application answers: soon, late, too late; much, little, nothing."""
        draw = self.chance.below(16)
        if draw == 0:
            return 1000.0, b"late"
        if draw == 1:
            return 0.5, None
        return 0.01 * draw, bytes(200_000 if kind == Rpc.BLOCK and draw == 2 else 200)

    def _judge(self, channel: Channel, payload: bytes) -> tuple[float, bool | None]:
        """What every application thinks of an item: the same, soon or too late."""
        draw = self.chance.below(32)
        return (1000.0 if draw == 0 and self._busy else 0.01 * (draw % 8)), VERDICTS.get(payload[:1], False)

    def _make(self, state_hash: bytes, at: int) -> tuple[float, Part | None]:
        """Parts of a ledger with as many trees as its hash begins with: soon, and now and then too late or wrong."""
        draw = self.chance.below(32)
        if at >= 3 + state_hash[0] or draw == 0:
            return 0.0, None
        kind = PartKind(min(at + (draw == 1), 3))
        body = bytes((state_hash[0],)) + bytes(100_000 if draw == 2 else 100)
        return 1000.0 if draw == 3 else 0.01 * draw, Part(kind, body)

    def _hunger(self) -> float | None:
        """What every application does with a part: it wants the next one soon, late, too late, or no more."""
        draw = self.chance.below(16)
        return None if draw == 0 else 1000.0 if draw == 1 else 20.0 if draw == 2 else 0.02 * draw

    def _stepped(self, node: SimNode, event: v.Event, effects: Sequence[v.Effect]) -> None:
        self.steps += 1
        told = f"{node.host}{type(event).__name__}{len(effects)}"
        self.trace = crc32(told.encode(), self.trace)

    def _look(self) -> None:
        self._agreement.examine(self.nodes, self.clock.now)
        if not self.plan.thorough:
            for node in self.honest:
                if node.watch is not None:
                    node.watch.examine()
        self.clock.after(LOOK, self._look)


def host_of(number: int) -> str:
    """The IP address of a node."""
    return str(IPv4Address(FIRST_HOST + number))


def address(number: int) -> str:
    """Where a node is dialled."""
    return str(DialAddress(SecretKey.deterministic(number).peer_id, Http(Host.parse(host_of(number)), PORT)))


__all__ = ["Plan", "Simulation", "Violation"]
