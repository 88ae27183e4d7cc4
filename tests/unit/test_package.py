"""What a stranger sees first: one version everywhere, a README whose example runs."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import mina_webrtc

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_one_version_everywhere() -> None:
    python = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    rust = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
    assert python == rust == mina_webrtc.__version__


@pytest.mark.parametrize("extras", [[], ["cli"]], ids=["the library", "the command line"])
def test_what_is_imported_is_a_dependency(extras: list[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = project["dependencies"] + [text for extra in extras for text in project["optional-dependencies"][extra]]
    names = {re.match(r"[\w.-]+", text)[0].lower() for text in declared}  # type: ignore[index]
    imported = {
        name.partition(".")[0]
        for path in (ROOT / "python").rglob("*.py")
        if extras or "cli" not in path.parts
        for item in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for name in _names(item)
    }
    # Only type checkers see this one.
    foreign = imported - set(sys.stdlib_module_names) - {"mina_webrtc", "typing_extensions"}
    owners = packages_distributions()
    assert {name for name in foreign if not names & {owner.lower() for owner in owners[name]}} == set()


def _names(item: ast.AST) -> list[str]:
    if isinstance(item, ast.Import):
        return [alias.name for alias in item.names]
    return [item.module or ""] if isinstance(item, ast.ImportFrom) and not item.level else []


def test_every_public_name_exists() -> None:
    assert [name for name in mina_webrtc.__all__ if not hasattr(mina_webrtc, name)] == []


def test_the_readme_example_runs() -> None:
    example = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert example is not None
    assert (ROOT / "examples/two_nodes.py").read_text(encoding="utf-8").endswith(f'"""\n\n{example[1]}')
    environment = os.environ | {"PYTHONPATH": str(ROOT / "python")}
    command = [sys.executable, "-c", example[1]]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert done.stderr == ""
    first, second = done.stdout.splitlines()
    assert re.fullmatch(r"connected to 2\w{50,} in \d+ ms", first)
    assert second == "b'the block'"


def test_the_commands_of_the_readme_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", README, re.MULTILINE)) <= targets


def test_links_lead_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.md")]
    links = [
        (page, link)
        for page in pages
        for link in re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    ]
    assert links
    assert [(page.name, link) for page, link in links if not (page.parent / link).exists()] == []
