"""Every (turn, event) pair of channels 3 to 6 behaves as the tables say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace
from tests.machines.samples import CONN, NOW, link
from tests.machines.world import SPREADING

from mina_webrtc.errors import LocalProtocolError, RemoteProtocolError
from mina_webrtc.machines import table, table_items
from mina_webrtc.machines import vocab as v
from mina_webrtc.machines.channel import Clear, Way
from mina_webrtc.machines.part import Stalled
from mina_webrtc.machines.propagation import SPECS, Feed, Intake, Propagation, Queued
from mina_webrtc.wire.channels import Channel
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

Step = Callable[[Propagation], tuple[Propagation, list[v.Effect]]]
NAME = b"name"
SINGLE = Channel.BEST_TIP


def item(channel: Channel, name: bytes = NAME) -> Queued:
    return Queued(name, encode_message(channel, SPECS[channel].item(b"item")))


def heard(message: Message) -> Step:
    def step(part: Propagation) -> tuple[Propagation, list[v.Effect]]:
        return part.on(v.MessageReceived(CONN, part.channel, encode_message(part.channel, message)), NOW)

    return step


STEPS: dict[str, Step] = {
    "GetNext": lambda part: heard(GetNext() if part.spec.single else GetItems(3))(part),
    "GetNext 0": heard(GetItems(0)),
    "offer": lambda part: part.offer(item(part.channel)),
    "withdraw": lambda part: part.withdraw(NAME),
    "MessagesSent": lambda part: replace(part, unsent=1).on(v.MessagesSent(CONN, 1), NOW),
    "WillSend": heard(WillSend(2)),
    "WillSend 0": heard(WillSend(0)),
    "WillSend too many": heard(WillSend(SPREADING.batch + 1)),
    "Item": heard(Item(b"item")),
    "BestTip": heard(BestTip(b"block")),
    "TimerFired ITEMS": lambda part: part.on(v.TimerFired(v.Timer.ITEMS, CONN, part.channel), NOW),
    "poll": Propagation.poll,
    "done": Propagation.done,
}
ROLES = {"feed": table_items.FEED, "intake": table_items.INTAKE, "tip": table_items.TIP}


def part(role: str, situation: str, channel: Channel) -> Propagation:
    phase, _, detail = situation.partition("/")
    changes: dict[str, Any] = {"unsent": int(detail == "unsent")}
    if role == "feed":
        feed = Feed[phase]
        changes |= {"feed": feed, "limit": int(feed is Feed.ASKED), "queue": (item(channel),) * (detail != "empty")}
        if detail == "empty":
            changes["unsent"] = 0
    else:
        intake = Intake[phase]
        several = 1 if detail == "last" or role == "tip" else 2
        changes["intake"] = intake
        changes["coming"] = several if intake is Intake.COMING else 0
        changes["pending"] = several if intake is Intake.HANDLING and detail != "unsent" else int(phase == "COMING")
    return Propagation(link=link(True), lane=Clear(Way(CONN, channel, 0.0)), **changes)


def pairs() -> list[tuple[str, str, str, Channel]]:
    return [
        (role, situation, case, channel)
        for role, rows in ROLES.items()
        for situation, row in rows.items()
        for case in row
        for channel in SPECS
        if role == "feed" or (role == "tip") == SPECS[channel].single
        if case != "GetNext 0" or not SPECS[channel].single
    ]


@pytest.mark.parametrize(("role", "situation", "case", "channel"), pairs())
def test_pair(role: str, situation: str, case: str, channel: Channel) -> None:
    before, expected = part(role, situation, channel), ROLES[role][situation][case]
    if expected == table.END:
        with pytest.raises(Stalled):
            STEPS[case](before)
    elif isinstance(expected, table.Move):
        after, effects = STEPS[case](before)
        turn = (after.feed if role == "feed" else after.intake).name
        assert turn == (expected.to or (table.state_of(situation),))[-1]
        assert not any(isinstance(effect, v.Ignored) for effect in effects)
        _check(before, after, effects)
    elif expected is table.LATE:
        assert STEPS[case](before) == (before, [v.Ignored(CONN, "TimerFired")])
    else:
        wanted = RemoteProtocolError if expected is table.PEER else LocalProtocolError
        with pytest.raises(wanted, match="unexpected" if expected is table.PEER else "out of turn"):
            STEPS[case](before)


def _check(before: Propagation, after: Propagation, effects: list[v.Effect]) -> None:
    """Who owes items has a deadline, large messages come only while we ask, and nothing is sent that was not asked."""
    channel = before.channel
    timer = {type(effect) for effect in effects if isinstance(effect, v.SetTimer | v.CancelTimer)}
    was, now = (part.intake is Intake.COMING for part in (before, after))
    assert timer == ({v.SetTimer} if now and not was else {v.CancelTimer} if was and not now else set())
    assert [type(effect) for effect in after.release()] == ([v.CancelTimer] if now else [])
    large = [effect.large for effect in effects if isinstance(effect, v.Expect)]
    asks = after.intake is Intake.ASKED
    assert large == ([asks] if channel is SINGLE and asks is not (before.intake is Intake.ASKED) else [])
    sent = [decode_message(channel, effect.payload) for effect in effects if isinstance(effect, v.Send)]
    poll = [GetNext() if channel is SINGLE else GetItems(SPREADING.batch)]
    announced = [] if channel is SINGLE else [WillSend(1)]
    served = before.queue + (() if after.queue else (item(channel),))
    assert sent in ([], poll, [*announced, SPECS[channel].item(b"item")]), served


@pytest.mark.parametrize("role", ROLES)
def test_every_turn_has_a_row_and_every_case_a_step(role: str) -> None:
    turns = set(Feed.__members__ if role == "feed" else Intake.__members__)
    assert {table.state_of(situation) for situation in ROLES[role]} == turns - ({"COMING"} if role == "tip" else set())
    assert {case for row in ROLES[role].values() for case in row} <= set(STEPS)
