"""Two cores and the network between them: what must work, what must be refused, and what must end in time."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from tests.machines.world import KEYS, Side, World, address, assert_clean, offer, sdp, seal

from mina_webrtc.identity import ChainId
from mina_webrtc.machines import vocab as v
from mina_webrtc.wire.signal import Answer, Offer, P2pConnectionResponse, RejectionReason


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
    assert two.told(v.PeerReady) == [v.PeerReady(1, one.id, False, True, None)]
    for side in (one, two):
        assert [notice.milestone for notice in side.told(v.Progressed)] == ["ice", "dtls", "open", "authenticated"]
        assert side.told(v.Admit) == [v.Admit(1)]
        assert side.told(v.CloseChannel) == [v.CloseChannel(1, 0)]
        assert [len(effect.payload) for effect in side.told(v.Send)] == [92]
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
    relayed = replace(address(2), method=type_relayed())
    one.give(v.DialRequested(50, relayed))
    assert (failure(one).stage, failure(one).reason) == (v.Stage.ADDRESS, "relay_unsupported")
    one.done.clear()
    one.dial(9)  # nobody is there
    world.run()
    assert (failure(one).stage, failure(one).reason) == (v.Stage.SIGNALING, "refused")
    one.done.clear()
    one.dial(8)
    one.dial(7)
    one.dial(6)
    assert failure(one).reason == "too_many_pending"


def type_relayed() -> object:
    from mina_webrtc.wire.address import Relayed

    return Relayed(KEYS[9].peer_id)


# ---------------------------------------------------------------- a man in the middle of signaling


def test_an_answer_by_somebody_else(world: World) -> None:
    one, _ = world.side(1), world.side(2)

    def swap(response: P2pConnectionResponse) -> P2pConnectionResponse:
        assert response.answer is not None
        answer = Answer(response.answer.sdp, KEYS[9].public_key, response.answer.target_peer_id)
        return P2pConnectionResponse.accepted(answer)

    world.tamper_answer = swap
    one.dial(2)
    world.run()
    assert (failure(one).stage, failure(one).reason) == (v.Stage.ANSWER, "wrong_identity")
    assert failure(one).fault is v.Fault.SOURCE
    assert not one.told(v.SetAnswer)


@pytest.mark.parametrize(
    ("response", "reason", "own"),
    [
        (P2pConnectionResponse.accepted(Answer(sdp("m"), KEYS[2].public_key, KEYS[9].peer_id)), "wrong_target", False),
        (P2pConnectionResponse.accepted(Answer("junk", KEYS[2].public_key, KEYS[1].peer_id)), "bad_sdp", False),
        (
            P2pConnectionResponse.accepted(Answer(sdp("m"), KEYS[2].public_key, KEYS[1].peer_id)),
            "own_fingerprint",
            True,
        ),
        (P2pConnectionResponse.signal_decryption_failed(), "SignalDecryptionFailed", False),
        (P2pConnectionResponse.internal_error(), "InternalError", False),
        (P2pConnectionResponse.rejected(RejectionReason.CONNECTING_TO_SELF), "ConnectingToSelf", False),
    ],
)
def test_an_answer_that_is_none(world: World, response: P2pConnectionResponse, reason: str, own: bool) -> None:
    one = world.side(1)
    one.dial(2)
    world.deliver(("gather", "1x1"))
    one.give(v.AnswerReceived(1, response, own))
    assert (failure(one).stage, failure(one).reason) == (v.Stage.ANSWER, reason)
    assert not one.told(v.SetAnswer)
    assert_clean(one)


@pytest.mark.parametrize("which", ["offer", "answer"])
def test_a_changed_sdp_fails_authentication(world: World, which: str) -> None:
    """The connection comes up, but over SDPs that are not the ones both have hashed."""
    one, two = world.side(1), world.side(2)

    def in_offer(found: Offer) -> Offer:
        return replace(found, sdp=found.sdp.replace("s=-", "s=x"))

    def in_answer(found: P2pConnectionResponse) -> P2pConnectionResponse:
        assert found.answer is not None
        return P2pConnectionResponse.accepted(replace(found.answer, sdp=found.answer.sdp.replace("s=-", "s=x")))

    if which == "offer":
        world.tamper_offer = in_offer
    else:
        world.tamper_answer = in_answer
    one.dial(2)
    world.run()
    assert (failure(one).stage, failure(one).reason) == (v.Stage.AUTHENTICATION, "mismatch")
    assert failure(one).fault is v.Fault.SOURCE
    assert not one.told(v.PeerReady)
    assert not two.told(v.PeerReady)
    world.wait(60)
    assert_clean(one)
    assert_clean(two)


def connected(side: Side, conn: int) -> None:
    """Everything below authentication is up."""
    side.ends[conn].connected = True
    for event in (v.IceConnected(conn), v.DtlsConnected(conn), v.ChannelOpened(conn, 0)):
        side.give(event)


def with_impostor(world: World, *, dialer: bool) -> Side:
    """A side whose other end is in the test's hands, up to an open channel 0."""
    side = world.side(1)
    if dialer:
        side.dial(2)
        world.deliver(("gather", "1x1"))
        answer = Answer(sdp("m"), KEYS[2].public_key, KEYS[1].peer_id)
        side.give(v.AnswerReceived(1, P2pConnectionResponse.accepted(answer), False))
    else:
        side.give(v.OfferReceived(77, offer(2, 1), "10.0.0.2", False))
        world.deliver(("gather", "1x1"))
        side.give(v.AnswerSent(1))
    connected(side, 1)
    return side


@pytest.mark.parametrize("dialer", [True, False])
@pytest.mark.parametrize(
    ("forge", "reason"),
    [
        (lambda sent: sent, "reflected"),
        (lambda sent: sent[:-1], "length"),
        (lambda sent: sent + b"x", "length"),
        (lambda sent: b"", "length"),
        (lambda sent: b"n" * 12 + sent[12:], "undecryptable"),
        (lambda sent: seal(KEYS[2].public_key, KEYS[1].public_key, b"other" + bytes(59), b"n" * 12), "mismatch"),
        (lambda sent: seal(KEYS[3].public_key, KEYS[1].public_key, sent[12:76], b"n" * 12), "undecryptable"),
    ],
)
def test_auth_that_proves_nothing(world: World, dialer: bool, forge: object, reason: str) -> None:
    side = with_impostor(world, dialer=dialer)
    (sent,) = side.told(v.Send)
    side.give(v.MessageReceived(1, 0, forge(sent.payload)))  # type: ignore[operator]
    (failed,) = side.told(v.AttemptFailed)
    assert (failed.failure.stage, failed.failure.reason) == (v.Stage.AUTHENTICATION, reason)
    assert failed.failure.fault is v.Fault.SOURCE
    assert failed.source == (None if dialer else "10.0.0.2")
    assert not side.told(v.PeerReady)
    assert not side.told(v.Admit)
    assert_clean(side)


def test_auth_echoed_from_another_connection(world: World) -> None:
    side = with_impostor(world, dialer=True)
    side.give(v.OfferReceived(77, offer(3, 1, name="third"), "10.0.0.3", False))
    world.deliver(("gather", "1x2"))
    side.give(v.AnswerSent(2))
    connected(side, 2)
    first, second = side.told(v.Send)
    side.give(v.MessageReceived(2, 0, first.payload))
    side.give(v.MessageReceived(1, 0, second.payload))
    assert [failed.failure.reason for failed in side.told(v.AttemptFailed)] == ["reflected", "undecryptable"]


@pytest.mark.parametrize("dialer", [True, False])
def test_a_small_order_key_opens_nothing(world: World, dialer: bool) -> None:
    """The shell cannot seal for it, and says so in place of our auth."""
    side = with_impostor(world, dialer=dialer)
    side.give(v.AuthOpened(1, v.AuthVerdict.UNDECRYPTABLE))
    (failed,) = side.told(v.AttemptFailed)
    assert failed.failure.reason == "undecryptable"


def test_a_second_message_on_channel_0(world: World) -> None:
    side = with_impostor(world, dialer=True)
    held: list[v.Effect] = []
    side._OpenAuth = held.append  # type: ignore[assignment, attr-defined]  # the shell takes its time
    side.give(v.MessageReceived(1, 0, b"a" * 92))
    side.give(v.MessageReceived(1, 0, b"b" * 92))
    assert len(held) == 1
    assert failure(side).reason == "second_message"


def test_channel_0_closed_too_early_and_not(world: World) -> None:
    side = with_impostor(world, dialer=True)
    side.give(v.ChannelClosed(1, 0))
    assert (failure(side).stage, failure(side).reason) == (v.Stage.AUTHENTICATION, "channel_closed")


def test_the_peer_closes_channel_0_before_our_verdict(world: World) -> None:
    """It has what it needs as soon as it has our auth; ours may still be looking at its."""
    side = with_impostor(world, dialer=True)
    held: list[v.Effect] = []
    side._OpenAuth = held.append  # type: ignore[assignment, attr-defined]
    side.give(v.MessageReceived(1, 0, b"a" * 92))
    side.give(v.ChannelClosed(1, 0))
    side.give(v.AuthOpened(1, v.AuthVerdict.PASSED))
    assert side.ready == [1]
    assert not side.told(v.CloseChannel)


@pytest.mark.parametrize("event", ["ice", "dtls", "open", "message"])
def test_a_connection_that_overtakes_its_bookkeeping(world: World, event: str) -> None:
    side = world.side(1)
    side.give(v.OfferReceived(77, offer(2, 1), "10.0.0.2", False))
    world.deliver(("gather", "1x1"))
    side.ends[1].connected = True
    early = {
        "ice": v.IceConnected(1),
        "dtls": v.DtlsConnected(1),
        "open": v.ChannelOpened(1, 0),
        "message": v.MessageReceived(1, 0, b"a" * 92),
    }[event]
    side.give(early)
    states = [notice.state for notice in side.told(v.StateChanged)]
    assert states[3:5] == ["AnswerSendSuccess", "FinalizePending"]
    if event != "message":
        side.give(v.AnswerSent(1))
        assert side.store.ignored == {"AnswerSent": 1}


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
