"""A `Transport` without a network: two of them find each other by a token in their SDP and hand chunks over.

Framing, early data, credit and completion are the real ones; only ICE, DTLS and SCTP are replaced, by a queue in each
direction that the event loop empties. Nothing waits for time and nothing is random: a test sees the same order each
time. Faults are made on purpose: see `MemoryTransport.drop`, `inject`, `tamper` and `MemoryNetwork.hold`.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections import deque
from collections.abc import Callable

from mina_webrtc.errors import LocalProtocolError, RemoteProtocolError, SdpError, TransportError
from mina_webrtc.machines.vocab import IcePath
from mina_webrtc.services.base import TransportSettings, TransportSink
from mina_webrtc.services.messaging import Messaging

CHUNK = 16_384
"""What the framing cuts messages into (protocol.md §7)."""

MEMORY = IcePath("host", "host")

_UFRAG = re.compile(r"^a=ice-ufrag:(mem[0-9]{8})\r?$", re.MULTILINE)
_FINGERPRINT = re.compile(r"^a=fingerprint:(sha-256 [0-9A-F:]{95})\r?$", re.MULTILINE)

_SDP = """v=0
o=- {number} {number} IN IP4 0.0.0.0
s=-
t=0 0
a=group:BUNDLE 0
a=msid-semantic:WMS *
m=application {port} UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 {host}
a=mid:0
a=sctp-port:5000
a=max-message-size:65535
a=candidate:1 1 udp 2130706431 {host} {port} typ host
a=end-of-candidates
a=ice-ufrag:{token}
a=ice-pwd:{token}{token}
a=fingerprint:{fingerprint}
a=setup:{setup}
"""


class MemoryNetwork:
    """The `TransportFactory`, and the registry in which its transports find each other."""

    def __init__(self) -> None:
        self.transports: list[MemoryTransport] = []
        """Every transport made here, oldest first, for tests to reach into."""
        self.gathering = asyncio.Event()
        """Cleared by a test, it keeps `create_offer` and `create_answer` waiting."""
        self.gathering.set()
        self._held = False

    def __call__(self, settings: TransportSettings, sink: TransportSink) -> MemoryTransport:
        """A new transport; needs a running event loop."""
        transport = MemoryTransport(self, len(self.transports), settings, sink)
        self.transports.append(transport)
        return transport

    @property
    def held(self) -> bool:
        """Whether deliveries are held back."""
        return self._held

    def hold(self) -> None:
        """From now on nothing arrives: what is sent waits."""
        self._held = True

    def release(self) -> None:
        """What waits arrives, in order, and deliveries go on."""
        self._held = False
        for transport in self.transports:
            transport._schedule()

    def find(self, sdp: str) -> MemoryTransport:
        """The transport that made this SDP. Raises `SdpError`."""
        match = _UFRAG.search(sdp)
        number = int(match[1][3:]) if match else -1
        if not 0 <= number < len(self.transports):
            raise SdpError("not the SDP of a transport of this network")
        return self.transports[number]


class MemoryTransport(Messaging):
    """One end. See `services.base.Transport` for the contract."""

    def __init__(self, network: MemoryNetwork, number: int, settings: TransportSettings, sink: TransportSink) -> None:
        super().__init__(settings, sink)
        self._network = network
        self._number = number
        self._token = f"mem{number:08d}"
        self._peer: MemoryTransport | None = None
        self._answered: MemoryTransport | None = None
        self._offered = False
        self._expected: list[str] = []
        self._wire: deque[tuple[int, bytes | None]] = deque()
        self._scheduled = False
        self._closing: set[int] = set()
        self._gone: set[int] = set()
        self._setup: asyncio.Task[object] | None = None
        self.tamper: Callable[[int, bytes], bytes | None] | None = None
        """Applied to each chunk that leaves: returns what arrives instead, or None for nothing."""

    # ---------------------------------------------------------------- Transport

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """One, derived from the token."""
        digest = hashlib.sha256(self._token.encode()).hexdigest().upper()
        return ("sha-256 " + ":".join(digest[i : i + 2] for i in range(0, 64, 2)),)

    async def create_offer(self) -> str:
        """Returns the offer's SDP once `MemoryNetwork.gathering` is set. Raises `TransportError`."""
        self._begin()
        self._offered = True
        await self._gather()
        return self._sdp("actpass")

    async def create_answer(self, offer_sdp: str) -> str:
        """Takes an offer of the same network. Raises `SdpError` or `TransportError`."""
        peer = self._network.find(offer_sdp)
        self._begin()
        await self._gather()
        self._answered = peer
        self._expected = _FINGERPRINT.findall(offer_sdp)
        return self._sdp("active")

    async def set_answer(self, answer_sdp: str) -> None:
        """Takes the answer; if it was made for our offer, both ends connect. Raises `SdpError` or `TransportError`."""
        peer = self._network.find(answer_sdp)
        self._alive()
        if not self._offered or self._answered is not None:
            raise LocalProtocolError("an answer without an offer of ours")
        self._answered = peer
        self._expected = _FINGERPRINT.findall(answer_sdp)
        if peer._answered is self and peer._ending is None:
            self._peer, peer._peer = peer, self
            for end in (self, peer):
                end._loop.call_soon(end._connect)

    # ---------------------------------------------------------------- faults

    def drop(self, reason: str = "the peer is gone") -> None:
        """The connection is lost, for both ends, by nobody's fault."""
        for end in (self, self._peer):
            if end is not None:
                end._fail(TransportError(reason))

    def inject(self, channel: int, chunk: bytes) -> None:
        """Puts one data-channel message on the wire to the peer, past the outbox and its framing."""
        if self._peer is not None:
            self._peer._wire.append((channel, chunk))
            self._peer._schedule()

    # ---------------------------------------------------------------- connecting

    def _begin(self) -> None:
        self._alive()
        if self._offered or self._answered is not None:
            raise LocalProtocolError("a transport is used once")

    def _path(self) -> IcePath | None:
        return MEMORY if self._peer is not None else None

    async def _gather(self) -> None:
        self._setup = self._loop.create_task(self._network.gathering.wait())
        try:
            await self._setup
        except asyncio.CancelledError:
            self._setup.cancel()
            self._alive()
            raise
        self._alive()

    def _connect(self) -> None:
        if self._ending is not None or self._peer is None:
            return
        self._reporter.ice_connected(MEMORY)
        if self._expected != list(self._peer.fingerprints):
            self._fail(TransportError("the DTLS certificate is not the one that the SDP announced"))
            return
        self._reporter.dtls_connected()
        self._opened()
        self._schedule()

    def _sdp(self, setup: str) -> str:
        external = [ip for ip in self._settings.external_ips if ":" not in ip]
        return _SDP.format(
            number=self._number,
            port=10_000 + self._number,
            host=external[0] if external else "127.0.0.1",
            token=self._token,
            fingerprint=self.fingerprints[0],
            setup=setup,
        ).replace("\n", "\r\n")

    # ---------------------------------------------------------------- Messaging

    def _pump(self) -> None:
        peer = self._peer
        sent = 0
        while peer is not None and peer._room() and (piece := self._outbox.take()) is not None:
            chunk = piece.data if self.tamper is None else self.tamper(piece.channel, piece.data)
            if chunk is not None:
                peer._wire.append((piece.channel, chunk))
            sent += self._outbox.left(piece)
        if sent:
            self._reporter.sent(sent)
        for channel in [channel for channel in self._closing if not self._outbox.pending(channel)]:
            self._closing.discard(channel)
            self._reset(channel)
        if peer is not None:
            peer._schedule()

    def _room(self) -> bool:
        held = self._inbox.size + sum(len(chunk) for _, chunk in self._wire if chunk)
        return not held or held + CHUNK <= self._settings.receive_buffer

    def _widen(self) -> None:
        if self._peer is not None:
            self._loop.call_soon(self._peer._pump)

    def _shut(self, channel: int) -> None:
        self._closing.add(channel)
        self._pump()

    def _reset(self, channel: int) -> None:
        """Closes the channel on both ends, behind what is on the wire."""
        for end in (self, self._peer):
            if end is not None and channel not in end._gone:
                end._gone.add(channel)
                end._wire.append((channel, None))
                end._schedule()

    async def _release(self) -> None:
        if self._setup is not None:
            self._setup.cancel()
        self._wire.clear()
        peer, self._peer, self._answered = self._peer, None, None
        if peer is not None:
            peer._peer = None
            self._loop.call_soon(peer._fail, TransportError("the peer closed the connection"))

    # ---------------------------------------------------------------- arriving

    def _schedule(self) -> None:
        if not self._scheduled and self._wire and not self._network.held:
            self._scheduled = True
            self._loop.call_soon(self._arrive)

    def _arrive(self) -> None:
        self._scheduled = False
        while self._wire and not self._network.held and self._ending is None:
            channel, chunk = self._wire.popleft()
            if chunk is None:
                dropped = self._outbox.drop(channel)
                if dropped:
                    self._reporter.sent(dropped)
                self._inbox.close(channel)
                continue
            try:
                self._inbox.receive(channel, chunk)
            except RemoteProtocolError as error:
                self._fail(TransportError(str(error)), remote_fault=True)
        if self._peer is not None:
            self._loop.call_soon(self._peer._pump)
