"""SCTP packets where aiortc's own writing is slow or its reading is unsafe."""

from __future__ import annotations

from struct import pack, pack_into, unpack_from
from typing import cast

from aiortc.rtcsctptransport import SCTP_COMMON_HEADER_LENGTH, WEBRTC_BINARY, DataChunk
from google_crc32c import value as crc32c

from mina_webrtc.errors import RemoteProtocolError
from mina_webrtc.services.outbox import Piece

PARAMETERS_AT = {1: 20, 2: 20, 4: 4, 5: 4, 6: 4, 9: 4, 130: 4}
"""Where the parameters begin: INIT, INIT-ACK, HEARTBEAT, HEARTBEAT-ACK, ABORT, ERROR, RE-CONFIG."""


class Fragment(DataChunk):
    """An outbound DATA chunk; `piece` on the last one of its data-channel message."""

    def __init__(self, tsn: int, stream: int, sequence: int, flags: int, data: memoryview, piece: Piece | None) -> None:
        self.flags = flags
        self.tsn = tsn
        self.stream_id = stream
        self.stream_seq = sequence
        self.protocol = WEBRTC_BINARY
        self.user_data = cast(bytes, data)
        self.piece = piece
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
