"""An incoming connection: an offer was admitted, we answer it (protocol.md §4, §6).

    Init → AnswerSdpCreatePending → AnswerSdpCreateSuccess → AnswerReady → AnswerSendSuccess → FinalizePending
         → FinalizeSuccess → Success, or Error from any of them

Events: OfferReceived, AnswerSdpCreated, SdpFailed, OfferWithdrawn, AnswerSent, SignalingFailed; then those of
`finalize`. Effects: SetTimer, CreateAnswer, Respond; then those of `finalize`. The offer was checked by `admission`
before the attempt exists.
"""

from __future__ import annotations

from mina_webrtc.machines.finalize import FinalizePending
from mina_webrtc.machines.state import Passing, State, Step
from mina_webrtc.machines.vocab import (
    AnswerSdpCreated,
    AnswerSent,
    ChannelOpened,
    CreateAnswer,
    DtlsConnected,
    Effect,
    Event,
    Failure,
    Fault,
    IceConnected,
    MessageReceived,
    OfferReceived,
    OfferWithdrawn,
    Respond,
    SdpFailed,
    SetTimer,
    SignalingFailed,
    Stage,
    Timer,
)
from mina_webrtc.wire.auth import ConnectionAuth
from mina_webrtc.wire.sdp import Mark, mark_sdp
from mina_webrtc.wire.signal import Answer, P2pConnectionResponse

HUNG_UP = "hung_up"
"""The reason of an attempt whose asker did not wait for the answer."""


class Init(State, frozen=True):
    """The offer is admitted and nothing has been done yet. `usable` is the offer's SDP without unusable candidates."""

    usable: str
    mark: Mark | None

    @property
    def stage(self) -> Stage:
        return Stage.SIGNALING

    def on(self, event: Event, now: float) -> Step:
        link = self.link
        match event:
            case OfferReceived(signal=signal, offer=offer):
                timer = SetTimer(Timer.ATTEMPT, link.conn, 0, link.deadline)
                after = AnswerSdpCreatePending(link, signal, offer.sdp, self.mark)
                return after, [timer, CreateAnswer(link.conn, self.usable)]
        return self.otherwise(event)


class AnswerSdpCreatePending(State, frozen=True):
    """The transport gathers and makes our SDP; the exchange `signal` waits."""

    signal: int
    offer_sdp: str
    mark: Mark | None

    @property
    def stage(self) -> Stage:
        return Stage.GATHERING

    def on(self, event: Event, now: float) -> Step:
        match event:
            case AnswerSdpCreated(sdp=sdp):
                marked = mark_sdp(sdp)
                auth = ConnectionAuth.new(self.offer_sdp, marked)
                return AnswerSdpCreateSuccess(self.link, self.signal, marked, auth, self.mark), []
            case SdpFailed(remote=True, detail=detail):
                return self.fail(Stage.SIGNALING, "bad_sdp", detail, Fault.SOURCE)
            case SdpFailed(detail=detail):
                return self.fail(Stage.GATHERING, "sdp_failed", detail)
            case OfferWithdrawn():
                return self.fail(Stage.SIGNALING, HUNG_UP, "the offerer went away before our answer")
        return self.otherwise(event)

    def release(self, failure: Failure) -> list[Effect]:
        effects = State.release(self, failure)
        if failure.reason == HUNG_UP:
            return effects
        # §5: what cannot be read gets SignalDecryptionFailed; every other end of an admitted offer is our own trouble
        unreadable = failure.reason == "bad_sdp"
        make = P2pConnectionResponse.signal_decryption_failed if unreadable else P2pConnectionResponse.internal_error
        return [*effects, Respond(self.signal, make(), None)]


class AnswerSdpCreateSuccess(Passing, frozen=True):
    """Our SDP is there."""

    signal: int
    answer_sdp: str
    auth: ConnectionAuth
    mark: Mark | None

    @property
    def stage(self) -> Stage:
        return Stage.SIGNALING

    def enter(self) -> Step:
        link = self.link
        answer = Answer(sdp=self.answer_sdp, identity_pub_key=link.settings.public_key, target_peer_id=link.peer)
        respond = Respond(self.signal, P2pConnectionResponse.accepted(answer), link.conn)
        return AnswerReady(link, self.auth, self.mark), [respond]


class AnswerReady(State, frozen=True):
    """The answer is on its way out."""

    auth: ConnectionAuth
    mark: Mark | None

    @property
    def stage(self) -> Stage:
        return Stage.SIGNALING

    def on(self, event: Event, now: float) -> Step:
        match event:
            case AnswerSent():
                return AnswerSendSuccess(self.link, self.auth, self.mark), []
            case IceConnected() | DtlsConnected() | ChannelOpened() | MessageReceived(channel=0):
                # nobody connects who has not got our answer: it has left, whatever was reported first
                return AnswerSendSuccess(self.link, self.auth, self.mark, overtaken=event), []
            case SignalingFailed(reason=reason, detail=detail):
                return self.fail(Stage.SIGNALING, reason, detail)
        return self.otherwise(event)


class AnswerSendSuccess(Passing, frozen=True):
    """The answer has left."""

    auth: ConnectionAuth
    mark: Mark | None

    @property
    def stage(self) -> Stage:
        return Stage.SIGNALING

    def enter(self) -> Step:
        return FinalizePending.begin(self.link, self.auth, self.mark)
