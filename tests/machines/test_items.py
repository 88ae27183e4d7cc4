"""Items go from peer to peer: each is examined once and handed on once, by who asks, as much as was asked for, and
within bounds (protocol.md §7, channels 3 to 6)."""

from __future__ import annotations

from collections import Counter
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.machines.world import KEYS, SPREADING, Side, World, assert_clean

from mina_webrtc.machines import vocab as v
from mina_webrtc.wire.channels import Channel, Topic
from mina_webrtc.wire.messages import (
    BestTip,
    GetItems,
    GetNext,
    Item,
    Message,
    WillSend,
    decode_message,
    encode_message,
)

ME, ONE, TWO, THREE = 3, 4, 5, 6
TX, TIP = Channel.TRANSACTION, Channel.BEST_TIP
TOPICS = [topic.channel for topic in Topic]


def star(world: World, *indices: int, wants: tuple[Channel, ...] = (TX,), **changes: Any) -> list[Side]:
    """All of them know the first one, and nobody else; all want items."""
    sides = [world.side(index, **changes) for index in indices]
    for side in sides:
        for channel in wants:
            side.give(v.ItemsWanted(channel))
    for side in sides[1:]:
        side.dial(indices[0])
        world.run()
    return sides


def broadcast(side: Side, payload: bytes, channel: Channel = TX) -> int:
    """Returns how many peers it goes to."""
    side.give(v.BroadcastMade(1, channel, sha256(payload).digest(), payload))
    return int(side.told(v.BroadcastPlaced)[-1].peers)


def handled(side: Side) -> list[bytes]:
    return [effect.payload for effect in side.told(v.HandleItem)]


def conn(side: Side, index: int) -> int:
    return next(peer["conn"] for peer in side.store.state()["ready"] if peer["peer"] == str(KEYS[index].peer_id))


def items(side: Side) -> dict[str, Any]:
    found: dict[str, Any] = side.store.state()["items"]
    return found


def sent(side: Side, to: int, channel: Channel = TX) -> list[Message]:
    payloads = [effect.payload for effect in side.told(v.Send) if (effect.conn, effect.channel) == (to, channel)]
    return [decode_message(channel, payload) for payload in payloads]


def say(side: Side, frm: int, *messages: Message, channel: Channel = TX) -> None:
    """The peer on connection `frm` says something."""
    for message in messages:
        side.give(v.MessageReceived(frm, channel, encode_message(channel, message)))


# ---------------------------------------------------------------- to everybody


@pytest.mark.parametrize("channel", TOPICS)
def test_a_broadcast_reaches_every_ready_peer_once_and_is_encoded_once(channel: Channel) -> None:
    world = World()
    me, *others = star(world, ME, ONE, TWO, THREE, wants=(channel,))
    me.done.clear()
    assert broadcast(me, b"item", channel) == 3
    world.run()
    assert [handled(other) for other in others] == [[b"item"]] * 3
    assert handled(me) == []
    payloads = [effect.payload for effect in me.told(v.Send) if effect.payload.endswith(b"item")]
    assert len(payloads) == 3
    assert len({id(payload) for payload in payloads}) == 1
    assert broadcast(me, b"item", channel) == 0  # it went out before


def test_who_is_at_the_far_end_gets_it_through_the_others() -> None:
    world = World()
    me, one, two = star(world, ME, ONE, TWO)
    assert broadcast(one, b"item") == 1
    world.run()
    assert handled(me) == handled(two) == [b"item"]
    assert me.told(v.HandleItem)[0].peer == one.id
    assert handled(one) == []  # it is not sent back
    assert items(me)["forwarded"] == 1


def test_an_item_that_comes_from_five_peers_is_examined_once_and_goes_to_the_sixth() -> None:
    world = World()
    me, *others = star(world, ME, 4, 5, 6, 7, 8, 9)
    me.examine = None
    for other in others[:5]:
        broadcast(other, b"item")
    world.run()
    assert handled(me) == [b"item"]
    assert items(me)["held"] == 1
    (asked,) = me.told(v.HandleItem)
    me.give(v.ItemHandled(asked.item, True))
    world.run()
    assert [handled(other) for other in others] == [[]] * 5 + [[b"item"]]
    assert items(me)["held"] == items(me)["held_bytes"] == 0
    for other in others:  # all are asked again
        assert broadcast(other, bytes(other.id)) == 1
    world.run()
    assert len(handled(me)) == 3
    assert items(me)["handling"] == SPREADING.max_handlers


def test_nobody_is_asked_for_what_the_application_does_not_want() -> None:
    world = World()
    me, one = star(world, ME, ONE, wants=())
    assert broadcast(me, b"item") == 1
    world.run()
    assert handled(one) == sent(me, 1) == []
    one.give(v.ItemsWanted(TX))
    world.run()
    assert handled(one) == [b"item"]
    assert me.told(v.Send)[-1].channel == TX
    one.give(v.ItemsWanted(TX))
    assert one.done[-1] == v.Ignored(0, "ItemsWanted")


def test_a_new_peer_gets_the_newest_best_tip_and_no_other() -> None:
    world = World()
    me, one = star(world, ME, ONE, wants=(TIP,))
    broadcast(me, b"old", TIP)
    broadcast(me, b"new", TIP)
    world.run()
    two = world.side(TWO)
    two.give(v.ItemsWanted(TIP))
    two.dial(ME)
    world.run()
    assert handled(one) == [b"old", b"new"]
    assert handled(two) == [b"new"]


def test_of_best_tips_that_wait_only_the_newest_is_sent() -> None:
    world = World()
    me, one = star(world, ME, ONE, wants=())
    for number in range(20):
        broadcast(me, bytes((number,)), TIP)
    one.give(v.ItemsWanted(TIP))
    world.run()
    assert handled(one) == [bytes((19,))]
    assert not me.told(v.ItemsDropped)


def test_what_a_peer_sends_is_not_sent_to_it_again_when_it_waits_there() -> None:
    world = World()
    me, one = star(world, ME, ONE)
    one.examine = None  # it does not ask again
    broadcast(me, b"first")
    world.run()
    broadcast(me, b"item")
    broadcast(one, b"item")
    world.run()
    (asked,) = one.told(v.HandleItem)
    one.give(v.ItemHandled(asked.item, True))
    world.run()
    assert handled(me) == []
    assert handled(one) == [b"first"]


# ---------------------------------------------------------------- judgement


def test_who_sends_what_is_refused_is_disconnected_and_blamed() -> None:
    world = World()
    me, one, two, three = star(world, ME, ONE, TWO, THREE)
    me.examine = None
    for other in (one, two):
        broadcast(other, b"bad")
    world.run()
    (asked,) = me.told(v.HandleItem)
    me.give(v.ItemHandled(asked.item, False))
    world.run()
    closed = me.told(v.PeerClosed)
    assert {effect.peer for effect in closed} == {one.id, two.id}
    assert {(effect.failure.reason, effect.failure.fault) for effect in closed} == {("bad_item", v.Fault.PEER)}
    assert me.store.state()["scored_peers"] == 2
    assert handled(three) == []
    assert items(me)["refused"] == 1
    broadcast(three, b"bad")  # who comes with it later is judged in the same way
    world.run()
    assert len(me.told(v.HandleItem)) == 2
    assert_clean(me)


@pytest.mark.parametrize(("min_peers", "max_peers"), [(3, 100), (0, 3)])
def test_many_are_disconnected_at_once_while_relays_are_asked_for_others(min_peers: int, max_peers: int) -> None:
    world = World()
    me, *others = star(world, ME, ONE, TWO, THREE, min_peers=min_peers, max_peers=max_peers)
    me.examine = None
    for other in others:
        broadcast(other, b"bad")
    world.run()
    me.give(v.ItemHandled(me.told(v.HandleItem)[0].item, False))
    world.run()
    assert len(me.told(v.PeerClosed)) == 3
    assert me.ready == []
    assert not me.ends
    assert me.store.state()["ready"] == []
    others[0].dial(ME)
    world.run()
    assert conn(me, ONE) in me.ready


def test_a_peer_is_blamed_once_for_an_item_that_it_sent_on_several_connections() -> None:
    world = World()
    me, one = star(world, ME, ONE)
    me.examine = None
    for _ in range(4):
        say(me, conn(me, ONE), WillSend(1), Item(b"bad"))
        one.give(v.CloseRequested(me.id))
        world.run()
        one.dial(ME)
        world.run()
    (asked,) = me.told(v.HandleItem)
    me.give(v.ItemHandled(asked.item, False))
    world.run()
    assert not me.told(v.PeerBanned)
    assert me.store.state()["scored_peers"] == 1


def test_a_sender_that_left_is_blamed_all_the_same() -> None:
    world = World()
    me, one = star(world, ME, ONE)
    me.examine = None
    broadcast(one, b"bad")
    world.run()
    one.give(v.CloseRequested(me.id))
    world.run()
    assert me.ready == []
    assert me.store.state()["scored_peers"] == 0
    me.give(v.ItemHandled(me.told(v.HandleItem)[0].item, False))
    assert me.store.state()["scored_peers"] == 1


def test_what_is_neither_right_nor_wrong_goes_nowhere_and_is_not_examined_again() -> None:
    world = World()
    me, one, two, three = star(world, ME, ONE, TWO, THREE)
    me.examine = lambda effect: None
    for other in (one, two):
        broadcast(other, b"item")
        world.run()
    assert handled(me) == [b"item"]
    assert handled(three) == []
    assert len(me.ready) == 3


def test_a_judgement_that_does_not_come_is_waited_for_no_longer() -> None:
    world = World()
    me, one, two = star(world, ME, ONE, TWO)
    me.examine = None
    broadcast(one, b"item")
    world.run()
    world.wait(me.settings.handler_timeout + 1)
    (asked,) = me.told(v.HandleItem)
    assert me.told(v.AbandonItem) == [v.AbandonItem(asked.item)]
    me.give(v.ItemHandled(asked.item, True))
    assert me.done[-1] == v.Ignored(0, "ItemHandled")
    assert handled(two) == []
    broadcast(one, b"next")
    world.run()
    assert handled(me) == [b"item", b"next"]


def test_an_item_without_a_name_is_dropped_and_its_sender_asked_again() -> None:
    world = World()
    me, one = star(world, ME, ONE)
    me._NameItem = lambda effect: me.local(v.ItemNamed(effect.item, None))  # type: ignore[method-assign]
    broadcast(one, b"one")
    broadcast(one, b"two")
    world.run()
    assert handled(me) == []
    assert items(me)["dropped"] == 2
    assert items(me)["held"] == 0
    me.give(v.ItemNamed(1, b"late"))
    assert me.done[-1] == v.Ignored(0, "ItemNamed")


def test_another_payload_under_the_same_name_brings_nobody_into_disrepute() -> None:
    world = World()
    me, one, two = star(world, ME, ONE, TWO)
    me._NameItem = lambda effect: me.local(v.ItemNamed(effect.item, b"same"))  # type: ignore[method-assign]
    me.examine = None
    broadcast(one, b"bad")
    world.run()
    broadcast(two, b"good")
    world.run()
    assert handled(me) == [b"bad"]
    me.give(v.ItemHandled(me.told(v.HandleItem)[0].item, False))
    world.run()
    assert [effect.peer for effect in me.told(v.PeerClosed)] == [one.id]
    me.examine = lambda effect: True
    broadcast(two, b"good again")
    world.run()
    assert handled(me) == [b"bad", b"good again"]


def test_the_application_may_broadcast_what_it_is_judging() -> None:
    world = World()
    me, one, two = star(world, ME, ONE, TWO)
    me.examine = None
    broadcast(one, b"item")
    world.run()
    assert broadcast(me, b"item") == 1
    me.give(v.ItemHandled(me.told(v.HandleItem)[0].item, True))
    world.run()
    assert handled(two) == [b"item"]


# ---------------------------------------------------------------- bounds


def test_a_peer_gets_what_it_asks_for_and_misses_the_oldest_when_it_does_not_ask() -> None:
    world = World()
    me, one = star(world, ME, ONE, wants=())
    payloads = [bytes((number,)) for number in range(12)]
    for payload in payloads:
        assert broadcast(me, payload) == 1
    assert me.told(v.ItemsDropped) == [v.ItemsDropped(1, one.id, TX)]  # once
    assert me.store.state()["ready"][0]["queued"] == SPREADING.max_queued
    me.done.clear()
    one.give(v.ItemsWanted(TX))
    world.run()
    assert handled(one) == payloads[-SPREADING.max_queued :]
    counts = [message.count for message in sent(me, 1) if isinstance(message, WillSend)]
    assert sum(counts) == SPREADING.max_queued
    assert max(counts) == SPREADING.batch
    one.examine = None
    for payload in range(12):
        broadcast(me, b"again" + bytes((payload,)))
        world.run()
    assert len(me.told(v.ItemsDropped)) == 1  # told again


def test_nothing_more_is_asked_for_before_all_is_judged() -> None:
    world = World()
    me, _ = star(world, ME, ONE)
    me.examine = None
    say(me, 1, WillSend(3), *[Item(bytes((number,))) for number in range(3)])
    assert len(me.told(v.HandleItem)) == SPREADING.max_handlers
    polls = sent(me, 1).count(GetItems(SPREADING.batch))
    for number in range(3):
        asked = me.told(v.HandleItem)[number]
        assert sent(me, 1).count(GetItems(SPREADING.batch)) == polls
        me.give(v.ItemHandled(asked.item, True))
    assert sent(me, 1).count(GetItems(SPREADING.batch)) == polls + 1


def test_items_beyond_what_may_wait_are_dropped() -> None:
    world = World()
    tight = replace(SPREADING, max_waiting=2)
    me, *_ = star(world, ME, ONE, TWO, spreading=tight)
    me.examine = None
    say(me, 1, WillSend(3), *[Item(bytes((number,))) for number in range(3)])
    assert items(me)["held"] == 2
    assert items(me)["dropped"] == 1
    for asked in me.told(v.HandleItem):
        me.give(v.ItemHandled(asked.item, None))
    say(me, 1, WillSend(1), Item(bytes((2,))))
    assert handled(me) == [bytes((number,)) for number in range(3)]  # it was not remembered as done with


def test_a_flood_of_one_kind_keeps_no_other_out() -> None:
    world = World()
    me, *_ = star(world, ME, ONE, wants=(TX, TIP), spreading=replace(SPREADING, max_waiting=4))
    me.examine = None
    say(me, 1, WillSend(4), *[Item(bytes((number,))) for number in range(4)])
    assert items(me)["handling"] == SPREADING.max_handlers
    say(me, 1, BestTip(b"block"), channel=TIP)
    assert handled(me)[-1] == b"block"
    assert items(me)["dropped"] == 0


def test_bytes_beyond_what_may_wait_are_dropped() -> None:
    world = World()
    tight = replace(SPREADING, max_waiting_bytes=100_000)
    me, *_ = star(world, ME, ONE, TWO, wants=(TIP,), spreading=tight)
    me.examine = None
    say(me, 1, BestTip(bytes(60_000)), channel=TIP)
    say(me, 2, BestTip(bytes(60_001)), channel=TIP)
    assert len(handled(me)) == 1
    assert items(me)["held_bytes"] == 60_000
    assert items(me)["dropped"] == 1
    assert len(me.ready) == 2


def test_ids_beyond_what_is_remembered_are_forgotten() -> None:
    world = World()
    me, *_ = star(world, ME, ONE, spreading=replace(SPREADING, memory=3))
    payloads = [bytes((number,)) for number in range(4)]
    say(me, 1, WillSend(4), *map(Item, payloads))
    assert items(me)["remembered"] == 3
    say(me, 1, WillSend(2), Item(payloads[3]), Item(payloads[0]))
    assert handled(me) == [*payloads, payloads[0]]


def test_a_peer_that_asks_and_does_not_read_gets_one_batch() -> None:
    world = World()
    me, _ = star(world, ME, ONE, wants=())
    me._Send = lambda effect: None  # type: ignore[method-assign]  # nothing leaves
    say(me, 1, GetItems(1))
    broadcast(me, b"one")
    broadcast(me, b"two")
    say(me, 1, GetItems(255))
    assert sent(me, 1) == [WillSend(1), Item(b"one")]
    me.give(v.MessagesSent(1, 2))
    assert sent(me, 1)[2:] == [WillSend(1), Item(b"two")]


# ---------------------------------------------------------------- misbehaviour


@pytest.mark.parametrize(
    ("channel", "messages"),
    [
        (TX, [WillSend(SPREADING.batch + 1)]),
        (TX, [WillSend(0)]),
        (TX, [Item(b"unannounced")]),
        (TX, [WillSend(1), WillSend(1)]),
        (TX, [WillSend(1), Item(b"one"), Item(b"two")]),
        (TX, [GetItems(0)]),
        (TX, [GetItems(1)]),
        (TIP, [BestTip(b"one"), BestTip(b"two")]),
        (TIP, [GetNext()]),
    ],
    ids=str,
)
def test_what_was_not_asked_for_ends_the_connection(channel: Channel, messages: list[Message]) -> None:
    world = World()
    me, _ = star(world, ME, ONE, wants=(TX, TIP))  # the peer has an open poll on both
    me.examine = None
    say(me, 1, *messages, channel=channel)
    (closed,) = me.told(v.PeerClosed)
    assert closed.failure.reason == "protocol_error"
    assert closed.failure.detail == f"message is unexpected for channel {channel}: {type(messages[-1]).__name__}"
    assert closed.failure.fault is v.Fault.PEER


def test_items_that_nobody_wants_are_not_taken() -> None:
    world = World()
    me, _ = star(world, ME, ONE, wants=())
    say(me, 1, WillSend(1))
    assert me.told(v.PeerClosed)[0].failure.reason == "protocol_error"


def test_announced_items_that_do_not_come_end_the_connection_and_nobody_is_blamed() -> None:
    world = World()
    me, _ = star(world, ME, ONE)
    say(me, 1, WillSend(2), Item(b"one"))
    world.wait(SPREADING.timeout - 1)
    assert me.ready
    world.wait(2)
    (closed,) = me.told(v.PeerClosed)
    assert (closed.failure.reason, closed.failure.fault) == ("stalled", v.Fault.NONE)
    assert me.store.state()["scored_peers"] == 0
    assert_clean(me)


# ---------------------------------------------------------------- whatever happens


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_in_any_order_everybody_judges_every_item_once(data: st.DataObject) -> None:
    world = World()
    count = data.draw(st.integers(2, 5))
    links = {(at, data.draw(st.integers(0, at - 1))) for at in range(1, count)}
    links |= data.draw(st.sets(st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)), max_size=4))
    sides = [world.side(4 + at) for at in range(count)]
    for side in sides:
        for channel in TOPICS:
            side.give(v.ItemsWanted(channel))
    for one, two in sorted(links):
        if one != two:
            sides[one].dial(4 + two)
            world.run()
    spread: Counter[tuple[int, bytes]] = Counter()
    for number in range(data.draw(st.integers(1, 6))):
        origin, channel = data.draw(st.integers(0, count - 1)), data.draw(st.sampled_from(TOPICS[1:]))
        payload = bytes((number,))
        broadcast(sides[origin], payload, channel)
        spread.update((at, payload) for at in range(count) if at != origin)
        for _ in range(data.draw(st.integers(0, 8))):
            if world.lanes:
                world.deliver(data.draw(st.sampled_from(list(world.lanes))))
    world.run()
    assert Counter((at, payload) for at, side in enumerate(sides) for payload in handled(side)) == spread
    assert not any(side.told(v.PeerClosed) for side in sides)
    assert all(items(side)["held"] == 0 for side in sides)
