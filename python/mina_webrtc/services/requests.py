"""The application's part in channel 7: the requests that it waits for, and its handlers (protocol.md §7)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from mina_webrtc.errors import MinaWebrtcError, RequestError
from mina_webrtc.identity import PeerId
from mina_webrtc.machines import vocab as v
from mina_webrtc.services.link import Link

log = logging.getLogger("mina_webrtc.driver")

Handler = Callable[[PeerId, bytes], Awaitable[bytes | None]]
"""(who asks, the request's body) → the answer's body; None: "I do not have it"."""


class Requests:
    """Performs the effects of `machines.rpc` for one driver, whose `links` these are."""

    def __init__(self, dispatch: Callable[[v.Event], None], links: Mapping[int, Link]) -> None:
        self._dispatch = dispatch
        self._links = links
        self.handlers: dict[int, Handler] = {}
        self._asked: dict[int, asyncio.Future[bytes | None]] = {}
        self._count = 0
        self._handling: dict[tuple[int, int], asyncio.Task[None]] = {}
        self.performers: dict[type[v.Effect], Callable[[Any], None]] = {
            v.HandleRequest: self._handle,
            v.AbandonRequest: self._abandon,
            v.CompleteRequest: self._complete,
            v.FailRequest: self._fail,
        }

    async def ask(self, conn: int, kind: int, body: bytes, timeout: float) -> bytes | None:
        """Asks the peer and returns its answer, None if it has none. Raises `RequestError`."""
        if conn not in self._links:
            raise RequestError("closed", "the peer is not connected any more")
        self._count += 1
        request = self._count
        future: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
        self._asked[request] = future
        self._dispatch(v.RequestMade(request, conn, kind, body, timeout))
        try:
            return await future
        except asyncio.CancelledError:
            if conn in self._links:
                self._dispatch(v.RequestCancelled(conn, request))
            raise
        finally:
            del self._asked[request]

    def close(self, error: MinaWebrtcError) -> None:
        """Nobody is answered any more."""
        for future in self._asked.values():
            if not future.done():
                future.set_exception(error)

    # ------------------------------------------------------------ effects

    def _complete(self, effect: v.CompleteRequest) -> None:
        future = self._asked.get(effect.request)
        if future is not None and not future.done():
            future.set_result(effect.body)

    def _fail(self, effect: v.FailRequest) -> None:
        future = self._asked.get(effect.request)
        if future is not None and not future.done():
            future.set_exception(RequestError(effect.reason, effect.detail))

    def _handle(self, effect: v.HandleRequest) -> None:
        handler = self.handlers.get(effect.kind)
        if handler is None:
            self._dispatch(v.RequestHandled(effect.conn, effect.rpc_id, None))
            return
        name = (effect.conn, effect.rpc_id)
        self._handling[name] = self._links[effect.conn].spawn(self._run(handler, effect))
        self._handling[name].add_done_callback(lambda _: self._handling.pop(name, None))

    async def _run(self, handler: Handler, effect: v.HandleRequest) -> None:
        body = None
        try:
            body = _checked(await handler(effect.peer, effect.body))
        except Exception:
            log.exception("the handler for rpc %d failed; answering that we do not have it", effect.kind)
        if self._handling.pop((effect.conn, effect.rpc_id), None) is not None and effect.conn in self._links:
            self._dispatch(v.RequestHandled(effect.conn, effect.rpc_id, body))

    def _abandon(self, effect: v.AbandonRequest) -> None:
        task = self._handling.pop((effect.conn, effect.rpc_id), None)
        if task is not None:
            task.cancel()


def _checked(body: object) -> bytes | None:
    if body is None or isinstance(body, bytes):
        return body
    if isinstance(body, bytearray | memoryview):
        return bytes(body)
    raise TypeError(f"an answer is bytes or None, not {type(body).__name__}")
