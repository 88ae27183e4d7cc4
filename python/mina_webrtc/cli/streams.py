"""The standard streams, made fit for whatever is printed; before anything else is imported, because that may print."""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper
from pathlib import Path

STANDARD = 2
"""The last of the three descriptors that every program has."""


def prepare_streams() -> None:
    """Closed ones among the three standard streams become the null device: otherwise the first sockets get their
    numbers, which libuv aborts on, and Python prints to stdout what is meant for stderr. Characters that the
    terminal's encoding lacks are escaped."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= STANDARD:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if isinstance(sys.stdin, TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")
