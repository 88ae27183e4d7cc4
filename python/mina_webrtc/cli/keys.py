"""Where a command's secret key comes from: a file, standard input, a prompt or the environment, never an argument."""

from __future__ import annotations

import getpass
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mina_webrtc.cli.options import usage
from mina_webrtc.errors import InvalidInput, KeyFileError

if TYPE_CHECKING:
    from mina_webrtc.identity import SecretKey

VARIABLE = "MINA_WEBRTC_SECRET_KEY"
STDIN = Path("-")
_LONGEST = 4096
"""Characters read from standard input: a PEM key is under 300."""


def find_key(key_file: Path | None) -> SecretKey | None:
    """The key that the user gave, None if there is none. Raises `KeyFileError`; its message never shows a secret."""
    if key_file == STDIN:
        return _parse(_from_stdin(), "standard input")
    if key_file is not None:
        from mina_webrtc.keyfile import load_key

        return load_key(key_file)
    text = os.environ.get(VARIABLE)
    return _parse(text, VARIABLE) if text is not None else None


def key_or_new(key_file: Path | None) -> tuple[SecretKey, bool]:
    """The key that the user gave, else a new one; and whether it is new."""
    from mina_webrtc.identity import SecretKey

    key = find_key(key_file)
    return (key, False) if key is not None else (SecretKey.random(), True)


def _from_stdin() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.read(_LONGEST)
    try:
        return getpass.getpass("Secret key (not shown): ")
    except EOFError:
        raise usage("--key-file", "no key was entered") from None


def _parse(text: str, source: str) -> SecretKey:
    from mina_webrtc.keyfile import parse_secret

    try:
        return parse_secret(text)
    except InvalidInput as error:
        raise KeyFileError(f"{source}: {error}") from None
