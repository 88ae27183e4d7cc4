"""Known addresses: what is kept, when it is tried again, what is told to others."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from tests.machines.world import KEEPING, KEYS, address

from mina_webrtc.identity import PeerId, SecretKey
from mina_webrtc.machines import vocab as v
from mina_webrtc.machines.chance import Chance
from mina_webrtc.machines.keeping import Known, Origin
from mina_webrtc.machines.known import KnownAddresses
from mina_webrtc.wire.address import DialAddress, Host, Http, Relayed

ME, TELLER, OTHER = (KEYS[index].peer_id for index in (0, 8, 9))
NOW = 1000.0
REFUSED = v.Failure(v.Stage.SIGNALING, "refused")
FULL = v.Failure(v.Stage.ANSWER, "PeerCapacityFull")


def table(seed: int = 1, **changes: Any) -> KnownAddresses:
    return KnownAddresses(replace(KEEPING, **changes), ME, Chance(seed))


def seed(index: int) -> Known:
    return Known(address=address(index), origin=Origin.CONFIGURED)


def stranger(number: int, host: str = "8.8.8.8") -> DialAddress:
    return DialAddress(SecretKey.deterministic(1000 + number).peer_id, Http(Host.parse(host), 3000))


def entry(known: KnownAddresses, wanted: DialAddress) -> Known:
    (found,) = [item for item in known if item.address == wanted]
    return found


def waits(
    known: KnownAddresses, which: DialAddress, failure: v.Failure, count: int, *, alone: bool = False
) -> list[float]:
    """How long the address rests after each of so many failures."""
    found = []
    for _ in range(count):
        known.failed(which, failure, NOW, alone=alone)
        found.append(entry(known, which).next_try - NOW)
    return found


def test_a_failure_doubles_the_wait_up_to_the_most_and_every_wait_is_spread_by_a_fifth() -> None:
    known = table()
    known.learn([stranger(1)], TELLER, NOW)
    for wait, middle in zip(waits(known, stranger(1), REFUSED, 8), (30, 60, 120, 240, 480, 600, 600, 600), strict=True):
        assert 0.8 * middle <= wait <= 1.2 * middle
        assert wait != middle


def test_the_same_seed_gives_the_same_waits_and_another_gives_others() -> None:
    found = []
    for number in (5, 5, 6):
        known = table(number)
        known.learn([stranger(1)], TELLER, NOW)
        found.append(waits(known, stranger(1), REFUSED, 6))
    assert found[0] == found[1] != found[2]


def test_who_worked_once_and_is_told_again_is_tried_again_soon() -> None:
    known = table()
    known.succeeded(stranger(1), NOW)
    known.learn([stranger(2)], TELLER, NOW)
    for which in (stranger(1), stranger(2)):
        waits(known, which, REFUSED, 6)
    effects = known.learn([stranger(1), stranger(2)], OTHER, NOW)
    assert effects == [v.KeepAddress(entry(known, stranger(1)))]
    assert 24 <= entry(known, stranger(1)).next_try - NOW <= 36
    # whoever repeats it does not put it off, and one that never worked is not hurried by being told often
    assert known.learn([stranger(1)], TELLER, NOW + 20) == []
    assert entry(known, stranger(2)).next_try - NOW > 400


def test_a_seed_is_tried_again_soon_unless_it_is_full_and_we_have_other_peers() -> None:
    known = table()
    known.give([seed(1)])
    assert all(wait <= 54.0 for wait in waits(known, address(1), REFUSED, 10))
    assert waits(known, address(1), FULL, 1)[0] > 400.0
    assert waits(known, address(1), FULL, 1, alone=True)[0] <= 54.0


def test_success_makes_good_again() -> None:
    known = table()
    known.learn([stranger(1)], TELLER, NOW)
    waits(known, stranger(1), REFUSED, 3)
    assert known.told_to(OTHER, 9) == []
    (kept,) = known.succeeded(stranger(1), NOW + 5)
    assert isinstance(kept, v.KeepAddress)
    assert (kept.known.failures, kept.known.success, kept.known.origin) == (0, NOW + 5, Origin.LEARNT)
    assert known.told_to(OTHER, 9) == [stranger(1)]
    known.failed(stranger(1), REFUSED, NOW + 9, alone=False)
    assert known.told_to(OTHER, 9) == []


@pytest.mark.parametrize("reason", ["superseded", "cancelled", "AlreadyConnected"])
def test_some_ends_say_nothing_against_an_address(reason: str) -> None:
    known = table()
    known.give([seed(1)])
    known.failed(address(1), v.Failure(v.Stage.ANSWER, reason), NOW, alone=False)
    assert entry(known, address(1)).failures == 0
    assert entry(known, address(1)).next_try > NOW


def test_what_the_policy_forbids_is_forgotten_if_the_network_told_it() -> None:
    known = table()
    known.give([seed(1)])
    known.learn([stranger(1)], TELLER, NOW)
    forbidden = v.Failure(v.Stage.SIGNALING, "forbidden")
    assert known.failed(stranger(1), forbidden, NOW, alone=False) == [v.DropAddress(stranger(1))]
    known.failed(address(1), forbidden, NOW, alone=False)
    assert [item.address for item in known] == [address(1)]


@pytest.mark.parametrize(("ours", "least", "most"), [(False, 24.0, 36.0), (True, 480.0, 720.0)])
def test_a_lost_peer_is_wanted_back_after_a_rest(ours: bool, least: float, most: float) -> None:
    known = table()
    known.succeeded(address(3), NOW)
    known.lost(KEYS[3].peer_id, NOW, ours=ours)
    assert least <= entry(known, address(3)).next_try - NOW <= most


def test_what_cannot_or_must_not_be_dialled_is_not_learnt() -> None:
    known = table()
    mine = DialAddress(ME, Http(Host.parse("8.8.8.8"), 1))
    relayed = DialAddress(stranger(1).peer, Relayed(TELLER))
    no_point = DialAddress(PeerId.from_bytes(b"\x02" + bytes(31)), Http(Host.parse("8.8.8.8"), 1))
    inside = [stranger(number, host) for number, host in enumerate(("10.0.0.1", "0.0.0.0", "[::1]", "192.168.1.1"))]
    assert known.learn([mine, relayed, no_point, *inside], TELLER, NOW) == []
    assert known.learn([stranger(5, "127.0.0.1"), stranger(6, "example.com")], TELLER, NOW) != []
    assert (
        len(known) == 2
    )  # loopback is among the tests' learnt networks; what a name leads to is seen when it is dialled


def test_one_teller_fills_only_its_share_of_the_table() -> None:
    known = table(max_learnt_per_peer=4)
    known.learn([stranger(number) for number in range(100)], TELLER, NOW)
    assert len(known) == 4
    known.learn([stranger(number) for number in range(100, 200)], TELLER, NOW)
    assert len(known) == 4
    known.learn([stranger(200)], OTHER, NOW)
    assert len(known) == 5
    known.succeeded(stranger(0), NOW)
    known.learn([stranger(number) for number in range(300, 400)], TELLER, NOW)
    assert len(known) == 6  # one that worked is no more the teller's


def test_a_full_table_gives_way_only_where_nothing_is_lost() -> None:
    known = table(max_known=4)
    known.give([seed(1)])
    known.succeeded(address(2), NOW)
    known.learn([stranger(1), stranger(2)], TELLER, NOW)
    waits(known, stranger(2), REFUSED, 2)
    assert v.DropAddress(stranger(2)) in known.learn([stranger(3)], OTHER, NOW)
    known.learn([stranger(4), stranger(5), stranger(6)], OTHER, NOW)
    assert len(known) == 4
    known.succeeded(stranger(6), NOW)
    for item in list(known):
        if item.success is None:
            known.succeeded(item.address, NOW + 1)
    assert known.learn([stranger(7)], OTHER, NOW) == []
    assert v.DropAddress(address(2)) in known.succeeded(address(3), NOW + 2)  # our own newcomer: the oldest goes
    assert KEYS[1].peer_id in known.seeds
    assert len(known) == 4


def test_one_peer_has_a_few_addresses_and_one_claim() -> None:
    known = table()
    known.learn([address(3, port) for port in range(1, 9)], TELLER, NOW)
    assert len(known) == 3
    known.claim(address(4, 1), NOW)
    (dropped, kept) = known.claim(address(4, 2), NOW)
    assert dropped == v.DropAddress(address(4, 1))
    assert isinstance(kept, v.KeepAddress)
    assert (kept.known.origin, kept.known.teller) == (Origin.CLAIMED, KEYS[4].peer_id)


def test_told_are_those_that_worked_last_one_of_each_peer_and_never_the_asker_itself() -> None:
    known = table()
    for at, index in enumerate((1, 2, 3, 4, 5, 2)):
        known.succeeded(address(index), NOW + at)
    known.learn([stranger(1)], TELLER, NOW)
    assert known.told_to(OTHER, 3) == [address(2), address(5), address(4)]
    assert known.told_to(KEYS[5].peer_id, 9) == [address(2), address(4), address(3), address(1)]
    known.succeeded(address(4, port=99), NOW + 9)
    assert known.told_to(OTHER, 9) == [address(4, port=99), address(2), address(5), address(3), address(1)]


def test_a_seed_keeps_what_the_store_remembers_and_is_tried_at_once() -> None:
    known = table()
    known.give([Known(address=address(1), origin=Origin.LEARNT, teller=OTHER, success=7.0, failures=2, next_try=9e9)])
    known.give([seed(1)])
    assert entry(known, address(1)) == Known(
        address=address(1), origin=Origin.CONFIGURED, success=7.0, failures=2, next_try=0.0
    )
