"""Items as they show on the wire: nobody sends what was not asked for, and nobody gets or judges anything twice
(protocol.md §7, channels 3 to 6)."""

from __future__ import annotations

from mina_webrtc.errors import BinProtError
from mina_webrtc.machines import vocab as v
from mina_webrtc.wire.channels import Channel, Topic
from mina_webrtc.wire.messages import BestTip, GetItems, GetNext, Item, Message, WillSend, decode_message

CHANNELS = frozenset(topic.channel for topic in Topic)
Way = tuple[int, Channel]


class Polls:
    """One node. Methods return what is wrong, or nothing."""

    def __init__(self) -> None:
        self._ours: set[Way] = set()
        """Our open polls."""
        self._theirs: dict[Way, int] = {}
        """Those of peers, with their limits."""
        self._owed: dict[Way, int] = {}
        """Items that we have announced and not sent."""
        self._have: dict[int, set[bytes]] = {}
        """Messages with items that a peer sent or was sent, by connection."""
        self._judging: dict[int, tuple[Channel, bytes]] = {}
        self._judged: set[tuple[Channel, bytes]] = set()

    def sent(self, effect: v.Send) -> str:
        """A message of the node."""
        way = effect.conn, Channel(effect.channel)
        message = decode_message(way[1], effect.payload)
        match message:
            case GetNext() | GetItems():
                if way in self._ours:
                    return f"asked twice on channel {way[1]} of connection {effect.conn}"
                self._ours.add(way)
            case WillSend(count):
                limit = self._theirs.pop(way, 0)
                if not 0 < count <= limit or self._owed.get(way):
                    return f"{count} items announced on connection {effect.conn}, which asked for {limit}"
                self._owed[way] = count
            case BestTip():
                if not self._theirs.pop(way, 0):
                    return f"a best tip for connection {effect.conn}, which did not ask"
                return self._give(effect)
            case Item():
                if not self._owed.get(way):
                    return f"an item for connection {effect.conn} that was not announced"
                self._owed[way] -= 1
                return self._give(effect)
        return ""

    def heard(self, event: v.MessageReceived) -> None:
        """A message of a peer; the node closes those that say what they may not."""
        way = event.conn, Channel(event.channel)
        try:
            message: Message | None = decode_message(way[1], event.payload)
        except BinProtError:
            return
        match message:
            case GetNext():
                self._theirs[way] = 1
            case GetItems(limit):
                self._theirs[way] = limit
            case WillSend():
                self._ours.discard(way)
            case BestTip():
                self._ours.discard(way)
                self._have.setdefault(event.conn, set()).add(event.payload)
            case Item():
                self._have.setdefault(event.conn, set()).add(event.payload)

    def judging(self, effect: v.HandleItem) -> str:
        """The application is asked."""
        item = effect.channel, effect.payload
        if item in self._judged:
            return f"an item of channel {effect.channel} is judged twice"
        self._judged.add(item)
        self._judging[effect.item] = item
        return ""

    def judged(self, event: v.ItemHandled) -> None:
        """It has answered; who is refused may come again."""
        item = self._judging.pop(event.item, None)
        if item is not None and event.verdict is False:
            self._judged.discard(item)

    def closed(self, effect: v.PeerClosed) -> None:
        """A peer is gone."""
        conn = effect.conn
        self._have.pop(conn, None)
        for channel in CHANNELS:
            self._ours.discard((conn, channel))
            self._theirs.pop((conn, channel), None)
            self._owed.pop((conn, channel), None)

    def _give(self, effect: v.Send) -> str:
        have = self._have.setdefault(effect.conn, set())
        if effect.payload in have:
            return f"an item goes to connection {effect.conn}, which has it"
        have.add(effect.payload)
        return ""
