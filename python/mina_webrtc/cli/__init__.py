"""The command line, `mina-webrtc`: one file per command. What it needs beyond the library is the extra `cli`."""

from __future__ import annotations

import sys
import warnings

from mina_webrtc.cli.streams import prepare_streams
from mina_webrtc.errors import BackendError

NEEDS = frozenset({"rich", "typer"})


def main() -> int:
    """Runs the command line on `sys.argv` and returns the exit code."""
    warnings.showwarning = _warn
    prepare_streams()
    try:
        from mina_webrtc.cli.app import main as run
    except ModuleNotFoundError as error:
        if error.name not in NEEDS:
            raise
        print("mina-webrtc: the command line is not installed: pip install 'mina-webrtc[cli]'", file=sys.stderr)
        return 1
    except BackendError as error:
        print(f"mina-webrtc: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:  # while modules are imported
        return 130
    return run()


def _warn(message: Warning | str, *rest: object, **more: object) -> None:
    """A warning is one line too: where in the sources it was raised says nothing to who runs a command."""
    print(f"mina-webrtc: warning: {message}", file=sys.stderr)
