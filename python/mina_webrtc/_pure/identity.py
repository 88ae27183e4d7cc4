"""Keys, peer ids and signatures (protocol.md §1)."""

from __future__ import annotations

import os
from hmac import compare_digest
from typing import TYPE_CHECKING, Any, ClassVar, Final, NoReturn, final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mina_webrtc._pure import curve, pem
from mina_webrtc._pure.base58 import base58_decode, base58_encode, base58check_decode, base58check_encode
from mina_webrtc._pure.convert import U64, characters, instance_of, octets, unsigned
from mina_webrtc._pure.values import Ordered, Sealed, Value, unhex
from mina_webrtc.errors import KeyFormatError, SignatureError

if TYPE_CHECKING:
    from typing_extensions import Buffer

SECRET_KEY, PUBLIC_KEY, PEER_ID = 0x80, 0x16, 0x2F
KEY, SIGNATURE = 32, 64

# Identity multihash of 36 bytes: protobuf `PublicKey{type: Ed25519, data: 32 bytes}`.
LIBP2P: Final = bytes.fromhex("002408011220")
SHA_256: Final = bytes.fromhex("1220")
LIBP2P_LIMIT: Final = 128  # an RSA key, the only longer one, is never written out: its hash is


@final
class SecretKey(Sealed):
    """An Ed25519 secret key, held as its 32-byte seed. Never printed, pickled or copied.

    This class cannot wipe its memory: the seed lives until Python reuses the place, and so does every copy that
    `expose_seed` or the cryptographic library makes. The native class does better.
    """

    __slots__ = ("_public", "_seed")
    _seed: bytes
    _public: PublicKey

    @staticmethod
    def random() -> SecretKey:
        """A new key from the operating system's generator."""
        return _secret(os.urandom(KEY))

    @staticmethod
    def from_seed(seed: Buffer) -> SecretKey:
        """From a 32-byte seed. Raises `KeyFormatError` for another length."""
        data = octets(seed)
        if len(data) != KEY:
            raise KeyFormatError(f"a secret key's seed must be {KEY} bytes, not {len(data)}")
        return _secret(data)

    @staticmethod
    def deterministic(index: int) -> SecretKey:
        """The test key number `index`: the seed is `index + 1`, big-endian."""
        return _secret((unsigned(index, U64 - 1) + 1).to_bytes(KEY, "big"))

    @staticmethod
    def parse(text: str) -> SecretKey:
        """From base58check text, version 0x80. Raises `Base58Error`."""
        return _secret(base58check_decode(text, SECRET_KEY, KEY))

    @staticmethod
    def from_pem(text: str) -> SecretKey:
        """From PKCS#8 PEM; a public key in it must be this key's. Raises `KeyFormatError`."""
        seed, public_key = pem.read(characters(text))
        key = _secret(seed)
        if public_key not in {None, bytes(key.public_key)}:
            raise KeyFormatError("not a PKCS#8 PEM of an Ed25519 secret key: the public key in it is another's")
        return key

    def expose_base58check(self) -> str:
        """The secret in base58check text."""
        return base58check_encode(SECRET_KEY, self._seed)

    def expose_seed(self) -> bytes:
        """The 32-byte seed itself."""
        return self._seed

    def expose_pem(self) -> str:
        """PKCS#8 PEM, version 2, with the public key."""
        return pem.write(self._seed, bytes(self._public))

    @property
    def public_key(self) -> PublicKey:
        """The public key that belongs to it."""
        return self._public

    @property
    def peer_id(self) -> PeerId:
        """The same bytes as a peer id."""
        return self._public.peer_id

    def sign(self, message: Buffer) -> Signature:
        """Ed25519 signature (RFC 8032) over `message`."""
        return Signature.from_bytes(Ed25519PrivateKey.from_private_bytes(self._seed).sign(octets(message)))

    def __repr__(self) -> str:
        return 'SecretKey("***")'

    def __eq__(self, other: object, /) -> bool:
        return compare_digest(self._seed, other._seed) if isinstance(other, SecretKey) else NotImplemented

    __hash__: ClassVar[None]  # type: ignore[assignment]

    def __reduce__(self) -> NoReturn:
        raise TypeError("a SecretKey cannot be pickled or copied")

    def __getstate__(self) -> NoReturn:
        raise TypeError("a SecretKey cannot be pickled or copied")

    def __copy__(self) -> NoReturn:
        raise TypeError("a SecretKey cannot be pickled or copied")

    def __deepcopy__(self, memo: Any) -> NoReturn:
        raise TypeError("a SecretKey cannot be pickled or copied")


def _secret(seed: bytes) -> SecretKey:
    key = object.__new__(SecretKey)
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key()
    object.__setattr__(key, "_seed", seed)
    object.__setattr__(key, "_public", PublicKey.from_bytes(public.public_bytes(Encoding.Raw, PublicFormat.Raw)))
    return key


@final
class PublicKey(Ordered):
    """An Ed25519 public key: 32 bytes that decompress to a curve point, small-order and non-canonical ones too."""

    __slots__ = ()
    _length, _what = KEY, "a public key"

    @staticmethod
    def from_bytes(data: Buffer) -> PublicKey:
        """Raises `KeyFormatError` for another length or a value that is not a curve point."""
        key = PublicKey._of(octets(data))
        if not curve.on_curve(key._data):
            raise KeyFormatError("the bytes are not a point on the curve")
        return key

    @staticmethod
    def parse(text: str) -> PublicKey:
        """From base58check text. Raises `Base58Error` or `KeyFormatError`."""
        return PublicKey.from_bytes(base58check_decode(text, PUBLIC_KEY, KEY))

    @property
    def peer_id(self) -> PeerId:
        """The same bytes as a peer id."""
        return PeerId.from_bytes(self._data)

    def verify(self, message: Buffer, signature: Signature) -> None:
        """Returns when `signature` is this key's over `message`; raises `SignatureError` otherwise."""
        data = octets(message)
        instance_of(Signature, signature)
        try:
            Ed25519PublicKey.from_public_bytes(self._data).verify(bytes(signature), data)
        except InvalidSignature:
            raise SignatureError("the signature is not by this key over this message") from None

    def to_x25519(self) -> bytes:
        """The Montgomery form of the point, 32 bytes."""
        return curve.montgomery(self._data)

    def __str__(self) -> str:
        return base58check_encode(PUBLIC_KEY, self._data)


@final
class PeerId(Ordered):
    """A peer's identity: 32 bytes, ordered big-endian, not checked against the curve."""

    __slots__ = ()
    _length, _what = KEY, "a peer id"

    @staticmethod
    def from_bytes(data: Buffer) -> PeerId:
        """Raises `KeyFormatError` for another length."""
        return PeerId._of(octets(data))

    @staticmethod
    def parse(text: str) -> PeerId:
        """From base58check text. Raises `Base58Error`."""
        return PeerId._of(base58check_decode(text, PEER_ID, KEY))

    @staticmethod
    def from_libp2p(text: str) -> PeerId:
        """From `12D3KooW…`. Raises `KeyFormatError` or `Base58Error`."""
        data = base58_decode(text, LIBP2P_LIMIT)
        if data.startswith(SHA_256) and len(data) == len(SHA_256) + 32:
            raise KeyFormatError("a SHA-256 peer id (Qm…) cannot be converted: it does not hold the key")
        if not data.startswith(LIBP2P) or len(data) != len(LIBP2P) + KEY:
            raise KeyFormatError("not the libp2p peer id of an Ed25519 key")
        return PublicKey.from_bytes(data[len(LIBP2P) :]).peer_id

    def to_libp2p(self) -> str:
        """`12D3KooW…`. Raises `KeyFormatError` when the bytes are not a curve point."""
        return base58_encode(LIBP2P + bytes(self.public_key))

    @property
    def public_key(self) -> PublicKey:
        """The same bytes as a public key. Raises `KeyFormatError` when they are not a curve point."""
        return PublicKey.from_bytes(self._data)

    def __str__(self) -> str:
        return base58check_encode(PEER_ID, self._data)


@final
class Signature(Value):
    """A 64-byte Ed25519 signature."""

    __slots__ = ()
    _length, _what = SIGNATURE, "a signature"

    @staticmethod
    def from_bytes(data: Buffer) -> Signature:
        """Raises `KeyFormatError` for another length."""
        return Signature._of(octets(data))

    @staticmethod
    def parse(text: str) -> Signature:
        """From 128 hex digits of either case. Raises `KeyFormatError`."""
        return Signature._of(unhex("a signature", characters(text), SIGNATURE))

    def __str__(self) -> str:
        return self._data.hex()
