"""What the native backend is worth: the same call on both, turn by turn in one process, pure time over native time."""

from __future__ import annotations

import os
from collections.abc import Callable
from statistics import median
from time import perf_counter
from types import ModuleType

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benches.conftest import Report
from mina_webrtc import _native, _pure

OFFER = os.urandom(3 * 1024)
AUTH = os.urandom(64)
CHUNKS = [(16 * 1024 * 1024 - 4).to_bytes(4, "big") + bytes(16_380), *[bytes(16_384)] * 1023]
SMALL = [os.urandom(20 + n % 100) for n in range(1000)]


def binprot_offer(b: ModuleType) -> None:
    """A sealed offer as a list of u8, written and read."""
    writer = b.BinProtWriter()
    writer.byte_list(OFFER)
    assert b.BinProtReader(writer.getvalue()).byte_list() == OFFER


def base58_offer(b: ModuleType) -> None:
    """A GET offer of 3 KiB, written and read."""
    assert b.base58_decode(b.base58_encode(OFFER), 16_384) == OFFER


def reassembly(b: ModuleType) -> None:
    """One message of 16 MiB from chunks of 16 KiB."""
    decoder = b.FrameDecoder(256 * 1024 * 1024)
    assert sum(len(decoder.receive_data(chunk)) for chunk in CHUNKS) == 1


def base58check(b: ModuleType) -> None:
    """A public key's text, written and read."""
    assert b.base58check_decode(b.base58check_encode(0x16, AUTH[:32]), 0x16, 32) == AUTH[:32]


def seal_open(b: ModuleType) -> None:
    """An authentication message: the shared key derived on both sides, sealed and opened."""
    one, other = b.SecretKey.deterministic(1), b.SecretKey.deterministic(2)
    assert b.Cipher(other, one.public_key).open(b.Cipher(one, other.public_key).seal(AUTH)) == AUTH


CALLS: list[tuple[Callable[[ModuleType], None], int]] = [
    (binprot_offer, 20),
    (base58_offer, 20),
    (reassembly, 1),
    (base58check, 200),
    (seal_open, 50),
]


def seconds(call: Callable[[ModuleType], None], backend: ModuleType, times: int) -> float:
    begin = perf_counter()
    for _ in range(times):
        call(backend)
    return (perf_counter() - begin) / times


@pytest.mark.parametrize(("call", "times"), CALLS, ids=[call.__name__ for call, _ in CALLS])
def test_native_over_pure(
    benchmark: BenchmarkFixture, smoke: bool, report: Report, call: Callable[[ModuleType], None], times: int
) -> None:
    rounds = 1 if smoke else 15
    pairs = [(seconds(call, _pure, times), seconds(call, _native, times)) for _ in range(rounds)]
    report(f"native_over_pure_{call.__name__}", median(pure / native for pure, native in pairs))
    benchmark.pedantic(call, args=(_native,), rounds=rounds, iterations=times)


def test_frame_batch(benchmark: BenchmarkFixture, smoke: bool, report: Report) -> None:
    """1 000 small frames in one call, per frame."""
    rounds = 1 if smoke else 200

    def batch(backend: ModuleType) -> None:
        backend.frame_batch(SMALL)

    report("native_frame_batch_us", median(seconds(batch, _native, 10) for _ in range(rounds)) / len(SMALL) * 1e6)
    benchmark.pedantic(batch, args=(_native,), rounds=rounds, iterations=10)
