"""`mina-webrtc keygen`: make an identity, or show the public side of one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mina_webrtc.cli.keys import STDIN, find_key
from mina_webrtc.cli.options import Json, Level, LogJson, LogLevel, usage
from mina_webrtc.cli.shell import note, say, say_json, set_up_logging

if TYPE_CHECKING:
    from mina_webrtc.identity import SecretKey

Out = Annotated[
    Path | None,
    typer.Option("--out", "-o", metavar="FILE", help="Write the secret key here, readable by you only; - prints it."),
]
Pem = Annotated[bool, typer.Option("--pem", help="Write the secret key as PKCS#8 PEM instead of base58check.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite FILE if it is there.")]


def keygen(
    out: Out = None,
    pem: Pem = False,
    force: Force = False,
    key_file: Annotated[
        Path | None,
        typer.Option("--key-file", metavar="FILE", help="Show or convert this key instead of making one; - is stdin."),
    ] = None,
    json: Json = False,
    log_level: LogLevel = Level.warning,
    log_json: LogJson = False,
) -> None:
    """Make a key; print its public key and its peer ids.

    The secret key is written to FILE only; without --out it is gone when the command ends. With --key-file nothing is
    made: the public side of that key is printed (- reads the key from standard input, without echo on a terminal).

    \b
    Examples:
      mina-webrtc keygen --out node.key
      mina-webrtc keygen --key-file node.key --json
    """
    from mina_webrtc.identity import SecretKey

    set_up_logging(log_level, log_json)
    if force and out is None:
        raise usage("--force", "there is nothing to overwrite without --out")
    key = find_key(key_file) if key_file is not None else SecretKey.random()
    assert key is not None  # noqa: S101
    secret = _write(key, out, pem, force)
    identity = {
        "public_key": str(key.public_key),
        "peer_id": str(key.peer_id),
        "libp2p_peer_id": key.peer_id.to_libp2p(),
    }
    if json:
        say_json(**identity, **({"secret_key": secret} if secret else {}))
    else:
        for name, value in identity.items():
            say(f"{name.replace('_', ' '):<15} {value}")
        if secret:
            say(f"{'secret key':<15} {secret}" if not pem else secret.rstrip())
    if out is None and key_file is None:
        note("the secret key was not kept; --out FILE keeps it")


def _write(key: SecretKey, out: Path | None, pem: bool, force: bool) -> str | None:
    """Writes the secret to the file, or returns its text for the terminal."""
    from mina_webrtc.keyfile import save_key

    if out is None:
        return None
    if out == STDIN:
        return key.expose_pem() if pem else key.expose_base58check()
    save_key(out, key, pem=pem, overwrite=force)
    return None
