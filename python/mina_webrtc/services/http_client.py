"""The client side of signaling: one POST per offer (protocol.md §4, §5). Seed lists are fetched by the same rules."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from errno import ECONNREFUSED
from pathlib import Path
from socket import AF_INET, AF_INET6, AI_NUMERICHOST, IPPROTO_TCP, AddressFamily
from typing import Any, Protocol, TypeVar

import aiohttp
import msgspec
import yarl
from aiohttp.abc import AbstractResolver, AbstractStreamWriter, ResolveResult
from msgspec import Struct

from mina_webrtc.errors import ConfigError, SignalError, SignalingError
from mina_webrtc.services.resolve import Address, Resolver, is_cancelled
from mina_webrtc.wire.address import Host, SignalingMethod
from mina_webrtc.wire.signal import P2pConnectionResponse

T = TypeVar("T")

_QUOTED = 200
"""Characters of a foreign body that an error message quotes."""

_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "mina-webrtc"}


class ClientSettings(Struct, frozen=True, kw_only=True):
    """What the client must be told; it has no defaults of its own. Times in seconds, sizes in bytes."""

    max_response: int
    """The largest answer that is read (§5: 64 KiB)."""
    max_connections: int
    """Connections at a time, all servers together; more offers wait their turn within their timeout."""
    max_connections_per_host: int
    dns_timeout: float
    happy_eyeballs_delay: float
    """How long one address is tried alone before the next joins (RFC 8305 §8: 0.25 s)."""
    ca_file: Path | None
    """PEM file of certification authorities that servers may be certified by."""
    system_roots: bool
    """Whether the system's authorities count as well."""


class HttpOfferClient:
    """`OfferPort` over HTTP(S). Follows no redirect, reads no proxy environment, keeps no cookies or connections."""

    def __init__(self, settings: ClientSettings, resolver: Resolver) -> None:
        """Needs a running event loop; `resolver` is closed with the client. Raises `ConfigError` for a bad CA file."""
        self._settings = settings
        self._resolver = resolver
        self._closed = False
        self._running: set[asyncio.Task[Any]] = set()
        connector = aiohttp.TCPConnector(
            resolver=_Checked(),
            use_dns_cache=False,
            force_close=True,
            limit=settings.max_connections,
            limit_per_host=settings.max_connections_per_host,
            happy_eyeballs_delay=settings.happy_eyeballs_delay,
            ssl=_tls_context(settings),
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=_HEADERS,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            trust_env=False,
            auto_decompress=False,
        )

    async def send(
        self, method: SignalingMethod, body: bytes, *, timeout: float, learnt: bool, on_sent: Callable[[], None]
    ) -> P2pConnectionResponse:
        """See `OfferPort.send`. Every error has a `reason`, a short word, and a message that names the stage."""
        return await self._run(self._exchange(_Exchange(method, body, timeout, learnt, on_sent)))

    async def fetch(self, url: str, *, timeout: float, limit: int) -> bytes:
        """The body at an URL that the user named, at most `limit` bytes. Raises as `send`."""
        return await self._run(self._load(_Exchange(_Page(url), b"", timeout, False, lambda: None), limit))

    async def _run(self, work: Coroutine[None, None, T]) -> T:
        if self._closed:
            work.close()
            raise SignalingError("the client is closed", reason="closed")
        task: asyncio.Task[T] = asyncio.ensure_future(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        try:
            return await task
        except asyncio.CancelledError:
            if is_cancelled():
                raise
            raise SignalingError("the client was closed", reason="closed") from None

    async def close(self) -> None:
        """Closes every connection and look-up; running `send`s fail with reason `closed`. Idempotent."""
        self._closed = True
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self._session.close()
        await self._resolver.close()

    async def _exchange(self, exchange: _Exchange) -> P2pConnectionResponse:
        with exchange.errors():
            async with asyncio.timeout(exchange.timeout):
                url = await self._resolve(exchange)
                async with self._session.post(url, data=_Body(exchange), allow_redirects=False) as response:
                    exchange.stage = "reading the answer"
                    data = await self._read(exchange, response, self._settings.max_response)
        answer = exchange.parse(response.status, data)
        exchange.sent()
        return answer

    async def _load(self, exchange: _Exchange, limit: int) -> bytes:
        with exchange.errors():
            async with asyncio.timeout(exchange.timeout):
                url = await self._resolve(exchange)
                async with self._session.get(url, headers={"Accept": "text/plain"}, allow_redirects=False) as response:
                    exchange.stage = "reading the page"
                    data = await self._read(exchange, response, limit)
        if response.status != 200:
            raise exchange.error("bad_http", f"HTTP {response.status}")
        return data

    async def _resolve(self, exchange: _Exchange) -> yarl.URL:
        url, host = exchange.target()
        exchange.stage = "resolving"
        _checked.set(
            await self._resolver.resolve(
                host, url.port or 0, timeout=self._settings.dns_timeout, learnt=exchange.learnt
            )
        )
        exchange.stage = "connecting"
        return url

    async def _read(self, exchange: _Exchange, response: aiohttp.ClientResponse, limit: int) -> bytes:
        if 300 <= response.status < 400:
            where = _printable(response.headers.get("Location", "nowhere"))
            raise exchange.error("redirect", f"HTTP {response.status} to {where}; redirects are not followed")
        data = bytearray()
        while len(data) <= limit and (response.content_length or 0) <= limit:
            chunk = await response.content.read(limit + 1 - len(data))
            if not chunk:
                return bytes(data)
            data += chunk
        raise exchange.error("too_large", f"HTTP {response.status} with a body above {limit} bytes")


class _Target(Protocol):
    """What leads to a URL; str() is for messages."""

    def http_url(self) -> str | None: ...


class _Page(Struct, frozen=True):
    """A URL that the user named."""

    url: str

    def http_url(self) -> str:
        return self.url

    def __str__(self) -> str:
        return self.url


class _Exchange:
    """One offer on its way: how far it is, and how its errors are told."""

    def __init__(self, method: _Target, body: bytes, timeout: float, learnt: bool, on_sent: Callable[[], None]) -> None:
        self.method = method
        self.body = body
        self.timeout = timeout
        self.learnt = learnt
        self.stage = "address"
        self._on_sent: Callable[[], None] | None = on_sent

    def sent(self) -> None:
        """Reports, the first time only, that the request has been written."""
        report, self._on_sent = self._on_sent, None
        if report is not None:
            self.stage = "waiting for the answer"
            report()

    def target(self) -> tuple[yarl.URL, Host]:
        """The URL to post to, which the method has built from checked parts (§5), and the host to resolve for it."""
        text = self.method.http_url()
        if text is None:
            raise self.error("no_url", "this method has no URL")
        url = yarl.URL(text, encoded=True)
        return url, Host.parse(url.host_subcomponent or "")

    def parse(self, status: int, data: bytes) -> P2pConnectionResponse:
        """The answer in `data`, whatever the status is (§5)."""
        try:
            return P2pConnectionResponse.from_json(data)
        except SignalError as error:
            quoted = f"HTTP {status}, {_printable(data.decode(errors='replace'))!r}"
            if not _is_json(data):
                raise self.error("not_json", f"{quoted} is not JSON") from None
            raise self.error("not_an_answer", f"{quoted}: {error}") from None

    def error(self, reason: str, detail: str) -> SignalingError:
        return SignalingError(f"{self.method}: {self.stage}: {detail}", reason=reason)

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turns what the layers below raise into `SignalingError`s."""
        try:
            yield
        except TimeoutError:
            raise self.error("timeout", f"not done within {self.timeout:g} s") from None
        except (aiohttp.ClientSSLError, ssl.SSLError) as error:
            raise self.error("tls", _cause(error)) from None
        except aiohttp.ClientConnectorError as error:
            reason = "refused" if error.os_error.errno == ECONNREFUSED else "unreachable"
            raise self.error(reason, _cause(error.os_error)) from None
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, ConnectionError) as error:
            raise self.error("disconnected", _cause(error)) from None
        except (aiohttp.ClientError, ValueError) as error:
            raise self.error("bad_http", _cause(error)) from None


class _Body(aiohttp.BytesPayload):
    """The request's body, which knows when it has been written."""

    def __init__(self, exchange: _Exchange) -> None:
        super().__init__(exchange.body, content_type="application/json")
        self._exchange = exchange

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Called by aiohttp once the connection is up."""
        self._exchange.stage = "sending"
        await super().write_with_length(writer, content_length)
        await writer.drain()
        self._exchange.sent()


_checked: ContextVar[Sequence[Address]] = ContextVar("_checked")
"""The addresses that the policy has passed for the exchange in this task."""


class _Checked(AbstractResolver):
    """Gives aiohttp the addresses that were checked, so that there is no second look-up (DNS rebinding, §5)."""

    async def resolve(self, host: str, port: int = 0, family: AddressFamily = AF_INET) -> list[ResolveResult]:
        """The addresses of the exchange in this task."""
        return [
            ResolveResult(
                hostname=host,
                host=str(address.ip),
                port=address.port,
                family=AF_INET if address.ip.version == 4 else AF_INET6,
                proto=IPPROTO_TCP,
                flags=AI_NUMERICHOST,
            )
            for address in _checked.get()
        ]

    async def close(self) -> None:
        """Nothing to free."""


def _tls_context(settings: ClientSettings) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["http/1.1"])
    if settings.system_roots:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    if settings.ca_file is not None:
        try:
            context.load_verify_locations(cafile=settings.ca_file)
        except OSError as error:  # ssl.SSLError is one
            raise ConfigError(f"ca_file: {settings.ca_file} cannot be used: {error}") from None
    return context


def _is_json(data: bytes) -> bool:
    try:
        msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return False
    return True


def _cause(error: BaseException) -> str:
    return _printable(str(error) or type(error).__name__)


def _printable(text: str) -> str:
    """The beginning of a foreign text with nothing in it that could disturb a terminal or a log."""
    return "".join(c if c.isprintable() else "·" for c in text[:_QUOTED])
