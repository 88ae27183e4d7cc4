"""What must hold in every simulated network, after every step.

`Watch` follows the effects of one honest node and looks into its snapshot; `Agreement` compares the two ends of every
connection. Rogue nodes are not watched: they may do as they like, and nothing of it may show here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NoReturn

from mina_webrtc.identity import PeerId
from mina_webrtc.machines import vocab as v
from mina_webrtc.machines.keeping import Origin
from mina_webrtc.machines.peer import Success
from mina_webrtc.machines.state import State
from mina_webrtc.machines.vocab import Fault, Timer
from mina_webrtc.store import Name
from mina_webrtc.testing.debts import OF_CONNECTIONS, Turn, debts, turns_of
from mina_webrtc.testing.parts import StreamWatch
from mina_webrtc.testing.polls import CHANNELS, Polls
from mina_webrtc.testing.promises import Promises
from mina_webrtc.wire.channels import Channel

if TYPE_CHECKING:
    from mina_webrtc.testing.ends import End
    from mina_webrtc.testing.shell import SimNode

SLACK = 0.001
"""Seconds that an answer may be late by: what floating-point sums come to."""
RELAYING = (Channel.DISCOVERY, Channel.EXCHANGE)


class Violation(AssertionError):
    """A node broke an invariant; the message says which node, when, and what."""


class Watch:
    """One node. `thorough`: all of it is examined after every step, not just what the step concerned."""

    def __init__(self, node: SimNode, thorough: bool) -> None:
        self._node = node
        self._thorough = thorough
        self._opened: dict[int, float] = {}
        """By connection: when it has to be ready."""
        self.ready: dict[PeerId, int] = {}
        self.dials: dict[int, float] = {}
        self.requests: dict[int, float] = {}
        self._signals: dict[int, float] = {}
        self._owed: dict[int, tuple[State, frozenset[Name]]] = {}
        """Deadlines by connection, and the state that calls for them."""
        self._touched: set[int] = set()
        """Connections that were concerned by what has happened since all was examined."""
        self._others: dict[int, SimNode] = {}
        """Who is at the other end of a ready connection."""
        self._seeds: set[PeerId] = set()
        self._promises = Promises(node)
        self._polls = Polls()
        self.streams = StreamWatch(node)
        self._events: dict[type[v.Event], Callable[[Any], object]] = {
            v.AddressesGiven: self._given,
            v.DialRequested: self._dial,
            v.DialCancelled: lambda event: self.dials.pop(event.dial, None),
            v.RequestMade: self._request,
            v.RequestCancelled: lambda event: self.requests.pop(event.request, None),
            v.OfferReceived: self._offer,
            v.OfferWithdrawn: lambda event: self._signals.pop(event.signal, None),
            v.MessageReceived: self._heard,
            v.ItemHandled: self._polls.judged,
            v.StreamAsked: self.streams.asked,
            v.PartWanted: self.streams.wanted,
            v.StreamCancelled: self.streams.cancelled,
            v.PartMade: self.streams.made,
        }
        self._effects: dict[type[v.Effect], Callable[[Any], object]] = {
            v.CreateOffer: lambda effect: self._open(effect, node.settings.outgoing_timeout),
            v.CreateAnswer: lambda effect: self._open(effect, node.settings.incoming_timeout),
            v.CloseConnection: self._close,
            v.PeerReady: self._peer_ready,
            v.PeerClosed: self._peer_closed,
            v.DialSucceeded: self._dial_succeeded,
            v.DialFailed: lambda effect: self._once(self.dials, effect.dial, "dial"),
            v.CompleteRequest: lambda effect: self._once(self.requests, effect.request, "request"),
            v.FailRequest: lambda effect: self._once(self.requests, effect.request, "request"),
            v.Respond: self._respond,
            v.Send: self._send,
            v.HandleItem: self._judge,
            v.DeliverPart: lambda effect: self._right(self.streams.delivered(effect)),
            v.FailStream: lambda effect: self._right(self.streams.failed(effect)),
            v.OpenStream: lambda effect: self._right(self.streams.opened(effect)),
            v.PullPart: lambda effect: self._right(self.streams.pulled(effect)),
            v.CloseStream: lambda effect: self._right(self.streams.closed(effect)),
        }

    def stepped(self, event: v.Event, effects: Iterable[v.Effect]) -> None:
        """After a step. Raises `Violation`."""
        asked = self._events.get(type(event))
        if asked is not None:
            asked(event)
        told = self._effects
        for effect in effects:
            check = told.get(type(effect))
            if check is not None:
                check(effect)
        self._touched |= _touched(event, effects)
        due = self._node.store.deadline()
        if due is not None and due <= self._node.now:
            return  # the others that are due fire at this very moment
        for conn in self._touched:
            self._touch(conn)
        self._touched.clear()
        if self._thorough:
            self.examine()

    def examine(self) -> None:
        """The whole snapshot, and what is owed. Raises `Violation`."""
        node, opened = self._node, self._opened
        state = node.store.state()
        attempts = {entry["conn"] for entry in state["attempts"]}
        ready = {entry["conn"] for entry in state["ready"]}
        if attempts | ready != opened.keys():
            self._fail(f"open connections {list(opened)} in the books: {attempts | ready}")
        if node.ends.keys() != opened.keys():
            self._fail(f"transports {list(node.ends)} for connections {list(opened)}")
        if ready != set(self.ready.values()):
            self._fail("the ready peers that were told are not those in the books")
        for conn in opened:
            self._touch(conn)
        armed = node.store.armed()
        self._deadlines(state, armed, attempts)
        self._upkeep(state, armed)
        self._turns(state)
        self._right(self.streams.examine(state["ready"], node.now - SLACK))
        self._overdue()

    def _touch(self, conn: int) -> None:
        """One connection after a step that concerned it: what is owed on it has a live deadline."""
        node = self._node
        state = node.store.connection(conn)
        if (state is None) is (conn in self._opened) or (state is None) is (conn in node.ends):
            self._fail(f"connection {conn} is {state and type(state).__name__}, its transport {node.ends.get(conn)}")
        if state is None:
            self._owed.pop(conn, None)
            return
        kept = self._owed.get(conn)
        if kept is None or kept[0] is not state:
            kept = self._owed[conn] = (state, debts(state))
        least = node.now - SLACK
        for name in kept[1]:
            due = node.store.due(name)
            if due is None or due < least:
                self._fail(f"no live deadline: {name} at {due}")

    def settled(self) -> None:
        """Long after anything was asked: everything is answered. Raises `Violation`."""
        self.examine()
        self._must(not self.dials, f"dials that wait: {list(self.dials)}")
        self._must(not self.requests and not self._signals, "requests or offers without an answer")

    def _deadlines(self, state: dict[str, Any], armed: list[Name], attempts: set[int]) -> None:
        """Exactly those that are owed: what is over has none."""
        timed = {name for name in armed if name[0] in OF_CONNECTIONS}
        owed = {name for _, names in self._owed.values() for name in names}
        if timed != owed:
            self._fail(f"deadlines that nobody owes: {timed - owed}, or not armed: {owed - timed}")
        now = self._node.now - SLACK
        if any(self._opened[conn] < now for conn in attempts):
            self._fail(f"attempts that should be over, of {attempts}")
        yielding = any(timer is Timer.YIELD for timer, _, _ in armed)
        if state["dials"] and not yielding and not any(entry["outgoing"] for entry in state["attempts"]):
            self._fail(f"{state['dials']} dials wait for nothing")
        handling = sum(timer is Timer.ITEM_HANDLER for timer, _, _ in armed)
        if state["items"]["handling"] != handling:
            self._fail(f"{state['items']['handling']} items are being judged, with {handling} deadlines")

    def _upkeep(self, state: dict[str, Any], armed: list[Name]) -> None:
        """Who has room and no seed dials one, or will."""
        dialling = any(entry["outgoing"] for entry in state["attempts"])
        if not self._seeds or dialling or not self._seeds.isdisjoint(self.ready):
            return
        room = len(self.ready) < self._node.settings.max_peers
        if room and not any(timer in (Timer.UPKEEP, Timer.YIELD) for timer, _, _ in armed):
            self._fail("no seed is connected, and none will be dialled")

    def _turns(self, state: dict[str, Any]) -> None:
        """What is owed through a relay is in the books of those who owe it; nobody asks or is asked too much."""
        machines = [kept.parts for kept, _ in self._owed.values() if isinstance(kept, Success)]
        turns = Counter(turn for parts in machines for machine in parts for turn in turns_of(machine))
        books = {
            Turn.MAKE_OFFER: state["relayed"]["named"],
            Turn.ANSWER_OFFER: state["relayed"]["offers"],
        }
        for turn, count in books.items():
            if turns[turn] != count:
                self._fail(f"{turns[turn]} connections where we {turn.value}, {count} in the books")
        promises, told = state["introductions"]["promises"], turns[Turn.INTRODUCED]
        if not turns[Turn.DELIVER] <= promises <= turns[Turn.DELIVER] + told:  # a target may have gone meanwhile
            self._fail(f"{promises} promises, {told} askers who were told, {turns[Turn.DELIVER]} offers on their way")
        limit = self._node.settings.max_pending_requests
        if any(max(entry["asked"], entry["asking"]) > limit for entry in state["ready"]):
            self._fail(f"more than {limit} requests on a connection")

    def _overdue(self) -> None:
        now = self._node.now - SLACK
        for what in (self.dials, self.requests, self._signals):
            if what and min(what.values()) < now:
                self._fail(f"nobody has answered in time: {what}")

    # ------------------------------------------------------------ connections

    def _open(self, effect: v.CreateOffer | v.CreateAnswer, timeout: float) -> None:
        self._must(effect.conn not in self._opened, f"connection {effect.conn} was opened twice")
        self._opened[effect.conn] = self._node.now + timeout

    def _close(self, effect: v.CloseConnection) -> None:
        self._must(effect.conn in self._opened, f"connection {effect.conn} was closed and not open")
        del self._opened[effect.conn]

    def _given(self, event: v.AddressesGiven) -> None:
        self._seeds |= {known.address.peer for known in event.known if known.origin is Origin.CONFIGURED}

    def _peer_ready(self, effect: v.PeerReady) -> None:
        node = self._node
        self._must(effect.peer != node.id, "connected to itself")
        self._must(effect.peer not in self.ready, f"connected to {effect.peer} twice")
        self.ready[effect.peer] = effect.conn
        self._must(len(self.ready) <= node.settings.max_peers, f"{len(self.ready)} peers")
        end = node.ends.get(effect.conn)
        other = end.other if end is not None else None
        if other is not None:
            self._must(other.node.id == effect.peer, f"{effect.peer} is somebody else")
            self._others[effect.conn] = other.node

    def _peer_closed(self, effect: v.PeerClosed) -> None:
        conn = self.ready.pop(effect.peer, None)
        self._must(conn == effect.conn, f"{effect.peer} closed on connection {effect.conn}, was ready on {conn}")
        other = self._others.pop(effect.conn, None)
        blamed = other is not None and other.honest and effect.failure.fault is Fault.PEER
        self._must(not blamed, f"an honest peer is blamed for {effect.failure}")
        self._promises.closed(effect)
        self._polls.closed(effect)

    def _send(self, effect: v.Send) -> None:
        if effect.channel in RELAYING:
            self._right(self._promises.sent(effect))
        elif effect.channel in CHANNELS:
            self._right(self._polls.sent(effect))

    def _heard(self, event: v.MessageReceived) -> None:
        if event.channel in RELAYING:
            self._promises.heard(event)
        elif event.channel in CHANNELS:
            self._polls.heard(event)

    def _judge(self, effect: v.HandleItem) -> None:
        self._right(self._polls.judging(effect))

    # ------------------------------------------------------------ what is owed

    def _dial(self, event: v.DialRequested) -> None:
        self.dials[event.dial] = self._node.now + self._node.settings.outgoing_timeout

    def _request(self, event: v.RequestMade) -> None:
        self.requests[event.request] = self._node.now + event.timeout + self._node.settings.caution

    def _offer(self, event: v.OfferReceived) -> None:
        self._signals[event.signal] = self._node.now + self._node.settings.incoming_timeout

    def _dial_succeeded(self, effect: v.DialSucceeded) -> None:
        self._once(self.dials, effect.dial, "dial")
        self._must(self.ready.get(effect.peer) == effect.conn, f"dial {effect.dial} succeeded without its peer")

    def _respond(self, effect: v.Respond) -> None:
        if self._signals.pop(effect.signal, None) is None and effect.conn is not None:
            self._must(False, f"offer {effect.signal} was answered twice, or after it was withdrawn")

    def _once(self, owed: dict[int, float], number: int, what: str) -> None:
        self._must(owed.pop(number, None) is not None, f"{what} {number} was answered twice")

    def _right(self, wrong: str) -> None:
        if wrong:
            self._fail(wrong)

    def _must(self, holds: bool, otherwise: str) -> None:
        if not holds:
            self._fail(otherwise)

    def _fail(self, what: str) -> NoReturn:
        node = self._node
        raise Violation(f"node {node.host} at {node.network.clock.now:.3f} s: {what}")


def _touched(event: v.Event, effects: Iterable[v.Effect]) -> set[int]:
    """The connections that a step concerned."""
    conns = {getattr(effect, "conn", None) for effect in effects}
    conns.add(getattr(event, "conn", None))
    return {conn for conn in conns if conn}


class Agreement:
    """Both ends of a connection between honest nodes agree that it is there, or soon will.

    `patience` in seconds: as long as an end may take to notice that the other one is gone, or to become ready.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._since: dict[End, float] = {}

    def examine(self, nodes: Iterable[SimNode], now: float) -> None:
        """Raises `Violation` when two ends have disagreed for too long."""
        alone: dict[End, float] = {}
        for node in nodes:
            if node.watch is None or not node.alive:
                continue
            for peer, conn in node.watch.ready.items():
                end = node.ends[conn]
                if self._agreed(end):
                    continue
                since = alone[end] = self._since.get(end, now)
                if now - since > self._patience:
                    raise Violation(f"node {node.host} at {now:.3f} s: {peer} has not been there since {since:.3f} s")
        self._since = alone

    def _agreed(self, end: End) -> bool:
        other = end.other
        if other is None or other.closed:
            return False
        watch = other.node.watch
        return watch is None or watch.ready.get(end.node.id) == other.conn
