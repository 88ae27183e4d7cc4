"""The simulated shell against the real one: what either can do, and what a connection of theirs feels like."""

from __future__ import annotations

import asyncio

import pytest

from mina_webrtc.machines import vocab as v
from mina_webrtc.services.driver import Driver
from mina_webrtc.testing import Plan, Simulation
from mina_webrtc.testing.seals import NONCE, TAG, WEAK, seal, unseal

OF_THE_STORE = {v.SetTimer, v.CancelTimer}


def _effects() -> set[type[v.Effect]]:
    found = {kind for kind in vars(v).values() if isinstance(kind, type) and issubclass(kind, v.Effect)}
    return {kind for kind in found if not issubclass(kind, v.Notice)} - OF_THE_STORE - {v.Effect}


def test_every_effect_has_a_performer_in_the_simulated_shell() -> None:
    assert set(Simulation(Plan(nodes=1)).nodes[0].performers) == _effects()


async def test_every_effect_has_a_performer_in_the_driver() -> None:
    none = None
    driver = Driver(none, none, none, none, none, none)  # type: ignore[arg-type]  # nothing of it is used here
    assert set(driver._performers) == _effects()
    assert asyncio.get_running_loop() is driver._loop


def test_only_the_two_open_a_seal_and_only_as_it_was_made() -> None:
    one, two, three = (node.key for node in Simulation(Plan(nodes=3)).nodes)
    sealed = seal(one, two, b"message", bytes(range(NONCE)))
    assert len(sealed) == NONCE + len(b"message") + TAG
    assert unseal(two, one, sealed) == unseal(one, two, sealed) == b"message"  # §3: reflections open
    assert unseal(three, one, sealed) is unseal(two, WEAK, sealed) is None
    for at in range(len(sealed)):
        assert unseal(two, one, sealed[:at] + bytes((sealed[at] ^ 1,)) + sealed[at + 1 :]) is None
    assert unseal(two, one, sealed[:27]) is unseal(two, one, b"") is None


def test_two_nodes_connect_and_ask_each_other() -> None:
    simulation = Simulation(Plan(nodes=2, seeds=0, thorough=True))
    one, two = simulation.nodes
    two.application.handler = lambda kind, body: (0.1, body * 10_000)
    answers: list[v.Effect] = []
    one.performers |= {v.CompleteRequest: answers.append, v.FailRequest: answers.append}
    one.dial(two.address)
    simulation.run(5.0)
    assert simulation.peers(0) == [two.id]
    assert simulation.peers(1) == [one.id]
    request = one.request(next(iter(one.watch.ready.values())), 3, bytes(32), 8.0)
    simulation.run(5.0)
    assert answers == [v.CompleteRequest(request, bytes(320_000))]


@pytest.mark.parametrize("lost", [True, False])
def test_a_connection_that_is_lost_or_closed_is_so_at_both_ends(lost: bool) -> None:
    simulation = Simulation(Plan(nodes=2, seeds=0, thorough=True))
    one, two = simulation.nodes
    one.dial(two.address)
    simulation.run(5.0)
    if lost:
        simulation.network.lose(one.ends[1])
    else:
        one.give(v.CloseRequested(two.id))
    assert simulation.peers(1) == [one.id]
    simulation.run(simulation.plan.distances.consent * 1.2 if lost else 1.0)
    assert simulation.peers(0) == simulation.peers(1) == []
    assert not simulation.network.ends


def test_a_short_partition_holds_messages_back_and_a_long_one_ends_connections() -> None:
    simulation = Simulation(Plan(nodes=2, seeds=0, thorough=True))
    one, two = simulation.nodes
    one.dial(two.address)
    simulation.run(5.0)
    answers: list[v.Effect] = []
    one.performers |= {v.CompleteRequest: answers.append, v.FailRequest: answers.append}
    simulation.network.partition([[one.host], [two.host]])
    one.request(1, 0, b"", 60.0)
    simulation.run(4.0)
    assert answers == []
    simulation.network.heal()
    simulation.run(20.0)
    assert [type(answer) for answer in answers] == [v.CompleteRequest]
    simulation.network.partition([[one.host], [two.host]])
    simulation.run(20.0)
    assert simulation.peers(0) == simulation.peers(1) == []
    simulation.network.heal()
    simulation.run(5.0)


def test_a_step_of_the_clock_fires_what_is_due() -> None:
    simulation = Simulation(Plan(nodes=2, seeds=0))
    one, two = simulation.nodes
    failed: list[v.DialFailed] = []
    one.performers[v.DialFailed] = failed.append
    two.performers[v.Respond] = lambda effect: None
    one.dial(two.address)
    simulation.run(1.0)
    assert not failed
    one.jump(one.settings.outgoing_timeout)
    assert [effect.failure.reason for effect in failed] == ["timeout"]
