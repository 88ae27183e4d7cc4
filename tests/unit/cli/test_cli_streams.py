"""Commands whose standard streams are closed, or of a poor encoding: no traceback, no crash, no mixed outputs."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from mina_webrtc import SecretKey, __version__
from mina_webrtc.cli.keys import PASSWORD_VARIABLES, VARIABLE

PEER = SecretKey.deterministic(1).peer_id
ADDRESS = f"/{PEER}/http/127.0.0.1/1"
DIAL = ["dial", ADDRESS, "--allow-loopback", "--timeout", "5"]


def _run(redirections: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    kept = {name: value for name, value in os.environ.items() if name not in (VARIABLE, *PASSWORD_VARIABLES)}
    command = [sys.executable, "-m", "mina_webrtc", *arguments]
    return subprocess.run(
        ["sh", "-c", f'exec "$0" "$@" {redirections}', *command],
        env=kept | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )


@pytest.mark.parametrize("arguments", [["inspect"], ["keygen", "--key-file", "-"], ["node", "--key-file", "-"]])
def test_a_closed_input_is_told_where_it_is_needed(arguments: list[str]) -> None:
    done = _run("<&-", *arguments)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr == b"mina-webrtc: standard input is closed\n"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize(("arguments", "code"), [(["inspect", ADDRESS], 0), (["doctor"], 0), (DIAL, 1)])
def test_closed_streams_are_not_used_for_anything_else(arguments: list[str], code: int, closed: str) -> None:
    done = _run(closed, *arguments)
    assert done.returncode == code
    assert b"mina-webrtc:" not in done.stdout
    assert b"Traceback" not in done.stdout + done.stderr


def test_what_is_for_people_does_not_become_a_result() -> None:
    done = _run("2>&-", "keygen")
    assert [line.split()[0] for line in done.stdout.splitlines()] == [b"public", b"peer", b"libp2p"]


def test_characters_that_the_terminal_lacks_are_escaped() -> None:
    done = _run("", "inspect", "02" + "ff" * 100, PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert b"ff\\u2026\n" in done.stdout


def test_bytes_that_are_no_text_are_no_key() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mina_webrtc", "keygen", "--key-file", "-"],
        input=b"5\xff",
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == b"mina-webrtc: standard input: is not ASCII text, so it is no key\n"


def test_an_unknown_backend_is_one_line() -> None:
    done = _run("", "--version", MINA_WEBRTC_BACKEND="neither")
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr == b"mina-webrtc: MINA_WEBRTC_BACKEND is 'neither'; it must be native, pure or unset\n"
    assert _run("2>&-", "--version", MINA_WEBRTC_BACKEND="neither").stdout == b""


WITHOUT_NATIVE = """
import sys
sys.modules["mina_webrtc._native"] = None
sys.argv = ["mina-webrtc", "--version"]
from mina_webrtc.cli import main
sys.exit(main())
"""
INTERRUPTED = """
import sys
class Finder:
    def find_spec(self, name, *rest):
        if name == "typer":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Finder())
from mina_webrtc.cli import main
sys.exit(main())
"""


def test_a_missing_binary_is_a_warning_of_one_line() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "MINA_WEBRTC_BACKEND"}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_NATIVE], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, f"mina-webrtc {__version__} (pure backend)\n")
    assert done.stderr.startswith("mina-webrtc: warning: the native backend cannot be imported")
    assert done.stderr.count("\n") == 1


def test_an_interrupt_while_modules_are_imported_is_no_traceback() -> None:
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")
