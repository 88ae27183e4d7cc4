"""The `Transport` over aioice and aiortc: ICE, DTLS and SCTP of one peer connection, joined by callbacks.

The parts are aiortc's own, but without its `RTCPeerConnection`, which starts connecting in a task that nobody can wait
for or cancel, makes a certificate for every connection, and cannot be closed at any moment: an ICE transport that is
closed before its monitor runs loops for ever. Here one task connects ICE; from then on each datagram runs through DTLS
and SCTP to the sink's queue in one call.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from aiortc.rtcsctptransport import USERDATA_MAX_LENGTH

from mina_webrtc.errors import LocalProtocolError, MinaWebrtcError, TransportError
from mina_webrtc.machines.vocab import IcePath
from mina_webrtc.services.base import TransportSettings, TransportSink
from mina_webrtc.services.dtls import Certificate, Dtls
from mina_webrtc.services.ice import IceAgent
from mina_webrtc.services.inbox import MAX_CHUNK
from mina_webrtc.services.messaging import Messaging
from mina_webrtc.services.sctp import Sctp
from mina_webrtc.services.session import Remote, read_remote, write_sdp

log = logging.getLogger("mina_webrtc.transport")

T = TypeVar("T")


class AiortcTransports:
    """The `TransportFactory`: all its connections share one DTLS certificate, renewed after half of its life.
    `ca_file`: authorities to trust for `turns:` servers, besides the system's."""

    def __init__(self, ca_file: Path | None = None) -> None:
        self._ca_file = ca_file
        self._certificate: Certificate | None = None
        self._tls: ssl.SSLContext | None = None

    def __call__(self, settings: TransportSettings, sink: TransportSink) -> AiortcTransport:
        """A new transport; needs a running event loop."""
        if self._certificate is None or self._certificate.worn:
            self._certificate = Certificate()
        return AiortcTransport(settings, sink, self._certificate, self._tls_context)

    def _tls_context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
            if self._ca_file is not None:
                self._tls.load_verify_locations(cafile=self._ca_file)
        return self._tls


class AiortcTransport(Messaging):
    """One peer connection. See `services.base.Transport` for the contract."""

    def __init__(
        self,
        settings: TransportSettings,
        sink: TransportSink,
        certificate: Certificate,
        tls: Callable[[], ssl.SSLContext],
    ) -> None:
        super().__init__(settings, sink)
        self._certificate = certificate
        self._tls = tls
        self._ice: IceAgent | None = None
        self._dtls: Dtls | None = None
        self._sctp: Sctp | None = None
        self._remote: Remote | None = None
        self._mid = "0"
        self._tasks: set[asyncio.Task[Any]] = set()

    # ---------------------------------------------------------------- Transport: setting up

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """`sha-256 AB:CD:…` and the same certificate's by the other digests that a peer may use."""
        return tuple(f"{f.algorithm} {f.value}" for f in self._certificate.fingerprints)

    async def create_offer(self) -> str:
        """Gathers (within the cap) and returns the offer's SDP. Raises `TransportError`."""
        ice = self._begin(controlling=True)
        return await self._guarded(self._describe(ice, "offer", "auto"))

    async def create_answer(self, offer_sdp: str) -> str:
        """Takes the remote offer, gathers, returns the answer's SDP. Raises `SdpError` or `TransportError`."""
        remote = read_remote(offer_sdp, answer=False)
        ice = self._begin(controlling=remote.lite)
        # RFC 8842 §5.2: the answerer takes the active role unless the offerer insists on it.
        role = "server" if remote.role == "client" else "client"
        self._mid = remote.mid
        sdp = await self._guarded(self._describe(ice, "answer", role))
        self._connect(ice, remote, role)
        return sdp

    async def set_answer(self, answer_sdp: str) -> None:
        """Takes the remote answer; connecting begins by itself. Raises `SdpError` or `TransportError`."""
        remote = read_remote(answer_sdp, answer=True)
        if self._ice is None or self._remote is not None or not self._ice.local_candidates:
            raise LocalProtocolError("an answer without an offer of ours")
        self._alive()
        self._connect(self._ice, remote, "server" if remote.role == "client" else "client")

    def _begin(self, *, controlling: bool) -> IceAgent:
        self._alive()
        if self._ice is not None:
            raise LocalProtocolError("a transport is used once")
        self._ice = IceAgent(
            controlling=controlling,
            settings=self._settings,
            tls=self._tls,
            on_data=self._datagram,
            on_lost=self._lost,
        )
        return self._ice

    async def _describe(self, ice: IceAgent, kind: str, role: str) -> str:
        await ice.gather()
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

    def _connect(self, ice: IceAgent, remote: Remote, role: str) -> None:
        self._remote = remote
        self._dtls = Dtls(self._certificate, ice.transmit, self)
        # A window above what the kernel keeps would only make the peer send what is then dropped.
        window = min(self._settings.receive_buffer, max(2 * MAX_CHUNK, ice.packets * USERDATA_MAX_LENGTH))
        self._sctp = Sctp(self._dtls, self._channels, window, self._settings.early_limit, self._outbox, self)
        ice.remote_username, ice.remote_password = remote.username, remote.password
        ice.remote_is_lite = remote.lite
        ice.add_remote(list(remote.candidates))
        self._spawn(self._establish(ice, self._dtls, remote, role))

    async def _establish(self, ice: IceAgent, dtls: Dtls, remote: Remote, role: str) -> None:
        try:
            path = await ice.establish()
            self._reporter.ice_connected(path)
            dtls.start(role, remote.fingerprints)
            ice.open()
        except TransportError as error:
            self._fail(error)
        except Exception:  # nobody awaits this task
            log.exception("connecting failed by a bug of this package")
            self._fail(TransportError("connecting failed here, by a bug of ours", "internal"))

    # ---------------------------------------------------------------- Messaging

    def admit(self) -> None:
        """Authentication has passed: early data is parsed and delivered, and the peer may use the whole window."""
        if self._sctp is not None:
            self._sctp.admit()
        super().admit()

    def _path(self) -> IcePath | None:
        return self._ice.path() if self._ice is not None else None

    def _pump(self) -> None:
        if self._sctp is not None:
            self._sctp.pump()

    def _widen(self) -> None:
        if self._sctp is not None:
            self._sctp.open_window()

    def _shut(self, channel: int) -> None:
        if self._sctp is not None:
            self._sctp.close_channel(channel)

    async def _release(self) -> None:
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
        self._sctp = self._dtls = self._ice = None

    # ---------------------------------------------------------------- what the layers report

    def _datagram(self, data: bytes) -> None:
        if self._dtls is not None:
            self._dtls.receive(data)

    def dtls_connected(self) -> None:
        """The handshake is done and the fingerprint fits."""
        self._reporter.dtls_connected()
        if self._sctp is not None and self._remote is not None:
            self._sctp.connect(self._remote.sctp_port)

    def dtls_data(self, data: bytes) -> None:
        """One SCTP packet."""
        if self._sctp is not None:
            self._sctp.receive(data)

    def dtls_over(self, error: TransportError) -> None:
        """The handshake failed, or the peer ended the session."""
        self._fail(error)

    def sctp_open(self) -> None:
        """The association stands."""
        self._opened()

    def sctp_data(self, channel: int, data: bytes) -> None:
        """One data-channel message."""
        self._inbox.receive(channel, data)

    def sctp_channel_closed(self, channel: int) -> None:
        """The stream was reset in both directions."""
        self._inbox.close(channel)

    def sctp_sent(self, count: int) -> None:
        """`count` messages have left."""
        self._reporter.sent(count)

    def sctp_over(self, reason: str, remote_fault: bool, by_peer: bool = False) -> None:
        """The association has ended, or must end."""
        word = "protocol_error" if remote_fault else "closed_by_peer" if by_peer else "lost"
        self._fail(TransportError(reason, word), remote_fault=remote_fault)

    def sctp_held(self) -> tuple[int, int]:
        """What the window shrinks by."""
        return self._inbox.size, self._inbox.used

    def _lost(self, why: str) -> None:
        self._fail(TransportError(f"the peer is gone: {why}"))

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
            raise TransportError("the transport is closed", "closed") from None
        except OSError as error:
            raise TransportError(f"gathering failed: {error}", "gathering") from error
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
