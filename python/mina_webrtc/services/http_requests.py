"""What the signaling server answers: paths, methods, statuses (protocol.md §4, §5)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import cast

from aiohttp import web
from msgspec import Struct

from mina_webrtc.errors import InvalidInput, SignalError
from mina_webrtc.services.base import SignalHandler
from mina_webrtc.services.http_connection import HEADERS, Connection, ServerLimits, plain_ip, source_of
from mina_webrtc.services.resolve import Network
from mina_webrtc.wire.method import SIGNAL_PATH
from mina_webrtc.wire.signal import Offer, P2pConnectionResponse, offer_from_get

log = logging.getLogger("mina_webrtc.http")

_HEALTH = "/healthz"
_JSON = "application/json"
_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST, OPTIONS",
    "Access-Control-Allow-Headers": "Content-Type",
    "Access-Control-Max-Age": "86400",
}


class _Refused(Exception):
    """The request gets this answer and nobody is asked."""

    def __init__(self, answer: _Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


class _Answer(Struct, frozen=True):
    status: int
    body: bytes = b""
    type: str = "text/plain"
    extra: Mapping[str, str] = MappingProxyType({})
    written: Callable[[bool], None] | None = None

    def response(self) -> web.Response:
        kind = self.type if self.body else None
        return web.Response(status=self.status, body=self.body, content_type=kind, headers={**HEADERS, **self.extra})


class Requests:
    """aiohttp's low-level handler: one call per request of any connection."""

    def __init__(self, handler: SignalHandler, limits: ServerLimits, trusted: Sequence[Network]) -> None:
        self._handler = handler
        self._limits = limits
        self._trusted = trusted

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answers, and returns when the answer has been written in full."""
        connection = cast(Connection, request.protocol)
        try:
            answer = await self._answer(request, connection)
        except _Refused as refused:
            answer = refused.answer
        keep = request.method == "OPTIONS" and answer.status == 204
        response = answer.response()
        if not keep:
            response.force_close()
        connection.await_written(last=not keep)
        await self._write(request, response, answer.written)
        if keep:
            connection.await_request()
        elif not request.content.is_eof():
            connection.finish_writing()
        log.debug("answered", extra={"details": {"method": request.method, "status": answer.status}})
        return response

    async def _write(
        self, request: web.BaseRequest, response: web.Response, told: Callable[[bool], None] | None
    ) -> None:
        written = False
        try:
            await response.prepare(request)
            await response.write_eof()
            await request.writer.drain()
            written = request.transport is not None  # draining also ends when the connection is lost
        except ConnectionError:
            log.debug("the asker was gone before its answer")
        finally:
            if told is not None:
                told(written)

    async def _answer(self, request: web.BaseRequest, connection: Connection) -> _Answer:
        path = request.rel_url.raw_path
        if path == _HEALTH:
            if _allowed(request, "GET", "HEAD"):
                return _Answer(200, b'{"status":"ok"}', _JSON)
        elif path == SIGNAL_PATH:
            if _allowed(request, "POST"):
                offer = await self._posted(request)
                return await self._ask(offer, request, connection)
        elif path.startswith(SIGNAL_PATH + "/"):
            if _allowed(request, "GET"):
                offer = self._got(path[len(SIGNAL_PATH) + 1 :])
                return await self._ask(offer, request, connection)
        else:
            raise _refusal(404, "nothing is here")
        return _Answer(204, extra=_PREFLIGHT)

    async def _posted(self, request: web.BaseRequest) -> Offer:
        kind = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind not in ("", _JSON):  # §5: none at all is accepted
            raise _refusal(415, f"the content type is not {_JSON}")
        body = await self._body(request)
        try:
            return Offer.from_json(body)
        except SignalError as error:
            raise _refusal(400, f"not an offer: {error}") from None

    async def _body(self, request: web.BaseRequest) -> bytes:
        limit = self._limits.max_body
        too_large = _refusal(413, f"the body is larger than {limit} bytes")
        if (request.content_length or 0) > limit:
            raise too_large
        if request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0  # the answer itself has not begun
        data = bytearray()
        while chunk := await request.content.readany():
            data += chunk
            if len(data) > limit:
                raise too_large
        return bytes(data)

    def _got(self, text: str) -> Offer:
        if len(text) > self._limits.max_get:  # before base58, which is quadratic (§5)
            raise _refusal(414, f"the offer is longer than {self._limits.max_get} characters")
        try:
            return offer_from_get(text)
        except InvalidInput:
            raise _Refused(_signal(P2pConnectionResponse.signal_decryption_failed())) from None

    async def _ask(self, offer: Offer, request: web.BaseRequest, connection: Connection) -> _Answer:
        source = source_of(
            plain_ip(connection.peername[0]) if connection.peername else plain_ip("::"),
            request.headers.getall("X-Forwarded-For", ()),
            self._trusted,
        )
        connection.await_handler()
        try:
            async with asyncio.timeout(self._limits.handler_timeout):
                reply = await self._handler(offer, str(source))
        except Exception as error:  # whatever went wrong on our side, the asker gets an answer (§4)
            log.error("an offer could not be handled", exc_info=error)
            return _signal(P2pConnectionResponse.internal_error())
        if reply.overloaded:
            extra = {"Retry-After": str(self._limits.retry_after)}
            return _Answer(429, reply.response.to_json(), _JSON, extra, reply.written)
        return _signal(reply.response, reply.written)


def _signal(response: P2pConnectionResponse, written: Callable[[bool], None] | None = None) -> _Answer:
    return _Answer(response.http_status, response.to_json(), _JSON, written=written)


def _allowed(request: web.BaseRequest, *methods: str) -> bool:
    """Whether the method is one of `methods`; False for OPTIONS, 405 for the others."""
    if request.method in methods:
        return True
    if request.method == "OPTIONS":
        return False
    allow = ", ".join((*methods, "OPTIONS"))
    raise _Refused(_Answer(405, b"not with this method\n", extra={"Allow": allow}))


def _refusal(status: int, text: str) -> _Refused:
    line = "".join(c if c.isprintable() else "·" for c in text[:300])
    return _Refused(_Answer(status, f"{line}\n".encode()))
