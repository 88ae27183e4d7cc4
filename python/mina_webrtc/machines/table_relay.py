"""Every pair of turn and event on channels 1 and 2, as `table` has it for connections (protocol.md §9).

Lower-case cases are steps that the core takes (`introductions`, `relayed`); out of turn they are our bug.
"""

from __future__ import annotations

from collections.abc import Mapping

from mina_webrtc.machines.table import STAY, Cause, Move, Outcome, Table

LATE, PEER, BUG = Cause.LATE, Cause.PEER, Cause.BUG

GUIDE_CASES = (
    "Discover",
    "DiscoveredReject",
    "DiscoveredAccept",
    "TimerFired DISCOVERED",
    "TimerFired REST",
    "introduce",
    "answer",
)
SEEKER_CASES = ("GetNext", "Discovered", "RelayedAnswer", "seek", "decline", "entrust", "lapse")
POST_CASES = ("GetNext", "RelayedAnswer", "TimerFired EXCHANGED", "promise", "set free", "deliver")
TAKER_CASES = ("OfferToYou", "MessagesSent", "poll", "reply")


def _row(cases: tuple[str, ...], moves: Mapping[str, str], always: str = "") -> dict[str, Outcome]:
    def outcome(case: str) -> Outcome:
        if case in moves:
            return Move((moves[case],))
        if case == always:
            return STAY
        if case.startswith("TimerFired"):
            return LATE
        return PEER if case[0].isupper() else BUG

    return {case: outcome(case) for case in cases}


GUIDE: Table = {
    phase: _row(GUIDE_CASES, moves)
    for phase, moves in {
        "POLLED": {"Discover": "WANTED"},
        "WANTED": {"introduce": "INTRODUCED"},
        "INTRODUCED": {
            "DiscoveredReject": "RESTING",
            "DiscoveredAccept": "ENTRUSTED",
            "TimerFired DISCOVERED": "LAPSED",
        },
        "ENTRUSTED": {"answer": "POLLED"},
        "RESTING": {"TimerFired REST": "POLLED"},
        "LAPSED": {"DiscoveredReject": "RESTING", "DiscoveredAccept": "POLLED", "answer": "POLLED"},
    }.items()
}

SEEKER: Table = {
    phase: _row(SEEKER_CASES, moves, always="lapse")
    for phase, moves in {
        "SILENT": {"GetNext": "ASKED"},
        "ASKED": {"seek": "SEEKING"},
        "SEEKING": {"Discovered": "FOUND"},
        "FOUND": {"decline": "SILENT", "entrust": "ENTRUSTED", "lapse": "SILENT"},
        "ENTRUSTED": {"RelayedAnswer": "SILENT", "lapse": "LAPSED"},
        "LAPSED": {"RelayedAnswer": "SILENT"},
    }.items()
}

POST: Table = {
    phase: _row(POST_CASES, moves)
    for phase, moves in {
        "SILENT": {"GetNext": "READY"},
        "READY": {"promise": "PROMISED"},
        "PROMISED": {"set free": "READY", "deliver": "DELIVERED"},
        "DELIVERED": {"RelayedAnswer": "SILENT", "TimerFired EXCHANGED": "LAPSED"},
        "LAPSED": {"RelayedAnswer": "SILENT"},
    }.items()
}

TAKER: Table = {
    phase: _row(TAKER_CASES, moves, always="MessagesSent")
    for phase, moves in {
        "SILENT": {"poll": "POLLED"},
        "POLLED": {"OfferToYou": "OFFERED"},
        "OFFERED": {"reply": "ANSWERED"},
        "ANSWERED": {"MessagesSent": "SILENT"},
    }.items()
}

RELAY: tuple[tuple[str, str, str, Table], ...] = (
    (
        "Discovery, we are the relay",
        "Channel 1 (`machines/discovery.py`, `introductions.py`): the peer is told of others.",
        "POLLED",
        GUIDE,
    ),
    (
        "Discovery, the peer is the relay",
        "Channel 1 (`machines/discovery.py`, `relayed.py`): the peer tells us of others.",
        "SILENT",
        SEEKER,
    ),
    (
        "Exchange, we are the relay",
        "Channel 2 (`machines/exchange.py`, `introductions.py`): the peer gets others' offers.",
        "SILENT",
        POST,
    ),
    (
        "Exchange, the peer is the relay",
        "Channel 2 (`machines/exchange.py`, `relayed.py`): we get others' offers.",
        "SILENT",
        TAKER,
    ),
)
