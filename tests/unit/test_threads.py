"""Many threads in the same functions at once, and other interpreters in the same process."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from operator import call
from pathlib import Path
from types import ModuleType

import pytest
from tests.parity.conftest import NATIVE_MISSING

import mina_webrtc
from mina_webrtc.errors import Base58Error, DecryptionError, FrameError, SignatureError

THREADS = 16
ROUNDS = 50


def hammer(work: Callable[[int], None]) -> None:
    """Runs `work` in every thread at the same moment, again and again; a failure in any of them fails the test."""
    start = threading.Barrier(THREADS)

    def one(index: int) -> None:
        start.wait()
        for _ in range(ROUNDS):
            work(index)

    with ThreadPoolExecutor(THREADS) as pool:
        for done in [pool.submit(one, index) for index in range(THREADS)]:
            done.result()


@pytest.fixture(autouse=True)
def _switch_often():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def test_shared_keys_and_ciphers(backend: ModuleType) -> None:
    key = backend.SecretKey.deterministic(1)
    peers = [backend.SecretKey.deterministic(index + 2) for index in range(THREADS)]
    expected = [bytes(key.sign(bytes([index]))) for index in range(THREADS)]
    shared = backend.Cipher(key, peers[0].public_key)
    far = backend.Cipher(peers[0], key.public_key)

    def work(index: int) -> None:
        message = bytes([index]) * (1 + 8192 * (index % 3))  # below and above what the lock is released for
        assert bytes(key.sign(bytes([index]))) == expected[index]
        assert far.open(shared.seal(message)) == message
        key.public_key.verify(bytes([index]), backend.Signature.from_bytes(expected[index]))
        assert backend.PeerId.parse(str(peers[index].peer_id)) == peers[index].peer_id
        with pytest.raises(SignatureError):
            key.public_key.verify(b"other", backend.Signature.from_bytes(expected[index]))
        with pytest.raises(DecryptionError):
            shared.open(bytes(40))

    hammer(work)


def test_bytes_and_texts(backend: ModuleType) -> None:
    data = bytes(range(256)) * 4
    text = backend.base58_encode(data)

    def work(index: int) -> None:
        assert backend.base58_encode(data) == text
        assert backend.base58_decode(text, len(text)) == data
        assert backend.base58check_decode(backend.base58check_encode(index, data[:32]), index, 32) == data[:32]
        assert len(backend.sdp_hash("v=0\r\n" * 2000)) == 32
        with pytest.raises(Base58Error):
            backend.base58_decode("0", 10)

    hammer(work)


def test_a_decoder_of_each_thread(backend: ModuleType) -> None:
    def work(index: int) -> None:
        decoder = backend.FrameDecoder(64 * 1024)
        messages = [bytes([index]) * size for size in (1, 5000, 60_000)]
        chunks = [chunk for message in messages for chunk in backend.frame_chunks(message)]
        assert decoder.receive_batch(chunks) == messages
        with pytest.raises(FrameError):
            backend.FrameDecoder(10).receive_data(bytes(4))

    hammer(work)


@pytest.mark.parametrize("name", ["frame_chunks", "getvalue", "receive_batch"])
def test_long_work_lets_other_threads_run(backend: ModuleType, name: str) -> None:
    """Nothing but the call itself runs between the two looks at what the other thread has done: `map` and `call` are
    no Python code, where the interpreter would change threads."""
    body = bytes(12 << 20)
    writer, chunks = backend.BinProtWriter(), backend.frame_chunks(body)
    writer.raw(body)
    calls: dict[str, Callable[[], Callable[[], object]]] = {
        "frame_chunks": lambda: partial(backend.frame_chunks, body),
        "getvalue": lambda: writer.getvalue,
        "receive_batch": lambda: partial(backend.FrameDecoder(len(body)).receive_batch, chunks),
    }
    turns: list[None] = []
    done = threading.Event()

    def run() -> None:
        while not done.is_set():
            turns.append(None)

    other = threading.Thread(target=run)
    other.start()
    try:
        for _ in range(200):  # one call is enough, unless the system does not let the thread run meanwhile
            before, _, after = map(call, (turns.__len__, calls[name](), turns.__len__))
            if after != before:
                return
    finally:
        done.set()
        other.join()
    pytest.fail("the other thread has stood still")


# Only the extension and what it imports, because other packages' extensions have limits of their own.
IMPORT = """
import importlib, sys, types
package = types.ModuleType("mina_webrtc")
package.__path__ = [{folder!r}]
sys.modules["mina_webrtc"] = package
try:
    importlib.import_module("mina_webrtc._native")
    print("imported", flush=True)
except ImportError as error:
    print("another interpreter" in str(error) or "subinterpreters" in str(error), flush=True)
"""
INTERPRETERS = """
import sys
code = {code!r}
exec(code)
if sys.version_info >= (3, 13):
    import _interpreters
    for kind in ("legacy", "isolated"):
        assert _interpreters.exec(_interpreters.create(kind), code) is None
else:
    import _xxsubinterpreters
    for isolated in (False, True):
        _xxsubinterpreters.run_string(_xxsubinterpreters.create(isolated=isolated), code)
exec(code)
"""

if not NATIVE_MISSING:

    def test_a_second_interpreter_does_not_get_the_extension_of_the_first() -> None:
        """Its exceptions would be those of the first; so it is refused, and the pure backend can take its place."""
        code = IMPORT.format(folder=str(Path(mina_webrtc.__file__).parent))
        command = [sys.executable, "-c", INTERPRETERS.format(code=code)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert (done.stdout.split(), done.returncode) == (["imported", "True", "True", "imported"], 0), done.stderr
