"""What a simulated application does with items: it broadcasts, names and judges them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from mina_webrtc.machines import vocab as v
from mina_webrtc.wire.channels import Channel

if TYPE_CHECKING:
    from mina_webrtc.testing.shell import SimNode

VERDICTS = {b"r": True, b"w": False, b"n": None}
"""What honest applications think of an item, by its first byte; anything else is wrong."""


def right(number: int) -> bytes:
    """An item that is handed on."""
    return b"r%d" % number


Judge = Callable[[Channel, bytes], tuple[float, bool | None]]
"""(channel, payload) → seconds until the judgement, and the judgement."""


def name_of(payload: bytes) -> bytes:
    """An item's id."""
    return blake2b(payload, digest_size=16).digest()


def approve(channel: Channel, payload: bytes) -> tuple[float, bool | None]:
    """Finds everything right at once."""
    return 0.0, True


class SimItems:
    """Those of one node."""

    def __init__(self, node: SimNode) -> None:
        self._node = node
        self.judge: Judge = approve
        self._placed = 0
        """How many peers the last broadcast goes to."""
        self.judged: set[tuple[Channel, bytes]] = set()
        """What the application was shown."""
        self._judging: set[int] = set()
        self.performers: dict[type[v.Effect], Callable[[Any], None]] = {
            v.NameItem: lambda effect: node.give(v.ItemNamed(effect.item, name_of(effect.payload))),
            v.HandleItem: self._handle,
            v.AbandonItem: lambda effect: self._judging.discard(effect.item),
            v.BroadcastPlaced: self._broadcast_placed,
        }

    def want(self, channels: Iterable[Channel]) -> None:
        """Asks for items."""
        for channel in channels:
            self._node.give(v.ItemsWanted(channel))

    def broadcast(self, channel: Channel, payload: bytes) -> int:
        """Sends an item to everybody, and returns how many they are."""
        self._placed = 0
        self._node.give(v.BroadcastMade(0, channel, name_of(payload), payload))
        return self._placed

    def _handle(self, effect: v.HandleItem) -> None:
        wait, verdict = self.judge(effect.channel, effect.payload)
        self._judging.add(effect.item)
        self.judged.add((effect.channel, effect.payload))
        self._node.network.clock.after(wait, self._judged, effect.item, verdict)

    def _judged(self, item: int, verdict: bool | None) -> None:
        if item in self._judging:
            self._judging.discard(item)
            self._node.give(v.ItemHandled(item, verdict))

    def _broadcast_placed(self, effect: v.BroadcastPlaced) -> None:
        self._placed = effect.peers
