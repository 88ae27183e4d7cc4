"""Who is kept out, for how long, and who is not."""

from __future__ import annotations

from tests.machines.world import KEYS

from mina_webrtc.identity import SecretKey
from mina_webrtc.machines.scores import MEMORY, Scores

PEER, OTHER = KEYS[1].peer_id, KEYS[2].peer_id


def test_two_breaches_within_twenty_minutes_ban_for_a_while() -> None:
    scores = Scores(600.0, 3)
    assert not scores.breach(PEER, 0.0)
    assert not scores.banned(PEER, 0.0)
    assert scores.breach(PEER, 1200.0)
    assert scores.banned(PEER, 1799.0)
    assert not scores.banned(PEER, 1800.0)
    assert not scores.banned(OTHER, 1300.0)


def test_rare_breaches_are_forgiven() -> None:
    scores = Scores(600.0, 3)
    assert not any(scores.breach(PEER, 3000.0 * number) for number in range(50))
    assert scores.score(PEER, 1e6) == 0.0


def test_who_comes_back_from_a_ban_has_less_left() -> None:
    scores = Scores(600.0, 3)
    scores.breach(PEER, 0.0)
    scores.breach(PEER, 0.0)
    assert scores.score(PEER, 600.0) == -40.0
    assert scores.breach(PEER, 601.0)


def test_a_source_is_refused_after_its_faults_until_it_has_been_quiet() -> None:
    scores = Scores(600.0, 3)
    assert [scores.fault("10.0.0.1", at) for at in (0.0, 1.0, 2.0, 3.0)] == [False, False, True, False]
    assert scores.barred("10.0.0.1", 602.0)
    assert not scores.barred("10.0.0.1", 603.0)
    assert not scores.fault("10.0.0.1", 700.0)
    assert not scores.barred("10.0.0.1", 700.0)


def test_an_ipv6_site_is_one_source_and_strangers_of_another_do_not_matter() -> None:
    scores = Scores(600.0, 3)
    for host in range(3):
        scores.fault(f"2001:db8:0:1::{host}", 0.0)
    assert scores.barred("2001:db8:0:1:ffff::1", 1.0)
    assert not scores.barred("2001:db8:0:2::1", 1.0)


def test_the_tables_are_bounded() -> None:
    scores = Scores(600.0, 1)
    for number in range(MEMORY + 5):
        scores.breach(SecretKey.deterministic(number).peer_id, 0.0)
        scores.fault(f"10.0.{number >> 8}.{number & 255}", 0.0)
    assert scores.state() == {"scored_peers": MEMORY, "faulty_sources": MEMORY}
    assert not scores.barred("10.0.0.0", 1.0)
    assert scores.barred("10.0.0.9", 1.0)
