"""Every (turn, event) pair of channels 1 and 2 behaves as the tables say."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

import pytest
from msgspec.structs import replace
from tests.machines.samples import CONN, NOW, link
from tests.machines.world import KEYS

from mina_webrtc.errors import LocalProtocolError, RemoteProtocolError
from mina_webrtc.machines import table, table_relay
from mina_webrtc.machines import vocab as v
from mina_webrtc.machines.channel import Clear, Way
from mina_webrtc.machines.discovery import Discovery, Guide, Seeker
from mina_webrtc.machines.exchange import Exchange, Post, Taker
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
    encode_message,
)
from mina_webrtc.wire.signal import EncryptedAnswer, EncryptedOffer

KEY = KEYS[5].public_key
OFFER, ANSWER = EncryptedOffer(b"offer"), EncryptedAnswer(b"answer")
Step = Callable[[Any], tuple[Any, list[v.Effect]]]


def heard(message: Message, channel: Channel) -> Step:
    event = v.MessageReceived(CONN, channel, encode_message(channel, message))
    return lambda part: part.on(event, NOW)


def fired(timer: v.Timer) -> Step:
    return lambda part: part.on(v.TimerFired(timer, CONN, 0), NOW)


ONE, TWO = Channel.DISCOVERY, Channel.EXCHANGE
GUIDE: dict[str, Step] = {
    "Discover": heard(Discover(), ONE),
    "DiscoveredReject": heard(DiscoveredReject(), ONE),
    "DiscoveredAccept": heard(DiscoveredAccept(OFFER), ONE),
    "TimerFired DISCOVERED": fired(v.Timer.DISCOVERED),
    "TimerFired REST": fired(v.Timer.REST),
    "introduce": lambda part: part.introduce(KEY, NOW),
    "answer": lambda part: part.answer(ANSWER),
}
SEEKER: dict[str, Step] = {
    "GetNext": heard(GetNext(), ONE),
    "Discovered": heard(Discovered(KEY), ONE),
    "RelayedAnswer": heard(RelayedAnswer(ANSWER), ONE),
    "seek": lambda part: part.seek(),
    "decline": lambda part: part.decline(),
    "entrust": lambda part: part.entrust(OFFER),
    "lapse": lambda part: part.lapse(),
}
POST: dict[str, Step] = {
    "GetNext": heard(GetNext(), TWO),
    "RelayedAnswer": heard(RelayedAnswer(ANSWER), TWO),
    "TimerFired EXCHANGED": fired(v.Timer.EXCHANGED),
    "promise": lambda part: part.promise(True),
    "set free": lambda part: part.promise(False),
    "deliver": lambda part: part.deliver(KEY, OFFER, NOW),
}
TAKER: dict[str, Step] = {
    "OfferToYou": heard(OfferToYou(KEY, OFFER), TWO),
    "MessagesSent": lambda part: replace(part, unsent=1).on(v.MessagesSent(CONN, 1), NOW),
    "poll": lambda part: part.poll(),
    "reply": lambda part: part.reply(ANSWER),
}

ROLES: dict[str, tuple[table.Table, dict[str, Step], type[Enum]]] = {
    "guide": (table_relay.GUIDE, GUIDE, Guide),
    "seeker": (table_relay.SEEKER, SEEKER, Seeker),
    "post": (table_relay.POST, POST, Post),
    "taker": (table_relay.TAKER, TAKER, Taker),
}
TIMERS = {"INTRODUCED": v.Timer.DISCOVERED, "RESTING": v.Timer.REST, "DELIVERED": v.Timer.EXCHANGED}


def part(role: str, phase: Enum) -> Any:
    of: type[Discovery | Exchange] = Discovery if role in ("guide", "seeker") else Exchange
    lane = Clear(Way(CONN, ONE if of is Discovery else TWO, 0.0))
    return of(link=link(True), lane=lane, **{role: phase})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("role", "phase", "case"),
    [(role, phase, case) for role, (rows, _, _) in ROLES.items() for phase, row in rows.items() for case in row],
)
def test_pair(role: str, phase: str, case: str) -> None:
    rows, steps, phases = ROLES[role]
    before, expected = part(role, phases[phase]), rows[phase][case]
    if isinstance(expected, table.Move):
        after, effects = steps[case](before)
        assert getattr(after, role).name == (expected.to or (phase,))[-1]
        assert not any(isinstance(effect, v.Ignored) for effect in effects) or phase == "LAPSED"
        _check_timers(before, phase, getattr(after, role).name, effects)
    elif expected is table.LATE:
        after, effects = steps[case](before)
        assert after is before
        assert effects == [v.Ignored(CONN, "TimerFired")]
    else:
        wanted = RemoteProtocolError if expected is table.PEER else LocalProtocolError
        with pytest.raises(wanted, match="unexpected" if expected is table.PEER else "out of turn"):
            steps[case](before)


def _check_timers(before: Any, was: str, now: str, effects: list[v.Effect]) -> None:
    """Who owes an answer, or rests, has a deadline, and nobody else."""
    armed = {effect.timer for effect in effects if isinstance(effect, v.SetTimer)}
    disarmed = {effect.timer for effect in effects if isinstance(effect, v.CancelTimer)}
    assert armed == ({TIMERS[now]} if now in TIMERS and now != was else set())
    assert disarmed <= ({TIMERS[was]} if was in TIMERS else set())
    if was in TIMERS and now not in ("LAPSED", was) and TIMERS[was] is not v.Timer.REST:
        assert disarmed == {TIMERS[was]}
    assert {effect.timer for effect in before.release()} == ({TIMERS[was]} if was in TIMERS else set())


@pytest.mark.parametrize("role", ROLES)
def test_every_phase_has_a_row(role: str) -> None:
    rows, steps, phases = ROLES[role]
    assert set(rows) == set(phases.__members__)
    assert all(set(row) == set(steps) for row in rows.values())
