"""Channel 8: parts in their order, one at a time, limits, deadlines, and what the peer must not do."""

from __future__ import annotations

import pytest
from tests.machines.samples import CONN, HASH, NOW
from tests.machines.streams import BASE, TREE, ZKAPP, Ready, ledger, scan
from tests.machines.world import KEYS, World, assert_clean

from mina_webrtc.errors import LocalProtocolError
from mina_webrtc.machines import vocab as v
from mina_webrtc.machines.peer import Success
from mina_webrtc.machines.state import Error
from mina_webrtc.wire.channels import Channel
from mina_webrtc.wire.messages import (
    Message,
    Part,
    PartKind,
    StreamNext,
    StreamRequest,
    StreamResponse,
)

# ---------------------------------------------------------------- we ask


def test_a_ledger_in_parts_each_asked_for_when_it_is_wanted() -> None:
    ready = Ready()
    ready.ask()
    for number, part in enumerate(ledger(2), 1):
        ready.hear(StreamResponse(1, part))
        assert len(ready.sent) == number
        ready.want()
    assert [told.part for told in ready.told(v.DeliverPart)] == ledger(2)
    assert [told.last for told in ready.told(v.DeliverPart)] == [False] * 4 + [True]
    assert ready.sent == [StreamRequest(1, HASH), *[StreamNext(1)] * 4]
    ready.ask(2)
    assert ready.sent[-1] == StreamRequest(2, HASH)


def test_a_part_is_owed_for_thirty_seconds_each_and_not_while_it_is_held() -> None:
    ready = Ready()
    ready.ask()
    ready.hear(StreamResponse(1, BASE))
    ready.give(v.PartWanted(CONN, 1), NOW + 500.0)
    deadlines = [timer.at for timer in ready.told(v.SetTimer)]
    assert deadlines == [NOW + 30.0, NOW + 530.0]
    assert ready.told(v.CancelTimer) == [v.CancelTimer(v.Timer.STREAM_PART, CONN, 0)]


def test_large_messages_are_expected_only_while_a_part_is_owed() -> None:
    ready = Ready()
    ready.ask()
    ready.hear(StreamResponse(1, BASE))
    ready.want()
    ready.give(v.StreamCancelled(CONN, 1))
    ready.hear(*(StreamResponse(1, part) for part in ledger(1)[1:]))
    assert [told.large for told in ready.told(v.Expect)] == [True, False, True, False]
    assert {told.channel for told in ready.told(v.Expect)} == {8}


def test_nothing_to_have() -> None:
    ready = Ready()
    ready.ask()
    assert ready.hear(StreamResponse(1, None))[-1] == v.DeliverPart(1, None, True)
    assert ready.want() == [v.Ignored(CONN, "PartWanted")]


@pytest.mark.parametrize("held", [True, False])
def test_a_stream_that_the_peer_breaks_off_fails(held: bool) -> None:
    ready = Ready()
    ready.ask()
    ready.hear(StreamResponse(1, BASE))
    if not held:
        ready.want()
    (failed,) = [told for told in ready.hear(StreamResponse(1, None)) if isinstance(told, v.FailStream)]
    assert (failed.request, failed.reason) == (1, "ended")
    assert len(ready.ask(2)) == 3


def test_one_stream_at_a_time_also_counting_one_that_timed_out() -> None:
    ready = Ready()
    ready.ask()
    assert ready.ask(2) == [v.FailStream(2, "too_many_requests")]
    stalls = v.SetTimer(v.Timer.STREAM_PART, CONN, 0, NOW + 180.0)
    assert ready.fire(v.Timer.STREAM_PART) == [stalls, v.FailStream(1, "timeout")]
    assert ready.ask(3) == [v.FailStream(3, "too_many_requests")]
    for part in ledger(1):
        assert v.Ignored(CONN, "StreamResponse") in ready.hear(StreamResponse(1, part))
    assert ready.sent == [StreamRequest(1, HASH), *[StreamNext(1)] * 3]
    ready.ask(4)
    assert ready.sent[-1] == StreamRequest(2, HASH)
    assert not ready.told(v.DeliverPart)


@pytest.mark.parametrize("cancelled", [True, False])
def test_a_peer_that_sends_no_part_ever_is_disconnected_and_not_blamed(cancelled: bool) -> None:
    ready = Ready()
    ready.ask()
    ready.hear(StreamResponse(1, BASE))
    ready.want()
    if cancelled:
        ready.give(v.StreamCancelled(CONN, 1))
    else:
        ready.fire(v.Timer.STREAM_PART)
    ready.hear(StreamResponse(1, scan(1)))
    assert ready.told(v.SetTimer)[-1] == v.SetTimer(v.Timer.STREAM_PART, CONN, 0, NOW + 180.0)
    ready.fire(v.Timer.STREAM_PART)
    assert isinstance(ready.state, Error)
    assert (ready.state.failure.reason, ready.state.failure.fault) == ("stalled", v.Fault.NONE)


@pytest.mark.parametrize("held", [True, False])
def test_a_cancelled_stream_is_asked_for_to_its_end_and_ignored(held: bool) -> None:
    ready = Ready()
    ready.ask()
    if held:
        ready.hear(StreamResponse(1, BASE))
    ready.give(v.StreamCancelled(CONN, 1))
    ready.hear(*(StreamResponse(1, part) for part in ledger(2)[1 if held else 0 :]))
    assert len(ready.told(v.DeliverPart)) == held
    assert ready.sent == [StreamRequest(1, HASH), *[StreamNext(1)] * 4]
    assert ready.give(v.StreamCancelled(CONN, 1)) == [v.Ignored(CONN, "StreamCancelled")]
    assert len(ready.ask(2)) == 3


def test_a_hash_of_another_length_is_refused_here() -> None:
    (failed,) = Ready().ask(state_hash=bytes(31))
    assert isinstance(failed, v.FailStream)
    assert failed.reason == "bad_request"


def test_towards_the_reference_the_first_request_waits_and_its_deadline_with_it() -> None:
    ready = Ready(mark=None)
    ready.ask()
    assert not ready.sent
    assert v.SetTimer(v.Timer.STREAM_PART, CONN, 0, NOW + 33.0) in ready.done
    ready.give(v.TimerFired(v.Timer.CAUTION, CONN, 8))
    assert ready.sent == [StreamRequest(1, HASH)]


@pytest.mark.parametrize(
    ("parts", "complaint"),
    [
        ([BASE, BASE], "BASE in the place of SCAN_STATE_BASE"),
        ([scan(1)], "SCAN_STATE_BASE in the place of BASE"),
        ([BASE, scan(1), TREE], "SCAN_STATE_TREE in the place of PREVIOUS"),
        ([BASE, scan(1), ZKAPP, ZKAPP], "in the place of SCAN_STATE_TREE"),
        ([BASE, scan(0)], "0 trees"),
        ([BASE, scan(31)], "31 trees"),
    ],
)
def test_parts_out_of_order_are_the_peers_fault(parts: list[Part], complaint: str) -> None:
    ready = Ready()
    ready.ask()
    for part in parts:
        ready.hear(StreamResponse(1, part))
        if isinstance(ready.state, Success):
            ready.want()
    assert complaint in ready.breach


def test_one_tree_too_many_is_unasked() -> None:
    ready = Ready()
    ready.ask()
    for part in ledger(1):
        ready.hear(StreamResponse(1, part))
        ready.want()
    ready.hear(StreamResponse(1, TREE))
    assert "unexpected" in ready.breach


@pytest.mark.parametrize(
    "message", [StreamResponse(1, BASE), StreamResponse(0, None), StreamNext(0), StreamNext(1)], ids=str
)
def test_what_nobody_asked_for_is_the_peers_fault(message: Message) -> None:
    ready = Ready()
    ready.hear(message)
    assert ready.breach.startswith("message is unexpected for channel 8")


@pytest.mark.parametrize("message", [StreamResponse(1, scan(1)), StreamResponse(2, BASE)], ids=str)
def test_a_part_before_it_is_wanted_or_of_another_stream_is_the_peers_fault(message: Message) -> None:
    ready = Ready()
    ready.ask()
    ready.hear(StreamResponse(1, BASE), message)
    assert "unexpected" in ready.breach
    assert ready.told(v.FailStream) == [v.FailStream(1, "closed")]


# ---------------------------------------------------------------- the peer asks


def test_the_application_makes_a_part_when_it_is_asked_for_and_the_last_one_has_left() -> None:
    ready = Ready()
    assert ready.hear(StreamRequest(0, HASH)) == [
        v.OpenStream(CONN, KEYS[4].peer_id, 0, HASH),
        v.SetTimer(v.Timer.STREAM_MADE, CONN, 0, NOW + 60.0),
        v.PullPart(CONN, 0),
    ]
    for part in ledger(2)[:-1]:
        ready.made(part)
        assert ready.hear(StreamNext(0)) == []  # who asks before it can have read waits until it can
        assert ready.left()[-1] == v.PullPart(CONN, 0)
    assert v.CloseStream(CONN, 0) in ready.made(TREE)
    assert ready.sent == [StreamResponse(0, part) for part in ledger(2)]
    assert not any(told.fault for told in ready.told(v.CloseStream))
    ready.left()
    ready.hear(StreamRequest(7, HASH))
    assert ready.done[-1] == v.PullPart(CONN, 7)


def test_who_has_nothing_says_so() -> None:
    ready = Ready()
    ready.hear(StreamRequest(0, HASH))
    assert v.CloseStream(CONN, 0) in ready.made(None)
    assert ready.sent == [StreamResponse(0, None)]


@pytest.mark.parametrize(
    ("parts", "fault"),
    [
        ([BASE, None], "no part SCAN_STATE_BASE"),
        ([BASE, ZKAPP], "in the place of SCAN_STATE_BASE"),
        ([BASE, Part(PartKind.SCAN_STATE_BASE, b"")], ""),
        ([BASE, scan(31)], "31 trees"),
        ([Part(PartKind.BASE, bytes(16 * 1024 * 1024))], "bytes on channel 8"),
    ],
)
def test_parts_that_the_application_must_not_make_end_the_stream(parts: list[Part | None], fault: str) -> None:
    ready = Ready()
    ready.hear(StreamRequest(0, HASH))
    for part in parts:
        ready.made(part)
        ready.left()
        if part is not parts[-1]:
            ready.hear(StreamNext(0))
    (closed,) = ready.told(v.CloseStream)
    assert fault in closed.fault
    assert closed.fault
    assert ready.sent[-1] == StreamResponse(0, None)
    assert isinstance(ready.state, Success)


def test_a_part_of_the_largest_size_passes() -> None:
    room = Channel.STREAMING.max_message - 5  # variant, id, option, kind of request, kind of part
    ready = Ready()
    ready.hear(StreamRequest(0, HASH))
    ready.made(Part(PartKind.BASE, bytes(room)))
    assert len(ready.told(v.Send)[0].payload) == Channel.STREAMING.max_message


def test_an_application_that_takes_too_long_ends_the_stream() -> None:
    ready = Ready()
    ready.hear(StreamRequest(0, HASH))
    closed, said = ready.fire(v.Timer.STREAM_MADE)
    assert isinstance(closed, v.CloseStream)
    assert closed.fault == "no part within 60 s"
    assert isinstance(said, v.Send)
    assert ready.sent == [StreamResponse(0, None)]
    assert ready.made(BASE) == [v.Ignored(CONN, "PartMade")]


def test_a_peer_that_never_asks_for_more_does_not_hold_the_producer() -> None:
    ready = Ready()
    ready.hear(StreamRequest(0, HASH))
    assert v.SetTimer(v.Timer.STREAM_NEXT, CONN, 0, NOW + 60.0) in ready.made(BASE)
    ready.left()
    ready.fire(v.Timer.STREAM_NEXT)
    assert ready.told(v.CloseStream) == [v.CloseStream(CONN, 0)]
    assert ready.sent == [StreamResponse(0, BASE), StreamResponse(0, None)]
    assert ready.hear(StreamNext(0)) == [v.Ignored(CONN, "StreamNext")]  # it crossed our word; a second one cannot
    ready.hear(StreamNext(0))
    assert "unexpected" in ready.breach


def test_a_peer_that_does_not_read_makes_us_hold_one_part_and_no_producer() -> None:
    ready = Ready()
    ready.hear(StreamRequest(0, HASH))
    ready.made(BASE)
    ready.hear(StreamNext(0))
    ready.fire(v.Timer.STREAM_NEXT)
    assert ready.told(v.CloseStream) == [v.CloseStream(CONN, 0)]
    assert ready.sent == [StreamResponse(0, BASE)]
    ready.left()
    assert ready.sent[1:] == [StreamResponse(0, None)]


@pytest.mark.parametrize(
    ("messages", "complaint"),
    [
        ([StreamRequest(5, HASH), StreamRequest(6, HASH)], "stream 6 while stream 5 is open"),
        ([StreamRequest(5, HASH), StreamNext(5)], "unexpected"),
        ([StreamRequest(5, HASH), StreamNext(4)], "unexpected"),
    ],
)
def test_two_requests_at_once_or_a_next_before_the_part_are_the_peers_fault(
    messages: list[Message], complaint: str
) -> None:
    ready = Ready()
    ready.hear(*messages)
    assert complaint in ready.breach
    assert ready.told(v.CloseStream) == [v.CloseStream(CONN, 5)]


def test_a_peer_may_ask_for_one_part_ahead_and_not_for_two() -> None:
    ready = Ready()
    ready.hear(StreamRequest(5, HASH))
    ready.made(BASE, 5)
    ready.hear(StreamNext(5), StreamNext(5))
    assert "unexpected" in ready.breach


def test_ids_of_streams_grow() -> None:
    ready = Ready()
    ready.hear(StreamRequest(5, HASH))
    ready.made(None, 5)
    ready.left()
    ready.hear(StreamRequest(5, HASH))
    assert "ids never repeat" in ready.breach


def test_both_directions_at_once() -> None:
    ready = Ready()
    ready.ask()
    ready.hear(StreamRequest(1, HASH))
    assert not ready.told(v.PullPart)  # our own request is not on the wire yet
    ready.left()
    ready.made(BASE, 1)
    ready.hear(StreamResponse(1, BASE))
    ready.want()
    ready.hear(StreamNext(1))
    assert len(ready.told(v.PullPart)) == 1
    ready.left(2)
    assert len(ready.told(v.PullPart)) == 2


def test_a_request_before_the_peer_is_ready_or_after_it_is_gone() -> None:
    world = World()
    one, _ = world.side(1), world.side(2)
    one.dial(2)
    assert one.give(v.StreamAsked(9, 1, HASH, 30.0)) == [v.FailStream(9, "not_ready")]
    world.run()
    one.give(v.StreamAsked(10, 1, HASH, 30.0))
    one.give(v.CloseRequested(KEYS[2].peer_id))
    assert one.told(v.FailStream)[-1] == v.FailStream(10, "closed")
    assert one.give(v.StreamAsked(11, 1, HASH, 30.0)) == [v.FailStream(11, "closed")]
    with pytest.raises(LocalProtocolError, match="never was"):
        one.give(v.StreamAsked(12, 5, HASH, 30.0))
    world.run()
    assert_clean(one)
