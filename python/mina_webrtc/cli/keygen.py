"""`mina-webrtc keygen`: make an identity, or show the public side of one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mina_webrtc.cli.keys import STDIN, find_key, new_password
from mina_webrtc.cli.options import Json, Level, LogJson, LogLevel, usage
from mina_webrtc.cli.shell import note, say, say_json, set_up_logging
from mina_webrtc.errors import KeyFileError

if TYPE_CHECKING:
    from mina_webrtc.identity import SecretKey

Out = Annotated[
    Path | None,
    typer.Option("--out", "-o", metavar="FILE", help="Write the secret key here, readable by you only; - prints it."),
]
Pem = Annotated[bool, typer.Option("--pem", help="Write the secret key as PKCS#8 PEM instead of base58check.")]
Encrypt = Annotated[
    bool,
    typer.Option("--encrypt", help="Write the secret key encrypted with a password, in the form of Mina's own tools."),
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite FILE if it is there.")]


def keygen(
    out: Out = None,
    pem: Pem = False,
    encrypt: Encrypt = False,
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

    Passwords are asked for on the terminal, or taken from the environment variable MINA_WEBRTC_KEY_PASSWORD, else
    MINA_LIBP2P_PASS.

    \b
    Examples:
      mina-webrtc keygen --out node.key
      mina-webrtc keygen --out node.key --encrypt
      mina-webrtc keygen --key-file node.key --json
    """
    from mina_webrtc.identity import SecretKey

    set_up_logging(log_level, log_json)
    if force and out is None:
        raise usage("--force", "there is nothing to overwrite without --out")
    if encrypt and out is None:
        raise usage("--encrypt", "there is nothing to encrypt without --out")
    if encrypt and pem:
        raise usage("--encrypt", "an encrypted key file has no PEM form")
    key = find_key(key_file) if key_file is not None else SecretKey.random()
    assert key is not None  # noqa: S101
    secret = _write(key, out, pem, encrypt, force)
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
            say(f"{'secret key':<15} {secret}" if not pem else secret)
    if out is None and key_file is None:
        note("the secret key was not kept; --out FILE keeps it")


def _write(key: SecretKey, out: Path | None, pem: bool, encrypt: bool, force: bool) -> str | None:
    """Writes the secret to the file, or returns its text for the terminal."""
    from mina_webrtc.keyfile import key_text, save_key

    if out is None:
        return None
    if encrypt and not force and out != STDIN and out.exists():
        raise KeyFileError(f"key file {out}: exists already and is not overwritten")  # before a password is asked for
    password = new_password() if encrypt else None
    if out == STDIN:
        return key_text(key, pem=pem, password=password).strip()
    save_key(out, key, pem=pem, password=password, overwrite=force)
    return None
