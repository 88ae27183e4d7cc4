"""Every pair of turn and event on channel 8, as `table` has it for connections (protocol.md §7).

`part` and `last` are the part that comes next, the second one with nothing after it; `wrong` is any other. Lower-case
cases are what our application does. `unsent`: something that we sent before is not on the wire yet, as is always so in
QUEUED and ENDING. `crossing`: the peer may not have learnt yet that we ended its stream.
"""

from __future__ import annotations

from mina_webrtc.machines.table import END, STAY, Cause, Move, Outcome, Table

LATE, PEER = Cause.LATE, Cause.PEER

ASKER_CASES = (
    "Response part",
    "Response last",
    "Response wrong",
    "Response None",
    "TimerFired STREAM_PART",
    "ask",
    "want",
    "cancel",
)
GIVER_CASES = (
    "Request",
    "Request unsent",
    "Next",
    "Next unsent",
    "Next other",
    "MessagesSent",
    "TimerFired STREAM_MADE",
    "TimerFired STREAM_NEXT",
    "TimerFired STREAM_NEXT unsent",
    "make part",
    "make last",
    "make wrong",
    "make None",
)


def _to(*names: str) -> Move:
    return Move(names)


def _rows(cases: tuple[str, ...], rows: dict[str, dict[str, Outcome]]) -> Table:
    def usual(case: str) -> Outcome:
        if case == "MessagesSent":
            return STAY
        return PEER if case.startswith(("Response", "Request", "Next")) else LATE

    return {phase: {case: row.get(case, usual(case)) for case in cases} for phase, row in rows.items()}


ASKER: Table = _rows(
    ASKER_CASES,
    {
        "SILENT": {"ask": _to("OWED")},
        "OWED": {
            "Response part": _to("HELD"),
            "Response last": _to("SILENT"),
            "Response None": _to("SILENT"),
            "TimerFired STREAM_PART": _to("LAPSED"),
            "ask": STAY,
            "cancel": _to("LAPSED"),
        },
        "HELD": {"Response None": _to("SILENT"), "ask": STAY, "want": _to("OWED"), "cancel": _to("LAPSED")},
        "LAPSED": {
            "Response part": STAY,
            "Response last": _to("SILENT"),
            "Response None": _to("SILENT"),
            "TimerFired STREAM_PART": END,
            "ask": STAY,
        },
    },
)

GIVER: Table = _rows(
    GIVER_CASES,
    {
        "SILENT": {"Request": _to("PRODUCING"), "Request unsent": _to("QUEUED")},
        "SILENT/crossing": {
            "Request": _to("PRODUCING"),
            "Request unsent": _to("QUEUED"),
            "Next": LATE,
            "Next unsent": LATE,
        },
        "PRODUCING": {
            "TimerFired STREAM_MADE": _to("SILENT"),
            "make part": _to("SENT"),
            "make last": _to("SILENT"),
            "make wrong": _to("SILENT"),
            "make None": _to("SILENT"),
        },
        "SENT": {
            "Next": _to("PRODUCING"),
            "Next unsent": _to("QUEUED"),
            "TimerFired STREAM_NEXT": _to("SILENT"),
            "TimerFired STREAM_NEXT unsent": _to("ENDING"),
        },
        "QUEUED": {
            "MessagesSent": _to("PRODUCING"),
            "TimerFired STREAM_NEXT": _to("ENDING"),
            "TimerFired STREAM_NEXT unsent": _to("ENDING"),
        },
        "ENDING": {"MessagesSent": _to("SILENT")},
        "ENDING/crossing": {"MessagesSent": _to("SILENT"), "Next": LATE, "Next unsent": LATE},
    },
)

STREAMS: tuple[tuple[str, str, str, Table], ...] = (
    (
        "Streaming, we ask",
        "Channel 8 (`machines/streaming.py`): the parts of a staged ledger come one by one.",
        "SILENT",
        ASKER,
    ),
    (
        "Streaming, the peer asks",
        "Channel 8 (`machines/streaming.py`): our application makes a part when the peer has asked for it.",
        "SILENT",
        GIVER,
    ),
)
