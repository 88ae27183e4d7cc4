"""Whole networks in virtual time: they form, heal, and stay as they should whatever happens."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from mina_webrtc.testing import Plan, Simulation, Violation, simulate

pytestmark = pytest.mark.timeout(300)  # virtual time, but all of the processor: on a busy machine that takes

SEEDS, BATCH = 200, 10


@pytest.mark.parametrize("first", range(0, SEEDS, BATCH))
def test_invariants_hold_in_small_troubled_networks(first: int) -> None:
    for seed in range(first, first + BATCH):
        simulate.run(simulate.cluster(seed), 60.0)


def formed(simulation: Simulation) -> bool:
    least = simulation.plan.min_peers
    alive = [number for number, node in enumerate(simulation.nodes) if node in simulation.honest]
    return len(simulation.groups()) == 1 and all(len(simulation.peers(number)) >= least for number in alive)


def within(simulation: Simulation, seconds: float) -> bool:
    end = simulation.clock.now + seconds
    while simulation.clock.now < end:
        simulation.run(1.0)
        if formed(simulation):
            return True
    return False


def crash_some(simulation: Simulation, share: float, first: int = 1) -> None:
    """The seed, number 0, is not among them unless it is said to be the first."""
    victims = simulation.nodes[first:]
    for node in victims[: round(len(simulation.nodes) * share)]:
        node.crash()


def halves(simulation: Simulation) -> list[list[str]]:
    hosts = [node.host for node in simulation.nodes]
    return [hosts[::2], hosts[1::2]]


@pytest.mark.parametrize("unreachable", [0.0, 0.5, 1.0])
def test_nodes_that_know_one_seed_find_each_other_and_again_after_trouble(unreachable: float) -> None:
    simulation = Simulation(Plan(seed=1, nodes=16, min_peers=5, unreachable=unreachable))
    assert within(simulation, 60.0)
    crash_some(simulation, 0.3)
    simulation.run(20.0)  # until everybody has noticed
    assert within(simulation, 60.0)
    simulation.network.partition(halves(simulation))
    simulation.run(120.0)
    simulation.network.heal()
    assert within(simulation, 60.0)


def test_nodes_that_knew_one_seed_do_without_it() -> None:
    simulation = Simulation(Plan(seed=1, nodes=16, min_peers=5, unreachable=0.5))
    assert within(simulation, 60.0)
    crash_some(simulation, 0.3, first=0)
    simulation.run(20.0)
    assert within(simulation, 60.0)


def test_rogues_do_not_keep_honest_nodes_apart() -> None:
    simulation = Simulation(Plan(seed=2, nodes=10, rogues=5, min_peers=4, traffic=0.1))
    assert within(simulation, 120.0)


def test_the_same_plan_gives_the_same_run() -> None:
    plan = simulate.cluster(7)
    traces = [simulate.run(plan, 30.0).trace for _ in range(2)]
    assert traces[0] == traces[1] != simulate.run(simulate.cluster(8), 30.0).trace


@pytest.mark.parametrize("backend", ["native", "pure"])
def test_the_same_plan_gives_the_same_run_in_any_process_on_either_backend(backend: str) -> None:
    if backend == "native" and os.environ.get("MINA_WEBRTC_BACKEND") == "pure":
        backend = "pure"
    command = [sys.executable, "-m", "mina_webrtc.testing.simulate", "--seed", "7", "--seconds", "30"]
    environment = os.environ | {"MINA_WEBRTC_BACKEND": backend, "PYTHONHASHSEED": "17"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=250)
    assert f"trace {simulate.run(simulate.cluster(7), 30.0).trace:08x}" in done.stdout


def test_a_violation_prints_the_command_that_repeats_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(self: Simulation) -> None:
        if self.plan.seed == 5:
            raise Violation("it broke")

    monkeypatch.setattr(Simulation, "_look", broken)
    assert simulate.main(["--seed", "3", "--runs", "9", "--rogues", "4", "--seconds", "2"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("it broke\n")
    assert said.endswith("python -m mina_webrtc.testing.simulate --seed 5 --rogues 4 --seconds 2.0\n")
    assert simulate.main(["--seed", "6", "--runs", "2", "--seconds", "1"]) == 0
    assert "2 runs" in capsys.readouterr().out


def test_the_command_repeats_the_plan() -> None:
    plan = Plan(seed=9, nodes=4, rogues=1, faults=2.5, thorough=True)
    words = simulate.command(plan, 30.0).split()[3:]
    given = dict(zip(words[::2], words[1::2], strict=True))
    assert given["--seed"] == "9"
    assert given["--faults"] == "2.5"
    assert given["--seconds"] == "30.0"
