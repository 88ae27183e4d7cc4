"""A node keeps itself connected: stories of several cores in virtual time."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from msgspec.structs import replace
from tests.machines.world import KEEPING, KEYS, Side, World, address, assert_clean, offer

from mina_webrtc.identity import SecretKey
from mina_webrtc.machines import vocab as v
from mina_webrtc.machines.keeping import Known, Origin
from mina_webrtc.machines.room import network
from mina_webrtc.machines.upkeep import MAX_ASKED, PATIENCE
from mina_webrtc.wire.address import DialAddress, Host, Http
from mina_webrtc.wire.messages import Rpc, RpcResponse, encode, encode_initial_peers


@pytest.fixture
def world() -> World:
    return World()


def seeded(side: Side, *seeds: int, port: int | None = None) -> None:
    known = [Known(address=address(index, port), origin=Origin.CONFIGURED) for index in seeds]
    side.give(v.AddressesGiven(tuple(known)))
    side.world.run()


def peers(side: Side) -> set[int]:
    ids = {state.link.peer for conn, state in side.store._peers._states.items() if conn in side.ready}
    return {index for index, key in enumerate(KEYS) if key.peer_id in ids}


def dialled(side: Side) -> list[float]:
    """When the side began to dial, counted from the beginning."""
    return [at - 1000.0 for at in side.dialled_at]


def test_without_seeds_a_node_joins_nothing(world: World) -> None:
    one, two = world.side(1), world.side(2)
    one.dial(2)
    world.run()
    two.give(v.CloseRequested(one.id))
    world.run()
    world.wait(3600)
    assert not one.ready
    assert one.store.deadline() is None


def test_a_seed_is_dialled_at_once_and_nobody_is_told_of_a_dial(world: World) -> None:
    one, _ = world.side(1, min_peers=3), world.side(2)
    seeded(one, 2)
    assert peers(one) == {2}
    (ready,) = one.told(v.PeerReady)
    assert ready.origin is Origin.CONFIGURED
    assert not one.told(v.DialSucceeded)
    world.wait(200)
    assert not one.told(v.FailRequest)
    assert_clean(one)


def test_a_seed_that_is_away_is_tried_again_and_again_but_not_too_often(world: World) -> None:
    one = world.side(1, min_peers=3)
    seeded(one, 2)
    world.wait(1000)
    moments = dialled(one)
    gaps = [after - before for before, after in pairwise(moments)]
    assert 24 <= gaps[0] <= 36
    assert all(24 <= gap <= 54 for gap in gaps)
    assert len(set(gaps)) == len(gaps)
    world.side(2)
    world.wait(60)
    assert peers(one) == {2}


def test_of_many_seeds_two_are_dialled_and_one_more_when_nobody_else_comes(world: World) -> None:
    one = world.side(1, min_peers=4)
    for index in range(2, 8):
        world.side(index)
    seeded(one, *range(2, 8))
    assert len(peers(one)) == 2
    world.wait(3600)
    assert dialled(one) == [0, 0, PATIENCE, 2 * PATIENCE]
    assert len(peers(one)) == 4


def test_a_few_addresses_are_dialled_at_a_time(world: World) -> None:
    one = world.side(1, min_peers=10, keeping=replace(KEEPING, max_dials=3))
    for indices in (range(2, 6), range(6, 10)):
        known = [Known(address=address(index), origin=Origin.DIALLED) for index in indices]
        one.give(v.AddressesGiven(tuple(known)))
        assert len(one.store.state()["attempts"]) == 3


def test_where_seeds_are_full_the_others_are_dialled_at_once(world: World) -> None:
    one = world.side(1, min_peers=4)
    for index in range(2, 8):
        world.side(index, max_peers=0 if index < 6 else 100)
    seeded(one, *range(2, 8))
    assert peers(one) == {6, 7}


def test_the_same_seed_of_chance_gives_the_same_run() -> None:
    runs = []
    for number in (1, 1, 2):
        world = World()
        one = world.side(1, min_peers=3, seed=number)
        seeded(one, 2)
        world.wait(600)
        runs.append(dialled(one))
    assert runs[0] == runs[1] != runs[2]


def test_a_peer_that_goes_away_is_dialled_again_after_a_rest(world: World) -> None:
    one, two = world.side(1, min_peers=3), world.side(2)
    one.dial(2)
    world.run()
    world.now += 500
    two.give(v.CloseRequested(one.id))
    world.run()
    assert not one.ready
    world.wait(23)
    assert not one.ready
    world.wait(14)
    assert peers(one) == {2}
    assert one.told(v.PeerReady)[-1].origin is Origin.DIALLED


def test_a_seed_that_has_not_noticed_the_loss_yet_is_dialled_until_it_does(world: World) -> None:
    """Being greater it answers `AlreadyConnected` as if it dialled us itself: we wait for that, and then try again."""
    one, two = world.side(1, min_peers=3), world.side(2)
    seeded(one, 2)
    (mine,), (theirs,) = one.ready, two.ready
    one.give(v.TransportFailed(mine, "lost", ""))
    world.lanes.clear()
    world.wait(40)
    assert len(dialled(one)) == 2
    assert [told.reason for told in two.told(v.OfferRejected)] == ["AlreadyConnected"]
    two.give(v.TransportFailed(theirs, "lost", ""))
    world.wait(40)
    assert peers(one) == {2}


def test_who_was_closed_by_the_application_is_left_alone_for_long(world: World) -> None:
    one, _ = world.side(1, min_peers=3), world.side(2)
    one.dial(2)
    world.run()
    one.give(v.CloseRequested(KEYS[2].peer_id))
    world.run()
    world.wait(470)
    assert not one.ready


def test_below_the_minimum_peers_are_asked_and_whom_they_name_is_dialled(world: World) -> None:
    seed, *_ = [world.side(index, min_peers=4) for index in (1, 2, 3, 4, 5)]
    for index in (2, 3, 4, 5):
        seed.dial(index)
        world.run()
    new = world.side(6, min_peers=3)
    seeded(new, 1)
    assert len(peers(new)) >= 3
    ready = new.told(v.PeerReady)
    assert [notice.origin for notice in ready][:3] == [Origin.CONFIGURED, Origin.LEARNT, Origin.LEARNT]
    learnt = [send for send in new.told(v.SendOffer) if send.learnt]
    assert len(learnt) == len(new.told(v.SendOffer)) - 1


def test_ten_nodes_that_know_one_neighbour_each_find_more_and_heal(world: World) -> None:
    nodes = [world.side(index, min_peers=4) for index in range(1, 11)]
    for index in range(10, 1, -1):
        seeded(nodes[index - 1], index - 1)
    world.wait(60)
    # the second has no way to learn of more than three: without relays, addresses travel towards those who dial
    assert all(len(peers(node)) >= min(4, node.index + 1) for node in nodes[1:])
    crash(world, 5)
    world.wait(60)
    assert all(len(peers(node) - {5}) >= 3 for node in nodes[1:] if node.index != 5)
    world.side(5)
    world.wait(60)
    assert 5 in peers(nodes[5])


def crash(world: World, index: int) -> None:
    side = world.sides.pop(index)
    for end in list(side.ends.values()):
        end.closed = True
        other = world.ends.get(end.remote or "")
        if other is not None and not other.closed:
            other.side.give(v.TransportFailed(other.conn, "lost", "crashed"))
    world.run()


def test_halves_that_were_apart_meet_through_a_seed_although_they_miss_nobody(world: World) -> None:
    nodes = [world.side(index, min_peers=1) for index in (1, 2, 3)]
    seeded(nodes[1], 1)
    nodes[2].dial(2)
    world.run()
    seeded(nodes[2], 1)
    assert peers(nodes[2]) == {1, 2}


def test_an_address_that_a_peer_claims_is_dialled_once_the_peer_is_gone(world: World) -> None:
    one, two = world.side(1, min_peers=1), world.side(2, advertised_port=3002)
    two.dial(1)
    world.run()
    two.give(v.CloseRequested(one.id))
    world.run()
    world.wait(40)
    assert peers(one) == {2}
    assert one.told(v.PeerReady)[-1].origin is Origin.CLAIMED
    assert one.told(v.SendOffer)[-1].learnt


def test_a_forged_offer_does_not_keep_us_from_dialling_that_peer(world: World) -> None:
    one, _ = world.side(1, min_peers=1), world.side(2)
    one.give(v.OfferReceived(900, offer(2, 1, name="forged"), "10.9.9.9", False))
    seeded(one, 2)
    assert peers(one) == {2}


def answer_with(side: Side, conn: int, body: bytes | None) -> None:
    (asked,) = [send for send in side.told(v.Send) if send.channel == 7 and send.conn == conn]
    assert asked.payload[0] == 0
    side.give(v.MessageReceived(conn, 7, encode(RpcResponse(1, body and Rpc.INITIAL_PEERS, body))))


def silent(world: World) -> Side:
    """A node with one ready peer that it has asked, and that has not answered."""
    one, two = world.side(1, min_peers=5), world.side(2)
    two.dial(1)
    while not one.told(v.PeerReady):
        world.deliver(next(iter(world.lanes)))
    world.lanes = {name: lane for name, lane in world.lanes.items() if lane[0][0] is one}
    world.run()
    world.lanes.clear()
    return one


def test_a_teller_is_believed_only_so_far(world: World) -> None:
    one = silent(world)
    many = [
        DialAddress(SecretKey.deterministic(100 + n).peer_id, Http(Host.parse(f"8.8.{n}.1"), 4000)) for n in range(40)
    ]
    answer_with(one, 1, encode_initial_peers(many, 100))
    assert one.store.state()["addresses"] == 32
    assert len(one.store.state()["attempts"]) == 3  # of the four that are missing, three may come through one teller


def test_a_peer_that_does_not_answer_is_not_asked_again(world: World) -> None:
    one = silent(world)
    world.wait(2000)
    assert len([send for send in one.told(v.Send) if send.channel == 7]) == 1
    assert not one.told(v.FailRequest)


def mute(side: Side) -> None:
    """It answers no request."""
    send = side._Send
    side._Send = lambda effect: None if effect.channel == 7 else send(effect)  # type: ignore[method-assign]


def test_two_peers_are_asked_at_a_time(world: World) -> None:
    one = world.side(1, min_peers=9)
    for index in (2, 3, 4, 5):
        mute(world.side(index))
        one.dial(index)
    world.run()
    assert len(one.ready) == 4
    assert len([send for send in one.told(v.Send) if send.channel == 7]) == MAX_ASKED


def test_an_answer_that_is_no_list_of_peers_is_a_breach(world: World) -> None:
    one = silent(world)
    answer_with(one, 1, b"\x05")
    assert not one.ready
    assert one.told(v.PeerClosed)[-1].failure.fault is v.Fault.PEER


def breach(world: World, one: Side) -> None:
    conn = one.ready[0]
    one.give(v.MessageReceived(conn, 0, b"again"))
    world.run()


def test_who_breaks_the_protocol_again_is_kept_out_for_a_while(world: World) -> None:
    one, two = world.side(1, min_peers=1), world.side(2)
    seeded(one, 2)
    breach(world, one)
    world.wait(800)
    assert peers(one) == {2}
    breach(world, one)
    assert one.told(v.PeerBanned) == [v.PeerBanned(two.id, 600.0)]
    two.dial(1)
    world.run()
    assert one.told(v.OfferRejected)[-1].reason == "Banned"
    one.dial(2)
    assert one.told(v.DialFailed)[-1].failure.reason == "banned"
    world.wait(590)
    assert not one.ready
    world.wait(150)
    assert peers(one) == {2}


def test_a_claimed_identity_does_not_suffer_for_strangers_but_their_source_does(world: World) -> None:
    one, two = world.side(1, keeping=replace(KEEPING, max_source_faults=3)), world.side(2)
    for number in range(3):
        one.give(v.OfferReceived(900 + number, replace(offer(2, 1), sdp="v=0"), "10.66.0.1", False))
    assert one.told(v.SourceBarred) == [v.SourceBarred("10.66.0.1", 600.0)]
    one.give(v.OfferReceived(950, offer(3, 1, name="honest"), "10.66.0.1", False))
    assert one.told(v.OfferRejected)[-1].reason == "SourceBarred"
    two.dial(1)
    world.run()
    assert peers(one) == {2}
    world.wait(601)
    one.give(v.OfferReceived(951, offer(3, 1, name="later"), "10.66.0.1", False))
    assert len(one.told(v.OfferRejected)) == 4


# ---------------------------------------------------------------- room


def full_house(world: World, hosts: dict[int, str], **changes: Any) -> Side:
    """Five places; guests come one second after another from their sources."""
    house = world.side(0, max_peers=5, **changes)
    for index, host in hosts.items():
        world.sources[index] = host
        world.side(index).dial(0)
        world.run()
        world.wait(1)
    return house


def test_above_four_fifths_one_of_the_most_crowded_network_goes_and_the_oldest_stay(world: World) -> None:
    house = full_house(world, {1: "10.1.0.1", 2: "10.2.0.1", 3: "10.66.0.1", 4: "10.66.0.2", 5: "10.3.0.1"})
    assert peers(house) == {1, 2, 3, 4, 5}
    world.wait(85)
    assert peers(house) == {1, 2, 3, 4, 5}
    world.wait(20)
    assert peers(house) == {1, 2, 3, 5}
    world.wait(300)
    assert peers(house) == {1, 2, 3, 5}
    assert house.told(v.PeerClosed)[-1].failure.reason == "room"
    assert house.store.deadline() is None


def test_sybils_take_the_places_of_sybils(world: World) -> None:
    house = full_house(world, {1: "10.1.0.1", 2: "10.2.0.1", 3: "10.66.0.1", 4: "10.66.0.2", 5: "10.66.0.3"})
    for index in range(6, 15):
        world.wait(120)
        world.sources[index] = f"10.66.1.{index}"
        world.side(index).dial(0)
        world.run()
    assert {1, 2, 3} <= peers(house)


def test_who_connects_again_in_time_pushes_out_nobody_from_elsewhere(world: World) -> None:
    house = full_house(world, {1: "10.1.0.1", 2: "10.2.0.1", 3: "10.3.0.1", 4: "10.66.0.1", 5: "10.66.0.2"})
    for _ in range(12):
        world.wait(40)
        for index in (4, 5):
            sybil = world.sides[index]
            if sybil.ready:
                sybil.give(v.CloseRequested(house.id))
                world.run()
            sybil.dial(0)
            world.run()
    assert {1, 2, 3} <= peers(house)


def test_a_new_network_has_its_time_also_when_two_of_it_come(world: World) -> None:
    house = full_house(world, {1: "10.1.0.1", 2: "10.2.0.1"})
    world.wait(200)
    for index in (3, 4, 5):
        world.sources[index] = f"10.66.0.{index}"
        world.side(index).dial(0)
        world.run()
    world.wait(85)
    assert peers(house) == {1, 2, 3, 4, 5}
    world.wait(20)
    assert peers(house) == {1, 2, 3, 4}


def test_a_peer_that_was_dialled_stays_when_its_own_offer_came_through(world: World) -> None:
    house = full_house(world, {1: "10.1.0.1", 2: "10.2.0.1", 3: "10.3.0.1", 4: "10.4.0.1"})
    world.sources[5] = "10.4.0.2"
    world.side(5)
    house.dial(5)
    world.sides[5].dial(0)  # its peer id is the greater one
    world.run()
    assert [ready.outgoing for ready in house.told(v.PeerReady)] == [False] * 5
    world.wait(300)
    assert 5 in peers(house)


def test_forged_offers_do_not_keep_a_seed_away(world: World) -> None:
    one = world.side(0, min_peers=2, max_peers=6)
    for index in (2, 3):
        world.side(index).dial(0)
        world.run()
    seeded(one, 1)
    world.side(1)
    for number in range(40):
        for index in range(4):
            forged = offer(5 + index, 0, name=f"forged {number} {index}")
            one.give(v.OfferReceived(1000 + 4 * number + index, forged, f"10.9.{index}.1", False))
        world.run()
        world.wait(15)
    assert 1 in peers(one)


def test_seeds_and_own_dials_are_never_dropped(world: World) -> None:
    house = world.side(0, max_peers=5)
    seeded(house, 1, port=1)
    for index in (2, 3, 4):
        world.side(index)
        house.dial(index)
        world.run()
    for index in (1, 5):
        world.sources[index] = "10.66.0.1"
        world.side(index).dial(0)
        world.run()
    world.wait(120)
    assert peers(house) == {1, 2, 3, 4}


def test_nobody_is_dropped_for_room_below_the_minimum(world: World) -> None:
    house = full_house(world, {index: f"10.{index}.0.1" for index in range(1, 6)}, min_peers=5)
    world.wait(300)
    assert len(peers(house)) == 5


def test_networks() -> None:
    assert network("10.1.2.3") == network("10.1.9.9") == network("::ffff:10.1.0.0") != network("10.2.2.3")
    assert network("2001:db8:1::1") == network("2001:db8:2::1") != network("2001:db9::1")
    assert network("relay") == "relay"
    assert network(None) == ""
