"""Which deadlines the state of a connection calls for, read from the state alone: however it came about, exactly these
must be armed."""

from __future__ import annotations

from enum import Enum

from mina_webrtc.machines.channel import Cautious
from mina_webrtc.machines.discovery import Discovery, Guide, Seeker
from mina_webrtc.machines.exchange import Exchange, Post, Taker
from mina_webrtc.machines.peer import Success
from mina_webrtc.machines.propagation import Intake, Propagation
from mina_webrtc.machines.rpc import Requests
from mina_webrtc.machines.state import State
from mina_webrtc.machines.streaming import Asker, Giver, Streaming
from mina_webrtc.machines.vocab import Timer
from mina_webrtc.store import Name
from mina_webrtc.wire.messages import Rpc

GUIDES = {Guide.INTRODUCED: Timer.DISCOVERED, Guide.RESTING: Timer.REST}
STREAMS: dict[Enum, Timer] = {
    Asker.OWED: Timer.STREAM_PART,
    Asker.LAPSED: Timer.STREAM_PART,
    Giver.PRODUCING: Timer.STREAM_MADE,
    Giver.SENT: Timer.STREAM_NEXT,
    Giver.QUEUED: Timer.STREAM_NEXT,
}
OF_CONNECTIONS = frozenset(
    {
        *(Timer.ATTEMPT, Timer.CAUTION, Timer.DISCOVERED, Timer.EXCHANGED),
        *(Timer.REST, Timer.ITEMS, Timer.RPC_REPLY, Timer.HANDLER, *STREAMS.values()),
    }
)


class Turn(Enum):
    """What we owe through a relay, or as one; its deadline is that of the attempt or of the peer that we wait for."""

    MAKE_OFFER = "owe an offer or wait for its answer"
    ANSWER_OFFER = "owe an answer to an offer"
    INTRODUCED = "have told of somebody"
    DELIVER = "have an offer for somebody"


TURNS: dict[Enum, Turn] = {
    Seeker.FOUND: Turn.MAKE_OFFER,
    Seeker.ENTRUSTED: Turn.MAKE_OFFER,
    Taker.OFFERED: Turn.ANSWER_OFFER,
    Taker.ANSWERED: Turn.ANSWER_OFFER,
    Guide.INTRODUCED: Turn.INTRODUCED,
    Guide.ENTRUSTED: Turn.DELIVER,
}


def turns_of(machine: object) -> list[Turn]:
    """Those of one channel's machine."""
    match machine:
        case Discovery(guide=guide, seeker=seeker):
            return [TURNS[at] for at in (guide, seeker) if at in TURNS]
        case Exchange(taker=taker) if taker in TURNS:
            return [TURNS[taker]]
    return []


def debts(state: State) -> frozenset[Name]:
    """The names of its deadlines."""
    conn = state.link.conn
    if not isinstance(state, Success):
        return frozenset({(Timer.ATTEMPT, conn, 0)})
    found: set[Name] = set()
    for machine in state.parts:
        if machine is None:
            continue
        if isinstance(machine.lane, Cautious):
            found.add((Timer.CAUTION, conn, machine.lane.way.channel))
        match machine:
            case Discovery(guide=guide) if guide in GUIDES:
                found.add((GUIDES[guide], conn, 0))
            case Exchange(post=Post.DELIVERED):
                found.add((Timer.EXCHANGED, conn, 0))
            case Propagation(intake=Intake.COMING, channel=channel):
                found.add((Timer.ITEMS, conn, channel))
            case Streaming(asker=asker, giver=giver):
                found |= {(STREAMS[at], conn, 0) for at in (asker, giver) if at in STREAMS}
            case Requests():
                found |= _requests(conn, machine)
    return frozenset(found)


def _requests(conn: int, requests: Requests) -> set[Name]:
    waiting = {(Timer.RPC_REPLY, conn, asked.id) for asked in requests.asked}
    handled = [asking for asking in requests.asking if asking.body is None and asking.kind is not Rpc.INITIAL_PEERS]
    return waiting | {(Timer.HANDLER, conn, asking.id) for asking in handled}
