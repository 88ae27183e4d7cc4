"""Memory that all connections of a node share."""

from __future__ import annotations


class Budget:
    """A number of bytes that several holders draw from."""

    __slots__ = ("limit", "used")

    def __init__(self, limit: int) -> None:
        """`limit` in bytes, inclusive."""
        self.limit = limit
        self.used = 0

    def move(self, change: int) -> bool:
        """Takes `change` bytes, or gives them back if it is below zero; False, and nothing done, beyond the limit."""
        if change > 0 and self.used + change > self.limit:
            return False
        self.used += change
        return True
