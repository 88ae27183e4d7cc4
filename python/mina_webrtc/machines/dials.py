"""The callers of `dial`, and what they wait for when both sides dial at once (protocol.md §4).

A caller waits for its peer, not for one connection: whichever becomes ready first answers it. When our own attempt ends
while the peer's own may still connect us, the dial *gives way*: it waits for that, at longest until its own deadline.

Upkeep's own dials have negative numbers: they keep an attempt alive as a caller does, and nobody is told how they end.
"""

from __future__ import annotations

from mina_webrtc.errors import KeyFormatError, LocalProtocolError
from mina_webrtc.identity import PeerId
from mina_webrtc.machines.slots import GivenWay, Slot
from mina_webrtc.machines.state import Attempt
from mina_webrtc.machines.vocab import CancelTimer, DialFailed, DialSucceeded, Effect, Failure, SetTimer, Stage, Timer
from mina_webrtc.wire.address import DialAddress, Relayed
from mina_webrtc.wire.signal import RejectionReason

Effects = list[Effect]


class Dials:
    """Who waits, and for which peer."""

    def __init__(self, yield_timeout: float) -> None:
        self._yield_timeout = yield_timeout
        self._slots: dict[int, Slot] = {}
        self._given_way: dict[int, Slot] = {}

    def __len__(self) -> int:
        return len(self._slots)

    def join(self, dial: int, slot: Slot) -> None:
        """`dial` waits for the slot's peer. Raises `LocalProtocolError` when it waits already."""
        if dial in self._slots:
            raise LocalProtocolError(f"dial {dial} was requested twice")
        self._slots[dial] = slot
        slot.dials.append(dial)
        slot.wanted = True

    def leave(self, dial: int) -> Slot | None:
        """The caller went away: its slot, None when the dial was answered before."""
        slot = self._slots.pop(dial, None)
        if slot is not None:
            slot.dials.remove(dial)
        return slot

    def succeed(self, slot: Slot, conn: int) -> Effects:
        """The slot's peer is ready on `conn`."""
        waiting = self._take(slot)
        return [*self.stop_waiting(slot), *(DialSucceeded(dial, conn, slot.peer) for dial in waiting if dial > 0)]

    def fail(self, slot: Slot, failure: Failure) -> Effects:
        """There is no connection to the slot's peer, and none under way."""
        waiting = self._take(slot)
        return [*self.stop_waiting(slot), *(DialFailed(dial, failure) for dial in waiting if dial > 0)]

    def attempt_over(self, slot: Slot, link: Attempt, failure: Failure, now: float) -> Effects:
        """Our own attempt to the slot's peer has ended: its callers fail, or give way."""
        if not slot.dials:
            return []
        until = now
        # §4: a greater peer that is connected to nobody of our name says this because it dials us: its offer is coming
        refused = failure.stage is Stage.ANSWER and failure.reason == RejectionReason.ALREADY_CONNECTED.value
        if refused and slot.peer > link.settings.public_key.peer_id:
            until = min(now + self._yield_timeout, link.deadline)
        slot.given_way = GivenWay(link.conn, failure, until, link.deadline)
        self._given_way[link.conn] = slot
        return self.reconsider(slot, now)

    def reconsider(self, slot: Slot, now: float) -> Effects:
        """The time is up, or an attempt of the slot's peer has ended: how long do those still wait that gave way?"""
        way = slot.given_way
        if way is None:
            return []
        until = way.deadline if slot.incoming else way.until
        if until <= now:
            return self.fail(slot, way.failure)
        return [SetTimer(Timer.YIELD, way.conn, 0, until)]

    def waiting_with(self, conn: int) -> Slot | None:
        """The slot whose dial `conn` gave way."""
        return self._given_way.get(conn)

    def stop_waiting(self, slot: Slot) -> Effects:
        """Nobody waits any more for what the dial gave way to."""
        way = slot.given_way
        if way is None:
            return []
        slot.given_way = None
        del self._given_way[way.conn]
        return [CancelTimer(Timer.YIELD, way.conn, 0)]

    def _take(self, slot: Slot) -> list[int]:
        waiting, slot.dials = slot.dials, []
        for dial in waiting:
            del self._slots[dial]
        return waiting


def undiallable(address: DialAddress, me: PeerId) -> Failure | None:
    """Why this address cannot be dialled by this node, whatever its peer does."""
    if address.peer == me:
        return Failure(Stage.ADDRESS, "self", "the address names this node itself")
    if isinstance(address.method, Relayed) and address.method.relay in (me, address.peer):
        return Failure(Stage.ADDRESS, "bad_relay", "the relay is a third peer, neither this node nor the target")
    try:
        address.peer.public_key  # noqa: B018  # a peer id's text is not checked against the curve, §1
    except KeyFormatError as error:
        return Failure(Stage.ADDRESS, "invalid_peer_id", str(error))
    return None
