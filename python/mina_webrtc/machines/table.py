"""Every pair of state and event, and what it is: the map that the tests walk and the diagrams are drawn from.

A pair is a *move* (through the states that are named, the last of which rests; none: handled where it is), *late* (the
event was overtaken: ignored and counted), the *peer's* fault (the connection ends and somebody is blamed), or our *bug*
(`LocalProtocolError`). What a row does not name is a bug (architecture rule 4).

Some events come in several cases (`ChannelOpened 0`, `ChannelOpened n`), and some states in several situations, written
after a slash (`FinalizePending/sent`: our auth was sent and has not left), because the answer depends on them.
"""

from __future__ import annotations

from enum import Enum

from msgspec import Struct


class Cause(Enum):
    """Why an event moves nothing on."""

    LATE = "late"
    PEER = "peer"
    BUG = "bug"


class Move(Struct, frozen=True):
    """The states entered one after another; none when the event is handled where it comes."""

    to: tuple[str, ...]


Outcome = Move | Cause
Row = dict[str, Outcome]
Table = dict[str, Row]

CASES = (
    "DialRequested",
    "OfferReceived",
    "OfferSdpCreated",
    "OfferPrepared",
    "OfferSent",
    "AnswerReceived accepted",
    "AnswerReceived refused",
    "AnswerReceived wrong",
    "AnswerSdpCreated",
    "AnswerSent",
    "OfferWithdrawn",
    "SignalingFailed",
    "SdpFailed local",
    "SdpFailed remote",
    "IceConnected",
    "DtlsConnected",
    "ChannelOpened 0",
    "ChannelOpened n",
    "ChannelClosed 0",
    "ChannelClosed n",
    "MessageReceived 0",
    "MessageReceived 7",
    "MessageReceived 7 bad",
    "MessageReceived n",
    "MessageReceived n bad",
    "MessagesSent",
    "AuthSealed",
    "AuthOpened passed",
    "AuthOpened failed",
    "TransportFailed",
    "TransportFailed remote",
    "RequestMade",
    "RequestCancelled",
    "RequestHandled",
    "StreamAsked",
    "PartWanted",
    "StreamCancelled",
    "PartMade",
    "TimerFired ATTEMPT",
    "TimerFired CAUTION",
    "TimerFired RPC_REPLY",
    "TimerFired HANDLER",
    "TimerFired DISCOVERED",
    "TimerFired REST",
    "TimerFired EXCHANGED",
    "TimerFired ITEMS",
    "TimerFired STREAM_PART",
    "TimerFired STREAM_MADE",
    "TimerFired STREAM_NEXT",
)
"""The cases of the events of one connection. `n` is any of the channels 1–6 and 8."""

LANE_CASES = ("ChannelOpened", "MessageReceived", "TimerFired CAUTION")

STAY = Move(())
END = Move(("Error",))
LATE, PEER, BUG = Cause.LATE, Cause.PEER, Cause.BUG

_STREAM_TIMERS = tuple(f"TimerFired {name}" for name in ("STREAM_PART", "STREAM_MADE", "STREAM_NEXT"))
_CHANNEL_TIMERS = (
    *(f"TimerFired {name}" for name in ("CAUTION", "DISCOVERED", "REST", "EXCHANGED", "ITEMS")),
    *_STREAM_TIMERS,
)
_IDLE_TIMERS = (*_CHANNEL_TIMERS, "TimerFired RPC_REPLY", "TimerFired HANDLER")


def _row(moves: Row, late: tuple[str, ...] = (), peer: tuple[str, ...] = ()) -> Row:
    named: Row = {**moves, **dict.fromkeys(late, LATE), **dict.fromkeys(peer, PEER)}
    return {case: named.get(case, BUG) for case in CASES}


def _attempt(moves: Row, late: tuple[str, ...] = (), peer: tuple[str, ...] = ()) -> Row:
    """What every phase may meet until the peer is ready."""
    ends: Row = {"TransportFailed": END, "TimerFired ATTEMPT": END}
    return _row({**ends, **moves}, (*_IDLE_TIMERS, *late), ("TransportFailed remote", *peer))


def _finalize(outgoing: bool) -> Table:
    name = "FinalizePending"
    base: Row = {
        "IceConnected": STAY,
        "DtlsConnected": STAY,
        "ChannelOpened 0": STAY,
        "ChannelOpened n": STAY,
        "ChannelClosed 0": END,
        "ChannelClosed n": END,
        "MessageReceived 0": STAY,
        **({"SdpFailed local": END} if outgoing else {}),
    }
    late = ("OfferSent",) if outgoing else ("AnswerSent", "SignalingFailed")
    peer = ("AuthOpened failed", *(("SdpFailed remote",) if outgoing else ()))
    up = ("IceConnected", "DtlsConnected", "ChannelOpened 0", "ChannelOpened n")
    done = Move(("FinalizeSuccess", "Success"))

    def row(moves: Row, *, opened: bool = False, heard: bool = False) -> Row:
        again = up if opened else ()
        kept = {case: outcome for case, outcome in (base | moves).items() if case not in again}
        if heard:
            del kept["MessageReceived 0"]
        return _attempt(kept, (*late, *again), (*peer, *(("MessageReceived 0",) if heard else ())))

    return {
        f"{name}/entered": row({"AuthSealed": STAY}),
        f"{name}/sealed": row({}),
        f"{name}/sent": row({"MessagesSent": STAY}, opened=True),
        f"{name}/left": row({}, opened=True),
        f"{name}/heard": row(
            {"MessagesSent": STAY, "AuthOpened passed": STAY, "ChannelClosed 0": STAY}, opened=True, heard=True
        ),
        f"{name}/passed": row({"MessagesSent": done, "ChannelClosed 0": STAY}, opened=True, heard=True),
        f"{name}/examined": row({"AuthOpened passed": done, "ChannelClosed 0": STAY}, opened=True, heard=True),
    }


def _success() -> Table:
    moves: Row = {
        "ChannelClosed 0": STAY,
        "ChannelClosed n": END,
        "MessageReceived 7": STAY,
        "MessageReceived n": STAY,
        "RequestMade": STAY,
        "StreamAsked": STAY,
        "TransportFailed": END,
    }
    late = (
        *("PartWanted", "StreamCancelled", "PartMade"),
        *("OfferSent", "AnswerSent", "SignalingFailed", "IceConnected", "DtlsConnected", "ChannelOpened 0"),
        *("ChannelOpened n", "TimerFired ATTEMPT", *_CHANNEL_TIMERS),
    )
    owed = ("RequestCancelled", "RequestHandled", "TimerFired RPC_REPLY", "TimerFired HANDLER")
    peer = ("MessageReceived 0", "MessageReceived 7 bad", "MessageReceived n bad", "TransportFailed remote")
    busy: Row = {**moves, "MessagesSent": STAY, **dict.fromkeys(owed, STAY)}
    return {
        "Success/idle": _row(moves, (*late, *owed), peer),
        "Success/busy": _row(busy, late, peer),
        "Error": dict.fromkeys(CASES, LATE),
    }


_ANSWERED: Row = {
    "AnswerReceived accepted": Move(("AnswerRecvSuccess", "FinalizePending")),
    "AnswerReceived refused": END,
}

OUTGOING: Table = {
    "Init": _attempt({"DialRequested": Move(("OfferSdpCreatePending",))}),
    "OfferSdpCreatePending": _attempt(
        {"OfferSdpCreated": Move(("OfferSdpCreateSuccess",)), "SdpFailed local": END, "SdpFailed remote": END}
    ),
    "OfferSdpCreateSuccess": _attempt({"OfferPrepared": Move(("OfferReady",)), "SignalingFailed": END}),
    "OfferReady": _attempt(
        {
            "OfferSent": Move(("OfferSendSuccess", "AnswerRecvPending")),
            "AnswerReceived accepted": Move(
                ("OfferSendSuccess", "AnswerRecvPending", "AnswerRecvSuccess", "FinalizePending")
            ),
            "AnswerReceived refused": Move(("OfferSendSuccess", "AnswerRecvPending", "Error")),
            "SignalingFailed": END,
        },
        peer=("AnswerReceived wrong",),
    ),
    "AnswerRecvPending": _attempt({**_ANSWERED, "SignalingFailed": END}, peer=("AnswerReceived wrong",)),
    **_finalize(outgoing=True),
    **_success(),
}

_SENT = Move(("AnswerSendSuccess", "FinalizePending"))

INCOMING: Table = {
    "Init": _attempt({"OfferReceived": Move(("AnswerSdpCreatePending",))}),
    "AnswerSdpCreatePending": _attempt(
        {
            "AnswerSdpCreated": Move(("AnswerSdpCreateSuccess", "AnswerReady")),
            "SdpFailed local": END,
            "OfferWithdrawn": END,
        },
        peer=("SdpFailed remote",),
    ),
    "AnswerReady": _attempt(
        {
            "AnswerSent": _SENT,
            "IceConnected": _SENT,
            "DtlsConnected": _SENT,
            "ChannelOpened 0": _SENT,
            "ChannelOpened n": _SENT,
            "MessageReceived 0": _SENT,
            "SignalingFailed": END,
        }
    ),
    **_finalize(outgoing=False),
    **_success(),
}

_CLEAR = Move(("Clear",))

LANE: Table = {
    "Unopened/unmarked": {
        "ChannelOpened": Move(("Cautious",)),
        "MessageReceived": STAY,
        "TimerFired CAUTION": LATE,
    },
    "Unopened/marked": {"ChannelOpened": _CLEAR, "MessageReceived": STAY, "TimerFired CAUTION": LATE},
    "Unopened/heard": {"ChannelOpened": _CLEAR, "MessageReceived": STAY, "TimerFired CAUTION": LATE},
    "Cautious": {"ChannelOpened": LATE, "MessageReceived": _CLEAR, "TimerFired CAUTION": _CLEAR},
    "Clear": {"ChannelOpened": LATE, "MessageReceived": STAY, "TimerFired CAUTION": LATE},
}
"""One of channels 1–8 (`channel`)."""


def state_of(situation: str) -> str:
    """The state's name without the situation."""
    return situation.partition("/")[0]
