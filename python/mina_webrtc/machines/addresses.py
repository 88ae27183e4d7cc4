"""Addresses that may be handed on: those at which a peer authenticated to us (protocol.md §4)."""

from __future__ import annotations

from mina_webrtc.identity import PeerId
from mina_webrtc.wire.address import DialAddress


class AddressBook:
    """The newest address of each peer that we dialled and that became ready, newest first, at most `limit` told."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: dict[PeerId, DialAddress] = {}

    def __len__(self) -> int:
        return len(self._known)

    def record(self, address: DialAddress) -> None:
        """The peer at `address` has just authenticated."""
        self._known.pop(address.peer, None)
        self._known[address.peer] = address
        if len(self._known) > self._limit + 1:  # one more than told: an asker does not hear of itself
            del self._known[next(iter(self._known))]

    def told_to(self, asker: PeerId) -> list[DialAddress]:
        """What the asker may know."""
        newest = [address for peer, address in reversed(self._known.items()) if peer != asker]
        return newest[: self._limit]
