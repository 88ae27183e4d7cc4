"""Both sides dial at once: whatever overtakes whatever, one connection survives and both dials succeed with it.

An exhaustive search: every order in which what crosses the network can arrive. States that were seen before are not
searched again; what happens inside one side is not interleaved, because the network cannot see it.
"""

from __future__ import annotations

from collections.abc import Hashable

import pytest
from tests.machines.world import Side, World, assert_clean

from mina_webrtc.machines import vocab as v

LESSER, GREATER = 1, 2
Path = tuple[Hashable, ...]


def start() -> World:
    world = World()
    for index in (LESSER, GREATER):
        world.side(index)
    return world


def choices(world: World) -> list[Hashable]:
    todo: list[Hashable] = [("dial", index) for index, side in world.sides.items() if not side.dials]
    return todo + list(world.lanes)


def take(world: World, choice: Hashable) -> None:
    if isinstance(choice, tuple) and choice[0] == "dial":
        world.sides[choice[1]].dial(LESSER + GREATER - choice[1])
        return
    world.deliver(choice)
    if isinstance(choice, tuple) and choice[0] == "up":  # the layers come up one after another: nothing new in between
        while choice in world.lanes:
            world.deliver(choice)


def replayed(path: Path) -> World:
    world = start()
    for choice in path:
        take(world, choice)
    return world


def picture(world: World) -> str:
    """What the future depends on."""
    sides = [picture_of(side) for side in world.sides.values()]
    lanes = sorted((repr(lane), [type(event).__name__ for _, event, _ in queue]) for lane, queue in world.lanes.items())
    ends = [(name, end.remote, end.connected, end.closed) for name, end in sorted(world.ends.items())]
    return repr((sides, lanes, ends))


def picture_of(side: Side) -> tuple[object, ...]:
    peers = side.store._peers
    fields = ("ours", "theirs", "opened", "closed")
    states = [
        (conn, state.link.outgoing, type(state).__name__, [getattr(state, name, None) for name in fields])
        for conn, state in peers._states.items()
    ]
    slots = [(slot.ready, slot.outgoing, slot.incoming, slot.dials, slot.given_way) for slot in peers._slots.values()]
    return states, slots, side.dials, [done.conn for done in side.told(v.DialSucceeded)]


def search() -> tuple[int, list[Path]]:
    """How many states there are, and a path to each end."""
    seen: set[str] = set()
    ends: list[Path] = []
    stack: list[Path] = [()]
    while stack:
        path = stack.pop()
        world = replayed(path)
        while (now := picture(world)) not in seen:
            seen.add(now)
            todo = choices(world)
            if not todo:
                ends.append(path)
                break
            stack += [(*path, choice) for choice in todo[1:]]
            take(world, todo[0])
            path = (*path, todo[0])
    return len(seen), ends


@pytest.mark.slow
def test_every_order() -> None:
    count, ends = search()
    assert count > 500
    winners = set()
    for path in ends:
        world = replayed(path)
        lesser, greater = world.sides[LESSER], world.sides[GREATER]
        for side in (lesser, greater):
            assert len(side.told(v.DialSucceeded)) == 1, path
            assert not side.told(v.DialFailed), path
            assert len(side.ready) == 1, path
        mine, theirs = lesser.ends[lesser.ready[0]], greater.ends[greater.ready[0]]
        assert (mine.remote, theirs.remote) == (theirs.ufrag, mine.ufrag), path
        winner = greater.told(v.PeerReady)[-1].outgoing
        # whatever the greater one offers wins, unless it was connected before it dialled: then it offers nothing
        assert winner is bool(greater.told(v.CreateOffer)), path
        winners.add(winner)
        world.wait(60)
        assert_clean(lesser)
        assert_clean(greater)
        assert len(lesser.ready) == len(greater.ready) == 1, path
    assert winners == {True, False}


def test_what_the_greater_offers_wins() -> None:
    world = start()
    lesser, greater = world.sides[LESSER], world.sides[GREATER]
    lesser.dial(GREATER)
    greater.dial(LESSER)
    world.run()
    assert lesser.told(v.PeerReady)[-1].outgoing is False
    assert greater.told(v.PeerReady)[-1].outgoing is True
    assert [notice.reason for notice in greater.told(v.OfferRejected)] == ["AlreadyConnected"]
    assert not lesser.told(v.OfferRejected)


def test_a_dial_that_gave_way_waits_for_the_offer_and_then_for_the_connection() -> None:
    world = start()
    lesser, greater = world.sides[LESSER], world.sides[GREATER]
    greater.dial(LESSER)
    lesser.dial(GREATER)
    for lane in ("gather", "http", "answer"):
        world.deliver((lane, f"{LESSER}x1"))
    pause(world, lesser.settings.yield_timeout - 0.1)  # the greater one gathers slowly
    world.deliver(("gather", f"{GREATER}x1"))
    world.deliver(("http", f"{GREATER}x1"))
    pause(world, 5.0)  # and connecting takes its time, too
    assert not lesser.told(v.DialFailed)
    world.run()
    assert len(lesser.told(v.DialSucceeded)) == 1


def pause(world: World, seconds: float) -> None:
    """Time passes, and what travels does not arrive meanwhile."""
    lanes, world.lanes = world.lanes, {}
    world.wait(seconds)
    world.lanes = lanes | world.lanes


def test_a_dial_that_gave_way_fails_when_no_offer_comes() -> None:
    """The greater one dials a wrong address: its offer never comes, and neither dial may hang."""
    world = start()
    lesser, greater = world.sides[LESSER], world.sides[GREATER]
    greater.dial(LESSER, port=3999)  # nobody is there
    lesser.dial(GREATER)
    while any(lane[0] != "http" or lane[1].startswith(f"{LESSER}x") for lane in world.lanes):
        world.deliver(next(lane for lane in world.lanes if lane[0] != "http" or lane[1].startswith(f"{LESSER}x")))
    assert not lesser.told(v.DialFailed)
    world.wait(lesser.settings.yield_timeout + 0.1)
    (failed,) = lesser.told(v.DialFailed)
    assert (failed.failure.stage, failed.failure.reason) == (v.Stage.ANSWER, "AlreadyConnected")
    world.run()
    (failed,) = greater.told(v.DialFailed)
    assert failed.failure.stage is v.Stage.SIGNALING
    world.wait(60)
    assert_clean(lesser)
    assert_clean(greater)


def test_a_cancelled_dial_that_gave_way_leaves_nothing() -> None:
    world = start()
    lesser, greater = world.sides[LESSER], world.sides[GREATER]
    greater.dial(LESSER)
    dial = lesser.dial(GREATER)
    for lane in (("gather", f"{LESSER}x1"), ("http", f"{LESSER}x1"), ("answer", f"{LESSER}x1")):
        world.deliver(lane)
    assert lesser.store.state()["timers"] == 1
    lesser.give(v.DialCancelled(dial))
    assert lesser.store.state()["timers"] == 0
    assert_clean(lesser)
