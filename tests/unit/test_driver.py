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
    """A store that fails at one event, at one effect, and at its first deadline."""

    def __init__(self) -> None:
        self.deadlines = [0.0, 0.0]
        self.over = asyncio.Event()

    def dispatch(self, event: v.Event, now: float) -> list[v.Effect]:
        if event == BROKEN:
            raise KeyError("transition")
        no_such_connection = v.CloseChannel(1, 1)
        return [NOTICES[0], no_such_connection, NOTICES[1]]

    def deadline(self) -> float | None:
        return self.deadlines[0] if self.deadlines else None

    def expire(self, now: float) -> list[v.Effect]:
        if len(self.deadlines) == 2:
            self.deadlines.pop()
            raise ValueError("deadline")
        self.deadlines.clear()
        self.over.set()
        return []


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
    assert bugs == ["bug around DialCancelled", "bug around CloseChannel", "bug around deadlines"]
