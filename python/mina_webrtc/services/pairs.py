"""Candidates and pairs: their order, and words for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import zip_longest

from aioice import Candidate
from aioice.ice import CandidatePair


def by_turns(candidates: list[Candidate]) -> list[Candidate]:
    """One of each type after the other. Two machines with a dozen addresses have more pairs than `MAX_PAIRS` of host
    candidates alone; the few that work may be among the others."""
    queues: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        queues.setdefault(candidate.type, []).append(candidate)
    return [candidate for turn in zip_longest(*queues.values()) for candidate in turn if candidate is not None]


def relayed(pair: CandidatePair) -> bool:
    """Whether its packets take the way over a server."""
    return "relay" in (pair.local_candidate.type, pair.remote_candidate.type)


def kind(pair: CandidatePair) -> str:
    """`host-srflx` and so on."""
    return f"{pair.local_candidate.type}-{pair.remote_candidate.type}"


def kinds(types: Iterable[str]) -> str:
    """`2 host, 1 relay`."""
    return ", ".join(f"{count} {name}" for name, count in sorted(Counter(types).items())) or "none"


def shown(host: str, port: int) -> str:
    """`ip:port`."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
