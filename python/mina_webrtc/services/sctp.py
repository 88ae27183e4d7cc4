"""SCTP on aiortc: its association with our sending, flow control and limits.

What is different, and why; the sending half has its own list in `sctp_sender`:
- The receiver's window shrinks by what the application has not taken, and a SACK reopens it; aiortc counts fragments
  only.
- One SACK for two packets (RFC 9260 §6.2), at once when no more packets wait, instead of one for each; it never exceeds
  a packet, however much is missing.
- TSNs are compared by serial number arithmetic (§1.6): aiortc's sorting stops an association that loses a packet where
  they start over.
- What a hostile peer can send is bounded: streams, gaps, TSNs ahead, message sizes, and what has come and cannot be
  delivered yet, in bytes, in memory and in what a packet costs; nothing raises out of `receive`.
- A packet with one DATA chunk or one SACK, as nearly all are, takes a short way.
"""

from __future__ import annotations

import asyncio
from struct import error as StructError

from aiortc.rtcdatachannel import RTCDataChannel, RTCDataChannelParameters
from aiortc.rtcsctptransport import (
    USERDATA_MAX_LENGTH,
    WEBRTC_BINARY,
    WEBRTC_BINARY_EMPTY,
    WEBRTC_STRING,
    WEBRTC_STRING_EMPTY,
    Chunk,
    DataChunk,
    ForwardTsnChunk,
    InitAckChunk,
    InitChunk,
    ReconfigChunk,
    RTCSctpTransport,
    SackChunk,
    ShutdownChunk,
    parse_packet,
)

from mina_webrtc.errors import RemoteProtocolError
from mina_webrtc.services.base import ChannelSpec
from mina_webrtc.services.dtls import Dtls
from mina_webrtc.services.inbox import MAX_CHUNK
from mina_webrtc.services.outbox import Outbox
from mina_webrtc.services.packets import SACK_ENTRIES, check_parameters, read_alone, write_sack
from mina_webrtc.services.reassembly import CHUNK_COST, Reassembly
from mina_webrtc.services.received import Received
from mina_webrtc.services.sctp_sender import MAX_AHEAD, SctpEvents, SctpSender, run

MAX_OVERRUN = 64
"""Chunks beyond the window before the peer is disconnected: one is a legal probe, a few may cross with our SACK."""

SACK_DELAY = 0.002
"""Seconds a single packet waits for its acknowledgement (§6.2 allows 0.2): enough for the second one of a burst."""

MAX_COST = 5
"""Memory held may be this many times the receive buffer: the window that we announce shrinks by bookkeeping too, but a
peer may have filled the last one with one-byte messages. The same holds again for chunks that wait for others."""


class Sctp(SctpSender):
    """One association over `dtls`, with the given channels, all negotiated beforehand.

    `receive_buffer`: the window, in bytes. Before `admit` a peer needs less: what comes in order is bounded by whoever
    takes it, what is misordered by `early_limit` and the largest message; the rest is dropped, to be sent again.
    """

    def __init__(
        self,
        dtls: Dtls,
        channels: dict[int, ChannelSpec],
        receive_buffer: int,
        early_limit: int,
        outbox: Outbox,
        events: SctpEvents,
    ) -> None:
        super().__init__(dtls, outbox, events)
        self._receiving = False
        self._buffer = self._advertised_rwnd = receive_buffer
        self._limit = min(early_limit + MAX_CHUNK, max(receive_buffer, MAX_CHUNK))
        self._admitted = False
        self._told = receive_buffer
        self._spare = 0
        self._received: Received | None = None
        self._reassembly = Reassembly()
        self._overrun: set[int] = set()
        self._unacknowledged = 0
        self._sack_timer: asyncio.TimerHandle | None = None
        for spec in channels.values():
            RTCDataChannel(self, RTCDataChannelParameters(label=spec.label, negotiated=True, id=spec.id))

    # ---------------------------------------------------------------- from the transport

    def connect(self, remote_port: int) -> None:
        """Starts the association; both sides do (RFC 8841 §9.3)."""
        run(self.start(None, remote_port))

    def receive(self, packet: bytes) -> None:
        """A decrypted packet came in. Whatever is wrong with it is the peer's fault and ends the association."""
        try:
            alone = read_alone(packet, self._local_verification_tag) if self._established else None
            if alone is None:
                run(self._handle_data(packet))
            elif isinstance(alone, SackChunk):
                self._take_sack(alone)
            else:
                self._take_data(alone)
                self._acknowledge()
        except RemoteProtocolError as error:
            self._end(str(error), remote_fault=True)
        except (AssertionError, IndexError, KeyError, OverflowError, StructError, TypeError, ValueError) as error:
            # What aiortc's parsers and handlers raise for fields that do not fit.
            self._end(f"malformed SCTP packet ({type(error).__name__})", remote_fault=True)

    def admit(self) -> None:
        """The peer has authenticated: it may use the whole window."""
        self._admitted = True
        self._limit = max(self._buffer, MAX_CHUNK)

    def pump(self) -> None:
        """Something was put into the outbox: send what the windows allow."""
        self._push()

    def open_window(self) -> None:
        """The application took something: tell the peer when its window has grown enough to be worth a packet
        (§6.2)."""
        if self._association_state == self.State.ESTABLISHED and self._window() - self._told >= self._buffer // 4:
            run(self._send_sack())

    def close_channel(self, channel: int) -> None:
        """Resets the stream once everything queued on it has left."""
        self._closing.add(channel)
        self._close_emptied()

    def stop_now(self) -> None:
        """Tells the peer (ABORT), stops every timer; nothing is reported any more."""
        self._owner = None
        self._over = True
        run(self.stop())
        if self._sack_timer is not None:
            self._sack_timer.cancel()
            self._sack_timer = None
        self._outbound_queue.clear()
        self._sent_queue.clear()
        self._reassembly.clear()
        self._data_channels.clear()

    # ---------------------------------------------------------------- state

    @property
    def _established(self) -> bool:
        return self._association_state == self.State.ESTABLISHED and not self._over

    def _set_state(self, state: RTCSctpTransport.State) -> None:
        before = self._association_state
        if state == self.State.CLOSED and before != state:
            self._over, was_over = True, self._over
            super()._set_state(state)
            if not was_over and self._owner is not None:
                reason = "the peer closed the connection" if self._receiving else "the peer does not answer any more"
                self._owner.sctp_over(reason, False, self._receiving)
            return
        super()._set_state(state)
        if state == self.State.ESTABLISHED and before != state and self._owner is not None:
            self._owner.sctp_open()

    def _end(self, reason: str, *, remote_fault: bool) -> None:
        if not self._over:
            self._over = True
            if self._owner is not None:
                self._owner.sctp_over(reason, remote_fault)

    def _data_channel_close(self, channel: RTCDataChannel) -> None:
        # Reached by our own closing with nothing queued, and by the peer's: then what is queued is of no use any more.
        dropped = self._outbox.drop(channel.id) if channel.id is not None else 0
        if dropped and self._owner is not None:
            self._owner.sctp_sent(dropped)
        super()._data_channel_close(channel)

    def _data_channel_closed(self, stream_id: int) -> None:
        if stream_id not in self._data_channels:
            return  # a repeated response; aiortc raises KeyError
        self._reassembly.forget(stream_id)
        super()._data_channel_closed(stream_id)
        if not self._over and self._owner is not None:
            self._owner.sctp_channel_closed(stream_id)

    # ---------------------------------------------------------------- receiving

    async def _handle_data(self, data: bytes) -> None:
        check_parameters(data)
        try:
            _, _, tag, chunks = parse_packet(data)
        except ValueError:
            return  # RFC 9260 §6.8: a bad checksum is dropped in silence
        first = bool(chunks) and isinstance(chunks[0], InitChunk)
        if self._over or tag != (0 if first else self._local_verification_tag) or (first and len(chunks) > 1):
            return  # §8.5.1
        self._receiving = True
        for chunk in chunks:
            await self._receive_chunk(chunk)
        self._receiving = False
        self._acknowledge()

    def _acknowledge(self) -> None:
        if not self._sack_needed or self._over:
            return
        self._unacknowledged += 1
        broken = self._received is not None and self._received.broken
        closed = self._spare < USERDATA_MAX_LENGTH and not self._window()
        if self._unacknowledged > 1 or broken or self._sack_duplicates or closed:
            run(self._send_sack())
        elif self._sack_timer is None:
            self._sack_timer = asyncio.get_running_loop().call_later(SACK_DELAY, self._sack_late)

    def _sack_late(self) -> None:
        self._sack_timer = None
        if self._sack_needed and not self._over:
            run(self._send_sack())

    async def _receive_chunk(self, chunk: Chunk) -> None:
        if self._over:
            return
        if isinstance(chunk, InitChunk | InitAckChunk):
            if self._association_state not in (self.State.CLOSED, self.State.COOKIE_WAIT, self.State.COOKIE_ECHOED):
                return  # a late repetition: the peer is connected as well (§5.2); aiortc starts over
            self._peer_window = chunk.advertised_rwnd
        elif isinstance(chunk, ForwardTsnChunk):
            raise RemoteProtocolError("FORWARD-TSN on reliable channels")
        elif isinstance(chunk, DataChunk | SackChunk) and self._association_state == self.State.COOKIE_ECHOED:
            self._t1_cancel()  # the COOKIE-ACK was lost or overtaken, but the peer is connected
            self._set_state(self.State.ESTABLISHED)
        await super()._receive_chunk(chunk)
        if isinstance(chunk, InitChunk | InitAckChunk) and self._last_received_tsn is not None:
            self._received = Received(self._last_received_tsn)
        if isinstance(chunk, ShutdownChunk):
            self._end("the peer closed the connection", remote_fault=False)
        elif isinstance(chunk, ReconfigChunk):
            self._close_emptied()

    async def _receive_data_chunk(self, chunk: DataChunk) -> None:
        self._take_data(chunk)

    def _take_data(self, chunk: DataChunk) -> None:
        self._sack_needed = True
        if self._association_state != self.State.ESTABLISHED:
            return
        received = self._received
        if received is None:
            raise RemoteProtocolError("DATA before INIT")
        ahead = received.ahead(chunk.tsn)
        if not ahead:
            if len(self._sack_duplicates) < SACK_ENTRIES:
                self._sack_duplicates.append(chunk.tsn)
            return
        if not self._acceptable(chunk, ahead, received.broken):
            return
        if not chunk.user_data:
            raise RemoteProtocolError("DATA chunk without data")  # RFC 9260 §6.2
        received.add(ahead)
        self._last_received_tsn = received.cumulative
        if chunk.stream_id in self._data_channels:
            for protocol, data in self._reassembly.add(chunk):
                self._deliver(chunk.stream_id, protocol, data)
        # Else nothing is negotiated there: acknowledged and thrown away.
        if self._reconfig_deferred is not None:
            run(self._reset_deferred_streams())

    def _acceptable(self, chunk: DataChunk, ahead: int, broken: bool) -> bool:
        """Whether there is room (§6.2) for a chunk that is so far ahead of what is complete. What is dropped comes
        again; never dropped is what misordered chunks wait for."""
        size, next_one = len(chunk.user_data), ahead == 1
        if next_one and not broken and size + CHUNK_COST <= self._spare:
            self._spare -= size + CHUNK_COST
            self._overrun.clear()
            return True
        held, memory = self._owner.sctp_held() if self._owner is not None else (0, 0)
        if memory > MAX_COST * self._limit:
            raise RemoteProtocolError("the peer sends messages that are too small beyond the receive window")
        room = self._room(held)
        if size > (room + MAX_CHUNK if next_one and broken else room):
            self._overrun.add(chunk.tsn)  # a probe is the same TSN again and again, an overrun is many
            if len(self._overrun) > MAX_OVERRUN:
                raise RemoteProtocolError(f"the peer overran the receive window of {self._buffer} bytes")
            return False
        if not self._holdable(size, ahead):
            return False
        self._overrun.clear()
        return True

    def _holdable(self, size: int, ahead: int) -> bool:
        """Whether what cannot be delivered yet stays within bounds with a chunk of this size. Raises
        `RemoteProtocolError` when it does not although nothing is missing before the chunk."""
        held, memory = self._reassembly.size, self._reassembly.memory
        if ahead == 1:
            # Besides what is misordered there is one message at most that is not whole.
            if held > self._limit + MAX_CHUNK or memory > MAX_COST * (self._limit + MAX_CHUNK):
                raise RemoteProtocolError("the peer sends what is no whole message")
            return True
        return ahead <= MAX_AHEAD and held + size <= self._limit and memory <= MAX_COST * self._limit

    async def _reset_deferred_streams(self) -> None:
        request = self._reconfig_deferred
        await super()._reset_deferred_streams()
        if request is not None and self._reconfig_deferred is None:
            for stream_id in request.streams:
                self._reassembly.forget(stream_id)

    def _window(self) -> int:
        """What the peer may send. With nothing held a message that is being put together may exceed the buffer, because
        it can only be taken when it is whole."""
        room = self._room(self._owner.sctp_held()[1] if self._owner is not None else 0)
        return room if room >= USERDATA_MAX_LENGTH else 0  # no silly windows

    def _room(self, held: int) -> int:
        room = self._buffer - held - self._reassembly.size
        return room if held else max(room, MAX_CHUNK - self._reassembly.size)

    async def _send_sack(self) -> None:
        if self._received is None:
            return
        self._unacknowledged = 0
        self._told = self._window()
        self._spare = self._told if self._admitted else 0
        gaps = self._received.gaps(SACK_ENTRIES)
        duplicates = self._sack_duplicates[: SACK_ENTRIES - len(gaps)]
        self._sack_duplicates.clear()
        self._sack_needed = False
        self._dtls.send(
            write_sack(
                self._local_port,
                self._remote_port or 0,
                self._remote_verification_tag,
                self._received.cumulative,
                self._told,
                gaps,
                duplicates,
            )
        )

    def _deliver(self, stream_id: int, protocol: int, data: bytes) -> None:
        if self._over or self._owner is None:
            return
        if protocol in (WEBRTC_BINARY, WEBRTC_STRING):
            self._owner.sctp_data(stream_id, data)
        elif protocol in (WEBRTC_BINARY_EMPTY, WEBRTC_STRING_EMPTY):
            self._owner.sctp_data(stream_id, b"")
        # Anything else (DCEP, RFC 8832) has no meaning on channels that are negotiated beforehand.
