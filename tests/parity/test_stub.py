"""`_native.pyi` is the contract: stubtest holds the native backend to it, signatures hold the pure one."""

from __future__ import annotations

import ast
import inspect
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.parity.conftest import NATIVE_MISSING

from mina_webrtc import _pure

PACKAGE = Path(_pure.__file__).parents[1]
STUB = ast.parse((PACKAGE / "_native.pyi").read_text("utf-8"))


def _functions(body: list[ast.stmt]) -> list[ast.FunctionDef]:
    return [node for node in body if isinstance(node, ast.FunctionDef)]


CLASSES = [node for node in STUB.body if isinstance(node, ast.ClassDef)]
CALLABLES = [(None, function) for function in _functions(STUB.body)] + [
    (node.name, function) for node in CLASSES for function in _functions(node.body)
]


def _parameters(function: ast.FunctionDef) -> list[tuple[str, str]]:
    arguments = function.args
    assert not arguments.vararg
    assert not arguments.kwarg
    assert not arguments.kwonlyargs
    positional = [
        (argument.arg, ast.unparse(argument.annotation or ast.Name(""))) for argument in arguments.posonlyargs
    ]
    both = [(argument.arg, ast.unparse(argument.annotation or ast.Name(""))) for argument in arguments.args]
    return [(f"{name}/", kind) for name, kind in positional] + both


def _actual(target: Any) -> list[tuple[str, str]]:
    found = inspect.signature(target).parameters.values()
    suffix = {inspect.Parameter.POSITIONAL_ONLY: "/", inspect.Parameter.POSITIONAL_OR_KEYWORD: ""}
    empty = inspect.Parameter.empty
    return [(p.name + suffix[p.kind], "" if p.annotation is empty else str(p.annotation)) for p in found]


@pytest.mark.parametrize(
    ("owner", "function"), CALLABLES, ids=[f"{owner or ''}.{function.name}" for owner, function in CALLABLES]
)
def test_pure_has_the_signatures_of_the_stub(owner: str | None, function: ast.FunctionDef) -> None:
    decorators = {ast.unparse(decorator) for decorator in function.decorator_list}
    home: Any = getattr(_pure, owner) if owner else _pure
    found = inspect.getattr_static(home, function.name)
    assert isinstance(found, property) == ("property" in decorators)
    target = found.fget if isinstance(found, property) else getattr(found, "__func__", found)
    if function.name not in {"__new__"}:
        assert isinstance(found, staticmethod) == ("staticmethod" in decorators)
    wanted, actual = _parameters(function), _actual(target)
    if function.name in {"__lt__", "__le__", "__gt__", "__ge__"}:  # declared once for both ordered types
        wanted, actual = ([(name, "") for name, _ in parameters] for parameters in (wanted, actual))
    assert _names(actual) == _names(wanted)
    for (_, kind), (_, annotation) in zip(actual, wanted, strict=True):
        assert kind == annotation


def _names(parameters: list[tuple[str, str]]) -> list[str]:
    return [name for name, _ in parameters]


@pytest.mark.parametrize("node", CLASSES, ids=[node.name for node in CLASSES])
def test_pure_classes_have_nothing_public_beyond_the_stub(node: ast.ClassDef) -> None:
    listed = {function.name for function in _functions(node.body)}
    listed |= {s.target.id for s in node.body if isinstance(s, ast.AnnAssign) and isinstance(s.target, ast.Name)}
    kind = getattr(_pure, node.name)
    public = {name for name in dir(kind) if not name.startswith("_")}
    assert {name for name in listed if not name.startswith("_")} <= public
    assert public <= listed
    with pytest.raises(TypeError):
        type("Child", (kind,), {})


def test_pure_names_are_the_stubs_names() -> None:
    listed = {node.name for node in STUB.body if isinstance(node, ast.FunctionDef | ast.ClassDef)} | {"__version__"}
    assert set(_pure.__all__) == listed


if not NATIVE_MISSING:

    @pytest.mark.slow
    def test_native_is_what_the_stub_says() -> None:
        done = subprocess.run(
            [sys.executable, "-m", "mypy.stubtest", "mina_webrtc._native", "--concise"],
            cwd=PACKAGE.parents[1],
            env={**os.environ, "PYTHONPATH": str(PACKAGE.parent), "MYPYPATH": str(PACKAGE.parent)},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
