"""Channels 3 to 6 of a ready peer: best tips, transactions, snarks, commitments (protocol.md §7).

The peer asks (`feed`):   SILENT → ASKED → SILENT
We ask (`intake`):        SILENT → ASKED → COMING → HANDLING → ASKED; channel 3: ASKED → HANDLING

Both ASKED are open polls: legal waits without end. Who has announced items owes them (ITEMS). We ask again when every
item that came is done with, so a peer cannot make us hold more than one batch; and only when nothing of ours is unsent,
so that one that does not read cannot make us queue more. What waits for the peer's poll is encoded already, once for
all peers, and bounded: the oldest goes first, because propagation is a best effort.

Word: ItemCame.
"""

from __future__ import annotations

from enum import Enum
from typing import Self

from msgspec import Struct
from msgspec.structs import replace

from mina_webrtc.machines.part import Effects, Part, Stalled
from mina_webrtc.machines.vocab import CancelTimer, Expect, ItemsDropped, SetTimer, Timer
from mina_webrtc.machines.words import ItemCame
from mina_webrtc.wire.channels import Channel
from mina_webrtc.wire.messages import BestTip, GetItems, GetNext, Item, Message, WillSend, encode_message


class Spec(Struct, frozen=True):
    """What sets a channel apart. `single`: a poll gets one item, unannounced, and only the newest is worth sending."""

    item: type[BestTip] | type[Item]
    single: bool = False


SPECS = {
    Channel.BEST_TIP: Spec(BestTip, single=True),
    Channel.TRANSACTION: Spec(Item),
    Channel.SNARK: Spec(Item),
    Channel.SNARK_JOB_COMMITMENT: Spec(Item),
}


class Feed(Enum):
    """Where the peer stands, who gets items from us."""

    SILENT = "silent"
    ASKED = "asked"
    """It takes items. An open poll."""


class Intake(Enum):
    """Where we stand, who get items from the peer."""

    SILENT = "silent"
    """The application wants none."""
    ASKED = "asked"
    """We take items. An open poll."""
    COMING = "coming"
    """The peer has announced items and owes them."""
    HANDLING = "handling"
    """All are here, and not all are done with."""


class Queued(Struct, frozen=True):
    """An item that goes to peers: its id, and its message, encoded."""

    name: bytes
    payload: bytes


class Propagation(Part, frozen=True, kw_only=True):
    """Both directions of one of the four channels."""

    feed: Feed = Feed.SILENT
    limit: int = 0
    """Items that the peer's poll asks for."""
    queue: tuple[Queued, ...] = ()
    dropped: int = 0
    lagging: bool = False
    """Items were dropped since the queue was last empty."""
    intake: Intake = Intake.SILENT
    coming: int = 0
    """Announced, and not here yet."""
    pending: int = 0
    """Here, and not done with."""

    @property
    def spec(self) -> Spec:
        """What sets the channel apart."""
        return SPECS[self.channel]

    def heard(self, message: Message, now: float) -> tuple[Self, Effects]:
        spreading = self.link.settings.spreading
        match message:
            case GetNext() if self.feed is Feed.SILENT:
                return replace(self, feed=Feed.ASKED, limit=1)._turn()
            case GetItems(limit) if self.feed is Feed.SILENT and limit > 0:
                return replace(self, feed=Feed.ASKED, limit=limit)._turn()
            case WillSend(count) if self.intake is Intake.ASKED and 0 < count <= spreading.batch:
                timer = SetTimer(Timer.ITEMS, self.link.conn, self.channel, now + spreading.timeout)
                return replace(self, intake=Intake.COMING, coming=count), [timer]
            case Item(body) if self.intake is Intake.COMING:
                return self._came(body, CancelTimer(Timer.ITEMS, self.link.conn, self.channel))
            case BestTip(block) if self.intake is Intake.ASKED:
                return replace(self, coming=1)._came(block, Expect(self.link.conn, self.channel, False))
        raise self.unexpected(message)

    def expired(self, timer: Timer, now: float) -> tuple[Self, Effects]:
        if timer is Timer.ITEMS and self.intake is Intake.COMING:
            raise Stalled(f"{self.coming} announced items did not come on channel {self.channel.value}")
        return self.ignore("TimerFired")

    def emptied(self) -> tuple[Self, Effects]:
        return self._turn()

    def release(self) -> Effects:
        owed = self.intake is Intake.COMING
        return super().release() + ([CancelTimer(Timer.ITEMS, self.link.conn, self.channel)] if owed else [])

    # ------------------------------------------------------------ to the peer

    def offer(self, item: Queued) -> tuple[Self, Effects]:
        """An item for the peer, now or when it asks."""
        if self.spec.single:
            return replace(self, queue=(item,))._turn()
        over = len(self.queue) >= self.link.settings.spreading.max_queued
        queue = (*self.queue[over:], item)
        after, effects = replace(self, queue=queue, dropped=self.dropped + over, lagging=self.lagging or over)._turn()
        begins = over and not self.lagging
        return after, effects + ([ItemsDropped(self.link.conn, self.link.peer, self.channel)] if begins else [])

    def withdraw(self, name: bytes) -> tuple[Self, Effects]:
        """The peer has the item."""
        queue = tuple(item for item in self.queue if item.name != name)
        return (self if len(queue) == len(self.queue) else replace(self, queue=queue)), []

    # ------------------------------------------------------------ from the peer

    def poll(self) -> tuple[Self, Effects]:
        """The application wants items."""
        self.require(self.intake is Intake.SILENT, "poll")
        return self._ask()

    def done(self) -> tuple[Self, Effects]:
        """One of the items that came is done with, whatever became of it."""
        self.require(self.pending > 0, "done")
        return replace(self, pending=self.pending - 1)._turn()

    def _came(self, body: bytes, last: CancelTimer | Expect) -> tuple[Self, Effects]:
        coming = self.coming - 1
        intake = Intake.COMING if coming else Intake.HANDLING
        after = replace(self, intake=intake, coming=coming, pending=self.pending + 1)
        return after, [*([] if coming else [last]), ItemCame(self.link.conn, self.channel, body)]

    def _ask(self) -> tuple[Self, Effects]:
        if not self.spec.single:
            return self.say(GetItems(self.link.settings.spreading.batch), intake=Intake.ASKED)
        after, effects = self.say(GetNext(), intake=Intake.ASKED)
        # large messages are let through only while a poll is open
        return after, [Expect(self.link.conn, self.channel, True), *effects]

    # ------------------------------------------------------------ both

    def _turn(self) -> tuple[Self, Effects]:
        """What can be said now."""
        if self.unsent:
            return self, []
        after, effects = self._ask() if self.intake is Intake.HANDLING and not self.pending else (self, [])
        if after.feed is Feed.SILENT or not after.queue:
            return after, effects
        after, more = after._serve()
        return after, effects + more

    def _serve(self) -> tuple[Self, Effects]:
        items, rest = self.queue[: self.limit], self.queue[self.limit :]
        payloads = [item.payload for item in items]
        if not self.spec.single:
            payloads.insert(0, encode_message(self.channel, WillSend(len(items))))
        return self.push(payloads, feed=Feed.SILENT, limit=0, queue=rest, lagging=self.lagging and bool(rest))
