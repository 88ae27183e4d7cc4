"""Two SCTP associations back to back, without a network: packets in, packets out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from aiortc.rtcsctptransport import Chunk, DataChunk, SackChunk, serialize_packet

from mina_webrtc.errors import RemoteProtocolError
from mina_webrtc.services.base import ChannelSpec
from mina_webrtc.services.dtls import Dtls
from mina_webrtc.services.outbox import Outbox
from mina_webrtc.services.sctp import Sctp

CHANNELS = {1: ChannelSpec(1, "one", 16_384, True, 16_384), 7: ChannelSpec(7, "rpc", 1 << 20, True, 1 << 20)}
BUFFER = 256 << 10
EARLY = 64 << 10


class Side:
    """One association; what it sends is kept until `deliver` carries it over."""

    def __init__(self, role: str) -> None:
        self.state = "connected"
        self._role = role
        self.packets: list[bytes] = []
        self.received: list[tuple[int, bytes]] = []
        self.over: list[tuple[str, bool]] = []
        self.sent = 0
        self.opened = 0
        self.held = 0
        self.outbox = Outbox(CHANNELS)
        self.sctp = Sctp(cast(Dtls, self), CHANNELS, BUFFER, EARLY, self.outbox, self)

    # what SCTP uses of DTLS

    def send(self, data: bytes) -> None:
        self.packets.append(data)

    def _register_data_receiver(self, receiver: Any) -> None: ...
    def _unregister_data_receiver(self, receiver: Any) -> None: ...

    # what SCTP reports

    def sctp_open(self) -> None:
        self.opened += 1

    def sctp_data(self, channel: int, data: bytes) -> None:
        if not data:
            raise RemoteProtocolError("empty")
        self.received.append((channel, data))

    def sctp_channel_closed(self, channel: int) -> None: ...

    def sctp_sent(self, count: int) -> None:
        self.sent += count

    def sctp_over(self, reason: str, remote_fault: bool, by_peer: bool = False) -> None:
        self.over.append((reason, remote_fault))

    def sctp_held(self) -> tuple[int, int]:
        return self.held, self.held

    def hear(self, chunk: Chunk) -> None:
        """A packet with this chunk and everything else as it must be comes in."""
        sctp = self.sctp
        self.sctp.receive(serialize_packet(5000, 5000, sctp._local_verification_tag, chunk))

    def close_window(self) -> None:
        """The application takes nothing any more, and the peer is told by a SACK."""
        self.held = BUFFER
        self.hear(self.data())
        self.hear(self.data(stream_seq=1))
        assert self.sctp._told == 0

    def data(self, ahead: int = 1, **fields: Any) -> DataChunk:
        chunk = DataChunk(flags=3)
        chunk.tsn = (cast(int, self.sctp._last_received_tsn) + ahead) % 2**32
        chunk.stream_id, chunk.stream_seq, chunk.protocol, chunk.user_data = 1, 0, 53, b"\x00\x00\x00\x01x"
        for name, value in fields.items():
            setattr(chunk, name, value)
        return chunk


def deliver(a: Side, b: Side, pick: Callable[[bytes], bool] = lambda packet: True) -> None:
    while a.packets or b.packets:
        for source, target in ((a, b), (b, a)):
            packets, source.packets = source.packets, []
            for packet in packets:
                if pick(packet):
                    target.sctp.receive(packet)
            if not source.packets and not target.packets and target.sctp._sack_needed:
                target.sctp._sack_late()  # its timer


def pair(*, admit: bool = True) -> tuple[Side, Side]:
    a, b = Side("client"), Side("server")
    for side in (a, b) if admit else ():
        side.sctp.admit()
    a.sctp.connect(5000)
    b.sctp.connect(5000)
    deliver(a, b)
    assert (a.opened, b.opened) == (1, 1)
    return a, b


Ends = tuple[Side, Side]


def sack_of(side: Side, ahead: int) -> SackChunk:
    """An acknowledgement of what `side` sent last and `ahead` more."""
    sack = SackChunk()
    sack.cumulative_tsn = (side.sctp._local_tsn - 1 + ahead) % 2**32
    sack.advertised_rwnd = 10_000
    return sack
