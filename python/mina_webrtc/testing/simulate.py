"""`python -m mina_webrtc.testing.simulate --seed 7`: runs one simulation, or many, and says how it went.

When an invariant does not hold it prints what broke and the command that repeats the run, and exits with 1.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from time import perf_counter

import msgspec

from mina_webrtc.machines.chance import Chance
from mina_webrtc.testing.simulation import Plan, Simulation, Violation

OPTIONS: dict[str, type[int] | type[float]] = {
    "nodes": int,
    "rogues": int,
    "unreachable": float,
    "unmarked": float,
    "max_peers": int,
    "min_peers": int,
    "faults": float,
    "traffic": float,
    "items": float,
}
SECONDS = 120.0


def cluster(seed: int) -> Plan:
    """A small and troubled network of the seed's own making."""
    chance = Chance(seed)
    return Plan(
        seed=seed,
        nodes=3 + chance.below(5),
        rogues=chance.below(3),
        unreachable=0.25 * chance.below(3),
        max_peers=(2, 4, 100)[chance.below(3)],
        min_peers=(0, 2, 3)[chance.below(3)],
        faults=(0.0, 3.0, 10.0)[chance.below(3)],
        traffic=(0.2, 0.5, 1.0)[chance.below(3)],
        items=(0.0, 2.0, 8.0)[chance.below(3)],
        unmarked=(0.0, 0.3, 0.6)[chance.below(3)],
        thorough=True,
    )


def run(plan: Plan, seconds: float) -> Simulation:
    """The whole life of a network: trouble, then calm. Raises `Violation`, with the command that repeats it."""
    try:
        simulation = Simulation(plan)
        simulation.run(seconds)
        simulation.calm()
        if plan.items and not simulation.spread():
            simulation.spread()
    except Exception as error:
        raise Violation(f"{error}\nrepeat it with: {command(plan, seconds)}") from error
    return simulation


def command(plan: Plan, seconds: float) -> str:
    """What to type to see the same run again."""
    words = ["python -m mina_webrtc.testing.simulate", f"--seed {plan.seed}"]
    usual = cluster(plan.seed)
    for name in OPTIONS:
        value = getattr(plan, name)
        if value != getattr(usual, name):
            words.append(f"--{name.replace('_', '-')} {value}")
    if seconds != SECONDS:
        words.append(f"--seconds {seconds}")
    return " ".join(words)


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m mina_webrtc.testing.simulate", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="of the first run")
    parser.add_argument("--runs", type=int, default=1, help="so many, with consecutive seeds")
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help="virtual seconds of trouble (default: %(default)s)"
    )
    for name, kind in OPTIONS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, help="default: by the seed")
    given = vars(parser.parse_args(arguments))
    changes = {name: given[name] for name in OPTIONS if given[name] is not None}
    begin, events = perf_counter(), 0
    for seed in range(given["seed"], given["seed"] + given["runs"]):
        try:
            simulation = run(msgspec.structs.replace(cluster(seed), **changes), given["seconds"])
        except Violation as violation:
            print(violation, file=sys.stderr)
            return 1
        events += simulation.steps
        if given["runs"] == 1:
            print(f"trace {simulation.trace:08x}, {len(simulation.groups())} groups of honest nodes")
    took = perf_counter() - begin
    print(f"{given['runs']} runs, {events} events in {took:.1f} s, {events / took:.0f} events/s; every invariant held")
    return 0


if __name__ == "__main__":
    sys.exit(main())
