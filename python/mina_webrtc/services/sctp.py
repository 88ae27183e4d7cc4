"""SCTP on aiortc: its association with our sending, flow control and limits.

What is different, and why:
- Sending never waits here, so it is synchronous, and new data is *pulled* from the outbox when the windows allow it:
  aiortc takes everything at once into its own queue, and tells too early that it was sent.
- The sender obeys the peer's advertised window (RFC 9260 §6.1 rule A); aiortc ignores it.
- The receiver's window shrinks by what the application has not taken, and a SACK reopens it; aiortc counts fragments
  only.
- One SACK for two packets (§6.2), at once when no more packets wait, instead of one for each.
- What a hostile peer can send is bounded: streams, gaps, TSNs ahead, message sizes; nothing raises out of `receive`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from struct import error as StructError
from typing import Any, Protocol, cast

from aiortc.rtcdatachannel import RTCDataChannel, RTCDataChannelParameters
from aiortc.rtcsctptransport import (
    SCTP_DATA_FIRST_FRAG,
    SCTP_DATA_LAST_FRAG,
    SCTP_RTO_MAX,
    USERDATA_MAX_LENGTH,
    WEBRTC_BINARY,
    WEBRTC_BINARY_EMPTY,
    WEBRTC_STRING,
    WEBRTC_STRING_EMPTY,
    Chunk,
    DataChunk,
    ForwardTsnChunk,
    InboundStream,
    InitAckChunk,
    InitChunk,
    ReconfigChunk,
    RTCSctpTransport,
    SackChunk,
    ShutdownChunk,
    parse_packet,
    serialize_packet,
    tsn_plus_one,
)
from aiortc.utils import uint16_add, uint32_gt

from mina_webrtc.errors import RemoteProtocolError
from mina_webrtc.services.base import ChannelSpec
from mina_webrtc.services.dtls import Dtls
from mina_webrtc.services.inbox import MAX_CHUNK
from mina_webrtc.services.outbox import Outbox
from mina_webrtc.services.packets import Fragment, check_parameters, write_data

MAX_AHEAD = 8192
"""How far a TSN may be ahead of what is complete; further ones are dropped, to be sent again. aiortc sorts the set of
these at every packet."""

MAX_OVERRUN = 64
"""Chunks beyond the window before the peer is disconnected: one is a legal probe, a few may cross with our SACK."""

SACK_DELAY = 0.002
"""Seconds a single packet waits for its acknowledgement (§6.2 allows 0.2): enough for the second one of a burst."""

MAX_COST = 5
"""Memory held may be this many times the receive buffer: the window that we announce shrinks by bookkeeping too, but a
peer may have filled the last one with one-byte messages."""

INITIAL_CWND = 4 * USERDATA_MAX_LENGTH
"""RFC 9260 §7.2.1: min(4 MTU, max(2 MTU, 4404))."""


class SctpEvents(Protocol):
    """Where an `Sctp` reports to; called from inside `receive` and its timers."""

    def sctp_open(self) -> None: ...
    def sctp_data(self, channel: int, data: bytes) -> None:
        """May raise `RemoteProtocolError`."""

    def sctp_channel_closed(self, channel: int) -> None: ...
    def sctp_sent(self, count: int) -> None: ...
    def sctp_over(self, reason: str, remote_fault: bool, by_peer: bool = False) -> None: ...
    def sctp_held(self) -> tuple[int, int]:
        """What the application has not taken yet: payload bytes, and memory with bookkeeping."""


class Sctp(RTCSctpTransport):
    """One association over `dtls`, with the given channels, all negotiated beforehand."""

    def __init__(
        self, dtls: Dtls, channels: dict[int, ChannelSpec], receive_buffer: int, outbox: Outbox, events: SctpEvents
    ) -> None:
        super().__init__(cast(Any, dtls))
        self._dtls = dtls
        self._outbox = outbox
        self._owner: SctpEvents | None = events
        self._over = False
        self._receiving = False
        self._buffer = self._advertised_rwnd = receive_buffer
        self._told = receive_buffer
        self._reassembling = 0
        self._highest: int | None = None
        self._overrun: set[int] = set()
        self._unacknowledged = 0
        self._sack_timer: asyncio.TimerHandle | None = None
        self._closing: set[int] = set()
        self._cwnd = INITIAL_CWND
        self._peer_window = 0
        self._search = False
        for spec in channels.values():
            RTCDataChannel(self, RTCDataChannelParameters(label=spec.label, negotiated=True, id=spec.id))

    # ---------------------------------------------------------------- from the transport

    def connect(self, remote_port: int) -> None:
        """Starts the association; both sides do (RFC 8841 §9.3)."""
        _run(self.start(None, remote_port))

    def receive(self, packet: bytes) -> None:
        """A decrypted packet came in. Whatever is wrong with it is the peer's fault and ends the association."""
        try:
            _run(self._handle_data(packet))
        except RemoteProtocolError as error:
            self._end(str(error), remote_fault=True)
        except (AssertionError, IndexError, KeyError, OverflowError, StructError, TypeError, ValueError) as error:
            # What aiortc's parsers and handlers raise for fields that do not fit.
            self._end(f"malformed SCTP packet ({type(error).__name__})", remote_fault=True)

    def pump(self) -> None:
        """Something was put into the outbox: send what the windows allow."""
        self._push()

    def open_window(self) -> None:
        """The application took something: tell the peer when its window has grown enough to be worth a packet
        (§6.2)."""
        if self._association_state == self.State.ESTABLISHED and self._window() - self._told >= self._buffer // 4:
            _run(self._send_sack())

    def close_channel(self, channel: int) -> None:
        """Resets the stream once everything queued on it has left."""
        self._closing.add(channel)
        self._close_emptied()

    def stop_now(self) -> None:
        """Tells the peer (ABORT), stops every timer; nothing is reported any more."""
        self._owner = None
        self._over = True
        _run(self.stop())
        if self._sack_timer is not None:
            self._sack_timer.cancel()
            self._sack_timer = None
        self._outbound_queue.clear()
        self._sent_queue.clear()
        self._inbound_streams.clear()
        self._data_channels.clear()

    # ---------------------------------------------------------------- state

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
        if self._sack_needed and not self._over:
            self._acknowledge()

    def _acknowledge(self) -> None:
        self._unacknowledged += 1
        if self._unacknowledged > 1 or self._sack_misordered or self._sack_duplicates or not self._window():
            _run(self._send_sack())
        elif self._sack_timer is None:
            self._sack_timer = asyncio.get_running_loop().call_later(SACK_DELAY, self._sack_late)

    def _sack_late(self) -> None:
        self._sack_timer = None
        if self._sack_needed and not self._over:
            _run(self._send_sack())

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
        if isinstance(chunk, ShutdownChunk):
            self._end("the peer closed the connection", remote_fault=False)
        elif isinstance(chunk, ReconfigChunk):
            self._close_emptied()

    async def _receive_data_chunk(self, chunk: DataChunk) -> None:
        self._sack_needed = True
        if self._association_state != self.State.ESTABLISHED or not self._acceptable(chunk):
            return
        if not chunk.user_data:
            raise RemoteProtocolError("DATA chunk without data")  # RFC 9260 §6.2
        in_order = chunk.tsn == tsn_plus_one(self._cumulative) and not self._sack_misordered
        if in_order:
            self._last_received_tsn = chunk.tsn
        elif self._mark_received(chunk.tsn):
            return
        if chunk.stream_id not in self._data_channels:
            return  # nothing is negotiated there: acknowledged and thrown away
        whole = SCTP_DATA_FIRST_FRAG | SCTP_DATA_LAST_FRAG
        stream = self._get_inbound_stream(chunk.stream_id)
        if chunk.flags & 7 == whole and not stream.reassembly and chunk.stream_seq == stream.sequence_number:
            stream.sequence_number = uint16_add(stream.sequence_number, 1)
            await self._receive(chunk.stream_id, chunk.protocol, chunk.user_data)
        else:
            await self._reassemble(stream, chunk)
        await self._reset_deferred_streams()

    async def _reassemble(self, stream: InboundStream, chunk: DataChunk) -> None:
        stream.add_chunk(chunk)
        self._reassembling += len(chunk.user_data)
        if not chunk.flags & SCTP_DATA_LAST_FRAG and chunk is stream.reassembly[-1]:
            return  # nothing can be complete now that was not before
        for stream_id, protocol, data in stream.pop_messages():
            self._reassembling -= len(data)
            await self._receive(stream_id, protocol, data)

    def _acceptable(self, chunk: DataChunk) -> bool:
        """Whether there is room (§6.2). What fills a gap is always accepted: the peer was allowed to send it."""
        if self._highest is not None and not uint32_gt(chunk.tsn, self._highest):
            return True
        if (chunk.tsn - self._cumulative) % 2**32 > MAX_AHEAD:
            return uint32_gt(self._cumulative, chunk.tsn)  # an old one is acknowledged again
        size, memory = self._owner.sctp_held() if self._owner is not None else (0, 0)
        if memory > MAX_COST * self._buffer:
            raise RemoteProtocolError("the peer sends messages that are too small beyond the receive window")
        if len(chunk.user_data) > self._room(size):
            self._overrun.add(chunk.tsn)  # a probe is the same TSN again and again, an overrun is many
            if len(self._overrun) > MAX_OVERRUN:
                raise RemoteProtocolError(f"the peer overran the receive window of {self._buffer} bytes")
            return False
        self._overrun.clear()
        self._highest = chunk.tsn
        return True

    @property
    def _cumulative(self) -> int:
        if self._last_received_tsn is None:
            raise RemoteProtocolError("DATA before INIT")
        return self._last_received_tsn

    def _window(self) -> int:
        """What the peer may send. With nothing held a message that is being put together may exceed the buffer, because
        it can only be taken when it is whole."""
        room = self._room(self._owner.sctp_held()[1] if self._owner is not None else 0)
        return room if room >= USERDATA_MAX_LENGTH else 0  # no silly windows

    def _room(self, held: int) -> int:
        room = self._buffer - held - self._reassembling
        return room if held else max(room, MAX_CHUNK - self._reassembling)

    async def _send_sack(self) -> None:
        self._unacknowledged = 0
        self._advertised_rwnd = self._told = self._window()
        await super()._send_sack()

    async def _data_channel_receive(self, stream_id: int, pp_id: int, data: bytes) -> None:
        if self._over or self._owner is None:
            return
        if pp_id in (WEBRTC_BINARY, WEBRTC_STRING):
            self._owner.sctp_data(stream_id, data)
        elif pp_id in (WEBRTC_BINARY_EMPTY, WEBRTC_STRING_EMPTY):
            self._owner.sctp_data(stream_id, b"")
        # Anything else (DCEP, RFC 8832) has no meaning on channels that are negotiated beforehand.

    # ---------------------------------------------------------------- sending

    async def _send_chunk(self, chunk: Chunk) -> None:
        if isinstance(chunk, Fragment):
            self._dtls.send(self._wrap(chunk))
        else:
            self._dtls.send(
                serialize_packet(self._local_port, self._remote_port or 0, self._remote_verification_tag, chunk)
            )

    def _wrap(self, fragment: Fragment) -> bytes:
        return write_data(self._local_port, self._remote_port or 0, self._remote_verification_tag, fragment)

    async def _receive_sack_chunk(self, chunk: SackChunk) -> None:
        outstanding = (self._local_tsn - 1 - chunk.cumulative_tsn) % 2**32
        if outstanding > 2**31:
            raise RemoteProtocolError("the peer acknowledges what was never sent")
        # aiortc walks every TSN that a gap block names; these end where our data ends.
        chunk.gaps = [(start, min(end, outstanding)) for start, end in chunk.gaps if 0 < start <= min(end, outstanding)]
        self._search = self._search or bool(chunk.gaps)
        if not uint32_gt(self._last_sacked_tsn, chunk.cumulative_tsn):
            if self._peer_window < USERDATA_MAX_LENGTH <= chunk.advertised_rwnd:
                self._resend_oldest(chunk.cumulative_tsn)
            self._peer_window = chunk.advertised_rwnd
        await super()._receive_sack_chunk(chunk)

    def _resend_oldest(self, cumulative: int) -> None:
        """The window is open again; what came while it was closed the peer has dropped: do not wait for the timer."""
        oldest = next((chunk for chunk in self._sent_queue if uint32_gt(chunk.tsn, cumulative)), None)
        if oldest is not None and not oldest._acked:
            self._flight_size_decrease(oldest)
            oldest._retransmit = self._search = True

    def _t3_expired(self) -> None:
        cwnd, ssthresh = self._cwnd, self._ssthresh
        self._search = True
        super()._t3_expired()
        if self._peer_window < USERDATA_MAX_LENGTH:  # §6.1: a lost probe of a closed window is no sign of congestion
            self._cwnd, self._ssthresh = cwnd, ssthresh

    def _update_rto(self, R: float) -> None:
        if 0 <= R < SCTP_RTO_MAX:  # aiortc measures by the wall clock, which somebody may have set meanwhile
            super()._update_rto(R)

    async def _data_channel_flush(self) -> None:
        self._push()
        await self._transmit_reconfig()

    async def _transmit(self) -> None:
        self._push()

    def _push(self) -> None:
        """Sends again what is marked, then new data, as far as both windows and the burst limit allow (§6.1)."""
        if self._association_state != self.State.ESTABLISHED or self._over:
            return
        burst = (2 if self._fast_recovery_exit is not None else 4) * USERDATA_MAX_LENGTH
        limit = min(self._flight_size + burst, self._cwnd)
        if self._search and not self._send_again(limit):
            return
        sent = 0
        while self._flight_size < limit and (self._outbound_queue or self._refill()):
            fragment = cast(Fragment, self._outbound_queue[0])
            closed = self._flight_size + fragment._book_size > self._peer_window
            if closed and self._sent_queue:
                break  # rule A: one chunk is in flight, whatever the window
            self._outbound_queue.popleft()
            self._sent_queue.append(fragment)
            self._flight_size_increase(fragment)
            fragment._sent_count = 1
            fragment._sent_time = time.time()
            self._dtls.send(self._wrap(fragment))
            if self._t3_handle is None:
                self._t3_start()
            if fragment.piece is not None:
                sent += self._outbox.left(fragment.piece)
                fragment.piece = None
        if sent and self._owner is not None:
            self._owner.sctp_sent(sent)
        if self._closing:
            self._close_emptied()

    def _send_again(self, limit: int) -> bool:
        """Sends what is marked for retransmission; whether all of it could be sent."""
        for position, chunk in enumerate(self._sent_queue):
            if not chunk._retransmit:
                continue
            if self._fast_recovery_transmit:
                self._fast_recovery_transmit = False
            elif self._flight_size >= limit:
                return False
            self._flight_size_increase(chunk)
            chunk._misses = 0
            chunk._retransmit = False
            chunk._sent_count += 1
            _run(self._send_chunk(chunk))
            if position == 0:
                self._t3_restart()
        self._search = False
        return True

    def _refill(self) -> bool:
        """Fetches the next data-channel message and cuts it into chunks; False when there is none."""
        piece = self._outbox.take()
        if piece is None:
            return False
        stream = piece.channel
        sequence = self._outbound_stream_seq.get(stream, 0)
        view = memoryview(piece.data)
        size = len(view)
        for start in range(0, size, USERDATA_MAX_LENGTH):
            last = start + USERDATA_MAX_LENGTH >= size
            flags = (SCTP_DATA_FIRST_FRAG if start == 0 else 0) | (SCTP_DATA_LAST_FRAG if last else 0)
            data = view[start : start + USERDATA_MAX_LENGTH]
            self._outbound_queue.append(
                Fragment(self._local_tsn, stream, sequence, flags, data, piece if last else None)
            )
            self._local_tsn = tsn_plus_one(self._local_tsn)
        self._outbound_stream_seq[stream] = uint16_add(sequence, 1)
        return True

    def _close_emptied(self) -> None:
        for channel in [channel for channel in self._closing if not self._outbox.pending(channel)]:
            self._closing.discard(channel)
            if channel in self._data_channels:
                self._data_channel_close(self._data_channels[channel])


def _run(coroutine: Coroutine[Any, Any, None]) -> None:
    """Runs one of aiortc's handlers to its end. They are coroutines only because aiortc's sending is one; ours never
    waits, so there is nothing to wait for."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    coroutine.close()
    raise RuntimeError("an SCTP handler waited")
