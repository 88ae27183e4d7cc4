"""What relays have open for us, and which of them we have asked for a peer (protocol.md §9)."""

from __future__ import annotations

from mina_webrtc.machines.vocab import Effect, SetTimer, Timer

PATIENCE = 1.0
"""Seconds after which a relay that was asked counts no longer: it names a target at once, if it knows one."""


class Polls:
    """Connections with relays, each in the order it came to be here."""

    def __init__(self) -> None:
        self.asked: dict[int, None] = {}
        """They would find us a peer."""
        self.silent: dict[int, None] = {}
        """We have not told them that we take an offer."""
        self._seeking: dict[int, float] = {}
        """They were asked for a peer; until when they count."""

    @property
    def seeking(self) -> int:
        """How many were asked not long ago and have not named anybody yet."""
        return len(self._seeking)

    def sought(self, conn: int, now: float) -> bool:
        """The relay is asked for a peer now: whether it is the only one."""
        del self.asked[conn]
        self._seeking[conn] = now + PATIENCE
        return len(self._seeking) == 1

    def found(self, conn: int) -> None:
        """The relay names somebody."""
        self._seeking.pop(conn, None)

    def drop(self, conn: int) -> None:
        """The connection is over."""
        for table in (self.asked, self.silent, self._seeking):
            table.pop(conn, None)

    def forget(self, now: float) -> None:
        """Drops those that have been asked for long enough; the oldest come first, as all count equally long."""
        while self._seeking and next(iter(self._seeking.values())) <= now:
            del self._seeking[next(iter(self._seeking))]

    def arm(self) -> list[Effect]:
        """When to forget the next one."""
        return [SetTimer(Timer.SEEK, 0, 0, next(iter(self._seeking.values())))] if self._seeking else []
