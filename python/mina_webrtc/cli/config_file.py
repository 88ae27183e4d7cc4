"""`--config FILE`: a TOML file with the settings of `Config` by their names.

    chain_id = "devnet"
    key_file = "node.key"
    listen = ["0.0.0.0:3000"]
    seeds = ["/dns4/seed.example.com/tcp/3000/webrtc/http/p2p/12D3KooW..."]
    peer_db = "peers.db"

    [limits]
    max_peers = 50

    [timeouts]
    reconnect = 20

Relative file names are relative to the file's own folder. A secret key does not stand in it: it names a `key_file`.
"""

from __future__ import annotations

import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

import msgspec

from mina_webrtc.cli.options import named_chain, usage
from mina_webrtc.errors import ConfigError

OPTION = "--config"
LONGEST = 256 * 1024
"""Bytes; seeds by the hundred."""


def read_settings(path: Path) -> dict[str, Any]:
    """The settings in a file, as arguments of `Config`, and `key_file` if there is one.

    A file that cannot be read, is no TOML, or holds an unknown name or a value of another type is a usage error that
    names file and key.
    """
    from mina_webrtc.config import Config, Limits, Timeouts

    table = _table(path)
    settings = {}
    if "secret_key" in table:
        raise _wrong(path, "secret_key", "a secret key does not stand here; name its key_file")
    for name, kind in (("limits", Limits), ("timeouts", Timeouts)):
        if name in table:
            settings[name] = _section(path, name, kind, table.pop(name))
    if "key_file" in table:
        settings["key_file"] = _value(path, "key_file", Path, table.pop("key_file"))
    settings |= _values(path, "", Config, table)
    if "seed_lists" in settings:
        lists = settings["seed_lists"]
        settings["seed_lists"] = tuple(text if "://" in text else str(path.parent / text) for text in lists)
    return settings


def _table(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            data = file.read(LONGEST + 1)
        if len(data) > LONGEST:
            raise usage(OPTION, f"{path} is longer than {LONGEST} bytes")
        return tomllib.loads(data.decode())
    except OSError as error:
        raise usage(OPTION, f"{path}: {error.strerror}") from None
    except ValueError as error:  # bad TOML, bad UTF-8
        raise usage(OPTION, f"{path}: {error}") from None


def _section(path: Path, name: str, kind: Any, table: object) -> Any:
    if not isinstance(table, dict):
        raise _wrong(path, name, "it is a table: a line [" + name + "] and settings below it")
    try:
        return kind(**_values(path, f"{name}.", kind, table))
    except ConfigError as error:
        raise _wrong(path, name, str(error)) from None


def _values(path: Path, prefix: str, kind: Any, table: dict[str, Any]) -> dict[str, Any]:
    known, hints = {field.name for field in fields(kind)}, get_type_hints(kind)
    for name in table:
        if name not in known:
            raise _wrong(path, prefix + name, "there is no such setting")
    return {name: _value(path, prefix + name, hints[name], value) for name, value in table.items()}


def _value(path: Path, name: str, hint: Any, value: object) -> Any:
    def custom(wanted: type, found: object) -> object:
        if not isinstance(found, str):
            raise ValueError("a text is expected")
        return path.parent / found if wanted is Path else named_chain(found)

    try:
        return msgspec.convert(value, hint, dec_hook=custom)
    except (msgspec.ValidationError, ValueError) as error:
        raise _wrong(path, name, str(error)) from None


def _wrong(path: Path, name: str, message: str) -> Exception:
    return usage(OPTION, f"{path}: {name}: {message}")
