"""Floods, replays, forged offers and the last free place: nobody is disturbed, nothing grows without bound."""

from __future__ import annotations

import pytest
from tests.machines.world import KEYS, Side, World, assert_clean, offer

from mina_webrtc.machines import admission
from mina_webrtc.machines import vocab as v
from mina_webrtc.machines.admission import source_key


@pytest.fixture
def world() -> World:
    return World()


def post(side: Side, frm: int, name: str, source: str = "10.9.9.9", signal: int = 0) -> v.Respond:
    """Posts an offer in the name of the node with key `frm`, and returns the answer if it comes at once."""
    side.give(v.OfferReceived(signal or 1000 + len(side.done), offer(frm, side.index, name=name), source, False))
    return side.told(v.Respond)[-1]


def link(one: Side, two: Side) -> None:
    one.dial(two.index)
    one.world.run()
    assert two.told(v.PeerReady)[-1].peer == one.id


@pytest.mark.parametrize(("forged", "runs"), [(1, False), (3, True)])
def test_a_forged_offer_does_not_disturb_a_ready_peer(world: World, forged: int, runs: bool) -> None:
    two, peer = world.side(2), world.side(forged)
    link(peer, two)
    two.done.clear()
    post_it = v.OfferReceived(900, offer(forged, 2, name="forged"), "10.9.9.9", False)
    two.give(post_it)
    assert bool(two.told(v.CreateAnswer)) is runs
    assert [notice.reason for notice in two.told(v.OfferRejected)] == ([] if runs else ["AlreadyConnected"])
    world.wait(31)  # nobody answers on it
    assert not two.told(v.PeerClosed)
    assert not peer.told(v.PeerClosed)
    assert len(two.ready) == 1
    assert_clean(two)


def test_a_greater_peer_that_comes_again_replaces_its_old_connection(world: World) -> None:
    """It has lost its memory; the old connection stands until the new one has authenticated."""
    two, three = world.side(2, max_peers=1), world.side(3)
    link(three, two)
    again = world.side(3)
    again.dials = 10
    world.ends = {name: end for name, end in world.ends.items() if end.side is two}
    again.store._peers._next_conn = 50
    again.dial(2)
    world.run()
    (closed,) = two.told(v.PeerClosed)
    assert (closed.replaced, closed.conn) == (True, 1)
    assert [notice.conn for notice in two.told(v.PeerReady)] == [1, 2]
    order = [type(effect) for effect in two.done if isinstance(effect, v.PeerClosed | v.PeerReady)]
    assert order == [v.PeerReady, v.PeerClosed, v.PeerReady]
    assert two.ready == [2]


def test_a_squatter_does_not_keep_the_real_peer_out(world: World) -> None:
    one, two = world.side(1), world.side(2)
    two.give(v.OfferReceived(900, offer(1, 2, name="forged"), "10.9.9.9", False))
    one.dial(2)
    world.run()
    assert one.ready
    assert [failed.failure.reason for failed in two.told(v.AttemptFailed)] == ["superseded"]


def test_a_second_offer_from_the_same_place_is_refused(world: World) -> None:
    two = world.side(2)
    two.give(v.OfferReceived(900, offer(1, 2, name="a"), "10.9.9.9", False))
    refused = post(two, 1, "b")
    assert refused.response.reason is not None
    assert refused.response.reason.value == "AlreadyConnected"


def test_a_replay_gets_no_second_connection(world: World) -> None:
    two = world.side(2)
    two.give(v.OfferReceived(900, offer(3, 2, name="a"), "10.9.9.9", False))
    assert post(two, 3, "a", "10.8.8.8").response.reason is not None
    assert [notice.reason for notice in two.told(v.OfferRejected)] == ["Replayed"]
    two.give(v.OfferWithdrawn(900))  # also when the first attempt is over already
    post(two, 3, "a", "10.8.8.8")
    assert [notice.reason for notice in two.told(v.OfferRejected)] == ["Replayed"] * 2
    world.wait(31)
    two.give(v.OfferReceived(901, offer(3, 2, name="a"), "10.9.9.9", False))
    assert len(two.told(v.CreateAnswer)) == 2


def test_the_memory_of_offers_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "MEMORY", 8)
    two = world.side(2)
    for number in range(40):
        two.give(v.OfferReceived(number, offer(3, 2, name=f"o{number}"), "10.9.9.9", False))
        two.give(v.OfferWithdrawn(number))
    assert two.store.state()["offers_remembered"] == 8
    assert two.store.state()["timers"] == 1
    world.wait(31)
    assert two.store.state()["offers_remembered"] == 0
    assert two.store.deadline() is None


def test_a_flood_from_one_source_is_capped_and_others_get_in(world: World) -> None:
    two = world.side(2)
    for number in range(10):
        two.give(v.OfferReceived(number, offer(4 + number, 2, name=f"o{number}"), "2001:db8::1", False))
    reasons = [notice.reason for notice in two.told(v.OfferRejected)]
    assert reasons == ["TooManyFromSource"] * 6
    assert all(respond.overloaded for respond in two.told(v.Respond))
    link(world.side(1), two)
    link(two, world.side(3))
    world.wait(31)
    post(two, 15, "late", "2001:db8::2")
    assert len(two.told(v.CreateAnswer)) == 4 + 1 + 1


def test_a_flood_from_everywhere_is_capped_and_we_still_dial(world: World) -> None:
    two = world.side(2, max_pending_incoming=4, max_peers=4)
    for number in range(10):
        two.give(v.OfferReceived(number, offer(4 + number, 2, name=f"o{number}"), f"10.1.1.{number}", False))
    assert [notice.reason for notice in two.told(v.OfferRejected)] == ["PeerCapacityFull"] * 6
    link(two, world.side(1))
    link(two, world.side(3))
    assert len(two.ready) == 2


def test_too_many_pending(world: World) -> None:
    two = world.side(2, max_pending_incoming=4)
    for number in range(5):
        two.give(v.OfferReceived(number, offer(4 + number, 2, name=f"o{number}"), f"10.1.1.{number}", False))
    assert [notice.reason for notice in two.told(v.OfferRejected)] == ["TooManyPending"]
    (respond,) = two.told(v.Respond)
    assert respond.overloaded
    assert respond.response.reason is not None
    assert respond.response.reason.value == "PeerCapacityFull"


def test_a_full_node_refuses_and_does_not_dial(world: World) -> None:
    one, two, three = world.side(1), world.side(2, max_peers=1), world.side(3)
    link(one, two)
    three.dial(2)
    world.run()
    (failed,) = three.told(v.DialFailed)
    assert (failed.failure.stage, failed.failure.reason) == (v.Stage.ANSWER, "PeerCapacityFull")
    two.dial(3)
    (failed,) = two.told(v.DialFailed)
    assert (failed.failure.stage, failed.failure.reason) == (v.Stage.READY, "capacity")
    one.give(v.CloseRequested(two.id))
    world.run()
    link(three, two)


def test_the_last_place_is_taken_once(world: World) -> None:
    """An offer was admitted to the last place, and so was a dial: whoever is ready first has it."""
    two = world.side(2, max_peers=1)
    one, three = world.side(1), world.side(3)
    one.dial(2)
    world.deliver(("gather", "1x1"))
    world.deliver(("http", "1x1"))
    two.dial(3)
    world.run()
    assert len(two.ready) == 1
    (failed,) = [*two.told(v.AttemptFailed)]
    assert (failed.failure.stage, failed.failure.reason) == (v.Stage.READY, "capacity")
    world.wait(60)
    for side in (one, two, three):
        assert_clean(side)


def test_sources() -> None:
    assert source_key("10.0.0.1") == "10.0.0.1"
    assert source_key("::ffff:10.0.0.1") == "10.0.0.1"
    assert source_key("2001:db8:0:1::5") == source_key("2001:db8:0:1:ffff::1")
    assert source_key("2001:db8:0:1::5") != source_key("2001:db8:0:2::5")
    assert source_key("fe80::1%eth0") == source_key("fe80::2")
    assert source_key("unix") == "unix"


def test_capacity_is_counted_by_peer(world: World) -> None:
    """A ready peer and an attempt beside it take one place together."""
    two, three = world.side(2, max_peers=2), world.side(3)
    link(three, two)
    two.give(v.OfferReceived(900, offer(3, 2, name="beside"), "10.9.9.9", False))
    link(world.side(1), two)
    assert len(two.ready) == 2


def test_addresses_are_kept_only_of_those_we_dialled(world: World) -> None:
    one, two, three = world.side(1), world.side(2), world.side(3)
    link(one, two)
    link(two, three)
    assert two.store.state()["addresses"] == 1
    assert [str(address.peer) for address in two.store._peers._upkeep.known.told_to(one.id, 9)] == [
        str(KEYS[3].peer_id)
    ]
    assert two.store._peers._upkeep.known.told_to(three.id, 9) == []
