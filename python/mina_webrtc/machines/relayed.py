"""We are asker or target: our offers that go through relays, and those that come through them (protocol.md §9).

Asker. A relay names targets, it cannot be asked for one: no message of channel 1 has a place for that. So when it names
somebody whom a dial through it waits for, the dial gets it; somebody else is made an offer while we want peers, and
refused otherwise. The attempt is an ordinary one (`outgoing`): its offer is sealed, waits here until the relay names
its target, and the attempt's own deadline ends the wait.

Target. An offer that comes through a relay is judged and answered like one over HTTP; the relay is its source. What the
offer claims must be what the relay says (§9), or it counts as one that cannot be read.

A relay that goes away ends every attempt that still needs it, on both sides. Through any one relay come at most
`max_through_relay` peers, found and offered together: whoever knows one relay only must not be surrounded by it.

No more relays are asked at a time than peers are missing. Each names one as soon as it can, and rests for a minute when
it is refused: if all were asked for the last few peers, none would be left to ask once these few have come to nothing.
"""

from __future__ import annotations

from collections import Counter
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from mina_webrtc.errors import BinProtError
from mina_webrtc.identity import PeerId, PublicKey
from mina_webrtc.machines.followers import Followers
from mina_webrtc.machines.introductions import Ready
from mina_webrtc.machines.polls import Polls
from mina_webrtc.machines.vocab import (
    AnswerSealed,
    AnswerSent,
    AttemptFailed,
    Effect,
    Event,
    Failure,
    Ignored,
    OfferOpened,
    OfferReceived,
    OfferRejected,
    OfferSent,
    OpenAnswer,
    OpenOffer,
    PeerClosed,
    PeerReady,
    Respond,
    SealAnswer,
    SendOffer,
    Settings,
    SignalingFailed,
    Stage,
)
from mina_webrtc.machines.words import AnswerCame, AnswerLeft, OfferCame, RelayAsks, TargetFound
from mina_webrtc.wire.address import DialAddress, Relayed
from mina_webrtc.wire.channels import Channel
from mina_webrtc.wire.signal import EncryptedAnswer, EncryptedOffer, P2pConnectionResponse, RejectionReason

Effects = list[Effect]

GONE = Failure(Stage.SIGNALING, "relay_gone", "the relay went away before the answer")

CAME = Failure(Stage.SIGNALING, "superseded", "the peer came by itself")


class Core(Ready, Protocol):
    """What `peers` can do for this component."""

    @property
    def missing(self) -> int:
        """How many peers are wanted beyond those that are ready or dialled; below 0 when there are more."""

    @property
    def has_room(self) -> bool: ...
    def ready_conn(self, peer: PeerId) -> int | None:
        """The connection of a ready peer."""

    def connecting(self, peer: PeerId) -> bool:
        """Whether there is a connection with the peer, ready or under way."""

    def approach(self, address: DialAddress, now: float) -> Effects:
        """Begins an attempt that nobody waits for, if there is room for it."""

    def give(self, event: Event, now: float) -> Effects:
        """An event of the core's own making."""

    def answerer(self, signal: int) -> int | None:
        """The attempt that answers the offer `signal`."""

    def cut(self, conn: int, failure: Failure, now: float) -> Effects:
        """Ends an attempt that is still at its signaling."""


class Bid(Struct, frozen=True):
    """Our attempt that goes through the relay on connection `relay`. `offer` is there once it is sealed; `named`: the
    relay has named its target and waits for us, or has the offer and we wait for the answer."""

    relay: int
    peer: PeerId
    offer: EncryptedOffer | None = None
    named: bool = False


class Came(Struct, frozen=True):
    """An offer that came through the relay on connection `relay`. `conn` is the attempt that answers it, if any."""

    relay: int
    offerer: PublicKey
    conn: int | None = None


class RelayedOffers:
    """The asker's and the target's side of all connections."""

    def __init__(self, settings: Settings, core: Core) -> None:
        self._core = core
        self._me = settings.public_key.peer_id
        self._limit = settings.max_through_relay
        self._bids: dict[int, Bid] = {}
        self._named: dict[int, int] = {}
        """Relay's connection → attempt."""
        self._came: dict[int, Came] = {}
        self._signal_of: dict[int, int] = {}
        """Relay's connection → the offer that we owe it an answer to."""
        self._next_signal = -1
        self._polls = Polls()
        self.stirred = False
        """Something has happened after which `tend` may find something to do."""
        self._through: dict[int, PeerId] = {}
        self._counts: Counter[PeerId] = Counter()

    def state(self) -> dict[str, int]:
        """Counts, for a snapshot."""
        return {
            "bids": len(self._bids),
            "named": len(self._named),
            "offers": len(self._came),
            "through": len(self._through),
            "seeking": self._polls.seeking,
        }

    def tend(self, now: float) -> Effects:
        """Takes up what relays have open for us, as far as we want it now. Called when everything that an event led to
        has been followed: until then a connection may be over that is still in the books here."""
        self.stirred = False
        effects: Effects = []
        for conn in list(self._polls.silent):
            if not self._core.has_room:
                break
            if not self._exhausted(conn):
                del self._polls.silent[conn]
                effects += self._core.change(conn, Channel.EXCHANGE, lambda part: part.poll())
        for conn in list(self._polls.asked):
            if self._core.missing <= self._polls.seeking:
                break
            if not self._exhausted(conn):
                effects += self._seek(conn, now)
        return effects

    def patience_over(self, now: float) -> Effects:
        """The SEEK timer fired: relays that have found nobody yet count no longer, others may be asked."""
        self._polls.forget(now)
        self.stirred = True
        return self._polls.arm()

    def gone(self, conn: int, now: float) -> Effects:
        """A connection is over, ready or not: what went through it ends, and so does what it was itself."""
        effects: Effects = []
        self._leave(conn)
        self._polls.drop(conn)
        bid = self._bids.pop(conn, None)
        if bid is not None and bid.named:
            del self._named[bid.relay]
            effects += self._core.change(bid.relay, Channel.DISCOVERY, lambda part: part.lapse())
        self._named.pop(conn, None)
        for attempt in [attempt for attempt, bid in self._bids.items() if bid.relay == conn]:
            del self._bids[attempt]
            effects += self._core.cut(attempt, GONE, now)
        signal = self._signal_of.pop(conn, None)
        came = None if signal is None else self._came.pop(signal)
        if came is not None and came.conn is not None:
            effects += self._core.cut(came.conn, GONE, now)
        return effects

    def _seek(self, conn: int, now: float) -> Effects:
        alone = self._polls.sought(conn, now)
        effects = self._core.change(conn, Channel.DISCOVERY, lambda part: part.seek())
        return effects + (self._polls.arm() if alone else [])

    def _exhausted(self, conn: int) -> bool:
        return self._counts[self._core.link(conn).peer] >= self._limit

    def _enter(self, conn: int, relay: PeerId) -> None:
        self._through[conn] = relay
        self._counts[relay] += 1

    def _leave(self, conn: int) -> None:
        relay = self._through.pop(conn, None)
        if relay is not None:
            self._counts[relay] -= 1
            if not self._counts[relay]:
                del self._counts[relay]

    # ------------------------------------------------------------ asker

    def objection(self, address: DialAddress) -> Failure | None:
        """Why this address cannot be dialled now."""
        if not isinstance(address.method, Relayed) or self._core.ready_conn(address.method.relay) is not None:
            return None
        return Failure(Stage.ADDRESS, "relay_not_connected", f"{address.method.relay} is no ready peer")

    def begun(self, conn: int, address: DialAddress, now: float) -> Effects:
        """Our attempt `conn` to `address` has begun; nothing for one that goes through no relay."""
        method = address.method
        relay = self._core.ready_conn(method.relay) if isinstance(method, Relayed) else None
        if relay is None:
            return []
        self._enter(conn, self._core.link(relay).peer)
        self._bids[conn] = Bid(relay, address.peer)
        return self._seek(relay, now) if relay in self._polls.asked else []

    def waits(self, conn: int) -> bool:
        """Whether our attempt `conn` waits for its relay to name the target."""
        bid = self._bids.get(conn)
        return bid is not None and not bid.named

    def asks(self, word: RelayAsks, now: float) -> Effects:
        """The relay would find us a peer."""
        self._polls.asked[word.conn] = None
        if any(bid.relay == word.conn and not bid.named for bid in self._bids.values()):
            return self._seek(word.conn, now)
        self.stirred = True
        return []

    def found(self, word: TargetFound, now: float) -> Effects:
        """The relay names a target: offer or refusal."""
        relay, peer = word.conn, word.target.peer_id
        self._polls.found(relay)
        effects: Effects = []
        conn = self._waiting(relay, peer)
        if conn is None and self._acceptable(relay, peer):
            effects = self._core.approach(DialAddress(peer, Relayed(self._core.link(relay).peer)), now)
            conn = self._waiting(relay, peer)
        if conn is None:
            return effects + self._core.change(relay, Channel.DISCOVERY, lambda part: part.decline())
        bid = self._bids[conn] = replace(self._bids[conn], named=True)
        self._named[relay] = conn
        return effects + (self._entrust(conn, bid.offer, now) if bid.offer is not None else [])

    def _waiting(self, relay: int, peer: PeerId) -> int | None:
        bids = self._bids.items()
        return next((conn for conn, bid in bids if (bid.relay, bid.peer, bid.named) == (relay, peer, False)), None)

    def _acceptable(self, relay: int, peer: PeerId) -> bool:
        if peer == self._me or self._core.connecting(peer):
            return False
        return self._core.missing > 0 and not self._exhausted(relay)

    def send(self, effect: SendOffer, now: float) -> Effects:
        """The offer of an attempt that goes through a relay is sealed."""
        offer = EncryptedOffer(effect.body)
        bid = self._bids[effect.conn] = replace(self._bids[effect.conn], offer=offer)
        return self._entrust(effect.conn, offer, now) if bid.named else []

    def _entrust(self, conn: int, offer: EncryptedOffer, now: float) -> Effects:
        relay = self._bids[conn].relay
        try:
            effects = self._core.change(relay, Channel.DISCOVERY, lambda part: part.entrust(offer))
        except BinProtError as error:
            return self._core.give(SignalingFailed(conn, "too_large", str(error)), now)
        return effects + self._core.give(OfferSent(conn), now)

    def answered(self, word: AnswerCame, now: float) -> Effects:
        """The relay brings the answer, or says that there will be none."""
        conn = self._named.pop(word.conn)
        bid = self._bids.pop(conn)
        if word.answer is None:
            return self._core.give(SignalingFailed(conn, "no_answer", "the relay got no answer from the peer"), now)
        return [OpenAnswer(conn, bid.peer.public_key, word.answer.data)]

    # ------------------------------------------------------------ target

    def offered(self, word: OfferCame, now: float) -> Effects:
        """An offer for us: it is opened first."""
        signal, self._next_signal = self._next_signal, self._next_signal - 1
        self._came[signal] = Came(word.conn, word.offerer)
        self._signal_of[word.conn] = signal
        return [OpenOffer(signal, word.offerer, word.offer.data)]

    def opened(self, event: OfferOpened, now: float) -> Effects:
        """What was in it: judged like any offer, with the relay as its source."""
        came = self._came.get(event.signal)
        if came is None:
            return [Ignored(0, "OfferOpened")]
        offer, relay = event.offer, self._core.link(came.relay).peer
        source, claimed = str(Relayed(relay)), came.offerer.peer_id
        if offer is None or offer.identity_pub_key != came.offerer:
            # §9: whoever swaps offers between askers is told what a relay that damages them is told
            unread = SealAnswer(event.signal, came.offerer, P2pConnectionResponse.signal_decryption_failed())
            return [unread, OfferRejected(source, claimed, "Undecryptable", True)]
        if self._exhausted(came.relay):
            full = P2pConnectionResponse.rejected(RejectionReason.PEER_CAPACITY_FULL)
            refusal = SealAnswer(event.signal, came.offerer, full)
            return [refusal, OfferRejected(source, claimed, "TooManyThroughRelay", False)]
        effects = self._core.give(OfferReceived(event.signal, offer, source, event.own_fingerprint), now)
        conn = self._core.answerer(event.signal)
        if conn is not None:
            self._came[event.signal] = replace(came, conn=conn)
            self._enter(conn, relay)
        return effects

    def respond(self, effect: Respond, now: float) -> Effects:
        """Our answer: it is sealed first."""
        came = self._came.get(effect.signal)
        return [] if came is None else [SealAnswer(effect.signal, came.offerer, effect.response)]

    def sealed(self, event: AnswerSealed, now: float) -> Effects:
        """Our answer goes to the relay; None when it cannot be sealed, because the offerer's key is no key (§2)."""
        came = self._came.get(event.signal)
        if came is None:
            return [Ignored(0, "AnswerSealed")]
        answer = None if event.sealed is None else EncryptedAnswer(event.sealed)
        try:
            return self._core.change(came.relay, Channel.EXCHANGE, lambda part: part.reply(answer))
        except BinProtError as error:
            effects = self._core.change(came.relay, Channel.EXCHANGE, lambda part: part.reply(None))
            failed = SignalingFailed(came.conn or 0, "too_large", str(error))
            return effects + (self._core.give(failed, now) if came.conn is not None else [])

    def left(self, word: AnswerLeft, now: float) -> Effects:
        """Our answer is on the wire, and the next offer may come."""
        signal = self._signal_of.pop(word.conn)
        came = self._came.pop(signal)
        effects = [] if came.conn is None else self._core.give(AnswerSent(came.conn), now)
        self._polls.silent[word.conn] = None
        self.stirred = True
        return effects

    # ------------------------------------------------------------ wiring

    def follow(self, followers: Followers) -> None:
        """Whose effects matter here."""
        followers.consume(RelayAsks, self.asks)
        followers.consume(TargetFound, self.found)
        followers.consume(AnswerCame, self.answered)
        followers.consume(OfferCame, self.offered)
        followers.consume(AnswerLeft, self.left)
        followers.add(SendOffer, self._sending)
        followers.add(Respond, self._responding)
        followers.add(PeerReady, self._joined)
        followers.add(PeerClosed, self._ended)
        followers.add(AttemptFailed, self._ended)

    def _sending(self, effect: SendOffer, now: float) -> tuple[bool, Effects]:
        relayed = isinstance(effect.method, Relayed)
        return not relayed, self.send(effect, now) if relayed else []

    def _responding(self, effect: Respond, now: float) -> tuple[bool, Effects]:
        relayed = effect.signal < 0
        return not relayed, self.respond(effect, now) if relayed else []

    def _joined(self, effect: PeerReady, now: float) -> tuple[bool, Effects]:
        self._polls.silent[effect.conn] = None
        self.stirred = True
        return True, self._unneeded(effect.peer, now)

    def _unneeded(self, peer: PeerId, now: float) -> Effects:
        """Ends what waits for a relay to name a peer that has come by itself."""
        waiting = [conn for conn, bid in self._bids.items() if bid.peer == peer and not bid.named]
        return [effect for conn in waiting for effect in self._core.cut(conn, CAME, now)]

    def _ended(self, effect: PeerClosed | AttemptFailed, now: float) -> tuple[bool, Effects]:
        self.stirred = True
        return True, self.gone(effect.conn, now)
