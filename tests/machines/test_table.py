"""Every (state, event) pair behaves as the table says; the committed page is what the code draws."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.machines.samples import CONN, EVENTS, LANE_EVENTS, LANES, NOW, admitted, states

from mina_webrtc.errors import LocalProtocolError
from mina_webrtc.machines import incoming, outgoing, table
from mina_webrtc.machines import vocab as v
from mina_webrtc.machines.diagram import DEADLINES, page
from mina_webrtc.machines.finalize import FinalizePending, FinalizeSuccess
from mina_webrtc.machines.peer import Success
from mina_webrtc.machines.state import Error, Passing, State, step

PAGE = Path(__file__).parents[2] / "docs" / "machines.md"

PAIRS = [
    pytest.param(direction, situation, case, id=f"{'out' if direction else 'in'}-{situation}-{case}")
    for direction, rows in ((True, table.OUTGOING), (False, table.INCOMING))
    for situation in rows
    for case in table.CASES
]


@pytest.mark.parametrize(("is_outgoing", "situation", "case"), PAIRS)
def test_pair(is_outgoing: bool, situation: str, case: str) -> None:
    expected = (table.OUTGOING if is_outgoing else table.INCOMING)[situation][case]
    state, event = states(is_outgoing)[situation], EVENTS[case]
    if expected is table.BUG:
        with pytest.raises(LocalProtocolError):
            step(state, event, NOW)
        return
    after, effects = step(state, event, NOW)
    entered = tuple(effect.state for effect in effects if isinstance(effect, v.StateChanged))
    if isinstance(after, FinalizeSuccess):
        entered = (*entered, type(admitted(after)).__name__)
    if isinstance(expected, table.Move):
        assert entered == expected.to
        assert not any(isinstance(effect, v.Ignored) for effect in effects)
    elif expected is table.LATE:
        assert after is state
        assert [type(effect) for effect in effects] == [v.Ignored]
    else:
        assert isinstance(after, Error)
        assert after.failure.fault is (v.Fault.PEER if isinstance(state, Success) else v.Fault.SOURCE)
    _check_end(state, after, effects)


def _check_end(before: State, after: State, effects: list[v.Effect]) -> None:
    """An attempt that ends is closed once and leaves no timer; one that does not is not closed."""
    closed = effects.count(v.CloseConnection(CONN))
    assert closed == (isinstance(after, Error) and not isinstance(before, Error))
    if closed and not isinstance(before, Success):
        assert v.CancelTimer(v.Timer.ATTEMPT, CONN, 0) in effects
    if closed and isinstance(before, incoming.AnswerSdpCreatePending):
        answers = [effect for effect in effects if isinstance(effect, v.Respond)]
        withdrawn = isinstance(after, Error) and after.failure.reason == incoming.HUNG_UP
        assert len(answers) == (0 if withdrawn else 1)


@pytest.mark.parametrize(("situation", "case"), [(row, case) for row in table.LANE for case in table.LANE_CASES])
def test_lane_pair(situation: str, case: str) -> None:
    expected = table.LANE[situation][case]
    lane = LANES[situation]
    after, effects = lane.on(LANE_EVENTS[case], NOW)
    if isinstance(expected, table.Move):
        entered = () if type(after) is type(lane) else (type(after).__name__,)
        assert entered == expected.to
        sent = [effect.payload for effect in effects if isinstance(effect, v.Send)]
        assert sent == ([b"queued"] if entered == ("Clear",) else [])
    else:
        assert expected is table.LATE
        assert effects == [v.Ignored(CONN, type(LANE_EVENTS[case]).__name__)]


def test_lane_bug() -> None:
    with pytest.raises(LocalProtocolError):
        LANES["Clear"].on(v.IceConnected(CONN), NOW)


def test_every_event_of_a_connection_has_a_case() -> None:
    of_peers = {
        v.DialCancelled,
        v.CloseRequested,
        v.AddressesGiven,
        v.OfferOpened,
        v.AnswerSealed,
        v.ItemsWanted,
        v.BroadcastMade,
        v.ItemNamed,
        v.ItemHandled,
    }  # never reach one connection's machine
    assert {type(event) for event in EVENTS.values()} == set(v.Event.__subclasses__()) - of_peers
    assert tuple(EVENTS) == table.CASES


def test_every_state_has_a_row() -> None:
    shared = {FinalizePending, Success, Error}
    for module, rows in ((outgoing, table.OUTGOING), (incoming, table.INCOMING)):
        own = {
            value
            for value in vars(module).values()
            if isinstance(value, type) and issubclass(value, State) and value.__module__ == module.__name__
        }
        waiting = {state.__name__ for state in own | shared if not issubclass(state, Passing)}
        assert {table.state_of(situation) for situation in rows} == waiting
        passing = {state.__name__ for state in own if issubclass(state, Passing)} | {"FinalizeSuccess"}
        entered = {
            name for row in rows.values() for move in row.values() if isinstance(move, table.Move) for name in move.to
        }
        assert passing <= entered


def test_every_deadline_is_described() -> None:
    assert set(DEADLINES) == set(v.Timer)


def test_page_is_what_the_code_draws() -> None:
    assert PAGE.read_text() == page(), "run: python -m mina_webrtc.machines.diagram > docs/machines.md"
