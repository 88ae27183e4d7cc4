"""Both backends as a fixture, and the vector files.

`VECTORS_DIR` names another folder of vector files of the same schema. A missing native backend fails the run, unless
`MINA_WEBRTC_BACKEND=pure` says that it is not wanted; the header of the run tells.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import settings

# No deadlines: they measure the machine. `--hypothesis-profile=deep` looks longer; CI has a profile of its own.
settings.register_profile("quick", deadline=None)
settings.register_profile("deep", deadline=None, max_examples=3000)
if not os.environ.get("CI"):
    settings.load_profile("quick")

VECTORS_DIR = Path(os.environ.get("VECTORS_DIR") or Path(__file__).parent / "vectors")
PURE_ONLY = os.environ.get("MINA_WEBRTC_BACKEND") == "pure"
BACKENDS = ["pure"] if PURE_ONLY else ["native", "pure"]


@cache
def read_vectors(name: str) -> dict[str, Any]:
    return json.loads((VECTORS_DIR / f"{name}.json").read_text("utf-8"))


def pytest_configure(config: pytest.Config) -> None:
    # Shells start what runs in the background with SIGINT ignored, and the programs under test would inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "entries(file, list): runs the test with every `entry` of a vector file's list")


def pytest_report_header() -> list[str]:
    reason = "native is left out because MINA_WEBRTC_BACKEND=pure" if PURE_ONLY else "native must be there"
    return [f"backends: {', '.join(BACKENDS)} ({reason})", f"vectors: {VECTORS_DIR}"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    marker = metafunc.definition.get_closest_marker("entries")
    if marker is not None:
        found = read_vectors(marker.args[0])[marker.args[1]]
        assert found, f"no vectors in the list {marker.args[1]} of {marker.args[0]}"
        metafunc.parametrize("entry", found, ids=[_label(index, entry) for index, entry in enumerate(found)])


def _label(index: int, entry: dict[str, Any]) -> str:
    return f"{index}-{entry.get('why') or entry.get('name') or entry.get('what') or ''}".rstrip("-").replace(" ", "_")


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> ModuleType:
    """`mina_webrtc._native` and `mina_webrtc._pure`, one after the other."""
    return importlib.import_module(f"mina_webrtc._{request.param}")


@pytest.fixture(scope="session")
def vectors() -> Callable[[str], dict[str, Any]]:
    """Loads a vector file by its name without `.json`."""
    return read_vectors
