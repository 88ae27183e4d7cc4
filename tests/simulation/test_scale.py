"""Networks of the size and the age that matter: minutes of work, hours of virtual time. Without items: their memory is
bounded by number, not by time."""

from __future__ import annotations

import gc
from collections import deque
from types import BuiltinFunctionType, FunctionType, ModuleType

import pytest
from tests.simulation.test_networks import crash_some, formed, halves, within

from mina_webrtc.testing import Plan, Simulation

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

MINUTE, HOUR = 60.0, 3600.0


@pytest.mark.parametrize("unreachable", [0.0, 0.5])
def test_a_hundred_nodes_that_know_one_seed_find_each_other_and_again_after_trouble(unreachable: float) -> None:
    simulation = Simulation(Plan(seed=1, nodes=100, min_peers=50, unreachable=unreachable))
    assert within(simulation, MINUTE)
    crash_some(simulation, 0.3)
    simulation.run(simulation.plan.distances.consent * 1.5)  # until everybody knows
    assert within(simulation, MINUTE - simulation.plan.distances.consent * 1.5)
    simulation.network.partition(halves(simulation))
    simulation.run(2 * MINUTE)
    assert len(simulation.groups()) == 2
    simulation.network.heal()
    assert within(simulation, MINUTE)


def test_a_hundred_nodes_that_knew_one_seed_do_without_it() -> None:
    simulation = Simulation(Plan(seed=1, nodes=100, min_peers=50, unreachable=0.5))
    assert within(simulation, MINUTE)
    crash_some(simulation, 0.3, first=0)
    simulation.run(simulation.plan.distances.consent * 1.5)
    assert within(simulation, MINUTE - simulation.plan.distances.consent * 1.5)


def test_a_thousand_nodes_that_start_together_and_know_thirty_seeds_find_each_other() -> None:
    simulation = Simulation(Plan(seed=1, nodes=1000, seeds=30, min_peers=10))
    assert within(simulation, MINUTE / 2)
    simulation.run(MINUTE)
    assert formed(simulation)


def test_nothing_grows_in_a_network_that_has_what_it_wants() -> None:
    simulation = Simulation(Plan(seed=3, nodes=12, min_peers=6, traffic=3.0))
    simulation.run(HOUR / 2)  # until what is remembered for a while is forgotten as fast as it comes
    before = _sizes(simulation)
    simulation.run(HOUR)
    for name, size in _sizes(simulation).items():
        assert size <= 1.5 * before[name] + 50, name


def test_nothing_grows_in_an_hour_of_trouble() -> None:
    simulation = Simulation(Plan(seed=3, nodes=12, rogues=2, min_peers=6, traffic=3.0, faults=30.0))
    sizes = []
    for _ in range(12):
        simulation.run(HOUR / 6)
        sizes.append(_sizes(simulation))
    for name in sizes[0]:
        first, second = (max(size[name] for size in half) for half in (sizes[:6], sizes[6:]))
        assert second <= 1.25 * first + 20, name


def test_nothing_happens_in_a_network_that_has_what_it_wants() -> None:
    simulation = Simulation(Plan(seed=3, nodes=20, min_peers=10))
    simulation.run(20 * MINUTE)  # until all introductions are forgotten
    before = simulation.steps
    simulation.run(HOUR)
    assert simulation.steps == before
    assert all(node.store.deadline() is None for node in simulation.nodes)


def _sizes(simulation: Simulation) -> dict[str, int]:
    """Everything that could grow: what each kind of state holds, timers, and whatever a node can reach at all."""
    nodes = [node for node in simulation.nodes if node.alive]
    sizes = {"arranged": len(simulation.clock), "ends": len(simulation.network.ends)}
    for node in nodes:
        for name, value in _flat(node.store.state()):
            sizes[name] = sizes.get(name, 0) + value
        sizes["reachable"] = sizes.get("reachable", 0) + _reachable(node.store)
    return sizes


def _flat(state: object, name: str = "") -> list[tuple[str, int]]:
    match state:
        case dict():
            return [pair for key, value in state.items() for pair in _flat(value, f"{name}.{key}")]
        case list():
            return [(name, len(state))]
        case int() if not name.startswith((".ignored", ".seed")) and name not in COUNTERS:
            return [(name, state)]
    return []


COUNTERS = {".items.forwarded", ".items.refused", ".items.dropped"}
"""They count what has happened."""
FOREIGN = (type, FunctionType, BuiltinFunctionType, ModuleType)


def _reachable(root: object) -> int:
    """How many objects a store leads to."""
    gc.collect()
    seen, todo = {id(root)}, deque([root])
    while todo:
        for one in gc.get_referents(todo.popleft()):
            if id(one) not in seen and not isinstance(one, FOREIGN):
                seen.add(id(one))
                todo.append(one)
    return len(seen)
