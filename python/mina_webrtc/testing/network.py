"""What lies between simulated nodes: delays, signaling servers, peer connections, and what goes wrong with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from mina_webrtc.machines import vocab as v
from mina_webrtc.machines.chance import Chance
from mina_webrtc.testing.clock import Clock
from mina_webrtc.testing.ends import End

if TYPE_CHECKING:
    from mina_webrtc.testing.shell import SimNode
    from mina_webrtc.wire.signal import P2pConnectionResponse


class Distances(Struct, frozen=True, kw_only=True):
    """How long things take, in seconds."""

    nearest: float = 0.005
    """One way from a node to the middle of the network; it is drawn once for each node."""
    farthest: float = 0.080
    jitter: float = 0.2
    """Share by which a delay varies."""
    consent: float = 8.0
    """How long an end waits for the other before it calls the connection lost."""
    no_route: float = 10.0
    """How long it looks for a way to the other before it gives up."""
    retransmission: float = 0.2
    """How late what was held arrives once the way is whole again."""


class Exchange:
    """One HTTP request. `signal` is its number at the target, 0 before it has come there."""

    __slots__ = ("asker", "end", "over", "signal", "target")

    def __init__(self, asker: SimNode, end: End, target: SimNode) -> None:
        self.asker, self.end, self.target = asker, end, target
        self.signal = 0
        self.over = False


class Network:
    """Where nodes are found, by the text of their IP address, and how they reach each other."""

    def __init__(self, clock: Clock, chance: Chance, distances: Distances) -> None:
        self.clock = clock
        self.chance = chance
        self.distances = distances
        self.hosts: dict[str, SimNode] = {}
        self.ends: dict[str, End] = {}
        """Every open end by its ufrag."""
        self._sides: dict[str, int] = {}
        self._far: dict[str, float] = {}
        self._count = 0

    # ------------------------------------------------------------ ways

    def join(self, node: SimNode) -> None:
        """The node is there, at its address."""
        self.hosts[node.host] = node
        if node.host not in self._far:
            span = self.distances.farthest - self.distances.nearest
            self._far[node.host] = self.distances.nearest + span * self.chance.bits() / 2**64

    def delay(self, one: str, two: str) -> float:
        """How long something is under way now."""
        return self.chance.spread(self._far[one] + self._far[two], self.distances.jitter)

    def reachable(self, one: str, two: str) -> bool:
        """Whether a partition lies between the two."""
        sides = self._sides
        return not sides or sides.get(one) == sides.get(two)

    def count(self) -> int:
        """A number that was never there."""
        self._count += 1
        return self._count

    # ------------------------------------------------------------ faults

    def partition(self, sides: list[list[str]]) -> None:
        """From now on only hosts of one side reach each other."""
        self._sides = {host: number for number, hosts in enumerate(sides) for host in hosts}
        for end in list(self.ends.values()):
            if end.other is not None and not self.reachable(end.node.host, end.other.node.host):
                self._cut(end)

    def heal(self) -> None:
        """The partition is over: what survived it goes on, and what was held arrives."""
        self._sides = {}
        for end in list(self.ends.values()):
            held = end.held
            if held is None or end.other is None or end.other.closed:
                continue
            end.held = None
            for channel, chunks in held:
                self.carry(end, channel, chunks, self.distances.retransmission)

    def lose(self, end: End) -> None:
        """The connection is lost for good; each side finds out by itself."""
        for one in (end, end.other):
            if one is not None:
                self._cut(one)
                one.other = None

    def vanish(self, end: End) -> None:
        """The end's process has died: nobody says good-bye."""
        other = end.other
        self.drop(end)
        if other is not None and not other.closed:
            other.other = None
            self._cut(other)

    def _cut(self, end: End) -> None:
        if end.held is None and not end.closed:
            end.held = []
            wait = self.chance.spread(self.distances.consent, self.distances.jitter)
            self.clock.after(wait, self._consent_over, end, end.held)

    def _consent_over(self, end: End, held: list[tuple[int, tuple[bytes, ...]]]) -> None:
        if end.held is held and not end.closed:
            end.node.give(v.TransportFailed(end.conn, "lost", "the peer does not answer any more"))

    # ------------------------------------------------------------ connections

    def add(self, end: End) -> None:
        """An end was opened; it looks for the other for a while."""
        self.ends[end.ufrag] = end

    def drop(self, end: End) -> None:
        """An end is closed."""
        end.closed = True
        del self.ends[end.ufrag]

    def seek(self, end: End) -> None:
        """The end has its remote SDP: it finds the other one, if that one means it too, or gives up some time."""
        other = self.ends.get(end.remote)
        if other is not None and other.remote == end.ufrag and other.other is None and not other.closed:
            self._pair(end, other)
        else:
            self.clock.after(self.distances.no_route, self._no_route, end)

    def _no_route(self, end: End) -> None:
        if end.other is None and not end.up and not end.closed:
            end.node.give(v.TransportFailed(end.conn, "no_route", "no candidate pair works"))

    def _pair(self, one: End, two: End) -> None:
        if not self.reachable(one.node.host, two.node.host):
            for end in (one, two):
                self.clock.after(self.distances.no_route, self._no_route, end)
            return
        one.other, two.other = two, one
        for end, other in ((one, two), (two, one)):
            way = self.delay(end.node.host, other.node.host)
            now = self.clock.now
            end.arrival = now + 5 * way
            self.clock.at(now + 2 * way, self._report, end, v.IceConnected(end.conn))
            self.clock.at(now + 4 * way, self._secured, end, other)
            self.clock.at(end.arrival, self._opened, end)

    def _secured(self, end: End, other: End) -> None:
        if end.expected != other.fingerprint:
            self._report(end, v.TransportFailed(end.conn, "dtls", "the certificate is not the one announced"))
            return
        self._report(end, v.DtlsConnected(end.conn))

    def _opened(self, end: End) -> None:
        if end.closed or end.held is not None:
            return
        end.up = True
        end.node.opened(end)

    def _report(self, end: End, event: v.Event) -> None:
        if not end.closed and end.held is None:
            end.node.give(event)

    def carry(self, end: End, channel: int, chunks: tuple[bytes, ...], late: float = 0.0) -> None:
        """Chunks go to the other end, in order; no chunks: the channel was closed."""
        if end.held is not None:
            end.held.append((channel, chunks))
            return
        other = end.other
        if other is None or other.closed:
            return
        arrival = self.clock.now + self.delay(end.node.host, other.node.host) + late
        arrival = max(arrival, other.arrival)
        other.arrival = arrival
        self.clock.at(arrival, other.node.arrived, other, channel, chunks)

    def part(self, end: End) -> None:
        """An end closes, which the other one is told, if it can be."""
        other = end.other
        self.drop(end)
        if other is None or other.closed:
            return
        if end.held is not None or not self.reachable(end.node.host, other.node.host):
            self._cut(other)
            return
        arrival = max(other.arrival, self.clock.now + self.delay(end.node.host, other.node.host))
        gone = v.TransportFailed(other.conn, "closed_by_peer", "the peer closed the connection")
        self.clock.at(arrival, self._gone, other, gone)

    def _gone(self, end: End, event: v.Event) -> None:
        if not end.closed:
            end.node.give(event)

    # ------------------------------------------------------------ signaling

    def post(self, asker: SimNode, end: End, host: str, body: bytes, timeout: float) -> None:
        """An offer goes to the signaling server at `host`."""
        target = self.hosts.get(host)
        if target is None or not self.reachable(asker.host, host):
            self.clock.after(timeout, self._failed, end, "timeout", "no answer")
            return
        way = self.delay(asker.host, host)
        if not target.alive or not target.listens:
            self.clock.after(2 * way, self._failed, end, "refused", "nobody listens there")
            return
        exchange = Exchange(asker, end, target)
        end.node.exchanges[end.conn] = exchange
        # a connection takes a round trip before anything can be sent
        self.clock.after(3 * way, target.offered, exchange, body)

    def answer(self, exchange: Exchange, response: P2pConnectionResponse) -> bool:
        """The response goes back; False when nobody waits for it any more."""
        asker, end = exchange.asker, exchange.end
        if exchange.over or end.closed:
            return False
        exchange.over = True
        if self.reachable(asker.host, exchange.target.host):
            self.clock.after(self.delay(asker.host, exchange.target.host), asker.answered, end, response.to_json())
        return True

    def hang_up(self, exchange: Exchange) -> None:
        """The asker does not wait any more."""
        if not exchange.over:
            exchange.over = True
            way = self.delay(exchange.asker.host, exchange.target.host)
            self.clock.after(way, exchange.target.withdrawn, exchange)

    def break_off(self, exchange: Exchange) -> None:
        """The target's process has died with the request open."""
        if not exchange.over:
            exchange.over = True
            way = self.delay(exchange.asker.host, exchange.target.host)
            self.clock.after(way, self._failed, exchange.end, "closed", "the server closed the connection")

    def _failed(self, end: End, reason: str, detail: str) -> None:
        if not end.closed:
            end.node.give(v.SignalingFailed(end.conn, reason, detail))
