"""One end of a simulated peer connection: what a transport keeps, with real frames in both directions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mina_webrtc._backend import FrameDecoder, frame_chunks
from mina_webrtc.errors import FrameError, RemoteProtocolError
from mina_webrtc.testing.seals import fingerprint
from mina_webrtc.wire.channels import Channel

if TYPE_CHECKING:
    from mina_webrtc.testing.shell import SimNode

EARLY_LIMIT = 64 * 1024
"""Bytes kept before authentication (protocol.md §6)."""
MAX_CHUNK = 65_535
CHANNELS = tuple(Channel)
MAX_MESSAGE = tuple(channel.max_message for channel in CHANNELS)
MAX_UNASKED = tuple(channel.max_unasked for channel in CHANNELS)


class End:
    """`other` is set once both have each other's SDP. `up`: its channels are open here."""

    __slots__ = (
        "_admitted",
        "_decoders",
        "_early",
        "_early_size",
        "_large",
        "arrival",
        "closed",
        "conn",
        "expected",
        "fingerprint",
        "held",
        "node",
        "other",
        "remote",
        "shut",
        "ufrag",
        "up",
    )

    def __init__(self, node: SimNode, conn: int, ufrag: str) -> None:
        self.node, self.conn, self.ufrag = node, conn, ufrag
        self.fingerprint = fingerprint(ufrag)
        self.remote = ""
        self.expected = ""
        """The fingerprint that the remote SDP announces."""
        self.other: End | None = None
        self.up = self.closed = False
        self.held: list[tuple[int, tuple[bytes, ...]]] | None = None
        """What has not arrived because the way is cut; None while it is not."""
        self.arrival = 0.0
        """Nothing that was sent later arrives before this."""
        self.shut = 0
        """Bit n is set when channel n is closed."""
        self._admitted = False
        self._early: list[tuple[int, tuple[bytes, ...]]] = []
        self._early_size = 0
        self._large = 0
        self._decoders: dict[int, FrameDecoder] = {}

    def chunks(self, channel: int, payload: bytes) -> tuple[bytes, ...]:
        """What goes over the wire for a message."""
        return tuple(frame_chunks(payload)) if channel else (payload,)

    def receive(self, channel: int, chunks: tuple[bytes, ...]) -> list[bytes]:
        """The messages that are complete now. Raises `RemoteProtocolError`."""
        for chunk in chunks:
            if not 0 < len(chunk) <= MAX_CHUNK:
                raise RemoteProtocolError(f"chunk of {len(chunk)} bytes on channel {channel}")
        if not channel:
            if len(chunks[0]) > MAX_MESSAGE[0]:
                raise RemoteProtocolError(f"message of {len(chunks[0])} bytes on channel 0")
            return list(chunks)
        if not self._admitted:
            self._keep(channel, chunks)
            return []
        return self._decode(channel, chunks)

    def admit(self) -> list[tuple[int, list[bytes]]]:
        """Authentication has passed: what came early, by channel. Raises `RemoteProtocolError`."""
        self._admitted = True
        early, self._early = self._early, []
        return [(channel, self._decode(channel, chunks)) for channel, chunks in early]

    def expect(self, channel: int, large: bool) -> None:
        """Whether large messages are received on the channel."""
        bit = 1 << channel
        self._large = self._large | bit if large else self._large & ~bit
        decoder = self._decoders.get(channel)
        if decoder is not None:
            decoder.allow(self._limit(channel))

    def _keep(self, channel: int, chunks: tuple[bytes, ...]) -> None:
        self._early_size += sum(map(len, chunks))
        if self._early_size > EARLY_LIMIT:
            raise RemoteProtocolError(f"more than {EARLY_LIMIT} bytes before authentication")
        self._early.append((channel, chunks))

    def _decode(self, channel: int, chunks: tuple[bytes, ...]) -> list[bytes]:
        decoder = self._decoders.get(channel)
        if decoder is None:
            decoder = self._decoders[channel] = FrameDecoder(self._limit(channel))
        try:
            return decoder.receive_batch(list(chunks))
        except FrameError as error:
            raise RemoteProtocolError(f"bad frame on channel {channel}: {error}") from error

    def _limit(self, channel: int) -> int:
        return MAX_MESSAGE[channel] if self._large >> channel & 1 else MAX_UNASKED[channel]
