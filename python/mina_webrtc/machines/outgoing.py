"""An outgoing connection: we dial, offer, check the answer (protocol.md §4, §6).

    Init → OfferSdpCreatePending → OfferSdpCreateSuccess → OfferReady → OfferSendSuccess → AnswerRecvPending
         → AnswerRecvSuccess → FinalizePending → FinalizeSuccess → Success, or Error from any of them

Events: DialRequested, OfferSdpCreated, SdpFailed, OfferPrepared, OfferSent, AnswerReceived, SignalingFailed; then those
of `finalize`. Effects: SetTimer, CreateOffer, PrepareOffer, SendOffer, SetAnswer; then those of `finalize`.
"""

from __future__ import annotations

from mina_webrtc.errors import SdpError
from mina_webrtc.machines.finalize import FinalizePending
from mina_webrtc.machines.state import Attempt, Passing, State, Step
from mina_webrtc.machines.vocab import (
    AnswerReceived,
    CreateOffer,
    DialRequested,
    Event,
    Failure,
    Fault,
    OfferPrepared,
    OfferSdpCreated,
    OfferSent,
    PrepareOffer,
    SdpFailed,
    SendOffer,
    SetAnswer,
    SetTimer,
    SignalingFailed,
    Stage,
    Timer,
)
from mina_webrtc.wire.address import SignalingMethod
from mina_webrtc.wire.auth import ConnectionAuth
from mina_webrtc.wire.sdp import Mark, mark_sdp, read_sdp, usable_sdp
from mina_webrtc.wire.signal import Answer, Offer


class Init(State, frozen=True):
    """Nothing has been done yet."""

    @property
    def stage(self) -> Stage:
        return Stage.ADDRESS

    def on(self, event: Event, now: float) -> Step:
        link = self.link
        match event:
            case DialRequested(address=address):
                timer = SetTimer(Timer.ATTEMPT, link.conn, 0, link.deadline)
                return OfferSdpCreatePending(link, address.method), [timer, CreateOffer(link.conn)]
        return self.otherwise(event)


class OfferSdpCreatePending(State, frozen=True):
    """The transport gathers and makes our SDP."""

    method: SignalingMethod

    @property
    def stage(self) -> Stage:
        return Stage.GATHERING

    def on(self, event: Event, now: float) -> Step:
        link = self.link
        match event:
            case OfferSdpCreated(sdp=sdp):
                offer = _offer(link, mark_sdp(sdp))
                after = OfferSdpCreateSuccess(link, self.method, offer.sdp)
                return after, [PrepareOffer(link.conn, self.method, link.peer, offer)]
            case SdpFailed(detail=detail):
                return self.fail(Stage.GATHERING, "sdp_failed", detail)
        return self.otherwise(event)


class OfferSdpCreateSuccess(State, frozen=True):
    """The offer is being serialised."""

    method: SignalingMethod
    offer_sdp: str

    @property
    def stage(self) -> Stage:
        return Stage.SIGNALING

    def on(self, event: Event, now: float) -> Step:
        link = self.link
        match event:
            case OfferPrepared(body=body):
                # what the user named is dialled wherever it points; the policy of §5 is for addresses the network told
                learnt = link.known is not None and link.known.origin.foreign
                left = max(link.deadline - now, 0.0)
                send = SendOffer(link.conn, self.method, body, left, learnt)
                return OfferReady(link, self.offer_sdp), [send]
            case SignalingFailed(reason=reason, detail=detail):
                return self.fail(Stage.SIGNALING, reason, detail)
        return self.otherwise(event)


class OfferReady(State, frozen=True):
    """The offer is on its way out."""

    offer_sdp: str

    @property
    def stage(self) -> Stage:
        return Stage.SIGNALING

    def on(self, event: Event, now: float) -> Step:
        match event:
            case OfferSent():
                return OfferSendSuccess(self.link, self.offer_sdp), []
            case AnswerReceived():
                # an answer proves that the offer has left, whatever was reported first
                return OfferSendSuccess(self.link, self.offer_sdp, overtaken=event), []
            case SignalingFailed(reason=reason, detail=detail):
                return self.fail(Stage.SIGNALING, reason, detail)
        return self.otherwise(event)


class OfferSendSuccess(Passing, frozen=True):
    """The offer has left."""

    offer_sdp: str

    @property
    def stage(self) -> Stage:
        return Stage.SIGNALING

    def enter(self) -> Step:
        return AnswerRecvPending(self.link, self.offer_sdp), []


class AnswerRecvPending(State, frozen=True):
    """The peer owes its answer."""

    offer_sdp: str

    @property
    def stage(self) -> Stage:
        return Stage.SIGNALING

    def on(self, event: Event, now: float) -> Step:
        match event:
            case AnswerReceived():
                return self._examine(event)
            case SignalingFailed(reason=reason, detail=detail):
                return self.fail(Stage.SIGNALING, reason, detail)
        return self.otherwise(event)

    def _examine(self, event: AnswerReceived) -> Step:
        link, answer = self.link, event.response.answer
        if answer is None:
            reason = event.response.reason
            return self.fail(Stage.ANSWER, event.response.kind if reason is None else reason.value)
        failure = _objection(link, answer, event.own_fingerprint)
        if failure is not None:
            return self.end(failure)
        try:
            mark = read_sdp(answer.sdp).mark
            usable = usable_sdp(
                answer.sdp,
                allow_loopback=link.settings.allow_loopback,
                allow_link_local=link.settings.allow_link_local,
            )
        except SdpError as error:
            return self.fail(Stage.ANSWER, "bad_sdp", str(error), Fault.SOURCE)
        auth = ConnectionAuth.new(self.offer_sdp, answer.sdp)
        return AnswerRecvSuccess(link, auth, usable, mark), []


class AnswerRecvSuccess(Passing, frozen=True):
    """The answer is from whom we dialled, to us, and readable."""

    auth: ConnectionAuth
    answer_sdp: str
    mark: Mark | None

    @property
    def stage(self) -> Stage:
        return Stage.ANSWER

    def enter(self) -> Step:
        after, effects = FinalizePending.begin(self.link, self.auth, self.mark)
        return after, [SetAnswer(self.link.conn, self.answer_sdp), *effects]


def _offer(link: Attempt, sdp: str) -> Offer:
    settings = link.settings
    return Offer(
        sdp=sdp,
        chain_id=settings.chain_id,
        identity_pub_key=settings.public_key,
        target_peer_id=link.peer,
        host=settings.advertised_host,
        listen_port=settings.advertised_port,
    )


def _objection(link: Attempt, answer: Answer, own_fingerprint: bool) -> Failure | None:
    # protocol.md §6: the reference never checks this, so whoever controls its signaling path can answer in its place.
    # The fault is a source's: who answered is not known, least of all that it was the peer we dialled.
    if answer.identity_pub_key.peer_id != link.peer:
        return Failure(Stage.ANSWER, "wrong_identity", f"answered by {answer.identity_pub_key}", Fault.SOURCE)
    if answer.target_peer_id != link.settings.public_key.peer_id:
        return Failure(Stage.ANSWER, "wrong_target", f"an answer for {answer.target_peer_id}", Fault.SOURCE)
    if own_fingerprint:
        return Failure(Stage.ANSWER, "own_fingerprint", "the answer carries our own DTLS fingerprint", Fault.SOURCE)
    return None
