"""Channel 1 of a ready peer: it finds other peers for us, and we for it (protocol.md §9).

We are the relay (`guide`):   POLLED → WANTED → INTRODUCED → ENTRUSTED → POLLED, or INTRODUCED → RESTING → POLLED
The peer is the relay (`seeker`):  SILENT → ASKED → SEEKING → FOUND → ENTRUSTED → SILENT, or FOUND → SILENT

POLLED, WANTED, ASKED and SEEKING are open polls. Whoever owes an answer has a deadline: the peer that was told of a
target (DISCOVERED), we when we were told (the attempt that makes the offer), the relay that has our offer (the same
attempt). One that passes leads to LAPSED: nobody waits any more, and what still comes is taken politely.

Words: PeerWanted, Declined, OfferEntrusted; RelayAsks, TargetFound, AnswerCame.
"""

from __future__ import annotations

from enum import Enum
from typing import Self

from msgspec.structs import replace

from mina_webrtc.identity import PublicKey
from mina_webrtc.machines.part import Effects, Part
from mina_webrtc.machines.vocab import CancelTimer, Effect, SetTimer, Timer
from mina_webrtc.machines.words import AnswerCame, Declined, OfferEntrusted, PeerWanted, RelayAsks, TargetFound
from mina_webrtc.wire.messages import (
    Discover,
    Discovered,
    DiscoveredAccept,
    DiscoveredReject,
    GetNext,
    Message,
    RelayedAnswer,
)
from mina_webrtc.wire.signal import EncryptedAnswer, EncryptedOffer

FIRST_REST = 1 / 12
"""Of the longest rest, doubled by every further refusal."""
MANY = 8
"""Refusals in a row, after which the rest grows no longer."""


class Guide(Enum):
    """We are the relay: what the peer, who may ask, was told and has said."""

    POLLED = "polled"
    """"Do you want a peer?" An open poll."""
    WANTED = "wanted"
    """It does, and there is none for it yet."""
    INTRODUCED = "introduced"
    """It was told of a target and owes its word on it."""
    ENTRUSTED = "entrusted"
    """It gave us its offer; we owe the answer, and the target owes it us."""
    RESTING = "resting"
    """It refused the last one: it is not asked again for a while."""
    LAPSED = "lapsed"
    """It took too long over a target, which others may have now."""


class Seeker(Enum):
    """The peer is the relay: what we have asked of it."""

    SILENT = "silent"
    ASKED = "asked"
    """It would find us a peer, whenever we want one."""
    SEEKING = "seeking"
    """We want one. An open poll."""
    FOUND = "found"
    """It has found one, and we owe it an offer or a refusal."""
    ENTRUSTED = "entrusted"
    """It has our offer and owes the answer."""
    LAPSED = "lapsed"
    """The same, but nobody waits for the answer any more."""


class Discovery(Part, frozen=True, kw_only=True):
    """Both roles on channel 1."""

    guide: Guide = Guide.POLLED
    seeker: Seeker = Seeker.SILENT
    refusals: int = 0
    """Targets that the peer has refused since it last made an offer."""

    def begin(self) -> tuple[Self, Effects]:
        return self.say(GetNext())

    def heard(self, message: Message, now: float) -> tuple[Self, Effects]:
        match message:
            case GetNext() | Discovered() | RelayedAnswer():
                return self._of_relay(message)
            case _:
                return self._of_asker(message, now)

    def release(self) -> Effects:
        conn = self.link.conn
        timers = {Guide.INTRODUCED: Timer.DISCOVERED, Guide.RESTING: Timer.REST}
        armed: Effects = [CancelTimer(timers[self.guide], conn, 0)] if self.guide in timers else []
        return [*self.lane.release(), *armed]

    # ------------------------------------------------------------ we are the relay

    def introduce(self, target: PublicKey, now: float) -> tuple[Self, Effects]:
        """Tells the peer, which wants one, of a target."""
        self.require(self.guide is Guide.WANTED, "introduce")
        timer = self._timer(Timer.DISCOVERED, now + self.link.settings.relay_timeout)
        after, effects = self.say(Discovered(target), guide=Guide.INTRODUCED)
        return after, [timer, *effects]

    def answer(self, answer: EncryptedAnswer | None) -> tuple[Self, Effects]:
        """Passes the target's answer on, None for none; then the peer is asked again, at once (§9)."""
        self.require(self.guide in (Guide.ENTRUSTED, Guide.LAPSED), "answer")
        return self.say(RelayedAnswer(answer), GetNext(), guide=Guide.POLLED)

    def expired(self, timer: Timer, now: float) -> tuple[Self, Effects]:
        if timer is Timer.DISCOVERED and self.guide is Guide.INTRODUCED:
            return replace(self, guide=Guide.LAPSED), [Declined(self.link.conn)]
        if timer is Timer.REST and self.guide is Guide.RESTING:
            return self.say(GetNext(), guide=Guide.POLLED)
        return self.ignore("TimerFired")

    def _of_asker(self, message: Message, now: float) -> tuple[Self, Effects]:
        conn = self.link.conn
        match message, self.guide:
            case Discover(), Guide.POLLED:
                return replace(self, guide=Guide.WANTED), [PeerWanted(conn)]
            case DiscoveredReject(), Guide.INTRODUCED:
                return self._rest(now, [CancelTimer(Timer.DISCOVERED, conn, 0), Declined(conn)])
            case DiscoveredAccept(offer), Guide.INTRODUCED:
                effects: Effects = [CancelTimer(Timer.DISCOVERED, conn, 0), OfferEntrusted(conn, offer)]
                return replace(self, guide=Guide.ENTRUSTED, refusals=0), effects
            case DiscoveredReject(), Guide.LAPSED:
                return self._rest(now, [])
            case DiscoveredAccept(), Guide.LAPSED:
                return self.answer(None)
        raise self.unexpected(message)

    def _rest(self, now: float, effects: Effects) -> tuple[Self, Effects]:
        # §9: it may be connected to this target already and still want others, so the first rest is a short one
        rest = self.link.settings.relay_rest
        wait = min(rest * FIRST_REST * 2.0**self.refusals, rest)
        after = replace(self, guide=Guide.RESTING, refusals=min(self.refusals + 1, MANY))
        return after, [*effects, self._timer(Timer.REST, now + wait)]

    # ------------------------------------------------------------ the peer is the relay

    def seek(self) -> tuple[Self, Effects]:
        """Takes up the relay's poll: we want a peer."""
        self.require(self.seeker is Seeker.ASKED, "seek")
        return self.say(Discover(), seeker=Seeker.SEEKING)

    def decline(self) -> tuple[Self, Effects]:
        """No offer for the target that the relay has found."""
        self.require(self.seeker is Seeker.FOUND, "decline")
        return self.say(DiscoveredReject(), seeker=Seeker.SILENT)

    def entrust(self, offer: EncryptedOffer) -> tuple[Self, Effects]:
        """Our offer for the target that the relay has found. Raises `BinProtError` for one that does not fit."""
        self.require(self.seeker is Seeker.FOUND, "entrust")
        return self.say(DiscoveredAccept(offer), seeker=Seeker.ENTRUSTED)

    def lapse(self) -> tuple[Self, Effects]:
        """Nobody waits any more: what the relay still owes is ignored, what we owe is refused."""
        if self.seeker is Seeker.FOUND:
            return self.decline()
        return (replace(self, seeker=Seeker.LAPSED) if self.seeker is Seeker.ENTRUSTED else self), []

    def _of_relay(self, message: Message) -> tuple[Self, Effects]:
        conn = self.link.conn
        match message, self.seeker:
            case GetNext(), Seeker.SILENT:
                return replace(self, seeker=Seeker.ASKED), [RelayAsks(conn)]
            case Discovered(target), Seeker.SEEKING:
                return replace(self, seeker=Seeker.FOUND), [TargetFound(conn, target)]
            case RelayedAnswer(answer), Seeker.ENTRUSTED:
                return replace(self, seeker=Seeker.SILENT), [AnswerCame(conn, answer)]
            case RelayedAnswer(), Seeker.LAPSED:
                return replace(self, seeker=Seeker.SILENT).ignore("RelayedAnswer")
        raise self.unexpected(message)

    def _timer(self, timer: Timer, at: float) -> Effect:
        return SetTimer(timer, self.link.conn, 0, at)
