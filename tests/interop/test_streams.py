"""Staged ledgers in parts between whole nodes: order, back-pressure, and every way for a stream to end."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest
from tests.interop.rogue import Rogue
from tests.interop.support import NodeFactory, Watch, key

from mina_webrtc import ClosedError, Limits, Node, Part, PartKind, PartStream, Peer, PeerId, RequestError, Timeouts
from mina_webrtc._backend import frame_chunks
from mina_webrtc.machines.vocab import PeerClosed, PeerReady
from mina_webrtc.wire.channels import Channel
from mina_webrtc.wire.messages import Message, StreamNext, StreamRequest, StreamResponse, encode_message

HASH = bytes(range(32))
MIB = 1024 * 1024
SIZE = 3 * MIB


def ledger(trees: int, size: int = 1000) -> list[Part]:
    parts = [Part(PartKind.BASE, bytes(size)), Part(PartKind.SCAN_STATE_BASE, bytes((trees,)) * size)]
    parts.append(Part(PartKind.PREVIOUS_INCOMPLETE_ZKAPP_UPDATES, b"u" * size))
    return parts + [Part(PartKind.SCAN_STATE_TREE, bytes((tree,)) * size) for tree in range(trees)]


class Maker:
    """The application of the node that has the ledger; knows what became of its generators."""

    def __init__(self, parts: list[Part]) -> None:
        self.parts = parts
        self.made = 0
        self.closed = asyncio.Event()
        self.before: Callable[[int], Awaitable[None]] | None = None

    async def __call__(self, peer: PeerId, state_hash: bytes) -> AsyncIterator[Part]:
        try:
            for at, part in enumerate(self.parts if state_hash == HASH else []):
                if self.before is not None:
                    await self.before(at)
                self.made += 1
                yield part
        finally:
            self.closed.set()


async def pair(start: NodeFactory, maker: Maker, **changes: object) -> tuple[Node, Node, Peer]:
    alice, bob = await start(1), await start(2, **changes)
    bob.on_stream_staged_ledger(maker)
    return alice, bob, await alice.dial(bob.addresses[0])


async def read(peer: Peer) -> list[Part]:
    stream = await peer.stream_staged_ledger(HASH)
    assert stream is not None
    return await _all(stream)


async def _all(stream: PartStream) -> list[Part]:
    return [part async for part in stream]


async def test_large_parts_come_whole_and_in_order_in_both_directions_at_once(start: NodeFactory) -> None:
    maker = Maker(ledger(3, SIZE))
    alice, bob, to_bob = await pair(start, maker)
    alice.on_stream_staged_ledger(Maker(ledger(2, SIZE)))
    to_alice = bob.peers[alice.peer_id]
    there, back = await asyncio.gather(read(to_bob), read(to_alice))
    assert there == ledger(3, SIZE)
    assert back == ledger(2, SIZE)
    assert await read(to_bob) == there
    assert maker.closed.is_set()


async def test_the_largest_part_that_the_channel_carries(start: NodeFactory) -> None:
    parts = ledger(1)
    parts[0] = Part(PartKind.BASE, bytes(16 * MIB - 5))
    _, _, peer = await pair(start, Maker(parts))
    assert await read(peer) == parts


async def test_who_does_not_have_it_says_so(start: NodeFactory) -> None:
    _, bob, peer = await pair(start, Maker(ledger(1)))
    assert await peer.stream_staged_ledger(bytes(32)) is None
    bob._driver.streams.handler = None  # type: ignore[union-attr]
    assert await peer.stream_staged_ledger(HASH) is None


async def test_a_slow_reader_holds_the_producer_back(start: NodeFactory) -> None:
    maker = Maker(ledger(6, 200_000))
    _, _, peer = await pair(start, maker)
    stream = await peer.stream_staged_ledger(HASH)
    assert stream is not None
    taken = 0
    async for _ in stream:
        taken += 1
        await peer.initial_peers()  # a round trip, in which more could have come
        assert maker.made == taken


async def test_a_slow_producer_is_waited_for(start: NodeFactory) -> None:
    maker = Maker(ledger(2))

    async def slowly(at: int) -> None:
        await asyncio.sleep(0.05)

    maker.before = slowly
    _, _, peer = await pair(start, maker)
    assert await read(peer) == ledger(2)


@pytest.mark.parametrize("how", ["with", "aclose", "dropped"])
async def test_a_reader_that_stops_ends_the_stream_and_the_next_one_works(start: NodeFactory, how: str) -> None:
    maker, gate = Maker(ledger(3)), asyncio.Event()

    async def hold(at: int) -> None:
        if at == 3:
            await gate.wait()

    maker.before = hold
    _, _, peer = await pair(start, maker)

    async def two_parts() -> None:
        stream = await peer.stream_staged_ledger(HASH)
        assert stream is not None
        if how == "with":
            async with stream:
                async for part in stream:
                    if part.kind is PartKind.SCAN_STATE_BASE:
                        break
        else:
            await anext(stream)
            await anext(stream)
        if how == "aclose":
            await stream.aclose()
            assert [part async for part in stream] == []

    await two_parts()
    gc.collect()
    await asyncio.sleep(0)
    # the rest is fetched, and ignored, because the wire has no word for stopping
    with pytest.raises(RequestError, match="too_many_requests"):
        await peer.stream_staged_ledger(HASH)
    gate.set()
    await maker.closed.wait()
    await peer.initial_peers()
    assert await read(peer) == ledger(3)


async def test_a_cancelled_wait_loses_nothing_and_only_one_task_reads(start: NodeFactory) -> None:
    maker, gate = Maker(ledger(1)), asyncio.Event()

    async def hold(at: int) -> None:
        if at == 1:
            await gate.wait()

    maker.before = hold
    _, _, peer = await pair(start, maker)
    stream = await peer.stream_staged_ledger(HASH)
    assert stream is not None
    parts = [await anext(stream)]
    waiting = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="another task"):
        await anext(stream)
    waiting.cancel()
    with suppress(asyncio.CancelledError):
        await waiting
    gate.set()
    parts += [part async for part in stream]
    assert parts == ledger(1)


async def test_closing_a_stream_wakes_who_reads_it(start: NodeFactory) -> None:
    maker = Maker(ledger(1))

    async def hold(at: int) -> None:
        if at == 1:
            await asyncio.Event().wait()

    maker.before = hold
    _, _, peer = await pair(start, maker)
    stream = await peer.stream_staged_ledger(HASH)
    assert stream is not None
    rest = asyncio.ensure_future(_all(stream))
    await asyncio.sleep(0)
    await stream.aclose()
    assert await rest == ledger(1)[:1]


async def test_a_cancelled_request_is_over_when_its_answer_is(start: NodeFactory) -> None:
    maker, gate = Maker(ledger(1)), asyncio.Event()

    async def hold(at: int) -> None:
        await gate.wait()

    maker.before = hold
    _, _, peer = await pair(start, maker)
    asked = asyncio.ensure_future(peer.stream_staged_ledger(HASH))
    await asyncio.sleep(0.01)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    with pytest.raises(RequestError, match="too_many_requests"):
        await peer.stream_staged_ledger(HASH)
    gate.set()
    await maker.closed.wait()
    await peer.initial_peers()
    assert await read(peer) == ledger(1)


async def test_a_part_times_out_and_what_comes_late_is_ignored(start: NodeFactory) -> None:
    maker, gate = Maker(ledger(1)), asyncio.Event()

    async def hold(at: int) -> None:
        if at == 2:
            await gate.wait()

    maker.before = hold
    alice, _, peer = await pair(start, maker)
    stream = await peer.stream_staged_ledger(HASH, timeout=0.2)
    assert stream is not None
    with pytest.raises(RequestError, match="timeout"):
        [part async for part in stream]
    with pytest.raises(RequestError, match="timeout"):
        await anext(stream)
    gate.set()
    await maker.closed.wait()
    await peer.initial_peers()
    assert await read(peer) == ledger(1)
    assert alice.state()["ignored"]["StreamResponse"] == 2


@pytest.mark.parametrize("at", [0, 1, 4])
async def test_a_producer_that_fails_ends_the_stream_and_nothing_else(start: NodeFactory, at: int) -> None:
    maker = Maker(ledger(3))

    async def fail(now: int) -> None:
        if now == at:
            raise RuntimeError("the disk is gone")

    maker.before = fail
    _, _, peer = await pair(start, maker)
    stream = await peer.stream_staged_ledger(HASH)
    assert (stream is None) == (at == 0)
    if stream is not None:
        with pytest.raises(RequestError, match="ended"):
            [part async for part in stream]
    maker.before = None
    assert await read(peer) == ledger(3)


async def test_what_is_no_stream_of_parts_ends_it(start: NodeFactory, caplog: pytest.LogCaptureFixture) -> None:
    _, bob, peer = await pair(start, Maker([]))

    async def words(peer: PeerId, state_hash: bytes) -> AsyncIterator[Part]:
        yield b"bytes"  # type: ignore[misc]

    async def early(peer: PeerId, state_hash: bytes) -> AsyncIterator[Part]:
        for part in ledger(2)[:-1]:
            yield part

    bob.on_stream_staged_ledger(words)
    assert await peer.stream_staged_ledger(HASH) is None
    assert "not of bytes" in caplog.text
    bob.on_stream_staged_ledger(early)
    with pytest.raises(RequestError, match="ended"):
        await read(peer)
    assert "no part SCAN_STATE_TREE" in caplog.text


async def test_an_idle_reader_does_not_hold_the_producer(start: NodeFactory) -> None:
    maker = Maker(ledger(1))
    _, _, peer = await pair(start, maker, timeouts=Timeouts(stream_idle=0.1))
    stream = await peer.stream_staged_ledger(HASH)
    assert stream is not None
    assert await anext(stream) == ledger(1)[0]
    await maker.closed.wait()
    await peer.initial_peers()
    with pytest.raises(RequestError, match="ended"):
        await anext(stream)
    assert await read(peer) == ledger(1)


async def test_a_producer_that_is_too_slow_is_closed(start: NodeFactory) -> None:
    maker = Maker(ledger(1))

    async def never(at: int) -> None:
        await asyncio.Event().wait()

    maker.before = never
    _, _, peer = await pair(start, maker, timeouts=Timeouts(handler=0.1))
    assert await peer.stream_staged_ledger(HASH) is None
    await maker.closed.wait()


@pytest.mark.parametrize("who", ["reader", "maker"])
async def test_a_peer_that_goes_away_in_the_middle(start: NodeFactory, who: str) -> None:
    maker, second = Maker(ledger(3, SIZE)), asyncio.Event()

    async def tell(at: int) -> None:
        if at == 1:
            second.set()

    maker.before = tell
    alice, bob, peer = await pair(start, maker)
    stream = await peer.stream_staged_ledger(HASH)
    assert stream is not None
    await anext(stream)
    waiting = asyncio.ensure_future(anext(stream))
    await second.wait()
    await (bob if who == "maker" else alice).close()
    with pytest.raises((RequestError, ClosedError), match="closed"):
        await waiting
    await maker.closed.wait()
    if who == "maker":
        assert not alice.peers


WORKER = """
import asyncio
from mina_webrtc import Config, Node, Part, PartKind, SecretKey

async def endless(peer, state_hash):
    yield Part(PartKind.BASE, bytes(1000))
    yield Part(PartKind.SCAN_STATE_BASE, bytes((120,)))
    yield Part(PartKind.PREVIOUS_INCOMPLETE_ZKAPP_UPDATES, bytes(1000))
    while True:
        yield Part(PartKind.SCAN_STATE_TREE, bytes(1_000_000))

async def main():
    config = Config(secret_key=SecretKey.deterministic(2), listen=("127.0.0.1:0",), allow_loopback=True)
    async with Node(config) as node:
        node.on_stream_staged_ledger(endless)
        print(node.addresses[0], flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_a_process_that_is_killed_in_the_middle(start: NodeFactory) -> None:
    pipe = asyncio.subprocess.PIPE
    worker = await asyncio.create_subprocess_exec(sys.executable, "-c", WORKER, stdout=pipe)
    assert worker.stdout is not None
    try:
        alice = await start(1, timeouts=Timeouts(consent=1.0))
        peer = await alice.dial((await worker.stdout.readline()).decode().strip())
        stream = await peer.stream_staged_ledger(HASH)
        assert stream is not None
        for _ in range(5):
            await anext(stream)
        worker.kill()
        with pytest.raises(RequestError, match="closed"):
            await _all(stream)
        assert not alice.peers
    finally:
        if worker.returncode is None:
            worker.kill()
        await worker.wait()


async def test_more_trees_than_allowed_close_the_peer(start: NodeFactory) -> None:
    alice, bob = await start(1, limits=Limits(max_trees=3)), await start(2)
    bob.on_stream_staged_ledger(Maker(ledger(4)))
    peer = await alice.dial(bob.addresses[0])
    watch = Watch(alice)
    with pytest.raises(RequestError, match="closed"):
        await read(peer)
    closed = await watch.next(PeerClosed)
    assert closed.failure.reason == "protocol_error"
    assert "4 trees" in closed.failure.detail


PART = Part(PartKind.BASE, b"base")


@pytest.mark.parametrize(
    ("messages", "complaint"),
    [
        ([StreamResponse(1, PART)], "unexpected for channel 8"),
        ([StreamNext(0)], "unexpected for channel 8"),
        ([StreamRequest(0, HASH), StreamRequest(1, HASH)], "stream 1 while stream 0 is open"),
        ([StreamRequest(0, HASH), StreamNext(0), StreamNext(0)], "unexpected for channel 8"),
        ([StreamResponse(1, Part(PartKind.BASE, bytes(65_536)))], "bad frame on channel 8"),
        ([b"\x07"], "not a message of channel 8"),
        ([b"\x02\x00\x00\x00"], "left over|not a message of channel 8"),
    ],
)
async def test_what_no_peer_may_send(start: NodeFactory, messages: list[Message | bytes], complaint: str) -> None:
    alice = await start(1)
    maker, gate = Maker(ledger(1)), asyncio.Event()

    async def hold(at: int) -> None:
        await gate.wait()

    maker.before = hold
    alice.on_stream_staged_ledger(maker)
    watch = Watch(alice)
    async with Rogue(key(5)) as rogue:
        await rogue.dial(alice.addresses[0])
        await rogue.authenticate()
        await watch.next(PeerReady)
        for message in messages:
            payload = message if isinstance(message, bytes) else encode_message(Channel.STREAMING, message)
            rogue.transport.send([(Channel.STREAMING, chunk) for chunk in frame_chunks(payload)])
        closed = await watch.next(PeerClosed)
    assert closed.failure.reason == "protocol_error"
    assert any(words in closed.failure.detail for words in complaint.split("|")), closed.failure


def test_the_example_runs() -> None:
    command = [sys.executable, str(Path(__file__).parents[2] / "examples/ledger.py")]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=50).stdout.splitlines()
    trees = [line for line in said if "tree" in line.lower()]
    assert [line.split()[0] for line in trees] == ["Bob", "Alice"] * 3
    assert len(said) == 9
