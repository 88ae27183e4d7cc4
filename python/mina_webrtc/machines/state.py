"""What the states of an attempt have in common, and how one event moves an attempt on.

A state is a small frozen value with `on(event, now) -> (next state, effects)`. A *passing* state waits for nothing: it
is entered, told (`StateChanged`) and left within one event.
"""

from __future__ import annotations

from typing import ClassVar

from msgspec import Struct

from mina_webrtc.errors import LocalProtocolError
from mina_webrtc.identity import PeerId, PublicKey
from mina_webrtc.machines.keeping import Known
from mina_webrtc.machines.vocab import (
    CancelTimer,
    CloseConnection,
    Effect,
    Event,
    Failure,
    Fault,
    Ignored,
    Settings,
    Stage,
    StateChanged,
    Timer,
    TimerFired,
    TransportFailed,
)
from mina_webrtc.wire.address import DialAddress

Step = tuple["State", list[Effect]]
Ending = tuple["Error", list[Effect]]


class Attempt(Struct, frozen=True, kw_only=True):
    """What does not change while a connection lives, and stands outside its phase."""

    conn: int
    settings: Settings
    peer: PeerId
    """Who we dialled or who the offer claims to come from; proven only in `Success`."""
    key: PublicKey
    """The same bytes as a point of the curve."""
    outgoing: bool
    deadline: float
    """When the whole attempt must be over (protocol.md §6)."""
    address: DialAddress | None = None
    """What we dialled; None for an incoming attempt, whose offer's host is only a claim (§4)."""
    source: str | None = None
    """The IP an incoming offer came from."""
    claim: DialAddress | None = None
    """Where the offer says that its sender is dialled."""
    known: Known | None = None
    """What was known of `address` when the node dialled it by itself; None when the application asked for it."""


class State(Struct, frozen=True):
    """One phase of an attempt."""

    late: ClassVar[frozenset[type[Event]]] = frozenset()
    """Events that come here only because they were overtaken; ignored and counted."""

    link: Attempt

    def on(self, event: Event, now: float) -> Step:
        """The next state and what is to be done. Raises `LocalProtocolError` for an event that cannot happen here."""
        return self.otherwise(event)

    @property
    def stage(self) -> Stage:
        """Where a failure would be said to have happened."""
        raise NotImplementedError

    def release(self, failure: Failure) -> list[Effect]:
        """What has to be undone, and who has to be told, when the connection ends in this state."""
        return [CancelTimer(Timer.ATTEMPT, self.link.conn, 0)]

    def otherwise(self, event: Event) -> Step:
        """The end of every `on`: what any phase may meet, then late events, then our bugs (architecture rule 4)."""
        match event:
            case TimerFired(timer=Timer.ATTEMPT):
                return self.fail(self.stage, "timeout", f"not ready in time, still in {type(self).__name__}")
            case TransportFailed(reason=reason, detail=detail, remote_fault=remote):
                return self.fail(self.stage, reason, detail, Fault.SOURCE if remote else Fault.NONE)
        if isinstance(event, TimerFired) or type(event) in self.late:
            return self.ignore(event)
        raise LocalProtocolError(f"{type(event).__name__} in {type(self).__name__} of connection {self.link.conn}")

    def ignore(self, event: Event) -> Step:
        """Nobody waits for `event` any more."""
        return self, [Ignored(self.link.conn, type(event).__name__)]

    def fail(self, stage: Stage, reason: str, detail: str = "", fault: Fault = Fault.NONE) -> Ending:
        """Ends the connection here."""
        return self.end(Failure(stage, reason, detail, fault))

    def end(self, failure: Failure) -> Ending:
        """Ends the connection here; its transport is closed exactly once, because nothing leads out of `Error`."""
        return Error(self.link, failure), [*self.release(failure), CloseConnection(self.link.conn)]


class Passing(State, frozen=True, kw_only=True):
    """A state that waits for nothing. `overtaken` is the event that came in its successor's place."""

    overtaken: Event | None = None

    def enter(self) -> Step:
        """The successor, and what is to be done on the way."""
        raise NotImplementedError


class Error(State, frozen=True):
    """The end. Whoever holds the states drops this one at once."""

    failure: Failure

    def on(self, event: Event, now: float) -> Step:
        return self.ignore(event)

    @property
    def stage(self) -> Stage:
        return self.failure.stage


def step(state: State, event: Event, now: float) -> Step:
    """One event, and through the passing states that follow. Raises `LocalProtocolError` and changes nothing then."""
    after, effects = state.on(event, now)
    if type(after) is type(state):
        return after, effects
    return advance(after, effects, now)


def advance(state: State, effects: list[Effect], now: float) -> Step:
    """Tells of `state`, which was entered just now, and goes on while nothing is waited for."""
    while True:
        effects.append(StateChanged(state.link.conn, state.link.outgoing, type(state).__name__))
        if not isinstance(state, Passing):
            return state, effects
        overtaken = state.overtaken
        state, more = state.enter()
        effects += more
        if overtaken is not None:
            effects.append(StateChanged(state.link.conn, state.link.outgoing, type(state).__name__))
            after, more = state.on(overtaken, now)
            effects += more
            if type(after) is type(state):
                return after, effects
            state = after
