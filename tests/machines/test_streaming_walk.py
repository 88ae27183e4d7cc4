"""Channel 8: whatever comes in whatever order, parts come in theirs, and deadlines are those of the phase."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.machines.samples import CONN, HASH
from tests.machines.streams import BASE, TREE, ZKAPP, Ready, ledger, scan

from mina_webrtc.errors import BinProtError
from mina_webrtc.machines import vocab as v
from mina_webrtc.machines.peer import Success
from mina_webrtc.machines.streaming import START
from mina_webrtc.wire.messages import Message, Part, StreamNext, StreamRequest, StreamResponse


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
                    assert timer not in live or timer is v.Timer.STREAM_PART  # moved, when nobody waits any more
                    live.add(timer)
                case v.CancelTimer(timer=timer):
                    # the end of a connection that stalled undoes the deadline that has just passed
                    assert timer in live or not isinstance(ready.state, Success)
                    live.discard(timer)
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
