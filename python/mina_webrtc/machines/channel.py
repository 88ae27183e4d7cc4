"""One of channels 1–8 on our side, and when we may send first on it (protocol.md §6).

    Unopened → Clear, or Unopened → Cautious → Clear

The reference creates these channels only after it has authenticated us, and its SCTP does not acknowledge data for a
stream it has not created: nothing is lost, but retransmission slows the whole association. So towards a peer without
our mark, first messages wait until the channel has received something or was open for 3 s. Open means usable: the time
counts from authentication, not from the opening of the association, because the reference counts from there too.

Events: ChannelOpened, MessageReceived (it is only told, whoever owns the channel reads it), TimerFired (CAUTION).
Effects: Send, SetTimer, CancelTimer.
"""

from __future__ import annotations

from msgspec import Struct

from mina_webrtc.errors import LocalProtocolError
from mina_webrtc.machines.vocab import (
    CancelTimer,
    ChannelOpened,
    Effect,
    Event,
    Ignored,
    MessageReceived,
    Send,
    SetTimer,
    Timer,
    TimerFired,
)
from mina_webrtc.wire.channels import Channel

LaneStep = tuple["Lane", list[Effect]]


class Way(Struct, frozen=True):
    """Which channel of which connection. `caution` is in seconds; 0 towards a peer with our mark."""

    conn: int
    channel: Channel
    caution: float


class Lane(Struct, frozen=True):
    """A channel's state."""

    way: Way

    def on(self, event: Event, now: float) -> LaneStep:
        """The next state and what is to be done. Raises `LocalProtocolError` for an event that cannot happen here."""
        raise NotImplementedError

    def push(self, payload: bytes) -> LaneStep:
        """Sends, now or when it is time. How much may wait is bounded by the caller's own limit of open requests."""
        raise NotImplementedError

    def release(self) -> list[Effect]:
        """What has to be undone when the connection ends."""
        return []

    def otherwise(self, event: Event) -> LaneStep:
        """Late events, then our bugs."""
        if isinstance(event, TimerFired | ChannelOpened):
            return self, [Ignored(self.way.conn, type(event).__name__)]
        raise LocalProtocolError(f"{type(event).__name__} in {type(self).__name__} of channel {self.way.channel}")

    def clear(self, queue: tuple[bytes, ...]) -> LaneStep:
        """Nothing is waited for any more."""
        return Clear(self.way), [Send(self.way.conn, self.way.channel, payload) for payload in queue]


class Unopened(Lane, frozen=True):
    """The channel cannot be used yet. `heard`: the peer has already used it."""

    queue: tuple[bytes, ...] = ()
    heard: bool = False

    def on(self, event: Event, now: float) -> LaneStep:
        match event:
            case ChannelOpened() if self.heard or not self.way.caution:
                return self.clear(self.queue)
            case ChannelOpened():
                timer = SetTimer(Timer.CAUTION, self.way.conn, self.way.channel, now + self.way.caution)
                return Cautious(self.way, self.queue), [timer]
            case MessageReceived():
                return Unopened(self.way, self.queue, heard=True), []
        return self.otherwise(event)

    def push(self, payload: bytes) -> LaneStep:
        return Unopened(self.way, (*self.queue, payload), self.heard), []


class Cautious(Lane, frozen=True):
    """The channel is open here, but perhaps not yet at the peer."""

    queue: tuple[bytes, ...]

    def on(self, event: Event, now: float) -> LaneStep:
        match event:
            case MessageReceived():
                after, effects = self.clear(self.queue)
                return after, [*self.release(), *effects]
            case TimerFired(timer=Timer.CAUTION):
                return self.clear(self.queue)
        return self.otherwise(event)

    def push(self, payload: bytes) -> LaneStep:
        return Cautious(self.way, (*self.queue, payload)), []

    def release(self) -> list[Effect]:
        return [CancelTimer(Timer.CAUTION, self.way.conn, self.way.channel)]


class Clear(Lane, frozen=True):
    """The channel is in use."""

    def on(self, event: Event, now: float) -> LaneStep:
        match event:
            case MessageReceived():
                return self, []
        return self.otherwise(event)

    def push(self, payload: bytes) -> LaneStep:
        return self, [Send(self.way.conn, self.way.channel, payload)]
