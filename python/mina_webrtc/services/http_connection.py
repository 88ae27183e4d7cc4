"""One connection to the signaling server: its deadlines, and where its requests really come from."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from ipaddress import IPv6Address, ip_address

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong
from msgspec import Struct

from mina_webrtc.services.resolve import Ip, Network

log = logging.getLogger("mina_webrtc.http")

_MAX_FIELD = 4096
"""One header field. With the next one: what a connection can make the parser hold, besides the request line."""
_MAX_HEAD = 32 * 1024
_MAX_FIELDS = 64

HEADERS = {"Access-Control-Allow-Origin": "*", "Server": "mina-webrtc"}
"""On every answer, errors included: a browser shows its page nothing of an answer without the first (§5)."""


class ServerLimits(Struct, frozen=True, kw_only=True):
    """What the server must be told; it has no defaults of its own. Times in seconds, sizes in bytes."""

    max_body: int
    """A POSTed offer (§5: 64 KiB); 413 beyond."""
    max_get: int
    """The base58 text of a GET offer (§5: 16 KiB); 414 beyond."""
    max_connections: int
    """Open connections; further ones are closed as they come."""
    max_connections_per_source: int
    """The same per IPv4 address or IPv6 /64. Trusted proxies are exempt: they speak for many."""
    read_timeout: float
    """From the connection's first moment, TLS included, until its request is there as a whole."""
    handler_timeout: float
    """From the offer to the handler's reply; the asker gets `InternalError` then."""
    write_timeout: float
    """From the reply until the last byte of it is taken and the connection is closed."""
    retry_after: int
    """Whole seconds that an asker is told to wait when we are overloaded."""
    backlog: int
    """Connections that wait to be accepted, per endpoint."""


class Connection(web.RequestHandler):
    """aiohttp's protocol with a deadline for every phase: reading, then (the handler's own), then writing.

    A connection is good for one offer: every answer but that of a preflight closes it. So nothing that comes after a
    request is of interest, and it is dropped instead of queued.
    """

    def __init__(self, server: web.Server, limits: ServerLimits, deadline: float, on_lost: Callable[[], None]) -> None:
        """`deadline`: when the request must be there, in loop time."""
        loop = asyncio.get_running_loop()
        super().__init__(
            server,
            loop=loop,
            keepalive_timeout=limits.read_timeout,
            lingering_time=limits.write_timeout,
            access_log=None,  # type: ignore[arg-type]  # aiohttp's own way of saying "none"
            max_line_size=2 * limits.max_get,  # so that a GET which is not absurdly too long is told so
            max_field_size=_MAX_FIELD,
            max_headers=_MAX_FIELDS,
            auto_decompress=False,
            logger=log,
        )
        self._limits = limits
        self._request_deadline = deadline
        self._on_lost = on_lost
        self._timer: asyncio.TimerHandle | None = None
        self._head = 0
        self._served = 0
        self._answering = False
        self._serving: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Starts the reading deadline."""
        if transport.is_closing():  # uvloop also reports a connection whose opening was cancelled
            return
        super().connection_made(transport)
        if self.transport is not None and self.transport.get_extra_info("sslcontext") is None:
            # draining then waits until the kernel has taken everything; under TLS up to 64 KiB may be left in the layer
            # between, which has no public knob
            self.transport.set_write_buffer_limits(high=0)
        self.await_request()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Cancels the timer and, through aiohttp, the request under way."""
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)
        self._on_lost()

    def data_received(self, data: bytes) -> None:
        """Bounds the head of a request; drops what comes after a request."""
        if self._answering:
            return
        if self._request_count == self._served:
            if self._head > _MAX_HEAD + 2 * self._limits.max_get:
                return self.abort()
            self._head += len(data)
        super().data_received(data)

    async def start(self) -> None:
        """Runs aiohttp's loop over the requests of this connection."""
        self._serving = asyncio.current_task()
        await super().start()

    def await_request(self) -> None:
        """A request has to be there by the deadline, which keeping the connection open does not move."""
        self._head = 0
        self._served = self._request_count - len(self._messages)
        self._arm(self._request_deadline)

    def await_handler(self) -> None:
        """The request is there; the time is the handler's now."""
        self._answering = True
        if self._timer is not None:
            self._timer.cancel()

    def await_written(self, *, last: bool) -> None:
        """The answer has to be taken in time; `last`: no request follows."""
        self._answering = last
        self._arm(self._loop.time() + self._limits.write_timeout)

    def finish_writing(self) -> None:
        """Tells the client that nothing follows while it is still sending: closing now could destroy the answer."""
        transport = self.transport
        if transport is not None and transport.can_write_eof() and not transport.is_closing():
            transport.write_eof()

    def abort(self) -> None:
        """Closes at once, without flushing."""
        if self.transport is not None:
            self.transport.abort()

    def drop(self) -> asyncio.Task[None] | None:
        """Ends everything now. Returns what is left to wait for."""
        self.abort()
        if self._timer is not None:
            self._timer.cancel()
        if self._serving is not None:
            self._serving.cancel()
        return self._serving

    def _arm(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self.abort)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to what is not HTTP, or to a bug of ours: short, with CORS headers, and quiet in the log."""
        if isinstance(exc, LineTooLong):
            status = 414 if exc.args[1] == self.max_line_size else 431
        if status == 500:
            log.error("a signaling request failed", exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun already")
        self.await_written(last=True)
        response = web.Response(status=status, headers=HEADERS, text="not a request that can be served\n")
        response.force_close()
        return response


def plain_ip(text: str) -> Ip:
    """An IP from a socket or a header: without zone, IPv4-mapped as IPv4. Raises `ValueError`."""
    ip = ip_address(text.partition("%")[0])
    return ip.ipv4_mapped or ip if isinstance(ip, IPv6Address) else ip


def source_of(peer: Ip, forwarded: Sequence[str], trusted: Sequence[Network]) -> Ip:
    """Who asks: `peer`, or what a chain of trusted proxies says in its `X-Forwarded-For` lines.

    Read from the right, where the nearest proxy has written: the first entry that is no trusted proxy's is the source.
    Whatever stands left of it was written by the source itself; an entry that is no IP ends the search.
    """
    source = peer
    for entry in reversed(",".join(forwarded).split(",")):
        if not is_in(source, trusted):
            break
        try:
            source = plain_ip(_without_port(entry.strip()))
        except ValueError:
            break
    return source


def is_in(ip: Ip, networks: Sequence[Network]) -> bool:
    """Whether one of `networks` holds `ip`."""
    return any(ip.version == network.version and ip in network for network in networks)


def _without_port(entry: str) -> str:
    if entry.startswith("["):
        return entry[1:].partition("]")[0]
    return entry.partition(":")[0] if entry.count(":") == 1 else entry
