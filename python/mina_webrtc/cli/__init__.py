"""The command line, `mina-webrtc`: one file per command. What it needs beyond the library is the extra `cli`."""

from __future__ import annotations

import sys

NEEDS = frozenset({"rich", "typer"})


def main() -> int:
    """Runs the command line on `sys.argv` and returns the exit code."""
    try:
        from mina_webrtc.cli.app import main as run
    except ModuleNotFoundError as error:
        if error.name not in NEEDS:
            raise
        print("mina-webrtc: the command line is not installed: pip install 'mina-webrtc[cli]'", file=sys.stderr)
        return 1
    return run()
