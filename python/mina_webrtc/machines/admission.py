"""Whether an offer gets a connection: the checks of protocol.md §4, in their order, before anything is opened.

An offer is an unsigned claim. So nothing here is held against the identity it names: pending attempts are counted by
source address, and what exists already is never disturbed by what is only claimed.
"""

from __future__ import annotations

from collections import Counter, deque
from ipaddress import IPv6Address, ip_address

from msgspec import Struct

from mina_webrtc.errors import SdpError
from mina_webrtc.identity import sdp_hash
from mina_webrtc.machines.vocab import Effect, OfferReceived, SetTimer, Settings, Timer
from mina_webrtc.wire.sdp import Mark, read_sdp, usable_sdp
from mina_webrtc.wire.signal import P2pConnectionResponse, RejectionReason

MEMORY = 1024
"""Offers remembered. Forgetting one early lets a replay of it have an attempt, which then fails to authenticate; it
takes 34 admitted offers a second for 30 s to get there."""


class Refusal(Struct, frozen=True):
    """Why not. `reason` is a word of `OfferRejected`."""

    reason: str
    response: P2pConnectionResponse
    bad: bool
    overloaded: bool = False


class Admitted(Struct, frozen=True):
    """What the attempt needs of the offer's SDP."""

    usable: str
    mark: Mark | None


def refuse(wire: RejectionReason, reason: str | None = None, *, overloaded: bool = False) -> Refusal:
    """A refusal with a wire's word; `reason` when ours is more exact."""
    bad = wire.is_bad or reason == "OwnFingerprint"
    return Refusal(reason or wire.value, P2pConnectionResponse.rejected(wire), bad, overloaded)


class Admission:
    """Counts and remembers what was admitted."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._me = settings.public_key.peer_id
        self._pending: Counter[str] = Counter()
        self._hashes: set[bytes] = set()
        self._order: deque[tuple[float, bytes]] = deque()

    @property
    def remembered(self) -> int:
        """Offers in memory."""
        return len(self._hashes)

    @property
    def pending(self) -> int:
        """Attempts admitted and not over."""
        return self._pending.total()

    def judge(self, event: OfferReceived, *, connected: bool, full: bool, unwelcome: str | None) -> Refusal | Admitted:
        """`connected`: a connection to the claimed peer exists, is under way, and is not to be replaced by this one.
        `full`: one peer more would be too many. `unwelcome`: why we have had enough of the peer or the source."""
        refusal = self._objection(event, connected, full, unwelcome)
        if refusal is not None:
            return refusal
        offer, settings = event.offer, self._settings
        try:
            mark = read_sdp(offer.sdp).mark
            usable = usable_sdp(
                offer.sdp, allow_loopback=settings.allow_loopback, allow_link_local=settings.allow_link_local
            )
        except SdpError:
            return Refusal("BadSdp", P2pConnectionResponse.signal_decryption_failed(), bad=True)
        if sdp_hash(offer.sdp) in self._hashes:
            return refuse(RejectionReason.ALREADY_CONNECTED, "Replayed")
        return Admitted(usable, mark)

    def _objection(self, event: OfferReceived, connected: bool, full: bool, unwelcome: str | None) -> Refusal | None:
        # the wire's order, §4; PeerIdAndPublicKeyMismatch cannot occur over HTTP, which names the offerer only once
        offer, settings = event.offer, self._settings
        if offer.chain_id != settings.chain_id:
            return refuse(RejectionReason.CHAIN_ID_MISMATCH)
        if offer.target_peer_id != self._me:
            return refuse(RejectionReason.TARGET_PEER_ID_NOT_ME)
        if offer.identity_pub_key == settings.public_key:
            return refuse(RejectionReason.CONNECTING_TO_SELF)
        if event.own_fingerprint:
            # §3: somebody joins us to ourselves under another's name
            return refuse(RejectionReason.CONNECTING_TO_SELF, "OwnFingerprint")
        if connected:
            return refuse(RejectionReason.ALREADY_CONNECTED)
        if full:
            return refuse(RejectionReason.PEER_CAPACITY_FULL)
        if unwelcome is not None:
            # a word that has a meaning for everybody, and does not tell an attacker when to change its address
            return refuse(RejectionReason.PEER_CAPACITY_FULL, unwelcome)
        if self.pending >= settings.max_pending_incoming:
            return refuse(RejectionReason.PEER_CAPACITY_FULL, "TooManyPending", overloaded=True)
        if self._pending[source_key(event.source)] >= settings.max_pending_per_source:
            return refuse(RejectionReason.PEER_CAPACITY_FULL, "TooManyFromSource", overloaded=True)
        return None

    def enter(self, event: OfferReceived, now: float) -> list[Effect]:
        """An attempt begins for this offer: it is counted, and its SDP remembered."""
        self._pending[source_key(event.source)] += 1
        hash_ = sdp_hash(event.offer.sdp)
        idle = not self._order
        self._hashes.add(hash_)
        self._order.append((now + self._settings.incoming_timeout, hash_))
        if len(self._order) > MEMORY:
            self._hashes.discard(self._order.popleft()[1])
        return self._arm() if idle else []

    def leave(self, source: str) -> None:
        """An attempt from `source` is over, or has become a peer."""
        key = source_key(source)
        self._pending[key] -= 1
        if not self._pending[key]:
            del self._pending[key]

    def forget(self, now: float) -> list[Effect]:
        """The OFFER_MEMORY timer fired: drops what is old enough."""
        while self._order and self._order[0][0] <= now:
            self._hashes.discard(self._order.popleft()[1])
        return self._arm()

    def _arm(self) -> list[Effect]:
        # one timer for all: the oldest goes first, as all are kept equally long
        return [SetTimer(Timer.OFFER_MEMORY, 0, 0, self._order[0][0])] if self._order else []


def source_key(source: str) -> str:
    """What is counted as one source: an IPv4 address, also a mapped one, or an IPv6 /64 (§4)."""
    try:
        address = ip_address(source)
    except ValueError:
        return source
    if not isinstance(address, IPv6Address):
        return source
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return address.packed[:8].hex()
