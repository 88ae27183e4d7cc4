"""Channel 2 of a ready peer: relayed offers come to us through it, and go through us to it (protocol.md §9).

The peer is the target (`post`):  SILENT → READY → PROMISED → DELIVERED → SILENT, or PROMISED → READY
The peer is the relay (`taker`):  SILENT → POLLED → OFFERED → SILENT

READY and POLLED are open polls. The target that has an offer owes the answer (EXCHANGED); one that takes too long is
LAPSED: the asker is told that there is no answer, and the late one is ignored. What we owe as the target has the
deadline of the attempt that answers.

Words: TargetReady, TargetAnswered; OfferCame, AnswerLeft.
"""

from __future__ import annotations

from enum import Enum
from typing import Self

from msgspec.structs import replace

from mina_webrtc.identity import PublicKey
from mina_webrtc.machines.part import Effects, Part
from mina_webrtc.machines.vocab import CancelTimer, Ignored, SetTimer, Timer
from mina_webrtc.machines.words import AnswerLeft, OfferCame, TargetAnswered, TargetReady
from mina_webrtc.wire.messages import GetNext, Message, OfferToYou, RelayedAnswer
from mina_webrtc.wire.signal import EncryptedAnswer, EncryptedOffer


class Post(Enum):
    """We are the relay: where the peer, a target, stands."""

    SILENT = "silent"
    READY = "ready"
    """It takes an offer. An open poll."""
    PROMISED = "promised"
    """An asker was told of it."""
    DELIVERED = "delivered"
    """It has the asker's offer and owes the answer."""
    LAPSED = "lapsed"
    """The same, but nobody waits for the answer any more."""


class Taker(Enum):
    """The peer is the relay, we are a target."""

    SILENT = "silent"
    POLLED = "polled"
    """We take an offer. An open poll."""
    OFFERED = "offered"
    """We have one and owe the answer."""
    ANSWERED = "answered"
    """The answer is not on the wire yet: no poll before that, so that who does not read cannot make us queue more."""


class Exchange(Part, frozen=True, kw_only=True):
    """Both roles on channel 2."""

    post: Post = Post.SILENT
    taker: Taker = Taker.SILENT

    def heard(self, message: Message, now: float) -> tuple[Self, Effects]:
        conn = self.link.conn
        match message:
            case GetNext() if self.post is Post.SILENT:
                return replace(self, post=Post.READY), [TargetReady(conn)]
            case RelayedAnswer(answer) if self.post is Post.DELIVERED:
                cancel = CancelTimer(Timer.EXCHANGED, conn, 0)
                return replace(self, post=Post.SILENT), [cancel, TargetAnswered(conn, answer)]
            case RelayedAnswer() if self.post is Post.LAPSED:
                return replace(self, post=Post.SILENT), [Ignored(conn, "RelayedAnswer")]
            case OfferToYou(offerer, offer) if self.taker is Taker.POLLED:
                return replace(self, taker=Taker.OFFERED), [OfferCame(conn, offerer, offer)]
        raise self.unexpected(message)

    def release(self) -> Effects:
        timer = [CancelTimer(Timer.EXCHANGED, self.link.conn, 0)] if self.post is Post.DELIVERED else []
        return [*self.lane.release(), *timer]

    # ------------------------------------------------------------ we are the relay

    def promise(self, given: bool) -> tuple[Self, Effects]:
        """An asker is told of the peer, or has made no offer after all."""
        self.require(self.post is (Post.READY if given else Post.PROMISED), "promise")
        return replace(self, post=Post.PROMISED if given else Post.READY), []

    def deliver(self, offerer: PublicKey, offer: EncryptedOffer, now: float) -> tuple[Self, Effects]:
        """The asker's offer, to be answered in time. Raises `BinProtError` for one that does not fit."""
        self.require(self.post is Post.PROMISED, "deliver")
        after, effects = self.say(OfferToYou(offerer, offer), post=Post.DELIVERED)
        timer = SetTimer(Timer.EXCHANGED, self.link.conn, 0, now + self.link.settings.relay_timeout)
        return after, [timer, *effects]

    def expired(self, timer: Timer, now: float) -> tuple[Self, Effects]:
        if timer is Timer.EXCHANGED and self.post is Post.DELIVERED:
            return replace(self, post=Post.LAPSED), [TargetAnswered(self.link.conn, None)]
        return self.ignore("TimerFired")

    # ------------------------------------------------------------ the peer is the relay

    def poll(self) -> tuple[Self, Effects]:
        """We take an offer."""
        self.require(self.taker is Taker.SILENT, "poll")
        return self.say(GetNext(), taker=Taker.POLLED)

    def reply(self, answer: EncryptedAnswer | None) -> tuple[Self, Effects]:
        """Our answer to the offer that came. Raises `BinProtError` for one that does not fit."""
        self.require(self.taker is Taker.OFFERED, "reply")
        return self.say(RelayedAnswer(answer), taker=Taker.ANSWERED)

    def emptied(self) -> tuple[Self, Effects]:
        if self.taker is not Taker.ANSWERED:
            return self, []
        return replace(self, taker=Taker.SILENT), [AnswerLeft(self.link.conn)]
