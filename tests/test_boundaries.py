"""The import arrows of docs/architecture.md, read off the sources, and what the deterministic rooms must not import."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = "mina_webrtc"
SOURCES = Path(__file__).parents[1] / "python" / PACKAGE

# Imports point downwards: from a line to the lines below it.
FLOORS = (
    ("__main__",),
    ("cli",),
    ("",),  # the package itself, which exports the public names
    ("node", "gateway"),
    ("services", "replay", "metrics", "testing"),
    ("store",),
    ("config",),
    ("machines",),
    ("wire",),
    ("identity", "keyfile", "keybox"),
    ("_backend",),
    ("_native", "_pure"),
    ("errors", "_version"),
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
# Arrows between rooms of one floor.
SIDEWAYS = {
    ("keyfile", "identity"),
    ("keyfile", "keybox"),
    ("keybox", "identity"),
    ("testing", "services"),
    ("replay", "testing"),
}
# No clock, no chance, no input or output: a machine or a codec that needs one is in the wrong room (rule 2).
PURE_ROOMS = ("machines", "wire")
STANDARD = {"asyncio", "socket", "ssl", "threading", "time", "random", "secrets", "os", "logging"}
IMPURE = STANDARD | {"subprocess", "multiprocessing", "selectors", "aiohttp", "aiortc", "aioice", "uvloop"}


def _modules(root: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(root.rglob("*.py*")):
        if path.suffix not in {".py", ".pyi"}:
            continue
        parts = [PACKAGE, *path.relative_to(root).with_suffix("").parts]
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def _imports(module: str, path: Path) -> Iterator[tuple[int, str]]:
    """(line, absolute dotted name) of everything that a file imports, at any depth and for type checkers too."""
    package = module if path.stem == "__init__" else module.rpartition(".")[0]
    for item in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(item, ast.Import):
            yield from ((item.lineno, alias.name) for alias in item.names)
        elif isinstance(item, ast.ImportFrom):
            base = item.module or ""
            if item.level:
                above = package.split(".")[: len(package.split(".")) - item.level + 1]
                base = ".".join([*above, base]).rstrip(".")
            # `from mina_webrtc import node` imports a room, not a name of the top package.
            yield from ((item.lineno, f"{base}.{alias.name}" if base == PACKAGE else base) for alias in item.names)


def _room(name: str) -> str:
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in FLOOR_OF else ""


def violations(root: Path) -> list[str]:
    """Every wrong arrow below `root`, the package's folder, as `file:line: what is wrong`."""
    found = []
    for module, path in _modules(root):
        here = _room(module)
        if not here and module.count(".") >= 1:
            found.append(f"{path.name}: {module} is in no room of docs/architecture.md")
            continue
        for line, name in _imports(module, path):
            where = f"{path.relative_to(root)}:{line}"
            if here in PURE_ROOMS and name.split(".")[0] in IMPURE:
                found.append(f"{where}: {here} must not import {name}")
            if name != PACKAGE and not name.startswith(PACKAGE + "."):
                continue
            there = _room(name)
            if here != there and FLOOR_OF[there] <= FLOOR_OF[here] and (here, there) not in SIDEWAYS:
                found.append(f"{where}: {here or PACKAGE} must not import {there or PACKAGE} ({name})")
    return found


def test_every_import_points_downwards() -> None:
    assert violations(SOURCES) == []


def test_the_package_was_read() -> None:
    rooms = {_room(module) for module, _ in _modules(SOURCES)}
    assert {"cli", "node", "services", "machines", "wire", "_pure", "errors"} <= rooms


@pytest.mark.parametrize(
    ("file", "text", "complaint"),
    [
        ("wire/sdp.py", "from mina_webrtc.machines import vocab", "wire must not import machines"),
        ("wire/sdp.py", "from ..node import Node", "wire must not import node"),
        ("wire/sdp.py", "def f():\n    import asyncio", "wire must not import asyncio"),
        ("machines/peer.py", "import logging", "machines must not import logging"),
        ("machines/peer.py", "from os.path import join", "machines must not import os.path"),
        ("machines/peer.py", "import mina_webrtc.config", "machines must not import config"),
        ("machines/peer.py", "from mina_webrtc import store", "machines must not import store"),
        ("store.py", "from mina_webrtc import Node", "store must not import mina_webrtc"),
        ("services/driver.py", "import mina_webrtc.node as n", "services must not import node"),
        ("node.py", "from mina_webrtc.cli import main", "node must not import cli"),
        ("errors.py", "from mina_webrtc._backend import PeerId", "errors must not import _backend"),
        ("_pure/keys.py", "from mina_webrtc import identity", "_pure must not import identity"),
        ("helpers.py", "", "in no room"),
    ],
)
def test_a_planted_violation_is_found(tmp_path: Path, file: str, text: str, complaint: str) -> None:
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    found = violations(tmp_path)
    assert len(found) == 1
    assert complaint in found[0]


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("machines/peer.py", "from . import vocab\nfrom mina_webrtc.wire.signal import Offer\nimport msgspec"),
        ("node.py", "from mina_webrtc.config import Config\nfrom mina_webrtc.errors import DialError\nimport asyncio"),
        ("__init__.py", "from mina_webrtc.node import Node"),
        ("testing/memory.py", "from mina_webrtc.services.base import Transport"),
        ("keyfile.py", "from mina_webrtc.identity import SecretKey"),
    ],
)
def test_a_right_import_is_no_violation(tmp_path: Path, file: str, text: str) -> None:
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    assert violations(tmp_path) == []
