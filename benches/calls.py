"""What both backends are timed at. The inputs are those of `rust/core/benches`: the files of `inputs`, and what is cut
from them here as there.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

INPUTS = Path(__file__).parent / "inputs"
OFFER = (INPUTS / "sealed_offer.bin").read_bytes()
SDP = (INPUTS / "offer.sdp").read_bytes().decode()
AUTH = OFFER[:64]
SEED = OFFER[64:96]
BODY = OFFER * (16 * 1024 * 1024 // len(OFFER)) + OFFER[:4096]
LISTS = 64
SMALL = [OFFER[n : n + 20 + n % 100] for n in range(1000)]

Work = Callable[[], object]


class Call(NamedTuple):
    """One row of the report. `make` prepares everything for a backend and gives what is timed, `times` in a row:
    about a millisecond of the pure one, so that there are rounds that nothing interrupts."""

    name: str
    make: Callable[[ModuleType], Work]
    times: int
    size: int | None = None
    """Bytes that are worked on, where a rate means something."""
    figure: str | None = None
    """Its name in the summary, after `native_over_pure_`."""
    things: int = 1
    """Things done by one call; the times are told for one."""


def _base58_offer(b: ModuleType) -> Work:
    return lambda: b.base58_decode(b.base58_encode(OFFER), 16_384)


def _base58_encode(b: ModuleType) -> Work:
    return lambda: b.base58_encode(OFFER)


def _base58_decode(b: ModuleType) -> Work:
    text = b.base58_encode(OFFER)
    return lambda: b.base58_decode(text, 16_384)


def _base58check(b: ModuleType) -> Work:
    return lambda: b.base58check_decode(b.base58check_encode(0x16, SEED), 0x16, 32)


def _written(b: ModuleType) -> bytes:
    writer = b.BinProtWriter()
    writer.byte_list(OFFER)
    found: bytes = writer.getvalue()
    return found


def _binprot_offer(b: ModuleType) -> Work:
    return lambda: b.BinProtReader(_written(b)).byte_list()


def _write_list(b: ModuleType) -> Work:
    return lambda: _written(b)


def _read_list(b: ModuleType) -> Work:
    """Each time another list: the processor would know by heart where the items of one begin."""
    cipher = b.Cipher(b.SecretKey.deterministic(1), b.SecretKey.deterministic(2).public_key)
    lists = []
    for _ in range(LISTS):
        writer = b.BinProtWriter()
        writer.byte_list(cipher.seal(OFFER)[: len(OFFER)])
        lists.append(writer.getvalue())
    turns = cycle(lists)
    return lambda: b.BinProtReader(next(turns)).byte_list()


def _write_large(b: ModuleType) -> Work:
    """A response of channel 7."""

    def work() -> object:
        writer = b.BinProtWriter()
        writer.variant(1)
        writer.nat0(300)
        writer.option(True)
        writer.variant(3)
        writer.raw(BODY)
        return writer.getvalue()

    return work


def _read_large(b: ModuleType) -> Work:
    data = _write_large(b)()

    def work() -> object:
        reader = b.BinProtReader(data)
        return reader.variant(2), reader.nat0(), reader.option(), reader.variant(7), reader.rest()

    return work


def _small_values(b: ModuleType) -> Work:
    """A query of channel 7: id, variant, a string."""

    def work() -> object:
        writer = b.BinProtWriter()
        writer.nat0(300)
        writer.variant(3)
        writer.string(SEED)
        reader = b.BinProtReader(writer.getvalue())
        return reader.nat0(), reader.variant(7), reader.string(), reader.finish()

    return work


def _frame_chunks(b: ModuleType) -> Work:
    return lambda: b.frame_chunks(BODY)


def _frame_view(b: ModuleType) -> Work:
    return lambda: b.frame_chunks(memoryview(BODY))


def _frame_batch(b: ModuleType) -> Work:
    return lambda: b.frame_batch(SMALL)


def _received(b: ModuleType, chunks: list[bytes]) -> object:
    decoder = b.FrameDecoder(256 * 1024 * 1024)
    return [decoder.receive_data(chunk) for chunk in chunks]


def _reassembly(b: ModuleType) -> Work:
    chunks = b.frame_chunks(BODY)
    return lambda: _received(b, chunks)


def _short_reassembly(b: ModuleType) -> Work:
    stream = b"".join(b.frame_chunks(BODY[: 64 * 1024]))
    chunks = [stream[at : at + 1024] for at in range(0, len(stream), 1024)]
    return lambda: _received(b, chunks)


def _receive_batch(b: ModuleType) -> Work:
    chunks = b.frame_batch(SMALL)
    return lambda: b.FrameDecoder(1024).receive_batch(chunks)


def _seal_open(b: ModuleType) -> Work:
    one, other = b.SecretKey.deterministic(1), b.SecretKey.deterministic(2)
    return lambda: b.Cipher(other, one.public_key).open(b.Cipher(one, other.public_key).seal(AUTH))


def _seal(message: bytes) -> Callable[[ModuleType], Work]:
    def make(b: ModuleType) -> Work:
        cipher = b.Cipher(b.SecretKey.deterministic(1), b.SecretKey.deterministic(2).public_key)
        return lambda: cipher.open(cipher.seal(message))

    return make


def _sdp_hash(b: ModuleType) -> Work:
    return lambda: b.sdp_hash(SDP)


def _from_seed(b: ModuleType) -> Work:
    return lambda: b.SecretKey.from_seed(SEED).public_key


def _from_pem(b: ModuleType) -> Work:
    text = b.SecretKey.from_seed(SEED).expose_pem()
    return lambda: b.SecretKey.from_pem(text)


def _sign(b: ModuleType) -> Work:
    key = b.SecretKey.deterministic(1)
    return lambda: key.sign(AUTH)


def _verify(b: ModuleType) -> Work:
    key = b.SecretKey.deterministic(1)
    public, signature = key.public_key, key.sign(AUTH)
    return lambda: public.verify(AUTH, signature)


def _peer_id(b: ModuleType) -> Work:
    text = str(b.SecretKey.deterministic(1).peer_id)
    return lambda: str(b.PeerId.parse(text))


def _libp2p(b: ModuleType) -> Work:
    text = b.SecretKey.deterministic(1).peer_id.to_libp2p()
    return lambda: b.PeerId.from_libp2p(text).to_libp2p()


def _x25519(b: ModuleType) -> Work:
    public = b.SecretKey.deterministic(1).public_key
    to_x25519: Work = public.to_x25519
    return to_x25519


def _chain_id(b: ModuleType) -> Work:
    constants = ([SEED[:16]] * 8, "3NK" + "a" * 49, 1_600_000_000_000, 290, 7140, 7, 0, 3, 0, 3000)
    return lambda: b.ChainId.compute(*constants)


CALLS = [
    Call("sealed offer of 3 KiB as bin_prot, and back", _binprot_offer, 4, 2 * len(OFFER), "binprot_offer"),
    Call("BinProtWriter.byte_list, 3 KiB", _write_list, 20, len(OFFER)),
    Call("BinProtReader.byte_list, 3 KiB", _read_list, 4, len(OFFER)),
    Call("BinProtWriter and -Reader: three short values", _small_values, 200),
    Call("GET offer of 3 KiB as base58, and back", _base58_offer, 1, 2 * len(OFFER), "base58_offer"),
    Call("base58_encode, 3 KiB", _base58_encode, 1, len(OFFER)),
    Call("base58_decode, 3 KiB", _base58_decode, 2, len(OFFER)),
    Call("base58check of 32 bytes, and back", _base58check, 50, None, "base58check"),
    Call("PeerId.parse and str", _peer_id, 50),
    Call("PeerId.from_libp2p and to_libp2p", _libp2p, 5),
    Call("16 MiB from chunks of 16 KiB", _reassembly, 1, len(BODY), "reassembly"),
    Call("64 KiB from chunks of 1 KiB", _short_reassembly, 10, 64 * 1024),
    Call("FrameDecoder.receive_batch, one of 1 000 small messages", _receive_batch, 2, None, None, len(SMALL)),
    Call("frame_batch, one of 1 000 small messages", _frame_batch, 1, None, None, len(SMALL)),
    Call("frame_chunks, 16 MiB", _frame_chunks, 1, len(BODY)),
    Call("frame_chunks, 16 MiB as a memoryview", _frame_view, 1, len(BODY)),
    Call("BinProtWriter: a response of 16 MiB", _write_large, 1, len(BODY)),
    Call("BinProtReader: a response of 16 MiB", _read_large, 1, len(BODY)),
    Call("authentication message sealed and opened, keys derived", _seal_open, 4, None, "seal_open"),
    Call("Cipher.seal and open, 1 KiB", _seal(OFFER[:1024]), 200, 2 * 1024),
    Call("Cipher.seal and open, 3 KiB", _seal(OFFER), 200, 2 * len(OFFER)),
    Call("sdp_hash, 1 KiB", _sdp_hash, 400, len(SDP)),
    Call("SecretKey.from_seed and its public key", _from_seed, 8),
    Call("SecretKey.from_pem", _from_pem, 8),
    Call("SecretKey.sign, 64 bytes", _sign, 20),
    Call("PublicKey.verify, 64 bytes", _verify, 10),
    Call("PublicKey.to_x25519", _x25519, 10),
    Call("ChainId.compute", _chain_id, 100),
]
