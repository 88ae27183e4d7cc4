"""The application's part in channel 8: streams that it reads, and those that it makes for peers (protocol.md §7)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from types import TracebackType
from typing import Any, Self
from weakref import WeakValueDictionary

from mina_webrtc.errors import MinaWebrtcError, RequestError
from mina_webrtc.identity import PeerId
from mina_webrtc.machines import vocab as v
from mina_webrtc.services.link import Link
from mina_webrtc.wire.messages import Part

log = logging.getLogger("mina_webrtc.driver")

StreamHandler = Callable[[PeerId, bytes], AsyncIterator[Part]]
"""(who asks, state hash) → the parts, one after the other; none at all when there is no such staged ledger."""


class PartStream:
    """The parts of a staged ledger, as an asynchronous iterator. The peer is asked for a part when it is wanted here,
    so one is held at most. `async with` or `aclose` ends a stream that is not read to its end, and so does dropping it.
    One task reads it; a `__anext__` that is cancelled loses nothing.

    Raises `RequestError` when no part comes: `timeout`, `closed` (the peer is gone), `ended` (the peer broke off).
    """

    def __init__(self, conn: int, request: int, dispatch: Callable[[v.Event], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._conn = conn
        self._request = request
        self._dispatch = dispatch
        self._told = asyncio.Event()
        self._owed = True
        self._waiting = False
        self._part: Part | None = None
        self._over = False
        self._failure: MinaWebrtcError | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Part:
        part = await self.peek()
        if part is None:
            raise StopAsyncIteration
        self._part = None
        return part

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Ends the stream: what the peer still sends is ignored. Idempotent."""
        self._part = None
        if not self._over:
            self._over = True
            self._told.set()
            self._dispatch(v.StreamCancelled(self._conn, self._request))

    def __del__(self) -> None:
        if not self._over and not self._loop.is_closed():
            # whatever runs just now must not find the machines a step further
            event = v.StreamCancelled(self._conn, self._request)
            self._loop.call_soon_threadsafe(self._dispatch, event)

    async def peek(self) -> Part | None:
        """The next part, which stays the next one; None at the end of the stream. Raises `RequestError`."""
        if self._part is None and not self._over and not self._owed:
            self._owed = True
            self._told.clear()
            self._dispatch(v.PartWanted(self._conn, self._request))
        if self._part is None and not self._over:
            await self._wait()
        if self._part is None and self._failure is not None:
            raise self._failure
        return self._part

    async def _wait(self) -> None:
        if self._waiting:
            raise RuntimeError("another task is reading this stream")
        self._waiting = True
        try:
            await self._told.wait()
        finally:
            self._waiting = False

    # ------------------------------------------------------------ what the machines say

    def deliver(self, part: Part | None, last: bool) -> None:
        """See `DeliverPart`."""
        if not self._over:
            self._part, self._over, self._owed = part, last, False
            self._told.set()

    def fail(self, error: MinaWebrtcError) -> None:
        """No part follows."""
        if not self._over:
            self._over, self._failure = True, error
            self._told.set()


class Producer:
    """Runs the application's iterator for one stream of a peer: a part each time it is pulled, and closes it."""

    def __init__(self, made: Callable[[Part | None], None]) -> None:
        self._made = made
        self._pulls = asyncio.Semaphore(0)

    def pull(self) -> None:
        """Get one part more."""
        self._pulls.release()

    async def run(self, handler: StreamHandler, peer: PeerId, state_hash: bytes) -> None:
        """Until the iterator is through, or the task is cancelled."""
        parts: AsyncIterator[Part] | None = None
        try:
            await self._pulls.acquire()
            parts = handler(peer, state_hash)
            await self._pass(parts)
        except Exception:
            log.exception("the handler for staged ledgers failed; the peer is told that nothing follows")
        finally:
            await _close(parts)
        self._made(None)

    async def _pass(self, parts: AsyncIterator[Part]) -> None:
        async for part in parts:
            if not isinstance(part, Part):
                raise TypeError(f"a stream is made of `Part`s, not of {type(part).__name__}")
            self._made(part)
            await self._pulls.acquire()


async def _close(parts: AsyncIterator[Part] | None) -> None:
    close = getattr(parts, "aclose", None)
    try:
        if close is not None:
            await close()
    except Exception:
        log.exception("the handler for staged ledgers failed while it was closed")


class Streams:
    """Performs the effects of `machines.streaming` for one driver, whose `links` these are."""

    def __init__(self, dispatch: Callable[[v.Event], None], links: Mapping[int, Link]) -> None:
        self.handler: StreamHandler | None = None
        self._dispatch = dispatch
        self._links = links
        self._readers: WeakValueDictionary[int, PartStream] = WeakValueDictionary()
        self._count = 0
        self._producers: dict[tuple[int, int], tuple[Producer, asyncio.Task[None]]] = {}
        self.performers: dict[type[v.Effect], Callable[[Any], None]] = {
            v.DeliverPart: self._deliver_part,
            v.FailStream: self._fail_stream,
            v.OpenStream: self._open_stream,
            v.PullPart: self._pull_part,
            v.CloseStream: self._close_stream,
        }

    async def read(self, conn: int, state_hash: bytes, timeout: float) -> PartStream | None:
        """Asks the peer; None when it has no such staged ledger. Raises `RequestError`."""
        if conn not in self._links:
            raise RequestError("closed", "the peer is not connected any more")
        self._count += 1
        request = self._count
        stream = self._readers[request] = PartStream(conn, request, self._dispatch)
        self._dispatch(v.StreamAsked(request, conn, state_hash, timeout))
        try:
            return stream if await stream.peek() is not None else None
        except BaseException:
            await stream.aclose()
            raise

    def close(self, error: MinaWebrtcError) -> None:
        """Nobody gets a part any more."""
        for stream in list(self._readers.values()):
            stream.fail(error)

    # ------------------------------------------------------------ effects

    def _deliver_part(self, effect: v.DeliverPart) -> None:
        stream = self._readers.get(effect.request)
        if stream is not None:
            stream.deliver(effect.part, effect.last)

    def _fail_stream(self, effect: v.FailStream) -> None:
        stream = self._readers.get(effect.request)
        if stream is not None:
            stream.fail(RequestError(effect.reason, effect.detail))

    def _open_stream(self, effect: v.OpenStream) -> None:
        if self.handler is None:
            return
        conn, stream = name = effect.conn, effect.stream
        producer = Producer(lambda part: self._made(conn, stream, part))
        task = self._links[conn].spawn(producer.run(self.handler, effect.peer, effect.state_hash))
        self._producers[name] = producer, task
        task.add_done_callback(lambda _: self._producers.pop(name, None))

    def _pull_part(self, effect: v.PullPart) -> None:
        found = self._producers.get((effect.conn, effect.stream))
        if found is None:
            self._made(effect.conn, effect.stream, None)
        else:
            found[0].pull()

    def _made(self, conn: int, stream: int, part: Part | None) -> None:
        if conn in self._links:
            self._dispatch(v.PartMade(conn, stream, part))

    def _close_stream(self, effect: v.CloseStream) -> None:
        if effect.fault:
            log.error("the handler for staged ledgers: %s; the peer was told that nothing follows", effect.fault)
        found = self._producers.pop((effect.conn, effect.stream), None)
        if found is not None:
            found[1].cancel()
