"""Whatever happens in whatever order: nobody above the maximum, one connection a peer, nothing left behind, every dial
answered once."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.machines.samples import EVENTS, HASH
from tests.machines.world import KEYS, Side, World, address, assert_clean, offer
from tests.machines.world import settings as node

from mina_webrtc.errors import LocalProtocolError
from mina_webrtc.machines import vocab as v
from mina_webrtc.machines.keeping import Known, Origin
from mina_webrtc.machines.peer import Success
from mina_webrtc.machines.vocab import Timer
from mina_webrtc.store import Store
from mina_webrtc.wire.address import DialAddress, Relayed
from mina_webrtc.wire.messages import Rpc

INDICES = (1, 2, 3, 4)
MAX_PEERS = 2
index = st.sampled_from(INDICES)


def check(side: Side) -> None:
    """What must hold at any moment."""
    peers, armed = side.store._peers, side.store._timers._armed
    ready = [state.link.peer for state in peers._states.values() if isinstance(state, Success)]
    assert len(ready) <= side.settings.max_peers
    assert len(ready) == len(set(ready))
    assert set(peers._states) == set(side.ends)
    attempts = {conn for conn, state in peers._states.items() if not isinstance(state, Success)}
    assert {conn for timer, conn, _ in armed if timer is Timer.ATTEMPT} == attempts
    assert {conn for timer, conn, _ in armed if timer is Timer.YIELD} == set(peers._dials._given_way)
    general = (Timer.YIELD, Timer.OFFER_MEMORY, Timer.UPKEEP, Timer.PAIRS, Timer.SEEK, Timer.ITEM_HANDLER)
    assert {conn for timer, conn, _ in armed if timer not in general} <= set(peers._states)
    assert all(count == 1 for count in side.gone.values())
    assert peers._admission.pending == sum(len(slot.incoming) for slot in peers._slots.values())
    assert peers._admission.pending <= side.settings.max_pending_incoming
    assert set(peers._signals.values()) <= attempts
    held = [conn for slot in peers._slots.values() for conn in (slot.ready, slot.outgoing, *slot.incoming)]
    assert sorted(conn for conn in held if conn is not None) == sorted(peers._states)
    upkeep = peers._upkeep
    assert not upkeep.stirred
    assert all(upkeep._armed is not None and upkeep._armed <= at for at in upkeep._moments(side.world.now))
    assert upkeep._room._since.keys() == set(peers._ready.values())
    assert upkeep._asked.keys() | upkeep._asking <= set(peers._ready.values())
    assert sorted(item.address.legacy() for item in upkeep.known) == sorted(
        address.legacy() for addresses in upkeep.known._of_peer.values() for address in addresses
    )
    relayed, ours = peers._relayed, peers._introductions
    assert {bid.relay for bid in relayed._bids.values()} <= set(peers._ready.values())
    assert relayed._bids.keys() <= attempts
    assert relayed._through.keys() <= peers._states.keys()
    assert relayed._polls.asked.keys() | relayed._polls.silent.keys() <= set(peers._ready.values())
    assert {*ours._askers, *ours._targets, *ours._target_of, *ours._asker_of} <= set(peers._ready.values())
    assert {target: asker for asker, target in ours._target_of.items()} == ours._asker_of
    for slot in peers._slots.values():
        assert not slot.empty
        assert not slot.dials or (slot.ready is None and (slot.outgoing is not None or slot.given_way is not None))


class Network(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.world = World()
        for which in INDICES:
            limits = {"max_peers": MAX_PEERS, "max_pending_incoming": 5, "max_pending_outgoing": 4}
            self.world.side(which, **limits, min_peers=which % 3, advertised_port=3000 + which)
        self.signals = 10_000
        self.cancelled: Counter[tuple[int, int]] = Counter()

    @rule(one=index, two=index)
    def dial(self, one: int, two: int) -> None:
        self.world.sides[one].dial(two)

    @rule(one=index, relay=index, two=index)
    def dial_through(self, one: int, relay: int, two: int) -> None:
        side = self.world.sides[one]
        side.dials += 1
        side.give(v.DialRequested(side.dials, DialAddress(KEYS[two].peer_id, Relayed(KEYS[relay].peer_id))))

    @rule(one=index, data=st.data())
    def cancel(self, one: int, data: st.DataObject) -> None:
        side = self.world.sides[one]
        if side.dials:
            side.give(v.DialCancelled(data.draw(st.integers(1, side.dials))))

    @rule(one=index, two=index)
    def close(self, one: int, two: int) -> None:
        self.world.sides[one].give(v.CloseRequested(KEYS[two].peer_id))

    @rule(one=index, frm=index, source=st.sampled_from(("10.0.0.1", "10.7.7.7", "::1")), name=st.integers(0, 3))
    def forge(self, one: int, frm: int, source: str, name: int) -> None:
        self.signals += 1
        forged = offer(frm, one, name=f"forged{name}")
        self.world.sides[one].give(v.OfferReceived(self.signals, forged, source, False))

    @rule(one=index, kind=st.sampled_from((Rpc.BLOCK, Rpc.INITIAL_PEERS)))
    def ask(self, one: int, kind: Rpc) -> None:
        side = self.world.sides[one]
        for conn in side.ready:
            self.signals += 1
            side.give(v.RequestMade(self.signals, conn, kind, HASH if kind is Rpc.BLOCK else b"", 8.0))

    @rule(one=index)
    def stream(self, one: int) -> None:
        side = self.world.sides[one]
        for conn in side.ready:
            self.signals += 1
            side.stream(self.signals, conn)

    @rule(one=index, data=st.data())
    def read_no_further(self, one: int, data: st.DataObject) -> None:
        side = self.world.sides[one]
        if side.streams:
            request = data.draw(st.sampled_from(sorted(side.streams)))
            side.give(v.StreamCancelled(side.streams[request], request))
            self.cancelled[one, request] += 1

    @precondition(lambda self: bool(self.world.lanes))
    @rule(data=st.data(), count=st.integers(1, 12))
    def deliver(self, data: st.DataObject, count: int) -> None:
        for _ in range(count):
            if self.world.lanes:
                self.world.deliver(data.draw(st.sampled_from(list(self.world.lanes))))

    @precondition(lambda self: bool(self.world.lanes))
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        del self.world.lanes[data.draw(st.sampled_from(list(self.world.lanes)))]

    @rule(one=index, two=index, port=st.sampled_from((None, 9)))
    def seed(self, one: int, two: int, port: int | None) -> None:
        known = Known(address=address(two, port), origin=Origin.CONFIGURED)
        self.world.sides[one].give(v.AddressesGiven((known,)))

    @rule(one=index, data=st.data())
    def misbehave(self, one: int, data: st.DataObject) -> None:
        side = self.world.sides[one]
        if side.ready:
            side.give(v.MessageReceived(data.draw(st.sampled_from(side.ready)), 7, b"\xff"))

    @rule(one=index, data=st.data())
    def break_off(self, one: int, data: st.DataObject) -> None:
        side = self.world.sides[one]
        if side.ends:
            conn = data.draw(st.sampled_from(sorted(side.ends)))
            side.give(v.TransportFailed(conn, "lost", "", data.draw(st.booleans())))

    @rule(seconds=st.sampled_from((0.5, 4.0, 16.0)))
    def wait(self, seconds: float) -> None:
        self.world.wait(seconds)

    @invariant()
    def holds(self) -> None:
        for side in getattr(self, "world", World()).sides.values():
            check(side)

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        self.world.run()
        self.world.wait(100)
        for side in self.world.sides.values():
            check(side)
            assert_clean(side)
            answers = Counter(done.dial for done in (*side.told(v.DialSucceeded), *side.told(v.DialFailed)))
            assert all(count == 1 for count in answers.values())
            requests = [*side.told(v.CompleteRequest), *side.told(v.FailRequest)]
            assert len({done.request for done in requests}) == len(requests)
            streams = [done.request for done in side.told(v.DeliverPart) if done.last]
            streams += [done.request for done in side.told(v.FailStream)]
            assert len(set(streams)) == len(streams)
            unread = {request for one, request in self.cancelled if one == side.index}
            assert set(streams) | unread == set(side.streams)
            assert not any(done.fault for done in side.told(v.CloseStream))
            ended = side.told(v.PeerClosed)
            assert len(side.told(v.PeerReady)) == len(ended) + len(side.ready)


TestNetwork = Network.TestCase
TestNetwork.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(sorted(EVENTS)), max_size=40), st.lists(st.integers(0, 3), max_size=6))
def test_any_events_raise_nothing_but_our_own_error_and_change_nothing_then(names: list[str], conns: list[int]) -> None:
    stores = [Store(node(3)), Store(node(3))]
    for number, name in enumerate(names):
        conn = conns[number % len(conns)] if conns else 1
        event = _of(EVENTS[name], conn, number)
        results = []
        for store in stores:
            before = store.state()
            try:
                results.append(store.dispatch(event, float(number)))
            except LocalProtocolError as error:
                results.append([str(error)])
                assert store.state() == before
        assert results[0] == results[1]  # the same events at the same times give the same effects
        assert stores[0].deadline() == stores[1].deadline()


def _of(event: v.Event, conn: int, number: int) -> v.Event:
    fields = {name: getattr(event, name) for name in event.__struct_fields__}
    changes = {name: value for name, value in (("conn", conn), ("dial", number), ("signal", number)) if name in fields}
    return type(event)(**(fields | changes))


@pytest.mark.parametrize("conn", [0, 5, -1])
def test_a_connection_that_never_was_is_our_bug(conn: int) -> None:
    with pytest.raises(LocalProtocolError, match="never was"):
        Store(node(3)).dispatch(v.IceConnected(conn), 0.0)
