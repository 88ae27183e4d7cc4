"""Chain ids: which network a node is on (protocol.md §1)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import blake2b, md5
from typing import TYPE_CHECKING, ClassVar, Final, final

from mina_webrtc._pure.convert import U8, U32, U64, characters, octets, sequence, unsigned
from mina_webrtc._pure.values import Value, unhex
from mina_webrtc.errors import KeyFormatError

if TYPE_CHECKING:
    from typing_extensions import Buffer

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
LAST_MS: Final = 253_402_300_799_999  # of the year 9999


@final
class ChainId(Value):
    """Which chain a node is on: 32 bytes."""

    __slots__ = ()
    _length, _what = 32, "a chain id"
    DEVNET: ClassVar[ChainId]
    MAINNET: ClassVar[ChainId]

    @staticmethod
    def from_bytes(data: Buffer) -> ChainId:
        """Raises `KeyFormatError` for another length."""
        return ChainId._of(octets(data))

    @staticmethod
    def parse(text: str) -> ChainId:
        """From exactly 64 hex digits of either case. Raises `KeyFormatError`."""
        return ChainId._of(unhex("a chain id", characters(text), 32))

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
        """The chain id of a network from its constants: BLAKE2b-256 over their texts, the numbers' hashed before.
        Raises `KeyFormatError` for a state hash with a lone surrogate."""
        sequence(constraint_system_digests)
        digests = [octets(digest).hex() for digest in constraint_system_digests]
        parts = [characters(genesis_state_hash), *digests]
        milliseconds = unsigned(genesis_timestamp_ms, U64)
        numbers = [unsigned(value, U32) for value in (k, slots_per_epoch, slots_per_sub_window, delta)]
        versions = [unsigned(value, U8) for value in (protocol_transaction_version, protocol_network_version)]
        numbers.append(unsigned(tx_pool_max_size, U32))
        parts.append(_blake2b("".join(map(str, numbers)) + _date(milliseconds)).hex())
        parts += map(_md5, versions)
        try:
            return ChainId._of(_blake2b("".join(parts)))
        except UnicodeEncodeError:
            raise KeyFormatError("the genesis state hash holds a lone surrogate: it has no UTF-8 form") from None

    def preshared_key(self) -> bytes:
        """The 32-byte key of libp2p's private networks that belongs to this chain."""
        return _blake2b(f"/coda/0.0.1/{self}")

    def __str__(self) -> str:
        return self._data.hex()


def _date(milliseconds: int) -> str:
    return f"{EPOCH + timedelta(milliseconds=unsigned(milliseconds, LAST_MS)):%Y-%m-%d %H:%M:%S.%f}Z"


def _blake2b(text: str) -> bytes:
    return blake2b(text.encode(), digest_size=32).digest()


def _md5(version: int) -> str:
    return md5(str(version).encode(), usedforsecurity=False).hexdigest()


ChainId.DEVNET = ChainId.parse("29936104443aaf264a7f0192ac64b1c7173198c1ed404c1bcff5e562e05eb7f6")
ChainId.MAINNET = ChainId.parse("a7351abc7ddf2ea92d1b38cc8e636c271c1dfd2c081c637f62ebc2af34eb7cc1")
