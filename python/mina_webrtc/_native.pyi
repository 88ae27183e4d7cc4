"""The contract of both backends: `_native` (Rust) and `_pure` (Python) export exactly these names.

Everything here is data in, data out: no I/O, no clock. Buffers are anything with the buffer protocol. Errors are
those of `mina_webrtc.errors`; a wrong Python type is a `TypeError`, an integer out of range an `OverflowError`.
Sections are of docs/protocol.md.
"""

from typing import Any, ClassVar, NoReturn, Self, final

from typing_extensions import Buffer

__version__: str
"""The package version this backend was built for; must equal the package's own."""

def base58_encode(data: Buffer) -> str:
    """Bitcoin base58 without checksum."""

def base58_decode(text: str, limit: int) -> bytes:
    """Inverse of `base58_encode`. Raises `Base58Error` for a character outside the alphabet, and for a text longer
    than `limit` characters *before* decoding, which is quadratic (§5)."""

def base58check_encode(version: int, payload: Buffer) -> str:
    """`base58(version ‖ payload ‖ first 4 bytes of sha256(sha256(version ‖ payload)))` (§1); version is 0…255."""

def base58check_decode(text: str, version: int, length: int) -> bytes:
    """The payload of a base58check text. Raises `Base58Error` if the alphabet, checksum, version byte or the
    payload's length (exactly `length` bytes) is not as it must be (§1)."""

def sdp_hash(sdp: str) -> bytes:
    """SHA-256 of the UTF-8 bytes of `sdp`, exactly as it stands (§3). 32 bytes. Raises `SdpError` for a text that
    has no UTF-8 form: one with a lone surrogate."""

@final
class SecretKey:
    """An Ed25519 secret key, held as its 32-byte seed (§1).

    Never printed: repr and str show `SecretKey("***")`. Cannot be pickled or copied (`TypeError`), has no
    ordering and no hash; equality is in constant time. The native class wipes its memory when it is dropped; the pure
    one cannot promise that (Python copies bytes at will) and says so in its docs.
    """

    @staticmethod
    def random() -> SecretKey:
        """A new key from the operating system's generator."""

    @staticmethod
    def from_seed(seed: Buffer) -> SecretKey:
        """From a 32-byte seed. Raises `KeyFormatError` for another length."""

    @staticmethod
    def deterministic(index: int) -> SecretKey:
        """Seed = `index + 1` as a 32-byte big-endian number; for tests only. `index` is 0…2**64-2."""

    @staticmethod
    def parse(text: str) -> SecretKey:
        """From base58check text, version 0x80. Raises `Base58Error`; the message never contains the text."""

    @staticmethod
    def from_pem(text: str) -> SecretKey:
        """From PKCS#8 PEM (RFC 8410, v1 or v2), of 64 KiB at most; the first thing that begins in it is what is read,
        and nothing may follow. Raises `KeyFormatError`."""

    def expose_base58check(self) -> str:
        """The secret in base58check text. The one way to print it: the name is meant to stand out in a review."""

    def expose_seed(self) -> bytes:
        """The 32-byte seed itself."""

    def expose_pem(self) -> str:
        """PKCS#8 PEM as the reference writes it (version 2, with the public key)."""

    @property
    def public_key(self) -> PublicKey:
        """The public key that belongs to it (derived once)."""

    @property
    def peer_id(self) -> PeerId:
        """The same 32 bytes as a peer id."""

    def sign(self, message: Buffer) -> Signature:
        """Ed25519 signature (RFC 8032) over `message`."""

    def __eq__(self, other: object, /) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]
    def __reduce__(self) -> NoReturn: ...
    def __copy__(self) -> NoReturn: ...
    def __deepcopy__(self, memo: Any) -> NoReturn: ...

@final
class PublicKey:
    """An Ed25519 public key: 32 bytes that decompress to a curve point (§1). Small-order and non-canonical points are
    accepted as the reference does; encrypting to a small-order one is `NonContributoryKeyError`. Immutable,
    hashable, picklable, ordered by its bytes; `bytes(key)` is the 32 bytes, `str(key)` base58check, version 0x16."""

    @staticmethod
    def from_bytes(data: Buffer) -> PublicKey:
        """Raises `KeyFormatError` for another length or a value that is not a curve point."""

    @staticmethod
    def parse(text: str) -> PublicKey:
        """From base58check text. Raises `Base58Error` or `KeyFormatError`."""

    @property
    def peer_id(self) -> PeerId:
        """The same bytes as a peer id."""

    def verify(self, message: Buffer, signature: Signature) -> None:
        """Returns when `signature` is this key's over `message`; raises `SignatureError` otherwise."""

    def to_x25519(self) -> bytes:
        """The Montgomery form of the point, 32 bytes (§2)."""

    def __bytes__(self) -> bytes: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __lt__(self, other: PublicKey, /) -> bool: ...
    def __le__(self, other: PublicKey, /) -> bool: ...
    def __gt__(self, other: PublicKey, /) -> bool: ...
    def __ge__(self, other: PublicKey, /) -> bool: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class PeerId:
    """A peer's identity: 32 bytes, ordered big-endian, not checked against the curve (§1). Immutable, hashable,
    picklable; `bytes(id)` is the 32 bytes, `str(id)` base58check, version 0x2F."""

    @staticmethod
    def from_bytes(data: Buffer) -> PeerId:
        """Raises `KeyFormatError` for another length."""

    @staticmethod
    def parse(text: str) -> PeerId:
        """From base58check text. Raises `Base58Error`."""

    @staticmethod
    def from_libp2p(text: str) -> PeerId:
        """From `12D3KooW…`. Raises `KeyFormatError` for a `Qm…` id (SHA-256, cannot be converted), another key type
        or a key that is not a curve point, `Base58Error` for text that is not base58."""

    def to_libp2p(self) -> str:
        """`12D3KooW…`. Raises `KeyFormatError` when the bytes are not a curve point."""

    @property
    def public_key(self) -> PublicKey:
        """The same bytes as a public key. Raises `KeyFormatError` when they are not a curve point."""

    def __bytes__(self) -> bytes: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __lt__(self, other: PeerId, /) -> bool: ...
    def __le__(self, other: PeerId, /) -> bool: ...
    def __gt__(self, other: PeerId, /) -> bool: ...
    def __ge__(self, other: PeerId, /) -> bool: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class Signature:
    """A 64-byte Ed25519 signature; `str(signature)` is lower-case hex, `bytes(signature)` the 64 bytes."""

    @staticmethod
    def from_bytes(data: Buffer) -> Signature:
        """Raises `KeyFormatError` for another length."""

    @staticmethod
    def parse(text: str) -> Signature:
        """From 128 hex digits of either case. Raises `KeyFormatError`."""

    def __bytes__(self) -> bytes: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class ChainId:
    """Which chain a node is on: 32 bytes; `str(chain)` is lower-case hex (§1)."""

    DEVNET: ClassVar[ChainId]
    MAINNET: ClassVar[ChainId]

    @staticmethod
    def from_bytes(data: Buffer) -> ChainId:
        """Raises `KeyFormatError` for another length."""

    @staticmethod
    def parse(text: str) -> ChainId:
        """From exactly 64 hex digits of either case. Raises `KeyFormatError`."""

    @staticmethod
    def compute(
        constraint_system_digests: list[bytes],
        genesis_state_hash: str,
        genesis_timestamp_ms: int,
        k: int,
        slots_per_epoch: int,
        slots_per_sub_window: int,
        delta: int,
        protocol_transaction_version: int,
        protocol_network_version: int,
        tx_pool_max_size: int,
    ) -> ChainId:
        """The chain id of a Mina network from its constants, as Mina nodes compute it (BLAKE2b-256). Raises
        `KeyFormatError` for a state hash with a lone surrogate, `OverflowError` for a time after the year 9999."""

    def preshared_key(self) -> bytes:
        """The 32-byte key of libp2p's private networks that belongs to this chain."""

    def __bytes__(self) -> bytes: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class Cipher:
    """Encryption between one own secret key and one peer (§2); derives the shared key once.

    Raises `NonContributoryKeyError` when the peer's key is a small-order point. Not printable, picklable or copyable.
    """

    def __new__(cls, secret_key: SecretKey, peer: PublicKey) -> Self: ...
    def seal(self, message: Buffer) -> bytes:
        """`nonce(12) ‖ ciphertext ‖ tag(16)`; the nonce is fresh from the operating system every time."""

    def open(self, sealed: Buffer) -> bytes:
        """The message. Raises `DecryptionError` when it is shorter than 28 bytes or does not authenticate."""

@final
class BinProtReader:
    """Reads bin_prot values one after another (§8). Non-minimal integers are accepted, as in the reference.

    Every length is bounded by the bytes that are left before anything is allocated. All methods raise `BinProtError`
    on truncated or wrong input; the reader must not be used after an error.
    """

    def __new__(cls, data: Buffer) -> Self: ...
    @property
    def remaining(self) -> int:
        """Bytes not read yet."""

    def nat0(self) -> int:
        """An unsigned 64-bit number."""

    def integer(self, low: int, high: int) -> int:
        """A signed bin_prot int that must lie in `low…high` (both within i64)."""

    def boolean(self) -> bool: ...
    def option(self) -> bool:
        """Whether a value follows."""

    def variant(self, count: int) -> int:
        """One byte, an enum's index below `count` (1…256)."""

    def raw(self, length: int) -> bytes:
        """Exactly `length` bytes."""

    def string(self) -> bytes:
        """nat0 length, then that many bytes."""

    def byte_list(self) -> bytes:
        """A list of u8: nat0 length, then one int a byte."""

    def rest(self) -> bytes:
        """Everything that is left."""

    def finish(self) -> None:
        """Raises `BinProtError` when bytes are left over."""

@final
class BinProtWriter:
    """Writes bin_prot values one after another (§8), always in their minimal form; methods mirror `BinProtReader`."""

    def __new__(cls) -> Self: ...
    def nat0(self, value: int) -> None:
        """0…2**64-1, else `OverflowError`."""

    def integer(self, value: int) -> None:
        """-2**63…2**63-1, else `OverflowError`."""

    def boolean(self, value: bool) -> None: ...
    def option(self, present: bool) -> None: ...
    def variant(self, index: int) -> None:
        """0…255, else `OverflowError`."""

    def raw(self, data: Buffer) -> None: ...
    def string(self, data: Buffer) -> None: ...
    def byte_list(self, data: Buffer) -> None: ...
    def getvalue(self) -> bytes:
        """What was written so far."""

@final
class FrameDecoder:
    """Puts messages together from a channel's chunks, cut anywhere (§7)."""

    def __new__(cls, max_message: int) -> Self:
        """`max_message` is the channel's limit in bytes, inclusive, without the 4-byte prefix."""

    def receive_data(self, data: Buffer) -> list[bytes]:
        """The payloads that `data` completes, in order. Raises `FrameError` for a length of 0 or above the limit,
        before a buffer of that size is allocated; after that the decoder raises `FrameError` for ever."""

    def receive_batch(self, chunks: list[bytes]) -> list[bytes]:
        """`receive_data` of each chunk in turn, in one call; other buffers than bytes will do. When one fails, what the
        ones before it completed is lost."""

    def allow(self, max_message: int) -> None:
        """Another limit from now on. An unfinished message that is longer makes the next call fail."""

    @property
    def buffered(self) -> int:
        """Bytes of an unfinished message held now, prefix included."""

def frame_batch(payloads: list[bytes]) -> list[bytes]:
    """The data-channel messages of many messages, one after the other, in one call: a payload of up to 16 380 bytes is
    one of them. Other buffers than bytes will do. Raises as `frame_chunks`."""

def frame_chunks(payload: Buffer) -> list[bytes]:
    """One message as data-channel messages: `length (u32 BE) ‖ payload` cut at 16 384 bytes (§7). Raises
    `FrameError` for an empty payload or one above 2**32-1 bytes."""
