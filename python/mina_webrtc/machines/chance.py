"""Chance for the core: a seeded generator, so that the same events at the same times give the same choices.

SplitMix64 (Steele, Lea, Flood 2014): a counter and a mixing function. It decides whom to ask first and spreads waiting
times; nothing secret ever comes from it.
"""

from __future__ import annotations

_MASK = (1 << 64) - 1


class Chance:
    """One sequence of choices. `seed` is any whole number; its lowest 64 bits count."""

    __slots__ = ("_state",)

    def __init__(self, seed: int) -> None:
        self._state = seed & _MASK

    def bits(self) -> int:
        """64 random bits."""
        self._state = (self._state + 0x9E3779B97F4A7C15) & _MASK
        mixed = self._state
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
        return mixed ^ (mixed >> 31)

    def below(self, limit: int) -> int:
        """A whole number of 0 … `limit` - 1; `limit` is at least 1, and far below 2⁶⁴, so that no value is favoured."""
        return self.bits() * limit >> 64

    def spread(self, value: float, share: float) -> float:
        """`value`, changed by at most `share` of it in either direction."""
        return value * (1.0 + share * (self.bits() / 2.0**63 - 1.0))
