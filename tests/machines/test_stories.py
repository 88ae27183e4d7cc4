"""Two cores and the network between them: what must work, what must be refused, and what must end in time."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from tests.machines.world import KEYS, Side, World, address, assert_clean, offer, sdp

from mina_webrtc.identity import ChainId, PeerId
from mina_webrtc.machines import vocab as v
from mina_webrtc.wire.address import Relayed
from mina_webrtc.wire.signal import Answer, P2pConnectionResponse


@pytest.fixture
def world() -> World:
    return World()


def failure(side: Side) -> v.Failure:
    (failed,) = side.told(v.DialFailed)
    return failed.failure


def rejected(side: Side) -> list[str]:
    return [notice.reason for notice in side.told(v.OfferRejected)]


@pytest.mark.parametrize(("dialer", "listener"), [(1, 2), (2, 1)])
def test_dial(world: World, dialer: int, listener: int) -> None:
    one, two = world.side(dialer), world.side(listener)
    dial = one.dial(listener)
    world.run()
    assert one.told(v.DialSucceeded) == [v.DialSucceeded(dial, 1, two.id)]
    assert one.told(v.PeerReady) == [v.PeerReady(1, two.id, True, True, address(listener))]
    assert two.told(v.PeerReady) == [v.PeerReady(1, one.id, False, True, None, source=f"10.0.0.{dialer}")]
    for side in (one, two):
        assert [notice.milestone for notice in side.told(v.Progressed)] == ["ice", "dtls", "open", "authenticated"]
        assert side.told(v.Admit) == [v.Admit(1)]
        assert side.told(v.CloseChannel) == [v.CloseChannel(1, 0)]
        assert [len(effect.payload) for effect in side.told(v.Send) if effect.channel == 0] == [92]
        assert_clean(side)


def test_nothing_is_waited_for(world: World) -> None:
    one, _ = world.side(1), world.side(2)
    one.dial(2)
    began = world.now
    world.run()
    assert one.ready
    assert world.now == began
    assert one.store.deadline() is None


def test_states_are_told_in_the_order_of_the_protocol(world: World) -> None:
    one, two = world.side(1), world.side(2)
    one.dial(2)
    world.run()
    assert [notice.state for notice in one.told(v.StateChanged)] == [
        *("OfferSdpCreatePending", "OfferSdpCreateSuccess", "OfferReady", "OfferSendSuccess", "AnswerRecvPending"),
        *("AnswerRecvSuccess", "FinalizePending", "FinalizeSuccess", "Success"),
    ]
    assert [notice.state for notice in two.told(v.StateChanged)] == [
        *("AnswerSdpCreatePending", "AnswerSdpCreateSuccess", "AnswerReady", "AnswerSendSuccess"),
        *("FinalizePending", "FinalizeSuccess", "Success"),
    ]


def test_our_sdps_carry_the_mark_before_they_are_hashed(world: World) -> None:
    one, two = world.side(1), world.side(2)
    one.dial(2)
    world.run()
    (prepared,), (sealed,) = one.told(v.PrepareOffer), one.told(v.SealAuth)
    assert "\r\na=x-mina-webrtc:1 early\r\nm=" in prepared.offer.sdp
    assert sealed.auth == two.told(v.SealAuth)[0].auth


def test_the_transport_gets_no_unusable_candidate(world: World) -> None:
    two = world.side(2, allow_loopback=False)
    two.give(v.OfferReceived(99, offer(1, 2), "10.0.0.1", False))
    assert "candidate" not in two.told(v.CreateAnswer)[0].offer_sdp


def test_closing_tells_both(world: World) -> None:
    one, two = world.side(1), world.side(2)
    one.dial(2)
    world.run()
    one.give(v.CloseRequested(two.id))
    world.run()
    (mine,), (theirs,) = one.told(v.PeerClosed), two.told(v.PeerClosed)
    assert (mine.failure.reason, theirs.failure.reason) == ("closed", "lost")
    for side in (one, two):
        assert not side.ready
        assert_clean(side)


def test_a_second_dial_joins_or_finds_the_peer_ready(world: World) -> None:
    one, two = world.side(1), world.side(2)
    dials = [one.dial(2), one.dial(2)]
    world.run()
    dials.append(one.dial(2))
    assert [done.dial for done in one.told(v.DialSucceeded)] == dials
    assert len(two.told(v.PeerReady)) == 1


def test_a_cancelled_dial_is_withdrawn(world: World) -> None:
    one, two = world.side(1), world.side(2)
    first, second = one.dial(2), one.dial(2)
    world.deliver(("gather", "1x1"))
    world.deliver(("http", "1x1"))
    one.give(v.DialCancelled(first))
    assert one.ends
    one.give(v.DialCancelled(second))
    assert not one.ends
    world.run()
    assert [notice.failure.reason for notice in two.told(v.AttemptFailed)] == ["hung_up"]
    assert not one.told(v.DialFailed)
    assert_clean(one)
    assert_clean(two)


# ---------------------------------------------------------------- refused before anything is opened


@pytest.mark.parametrize(
    ("changes", "own", "reason", "wire"),
    [
        ({"chain_id": ChainId.MAINNET}, False, "ChainIdMismatch", "ChainIdMismatch"),
        ({"target_peer_id": KEYS[5].peer_id}, False, "TargetPeerIdNotMe", "TargetPeerIdNotMe"),
        ({"identity_pub_key": KEYS[2].public_key}, False, "ConnectingToSelf", "ConnectingToSelf"),
        ({}, True, "OwnFingerprint", "ConnectingToSelf"),
        ({"sdp": "garbage"}, False, "BadSdp", None),
        ({"sdp": "v=0\r\n" + "a=x\r\n" * 10_000}, False, "BadSdp", None),
        ({"chain_id": ChainId.MAINNET, "target_peer_id": KEYS[5].peer_id}, True, "ChainIdMismatch", "ChainIdMismatch"),
    ],
)
def test_offer_refused(world: World, changes: dict[str, object], own: bool, reason: str, wire: str | None) -> None:
    two = world.side(2)
    two.give(v.OfferReceived(1, offer(1, 2, **changes), "10.0.0.1", own))
    (respond,) = two.told(v.Respond)
    assert (respond.response.reason.value if respond.response.reason else None) == wire
    assert respond.conn is None
    assert not respond.overloaded
    assert rejected(two) == [reason]
    assert not two.told(v.CreateAnswer)
    assert two.store.deadline() is None


def test_a_wrong_chain_is_told_to_the_dialer(world: World) -> None:
    one, two = world.side(1), world.side(2, chain_id=ChainId.MAINNET)
    one.dial(2)
    world.run()
    assert (failure(one).stage, failure(one).reason) == (v.Stage.ANSWER, "ChainIdMismatch")
    assert failure(one).fault is v.Fault.NONE
    assert_clean(one)
    assert_clean(two)


def test_dials_that_go_nowhere(world: World) -> None:
    one = world.side(1, max_pending_outgoing=2)
    one.dial(1)
    assert (failure(one).stage, failure(one).reason) == (v.Stage.ADDRESS, "self")
    one.done.clear()
    relayed = replace(address(2), method=Relayed(KEYS[9].peer_id))
    one.give(v.DialRequested(50, relayed))
    assert (failure(one).stage, failure(one).reason) == (v.Stage.ADDRESS, "relay_not_connected")
    one.done.clear()
    one.dial(9)  # nobody is there
    world.run()
    assert (failure(one).stage, failure(one).reason) == (v.Stage.SIGNALING, "refused")
    one.done.clear()
    one.dial(8)
    one.dial(7)
    one.dial(6)
    assert failure(one).reason == "too_many_pending"


def test_a_peer_id_that_is_no_key(world: World) -> None:
    one = world.side(1)
    one.give(v.DialRequested(1, replace(address(2), peer=PeerId.from_bytes(b"\x02" + bytes(31)))))
    assert (failure(one).stage, failure(one).reason) == (v.Stage.ADDRESS, "invalid_peer_id")


# ---------------------------------------------------------------- time


@pytest.mark.parametrize(
    ("steps", "stage"),
    [
        (0, v.Stage.GATHERING),
        (1, v.Stage.SIGNALING),
        (2, v.Stage.ICE),
        (3, v.Stage.DTLS),
        (4, v.Stage.AUTHENTICATION),
        (5, v.Stage.AUTHENTICATION),
    ],
)
def test_a_dial_ends_in_time_wherever_it_stands(world: World, steps: int, stage: v.Stage) -> None:
    one = world.side(1)
    one.dial(2)
    answer = P2pConnectionResponse.accepted(Answer(sdp("m"), KEYS[2].public_key, KEYS[1].peer_id))
    events = (
        v.OfferSdpCreated(1, sdp("1x1")),
        v.AnswerReceived(1, answer, False),
        v.IceConnected(1),
        v.DtlsConnected(1),
        v.ChannelOpened(1, 0),
    )
    world.lanes.clear()
    one.ends[1].connected = True
    for event in events[:steps]:
        world.now += 1.0
        one.give(event)
    world.lanes.clear()
    world.wait(1000.0 + 14.9 - world.now)
    assert not one.told(v.DialFailed)
    world.wait(0.2)
    assert (failure(one).stage, failure(one).reason) == (stage, "timeout")
    assert_clean(one)
    assert one.store.deadline() is None


@pytest.mark.parametrize(
    ("steps", "stage"), [(0, v.Stage.GATHERING), (1, v.Stage.SIGNALING), (2, v.Stage.ICE), (3, v.Stage.DTLS)]
)
def test_an_offer_is_answered_once_and_ends_in_time(world: World, steps: int, stage: v.Stage) -> None:
    two = world.side(2)
    two.give(v.OfferReceived(5, offer(1, 2), "10.0.0.1", False))
    world.lanes.clear()
    for event in (v.AnswerSdpCreated(1, sdp("2x1")), v.AnswerSent(1), v.IceConnected(1))[:steps]:
        two.give(event)
    world.wait(30.0)
    (failed,) = two.told(v.AttemptFailed)
    assert (failed.failure.stage, failed.failure.reason) == (stage, "timeout")
    (respond,) = two.told(v.Respond)
    assert respond.response.kind == ("InternalError" if steps == 0 else "Accepted")
    assert_clean(two)
    assert two.store.deadline() is None  # nor is the offer remembered any more


def test_what_comes_after_the_end_is_ignored_and_counted(world: World) -> None:
    one = world.side(1)
    one.dial(9)
    world.run()
    one.give(v.IceConnected(1))
    one.give(v.TimerFired(v.Timer.ATTEMPT, 1, 0))
    one.give(v.DialCancelled(1))
    one.give(v.CloseRequested(KEYS[9].peer_id))
    one.give(v.OfferWithdrawn(4))
    assert one.store.ignored.total() == 5
