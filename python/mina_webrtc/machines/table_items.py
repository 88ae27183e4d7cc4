"""Every pair of turn and event on channels 3 to 6, as `table` has it for connections (protocol.md §7).

Lower-case cases are steps that the core takes (`gossip`); out of turn they are our bug.
"""

from __future__ import annotations

from collections.abc import Mapping

from mina_webrtc.machines.table import END, STAY, Cause, Move, Outcome, Table

LATE, PEER, BUG = Cause.LATE, Cause.PEER, Cause.BUG

FEED_CASES = ("GetNext", "GetNext 0", "offer", "withdraw", "MessagesSent")
INTAKE_CASES = (
    *("WillSend", "WillSend 0", "WillSend too many", "Item"),
    *("TimerFired ITEMS", "poll", "done", "MessagesSent"),
)
TIP_CASES = ("BestTip", "poll", "done", "MessagesSent")


def _table(cases: tuple[str, ...], rows: Mapping[str, Mapping[str, Outcome]], *always: str) -> Table:
    def outcome(case: str, moves: Mapping[str, Outcome]) -> Outcome:
        if case in moves:
            return moves[case]
        if case in always:
            return STAY
        if case.startswith("TimerFired"):
            return LATE
        return PEER if case[0].isupper() else BUG

    return {situation: {case: outcome(case, moves) for case in cases} for situation, moves in rows.items()}


_SERVED = Move(("ASKED", "SILENT"))
_ASKED = Move(("ASKED",))

FEED = _table(
    FEED_CASES,
    {
        "SILENT/empty": {"GetNext": _ASKED},
        "SILENT/waiting": {"GetNext": _SERVED},
        "ASKED/empty": {"offer": Move(("SILENT",))},
        "ASKED/unsent": {"MessagesSent": Move(("SILENT",))},
    },
    *("offer", "withdraw", "MessagesSent"),
)
"""Something *waits* that the peer has not asked for; or it has, and what was sent before is *unsent*."""

INTAKE = _table(
    INTAKE_CASES,
    {
        "SILENT": {"poll": _ASKED},
        "ASKED": {"WillSend": Move(("COMING",))},
        "COMING": {"Item": STAY, "TimerFired ITEMS": END, "done": STAY},
        "COMING/last": {"Item": Move(("HANDLING",)), "TimerFired ITEMS": END, "done": STAY},
        "HANDLING": {"done": STAY},
        "HANDLING/last": {"done": _ASKED},
        "HANDLING/unsent": {"MessagesSent": _ASKED},
    },
    "MessagesSent",
)
"""*last*: one item is owed, or not done with; *unsent*: none, but what was sent before has not left."""

TIP = _table(
    TIP_CASES,
    {
        "SILENT": {"poll": _ASKED},
        "ASKED": {"BestTip": Move(("HANDLING",))},
        "HANDLING": {"done": _ASKED},
        "HANDLING/unsent": {"MessagesSent": _ASKED},
    },
    "MessagesSent",
)

ITEMS: tuple[tuple[str, str, str, Table], ...] = (
    (
        "Propagation, the peer asks",
        "Channels 3 to 6 (`machines/propagation.py`, `gossip.py`): the peer gets items. `GetNext 0` asks for none, on "
        "channels 4 to 6.",
        "SILENT",
        FEED,
    ),
    (
        "Propagation, we ask",
        "Channels 4 to 6 (`machines/propagation.py`, `gossip.py`): we get items.",
        "SILENT",
        INTAKE,
    ),
    (
        "Propagation of best tips, we ask",
        "Channel 3 (`machines/propagation.py`, `gossip.py`): we get the peer's best tip.",
        "SILENT",
        TIP,
    ),
)
