"""The loop around the core: a bug of ours is told, and neither what follows it nor the next deadline is lost."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from mina_webrtc.machines import vocab as v
from mina_webrtc.services.driver import Driver
from mina_webrtc.store import Store

BROKEN, WHOLE = v.DialCancelled(1), v.DialCancelled(2)
NOTICES = [v.Ignored(0, name) for name in ("first", "second")]


class Core:
    """A store that fails at one event, at one effect, and at the first of two deadlines that are due together."""

    def __init__(self) -> None:
        self.due = [v.TimerFired(v.Timer.UPKEEP, 0, number) for number in range(2)]
        self.over = asyncio.Event()

    def dispatch(self, event: v.Event, now: float) -> list[v.Effect]:
        if event == BROKEN:
            raise KeyError("transition")
        if isinstance(event, v.TimerFired):
            if not event.key:
                raise ValueError("deadline")
            self.over.set()
            return []
        no_such_connection = v.CloseChannel(1, 1)
        return [NOTICES[0], no_such_connection, NOTICES[1]]

    def deadline(self) -> float | None:
        return 0.0 if self.due else None

    def next_due(self, now: float) -> v.TimerFired | None:
        return self.due.pop(0) if self.due else None


async def test_a_bug_takes_nothing_else_with_it() -> None:
    bugs: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: bugs.append(context["message"]))
    core, notices, none = Core(), list[v.Notice](), cast(Any, None)
    driver = Driver(cast(Store, core), none, none, none, none, notices.append)
    driver.dispatch(BROKEN)
    assert bugs == ["bug around DialCancelled"]
    driver.dispatch(WHOLE)
    assert notices == NOTICES
    await asyncio.wait_for(core.over.wait(), 5)
    assert bugs == ["bug around DialCancelled", "bug around CloseChannel", "bug around TimerFired"]
