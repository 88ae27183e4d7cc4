"""Every (turn, event) pair of channel 8 behaves as the tables say."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

import pytest
from msgspec.structs import replace
from tests.machines.samples import CONN, HASH, NOW, link

from mina_webrtc.errors import RemoteProtocolError
from mina_webrtc.machines import table, table_streams
from mina_webrtc.machines import vocab as v
from mina_webrtc.machines.channel import Clear, Way
from mina_webrtc.machines.part import Stalled
from mina_webrtc.machines.streaming import Asker, Course, Giver, Streaming
from mina_webrtc.wire.channels import Channel
from mina_webrtc.wire.messages import (
    Message,
    Part,
    PartKind,
    StreamNext,
    StreamRequest,
    StreamResponse,
    encode_message,
)

Step = Callable[[Streaming], tuple[Streaming, list[v.Effect]]]
ID, REQUEST = 5, 77
TREE = Part(PartKind.SCAN_STATE_TREE, b"tree")
WRONG = Part(PartKind.BASE, b"base")
UNTIL_LAST = Course(PartKind.SCAN_STATE_TREE, 1)
SEVERAL = Course(PartKind.SCAN_STATE_TREE, 2)


def heard(message: Message, **before: Any) -> Step:
    event = v.MessageReceived(CONN, Channel.STREAMING, encode_message(Channel.STREAMING, message))
    return lambda part: replace(part, **before).on(event, NOW)


def given(event: v.Event, **before: Any) -> Step:
    return lambda part: replace(part, **before).on(event, NOW)


def fired(timer: v.Timer, **before: Any) -> Step:
    return given(v.TimerFired(timer, CONN, 0), **before)


ASKER: dict[str, Step] = {
    "Response part": heard(StreamResponse(ID, TREE)),
    "Response last": heard(StreamResponse(ID, TREE), came=UNTIL_LAST),
    "Response wrong": heard(StreamResponse(ID, WRONG)),
    "Response None": heard(StreamResponse(ID, None)),
    "TimerFired STREAM_PART": fired(v.Timer.STREAM_PART),
    "ask": given(v.StreamAsked(REQUEST + 1, CONN, HASH, 30.0)),
    "want": given(v.PartWanted(CONN, REQUEST)),
    "cancel": given(v.StreamCancelled(CONN, REQUEST)),
}
GIVER: dict[str, Step] = {
    "Request": heard(StreamRequest(ID + 1, HASH)),
    "Request unsent": heard(StreamRequest(ID + 1, HASH), unsent=1),
    "Next": heard(StreamNext(ID)),
    "Next unsent": heard(StreamNext(ID), unsent=1),
    "Next other": heard(StreamNext(ID - 1)),
    "MessagesSent": given(v.MessagesSent(CONN, 1), unsent=1),
    "TimerFired STREAM_MADE": fired(v.Timer.STREAM_MADE),
    "TimerFired STREAM_NEXT": fired(v.Timer.STREAM_NEXT),
    "TimerFired STREAM_NEXT unsent": fired(v.Timer.STREAM_NEXT, unsent=1),
    "make part": given(v.PartMade(CONN, ID, TREE)),
    "make last": given(v.PartMade(CONN, ID, TREE), gone=UNTIL_LAST),
    "make wrong": given(v.PartMade(CONN, ID, WRONG)),
    "make None": given(v.PartMade(CONN, ID, None)),
}
ROLES: dict[str, tuple[table.Table, dict[str, Step], type[Enum]]] = {
    "asker": (table_streams.ASKER, ASKER, Asker),
    "giver": (table_streams.GIVER, GIVER, Giver),
}
TIMERS = {
    "OWED": v.Timer.STREAM_PART,
    "LAPSED": v.Timer.STREAM_PART,
    "PRODUCING": v.Timer.STREAM_MADE,
    "SENT": v.Timer.STREAM_NEXT,
    "QUEUED": v.Timer.STREAM_NEXT,
}


def machine(role: str, situation: str) -> Streaming:
    phase = table.state_of(situation)
    lane = Clear(Way(CONN, Channel.STREAMING, 0.0))
    part = Streaming(link=link(True), lane=lane, id=ID, request=REQUEST, timeout=30.0, came=SEVERAL)
    part = replace(part, theirs=ID, gone=SEVERAL, crossing=situation.endswith("/crossing"))
    unsent = 1 if phase in ("QUEUED", "ENDING") else 0
    return replace(part, unsent=unsent, **{role: ROLES[role][2][phase]})


@pytest.mark.parametrize(
    ("role", "situation", "case"),
    [(role, phase, case) for role, (rows, _, _) in ROLES.items() for phase, row in rows.items() for case in row],
)
def test_pair(role: str, situation: str, case: str) -> None:
    rows, steps, _ = ROLES[role]
    before, expected = machine(role, situation), rows[situation][case]
    if expected in (table.PEER, table.END):
        with pytest.raises(Stalled if expected == table.END else RemoteProtocolError):
            steps[case](before)
        return
    after, effects = steps[case](before)
    was, now = table.state_of(situation), getattr(after, role).name
    ignored = any(isinstance(effect, v.Ignored) for effect in effects)
    if expected is table.LATE:
        assert now == was
        assert ignored
        assert len(effects) == 1
        return
    assert isinstance(expected, table.Move)
    assert now == (expected.to or (was,))[-1]
    assert ignored == (was == "LAPSED" and case.startswith("Response"))
    _check_timers(before, was, now, case, effects)
    _check_producer(was, now, effects)


def _check_timers(before: Streaming, was: str, now: str, case: str, effects: list[v.Effect]) -> None:
    """Whoever owes something has one deadline, and nobody else has any."""
    armed: set[v.Timer] = {TIMERS[was]} if was in TIMERS else set()
    assert {effect.timer for effect in before.release() if isinstance(effect, v.CancelTimer)} == armed
    if case.startswith("TimerFired"):
        armed.clear()
    for effect in effects:
        if isinstance(effect, v.CancelTimer):
            assert effect.timer in armed
            armed.remove(effect.timer)
        elif isinstance(effect, v.SetTimer):
            assert effect.timer not in armed or now == "LAPSED"  # where the longer one takes the other's place
            armed.add(effect.timer)
    assert armed == ({TIMERS[now]} if now in TIMERS else set())


def _check_producer(was: str, now: str, effects: list[v.Effect]) -> None:
    """Opened once, pulled only when it is its turn, closed when the stream is over."""
    live = {"PRODUCING", "SENT", "QUEUED"}
    told = [type(effect) for effect in effects]
    assert told.count(v.OpenStream) == (now in live and was not in live)
    assert told.count(v.CloseStream) == (was in live and now not in live)
    assert told.count(v.PullPart) == (now == "PRODUCING" != was)
    assert told.count(v.Send) <= 1


@pytest.mark.parametrize("role", ROLES)
def test_every_phase_has_a_row(role: str) -> None:
    rows, steps, phases = ROLES[role]
    assert {table.state_of(situation) for situation in rows} == set(phases.__members__)
    assert all(set(row) == set(steps) for row in rows.values())


@pytest.mark.parametrize("phase", Asker.__members__)
def test_the_end_of_the_connection_fails_what_somebody_waits_for(phase: str) -> None:
    failed = [effect for effect in machine("asker", phase).release() if isinstance(effect, v.FailStream)]
    assert failed == ([v.FailStream(REQUEST, "closed")] if phase in ("OWED", "HELD") else [])


@pytest.mark.parametrize("phase", Giver.__members__)
def test_the_end_of_the_connection_closes_the_producer(phase: str) -> None:
    closed = [effect for effect in machine("giver", phase).release() if isinstance(effect, v.CloseStream)]
    assert closed == ([] if phase in ("SILENT", "ENDING") else [v.CloseStream(CONN, ID)])
