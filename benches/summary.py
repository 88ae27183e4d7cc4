"""The file of figures: one flat JSON object, units in the names, written by merging so that no run drops another's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path


def merge(path: Path, figures: Mapping[str, float]) -> None:
    """Puts `figures` into the summary at `path`, next to those that other benchmarks wrote there before."""
    known = json.loads(path.read_text()) if path.exists() else {}
    known.update({name: float(f"{value:.4g}") for name, value in figures.items()})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(dict(sorted(known.items())), indent=2) + "\n")
