"""A relay's promises, as they show on the wire: a target is promised to one asker at a time, and has one offer at a
time (protocol.md §9)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mina_webrtc.machines import vocab as v
from mina_webrtc.wire.channels import Channel

if TYPE_CHECKING:
    from mina_webrtc.testing.shell import SimNode

DISCOVERED, REJECT, ACCEPT, ANSWER = 2, 3, 4, 5
"""First bytes on channel 1."""
OFFER, REPLY = 1, 2
"""First bytes on channel 2."""


class Promises:
    """One node as a relay. Each method returns what is wrong, or nothing."""

    def __init__(self, node: SimNode) -> None:
        self._node = node
        self._until: dict[bytes, float] = {}
        """By target: until when it is promised."""
        self._target_of: dict[int, bytes] = {}
        self._busy: set[int] = set()
        """Targets that have an offer, by connection."""

    def sent(self, effect: v.Send) -> str:
        """A message of the relay."""
        first, conn = effect.payload[0], effect.conn
        if effect.channel == Channel.DISCOVERY and first == DISCOVERED:
            return self._promise(conn, effect.payload[1:33])
        if effect.channel == Channel.DISCOVERY and first == ANSWER:
            self._end(conn)
        elif effect.channel == Channel.EXCHANGE and first == OFFER:
            if conn in self._busy:
                return f"two offers at once for the target on connection {conn}"
            self._busy.add(conn)
        return ""

    def heard(self, event: v.MessageReceived) -> None:
        """A message of a peer; the relay closes those that say what they may not."""
        if not event.payload:
            return
        first, conn = event.payload[0], event.conn
        if event.channel == Channel.DISCOVERY and first == REJECT:
            self._end(conn)
        elif event.channel == Channel.DISCOVERY and first == ACCEPT and conn in self._target_of:
            self._until[self._target_of[conn]] = float("inf")
        elif event.channel == Channel.EXCHANGE and first == REPLY:
            self._busy.discard(conn)

    def closed(self, effect: v.PeerClosed) -> None:
        """A peer is gone, as an asker and as a target."""
        self._end(effect.conn)
        self._until.pop(bytes(effect.peer), None)
        self._busy.discard(effect.conn)

    def _promise(self, asker: int, target: bytes) -> str:
        node = self._node
        if self._until.get(target, 0.0) > node.now:
            return f"a target was promised again, to the asker on connection {asker}"
        self._end(asker)
        self._until[target] = node.now + node.settings.relay_timeout
        self._target_of[asker] = target
        return ""

    def _end(self, asker: int) -> None:
        target = self._target_of.pop(asker, None)
        if target is not None:
            self._until.pop(target, None)
