"""Whoever stands in the signaling path, or answers in another's place, never becomes a peer (protocol.md §3, §6)."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from tests.machines.world import KEYS, Side, World, assert_clean, offer, sdp, seal

from mina_webrtc.machines import vocab as v
from mina_webrtc.wire.signal import Answer, Offer, P2pConnectionResponse, RejectionReason


@pytest.fixture
def world() -> World:
    return World()


def failure(side: Side) -> v.Failure:
    (failed,) = side.told(v.DialFailed)
    return failed.failure


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


def test_candidates_that_are_dropped_change_no_hash(world: World) -> None:
    """What the transport is given is not what is hashed (§6)."""
    one, _ = world.side(1, allow_loopback=False), world.side(2, allow_loopback=False)
    one.dial(2)
    world.run()
    assert "127.0.0.1 9 typ host" not in one.told(v.SetAnswer)[0].answer_sdp
    assert one.ready


def test_a_replayed_answer_connects_nobody(world: World) -> None:
    """A true answer, by the right peer and to us, but to an offer of yesterday."""
    one, two = world.side(1), world.side(2)
    one.dial(2)
    world.run()
    (yesterday,) = [respond.response for respond in two.told(v.Respond)]
    one.give(v.CloseRequested(two.id))
    world.run()
    world.tamper_answer = lambda response: yesterday
    one.dial(2)
    world.run()
    world.wait(31)
    assert (failure(one).stage, failure(one).reason) == (v.Stage.ICE, "timeout")
    assert len(one.told(v.PeerReady)) == len(two.told(v.PeerReady)) == 1
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
