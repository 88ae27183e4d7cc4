"""Peers find each other through a third one: who is told of whom, what is passed on, and what happens when somebody
is slow, gone, full or dishonest (protocol.md §9)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace
from tests.machines.world import KEYS, Side, World, address, assert_clean, offer, wrap

from mina_webrtc.machines import introductions
from mina_webrtc.machines import vocab as v
from mina_webrtc.machines.vocab import Timer
from mina_webrtc.wire.address import DialAddress, Relayed
from mina_webrtc.wire.channels import Channel
from mina_webrtc.wire.messages import (
    Discover,
    Discovered,
    DiscoveredAccept,
    DiscoveredReject,
    GetNext,
    Message,
    OfferToYou,
    RelayedAnswer,
    decode_message,
    encode_message,
)
from mina_webrtc.wire.signal import EncryptedAnswer, EncryptedOffer

RELAY, ASKER, TARGET, THIRD = 3, 4, 5, 6
ONE, TWO = Channel.DISCOVERY, Channel.EXCHANGE


def through(target: int, relay: int = RELAY) -> DialAddress:
    return DialAddress(KEYS[target].peer_id, Relayed(KEYS[relay].peer_id))


def peers(side: Side) -> set[int]:
    """Who is connected, as indices."""
    keys = {str(key.peer_id): index for index, key in enumerate(KEYS)}
    return {keys[peer["peer"]] for peer in side.store.state()["ready"]}


def conn(side: Side, index: int) -> int:
    return next(peer["conn"] for peer in side.store.state()["ready"] if peer["peer"] == str(KEYS[index].peer_id))


def star(world: World, *indices: int, **changes: Any) -> list[Side]:
    """All of them know the relay, and nobody else."""
    relay = world.side(RELAY)
    sides = [world.side(index, **changes) for index in indices]
    for side in sides:
        side.dial(RELAY)
        world.run()
    return [relay, *sides]


def dial_through(side: Side, target: int, relay: int = RELAY) -> int:
    side.dials += 1
    side.give(v.DialRequested(side.dials, through(target, relay)))
    return side.dials


class Tap:
    """Changes messages on their way; what `change` returns takes their place, None for nothing."""

    def __init__(self, world: World, change: Callable[[Side, Message], Message | None]) -> None:
        self.world, self.change, self.seen = world, change, list[Message]()
        self._post = world.post
        world.post = self.post  # type: ignore[method-assign]

    def post(self, lane: Any, side: Side, event: v.Event, end: Any = None) -> None:
        if isinstance(event, v.MessageReceived) and event.channel in (ONE, TWO):
            message = decode_message(Channel(event.channel), event.payload)
            self.seen.append(message)
            changed = self.change(side, message)
            if changed is None:
                return
            event = replace(event, payload=encode_message(Channel(event.channel), changed))
        self._post(lane, side, event, end)


# ---------------------------------------------------------------- it works


def test_two_that_know_only_the_relay_find_each_other() -> None:
    world = World()
    relay, asker, target = star(world, ASKER, TARGET, min_peers=2)
    assert peers(asker) == {RELAY, TARGET}
    assert peers(target) == {RELAY, ASKER}
    one = next(side for side in (asker, target) if side.told(v.PeerReady)[-1].outgoing)
    other = target if one is asker else asker
    assert one.told(v.PeerReady)[-1].address == through(other.index)
    assert relay.store.state()["relayed"] == {"bids": 0, "named": 0, "offers": 0, "through": 0, "seeking": 0}
    for side in (relay, asker, target):
        assert_clean(side)


def test_everybody_who_wants_finds_everybody() -> None:
    world = World()
    sides = star(world, 4, 5, 6, 7, 8, min_peers=5)
    for side in sides:
        assert len(peers(side)) == 5
    assert sides[0].store.state()["introductions"]["pairs"] == 10


def test_the_relay_reads_neither_offer_nor_answer() -> None:
    world = World()
    seen: list[Message] = []
    relay, asker, target = star(world, ASKER, TARGET)
    Tap(world, lambda side, message: seen.append(message) or message)  # type: ignore[func-returns-value]
    dial_through(asker, TARGET)
    world.run()
    assert peers(asker) == {RELAY, TARGET}
    assert not relay.told(v.OpenOffer)
    assert not relay.told(v.OpenAnswer)
    kinds = [type(message) for message in seen]
    assert kinds == [
        *(Discover, Discovered, DiscoveredAccept, OfferToYou, RelayedAnswer, RelayedAnswer),
        *(GetNext, GetNext),  # the relay asks again on channel 1, the target on channel 2
        *(GetNext, GetNext, GetNext, GetNext),  # on the new connection
    ] or set(kinds) == {Discover, Discovered, DiscoveredAccept, OfferToYou, RelayedAnswer, GetNext}
    (accepted,) = [message for message in seen if isinstance(message, DiscoveredAccept)]
    (delivered,) = [message for message in seen if isinstance(message, OfferToYou)]
    assert delivered == OfferToYou(KEYS[ASKER].public_key, accepted.offer)
    assert target.told(v.OpenOffer)


def test_a_dial_through_a_relay() -> None:
    world = World()
    _, asker, target = star(world, ASKER, TARGET)
    dial = dial_through(asker, TARGET)
    world.run()
    assert asker.told(v.DialSucceeded)[-1] == v.DialSucceeded(dial, conn(asker, TARGET), target.id)


@pytest.mark.parametrize(("wanting", "dialling"), [(ASKER, TARGET), (TARGET, ASKER)])
def test_a_dial_through_a_relay_that_names_us_to_the_target_first(wanting: int, dialling: int) -> None:
    """A pair is introduced once: our own offer will not go, so the target's counts, whichever id is greater."""
    world = World()
    _, target = star(world, wanting, min_peers=2)
    asker = world.side(dialling)
    asker.dial(RELAY)
    while not asker.ready:
        world.deliver(next(iter(world.lanes)))
    dial = dial_through(asker, wanting)
    world.run()
    assert asker.told(v.DialSucceeded)[-1] == v.DialSucceeded(dial, conn(asker, wanting), target.id)
    for side in (asker, target):
        assert_clean(side)


def test_a_dial_waits_for_a_target_that_comes_later() -> None:
    world = World()
    _, asker = star(world, ASKER)
    dial = dial_through(asker, TARGET)
    world.run()
    world.wait(5)
    world.side(TARGET).dial(RELAY)
    world.run()
    assert asker.told(v.DialSucceeded)[-1].dial == dial


def test_a_dial_whose_target_the_relay_does_not_know_ends_in_time() -> None:
    world = World()
    relay, asker = star(world, ASKER)
    dial_through(asker, TARGET)
    world.run()
    world.wait(14.9)
    assert not asker.told(v.DialFailed)
    world.wait(0.2)
    (failed,) = asker.told(v.DialFailed)
    assert (failed.failure.stage, failed.failure.reason) == (v.Stage.SIGNALING, "timeout")
    world.side(TARGET, min_peers=0).dial(RELAY)
    world.run()
    assert peers(asker) == {RELAY}  # what the relay offers now is refused
    assert relay.store.state()["introductions"]["promises"] == 0
    assert_clean(asker)


def test_the_relay_must_be_a_connected_third_peer() -> None:
    world = World()
    _, asker = star(world, ASKER)
    for target, relay, reason in (
        (TARGET, TARGET, "bad_relay"),
        (TARGET, ASKER, "bad_relay"),
        (TARGET, THIRD, "relay_not_connected"),
    ):
        dial_through(asker, target, relay)
        assert asker.told(v.DialFailed)[-1].failure.reason == reason


# ---------------------------------------------------------------- who is told of whom


def test_nobody_is_introduced_who_wants_nobody() -> None:
    world = World()
    relay, asker, _ = star(world, ASKER, TARGET)
    assert peers(asker) == {RELAY}
    assert relay.store.state()["introductions"] == {"askers": 0, "targets": 2, "promises": 0, "pairs": 0}


def test_no_more_relays_are_asked_at_a_time_than_peers_are_missing() -> None:
    world = World()
    asker = world.side(ASKER, min_peers=4)
    for index in (RELAY, 7, 8):
        world.side(index)
        asker.dial(index)
        world.run()
    # when the third came one was missing, and two had been asked
    assert [side.store.state()["introductions"]["askers"] for side in world.sides.values()] == [0, 1, 1, 0]
    assert asker.store.state()["relayed"]["seeking"] == 2
    world.wait(1.0)  # who knows nobody does not keep us from asking others
    assert [side.store.state()["introductions"]["askers"] for side in world.sides.values()] == [0, 1, 1, 1]
    world.wait(1.0)
    assert Timer.SEEK not in {timer for timer, _, _ in asker.store.armed()}
    world.side(TARGET).dial(8)
    world.run()
    assert peers(asker) == {RELAY, TARGET, 7, 8}


def test_an_asker_that_refuses_is_left_alone_longer_each_time_until_it_makes_an_offer() -> None:
    world = World()
    relay, asker = star(world, ASKER)
    seen = Tap(world, lambda side, message: message).seen
    for index, rest in ((7, 5.0), (8, 10.0), (9, 20.0), (10, 40.0), (11, 60.0), (12, 60.0)):
        _refuse(world, asker, index)
        state = relay.store.state()["introductions"]
        assert (state["targets"], state["promises"]) == (len(peers(relay)), 0)  # the target is free for others
        polls = sum(isinstance(message, GetNext) for message in seen)
        world.wait(rest - 0.1)
        assert sum(isinstance(message, GetNext) for message in seen) == polls
        world.wait(0.2)
        assert sum(isinstance(message, GetNext) for message in seen) == polls + 1
    world.side(TARGET)
    dial_through(asker, TARGET)
    world.sides[TARGET].dial(RELAY)
    world.run()
    assert peers(asker) == {RELAY, TARGET}
    _refuse(world, asker, 13)
    seen.clear()
    world.wait(5.1)
    assert any(isinstance(message, GetNext) for message in seen)


def _refuse(world: World, asker: Side, target: int) -> None:
    """The asker has its minimum; a dial that waits for somebody else makes it ask."""
    dial = dial_through(asker, THIRD)
    world.run()
    world.side(target).dial(RELAY)
    world.run()
    assert target not in peers(asker)
    asker.give(v.DialCancelled(dial))


def test_a_pair_is_introduced_once_in_ten_minutes() -> None:
    world = World()
    relay, asker, target = star(world, ASKER, TARGET, min_peers=2)
    asker.give(v.CloseRequested(target.id))
    world.run()
    assert peers(asker) == {RELAY}
    world.wait(599)
    assert peers(asker) == {RELAY}
    world.wait(2)
    assert peers(asker) == {RELAY, TARGET}
    assert relay.store.state()["introductions"]["pairs"] == 1


def test_the_memory_of_pairs_is_bounded_and_the_oldest_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(introductions, "PAIRS", 3)
    pairs = introductions.Pairs(memory=600.0)
    ids = [key.peer_id for key in KEYS[1:6]]
    for now, other in enumerate(ids[1:]):
        pairs.remember(ids[0], other, float(now))
    assert len(pairs) == 3
    assert [(other, ids[0]) in pairs for other in ids[1:]] == [False, True, True, True]
    assert pairs.deadline == 601.0


def test_no_target_is_promised_twice() -> None:
    world = World()
    relay, *sides = star(world, 4, 5, 6, 7)
    Tap(world, lambda side, message: None if isinstance(message, Discovered) else message)
    for side in sides[:3]:
        dial_through(side, 7)
        world.run()
    state = relay.store.state()["introductions"]
    promises = relay.store._peers._introductions._target_of
    assert len(set(promises.values())) == len(promises)
    assert state["promises"] + state["targets"] == 4


def test_a_full_node_takes_no_offers_until_there_is_room() -> None:
    world = World()
    relay, asker = star(world, ASKER, min_peers=2)
    full = world.side(TARGET, max_peers=2)
    world.side(THIRD)
    full.dial(THIRD)
    world.run()
    full.dial(RELAY)
    world.run()
    assert relay.store.state()["introductions"]["targets"] == 1  # the asker itself
    full.give(v.CloseRequested(KEYS[THIRD].peer_id))
    world.run()
    assert peers(asker) == {RELAY, TARGET}


def test_no_relay_surrounds_a_node() -> None:
    world = World()
    sides = star(world, 4, 5, 6, 7, 8, min_peers=5, max_through_relay=2)
    for side in sides[1:]:
        assert side.store.state()["relayed"]["through"] <= 2 * len(peers(side))
        counts = side.store._peers._relayed._counts
        assert all(count <= 2 for count in counts.values())


# ---------------------------------------------------------------- slow and gone


def test_a_target_that_does_not_answer() -> None:
    world = World()
    relay, asker, _ = star(world, ASKER, TARGET)
    tap = Tap(world, lambda side, message: None if isinstance(message, OfferToYou) else message)
    dial_through(asker, TARGET)
    world.run()
    world.wait(9.9)
    assert RelayedAnswer(None) not in tap.seen
    world.wait(0.2)
    assert RelayedAnswer(None) in tap.seen
    assert asker.told(v.DialFailed)[-1].failure.reason == "no_answer"
    assert relay.store.state()["introductions"]["promises"] == 0
    assert_clean(asker)


def test_an_answer_that_comes_too_late_for_the_relay() -> None:
    world = World()
    held: list[bytes] = []
    relay, asker, target = star(world, ASKER, TARGET)

    def hold(side: Side, message: Message) -> Message | None:
        late = side is relay and (isinstance(message, RelayedAnswer) or bool(held))
        if late:
            held.append(encode_message(TWO, message))
        return None if late else message

    Tap(world, hold)
    dial_through(asker, TARGET)
    world.run()
    world.wait(10)
    assert asker.told(v.DialFailed)[-1].failure.reason == "no_answer"
    for late in held:
        relay.give(v.MessageReceived(conn(relay, TARGET), TWO, late))
    assert relay.store.ignored["RelayedAnswer"] == 1
    assert peers(relay) == {ASKER, TARGET}
    assert relay.store.state()["introductions"]["targets"] == 2
    world.wait(30)
    assert_clean(target)


def test_a_target_that_goes_away_with_the_offer() -> None:
    world = World()
    _, asker, target = star(world, ASKER, TARGET)
    tap = Tap(world, lambda side, message: None if isinstance(message, OfferToYou) else message)
    dial_through(asker, TARGET)
    world.run()
    target.give(v.CloseRequested(KEYS[RELAY].peer_id))
    world.run()
    assert tap.seen.count(RelayedAnswer(None)) == 1
    assert asker.told(v.DialFailed)[-1].failure.reason == "no_answer"


def test_a_target_that_goes_away_before_the_offer() -> None:
    world = World()
    relay, asker, target = star(world, ASKER, TARGET)
    dial_through(asker, TARGET)
    while not relay.store.state()["introductions"]["promises"]:
        world.deliver(next(iter(world.lanes)))
    relay.give(v.TransportFailed(conn(relay, TARGET), "lost", ""))
    world.run()
    assert asker.told(v.DialFailed)[-1].failure.reason == "no_answer"
    assert peers(relay) == {ASKER}
    assert not target.ready


@pytest.mark.parametrize("stop", [Discovered, DiscoveredAccept, OfferToYou])
def test_a_relay_that_goes_away_takes_both_ends_with_it(stop: type[Message]) -> None:
    world = World()
    relay, asker, target = star(world, ASKER, TARGET)
    tap = Tap(world, lambda side, message: message)
    dial_through(asker, TARGET)
    while not any(isinstance(message, stop) for message in tap.seen):
        world.deliver(next(iter(world.lanes)))
    relay.give(v.CloseRequested(asker.id))
    relay.give(v.CloseRequested(target.id))
    world.run()
    assert asker.told(v.DialFailed)[-1].failure.reason == "relay_gone"
    for side in (relay, asker, target):
        assert_clean(side)
        assert not side.ready


def test_an_asker_that_goes_away_leaves_the_target_to_others() -> None:
    world = World()
    relay, asker, target = star(world, ASKER, TARGET)
    dial_through(asker, TARGET)
    while not relay.store.state()["introductions"]["promises"]:
        world.deliver(next(iter(world.lanes)))
    relay.give(v.TransportFailed(conn(relay, ASKER), "lost", ""))
    world.run()
    third = world.side(THIRD, min_peers=2)
    third.dial(RELAY)
    world.run()
    assert peers(third) == {RELAY, TARGET}
    assert peers(target) == {RELAY, THIRD}


def test_an_asker_that_says_nothing() -> None:
    world = World()
    relay, asker, _ = star(world, ASKER, TARGET)
    Tap(world, lambda side, message: None if isinstance(message, Discovered) else message)
    dial_through(asker, TARGET)
    world.run()
    world.wait(9.9)
    assert relay.store.state()["introductions"]["promises"] == 1
    world.wait(0.2)
    state = relay.store.state()["introductions"]
    assert (state["promises"], state["targets"]) == (0, 2)
    late = v.MessageReceived(conn(relay, ASKER), ONE, encode_message(ONE, DiscoveredAccept(EncryptedOffer(b"late"))))
    effects = relay.give(late)
    sent = [decode_message(ONE, effect.payload) for effect in effects if isinstance(effect, v.Send)]
    assert sent == [RelayedAnswer(None), GetNext()]


def test_a_cancelled_dial_refuses_what_the_relay_found() -> None:
    world = World()
    _, asker, _ = star(world, ASKER, TARGET)
    tap = Tap(world, lambda side, message: message)
    dial = dial_through(asker, TARGET)
    while ("gather", "4x2") in world.lanes and not any(isinstance(message, Discovered) for message in tap.seen):
        world.deliver(next(lane for lane in world.lanes if lane[0] != "gather"))  # type: ignore[index]
    world.deliver(next(lane for lane in world.lanes if lane[0] != "gather"))  # type: ignore[index]
    asker.give(v.DialCancelled(dial))
    world.run()
    assert sum(isinstance(message, DiscoveredReject) for message in tap.seen) == 1
    assert_clean(asker)


# ---------------------------------------------------------------- attacks


def failure_with(change: Callable[[Side, Message], Message | None], *others: int) -> tuple[v.Failure, list[Side]]:
    """What becomes of a dial through a relay that does this."""
    world = World()
    sides = star(world, ASKER, TARGET, *others)
    Tap(world, change)
    dial_through(sides[1], TARGET)
    world.run()
    world.wait(40)
    assert TARGET not in peers(sides[1])
    for side in sides:
        assert_clean(side)
    return sides[1].told(v.DialFailed)[-1].failure, sides


def test_an_offer_under_another_name_counts_as_unreadable() -> None:
    """The relay says that the offer is from somebody else."""

    def swap(side: Side, message: Message) -> Message | None:
        return OfferToYou(KEYS[9].public_key, message.offer) if isinstance(message, OfferToYou) else message

    failure, sides = failure_with(swap)
    assert failure.reason == "undecryptable"  # the answer was sealed for the other name
    (rejected,) = sides[2].told(v.OfferRejected)
    assert (rejected.reason, rejected.bad) == ("Undecryptable", True)
    assert rejected.source == f"/p2p/{KEYS[RELAY].peer_id}"


def test_an_offer_that_names_another_than_the_relay_does() -> None:
    """Sealed by the asker, as only it can, but in somebody else's name."""
    forged = EncryptedOffer(wrap(KEYS[ASKER].public_key, KEYS[TARGET].public_key, offer(9, TARGET).to_json()))

    def swap(side: Side, message: Message) -> Message | None:
        return OfferToYou(message.offerer, forged) if isinstance(message, OfferToYou) else message

    failure, sides = failure_with(swap)
    assert failure.reason == "SignalDecryptionFailed"
    (rejected,) = sides[2].told(v.OfferRejected)
    assert (rejected.reason, rejected.claimed) == ("Undecryptable", KEYS[ASKER].peer_id)


def test_a_damaged_offer() -> None:
    def damage(side: Side, message: Message) -> Message | None:
        return OfferToYou(message.offerer, EncryptedOffer(b"x")) if isinstance(message, OfferToYou) else message

    assert failure_with(damage)[0].reason == "SignalDecryptionFailed"


def test_a_reflected_offer() -> None:
    """The asker's own offer comes back to it, as one of the target: the key is the same in both directions."""
    held: list[EncryptedOffer] = []

    def reflect(side: Side, message: Message) -> Message | None:
        if isinstance(message, DiscoveredAccept):
            held.append(message.offer)
        return message

    world = World()
    relay, asker, target = star(world, ASKER, TARGET)
    Tap(world, reflect)
    dial_through(asker, TARGET)
    while not held:
        world.deliver(next(iter(world.lanes)))
    reflected = OfferToYou(target.key, held[0])
    asker.give(v.MessageReceived(conn(asker, RELAY), TWO, encode_message(TWO, reflected)))
    assert asker.told(v.OfferRejected)[-1].reason == "Undecryptable"
    assert len(asker.ends) == 2
    assert not relay.told(v.OfferRejected)


def test_a_reflected_offer_as_the_answer() -> None:
    held: list[bytes] = []

    def reflect(side: Side, message: Message) -> Message | None:
        if isinstance(message, DiscoveredAccept):
            held.append(message.offer.data)
        if isinstance(message, RelayedAnswer) and side.index == ASKER:
            return RelayedAnswer(EncryptedAnswer(held[0]))
        return message

    assert failure_with(reflect)[0].reason == "undecryptable"


def test_a_dropped_answer() -> None:
    dropped: list[Message] = []

    def drop(side: Side, message: Message) -> Message | None:
        if side.index != ASKER or not (isinstance(message, RelayedAnswer) or dropped):
            return message
        dropped.append(message)
        return None

    assert failure_with(drop)[0].reason == "timeout"
    assert dropped == [*dropped[:1], GetNext()]


def test_a_relay_that_goes_on_without_the_answer_that_it_owes() -> None:
    def drop(side: Side, message: Message) -> Message | None:
        return None if isinstance(message, RelayedAnswer) and side.index == ASKER else message

    failure, sides = failure_with(drop)
    assert failure.reason == "relay_gone"
    assert sides[1].told(v.PeerClosed)[-1].failure.fault is v.Fault.PEER


def test_a_replayed_offer_gets_no_second_connection() -> None:
    world = World()
    held: list[OfferToYou] = []
    _, asker, target = star(world, ASKER, TARGET)

    def keep(side: Side, message: Message) -> Message | None:
        if isinstance(message, OfferToYou):
            held.append(message)
        return message

    Tap(world, keep)
    dial_through(asker, TARGET)
    world.run()
    before = len(target.ends)
    target.give(v.MessageReceived(conn(target, RELAY), TWO, encode_message(TWO, held[0])))
    rejected = target.told(v.OfferRejected)[-1]
    assert rejected.reason in ("Replayed", "AlreadyConnected")
    assert len(target.ends) == before
    world.run()
    assert peers(asker) == {RELAY, TARGET}


@pytest.mark.parametrize("named", [ASKER, RELAY, TARGET])
def test_a_relay_that_names_whom_we_have_already(named: int) -> None:
    world = World()
    _, asker, _ = star(world, ASKER, TARGET, min_peers=2)
    dial = dial_through(asker, THIRD)
    world.run()
    del dial
    before = set(asker.ends)
    asker.give(v.MessageReceived(conn(asker, RELAY), ONE, encode_message(ONE, Discovered(KEYS[named].public_key))))
    sent = [effect for effect in asker.done if isinstance(effect, v.Send) and effect.channel == ONE]
    assert decode_message(ONE, sent[-1].payload) == DiscoveredReject()
    assert set(asker.ends) == before


@pytest.mark.parametrize(
    ("channel", "message"),
    [
        (ONE, Discovered(KEYS[9].public_key)),
        (ONE, DiscoveredAccept(EncryptedOffer(b"x"))),
        (ONE, DiscoveredReject()),
        (ONE, RelayedAnswer(None)),
        (ONE, GetNext()),
        (TWO, GetNext()),
        (TWO, RelayedAnswer(None)),
    ],
)
def test_what_nobody_asked_for_disconnects(channel: Channel, message: Message) -> None:
    world = World()
    relay, _ = star(world, ASKER)
    relay.give(v.MessageReceived(conn(relay, ASKER), channel, encode_message(channel, message)))
    (closed,) = relay.told(v.PeerClosed)
    assert closed.failure.fault is v.Fault.PEER
    assert closed.failure.detail == f"message is unexpected for channel {channel.value}: {type(message).__name__}"


def test_relayed_offers_count_against_their_relay() -> None:
    """Many names, one relay: the source is the relay, and the caps of a source hold."""
    world = World()
    target = world.side(TARGET, max_pending_per_source=2)
    relay = world.side(RELAY)
    target.dial(RELAY)
    world.run()
    for index in range(6, 10):
        sealed = EncryptedOffer(
            wrap(KEYS[index].public_key, target.key, offer(index, TARGET, name=f"n{index}").to_json())
        )
        message = OfferToYou(KEYS[index].public_key, sealed)
        target.give(v.MessageReceived(conn(target, RELAY), TWO, encode_message(TWO, message)))
        world.lanes = {lane: queue for lane, queue in world.lanes.items() if lane[0] != "data"}  # type: ignore[index]
        for lane in [lane for lane in world.lanes if lane[0] == "gather"]:  # type: ignore[index]
            world.deliver(lane)
    assert [rejected.reason for rejected in target.told(v.OfferRejected)] == ["TooManyFromSource"] * 2
    assert peers(relay) == {TARGET}
    world.wait(40)
    assert_clean(target)


def test_an_offer_for_which_the_relay_is_exhausted() -> None:
    world = World()
    target = world.side(TARGET, max_through_relay=1)
    world.side(RELAY)
    target.dial(RELAY)
    world.run()
    other = world.side(ASKER, min_peers=2)
    other.dial(RELAY)
    world.run()
    assert peers(target) == {RELAY, ASKER}
    late = world.side(THIRD, min_peers=2)
    late.dial(RELAY)
    world.run()
    assert TARGET not in peers(late)


def test_addresses_of_relays_are_not_handed_on() -> None:
    world = World()
    _, asker, _ = star(world, ASKER, TARGET)
    dial_through(asker, TARGET)
    world.run()
    assert asker.store._peers._upkeep.known.told_to(KEYS[TARGET].peer_id, 9) == [address(RELAY)]
    assert asker.store._peers._upkeep.known.told_to(KEYS[RELAY].peer_id, 9) == []
