"""The signaling server: sockets, TLS, caps; what it answers stands in `http_requests` (protocol.md §5).

It accepts connections itself instead of leaving that to the event loop, because the caps must hold before a TLS
handshake has begun, and because new certificates then simply serve the next connection.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Network, ip_address
from pathlib import Path
from typing import Self

from aiohttp import web
from msgspec import Struct

from mina_webrtc.errors import ListenError
from mina_webrtc.services.base import SignalHandler
from mina_webrtc.services.http_connection import Connection, ServerLimits, is_in, plain_ip
from mina_webrtc.services.http_requests import Requests
from mina_webrtc.services.resolve import Ip, Network

log = logging.getLogger("mina_webrtc.http")

_ACCEPT_PAUSE = 0.1
"""Seconds without accepting after accepting failed: out of file descriptors, mostly."""


class TlsFiles(Struct, frozen=True):
    """PEM files: the certificate with its chain, and its private key (not encrypted)."""

    certificate: Path
    key: Path


class SignalServer:
    """Listens until it is closed. Made by `start`.

    The handler is cancelled when its asker hangs up before the reply; a reply that it returns nonetheless, and one that
    could not be written in full, gets `written(False)`.
    """

    def __init__(
        self,
        handler: SignalHandler,
        limits: ServerLimits,
        tls: TlsFiles | None,
        trusted_proxies: Sequence[Network],
    ) -> None:
        self._limits = limits
        self._tls_files = tls
        self._tls = _tls_context(tls) if tls is not None else None
        self._trusted = trusted_proxies
        self._server = web.Server(Requests(handler, limits, trusted_proxies), handler_cancellation=True)
        self._sockets: list[socket.socket] = []
        self._pauses: set[asyncio.TimerHandle] = set()
        self._opening: dict[asyncio.Task[None], socket.socket] = {}
        self._connections: set[Connection] = set()
        self._open = 0
        self._sources: Counter[Ip | IPv6Network] = Counter()

    @classmethod
    async def start(
        cls,
        handler: SignalHandler,
        endpoints: Sequence[tuple[str, int]],
        *,
        limits: ServerLimits,
        tls: TlsFiles | None,
        trusted_proxies: Sequence[Network],
    ) -> Self:
        """Listens on every endpoint, an IP (or `localhost`) and a port, 0 for a free one; `::` is IPv6 alone.

        `trusted_proxies`: networks whose `X-Forwarded-For` is believed. Raises `ListenError` naming the endpoint or the
        files; nothing is left open then.
        """
        server = cls(handler, limits, tls, trusted_proxies)
        try:
            for host, port in endpoints:
                server._sockets.append(_listening(host, port, limits.backlog))
        except ListenError:
            await server.close()
            raise
        for sock in server._sockets:
            server._listen(sock)
        return server

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """IP and port of every endpoint, in the order of `start`, with the port that a 0 became."""
        return tuple(sock.getsockname()[:2] for sock in self._sockets)

    @property
    def connections(self) -> int:
        """Open connections, TLS handshakes included."""
        return self._open

    def reload(self) -> None:
        """Reads the certificate files again; they serve connections from now on.

        Raises `ListenError` when they cannot be used; the old ones stay in use then. Without TLS nothing happens.
        """
        if self._tls_files is not None:
            self._tls = _tls_context(self._tls_files)
            log.info("the TLS certificate was read again")

    async def close(self) -> None:
        """Stops listening and cuts every connection, at once. Idempotent."""
        loop = asyncio.get_running_loop()
        for sock in self._sockets:
            loop.remove_reader(sock)
            sock.close()
        self._sockets.clear()
        for pause in self._pauses:
            pause.cancel()
        opening = list(self._opening)
        for task in opening:
            task.cancel()
        await asyncio.gather(*opening, return_exceptions=True)
        tasks = [connection.drop() for connection in self._connections]
        await asyncio.gather(*(task for task in tasks if task is not None), return_exceptions=True)

    # ------------------------------------------------------------ connections

    def _listen(self, listener: socket.socket) -> None:
        # not loop.sock_accept: cancelling it can lose a connection that it has accepted already
        self._pauses = {pause for pause in self._pauses if pause.when() > asyncio.get_running_loop().time()}
        asyncio.get_running_loop().add_reader(listener, self._accept, listener)

    def _accept(self, listener: socket.socket) -> None:
        """Takes the next connection; the loop calls again while there are more."""
        try:
            sock, peer = listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as error:
            log.warning("cannot accept connections: %s", error)
            loop = asyncio.get_running_loop()
            loop.remove_reader(listener)
            self._pauses.add(loop.call_later(_ACCEPT_PAUSE, self._listen, listener))
            return
        sock.setblocking(False)
        self._admit(sock, plain_ip(peer[0]))

    def _admit(self, sock: socket.socket, peer: Ip) -> None:
        source = peer if isinstance(peer, IPv4Address) else IPv6Network((int(peer) >> 64 << 64, 64))
        crowded = self._sources[source] >= self._limits.max_connections_per_source and not is_in(peer, self._trusted)
        if crowded or self._open >= self._limits.max_connections:
            log.debug("connection refused", extra={"details": {"source": str(peer), "crowded": crowded}})
            if not self._sources[source]:
                del self._sources[source]
            sock.close()
            return
        self._open += 1
        self._sources[source] += 1
        task = asyncio.create_task(self._open_connection(sock, source))
        self._opening[task] = sock
        task.add_done_callback(self._opened)

    def _opened(self, task: asyncio.Task[None]) -> None:
        sock = self._opening.pop(task)
        if task.cancelled():  # perhaps before it began
            sock.close()

    async def _open_connection(self, sock: socket.socket, source: Ip | IPv6Network) -> None:
        """TLS, if any, then over to aiohttp."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._limits.read_timeout
        connection = Connection(self._server, self._limits, deadline, lambda: self._release(connection, source))
        self._connections.add(connection)
        try:
            await loop.connect_accepted_socket(
                lambda: connection,
                sock,
                ssl=self._tls,
                ssl_handshake_timeout=self._limits.read_timeout if self._tls else None,
            )
        except OSError as error:  # no TLS, or not in time
            log.debug("connection not opened", extra={"details": {"source": str(source), "error": str(error)}})
            self._release(connection, source)
            sock.close()

    def _release(self, connection: Connection, source: Ip | IPv6Network) -> None:
        if connection not in self._connections:
            return
        self._connections.remove(connection)
        self._open -= 1
        self._sources[source] -= 1
        if not self._sources[source]:
            del self._sources[source]


# ---------------------------------------------------------------- sockets and certificates


def _listening(host: str, port: int, backlog: int) -> socket.socket:
    name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        ip = ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        raise ListenError(f"cannot listen on {name}: not an IP address, and names are not looked up") from None
    family = socket.AF_INET if ip.version == 4 else socket.AF_INET6
    sock: socket.socket | None = None
    try:
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # always, whatever the system's default is: 0.0.0.0 and [::] can then share a port
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((str(ip), port))
        sock.listen(backlog)
    except OSError as error:
        if sock is not None:
            sock.close()
        # that it is numeric is known; what is looked up is its scope
        scopeless = isinstance(error, socket.gaierror)
        why = f"No interface {host.partition('%')[2]}" if scopeless else error.strerror or str(error)
        raise ListenError(f"cannot listen on {name}: {why}") from None
    return sock


def _tls_context(files: TlsFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    try:
        # a password is given so that OpenSSL does not ask for one on the terminal
        context.load_cert_chain(files.certificate, files.key, password="")
    except OSError as error:  # ssl.SSLError is one
        what = f"TLS certificate {files.certificate} with key {files.key}"
        raise ListenError(f"{what} cannot be used: {error}") from None
    return context
