"""Networks of the size and the age that matter: minutes of work, hours of virtual time."""

from __future__ import annotations

import gc

import pytest
from tests.simulation.test_networks import crash_some, halves, within

from mina_webrtc.testing import Plan, Simulation

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

NOTICED = 20.0
"""Seconds after which everybody knows who has crashed."""


@pytest.mark.parametrize("unreachable", [0.0, 0.5])
def test_a_hundred_nodes_that_know_one_seed_find_each_other_and_again_after_trouble(unreachable: float) -> None:
    simulation = Simulation(Plan(seed=1, nodes=100, min_peers=50, unreachable=unreachable))
    assert within(simulation, 60.0)
    crash_some(simulation, 0.3)
    simulation.run(NOTICED)
    assert within(simulation, 60.0)
    simulation.network.partition(halves(simulation))
    simulation.run(120.0)
    assert len(simulation.groups()) == 2
    simulation.network.heal()
    assert within(simulation, 60.0)


def test_a_thousand_nodes_become_one_network() -> None:
    simulation = Simulation(Plan(seed=1, nodes=1000, seeds=100, min_peers=10))
    assert within(simulation, 120.0)


def test_nothing_grows_in_an_hour_of_trouble() -> None:
    simulation = Simulation(Plan(seed=3, nodes=12, rogues=2, min_peers=6, traffic=0.5, faults=30.0))
    sizes = []
    for _ in range(6):
        simulation.run(600.0)
        gc.collect()
        sizes.append(_sizes(simulation))
    for name, first in sizes[0].items():
        assert max(size[name] for size in sizes[1:]) <= 2 * first + 50, name
    assert sizes[-1]["objects"] < 1.15 * sizes[0]["objects"]


def test_nothing_happens_in_a_network_that_has_what_it_wants() -> None:
    simulation = Simulation(Plan(seed=3, nodes=20, min_peers=10))
    simulation.run(1200.0)  # until all introductions are forgotten
    before = simulation.steps
    simulation.run(3600.0)
    assert simulation.steps == before
    assert all(node.store.deadline() is None for node in simulation.nodes)


def _sizes(simulation: Simulation) -> dict[str, int]:
    states = [node.store.state() for node in simulation.nodes if node.alive]
    return {
        "objects": len(gc.get_objects()),
        "arranged": len(simulation.clock),
        "ends": len(simulation.network.ends),
        "timers": sum(state["timers"] for state in states),
        "addresses": sum(state["addresses"] for state in states),
        "introductions": sum(state["introductions"]["pairs"] for state in states),
        "offers": sum(state["offers_remembered"] for state in states),
    }
