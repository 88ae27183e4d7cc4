"""The `mina-webrtc` program: its commands, and what its exit code and its last words are when something fails."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from mina_webrtc.cli.demo import demo
from mina_webrtc.cli.dial import dial
from mina_webrtc.cli.doctor import doctor
from mina_webrtc.cli.inspect import inspect
from mina_webrtc.cli.keygen import keygen
from mina_webrtc.cli.node import node
from mina_webrtc.errors import MinaWebrtcError

# No markup: the help is plain text that any pager, pipe and screen reader can read.
app = typer.Typer(
    name="mina-webrtc",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (keygen, node, dial, doctor, inspect, demo):
    app.command()(command)


def _version(wanted: bool) -> None:
    if wanted:
        import mina_webrtc

        typer.echo(f"mina-webrtc {mina_webrtc.__version__} ({mina_webrtc.backend} backend)")
        raise typer.Exit


@app.callback()
def program(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """The WebRTC layer of the Mina blockchain's network: make a key, run a node, dial one, explain what
    you find, see a demonstration.

    Exit codes: 0 success, 1 failure, 2 wrong usage.
    """


def main() -> int:
    """Runs the command line on `sys.argv` and returns the exit code; foreseeable failures are one line on stderr."""
    try:
        app(prog_name="mina-webrtc")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone; the interpreter's own flush at exit must not complain about it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (MinaWebrtcError, OSError) as error:
        print(f"mina-webrtc: {error}", file=sys.stderr)
        return 1
    return 0
