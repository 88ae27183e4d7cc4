"""A ready peer: authenticated, its channels in use, until one side closes or breaks a rule (protocol.md §6, §7).

    Success → Error

Channel 7 is `rpc`. Channels 1–6 and 8 have no machine yet: what a peer sends on them (the reference sends `GetNext` as
soon as it is ready) is ignored and counted, and answered by nobody, which is an open poll there, a legal wait without
end. Their sizes are bounded by the frames below.
"""

from __future__ import annotations

from msgspec.structs import replace

from mina_webrtc.errors import RemoteProtocolError
from mina_webrtc.machines.rpc import Requests
from mina_webrtc.machines.state import Attempt, State, Step
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
    RequestCancelled,
    RequestHandled,
    RequestMade,
    SignalingFailed,
    Stage,
    Timer,
    TimerFired,
    TransportFailed,
)
from mina_webrtc.wire.channels import Channel
from mina_webrtc.wire.sdp import Mark


class Success(State, frozen=True):
    """The peer is ready."""

    late = frozenset({OfferSent, AnswerSent, SignalingFailed, IceConnected, DtlsConnected, ChannelOpened})

    marked: bool
    opened: int
    """Bit n is set when channel n is open."""
    requests: Requests

    @staticmethod
    def begin(link: Attempt, mark: Mark | None, opened: int, now: float) -> tuple[Success, list[Effect]]:
        """Enters the state; the channels that opened during authentication can be used from now on."""
        early = mark is not None and mark.early
        requests = Requests.new(link, 0.0 if early else link.settings.caution)
        effects: list[Effect] = []
        if opened >> Channel.RPC & 1:
            requests, effects = requests.on(ChannelOpened(link.conn, Channel.RPC), now)
        return Success(link, mark is not None, opened, requests), effects

    @property
    def stage(self) -> Stage:
        return Stage.CLOSED

    def release(self, failure: Failure) -> list[Effect]:
        return self.requests.release()

    def on(self, event: Event, now: float) -> Step:
        match event:
            case MessageReceived(channel=Channel.RPC):
                return self._rpc(event, now)
            case MessageReceived(channel=Channel.AUTH):
                # §6: channel 0 carries one message each way and nothing else
                return self._breach("more than one message on channel 0")
            case MessageReceived():
                return self.ignore(event)
            case MessagesSent() | RequestMade() | RequestCancelled() | RequestHandled():
                return self._rpc(event, now)
            case TimerFired(timer=timer) if timer is not Timer.ATTEMPT:
                return self._rpc(event, now)
            case TimerFired():
                return self.ignore(event)
            case ChannelOpened(channel=channel) if not self.opened >> channel & 1:
                after = replace(self, opened=self.opened | 1 << channel)
                return after._rpc(event, now) if channel == Channel.RPC else (after, [])
            case ChannelClosed(channel=Channel.AUTH):
                return self, []  # both sides close it now
            case ChannelClosed(channel=channel):
                # §6: the closing of any of channels 1–8 disconnects the peer, there and here
                return self.fail(Stage.CLOSED, "channel_closed", f"channel {channel} was closed")
            case TransportFailed(reason=reason, detail=detail, remote_fault=remote):
                return self.fail(Stage.CLOSED, reason, detail, Fault.PEER if remote else Fault.NONE)
        return self.otherwise(event)

    def _rpc(self, event: Event, now: float) -> Step:
        try:
            requests, effects = self.requests.on(event, now)
        except RemoteProtocolError as error:
            return self._breach(str(error))
        return (self if requests is self.requests else replace(self, requests=requests)), effects

    def _breach(self, detail: str) -> Step:
        return self.fail(Stage.CLOSED, "protocol_error", detail, Fault.PEER)
