"""All peers: the root machine. Over the table of `connections` it decides what to begin: dials, offers, and the
upkeep of the network (protocol.md §4, §6).

Deterministic: the same events at the same times give the same effects.

Capacity: nobody above `max_peers`. An offer is admitted while ready peers and attempts of both directions, counted by
peer id, leave room, and looked at again when it is ready. A dial needs room beside ready peers and other dials only, so
that no flood of offers keeps us from dialling.

Both dial at once: the offer of the lesser peer id is rejected with `AlreadyConnected`, the other one connects, and both
dials succeed with it (`dials`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mina_webrtc.errors import AddressError
from mina_webrtc.identity import PeerId
from mina_webrtc.machines import incoming, outgoing
from mina_webrtc.machines.admission import Refusal, source_key
from mina_webrtc.machines.connections import BANNED, Connections
from mina_webrtc.machines.dials import undiallable
from mina_webrtc.machines.followers import Followers
from mina_webrtc.machines.gossip import Gossip, items
from mina_webrtc.machines.introductions import Introductions
from mina_webrtc.machines.keeping import Known
from mina_webrtc.machines.peer import Success
from mina_webrtc.machines.relayed import RelayedOffers
from mina_webrtc.machines.rpc import AnswerPeers
from mina_webrtc.machines.slots import Slot
from mina_webrtc.machines.state import Attempt
from mina_webrtc.machines.vocab import (
    AddressesGiven,
    AnswerSealed,
    BroadcastMade,
    CloseRequested,
    CompleteRequest,
    DialCancelled,
    DialFailed,
    DialRequested,
    DialSucceeded,
    Effect,
    Event,
    FailRequest,
    FailStream,
    Failure,
    Ignored,
    ItemHandled,
    ItemNamed,
    ItemsWanted,
    OfferOpened,
    OfferReceived,
    OfferRejected,
    OfferWithdrawn,
    RequestHandled,
    RequestMade,
    Respond,
    Settings,
    Stage,
    StreamAsked,
    Timer,
    TimerFired,
)
from mina_webrtc.wire.address import DialAddress, Http
from mina_webrtc.wire.messages import Rpc, decode_initial_peers, encode_initial_peers
from mina_webrtc.wire.signal import Offer

Effects = list[Effect]

STRANGE = frozenset({"OwnFingerprint", "BadSdp"})
"""Refusals for what no honest node offers: they count against the source."""


class Peers(Connections):
    """The core of one node. `on` raises `LocalProtocolError` for an event that cannot happen, and has changed nothing
    then."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._me = settings.public_key.peer_id
        self._followers = Followers()
        self._introductions = Introductions(settings, self)
        self._relayed = RelayedOffers(settings, self)
        self._gossip = Gossip(settings, self)
        for component in (self._introductions, self._relayed, self._gossip):
            component.follow(self._followers)
        self._own: dict[type[Event], Callable[[Any, float], Effects]] = {
            DialRequested: self._dial,
            DialCancelled: self._cancel,
            CloseRequested: self._close,
            OfferReceived: self._offer,
            OfferWithdrawn: self._withdraw,
            RequestMade: self._request,
            StreamAsked: self._request,
            AddressesGiven: lambda event, now: self._upkeep.given(event.known),
            TimerFired: self._timer,
            OfferOpened: self._relayed.opened,
            AnswerSealed: self._relayed.sealed,
            ItemsWanted: self._gossip.want,
            BroadcastMade: self._gossip.broadcast,
            ItemNamed: self._gossip.named,
            ItemHandled: self._gossip.handled,
        }

    def on(self, event: Event, now: float) -> Effects:
        """What is to be done about `event`; `now` in seconds on any clock that does not go back."""
        effects = self._followers.settle(self.give(event, now), now)
        while self._relayed.stirred or self._upkeep.stirred:
            tend = self._relayed.tend if self._relayed.stirred else self._tend
            effects += self._followers.settle(tend(now), now)
        return effects

    @property
    def has_room(self) -> bool:
        """Whether a peer more would be taken: what an offer that comes now is judged by."""
        return self._upkeep.has_room()

    @property
    def missing(self) -> int:
        """How many peers are wanted beyond those that are ready or dialled (§6). Offers of others do not count: as long
        as they are only claims, they must not keep us from looking further."""
        return self._upkeep.missing()

    def state(self) -> dict[str, Any]:
        """A plain snapshot, of public data only."""
        attempts, ready = [], []
        for conn, state in self._states.items():
            link = state.link
            entry = {"conn": conn, "peer": str(link.peer), "outgoing": link.outgoing}
            if isinstance(state, Success):
                requests = state.requests
                counts = {"asked": len(requests.asked), "asking": len(requests.asking)}
                counts |= items(state)
                streams = {"our_stream": state.streaming.asker.value, "their_stream": state.streaming.giver.value}
                ready.append({**entry, "marked": state.marked, **counts, **streams})
            else:
                attempts.append({**entry, "state": type(state).__name__, "source": link.source})
        return {
            "peer": str(self._me),
            "seed": self._settings.seed,
            "ready": ready,
            "attempts": attempts,
            "dials": len(self._dials),
            "offers_remembered": self._admission.remembered,
            "addresses": len(self._upkeep.known),
            **self._upkeep.scores.state(),
            "introductions": self._introductions.state(),
            "relayed": self._relayed.state(),
            "items": self._gossip.state(),
        }

    # ------------------------------------------------------------ for the components

    def give(self, event: Event, now: float) -> Effects:
        """An event, also of a component's making; its outcome is not followed yet."""
        handler = self._own.get(type(event))
        return self._pass(event, now) if handler is None else handler(event, now)

    def approach(self, address: DialAddress, now: float) -> Effects:
        """Begins an attempt that nobody waits for, if there is room for it."""
        failure = undiallable(address, self._me) or self._too_many() or self._no_room()
        slot = self._slots.get(address.peer) or Slot(address.peer)
        return [] if failure is not None or slot.outgoing is not None else self._attempt(slot, address, 0, now)

    def expel(self, peer: PeerId, failure: Failure, now: float) -> Effects:
        """Ends a ready peer's connection for its own fault; a peer that is gone by now is still blamed."""
        conn = self._ready.get(peer)
        if conn is None:
            return self._upkeep.breached(peer, now)
        effects: Effects = []
        self._end(conn, failure, effects, now)
        return effects

    # ------------------------------------------------------------ the application

    def _dial(self, event: DialRequested, now: float) -> Effects:
        address, peer = event.address, event.address.peer
        slot = self._slots.get(peer)
        if slot is not None and slot.ready is not None:
            slot.wanted = True
            return [DialSucceeded(event.dial, slot.ready, peer)]
        if self._upkeep.scores.banned(peer, now):
            return [DialFailed(event.dial, Failure(Stage.ADDRESS, "banned", BANNED))]
        if slot is not None and (slot.outgoing is not None or slot.given_way is not None):
            failure = self._too_many()
            if failure is None:
                self._dials.join(event.dial, slot)
            return [] if failure is None else [DialFailed(event.dial, failure)]
        failure = undiallable(address, self._me) or self._relayed.objection(address)
        failure = failure or self._too_many() or self._no_room()
        if failure is not None:
            return [DialFailed(event.dial, failure)]
        slot = slot or Slot(peer)
        self._dials.join(event.dial, slot)
        return self._attempt(slot, address, event.dial, now)

    def _attempt(self, slot: Slot, address: DialAddress, dial: int, now: float, known: Known | None = None) -> Effects:
        peer = address.peer
        self._slots[peer] = slot
        link = Attempt(
            conn=self._new_conn(),
            settings=self._settings,
            peer=peer,
            key=peer.public_key,
            outgoing=True,
            deadline=now + self._settings.outgoing_timeout,
            address=address,
            known=known,
        )
        slot.outgoing = self._dialled[peer] = link.conn
        effects = self._begin(outgoing.Init(link), DialRequested(dial, address), now)
        return effects + self._relayed.begun(link.conn, address, now)

    def _too_many(self) -> Failure | None:
        cap = self._settings.max_pending_outgoing
        if max(len(self._dials), len(self._dialled)) < cap:
            return None
        return Failure(Stage.ADDRESS, "too_many_pending", f"{cap} dials are under way")

    def _no_room(self) -> Failure | None:
        taken = self._upkeep.taken()
        if taken < self._settings.max_peers:
            return None
        return Failure(Stage.READY, "capacity", f"{taken} peers are connected or dialled")

    def _cancel(self, event: DialCancelled, now: float) -> Effects:
        slot = self._dials.leave(event.dial)
        if slot is None:
            return [Ignored(0, "DialCancelled")]
        self._upkeep.stirred = True
        if slot.dials:
            return []
        effects = self._dials.stop_waiting(slot)
        if slot.outgoing is not None:
            stage = self._states[slot.outgoing].stage
            self._end(slot.outgoing, Failure(stage, "cancelled", "nobody waits for the dial any more"), effects, now)
        self._forget(slot)
        return effects

    def _close(self, event: CloseRequested, now: float) -> Effects:
        slot = self._slots.get(event.peer)
        if slot is None:
            return [Ignored(0, "CloseRequested")]
        failure = Failure(Stage.CLOSED, "closed", "closed by the application")
        self._upkeep.stirred = True
        effects = self._dials.fail(slot, failure)
        for conn in (slot.ready, slot.outgoing, *slot.incoming):
            if conn is not None:
                self._end(conn, failure, effects, now)
        self._forget(slot)
        return effects

    def _request(self, event: RequestMade | StreamAsked, now: float) -> Effects:
        state = self._states.get(event.conn)
        if isinstance(state, Success):
            return self._pass(event, now)
        fail = FailRequest if isinstance(event, RequestMade) else FailStream
        if state is not None:
            return [fail(event.request, "not_ready")]
        self._stray(event, event.conn)
        return [fail(event.request, "closed")]

    # ------------------------------------------------------------ offers

    def _offer(self, event: OfferReceived, now: float) -> Effects:
        key = event.offer.identity_pub_key
        peer = key.peer_id
        slot = self._slots.get(peer)
        connected = slot is not None and self._stands(slot, event.source)
        full = slot is None and not self.has_room
        unwelcome = self._unwelcome(peer, event.source, now)
        verdict = self._admission.judge(event, connected=connected, full=full, unwelcome=unwelcome)
        if isinstance(verdict, Refusal):
            respond = Respond(event.signal, verdict.response, None, verdict.overloaded)
            fault = verdict.reason in STRANGE
            more = self._upkeep.offended(event.source, now) if fault else []
            return [respond, OfferRejected(event.source, peer, verdict.reason, verdict.bad), *more]
        effects = self._admission.enter(event, now)
        slot = self._slots.setdefault(peer, slot or Slot(peer))
        link = Attempt(
            conn=self._new_conn(),
            settings=self._settings,
            peer=peer,
            key=key,
            outgoing=False,
            deadline=now + self._settings.incoming_timeout,
            source=event.source,
            claim=_claim(event.offer, peer),
        )
        slot.incoming.append(link.conn)
        self._signals[event.signal] = link.conn
        return effects + self._begin(incoming.Init(link, verdict.usable, verdict.mark), event, now)

    def _unwelcome(self, peer: PeerId, source: str, now: float) -> str | None:
        if self._upkeep.scores.banned(peer, now):
            return "Banned"
        return "SourceBarred" if self._upkeep.scores.barred(source, now) else None

    def _stands(self, slot: Slot, source: str) -> bool:
        """Whether the offerer is connected or connecting already, and not to be given a second connection (§4).

        An attempt that only claims to be this peer, and from another address, is no connection of it: who posts forged
        offers in somebody's name does not keep that one out. Nor is an offer of ours that waits for a relay to name the
        peer: it may never go, because a relay introduces two once (§9), and may have named us to the peer.
        """
        if slot.peer > self._me:
            return False
        if slot.ready is not None or (slot.outgoing is not None and not self._relayed.waits(slot.outgoing)):
            return True
        mine = source_key(source)
        return any(source_key(self._states[conn].link.source or "") == mine for conn in slot.incoming)

    def _withdraw(self, event: OfferWithdrawn, now: float) -> Effects:
        conn = self._signals.get(event.signal)
        if conn is None:
            return [Ignored(0, "OfferWithdrawn")]
        return self._move(self._states[conn], event, now)

    def _timer(self, event: TimerFired, now: float) -> Effects:
        if event.timer is Timer.OFFER_MEMORY:
            return self._admission.forget(now)
        if event.timer is Timer.PAIRS:
            return self._introductions.forget(now)
        if event.timer is Timer.SEEK:
            return self._relayed.patience_over(now)
        if event.timer is Timer.ITEM_HANDLER:
            return self._gossip.expired(event.key, now)
        if event.timer is Timer.UPKEEP:
            self._upkeep.fired()
            return []
        if event.timer is not Timer.YIELD:
            return self._pass(event, now)
        slot = self._dials.waiting_with(event.conn)
        if slot is None:
            return self._stray(event, event.conn)
        self._upkeep.stirred = True
        effects = self._dials.reconsider(slot, now)
        self._forget(slot)
        return effects

    def _follow(self, state: Success, effects: Effects, now: float) -> None:
        self._answer_peers(state, effects, now)
        self._hear(state.link.conn, effects, now)

    def _answer_peers(self, state: Success, effects: Effects, now: float) -> None:
        for asked in [effect for effect in effects if type(effect) is AnswerPeers]:
            effects.remove(asked)
            addresses = self._upkeep.known.told_to(state.link.peer, self._settings.max_initial_peers)
            body = encode_initial_peers(addresses, self._settings.max_initial_peers)
            effects += self._pass(RequestHandled(asked.conn, asked.rpc_id, body), now)

    # ------------------------------------------------------------ upkeep

    def _tend(self, now: float) -> Effects:
        """Does what upkeep finds to be done after something has happened."""
        plan = self._upkeep.plan(now)
        effects: Effects = []
        if plan.drop is not None:
            self._end(plan.drop, Failure(Stage.CLOSED, "room", "dropped to make room for others"), effects, now)
        for known in plan.dial:
            if self._too_many() is None and self._no_room() is None:
                peer = known.address.peer
                slot, dial = self._slots.get(peer) or Slot(peer), -self._next_conn
                self._dials.join(dial, slot)
                effects += self._attempt(slot, known.address, dial, now, known)
        for conn in plan.ask:
            asked = self._pass(RequestMade(-conn, conn, Rpc.INITIAL_PEERS, b"", Rpc.INITIAL_PEERS.timeout), now)
            self._hear(conn, asked, now)
            effects += asked
        return effects + self._upkeep.arm(now)

    def _hear(self, conn: int, effects: Effects, now: float) -> None:
        """What became of upkeep's own question (its number is negative) to the peer."""
        for told in [effect for effect in effects if isinstance(effect, CompleteRequest | FailRequest)]:
            if told.request != -conn:
                continue
            effects.remove(told)
            if isinstance(told, FailRequest):
                self._upkeep.unheard(conn)
                continue
            found = [] if told.body is None else decode_initial_peers(told.body, self._settings.max_initial_peers)
            dialable = [address for address in found if isinstance(address, DialAddress)]
            effects += self._upkeep.heard(conn, dialable, now)


def _claim(offer: Offer, peer: PeerId) -> DialAddress | None:
    """Where an offer says that its sender is dialled (§4)."""
    if offer.listen_port is None:
        return None
    try:
        return DialAddress(peer, Http(offer.host, offer.listen_port))
    except AddressError:
        return None
