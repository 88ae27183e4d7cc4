"""Encrypted key files, as Mina's own tools write and read them (protocol.md §1).

JSON around a NaCl secretbox, whose key is Argon2i of a password. What is sealed is a libp2p key. As in `keyfile`, no
message names anything of the content.
"""

from __future__ import annotations

import os
from base64 import b64decode, b64encode
from binascii import Error as BinasciiError
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from mina_webrtc._backend import base58_decode, base58check_decode, base58check_encode
from mina_webrtc.errors import Base58Error, KeyFileError
from mina_webrtc.identity import SecretKey

VERSION: Final = 2
"""Version byte of the three base58check fields."""
NONCE, SALT, TAG, KEY = 24, 16, 16, 32
MAX_FIELD: Final = 4096
"""Characters of one field: a libp2p key takes under 300, and base58 is quadratic."""

MEMORY: Final = 128 * 1024 * 1024
ITERATIONS: Final = 6
"""What Mina's tools write, and so do we: libsodium's preset "moderate" for Argon2i."""
MAX_MEMORY: Final = 512 * 1024 * 1024
MAX_WORK: Final = 8 * MAX_MEMORY
"""libsodium's strongest preset ("sensitive": 512 MiB, 8 rounds) is the most that a file may ask for, in memory and in
memory × rounds, which is the time: 5 times the default's. A file must not decide to exhaust this machine."""
MIN_MEMORY, MIN_ITERATIONS = 8192, 3
"""libsodium's own for Argon2i; no tool of Mina writes less."""

BOX, DERIVATION = "xsalsa20poly1305", "argon2i"
PRIVATE: Final = bytes.fromhex("08011240")  # protobuf `{type: Ed25519, data: 64 bytes}`: the seed, the public key
PUBLIC: Final = bytes.fromhex("08011220")
ACCOUNT: Final = b"\x01"

Password = str | bytes
"""As text, which stands for its UTF-8 bytes (undecodable bytes of the environment for themselves), or as bytes."""

_Text = Annotated[str, Meta(max_length=MAX_FIELD)]
_Number = Annotated[int, Meta(ge=0, le=2**53)]


class KeyBox(Struct, frozen=True):
    """An encrypted key file whose fields have been checked: what a password can be tried on."""

    nonce: bytes
    salt: bytes
    ciphertext: bytes
    memory: int
    iterations: int
    usual: bool = True

    def __repr__(self) -> str:
        return f"KeyBox({len(self.ciphertext)} bytes, memory={self.memory}, iterations={self.iterations})"

    @staticmethod
    def parse(text: str) -> KeyBox:
        """The fields of a file's text. Raises `KeyFileError`: no JSON, a field that is missing, of another type or
        damaged, limits beyond ours. Nothing is allocated or computed by the file's `pwdiff`."""
        try:
            fields = msgspec.json.decode(text, type=_Fields)
        except (msgspec.MsgspecError, UnicodeError) as error:
            raise KeyFileError(f"is not an encrypted key file: {_quiet(error)}") from None
        except RecursionError:
            raise KeyFileError("is not an encrypted key file: too many nested values") from None
        memory, iterations = fields.pwdiff
        _check_cost(memory, iterations)
        return KeyBox(
            _unbase58("nonce", fields.nonce, NONCE),
            _unbase58("pwsalt", fields.pwsalt, SALT),
            _unbase58("ciphertext", fields.ciphertext),
            memory,
            iterations,
            fields.box_primitive == BOX and fields.pw_primitive == DERIVATION,
        )

    @staticmethod
    def seal(plaintext: bytes, password: Password, *, memory: int = MEMORY, iterations: int = ITERATIONS) -> KeyBox:
        """A new box under a fresh salt and nonce. Raises `KeyFileError` for costs beyond the limits."""
        from nacl.bindings import crypto_secretbox

        _check_cost(memory, iterations)
        nonce, salt = os.urandom(NONCE), os.urandom(SALT)
        key = _derive(password, salt, memory, iterations)
        return KeyBox(nonce, salt, crypto_secretbox(plaintext, nonce, key), memory, iterations)

    def open(self, password: Password) -> bytes:
        """The plaintext. Takes `memory` bytes and, with the default cost, about half a second; other threads run
        meanwhile. Raises `KeyFileError` for a wrong password, which cannot be told from a changed file."""
        from nacl.bindings import crypto_secretbox_open
        from nacl.exceptions import CryptoError

        key = _derive(password, self.salt, self.memory, self.iterations)
        try:
            return crypto_secretbox_open(self.ciphertext, self.nonce, key)
        except CryptoError:
            # As the reference, we do not believe the names of the primitives: the box opens or it does not.
            odd = "" if self.usual else f"; it also claims to be made by something else than {BOX} and {DERIVATION}"
            raise KeyFileError(f"does not open: the password is wrong, or the file was changed{odd}") from None

    def to_json(self) -> str:
        """The file's text, as Mina's tools write it, without a line end."""
        fields = _Fields(
            BOX,
            DERIVATION,
            base58check_encode(VERSION, self.nonce),
            base58check_encode(VERSION, self.salt),
            (self.memory, self.iterations),
            base58check_encode(VERSION, self.ciphertext),
        )
        return msgspec.json.encode(fields).decode()


class _Fields(Struct, frozen=True):
    box_primitive: _Text
    pw_primitive: _Text
    nonce: _Text
    pwsalt: _Text
    pwdiff: tuple[_Number, _Number]
    ciphertext: _Text


def seal_key(key: SecretKey, password: Password) -> str:
    """The text of an encrypted key file that Mina's tools read, too. Takes as long as opening it."""
    return KeyBox.seal(libp2p_text(key), password).to_json()


def read_plaintext(plaintext: bytes) -> SecretKey:
    """The key in an opened box. Raises `KeyFileError` for anything but a libp2p key."""
    if plaintext.startswith(ACCOUNT):
        # A key of another curve, which may own money: it must not become a peer's identity by mistake.
        raise KeyFileError("holds the secret key of a Mina account, not that of a peer")
    private, *others = plaintext.split(b",")
    try:
        data = b64decode(private, validate=True)
    except BinasciiError:
        data = b""
    # The reference takes bytes 4…36 of anything; all that libp2p ever wrote for Ed25519 begins so.
    if len(data) != len(PRIVATE) + 2 * KEY or not data.startswith(PRIVATE):
        raise KeyFileError("holds no Ed25519 key of libp2p")
    key = SecretKey.from_seed(data[len(PRIVATE) :][:KEY])
    if libp2p_text(key).split(b",")[1:] != others:
        raise KeyFileError("holds a libp2p key whose parts contradict each other")
    return key


def libp2p_text(key: SecretKey) -> bytes:
    """What is sealed: private key, public key, peer id. A secret."""
    public = bytes(key.public_key)
    parts = (
        b64encode(PRIVATE + key.expose_seed() + public),
        b64encode(PUBLIC + public),
        key.peer_id.to_libp2p().encode(),
    )
    return b",".join(parts)


def _check_cost(memory: int, iterations: int) -> None:
    if not MIN_MEMORY <= memory <= MAX_MEMORY:
        raise KeyFileError(f"asks for {memory} bytes of memory; supported are {MIN_MEMORY} to {MAX_MEMORY}")
    if iterations < MIN_ITERATIONS or memory * iterations > MAX_WORK:
        most = MAX_WORK // memory
        raise KeyFileError(f"asks for {iterations} rounds of Argon2i; supported are {MIN_ITERATIONS} to {most}")


def _derive(password: Password, salt: bytes, memory: int, iterations: int) -> bytes:
    from nacl.bindings import crypto_pwhash_alg, crypto_pwhash_ALG_ARGON2I13
    from nacl.exceptions import CryptoError

    raw = password.encode("utf-8", "surrogateescape") if isinstance(password, str) else password
    try:
        return crypto_pwhash_alg(KEY, raw, salt, iterations, memory, crypto_pwhash_ALG_ARGON2I13)
    except (CryptoError, MemoryError):
        raise KeyFileError(f"cannot be used: {memory // 2**20} MiB of memory are not to be had here") from None


def _unbase58(name: str, text: str, length: int | None = None) -> bytes:
    try:
        if length is None:
            length = max(len(base58_decode(text, MAX_FIELD)) - 5, 0)
        data = base58check_decode(text, VERSION, length)
    except Base58Error as error:
        raise KeyFileError(f"is damaged: {name}: {error}") from None
    if name == "ciphertext" and len(data) < TAG:
        raise KeyFileError(f"is damaged: {name}: shorter than {TAG} bytes")
    return data


def _quiet(error: Exception) -> str:
    """What msgspec says names fields and types, never values; what is malformed at all is not described further."""
    return str(error) if isinstance(error, msgspec.ValidationError) else "it is not JSON"
