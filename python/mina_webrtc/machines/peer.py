"""A ready peer: authenticated, its channels in use, until one side closes or breaks a rule (protocol.md §6, §7).

    Success → Error

Channel 1 is `discovery`, 2 `exchange`, 3–6 `propagation`, 7 `rpc`, 8 `streaming`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from mina_webrtc.errors import LocalProtocolError, RemoteProtocolError
from mina_webrtc.machines.discovery import Discovery
from mina_webrtc.machines.exchange import Exchange
from mina_webrtc.machines.part import Part, Stalled
from mina_webrtc.machines.propagation import SPECS, Propagation
from mina_webrtc.machines.rpc import Requests
from mina_webrtc.machines.state import Attempt, State, Step
from mina_webrtc.machines.streaming import Streaming
from mina_webrtc.machines.vocab import (
    AnswerSent,
    ChannelClosed,
    ChannelOpened,
    DtlsConnected,
    Effect,
    Event,
    Failure,
    Fault,
    IceConnected,
    MessageReceived,
    MessagesSent,
    OfferSent,
    PartMade,
    PartWanted,
    RequestCancelled,
    RequestHandled,
    RequestMade,
    Send,
    SignalingFailed,
    Stage,
    StreamAsked,
    StreamCancelled,
    Timer,
    TimerFired,
    TransportFailed,
)
from mina_webrtc.wire.channels import Channel
from mina_webrtc.wire.sdp import Mark

Machine = Part | Requests

PARTS: dict[Channel, type[Part]] = {
    Channel.DISCOVERY: Discovery,
    Channel.EXCHANGE: Exchange,
    **dict.fromkeys(SPECS, Propagation),
    Channel.STREAMING: Streaming,
}
TIMERS = {
    Timer.DISCOVERED: Channel.DISCOVERY,
    Timer.REST: Channel.DISCOVERY,
    Timer.EXCHANGED: Channel.EXCHANGE,
    Timer.RPC_REPLY: Channel.RPC,
    Timer.HANDLER: Channel.RPC,
    Timer.STREAM_PART: Channel.STREAMING,
    Timer.STREAM_MADE: Channel.STREAMING,
    Timer.STREAM_NEXT: Channel.STREAMING,
}
"""Whose deadlines they are; those of CAUTION and ITEMS name their channel."""


class Success(State, frozen=True):
    """The peer is ready."""

    late = frozenset({OfferSent, AnswerSent, SignalingFailed, IceConnected, DtlsConnected, ChannelOpened})

    marked: bool
    opened: int
    """Bit n is set when channel n is open."""
    parts: tuple[Machine | None, ...]
    """By channel."""
    unsent: tuple[int, ...] = ()
    """Channels of the messages that are not on the wire yet, oldest first."""

    @staticmethod
    def begin(link: Attempt, mark: Mark | None, opened: int, now: float) -> tuple[Success, list[Effect]]:
        """Enters the state; the channels that opened during authentication can be used from now on."""
        early = mark is not None and mark.early
        caution = 0.0 if early else link.settings.caution
        parts: list[Machine | None] = [None] * len(Channel)
        parts[Channel.RPC] = Requests.new(link, caution)
        for channel, part in PARTS.items():
            parts[channel] = part.new(link, channel, caution)
        state, effects = Success(link, mark is not None, opened, tuple(parts)), list[Effect]()
        for channel in (*PARTS, Channel.RPC):
            if opened >> channel & 1:
                state, more = state._tell(channel, ChannelOpened(link.conn, channel), now)
                effects += more
        for channel in PARTS:
            state, more = state.change(channel, lambda part: part.begin())
            effects += more
        return state, effects

    @property
    def stage(self) -> Stage:
        return Stage.CLOSED

    @property
    def requests(self) -> Requests:
        """Channel 7."""
        machine = self.parts[Channel.RPC]
        assert isinstance(machine, Requests)  # noqa: S101  # for the type checker
        return machine

    @property
    def streaming(self) -> Streaming:
        """Channel 8."""
        machine = self.parts[Channel.STREAMING]
        assert isinstance(machine, Streaming)  # noqa: S101  # for the type checker
        return machine

    def release(self, failure: Failure) -> list[Effect]:
        return [effect for machine in self.parts if machine is not None for effect in machine.release()]

    def on(self, event: Event, now: float) -> Step:
        match event:
            case MessageReceived(channel=Channel.AUTH):
                # §6: channel 0 carries one message each way and nothing else
                return self._breach("more than one message on channel 0")
            case MessageReceived(channel=channel):
                return self._pass(channel, event, now)
            case MessagesSent():
                return self._left(event, now)
            case RequestMade() | RequestCancelled() | RequestHandled():
                return self._pass(Channel.RPC, event, now)
            case StreamAsked() | PartWanted() | StreamCancelled() | PartMade():
                return self._pass(Channel.STREAMING, event, now)
            case TimerFired(timer=Timer.CAUTION | Timer.ITEMS, key=channel):
                return self._pass(channel, event, now)
            case TimerFired(timer=timer):
                return self._pass(TIMERS[timer], event, now) if timer in TIMERS else self.ignore(event)
            case ChannelOpened(channel=channel) if not self.opened >> channel & 1:
                return replace(self, opened=self.opened | 1 << channel)._pass(channel, event, now)
            case ChannelClosed(channel=Channel.AUTH):
                return self, []  # both sides close it now
            case ChannelClosed(channel=channel):
                # §6: the closing of any of channels 1–8 disconnects the peer, there and here
                return self.fail(Stage.CLOSED, "channel_closed", f"channel {channel} was closed")
            case TransportFailed(reason=reason, detail=detail, remote_fault=remote):
                return self.fail(Stage.CLOSED, reason, detail, Fault.PEER if remote else Fault.NONE)
        return self.otherwise(event)

    def change(self, channel: int, step: Callable[[Any], tuple[Machine, list[Effect]]]) -> tuple[Success, list[Effect]]:
        """A step of one channel's machine. Raises what `step` raises."""
        machine = self.parts[channel]
        after, effects = step(machine)
        unsent = self.unsent
        for effect in effects:
            if type(effect) is Send:
                unsent = (*unsent, effect.channel)
        if after is machine and unsent is self.unsent:
            return self, effects
        parts = (*self.parts[:channel], after, *self.parts[channel + 1 :])
        return replace(self, parts=parts, unsent=unsent), effects

    def _pass(self, channel: int, event: Event, now: float) -> Step:
        if self.parts[channel] is None:
            return (self, []) if isinstance(event, ChannelOpened) else self.ignore(event)
        try:
            return self._tell(channel, event, now)
        except Stalled as error:
            return self.fail(Stage.CLOSED, "stalled", str(error))
        except RemoteProtocolError as error:
            return self._breach(str(error))

    def _tell(self, channel: int, event: Event, now: float) -> tuple[Success, list[Effect]]:
        return self.change(channel, lambda machine: machine.on(event, now))

    def _left(self, event: MessagesSent, now: float) -> Step:
        count = event.count
        if count > len(self.unsent):
            raise LocalProtocolError(f"{count} messages sent of {len(self.unsent)} on connection {self.link.conn}")
        state, effects = replace(self, unsent=self.unsent[count:]), list[Effect]()
        if count == 1:
            return state._tell(self.unsent[0], event, now)
        for channel, sent in Counter(self.unsent[:count]).items():
            state, more = state._tell(channel, MessagesSent(self.link.conn, sent), now)
            effects += more
        return state, effects

    def _breach(self, detail: str) -> Step:
        return self.fail(Stage.CLOSED, "protocol_error", detail, Fault.PEER)
