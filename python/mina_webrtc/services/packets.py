"""SCTP packets where aiortc's own writing is slow or its reading is unsafe."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from struct import pack, pack_into, unpack_from
from typing import cast

from aiortc.rtcsctptransport import (
    SCTP_COMMON_HEADER_LENGTH,
    SCTP_MAX_PACKET_LENGTH,
    WEBRTC_BINARY,
    DataChunk,
    SackChunk,
)
from google_crc32c import value as crc32c

from mina_webrtc.errors import RemoteProtocolError
from mina_webrtc.services.outbox import Piece

PARAMETERS_AT = {1: 20, 2: 20, 4: 4, 5: 4, 6: 4, 9: 4, 130: 4}
"""Where the parameters begin: INIT, INIT-ACK, HEARTBEAT, HEARTBEAT-ACK, ABORT, ERROR, RE-CONFIG."""


DATA_HEADER = 16
SACK_HEADER = 16
"""Bytes of these chunks before what varies in length."""

SACK_ENTRIES = (SCTP_MAX_PACKET_LENGTH - SCTP_COMMON_HEADER_LENGTH - SACK_HEADER) // 4
"""Gap blocks and duplicates that fit into one packet: RFC 9260 §6.2 reports as many as the path takes."""


class Arrival(DataChunk):
    """An inbound DATA chunk, read from the packet that it is alone in; aiortc's takes three times as long."""

    def __init__(self, packet: bytes, end: int) -> None:
        self.flags, self.tsn, self.stream_id, self.stream_seq, self.protocol = unpack_from("!13xB2xLHHL", packet)
        self.user_data = packet[SCTP_COMMON_HEADER_LENGTH + DATA_HEADER : end]


def read_alone(packet: bytes, tag: int) -> DataChunk | SackChunk | None:
    """The chunk of a packet with this tag that holds one DATA chunk or one SACK and nothing else, as nearly all do.
    None for any other packet, sound or not: aiortc's parser reads these."""
    size = len(packet)
    if size < SCTP_COMMON_HEADER_LENGTH + DATA_HEADER:
        return None
    found, checksum, kind, length = unpack_from("!4xL4sBxH", packet)
    end = SCTP_COMMON_HEADER_LENGTH + length
    if found != tag or end + -length % 4 != size or kind not in (DataChunk.type, SackChunk.type):
        return None
    if checksum != pack("<L", crc32c(packet[:8] + bytes(4) + packet[12:])):
        return None
    if kind == SackChunk.type:
        return _read_sack(packet, length)
    return Arrival(packet, end) if length > DATA_HEADER else None


def _read_sack(packet: bytes, length: int) -> SackChunk | None:
    sack = SackChunk()
    sack.cumulative_tsn, sack.advertised_rwnd, gaps, duplicates = unpack_from("!16xLLHH", packet)
    if length < SACK_HEADER + 4 * (gaps + duplicates):
        return None
    if gaps:
        ends = unpack_from(f"!28x{2 * gaps}H", packet)
        sack.gaps = list(zip(ends[::2], ends[1::2], strict=True))
    return sack


class Fragment(DataChunk):
    """An outbound DATA chunk; `piece` is on the last of its data-channel message, `known` once a gap block named it."""

    def __init__(self, tsn: int, stream: int, sequence: int, flags: int, data: memoryview, piece: Piece | None) -> None:
        self.flags = flags
        self.tsn = tsn
        self.stream_id = stream
        self.stream_seq = sequence
        self.protocol = WEBRTC_BINARY
        self.user_data = cast(bytes, data)
        self.piece = piece
        self.known = False
        self._abandoned = self._acked = self._in_flight = self._retransmit = False
        self._book_size = len(data)
        self._expiry = self._max_retransmits = self._sent_time = None
        self._misses = self._sent_count = 0


def write_data(source: int, destination: int, tag: int, fragment: Fragment) -> bytes:
    """A packet with this one chunk: `serialize_packet`, with two copies of the data instead of four."""
    size = fragment._book_size
    header = pack(
        "!HHLLBBHLHHL",
        source,
        destination,
        tag,
        0,
        0,
        fragment.flags,
        16 + size,
        fragment.tsn,
        fragment.stream_id,
        fragment.stream_seq,
        fragment.protocol,
    )
    packet = bytearray().join((header, fragment.user_data, bytes(-size % 4)))
    pack_into("<L", packet, 8, crc32c(bytes(packet)))
    return bytes(packet)


def write_sack(
    source: int,
    destination: int,
    tag: int,
    cumulative: int,
    window: int,
    gaps: Sequence[tuple[int, int]],
    duplicates: Sequence[int],
) -> bytes:
    """A packet with a SACK of at most `SACK_ENTRIES` gaps and duplicates together."""
    packet = bytearray(
        pack(
            f"!HHLLBBHLLHH{2 * len(gaps)}H{len(duplicates)}L",
            source,
            destination,
            tag,
            0,
            SackChunk.type,
            0,
            SACK_HEADER + 4 * (len(gaps) + len(duplicates)),
            cumulative,
            window,
            len(gaps),
            len(duplicates),
            *chain.from_iterable(gaps),
            *duplicates,
        )
    )
    pack_into("<L", packet, 8, crc32c(bytes(packet)))
    return bytes(packet)


def check_parameters(packet: bytes) -> None:
    """Raises `RemoteProtocolError` for a parameter shorter than its header: aiortc reads one of length 0 for ever."""
    position = SCTP_COMMON_HEADER_LENGTH
    while position + 4 <= len(packet):
        kind, _, length = unpack_from("!BBH", packet, position)
        start = PARAMETERS_AT.get(kind)
        end = min(position + length, len(packet))
        if start is not None:
            at = position + start
            while at + 4 <= end:
                size = unpack_from("!H", packet, at + 2)[0]
                if size < 4:
                    raise RemoteProtocolError("SCTP parameter without a length")
                at += size + -size % 4
        position += max(4, length + -length % 4)
