"""Channel 8: parts in their order, one at a time, limits, deadlines, and what the peer must not do."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.machines.samples import ALL_OPEN, CONN, HASH, NOW, link, quiet
from tests.machines.world import KEYS, World, assert_clean

from mina_webrtc.errors import BinProtError, LocalProtocolError
from mina_webrtc.machines import vocab as v
from mina_webrtc.machines.peer import Success
from mina_webrtc.machines.state import Error, State, step
from mina_webrtc.machines.streaming import START
from mina_webrtc.wire.channels import Channel
from mina_webrtc.wire.messages import (
    Message,
    Part,
    PartKind,
    StreamNext,
    StreamRequest,
    StreamResponse,
    decode_message,
    encode_message,
)
from mina_webrtc.wire.sdp import Mark

EIGHT = Channel.STREAMING
BASE = Part(PartKind.BASE, b"base")
ZKAPP = Part(PartKind.PREVIOUS_INCOMPLETE_ZKAPP_UPDATES, b"updates")
TREE = Part(PartKind.SCAN_STATE_TREE, b"tree")


def scan(trees: int) -> Part:
    return Part(PartKind.SCAN_STATE_BASE, bytes((trees,)) + b"rest")


def ledger(trees: int) -> list[Part]:
    return [BASE, scan(trees), ZKAPP, *[TREE] * trees]


class Ready:
    """One ready peer's machine, with every effect it asked for."""

    def __init__(self, mark: Mark | None = Mark(), opened: int = ALL_OPEN) -> None:  # noqa: B008
        state, _ = Success.begin(link(True), mark, opened, NOW)
        self.state: State = quiet(state)
        self.done: list[v.Effect] = []

    def give(self, event: v.Event, at: float = NOW) -> list[v.Effect]:
        self.state, effects = step(self.state, event, at)
        self.done += effects
        return effects

    def ask(self, request: int = 1, state_hash: bytes = HASH) -> list[v.Effect]:
        return self.give(v.StreamAsked(request, CONN, state_hash, 30.0))

    def want(self, request: int = 1) -> list[v.Effect]:
        return self.give(v.PartWanted(CONN, request))

    def hear(self, *messages: Message) -> list[v.Effect]:
        return [
            effect
            for message in messages
            for effect in self.give(v.MessageReceived(CONN, EIGHT, encode_message(EIGHT, message)))
        ]

    def made(self, part: Part | None, stream: int = 0) -> list[v.Effect]:
        return self.give(v.PartMade(CONN, stream, part))

    def left(self, count: int = 1) -> list[v.Effect]:
        return self.give(v.MessagesSent(CONN, count))

    def fire(self, timer: v.Timer) -> list[v.Effect]:
        return self.give(v.TimerFired(timer, CONN, 0))

    @property
    def sent(self) -> list[Message]:
        return [decode_message(EIGHT, effect.payload) for effect in self.told(v.Send)]

    def told(self, kind: type[v.Effect]) -> list[Any]:
        return [effect for effect in self.done if type(effect) is kind]

    @property
    def breach(self) -> str:
        assert isinstance(self.state, Error)
        assert (self.state.failure.fault, self.state.failure.reason) == (v.Fault.PEER, "protocol_error")
        return self.state.failure.detail


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
    assert ready.fire(v.Timer.STREAM_PART) == [v.FailStream(1, "timeout")]
    assert ready.ask(3) == [v.FailStream(3, "too_many_requests")]
    for part in ledger(1):
        assert v.Ignored(CONN, "StreamResponse") in ready.hear(StreamResponse(1, part))
    assert ready.sent == [StreamRequest(1, HASH), *[StreamNext(1)] * 3]
    ready.ask(4)
    assert ready.sent[-1] == StreamRequest(2, HASH)
    assert not ready.told(v.DeliverPart)


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


@given(st.integers(1, 30), st.lists(st.sampled_from((BASE, scan(1), scan(2), ZKAPP, TREE)), max_size=8))
def test_a_course_takes_whole_ledgers_and_nothing_else(trees: int, parts: list[Part]) -> None:
    course = START
    for part in ledger(trees):
        assert not course.over
        course = course.after(part, 30)
    assert course.over
    with pytest.raises(BinProtError):
        course.after(TREE, 30)
    course = START
    try:
        for part in parts:
            course = course.after(part, 30)
    except BinProtError:
        assert parts not in (ledger(1), ledger(2))
    else:
        assert course.over == (parts in (ledger(1), ledger(2)))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(0, 12), max_size=60))
def test_whatever_comes_deadlines_and_producers_are_those_of_the_phase(choices: list[int]) -> None:
    ready, live, open_ = Ready(), set[v.Timer](), False
    unsent = 0
    for number, choice in enumerate(choices):
        if not isinstance(ready.state, Success):
            break
        came = ready.state.streaming.came
        parts = {"BASE": BASE, "SCAN_STATE_BASE": scan(2), "SCAN_STATE_TREE": TREE}
        events: list[v.Event | Message | None] = [
            v.StreamAsked(number, CONN, HASH, 30.0),
            v.PartWanted(CONN, ready.state.streaming.request),
            v.StreamCancelled(CONN, ready.state.streaming.request),
            StreamResponse(ready.state.streaming.id, parts.get(came.kind.name, ZKAPP)),
            StreamResponse(ready.state.streaming.id, None if number % 3 else BASE),
            StreamRequest(number, HASH),
            StreamNext(ready.state.streaming.theirs if ready.state.streaming.theirs > 0 else 0),
            v.PartMade(CONN, ready.state.streaming.theirs, parts.get(ready.state.streaming.gone.kind.name, ZKAPP)),
            v.PartMade(CONN, ready.state.streaming.theirs, None),
            v.MessagesSent(CONN, 1) if unsent else None,
            *(v.TimerFired(timer, CONN, 0) for timer in sorted(live, key=str)[:1]),
        ]
        event = events[choice] if choice < len(events) else None
        if event is None:
            continue
        if isinstance(event, v.TimerFired):
            live.remove(event.timer)
        effects = ready.give(event) if isinstance(event, v.Event) else ready.hear(event)
        unsent -= isinstance(event, v.MessagesSent)
        for effect in effects:
            match effect:
                case v.SetTimer(timer=timer):
                    assert timer not in live
                    live.add(timer)
                case v.CancelTimer(timer=timer):
                    live.remove(timer)
                case v.Send():
                    unsent += 1
                case v.OpenStream():
                    assert not open_
                    open_ = True
                case v.CloseStream():
                    assert open_
                    open_ = False
    if isinstance(ready.state, Success):
        for effect in ready.state.streaming.release():
            if isinstance(effect, v.CancelTimer):
                live.remove(effect.timer)
            open_ = open_ and not isinstance(effect, v.CloseStream)
    assert not live
    assert not open_
