"""The table of all connections: every attempt's and every ready peer's state, and what the outcome of one means for the
others (protocol.md §4).

A table that changes in place, of states that do not: an event costs its own transition, not a copy of the world.

Both dial at once: when both are offered in good faith, both may authenticate, and `slots.beats` decides which survives.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mina_webrtc.errors import LocalProtocolError
from mina_webrtc.identity import PeerId
from mina_webrtc.machines import incoming
from mina_webrtc.machines.admission import Admission
from mina_webrtc.machines.chance import Chance
from mina_webrtc.machines.dials import Dials
from mina_webrtc.machines.finalize import FinalizeSuccess
from mina_webrtc.machines.peer import Success
from mina_webrtc.machines.slots import Slot, beats
from mina_webrtc.machines.state import Attempt, Error, State, advance, step
from mina_webrtc.machines.upkeep import Upkeep
from mina_webrtc.machines.vocab import (
    AttemptFailed,
    Effect,
    Event,
    FailRequest,
    Failure,
    Ignored,
    PeerClosed,
    PeerReady,
    Settings,
    Stage,
)
from mina_webrtc.wire.channels import Channel

Effects = list[Effect]

SUPERSEDED = "another connection to the same peer is ready"
BANNED = "the peer broke the protocol too often, not long ago"


class Connections:
    """What `peers.Peers` decides over."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.chance = Chance(settings.seed)
        self._next_conn = 1
        self._states: dict[int, State] = {}
        self._slots: dict[PeerId, Slot] = {}
        self._ready: dict[PeerId, int] = {}
        self._dialled: dict[PeerId, int] = {}
        self._signals: dict[int, int] = {}
        self._dials = Dials(settings.yield_timeout)
        self._admission = Admission(settings)
        self._upkeep = Upkeep(settings, self.chance, self._slots, self._states, self._ready, self._dialled)

    # ------------------------------------------------------------ for the components

    def link(self, conn: int) -> Attempt:
        """Of a live connection."""
        return self._states[conn].link

    def connection(self, conn: int) -> State | None:
        """The state of a connection; None when it is over."""
        return self._states.get(conn)

    def part(self, conn: int, channel: Channel) -> Any:
        """A ready peer's machine of a channel; None when the peer is gone."""
        state = self._states.get(conn)
        return state.parts[channel] if isinstance(state, Success) else None

    def change(self, conn: int, channel: Channel, step: Callable[[Any], tuple[Any, Effects]]) -> Effects:
        """Takes a step of a ready peer's machine; nothing when the peer is gone."""
        state = self._states.get(conn)
        if not isinstance(state, Success):
            return []
        self._states[conn], effects = state.change(channel, step)
        return effects

    def ready_conn(self, peer: PeerId) -> int | None:
        """The connection of a ready peer."""
        return self._ready.get(peer)

    def ready_conns(self) -> list[int]:
        """Of all ready peers."""
        return list(self._ready.values())

    def connecting(self, peer: PeerId) -> bool:
        """Whether there is a connection with the peer, ready or under way."""
        return peer in self._slots

    def answerer(self, signal: int) -> int | None:
        """The attempt that answers the offer `signal`."""
        return self._signals.get(signal)

    def cut(self, conn: int, failure: Failure, now: float) -> Effects:
        """Ends an attempt that is still at its signaling."""
        effects: Effects = []
        state = self._states.get(conn)
        if state is not None and state.stage in (Stage.GATHERING, Stage.SIGNALING):
            self._end(conn, failure, effects, now)
        return effects

    # ------------------------------------------------------------ one connection

    def _new_conn(self) -> int:
        conn = self._next_conn
        self._next_conn += 1
        return conn

    def _begin(self, state: State, event: Event, now: float) -> Effects:
        self._states[state.link.conn] = state
        return self._move(state, event, now)

    def _pass(self, event: Event, now: float) -> Effects:
        conn: int = event.conn  # type: ignore[attr-defined]  # every event but those of `_own` has one
        state = self._states.get(conn)
        return self._stray(event, conn) if state is None else self._move(state, event, now)

    def _stray(self, event: Event, conn: int) -> Effects:
        if not 0 < conn < self._next_conn:
            raise LocalProtocolError(f"{type(event).__name__} of connection {conn}, which never was")
        return [Ignored(conn, type(event).__name__)]

    def _move(self, before: State, event: Event, now: float) -> Effects:
        """One event of one connection, and what its outcome means for others."""
        after, effects = step(before, event, now)
        if after is before:
            return effects
        self._left(before)
        if isinstance(after, Error):
            self._ended(before, after, effects, now)
        elif isinstance(after, FinalizeSuccess):
            self._authenticated(after, effects, now)
        else:
            self._states[after.link.conn] = after
            if effects and isinstance(after, Success):
                self._follow(after, effects, now)
        return effects

    def _follow(self, state: Success, effects: Effects, now: float) -> None:
        """A ready peer's machines did something: what the root itself has a part in is taken from `effects`."""
        raise NotImplementedError

    def _left(self, before: State) -> None:
        if isinstance(before, incoming.AnswerSdpCreatePending):
            del self._signals[before.signal]

    def _end(self, conn: int, failure: Failure, effects: Effects, now: float, *, replaced: bool = False) -> None:
        """Ends a connection for a reason outside of it."""
        before = self._states[conn]
        self._left(before)
        after, more = before.end(failure)
        effects += advance(after, more, now)[1]
        self._ended(before, after, effects, now, replaced=replaced)

    def _ended(self, before: State, after: Error, effects: Effects, now: float, *, replaced: bool = False) -> None:
        link, failure = after.link, after.failure
        slot = self._slots[link.peer]
        del self._states[link.conn]
        if isinstance(before, Success):
            slot.ready = None
            del self._ready[link.peer]
            effects.append(PeerClosed(link.conn, link.peer, failure, replaced))
            effects += self._upkeep.peer_gone(link, failure, now, replaced=replaced)
            unheard = [told for told in effects if isinstance(told, FailRequest) and told.request == -link.conn]
            for told in unheard:
                effects.remove(told)
        else:
            self._leave_pending(slot, link)
            effects.append(_failed(link, failure))
            if link.outgoing:
                effects += self._dials.attempt_over(slot, link, failure, now)
            else:
                effects += self._dials.reconsider(slot, now)
            effects += self._upkeep.attempt_over(link, failure, now)
        self._forget(slot)

    def _leave_pending(self, slot: Slot, link: Attempt) -> None:
        if link.outgoing:
            slot.outgoing = None
            del self._dialled[link.peer]
        else:
            slot.incoming.remove(link.conn)
            self._admission.leave(link.source or "")

    def _forget(self, slot: Slot) -> None:
        if slot.empty:
            self._slots.pop(slot.peer, None)

    # ------------------------------------------------------------ becoming ready

    def _authenticated(self, success: FinalizeSuccess, effects: Effects, now: float) -> None:
        link = success.link
        slot = self._slots[link.peer]
        failure = self._no_place(link, slot, now)
        if failure is not None:
            after, more = success.end(failure)
            effects += advance(after, more, now)[1]
            self._ended(success, after, effects, now)
            return
        if slot.ready is not None:
            # §4: only now, authenticated, may a connection take another's place
            replaced = Failure(Stage.CLOSED, "replaced", "a newer connection to the same peer took its place")
            self._end(slot.ready, replaced, effects, now, replaced=True)
        state, more = success.admit(now)
        effects += advance(state, more, now)[1]
        self._states[link.conn] = state
        self._leave_pending(slot, link)
        slot.ready = self._ready[link.peer] = link.conn
        effects += self._upkeep.peer_ready(link, now)
        effects.append(_ready(state))
        effects += self._dials.succeed(slot, link.conn)
        self._drop_rivals(slot, link, effects, now)

    def _no_place(self, link: Attempt, slot: Slot, now: float) -> Failure | None:
        if self._upkeep.scores.banned(link.peer, now):
            return Failure(Stage.READY, "banned", BANNED)
        if slot.ready is not None:
            if beats(link, self._states[slot.ready].link):
                return None
            return Failure(Stage.READY, "superseded", SUPERSEDED)
        if len(self._ready) >= self._settings.max_peers:
            return Failure(Stage.READY, "capacity", f"{len(self._ready)} peers are connected")
        return None

    def _drop_rivals(self, slot: Slot, link: Attempt, effects: Effects, now: float) -> None:
        """Attempts with a peer that is ready now, and that could not take its place anyhow."""
        for conn in (slot.outgoing, *slot.incoming):
            if conn is not None and not beats(self._states[conn].link, link):
                stage = self._states[conn].stage
                self._end(conn, Failure(stage, "superseded", SUPERSEDED), effects, now)


def _failed(link: Attempt, failure: Failure) -> AttemptFailed:
    origin = link.known.origin if link.known is not None else None
    return AttemptFailed(link.conn, link.outgoing, link.peer, link.source, failure, link.address, origin)


def _ready(state: Success) -> PeerReady:
    link, known = state.link, state.link.known
    origin, teller = (None, None) if known is None else (known.origin, known.teller)
    return PeerReady(link.conn, link.peer, link.outgoing, state.marked, link.address, origin, teller, link.source)
