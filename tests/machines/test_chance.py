"""The core's generator: the published sequence, within bounds, and even enough."""

from __future__ import annotations

from collections import Counter

from mina_webrtc.machines.chance import Chance


def test_it_is_splitmix64() -> None:
    # the first numbers of the reference implementation for seed 1234567
    chance = Chance(1234567)
    assert [chance.bits() for _ in range(3)] == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_choices_are_even_and_stay_below_the_limit() -> None:
    chance = Chance(7)
    counts = Counter(chance.below(5) for _ in range(10_000))
    assert set(counts) == set(range(5))
    assert all(1800 < count < 2200 for count in counts.values())
    assert chance.below(1) == 0


def test_a_spread_value_stays_within_its_share_and_uses_all_of_it() -> None:
    chance = Chance(-1)
    values = [chance.spread(30.0, 0.2) for _ in range(1000)]
    assert 24.0 <= min(values) < 24.5
    assert 35.5 < max(values) <= 36.0


def test_the_same_seed_gives_the_same_choices() -> None:
    one, two, other = Chance(5), Chance(5), Chance(6)
    sequence = [one.bits() for _ in range(8)]
    assert sequence == [two.bits() for _ in range(8)] != [other.bits() for _ in range(8)]
