"""The `Transport` over aioice and aiortc: ICE, DTLS and SCTP of one peer connection, joined by callbacks.

The parts are aiortc's own, but without its `RTCPeerConnection`, which starts connecting in a task that nobody can wait for
or cancel, makes a certificate for every connection, and cannot be closed at any moment: an ICE transport that is closed
before its monitor runs loops for ever. Here one task connects ICE; from then on each datagram runs through DTLS and SCTP to
the sink's queue in one call.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from mina_webrtc.errors import LocalProtocolError, MinaWebrtcError, RemoteProtocolError, TransportError
from mina_webrtc.services.base import Message, TransportSettings, TransportSink, TransportStats
from mina_webrtc.services.dtls import Certificate, Dtls
from mina_webrtc.services.hosts import parse_server
from mina_webrtc.services.ice import IceAgent
from mina_webrtc.services.inbox import Inbox
from mina_webrtc.services.outbox import Outbox
from mina_webrtc.services.reporter import Reporter
from mina_webrtc.services.sctp import Sctp
from mina_webrtc.services.session import Remote, read_remote, write_sdp

T = TypeVar("T")


class AiortcTransports:
    """The `TransportFactory`: all its connections share one DTLS certificate, renewed after half of its life."""

    def __init__(self) -> None:
        self._certificate: Certificate | None = None

    def __call__(self, settings: TransportSettings, sink: TransportSink) -> AiortcTransport:
        """A new transport; needs a running event loop. Raises `TransportError` for an ICE server that does not parse."""
        if self._certificate is None or self._certificate.worn:
            self._certificate = Certificate()
        return AiortcTransport(settings, sink, self._certificate)


class AiortcTransport:
    """One peer connection. See `services.base.Transport` for the contract."""

    def __init__(self, settings: TransportSettings, sink: TransportSink, certificate: Certificate) -> None:
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._certificate = certificate
        self._servers = tuple(parse_server(url) for url in settings.ice_servers)
        self._reporter = Reporter(sink, self._loop)
        self._channels = {spec.id: spec for spec in settings.channels}
        self._open: set[int] = set()
        self._outbox = Outbox(self._channels)
        self._inbox = Inbox(self._channels, settings, self._reporter, self._open.discard)
        self._ice: IceAgent | None = None
        self._dtls: Dtls | None = None
        self._sctp: Sctp | None = None
        self._remote: Remote | None = None
        self._mid = "0"
        self._tasks: set[asyncio.Task[Any]] = set()
        self._ending: asyncio.Task[None] | None = None
        self._starting = False

    # ---------------------------------------------------------------- Transport: setting up

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """`sha-256 AB:CD:…` and the same certificate's by the other digests that a peer may use."""
        return tuple(f"{f.algorithm} {f.value}" for f in self._certificate.fingerprints)

    async def create_offer(self) -> str:
        """Gathers (within the cap) and returns the offer's SDP. Raises `TransportError`."""
        self._begin(controlling=True)
        return await self._guarded(self._describe("offer", "auto"))

    async def create_answer(self, offer_sdp: str) -> str:
        """Takes the remote offer, gathers, returns the answer's SDP. Raises `SdpError` or `TransportError`."""
        remote = read_remote(offer_sdp, answer=False)
        self._begin(controlling=remote.lite)
        # RFC 8842 §5.2: the answerer takes the active role unless the offerer insists on it.
        role = "server" if remote.role == "client" else "client"
        self._mid = remote.mid
        sdp = await self._guarded(self._describe("answer", role))
        self._connect(remote, role)
        return sdp

    async def set_answer(self, answer_sdp: str) -> None:
        """Takes the remote answer; connecting begins by itself. Raises `SdpError` or `TransportError`."""
        remote = read_remote(answer_sdp, answer=True)
        if self._ice is None or self._remote is not None or not self._ice.local_candidates:
            raise LocalProtocolError("an answer without an offer of ours")
        self._alive()
        self._connect(remote, "server" if remote.role == "client" else "client")

    def _begin(self, *, controlling: bool) -> None:
        self._alive()
        if self._starting:
            raise LocalProtocolError("a transport is used once")
        self._starting = True
        self._ice = IceAgent(
            controlling=controlling,
            servers=self._servers,
            allow_loopback=self._settings.allow_loopback,
            on_data=self._datagram,
            on_lost=self._lost,
        )

    async def _describe(self, kind: str, role: str) -> str:
        ice = self._ice
        assert ice is not None
        await ice.gather(self._settings.gathering_timeout)
        return write_sdp(
            kind,
            self._mid,
            role,
            self._certificate.fingerprints,
            ice.local_username,
            ice.local_password,
            ice.local_candidates,
            self._settings.external_ips,
        )

    def _connect(self, remote: Remote, role: str) -> None:
        ice = self._ice
        assert ice is not None
        self._remote = remote
        self._dtls = Dtls(self._certificate, ice.transmit, self)
        self._sctp = Sctp(self._dtls, self._channels, self._settings.receive_buffer, self._outbox, self)
        ice.remote_username, ice.remote_password = remote.username, remote.password
        ice.remote_is_lite = remote.lite
        ice.add_remote(list(remote.candidates))
        self._spawn(self._establish(ice, self._dtls, remote, role))

    async def _establish(self, ice: IceAgent, dtls: Dtls, remote: Remote, role: str) -> None:
        try:
            await ice.establish()
        except ConnectionError:
            self._fail(TransportError("no candidate pair works"))
            return
        self._reporter.ice_connected()
        dtls.start(role, remote.fingerprints)
        ice.open()

    # ---------------------------------------------------------------- Transport: connected

    def send(self, batch: Sequence[Message]) -> None:
        """Queues messages in order. Raises `LocalProtocolError`, and then has queued none of them."""
        for channel, payload in batch:
            spec = self._channels.get(channel)
            if spec is None or channel not in self._open:
                raise LocalProtocolError(f"channel {channel} is not open")
            if not 0 < len(payload) <= spec.max_message:
                raise LocalProtocolError(f"message of {len(payload)} bytes on channel {channel}: 1 to {spec.max_message}")
        for channel, payload in batch:
            self._outbox.put(channel, payload)
        if self._sctp is not None:
            self._sctp.pump()

    def admit(self) -> None:
        """Authentication has passed: early data is parsed and delivered, as is all that follows."""
        self._take(self._inbox.admit)

    def grant(self, size: int) -> None:
        """Gives back receive credit."""
        self._take(self._inbox.grant, size)

    def close_channel(self, channel: int) -> None:
        """Closes one channel after its queued messages have left; nothing more can be sent on it."""
        if channel in self._open and self._sctp is not None:
            self._open.discard(channel)
            self._sctp.close_channel(channel)

    def stats(self) -> TransportStats:
        """Counters of payloads."""
        return TransportStats(
            bytes_sent=self._outbox.bytes_sent,
            bytes_received=self._inbox.bytes_received,
            messages_sent=self._outbox.messages_sent,
            messages_received=self._inbox.messages_received,
            buffered=self._outbox.buffered,
            undelivered=self._inbox.undelivered,
        )

    def _take(self, step: Any, *args: Any) -> None:
        if self._ending is not None:
            return
        try:
            step(*args)
        except RemoteProtocolError as error:
            self._fail(TransportError(str(error)), remote_fault=True)
        else:
            if self._sctp is not None:
                self._sctp.open_window()

    # ---------------------------------------------------------------- what the layers report

    def _datagram(self, data: bytes) -> None:
        if self._dtls is not None:
            self._dtls.receive(data)

    def dtls_connected(self) -> None:
        """The handshake is done and the fingerprint fits."""
        assert self._sctp is not None and self._remote is not None
        self._reporter.dtls_connected()
        self._sctp.connect(self._remote.sctp_port)

    def dtls_data(self, data: bytes) -> None:
        """One SCTP packet."""
        if self._sctp is not None:
            self._sctp.receive(data)

    def dtls_over(self, error: TransportError) -> None:
        """The handshake failed, or the peer ended the session."""
        self._fail(error)

    def sctp_open(self) -> None:
        """The association stands: every channel is open, since all were negotiated beforehand."""
        for channel in self._channels:
            self._open.add(channel)
            self._reporter.channel_open(channel)

    def sctp_data(self, channel: int, data: bytes) -> None:
        """One data-channel message."""
        self._inbox.receive(channel, data)

    def sctp_channel_closed(self, channel: int) -> None:
        """The stream was reset in both directions."""
        self._inbox.close(channel)

    def sctp_sent(self, count: int) -> None:
        """`count` messages have left."""
        self._reporter.sent(count)

    def sctp_over(self, reason: str, remote_fault: bool) -> None:
        """The association has ended, or must end."""
        self._fail(TransportError(reason), remote_fault=remote_fault)

    def sctp_held(self) -> tuple[int, int]:
        """What the window shrinks by."""
        return self._inbox.size, self._inbox.used

    def _lost(self) -> None:
        self._fail(TransportError("the peer is gone"))

    # ---------------------------------------------------------------- the end

    async def close(self) -> None:
        """Frees every socket, task and timer; idempotent; safe at any moment."""
        if self._ending is None:
            self._ending = self._loop.create_task(self._end(None, False))
        await asyncio.shield(self._ending)

    def _fail(self, error: TransportError, *, remote_fault: bool = False) -> None:
        if self._ending is None:
            self._reporter.finish(error, remote_fault)
            self._ending = self._loop.create_task(self._end(error, remote_fault))

    async def _end(self, error: TransportError | None, remote_fault: bool) -> None:
        self._open.clear()
        if self._sctp is not None:
            self._sctp.stop_now()
        if self._dtls is not None:
            self._dtls.close()
        tasks = [task for task in self._tasks if not task.done()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        if self._ice is not None:
            self._ice.detach()
            await self._ice.close()
        self._reporter.finish(error, remote_fault)
        await self._reporter.done
        self._outbox.clear()
        self._inbox.clear()
        self._sctp = self._dtls = self._ice = None

    def _alive(self) -> None:
        if self._ending is not None:
            raise TransportError("the transport is closed")

    def _spawn(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _guarded(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Awaits work that `close` may cancel: then its caller gets a `TransportError`, not a cancellation."""
        try:
            result = await _outcome(self._spawn(coroutine))
        except asyncio.CancelledError:
            if self._ending is None:
                raise
            raise TransportError("the transport is closed") from None
        except OSError as error:
            raise TransportError(f"gathering failed: {error}") from error
        self._alive()
        return result


async def _outcome(task: asyncio.Task[T]) -> T:
    """The task's result; a cancelled caller cancels the task and waits until it has cleaned up."""
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, MinaWebrtcError, OSError):
            await task
        raise


