"""Secret keys in files: base58check text, PKCS#8 PEM, or encrypted as Mina's tools do it (protocol.md §1).

No message names anything of a file's content, and errors of lower layers, which might, are not chained.
"""

from __future__ import annotations

import os
import stat
import warnings
from collections.abc import Callable
from pathlib import Path
from secrets import token_hex
from typing import Final

from mina_webrtc.errors import InvalidInput, KeyFileError, KeyFileWarning
from mina_webrtc.identity import SecretKey
from mina_webrtc.keybox import KeyBox, Password, read_plaintext, seal_key

PasswordSource = Password | Callable[[], Password]
"""A password, or what is called for it once the file has turned out to be encrypted and undamaged."""

MAX_BYTES: Final = 16 * 1024
"""A key takes less than 700 bytes; whatever is longer than this is something else and is not read."""

MODE: Final = 0o600
OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO

KINDS: Final = {
    stat.S_IFDIR: "is a directory",
    stat.S_IFIFO: "is a pipe, not a file",
    stat.S_IFSOCK: "is a socket, not a file",
    stat.S_IFCHR: "is a device, not a file",
    stat.S_IFBLK: "is a device, not a file",
}


def load_key(path: str | os.PathLike[str], password: PasswordSource | None = None) -> SecretKey:
    """The key in a file, in any form. Warns (`KeyFileWarning`) when others than the owner may use the file.

    `password` is for encrypted files and not looked at otherwise. Opening one takes about half a second and 128 MiB.
    Raises `KeyFileError`, which names the path and the reason: missing, unreadable, no regular file, empty, longer
    than `MAX_BYTES`, damaged, encrypted without a password, or with another one.
    """
    text, mode = _read(path)
    if mode & OTHERS:
        warnings.warn(
            f"key file {os.fspath(path)}: others than its owner may use it (mode {mode & 0o777:04o}); chmod 600 it",
            KeyFileWarning,
            stacklevel=2,
        )
    try:
        return parse_secret(text, password)
    except InvalidInput as error:
        raise _fault(path, str(error)) from None


def parse_secret(text: str, password: PasswordSource | None = None) -> SecretKey:
    """The key in a text, in any form; white space around it is ignored.

    Raises `KeyFileError` for a text that is empty, too long, or encrypted and not to be opened, `Base58Error` or
    `KeyFormatError` for a damaged one.
    """
    if len(text) > MAX_BYTES:
        raise KeyFileError(f"is longer than {MAX_BYTES} bytes, so it is no key")
    body = text.strip()
    if not body:
        raise KeyFileError("is empty")
    if not body.isascii():
        raise KeyFileError("is not ASCII text, so it is no key")
    if body.startswith("{"):
        box = KeyBox.parse(body)
        if password is None:
            raise KeyFileError("is encrypted, and no password is given")
        return read_plaintext(box.open(password() if callable(password) else password))
    if "-----BEGIN ENCRYPTED PRIVATE KEY-----" in body:
        raise KeyFileError("is encrypted; encrypted PEM is not supported")
    return SecretKey.from_pem(body) if "-----BEGIN " in body else SecretKey.parse(body)


def save_key(
    path: str | os.PathLike[str],
    key: SecretKey,
    *,
    pem: bool = False,
    password: Password | None = None,
    overwrite: bool = False,
) -> None:
    """Writes a key into a new file that its owner alone may use: base58check, PEM, or encrypted with a password.

    The file is there whole or not at all. Raises `KeyFileError` when the path exists (unless `overwrite`) or cannot
    be written, and for a password together with `pem`.
    """
    target = Path(path)
    text = key_text(key, pem=pem, password=password)
    try:
        if not overwrite:
            os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MODE))
        try:
            _replace(target, text.encode())
        except BaseException:
            if not overwrite:  # the empty file is ours
                target.unlink(missing_ok=True)
            raise
    except FileExistsError:
        raise _fault(path, "exists already and is not overwritten") from None
    except (OSError, ValueError) as error:
        raise _fault(path, _reason(error, "cannot be written")) from None


def key_text(key: SecretKey, *, pem: bool = False, password: Password | None = None) -> str:
    """What `save_key` writes: a secret, unless there is a password."""
    if password is not None:
        if pem:
            raise KeyFileError("an encrypted key file has no PEM form")
        return seal_key(key, password) + "\n"
    return key.expose_pem() if pem else key.expose_base58check() + "\n"


def _replace(target: Path, content: bytes) -> None:
    """Writes beside the target, then moves over it: readers and a crash see the old file or the new one."""
    beside = target.with_name(f".{target.name}.{token_hex(8)}")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MODE)
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        beside.replace(target)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    directory = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)  # the new name survives a crash, too
    finally:
        os.close(directory)


def _read(path: str | os.PathLike[str]) -> tuple[str, int]:
    """Text and mode of a regular file."""
    try:
        # Non-blocking: opening a pipe that nobody writes to must not hang.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            mode = os.fstat(descriptor).st_mode
            if not stat.S_ISREG(mode):
                raise _fault(path, KINDS.get(stat.S_IFMT(mode), "is not a file"))
            content = os.read(descriptor, MAX_BYTES + 1)
        finally:
            os.close(descriptor)
    except KeyFileError:
        raise
    except (OSError, ValueError) as error:
        raise _fault(path, _reason(error, "cannot be read")) from None
    try:
        return content.decode("ascii"), mode
    except UnicodeDecodeError:
        raise _fault(path, "is not ASCII text, so it is no key") from None


def _reason(error: Exception, otherwise: str) -> str:
    if isinstance(error, FileNotFoundError):
        return "does not exist"
    return f"{otherwise}: {error.strerror}" if isinstance(error, OSError) and error.strerror else otherwise


def _fault(path: str | os.PathLike[str], reason: str) -> KeyFileError:
    return KeyFileError(f"key file {os.fspath(path)}: {reason}")
