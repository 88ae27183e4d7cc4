"""The store's clockwork: deadlines in order, replaced, taken away; nothing stale piles up."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.machines.world import address, settings

from mina_webrtc.machines import vocab as v
from mina_webrtc.machines.vocab import Timer
from mina_webrtc.store import Store, Timers


def test_due_in_order() -> None:
    timers = Timers()
    timers.arm((Timer.ATTEMPT, 1, 0), 3.0)
    timers.arm((Timer.ATTEMPT, 2, 0), 1.0)
    timers.arm((Timer.ATTEMPT, 3, 0), 2.0)
    timers.arm((Timer.ATTEMPT, 3, 0), 5.0)
    timers.disarm((Timer.ATTEMPT, 2, 0))
    timers.disarm((Timer.ATTEMPT, 9, 9))
    assert timers.deadline() == 3.0
    assert timers.due(2.9) is None
    assert timers.due(10.0) == (Timer.ATTEMPT, 1, 0)
    assert timers.due(10.0) == (Timer.ATTEMPT, 3, 0)
    assert timers.due(10.0) is None
    assert timers.deadline() is None


def test_stale_entries_are_swept() -> None:
    timers = Timers()
    for number in range(10_000):
        timers.arm((Timer.RPC_REPLY, 1, number), 1e9)
        timers.disarm((Timer.RPC_REPLY, 1, number))
    assert len(timers) == 0
    assert len(timers._heap) <= Timers.SLACK + 1


@given(st.lists(st.tuples(st.integers(0, 5), st.one_of(st.none(), st.integers(0, 100))), max_size=60))
def test_like_a_plain_table(steps: list[tuple[int, int | None]]) -> None:
    timers, plain = Timers(), {}
    for key, at in steps:
        name = (Timer.HANDLER, 1, key)
        if at is None:
            timers.disarm(name)
            plain.pop(name, None)
        else:
            timers.arm(name, float(at))
            plain[name] = float(at)
        assert timers.deadline() == min(plain.values(), default=None)
    fired = []
    while (due := timers.due(50.0)) is not None:
        fired.append(plain.pop(due))
    assert fired == sorted(fired)
    assert min(plain.values(), default=51.0) > 50.0


def test_what_is_due_is_given_and_nothing_else() -> None:
    store = Store(settings(1))
    effects = store.dispatch(v.DialRequested(1, address(2)), 100.0)
    assert not any(isinstance(effect, v.SetTimer | v.CancelTimer) for effect in effects)
    assert store.deadline() == 115.0
    assert store.next_due(114.9) is None
    due = store.next_due(115.0)
    assert due == v.TimerFired(v.Timer.ATTEMPT, 1, 0)
    assert v.CloseConnection(1) in store.dispatch(due, 115.0)
    assert store.deadline() is None
    assert store.next_due(200.0) is None


def test_state_is_plain_and_public() -> None:
    store = Store(settings(1))
    store.dispatch(v.DialRequested(1, address(2)), 100.0)
    store.dispatch(v.DialCancelled(7), 100.0)
    state = store.state()
    assert state["attempts"] == [
        {
            "conn": 1,
            "peer": str(address(2).peer),
            "outgoing": True,
            "state": "OfferSdpCreatePending",
            "source": None,
        }
    ]
    assert (state["dials"], state["timers"], state["ignored"]) == (1, 1, {"DialCancelled": 1})
