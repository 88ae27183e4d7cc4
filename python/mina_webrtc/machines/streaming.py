"""Channel 8 of a ready peer: the staged ledger in parts, in both directions (protocol.md §7).

We ask (`asker`):       SILENT → OWED → HELD → OWED → … → SILENT, or to LAPSED on the way, until the peer is through
The peer asks (`giver`):  SILENT → PRODUCING → SENT → PRODUCING → … → SILENT, or SENT → QUEUED → PRODUCING

A part that is OWED has a deadline. HELD is an open wait: the next part is asked for when the application wants it, so
who reads slowly holds one part. The wire has no word for giving up: a stream that nobody waits for any more is LAPSED,
counts against the limit of one, and its parts are asked for and ignored until it ends; for each the peer has a longer
deadline, after which the connection ends.

The application's producer is pulled when the peer asks and everything before is on the wire: neither a peer that does
not ask nor one that does not read makes us hold more than one part. Both have a deadline, and so has the producer; a
stream that we end says so with `None`, and what the peer asked meanwhile is ignored.

Events: StreamAsked, PartWanted, StreamCancelled, PartMade, and those of every part. Effects: DeliverPart, FailStream,
OpenStream, PullPart, CloseStream, Expect, Send, timers.
"""

from __future__ import annotations

from enum import Enum
from typing import Self

from msgspec import Struct
from msgspec.structs import replace

from mina_webrtc.errors import BinProtError, RemoteProtocolError
from mina_webrtc.machines.channel import Clear
from mina_webrtc.machines.part import Effects, Stalled
from mina_webrtc.machines.part import Part as Machine
from mina_webrtc.machines.vocab import (
    CancelTimer,
    CloseStream,
    DeliverPart,
    Event,
    Expect,
    FailStream,
    Ignored,
    OpenStream,
    PartMade,
    PartWanted,
    PullPart,
    SetTimer,
    StreamAsked,
    StreamCancelled,
    Timer,
)
from mina_webrtc.wire.channels import Channel
from mina_webrtc.wire.messages import (
    Message,
    Part,
    PartKind,
    StreamNext,
    StreamRequest,
    StreamResponse,
    encode_message,
)

FIRST_ID = 1


class Course(Struct, frozen=True):
    """How far a stream has come: the kind of its next part, and how many trees follow, once that is known."""

    kind: PartKind = PartKind.BASE
    trees: int = 0

    def after(self, part: Part, most: int) -> Course:
        """With one part more. Raises `BinProtError` for one that does not come here, and for more trees than `most`."""
        if part.kind is not self.kind or self.over:
            raise BinProtError(f"a part {part.kind.name} in the place of {'nothing' if self.over else self.kind.name}")
        if part.kind is PartKind.SCAN_STATE_TREE:
            return Course(part.kind, self.trees - 1)
        trees = self.trees
        if part.trees is not None:
            trees = part.trees
            if not 0 < trees <= most:
                raise BinProtError(f"a scan state of {trees} trees, which are 1 to {most}")
        return Course(PartKind(part.kind + 1), trees)

    @property
    def over(self) -> bool:
        """Whether the last part has come."""
        return self.kind is PartKind.SCAN_STATE_TREE and not self.trees


START = Course()


class Asker(Enum):
    """We ask: where our stream stands."""

    SILENT = "silent"
    OWED = "owed"
    """The peer owes a part."""
    HELD = "held"
    """The application has a part and has not asked for the next one."""
    LAPSED = "lapsed"
    """The peer owes a part that nobody waits for."""


class Giver(Enum):
    """The peer asks: where its stream stands."""

    SILENT = "silent"
    QUEUED = "queued"
    """It wants a part, and what we sent before is not on the wire yet."""
    PRODUCING = "producing"
    """The application owes the part."""
    SENT = "sent"
    """It has the part, or soon will, and has not asked for the next one."""
    ENDING = "ending"
    """We ended the stream, which is said once everything before is on the wire."""


class Streaming(Machine, frozen=True, kw_only=True):
    """Both roles on channel 8. `request` and `timeout` are those of the caller, `id` is that of our last request."""

    asker: Asker = Asker.SILENT
    id: int = FIRST_ID - 1
    request: int = 0
    timeout: float = 0.0
    came: Course = START
    giver: Giver = Giver.SILENT
    theirs: int = -1
    """The id of the peer's last request."""
    gone: Course = START
    crossing: bool = False
    """The peer may have asked for a part more before it learnt that we ended the stream."""

    def on(self, event: Event, now: float) -> tuple[Self, Effects]:
        match event:
            case StreamAsked():
                return self._ask(event, now)
            case PartWanted(request=request):
                return self._want(request, now)
            case StreamCancelled(request=request):
                return self._cancel(request, now)
            case PartMade(stream=stream, part=part):
                return self._made(stream, part, now)
        after, effects = super().on(event, now)
        return (after, effects) if after.unsent or not self.unsent else after._emptied(effects, now)

    def heard(self, message: Message, now: float) -> tuple[Self, Effects]:
        match message:
            case StreamResponse(id_, part) if self.asker is not Asker.SILENT and id_ == self.id:
                return self._ended() if part is None else self._came(message, part, now)
            case StreamRequest(id_, state_hash):
                return self._asked(id_, state_hash, now)
            case StreamNext(id_) if id_ == self.theirs and self.giver is Giver.SENT:
                return self._turn(now)
            case StreamNext(id_) if id_ == self.theirs and self.crossing:
                return replace(self, crossing=False), [Ignored(self.link.conn, "StreamNext")]
        raise self.unexpected(message)

    def expired(self, timer: Timer, now: float) -> tuple[Self, Effects]:
        match timer:
            case Timer.STREAM_PART if self.asker is Asker.OWED:
                return replace(self, asker=Asker.LAPSED), [self._patience(now), FailStream(self.request, "timeout")]
            case Timer.STREAM_PART if self.asker is Asker.LAPSED:
                raise Stalled(f"no part {self.came.kind.name} of stream {self.id} has come")
            case Timer.STREAM_MADE if self.giver is Giver.PRODUCING:
                return self._end(f"no part within {self.link.settings.handler_timeout:g} s")
            case Timer.STREAM_NEXT if self.giver in (Giver.SENT, Giver.QUEUED):
                return replace(self, crossing=self.giver is Giver.SENT)._end()
        return self.ignore("TimerFired")

    def release(self) -> Effects:
        effects = self.lane.release()
        if self.asker in (Asker.OWED, Asker.LAPSED):
            effects.append(self._disarm(Timer.STREAM_PART))
        if self.asker in (Asker.OWED, Asker.HELD):
            effects.append(FailStream(self.request, "closed"))
        if self.giver is Giver.PRODUCING:
            effects.append(self._disarm(Timer.STREAM_MADE))
        elif self.giver in (Giver.SENT, Giver.QUEUED):
            effects.append(self._disarm(Timer.STREAM_NEXT))
        if self.giver not in (Giver.SILENT, Giver.ENDING):
            effects.append(CloseStream(self.link.conn, self.theirs))
        return effects

    def _disarm(self, timer: Timer) -> CancelTimer:
        return CancelTimer(timer, self.link.conn, 0)

    def _arm(self, timer: Timer, at: float) -> SetTimer:
        return SetTimer(timer, self.link.conn, 0, at)

    def _patience(self, now: float) -> SetTimer:
        return self._arm(Timer.STREAM_PART, now + self.link.settings.stalled)

    # ------------------------------------------------------------ ours

    def _ask(self, event: StreamAsked, now: float) -> tuple[Self, Effects]:
        if self.asker is not Asker.SILENT:
            return self, [FailStream(event.request, "too_many_requests")]
        id_ = self.id + 1
        try:
            payload = encode_message(Channel.STREAMING, StreamRequest(id_, event.state_hash))
        except BinProtError as error:
            return self, [FailStream(event.request, "bad_request", str(error))]
        # the peer owes nothing while the request still waits here
        wait = event.timeout if isinstance(self.lane, Clear) else event.timeout + self.lane.way.caution
        after = replace(self, id=id_, request=event.request, timeout=event.timeout, came=START)
        after, effects = after.push([payload], asker=Asker.OWED)
        return after, [self._arm(Timer.STREAM_PART, now + wait), self._expect(True), *effects]

    def _want(self, request: int, now: float) -> tuple[Self, Effects]:
        if self.asker is not Asker.HELD or request != self.request:
            return self.ignore("PartWanted")
        after, effects = self.say(StreamNext(self.id), asker=Asker.OWED)
        return after, [self._arm(Timer.STREAM_PART, now + self.timeout), self._expect(True), *effects]

    def _cancel(self, request: int, now: float) -> tuple[Self, Effects]:
        if self.asker not in (Asker.OWED, Asker.HELD) or request != self.request:
            return self.ignore("StreamCancelled")
        if self.asker is Asker.OWED:
            return replace(self, asker=Asker.LAPSED), [self._patience(now)]
        after, effects = self.say(StreamNext(self.id), asker=Asker.LAPSED)
        return after, [self._patience(now), self._expect(True), *effects]

    def _came(self, message: Message, part: Part, now: float) -> tuple[Self, Effects]:
        if self.asker is Asker.HELD:
            raise self.unexpected(message)  # §7: each part is asked for
        try:
            came = self.came.after(part, self.link.settings.max_trees)
        except BinProtError as error:
            raise RemoteProtocolError(str(error)) from error
        if self.asker is Asker.OWED:
            after = replace(self, came=came, asker=Asker.SILENT if came.over else Asker.HELD)
            told = DeliverPart(self.request, part, came.over)
            return after, [self._disarm(Timer.STREAM_PART), self._expect(False), told]
        ignored = Ignored(self.link.conn, "StreamResponse")
        if came.over:
            over = [self._disarm(Timer.STREAM_PART), self._expect(False)]
            return replace(self, came=came, asker=Asker.SILENT), [*over, ignored]
        after, effects = self.say(StreamNext(self.id), came=came)
        return after, [self._patience(now), ignored, *effects]

    def _ended(self) -> tuple[Self, Effects]:
        """The peer has nothing, or nothing more."""
        after = replace(self, asker=Asker.SILENT)
        if self.asker is Asker.LAPSED:
            over = [self._disarm(Timer.STREAM_PART), self._expect(False)]
            return after, [*over, Ignored(self.link.conn, "StreamResponse")]
        if self.came == START:
            told: DeliverPart | FailStream = DeliverPart(self.request, None, True)
        else:
            told = FailStream(self.request, "ended", f"the peer ended the stream before {self.came.kind.name}")
        owed = [self._disarm(Timer.STREAM_PART), self._expect(False)] if self.asker is Asker.OWED else []
        return after, [*owed, told]

    def _expect(self, large: bool) -> Expect:
        return Expect(self.link.conn, Channel.STREAMING, large)

    # ------------------------------------------------------------ theirs

    def _asked(self, id_: int, state_hash: bytes, now: float) -> tuple[Self, Effects]:
        if self.giver is not Giver.SILENT:
            raise RemoteProtocolError(f"stream {id_} while stream {self.theirs} is open")
        if id_ <= self.theirs:
            raise RemoteProtocolError(f"stream id {id_} after {self.theirs}: ids never repeat, they grow")
        after, effects = replace(self, theirs=id_, gone=START, crossing=False)._turn(now)
        return after, [OpenStream(self.link.conn, self.link.peer, id_, state_hash), *effects]

    def _turn(self, now: float) -> tuple[Self, Effects]:
        """The peer wants a part."""
        if not self.unsent:
            return self._pull([self._disarm(Timer.STREAM_NEXT)] if self.giver is Giver.SENT else [], now)
        timer = self._arm(Timer.STREAM_NEXT, now + self.link.settings.stream_idle)
        return replace(self, giver=Giver.QUEUED), [timer] if self.giver is Giver.SILENT else []

    def _pull(self, effects: Effects, now: float) -> tuple[Self, Effects]:
        timer = self._arm(Timer.STREAM_MADE, now + self.link.settings.handler_timeout)
        return replace(self, giver=Giver.PRODUCING), [*effects, timer, PullPart(self.link.conn, self.theirs)]

    def _made(self, stream: int, part: Part | None, now: float) -> tuple[Self, Effects]:
        if self.giver is not Giver.PRODUCING or stream != self.theirs:
            return self.ignore("PartMade")
        made = self._disarm(Timer.STREAM_MADE)
        if part is None:
            after, effects = self._end("" if self.gone == START else f"no part {self.gone.kind.name}")
            return after, [made, *effects]
        try:
            gone = self.gone.after(part, self.link.settings.max_trees)
            payload = encode_message(Channel.STREAMING, StreamResponse(stream, part))
        except BinProtError as error:
            after, effects = self._end(str(error))
            return after, [made, *effects]
        after, effects = self.push([payload], gone=gone, giver=Giver.SILENT if gone.over else Giver.SENT)
        if gone.over:
            return after, [made, CloseStream(self.link.conn, stream), *effects]
        return after, [made, self._arm(Timer.STREAM_NEXT, now + self.link.settings.stream_idle), *effects]

    def _end(self, fault: str = "") -> tuple[Self, Effects]:
        """We end the peer's stream, before its last part."""
        close = CloseStream(self.link.conn, self.theirs, fault)
        if self.unsent:
            return replace(self, giver=Giver.ENDING), [close]
        after, effects = self._part_with()
        return after, [close, *effects]

    def _emptied(self, effects: Effects, now: float) -> tuple[Self, Effects]:
        """Everything that was sent is on the wire."""
        if self.giver is Giver.QUEUED:
            return self._pull([*effects, self._disarm(Timer.STREAM_NEXT)], now)
        if self.giver is not Giver.ENDING:
            return self, effects
        after, more = self._part_with()
        return after, [*effects, *more]

    def _part_with(self) -> tuple[Self, Effects]:
        return self.say(StreamResponse(self.theirs, None), giver=Giver.SILENT)
