"""The end that both directions share: ICE, DTLS, channel 0, and the proof of both identities (protocol.md §3, §6).

    FinalizePending → FinalizeSuccess → Success, or Error

Events: IceConnected, DtlsConnected, ChannelOpened, AuthSealed, MessagesSent, MessageReceived (channel 0), AuthOpened,
ChannelClosed, SdpFailed, TransportFailed. Effects: SealAuth, Send, OpenAuth, Admit, CloseChannel.

Neither side goes first, and nothing is waited for: our auth leaves as soon as channel 0 is open. The attempt has
succeeded when ours has left and theirs has passed.
"""

from __future__ import annotations

from enum import Enum

from msgspec.structs import replace

from mina_webrtc.machines.peer import Success
from mina_webrtc.machines.state import Attempt, State, Step
from mina_webrtc.machines.vocab import (
    Admit,
    AnswerSent,
    AuthOpened,
    AuthSealed,
    AuthVerdict,
    CancelTimer,
    ChannelClosed,
    ChannelOpened,
    CloseChannel,
    DtlsConnected,
    Effect,
    Event,
    Fault,
    IceConnected,
    MessageReceived,
    MessagesSent,
    OfferSent,
    OpenAuth,
    Progressed,
    SdpFailed,
    SealAuth,
    Send,
    SignalingFailed,
    Stage,
    Timer,
)
from mina_webrtc.wire.auth import ConnectionAuth
from mina_webrtc.wire.channels import Channel
from mina_webrtc.wire.sdp import Mark

LATE_OUTGOING: frozenset[type[Event]] = frozenset({OfferSent})
LATE_INCOMING: frozenset[type[Event]] = frozenset({AnswerSent, SignalingFailed})
"""Overtaken by the connection itself: whoever connects has our answer."""


class Ours(Enum):
    """How far our own auth is."""

    HELD = "held"
    SENT = "sent"
    LEFT = "left"


class Theirs(Enum):
    """How far the peer's auth is."""

    AWAITED = "awaited"
    EXAMINED = "examined"
    PASSED = "passed"


class FinalizePending(State, frozen=True):
    """The two are connecting and authenticating."""

    auth: ConnectionAuth
    mark: Mark | None
    ice: bool = False
    dtls: bool = False
    opened: int = 0
    """Bit n is set when channel n is open: 1–8 may open long before they are used."""
    closed: bool = False
    """The peer has closed channel 0, which it does as soon as it has what it needs (§6)."""
    sealed: bytes | None = None
    ours: Ours = Ours.HELD
    theirs: Theirs = Theirs.AWAITED

    @staticmethod
    def begin(link: Attempt, auth: ConnectionAuth, mark: Mark | None) -> Step:
        """Enters the state; our auth is sealed at once, so that it is ready when channel 0 opens."""
        return FinalizePending(link, auth, mark), [SealAuth(link.conn, link.key, auth)]

    @property
    def stage(self) -> Stage:
        if self.dtls:
            return Stage.AUTHENTICATION
        return Stage.DTLS if self.ice else Stage.ICE

    def on(self, event: Event, now: float) -> Step:
        match event:
            case IceConnected(path=path) if not self.ice:
                return replace(self, ice=True), [Progressed(self.link.conn, "ice", path)]
            case DtlsConnected() if not self.dtls:
                return replace(self, dtls=True), [Progressed(self.link.conn, "dtls")]
            case ChannelOpened(channel=channel) if not self.opened >> channel & 1:
                return self._opened(channel)
            case AuthSealed(sealed=sealed) if self.sealed is None:
                return replace(self, sealed=sealed)._send([])
            case MessagesSent(count=1) if self.ours is Ours.SENT:
                return replace(self, ours=Ours.LEFT)._finish()
            case MessageReceived(channel=Channel.AUTH, payload=payload):
                return self._received(payload)
            case AuthOpened(verdict=verdict):
                return self._judged(verdict, event)
            case ChannelClosed(channel=channel):
                return self._closed(channel)
            case SdpFailed(remote=remote, detail=detail) if self.link.outgoing:
                if remote:
                    return self.fail(Stage.ANSWER, "bad_sdp", detail, Fault.SOURCE)
                return self.fail(self.stage, "sdp_failed", detail)
            case IceConnected() | DtlsConnected() | ChannelOpened():
                return self.ignore(event)
        if type(event) in (LATE_OUTGOING if self.link.outgoing else LATE_INCOMING):
            return self.ignore(event)
        return self.otherwise(event)

    def _opened(self, channel: int) -> Step:
        after = replace(self, opened=self.opened | 1 << channel)
        if channel != Channel.AUTH:
            return after, []
        return after._send([Progressed(self.link.conn, "open")])

    def _send(self, effects: list[Effect]) -> Step:
        # §6: the reference waits 1 s here; sent at once it arrived there 20 times out of 20
        if self.sealed is None or not self.opened >> Channel.AUTH & 1 or self.closed:
            return self, effects
        return replace(self, ours=Ours.SENT), [*effects, Send(self.link.conn, Channel.AUTH, self.sealed)]

    def _received(self, payload: bytes) -> Step:
        if self.theirs is not Theirs.AWAITED:
            # §6: channel 0 carries one message each way and nothing else
            return self.fail(Stage.AUTHENTICATION, "second_message", "more than one message on channel 0", Fault.SOURCE)
        after = replace(self, theirs=Theirs.EXAMINED)
        return after, [OpenAuth(self.link.conn, self.link.key, self.auth, payload)]

    def _judged(self, verdict: AuthVerdict, event: AuthOpened) -> Step:
        if verdict is not AuthVerdict.PASSED:
            # also without a message of theirs: a small-order key can open nothing (§2)
            detail = "the peer did not prove its identity for these two SDPs"
            return self.fail(Stage.AUTHENTICATION, verdict.value, detail, Fault.SOURCE)
        if self.theirs is not Theirs.EXAMINED:
            return self.otherwise(event)
        return replace(self, theirs=Theirs.PASSED)._finish()

    def _closed(self, channel: int) -> Step:
        if channel != Channel.AUTH:
            return self.fail(self.stage, "channel_closed", f"channel {channel} was closed")
        if self.closed:
            return self.ignore(ChannelClosed(self.link.conn, channel))
        if self.ours is Ours.HELD or self.theirs is Theirs.AWAITED:
            return self.fail(Stage.AUTHENTICATION, "channel_closed", "channel 0 was closed before both had spoken")
        return replace(self, closed=True), []

    def _finish(self) -> Step:
        if self.ours is not Ours.LEFT or self.theirs is not Theirs.PASSED:
            return self, []
        return FinalizeSuccess(self.link, self.mark, self.opened, self.closed), [
            Progressed(self.link.conn, "authenticated")
        ]


class FinalizeSuccess(State, frozen=True):
    """Both identities are proven. Left within the same event, by the word of `peers`: `admit`, or `end` when there is
    no room or a better connection to the same peer (§4)."""

    mark: Mark | None
    opened: int
    closed: bool

    @property
    def stage(self) -> Stage:
        return Stage.READY

    def admit(self, now: float) -> tuple[Success, list[Effect]]:
        """The peer is ready."""
        conn = self.link.conn
        effects: list[Effect] = [CancelTimer(Timer.ATTEMPT, conn, 0), Admit(conn)]
        if not self.closed:
            effects.append(CloseChannel(conn, Channel.AUTH))
        after, more = Success.begin(self.link, self.mark, self.opened, now)
        return after, effects + more
