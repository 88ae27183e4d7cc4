"""The sending half of our SCTP: what aiortc's does otherwise.

- Sending never waits here, so it is synchronous, and new data is *pulled* from the outbox when the windows allow it:
  aiortc takes everything at once into its own queue, and tells too early that it was sent.
- The sender obeys the peer's advertised window (RFC 9260 §6.1 rule A); aiortc ignores it.
- A SACK costs one walk over what is outstanding, and none while nothing is missing; aiortc walks every TSN that a gap
  block names, and the whole queue several times.
- What the peer has by its gap blocks is not sent again, unless it says later that it has it no more (§6.2.1 D); the
  timer backs off (§6.3.3), where aiortc's sends everything again each second.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Iterable
from itertools import islice
from typing import Any, Protocol, cast

from aiortc.rtcsctptransport import (
    SCTP_DATA_FIRST_FRAG,
    SCTP_DATA_LAST_FRAG,
    SCTP_RTO_MAX,
    SCTP_TSN_MODULO,
    USERDATA_MAX_LENGTH,
    Chunk,
    RTCSctpTransport,
    SackChunk,
    serialize_packet,
    tsn_plus_one,
)
from aiortc.utils import uint16_add, uint32_gte

from mina_webrtc.errors import RemoteProtocolError
from mina_webrtc.services.dtls import Dtls
from mina_webrtc.services.outbox import Outbox
from mina_webrtc.services.packets import Fragment, write_data
from mina_webrtc.services.received import ascending

MAX_AHEAD = 8192
"""How far a TSN may be ahead of what is complete, on both sides: further ones are not sent, and dropped, to be sent
again. Far above what a window of 1 MiB has in flight, and what a peer may make us keep by acknowledging all but the
first."""

INITIAL_CWND = 4 * USERDATA_MAX_LENGTH
"""RFC 9260 §7.2.1: min(4 MTU, max(2 MTU, 4404))."""

MISSES = 3
"""Reports that a chunk is missing before it is sent again (§7.2.4)."""

BURST = 8 * USERDATA_MAX_LENGTH
"""Bytes that one event may let out, half of it after a loss. Twice what §6.1 D recommends: what aiortc comes to, which
sends twice for each SACK; with less a transfer that loses 1 % takes 6 % longer."""

RTO_MIN = 0.4
"""Seconds, as in browsers; RFC 9260 §16 recommends 1. Above what a peer may delay a SACK by (0.2), and far below what a
lost retransmission would cost now that the timer backs off."""

MAX_BACKOFF = 3.0
"""Seconds that the retransmission timer is backed off to at most, as in browsers: a connection that is silent for 12 s
is given up anyway, and one that comes back shall not wait for long."""


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


class SctpSender(RTCSctpTransport):
    """The half of an `Sctp` that sends. `_sent_queue` holds what is outstanding, without a hole: its first chunk is the
    one after the last that the peer acknowledged cumulatively."""

    _fast_recovery_exit: Any

    def __init__(self, dtls: Dtls, outbox: Outbox, events: SctpEvents) -> None:
        super().__init__(cast(Any, dtls))
        self._dtls = dtls
        self._outbox = outbox
        self._owner: SctpEvents | None = events
        self._over = False
        self._closing: set[int] = set()
        self._cwnd = INITIAL_CWND
        self._ssthresh = INITIAL_CWND
        self._peer_window = 0
        self._search = False  # whether anything may be marked to be sent again
        self._gapped = 0  # how much of `_sent_queue` goes up to the last that a gap block named
        self._backoff = 1

    # ---------------------------------------------------------------- packets

    async def _send_chunk(self, chunk: Chunk) -> None:
        self._dtls.send(
            serialize_packet(self._local_port, self._remote_port or 0, self._remote_verification_tag, chunk)
        )

    def _wrap(self, fragment: Fragment) -> bytes:
        return write_data(self._local_port, self._remote_port or 0, self._remote_verification_tag, fragment)

    # ---------------------------------------------------------------- what the peer acknowledges

    async def _receive_sack_chunk(self, chunk: SackChunk) -> None:
        self._take_sack(chunk)

    def _take_sack(self, sack: SackChunk) -> None:
        fresh = (sack.cumulative_tsn - self._last_sacked_tsn) % SCTP_TSN_MODULO
        if fresh >= SCTP_TSN_MODULO // 2:
            return  # a newer one has overtaken it
        if fresh > len(self._sent_queue):
            raise RemoteProtocolError("the peer acknowledges what was never sent")
        full = self._flight_size >= self._cwnd
        size = self._drop_acknowledged(fresh) if fresh else 0
        self._last_sacked_tsn = sack.cumulative_tsn
        lost = False
        if sack.gaps or self._gapped:
            more, lost = self._take_gaps(sack.gaps)
            size += more
        self._reopen(sack.advertised_rwnd)
        self._adjust(size if fresh and full else 0, lost)
        if not self._sent_queue:
            self._t3_cancel()
        elif fresh:
            self._t3_restart()
        self._push()
        if self._reconfig_queue:
            run(self._transmit_reconfig())

    def _drop_acknowledged(self, count: int) -> int:
        """The first `count` outstanding chunks have come; returns the bytes of those not known to have come before."""
        self._backoff = 1
        self._gapped = max(0, self._gapped - count)
        first = self._sent_queue[0]
        if first._sent_count == 1 and first._sent_time is not None:
            self._update_rto(time.monotonic() - first._sent_time)
        size = 0
        for _ in range(count):
            chunk = self._sent_queue.popleft()
            if not cast(Fragment, chunk).known:
                size += chunk._book_size
            self._flight_size_decrease(chunk)
        return size

    def _take_gaps(self, gaps: Iterable[tuple[int, int]]) -> tuple[int, bool]:
        """Marks what has come and strikes what is missing below it (§7.2.4). Returns the bytes of what was not known to
        have come, and whether something has to be sent again."""
        blocks = ascending(gaps, len(self._sent_queue))
        span = max(blocks[-1][1] if blocks else 0, self._gapped)
        self._gapped = blocks[-1][1] if blocks else 0
        following = iter(blocks)
        missing: list[tuple[int, Fragment]] = []
        start = end = newest = size = 0
        for position, chunk in enumerate(islice(cast(Iterable[Fragment], self._sent_queue), span), 1):
            if position > end:
                start, end = next(following, (span + 1, span + 1))
            if position < start:
                missing.append((position, chunk))
                if chunk._acked:  # the peer has dropped it, or does not have room in its SACK for it
                    chunk._acked = False
                    self._flight_size_increase(chunk)
            elif not chunk._acked:
                chunk._acked = True
                chunk._retransmit = False
                self._flight_size_decrease(chunk)
                if not chunk.known:  # else only an older SACK had overtaken a newer one
                    chunk.known = True
                    newest = position
                    size += chunk._book_size
        return size, self._strike(missing, newest)

    def _strike(self, missing: list[tuple[int, Fragment]], newest: int) -> bool:
        lost = False
        for position, chunk in missing:
            if position > newest:
                break
            if chunk._retransmit:
                continue  # not sent again yet
            chunk._misses += 1
            if chunk._misses == MISSES:
                self._mark(chunk)
                lost = True
        return lost

    def _mark(self, chunk: Any) -> None:
        """The chunk is to be sent again and is not in flight until it is."""
        self._flight_size_decrease(chunk)
        chunk._misses = 0
        chunk._retransmit = self._search = True

    def _reopen(self, window: int) -> None:
        """When the peer's window is open again, what came while it was closed the peer has dropped: the timer is not
        waited for."""
        if self._peer_window < USERDATA_MAX_LENGTH <= window and self._sent_queue and not self._sent_queue[0]._acked:
            self._mark(self._sent_queue[0])
        self._peer_window = window

    def _adjust(self, size: int, lost: bool) -> None:
        """The congestion window (§7.2), after `size` bytes were acknowledged while it was in full use."""
        if self._fast_recovery_exit is not None:
            if uint32_gte(self._last_sacked_tsn, self._fast_recovery_exit):
                self._fast_recovery_exit = None
            return
        if size and self._cwnd <= self._ssthresh:
            self._cwnd += min(size, USERDATA_MAX_LENGTH)
        elif size:
            self._partial_bytes_acked += size
            if self._partial_bytes_acked >= self._cwnd:
                self._partial_bytes_acked -= self._cwnd
                self._cwnd += USERDATA_MAX_LENGTH
        if lost:
            self._ssthresh = self._cwnd = max(self._cwnd // 2, INITIAL_CWND)
            self._partial_bytes_acked = 0
            self._fast_recovery_exit = self._sent_queue[-1].tsn
            self._fast_recovery_transmit = True

    # ---------------------------------------------------------------- the timer

    def _update_rto(self, R: float) -> None:
        super()._update_rto(R)
        if self._srtt is not None and self._rttvar is not None:
            self._rto = max(RTO_MIN, min(self._srtt + 4 * self._rttvar, SCTP_RTO_MAX))

    def _t3_start(self) -> None:
        # The reset of `_backoff` by every acknowledgement of something new goes further than §6.3.2, which waits for a
        # measurement: after a burst of losses there may be none for long.
        delay = min(self._rto * self._backoff, max(self._rto, MAX_BACKOFF))
        self._t3_handle = asyncio.get_running_loop().call_later(delay, self._t3_expired)

    def _t3_restart(self) -> None:
        self._t3_cancel()
        self._t3_start()

    def _t3_expired(self) -> None:
        self._t3_handle = None
        first = self._backoff == 1
        self._backoff = min(2 * self._backoff, 64)
        for chunk in self._sent_queue:
            if not chunk._acked:
                self._mark(chunk)
        self._fast_recovery_exit = None
        self._partial_bytes_acked = 0
        if self._peer_window >= USERDATA_MAX_LENGTH:  # §6.1: a lost probe of a closed window is no sign of congestion
            if first:  # one loss, one halving, however long it lasts (as RFC 5681 §3.1)
                self._ssthresh = max(self._cwnd // 2, INITIAL_CWND)
            self._cwnd = USERDATA_MAX_LENGTH
        self._push()

    # ---------------------------------------------------------------- sending

    async def _data_channel_flush(self) -> None:
        self._push()
        await self._transmit_reconfig()

    async def _transmit(self) -> None:
        self._push()

    def _push(self) -> None:
        """Sends again what is marked, then new data, as far as both windows and the burst limit allow (§6.1)."""
        if self._association_state != self.State.ESTABLISHED or self._over:
            return
        burst = BURST if self._fast_recovery_exit is None else BURST // 2
        limit = min(self._flight_size + burst, self._cwnd)
        if self._search and not self._send_again(limit):
            return
        sent = 0
        while self._flight_size < limit and (self._outbound_queue or self._refill()):
            fragment = cast(Fragment, self._outbound_queue[0])
            closed = self._flight_size + fragment._book_size > self._peer_window
            if (closed and self._sent_queue) or len(self._sent_queue) >= MAX_AHEAD:
                break  # rule A: one chunk is in flight, whatever the window
            self._outbound_queue.popleft()
            self._sent_queue.append(fragment)
            self._flight_size_increase(fragment)
            fragment._sent_count = 1
            fragment._sent_time = time.monotonic()  # aiortc's wall clock somebody may set meanwhile
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
            self._dtls.send(self._wrap(cast(Fragment, chunk)))
            if position == 0 or self._t3_handle is None:
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


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    """Runs one of aiortc's handlers to its end. They are coroutines only because aiortc's sending is one; ours never
    waits, so there is nothing to wait for."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    coroutine.close()
    raise RuntimeError("an SCTP handler waited")
