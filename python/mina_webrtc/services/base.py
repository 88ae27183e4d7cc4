"""The seams between the shell and what it stands on: protocols only, so that tests can put doubles in their place."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from msgspec import Struct

from mina_webrtc.errors import TransportError
from mina_webrtc.machines.keeping import Known
from mina_webrtc.machines.vocab import IcePath
from mina_webrtc.services.budget import Budget
from mina_webrtc.wire.address import DialAddress, SignalingMethod
from mina_webrtc.wire.ice_url import IceServer
from mina_webrtc.wire.signal import Offer, P2pConnectionResponse

Message = tuple[int, bytes]
"""(channel, payload): raw on channel 0, a whole message without its frame on the others."""


class ChannelSpec(Struct, frozen=True):
    """One pre-negotiated data channel. `framed` is False for channel 0 only.

    `max_message` bytes are the most that is sent, or received while something large is expected (`Transport.expect`),
    `max_unasked` the most that is received otherwise; a channel without a frame knows only the first.
    """

    id: int
    label: str
    max_message: int
    framed: bool
    max_unasked: int


class TransportSettings(Struct, frozen=True, kw_only=True):
    """What a transport must be told; it has no defaults of its own. Times in seconds, sizes in bytes."""

    channels: tuple[ChannelSpec, ...]
    gathering_timeout: float
    """After this the SDP is made from the candidates that are there (protocol.md §6: 3 s)."""
    early_limit: int
    """How much may arrive on framed channels before `admit` (§6: 64 KiB); beyond it the connection fails."""
    receive_credit: int
    """How many payload bytes may be delivered before the first `grant`."""
    receive_buffer: int
    """Upper bound of bytes held undelivered (SCTP receive window); a peer that overruns it is disconnected."""
    unfinished: Budget
    """Bytes of messages that have begun and are not complete, shared by all connections of a node; the peer whose
    message goes beyond it is disconnected."""
    message_timeout: float
    """A message that is unfinished for as long, or up to twice as long, ends the connection: its bytes are others'."""
    ice_timeout: float
    """How long connecting may look for a candidate pair that works."""
    consent_timeout: float
    """Silence after which the peer counts as gone (RFC 7675)."""
    ice_servers: tuple[IceServer, ...] = ()
    """None means that no server is contacted."""
    relay_only: bool = False
    """Only relayed candidates: the peer learns no address of this machine."""
    udp_ports: tuple[int, int] | None = None
    """First and last port to bind; None for any free one."""
    interfaces: tuple[str, ...] = ()
    """Interface names or networks to use, with `!` in front those to leave out; none given means all."""
    external_ips: tuple[str, ...] = ()
    """Replace the host candidates' addresses of the same family (1:1 NAT)."""
    allow_loopback: bool | None = None
    """Loopback host candidates: yes, no, or (None) only when the machine has no other address."""


class TransportStats(Struct, frozen=True, kw_only=True):
    """Counters of one connection, in bytes and messages since it opened."""

    bytes_sent: int
    bytes_received: int
    messages_sent: int
    messages_received: int
    buffered: int
    """Bytes handed to `send` and not on the wire yet."""
    undelivered: int
    """Bytes received and held back for lack of credit."""
    path: IcePath | None = None
    """The candidate pair in use, with its latest round-trip time; None before there is one."""
    ice_at: float | None = None
    """When the pair was found, on the clock of `time.perf_counter`; the report of it comes a little later."""
    dtls_at: float | None = None
    """When the DTLS handshake was complete, on the same clock."""


class TransportSink(Protocol):
    """Where a transport reports to. Called on the event loop, never from inside a call into the transport, never after
    `on_closed`. None of them may raise."""

    def on_ice_connected(self, path: IcePath) -> None: ...
    def on_dtls_connected(self) -> None: ...
    def on_channel_open(self, channel: int) -> None: ...
    def on_channel_closed(self, channel: int) -> None: ...
    def on_messages(self, batch: Sequence[Message]) -> None:
        """Messages in the order of arrival per channel; each payload's length is taken from the credit."""

    def on_sent(self, count: int) -> None:
        """The next `count` messages, oldest first, have been put on the wire."""

    def on_closed(self, error: TransportError | None, remote_fault: bool) -> None:
        """The connection is over, exactly once; None only after `close()`. `remote_fault`: the peer broke a rule
        (frame, early data, window, unasked or too much unfinished), else it is circumstances."""


class Transport(Protocol):
    """One peer connection with its data channels. One use: it is created, offers or answers, lives, and is closed."""

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """Our DTLS fingerprints, `sha-256 AB:CD:…`; known once the SDP was made."""

    async def create_offer(self) -> str:
        """Gathers (within the cap) and returns the offer's SDP. Raises `TransportError`."""

    async def create_answer(self, offer_sdp: str) -> str:
        """Takes the remote offer, gathers, returns the answer's SDP; connecting begins by itself. Raises `SdpError`
        when the remote SDP cannot be used, `TransportError` otherwise."""

    async def set_answer(self, answer_sdp: str) -> None:
        """Takes the remote answer; connecting begins by itself. Raises as `create_answer`."""

    def send(self, batch: Sequence[Message]) -> None:
        """Queues messages in order; `on_sent` reports their leaving. Raises `LocalProtocolError` for a channel that is
        not open or a message beyond the channel's limit."""

    def admit(self) -> None:
        """Authentication has passed: early data on framed channels is parsed and delivered, as is all that follows."""

    def expect(self, channel: int, large: bool) -> None:
        """Whether messages of up to `max_message` bytes are received on a channel, not just of `max_unasked`; at first
        they are not. One that has begun and is not expected any more is the peer's fault."""

    def grant(self, size: int) -> None:
        """Gives back receive credit: `size` more payload bytes may be delivered."""

    def close_channel(self, channel: int) -> None:
        """Closes one channel after its queued messages have left."""

    async def close(self) -> None:
        """Frees every socket, task and timer; idempotent; safe at any moment, also during `create_offer`."""

    def stats(self) -> TransportStats: ...


class TransportFactory(Protocol):
    """Makes transports; shared state (certificate, address filter) lives here."""

    def __call__(self, settings: TransportSettings, sink: TransportSink) -> Transport: ...


class AddressMemory(Protocol):
    """Where known addresses are kept beyond this run. Neither call blocks or raises."""

    def keep(self, known: Known) -> None: ...
    def drop(self, address: DialAddress) -> None: ...


class OfferPort(Protocol):
    """The client side of signaling: carries one offer to where a signaling method points (protocol.md §5)."""

    async def send(
        self, method: SignalingMethod, body: bytes, *, timeout: float, learnt: bool, on_sent: Callable[[], None]
    ) -> P2pConnectionResponse:
        """Posts the JSON offer and returns the parsed response, whatever its status; `on_sent` is called once when the
        request has been written. `learnt`: the address came from the network, so only global addresses are connected
        to. Raises `SignalingError` or `ResolveError`; `timeout` seconds bound all of it."""

    async def close(self) -> None:
        """Closes every connection; running `send`s fail."""


class SignalReply(Struct, frozen=True):
    """What the server is to answer to one offer."""

    response: P2pConnectionResponse
    overloaded: bool
    """One of our own caps was hit: the HTTP status says so instead of the response's own."""
    written: Callable[[bool], None]
    """To be called exactly once: whether the response went out in full."""


class SignalHandler(Protocol):
    """What the signaling server calls with each offer that parses; `source` is the IP it came from, as text."""

    def __call__(self, offer: Offer, source: str) -> Awaitable[SignalReply]: ...
