"""What the machines of channels 1–6 and 8 of a ready peer have in common.

A part is a frozen value with `on(event, now) -> (next, effects)`, like a state, and raises `RemoteProtocolError` when
the peer breaks the protocol; `peer` closes the connection with it. What the core decides beside it reaches a part as a
method that gives the same pair.

Events: MessageReceived, MessagesSent, ChannelOpened, TimerFired. Effects: Send, and those of the channel.
"""

from __future__ import annotations

from typing import Self

from msgspec import Struct
from msgspec.structs import replace

from mina_webrtc.errors import BinProtError, LocalProtocolError, RemoteProtocolError
from mina_webrtc.machines.channel import Lane, Unopened, Way
from mina_webrtc.machines.state import Attempt
from mina_webrtc.machines.vocab import (
    ChannelOpened,
    Effect,
    Event,
    Ignored,
    MessageReceived,
    MessagesSent,
    Timer,
    TimerFired,
)
from mina_webrtc.wire.channels import Channel
from mina_webrtc.wire.messages import Message, decode_message, encode_message

Effects = list[Effect]


class Stalled(RemoteProtocolError):
    """The peer owes something and time is over. It may be the way's fault: the connection ends, nobody is blamed."""


class Part(Struct, frozen=True, kw_only=True):
    """One channel's machine. `unsent`: messages given to the lane and not on the wire yet."""

    link: Attempt
    lane: Lane
    unsent: int = 0

    @classmethod
    def new(cls, link: Attempt, channel: Channel, caution: float) -> Self:
        """`caution` as in `channel.Way`."""
        return cls(link=link, lane=Unopened(Way(link.conn, channel, caution)))

    @property
    def channel(self) -> Channel:
        """Which channel it is."""
        return self.lane.way.channel

    def begin(self) -> tuple[Self, Effects]:
        """The peer is ready: what is said first."""
        return self, []

    def on(self, event: Event, now: float) -> tuple[Self, Effects]:
        """The next value and what is to be done. Raises `RemoteProtocolError` when the peer breaks the protocol."""
        match event:
            case MessageReceived(payload=payload):
                message = self._decode(payload)
                lane, effects = self.lane.on(event, now)
                after, more = self._in(lane).heard(message, now)
                return after, effects + more
            case MessagesSent(count=count):
                return self._left(count)
            case ChannelOpened() | TimerFired(timer=Timer.CAUTION):
                lane, effects = self.lane.on(event, now)
                return self._in(lane), effects
            case TimerFired(timer=timer):
                return self.expired(timer, now)
        raise LocalProtocolError(f"{type(event).__name__} on channel {self.channel} of connection {self.link.conn}")

    def heard(self, message: Message, now: float) -> tuple[Self, Effects]:
        """A message of the peer."""
        raise NotImplementedError

    def expired(self, timer: Timer, now: float) -> tuple[Self, Effects]:
        """A deadline of this channel."""
        return self.ignore("TimerFired")

    def emptied(self) -> tuple[Self, Effects]:
        """Everything that was sent is on the wire."""
        return self, []

    def release(self) -> Effects:
        """What has to be undone when the connection ends."""
        return self.lane.release()

    # ------------------------------------------------------------ for the machines

    def say(self, *messages: Message, **changes: object) -> tuple[Self, Effects]:
        """Sends, and changes fields."""
        return self.push([encode_message(self.channel, message) for message in messages], **changes)

    def push(self, payloads: list[bytes], **changes: object) -> tuple[Self, Effects]:
        """Sends what is encoded already, and changes fields."""
        lane, effects = self.lane, Effects()
        for payload in payloads:
            lane, more = lane.push(payload)
            effects += more
        return replace(self, lane=lane, unsent=self.unsent + len(payloads), **changes), effects

    def ignore(self, event: str) -> tuple[Self, Effects]:
        """Nobody waits for it any more."""
        return self, [Ignored(self.link.conn, event)]

    def unexpected(self, message: Message) -> RemoteProtocolError:
        """§7: nobody may send what was not asked for."""
        name = type(message).__name__
        return RemoteProtocolError(f"message is unexpected for channel {self.channel.value}: {name}")

    def require(self, right: bool, step: str) -> None:
        """The core takes a step only when it is the turn of it. Raises `LocalProtocolError`."""
        if not right:
            raise LocalProtocolError(
                f"{step} out of turn on channel {self.channel.value} of connection {self.link.conn}"
            )

    def _decode(self, payload: bytes) -> Message:
        try:
            return decode_message(self.channel, payload)
        except BinProtError as error:
            raise RemoteProtocolError(f"not a message of channel {self.channel.value}: {error}") from error

    def _in(self, lane: Lane) -> Self:
        return self if lane is self.lane else replace(self, lane=lane)

    def _left(self, count: int) -> tuple[Self, Effects]:
        if count > self.unsent:
            raise LocalProtocolError(f"{count} messages sent of {self.unsent} on connection {self.link.conn}")
        after = replace(self, unsent=self.unsent - count)
        return after.emptied() if not after.unsent else (after, [])
