"""Which backend is picked, and that no choice is made silently."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import tomllib
import warnings
from pathlib import Path
from types import ModuleType

import pytest

from mina_webrtc import _backend, _pure
from mina_webrtc._version import __version__
from mina_webrtc.errors import BackendError, BackendWarning

ROOT = Path(__file__).parents[2]


@pytest.fixture
def no_native(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mina_webrtc._native", None)


@pytest.fixture
def other_native(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("mina_webrtc._native")
    module.__version__ = "0.0.9"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mina_webrtc._native", module)


@pytest.fixture
def same_native(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType("mina_webrtc._native")
    module.__version__ = __version__  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mina_webrtc._native", module)
    return module


@pytest.mark.parametrize("forced", [None, "", "native"])
def test_native_is_taken_without_a_warning(same_native: ModuleType, forced: str | None) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert _backend.pick(forced) == ("native", same_native)


@pytest.mark.parametrize("forced", ["Native", "rust", "pure ", "0"])
def test_an_unknown_word_is_an_error(forced: str) -> None:
    with pytest.raises(BackendError, match=re.escape(repr(forced))):
        _backend.pick(forced)


@pytest.mark.usefixtures("no_native")
def test_a_missing_native_backend_falls_back_with_one_warning() -> None:
    with pytest.warns(BackendWarning, match="cannot be imported.*MINA_WEBRTC_BACKEND=pure") as caught:
        assert _backend.pick(None) == ("pure", _pure)
    assert len(caught) == 1


@pytest.mark.usefixtures("other_native")
def test_a_native_backend_of_another_version_falls_back_with_one_warning() -> None:
    with pytest.warns(BackendWarning, match=rf"version 0\.0\.9, this package is {re.escape(__version__)}") as caught:
        assert _backend.pick(None) == ("pure", _pure)
    assert len(caught) == 1


@pytest.mark.usefixtures("no_native")
def test_a_forced_native_backend_that_is_missing_is_an_error() -> None:
    with pytest.raises(BackendError, match="cannot be imported"):
        _backend.pick("native")
    with pytest.raises(ImportError):
        _backend.pick("native")


@pytest.mark.usefixtures("other_native")
def test_a_forced_native_backend_of_another_version_is_an_error() -> None:
    with pytest.raises(BackendError, match="built for version"):
        _backend.pick("native")


@pytest.mark.usefixtures("no_native")
def test_forced_pure_is_silent() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert _backend.pick("pure") == ("pure", _pure)


def test_the_package_uses_what_was_picked() -> None:
    module = importlib.import_module(f"mina_webrtc._{_backend.name}")
    for name in _backend.__all__:
        if name != "name":
            assert getattr(_backend, name) is getattr(module, name)


@pytest.mark.parametrize(("word", "code"), [("pure", 0), ("neither", 1)])
def test_the_variable_decides_in_a_new_process(word: str, code: int) -> None:
    program = "from mina_webrtc._backend import name; print(name)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"MINA_WEBRTC_BACKEND": word, "PYTHONPATH": str(ROOT / "python")},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == code
    assert ("pure" in done.stdout) if code == 0 else ("BackendError" in done.stderr)


def test_version_stands_in_three_places_and_is_the_same() -> None:
    cargo = tomllib.loads((ROOT / "Cargo.toml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert cargo["workspace"]["package"]["version"] == project["project"]["version"] == __version__
    assert _pure.__version__ == __version__
