"""Channel 7: questions and answers in both directions (protocol.md §7).

Ours: asked → answered, or timed out, or abandoned by the caller; the last two still count against the limit until the
peer's answer comes, because the peer counts them too. Theirs: asked → handled by the application → answered.

Events: ChannelOpened, MessageReceived, MessagesSent, RequestMade, RequestCancelled, RequestHandled, and TimerFired of
CAUTION, RPC_REPLY and HANDLER. Effects: Send, Expect, HandleRequest, AbandonRequest, CompleteRequest, FailRequest,
timers.

The peer's misbehaviour raises `RemoteProtocolError`; `peer` closes the connection with it.

Large messages are answers: they are received only while the peer owes us one. A request has at most 64 KiB.

An answer that nobody waits for any more is still owed, and counts (§7); a peer that never gives it is no use, and its
connection ends.

Bounds: at most `max_pending_requests` unanswered in each direction. As many handlers and unsent answers together are
allowed; further requests wait their turn, so a peer that asks and does not read makes us hold no more than that.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from mina_webrtc.errors import BinProtError, LocalProtocolError, RemoteProtocolError
from mina_webrtc.machines.channel import Clear, Lane, Unopened, Way
from mina_webrtc.machines.part import Stalled
from mina_webrtc.machines.state import Attempt
from mina_webrtc.machines.vocab import (
    AbandonRequest,
    CancelTimer,
    ChannelOpened,
    CompleteRequest,
    Effect,
    Event,
    Expect,
    FailRequest,
    HandleRequest,
    Ignored,
    MessageReceived,
    MessagesSent,
    RequestCancelled,
    RequestHandled,
    RequestMade,
    SetTimer,
    Timer,
    TimerFired,
)
from mina_webrtc.wire.channels import Channel
from mina_webrtc.wire.messages import Rpc, RpcRequest, RpcResponse, decode, decode_initial_peers, encode

RpcStep = tuple["Requests", list[Effect]]

FIRST_ID = 1
"""Ids start at 0 or 1 and grow (§7)."""


class AnswerPeers(Effect, frozen=True):
    """The peer asks for addresses: `peers`, which knows them, answers with `RequestHandled`. Never leaves the core."""

    conn: int
    rpc_id: int


class Asked(Struct, frozen=True):
    """Our request that the peer has not answered. `request` is the caller's handle; None when nobody waits any more."""

    id: int
    kind: Rpc
    request: int | None


class Asking(Struct, frozen=True):
    """The peer's request that we have not answered. `body` is there until its handler is started."""

    id: int
    kind: Rpc
    body: bytes | None


class Requests(Struct, frozen=True):
    """All of channel 7 of one ready peer."""

    link: Attempt
    lane: Lane
    next_id: int = FIRST_ID
    asked: tuple[Asked, ...] = ()
    last_id: int = -1
    """The highest id the peer has used."""
    asking: tuple[Asking, ...] = ()
    unsent: tuple[bool, ...] = ()
    """Messages given to the channel and not on the wire yet, oldest first; True for answers."""

    @staticmethod
    def new(link: Attempt, caution: float) -> Requests:
        """`caution` as in `channel.Way`."""
        return Requests(link, Unopened(Way(link.conn, Channel.RPC, caution)))

    def on(self, event: Event, now: float) -> RpcStep:
        """The next value and what is to be done. Raises `RemoteProtocolError` when the peer breaks the protocol."""
        match event:
            case MessageReceived(payload=payload):
                return self._received(event, payload, now)
            case MessagesSent(count=count):
                return self._left(count, now)
            case RequestMade():
                return self._ask(event, now)
            case RequestCancelled(request=request):
                return self._abandon(request, now)
            case RequestHandled(rpc_id=rpc_id, body=body):
                return self._handled(rpc_id, body, now)
            case TimerFired(timer=Timer.RPC_REPLY, key=key):
                return self._timed_out(key, now)
            case TimerFired(timer=Timer.HANDLER, key=key):
                return self._handler_timed_out(key, now)
            case ChannelOpened() | TimerFired():
                lane, effects = self.lane.on(event, now)
                return self._in(lane), effects
        raise LocalProtocolError(f"{type(event).__name__} on channel 7 of connection {self.link.conn}")

    def release(self) -> list[Effect]:
        """What has to be undone, and who has to be told, when the connection ends."""
        conn = self.link.conn
        effects = self.lane.release()
        for ours in self.asked:
            effects.append(CancelTimer(Timer.RPC_REPLY, conn, ours.id))
            if ours.request is not None:
                effects.append(FailRequest(ours.request, "closed"))
        for theirs in self.asking:
            if theirs.body is None:
                effects += [CancelTimer(Timer.HANDLER, conn, theirs.id), AbandonRequest(conn, theirs.id)]
        return effects

    def _in(self, lane: Lane) -> Requests:
        return self if lane is self.lane else replace(self, lane=lane)

    # ------------------------------------------------------------ ours

    def _ask(self, event: RequestMade, now: float) -> RpcStep:
        if len(self.asked) >= self.link.settings.max_pending_requests:
            return self, [FailRequest(event.request, "too_many_requests")]
        try:
            kind = Rpc(event.kind)
            payload = encode(RpcRequest(self.next_id, kind, event.body))
        except ValueError as error:
            return self, [FailRequest(event.request, "bad_request", str(error))]
        if len(payload) > Channel.RPC.max_unasked:
            return self, [FailRequest(event.request, "too_large", f"{len(payload)} bytes")]
        # the peer owes nothing while the request still waits here
        wait = event.timeout if isinstance(self.lane, Clear) else event.timeout + self.lane.way.caution
        timer = SetTimer(Timer.RPC_REPLY, self.link.conn, self.next_id, now + wait)
        asked = (*self.asked, Asked(self.next_id, kind, event.request))
        expect = [] if self.asked else [Expect(self.link.conn, Channel.RPC, True)]
        lane, effects = self.lane.push(payload)
        after = replace(self, lane=lane, next_id=self.next_id + 1, asked=asked, unsent=(*self.unsent, False))
        return after, [timer, *expect, *effects]

    def _answered(self, response: RpcResponse) -> RpcStep:
        ours = next((asked for asked in self.asked if asked.id == response.id), None)
        if ours is None:
            raise RemoteProtocolError(f"an answer to request {response.id}, which is not open")
        if response.kind is not None and response.kind is not ours.kind:
            raise RemoteProtocolError(f"a {response.kind.name} answer to a {ours.kind.name} request")
        self._examine(response)
        after = replace(self, asked=tuple(asked for asked in self.asked if asked is not ours))
        expect = [] if after.asked else [Expect(self.link.conn, Channel.RPC, False)]
        cancel = CancelTimer(Timer.RPC_REPLY, self.link.conn, ours.id)
        if ours.request is None:
            return after, [*expect, cancel, Ignored(self.link.conn, "RpcResponse")]
        return after, [*expect, cancel, CompleteRequest(ours.request, response.body)]

    def _examine(self, response: RpcResponse) -> None:
        """Peer lists are no opaque bytes (§7): what does not decode is the peer's fault, as in any message."""
        if response.kind is not Rpc.INITIAL_PEERS or response.body is None:
            return
        try:
            decode_initial_peers(response.body, self.link.settings.max_initial_peers)
        except BinProtError as error:
            raise RemoteProtocolError(f"not a list of peers: {error}") from error

    def _abandon(self, request: int, now: float) -> RpcStep:
        ours = next((asked for asked in self.asked if asked.request == request), None)
        if ours is None:
            return self, [Ignored(self.link.conn, "RequestCancelled")]
        return self._orphan(ours, now)

    def _timed_out(self, id_: int, now: float) -> RpcStep:
        ours = next((asked for asked in self.asked if asked.id == id_), None)
        if ours is None:
            return self, [Ignored(self.link.conn, "TimerFired")]
        if ours.request is None:
            raise Stalled(f"request {id_}, a {ours.kind.name}, was never answered")
        after, effects = self._orphan(ours, now)
        return after, [*effects, FailRequest(ours.request, "timeout")]

    def _orphan(self, ours: Asked, now: float) -> RpcStep:
        # §7: it counts until the peer answers, as it does on the peer's side
        asked = tuple(replace(asked, request=None) if asked is ours else asked for asked in self.asked)
        timer = SetTimer(Timer.RPC_REPLY, self.link.conn, ours.id, now + self.link.settings.stalled)
        return replace(self, asked=asked), [timer]

    # ------------------------------------------------------------ theirs

    def _received(self, event: Event, payload: bytes, now: float) -> RpcStep:
        try:
            message = decode(payload)
        except BinProtError as error:
            raise RemoteProtocolError(f"not a message of channel 7: {error}") from error
        lane, effects = self.lane.on(event, now)
        heard = self._in(lane)
        if isinstance(message, RpcRequest):
            if len(payload) > Channel.RPC.max_unasked:
                raise RemoteProtocolError(f"a request of {len(payload)} bytes, at most {Channel.RPC.max_unasked}")
            after, more = heard._queue(message, now)
        else:
            after, more = heard._answered(message)
        return after, effects + more

    def _queue(self, request: RpcRequest, now: float) -> RpcStep:
        if request.id <= self.last_id:
            raise RemoteProtocolError(f"request id {request.id} after {self.last_id}: ids never repeat, they grow")
        if len(self.asking) >= self.link.settings.max_pending_requests:
            raise RemoteProtocolError(f"more than {len(self.asking)} unanswered requests")
        asking = (*self.asking, Asking(request.id, request.kind, request.body))
        return replace(self, last_id=request.id, asking=asking)._pump(now, [])

    def _pump(self, now: float, effects: list[Effect]) -> RpcStep:
        """Starts handlers while there is room for their answers."""
        busy = sum(self.unsent) + sum(theirs.body is None for theirs in self.asking)
        asking = list(self.asking)
        for index, theirs in enumerate(asking):
            if theirs.body is None:
                continue
            if busy >= self.link.settings.max_pending_requests:
                break
            busy += 1
            asking[index] = replace(theirs, body=None)
            effects += self._start(theirs, theirs.body, now)
        return replace(self, asking=tuple(asking)), effects

    def _start(self, theirs: Asking, body: bytes, now: float) -> list[Effect]:
        conn = self.link.conn
        if theirs.kind is Rpc.INITIAL_PEERS:
            return [AnswerPeers(conn, theirs.id)]
        wait = self.link.settings.handler_timeout
        if theirs.kind is Rpc.STAGED_LEDGER:
            wait = max(wait, theirs.kind.timeout)  # which the peer waits for longer than for anything else (§7)
        timer = SetTimer(Timer.HANDLER, conn, theirs.id, now + wait)
        return [timer, HandleRequest(conn, self.link.peer, theirs.id, theirs.kind, body)]

    def _handled(self, id_: int, body: bytes | None, now: float) -> RpcStep:
        theirs = self._started(id_)
        if theirs is None:
            return self, [Ignored(self.link.conn, "RequestHandled")]
        return self._answer(theirs, body, now, [CancelTimer(Timer.HANDLER, self.link.conn, id_)])

    def _handler_timed_out(self, id_: int, now: float) -> RpcStep:
        theirs = self._started(id_)
        if theirs is None:
            return self, [Ignored(self.link.conn, "TimerFired")]
        return self._answer(theirs, None, now, [AbandonRequest(self.link.conn, id_)])

    def _started(self, id_: int) -> Asking | None:
        return next((asking for asking in self.asking if asking.id == id_ and asking.body is None), None)

    def _answer(self, theirs: Asking, body: bytes | None, now: float, effects: list[Effect]) -> RpcStep:
        payload = encode(RpcResponse(theirs.id, None if body is None else theirs.kind, body))
        if len(payload) > Channel.RPC.max_message:
            # no form of this answer fits the channel, and the peer waits: we do not have one that does
            payload = encode(RpcResponse(theirs.id, None, None))
        lane, more = self.lane.push(payload)
        asking = tuple(asking for asking in self.asking if asking is not theirs)
        after = replace(self, lane=lane, asking=asking, unsent=(*self.unsent, True))
        return after._pump(now, effects + more)

    def _left(self, count: int, now: float) -> RpcStep:
        if count > len(self.unsent):
            raise LocalProtocolError(f"{count} messages sent of {len(self.unsent)} on connection {self.link.conn}")
        return replace(self, unsent=self.unsent[count:])._pump(now, [])
