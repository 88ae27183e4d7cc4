"""Where a command's secret key and its password come from: a file, standard input, a prompt or the environment, never
an argument."""

from __future__ import annotations

import getpass
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mina_webrtc.cli.options import usage
from mina_webrtc.cli.shell import standard_input
from mina_webrtc.errors import InvalidInput, KeyFileError

if TYPE_CHECKING:
    from mina_webrtc.identity import SecretKey

VARIABLE = "MINA_WEBRTC_SECRET_KEY"
PASSWORD_VARIABLES = ("MINA_WEBRTC_KEY_PASSWORD", "MINA_LIBP2P_PASS")
"""The second is what Mina's own programs read."""
STDIN = Path("-")
_LONGEST = 4096
"""Characters read from standard input: an encrypted key is under 700."""


def find_key(key_file: Path | None) -> SecretKey | None:
    """The key that the user gave, None if there is none. Raises `KeyFileError`; its message never shows a secret."""
    if key_file == STDIN:
        return _parse(_from_stdin(), "standard input")
    if key_file is not None:
        from mina_webrtc.keyfile import load_key

        return load_key(key_file, lambda: find_password(f"Password of {key_file}"))
    text = os.environ.get(VARIABLE)
    return _parse(text, VARIABLE) if text is not None else None


def key_or_new(key_file: Path | None) -> tuple[SecretKey, bool]:
    """The key that the user gave, else a new one; and whether it is new."""
    from mina_webrtc.identity import SecretKey

    key = find_key(key_file)
    return (key, False) if key is not None else (SecretKey.random(), True)


def find_password(prompt: str) -> str:
    """From the environment, else from who sits at the terminal. Raises `KeyFileError` when there is neither."""
    for name in PASSWORD_VARIABLES:
        if (found := os.environ.get(name)) is not None:
            return found
    return _ask(prompt)


def new_password() -> str:
    """As `find_password`, but asks twice. An empty one must come from the environment, where it is no slip."""
    for name in PASSWORD_VARIABLES:
        if (found := os.environ.get(name)) is not None:
            return found
    password = _ask("New password of the key")
    if not password:
        raise KeyFileError("an empty password protects nothing")
    if _ask("The same again") != password:
        raise KeyFileError("the two passwords differ")
    return password


def _ask(prompt: str) -> str:
    if not ((sys.stdin is not None and sys.stdin.isatty()) or sys.stderr.isatty()):
        raise KeyFileError(f"a password is needed: set {PASSWORD_VARIABLES[0]}, or run this on a terminal")
    try:
        return getpass.getpass(f"{prompt} (not shown): ")
    except EOFError:
        raise KeyFileError("no password was entered") from None


def _from_stdin() -> str:
    stdin = standard_input()
    if not stdin.isatty():
        return stdin.read(_LONGEST)
    try:
        return getpass.getpass("Secret key (not shown): ")
    except EOFError:
        raise usage("--key-file", "no key was entered") from None


def _parse(text: str, source: str) -> SecretKey:
    from mina_webrtc.keyfile import parse_secret

    try:
        return parse_secret(text, lambda: find_password(f"Password of the key from {source}"))
    except InvalidInput as error:
        raise KeyFileError(f"{source}: {error}") from None
