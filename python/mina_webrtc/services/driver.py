"""The loop: an event, a transition, its effects, the next deadline. It performs and reports; it decides nothing.

Events are queued and drained one at a time, also those that performing an effect causes, so that a machine never sees
an event from inside its own transition (architecture rule 3).
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from mina_webrtc.errors import (
    ClosedError,
    CryptoError,
    DialError,
    MinaWebrtcError,
    NonContributoryKeyError,
    ResolveError,
    SdpError,
    SignalError,
    SignalingError,
    TransportError,
)
from mina_webrtc.machines import vocab as v
from mina_webrtc.services.base import (
    AddressMemory,
    OfferPort,
    SignalReply,
    TransportFactory,
    TransportSettings,
    TransportStats,
)
from mina_webrtc.services.items import Items
from mina_webrtc.services.keys import Keys
from mina_webrtc.services.link import Link
from mina_webrtc.services.requests import Requests
from mina_webrtc.services.streams import Streams
from mina_webrtc.store import Store
from mina_webrtc.wire.address import DialAddress, Relayed
from mina_webrtc.wire.signal import Offer

log = logging.getLogger("mina_webrtc.driver")

T = TypeVar("T")


class Driver:
    """Runs one store on the current event loop."""

    def __init__(
        self,
        store: Store,
        keys: Keys,
        transports: TransportFactory,
        transport_settings: TransportSettings,
        offers: OfferPort,
        on_notice: Callable[[v.Notice], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._store = store
        self._keys = keys
        self._transports = transports
        self._transport_settings = transport_settings
        self._offers = offers
        self._on_notice = on_notice
        self.memory: AddressMemory | None = None
        self._queue: deque[v.Event] = deque()
        self._draining = False
        self._closed = False
        self._timer: asyncio.TimerHandle | None = None
        self._links: dict[int, Link] = {}
        self.items = Items(self.dispatch)
        self.requests = Requests(self.dispatch, self._links)
        self.streams = Streams(self.dispatch, self._links)
        self._closing: set[asyncio.Task[None]] = set()
        self._ids = 0
        self._dials: dict[int, asyncio.Future[int]] = {}
        self._signals: dict[int, asyncio.Future[SignalReply]] = {}
        self._performers: dict[type[v.Effect], Callable[[Any], None]] = {
            v.CreateOffer: self._create_offer,
            v.CreateAnswer: self._create_answer,
            v.SetAnswer: self._set_answer,
            v.Send: self._send,
            v.Expect: self._expect_large,
            v.Admit: self._admit,
            v.CloseChannel: self._close_channel,
            v.CloseConnection: self._close_connection,
            v.PrepareOffer: self._prepare_offer,
            v.SendOffer: self._send_offer,
            v.Respond: self._respond,
            v.OpenAnswer: self._open_answer,
            v.OpenOffer: self._open_offer,
            v.SealAnswer: self._seal_answer,
            v.SealAuth: self._seal_auth,
            v.OpenAuth: self._open_auth,
            v.KeepAddress: self._keep_address,
            v.DropAddress: self._drop_address,
            v.DialSucceeded: self._dial_succeeded,
            v.DialFailed: self._dial_failed,
            **self.requests.performers,
            **self.streams.performers,
            **self.items.performers,
        }

    # ------------------------------------------------------------ what the façade calls

    async def dial(self, address: DialAddress) -> int:
        """Dials and returns the connection's id when its peer is ready. Raises `DialError`."""
        dial, future = self._expect(self._dials)
        self.dispatch(v.DialRequested(dial, address))
        try:
            return await future
        except asyncio.CancelledError:
            self.dispatch(v.DialCancelled(dial))
            raise
        finally:
            self._dials.pop(dial, None)

    async def on_offer(self, offer: Offer, source: str) -> SignalReply:
        """The signaling server's handler: gives the offer to the machines and waits for their answer."""
        signal, future = self._expect(self._signals)
        self.dispatch(v.OfferReceived(signal, offer, source, self._keys.is_own(offer.sdp)))
        try:
            return await future
        except asyncio.CancelledError:
            self.dispatch(v.OfferWithdrawn(signal))
            raise
        finally:
            self._signals.pop(signal, None)

    def transport_stats(self, conn: int) -> TransportStats | None:
        """Counters of a live connection."""
        link = self._links.get(conn)
        return link.transport.stats() if link else None

    async def close(self) -> None:
        """Closes every connection and waits until all of them are free. Idempotent."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for conn in list(self._links):
            self._close_connection(v.CloseConnection(conn))
        self._keys.close()
        closed = ClosedError("the node was closed")
        waiting: list[asyncio.Future[Any]] = [*self._dials.values(), *self._signals.values()]
        for future in waiting:
            if not future.done():
                future.set_exception(closed)
        self.requests.close(closed)
        self.streams.close(closed)
        await self.items.close()
        await self._offers.close()
        while self._closing:
            await asyncio.gather(*self._closing)

    # ------------------------------------------------------------ the loop

    def dispatch(self, event: v.Event) -> None:
        """Queues an event and drains the queue, unless that is going on already."""
        if self._closed:
            return
        self._queue.append(event)
        if not self._draining:
            self._drain()

    def _drain(self) -> None:
        self._draining = True
        try:
            while self._queue:
                self._step(self._queue.popleft())
        finally:
            self._draining = False
        self._arm()

    def _step(self, event: v.Event) -> None:
        try:
            effects = self._store.dispatch(event, self._loop.time())
        except Exception as error:
            self._bug(type(event).__name__, error)
            return
        for effect in effects:
            try:
                if isinstance(effect, v.Notice):
                    self._on_notice(effect)
                else:
                    self._performers[type(effect)](effect)
            except Exception as error:
                self._bug(type(effect).__name__, error)

    def _bug(self, subject: str, error: Exception) -> None:
        # architecture rule 3: our bug is loud, but one bug must not take the other connections or the deadlines down
        self._loop.call_exception_handler({"message": f"bug around {subject}", "exception": error})

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self._store.deadline()
        if deadline is not None and not self._closed:
            self._timer = self._loop.call_at(deadline, self._expire)

    def _expire(self) -> None:
        self._timer = None
        now = self._loop.time()
        while (event := self._store.next_due(now)) is not None:
            self.dispatch(event)
        self._arm()

    # ------------------------------------------------------------ transport

    def _open(self, conn: int) -> Link:
        link = Link(conn, self.dispatch)
        link.transport = self._transports(self._transport_settings, link)
        self._links[conn] = link
        return link

    def _create_offer(self, effect: v.CreateOffer) -> None:
        link = self._open(effect.conn)
        link.spawn(self._make_sdp(link, link.transport.create_offer(), v.OfferSdpCreated))

    def _create_answer(self, effect: v.CreateAnswer) -> None:
        link = self._open(effect.conn)
        link.spawn(self._make_sdp(link, link.transport.create_answer(effect.offer_sdp), v.AnswerSdpCreated))

    async def _make_sdp(
        self, link: Link, made: Awaitable[str], event: type[v.OfferSdpCreated] | type[v.AnswerSdpCreated]
    ) -> None:
        try:
            sdp = await made
        except (SdpError, TransportError) as error:
            self.dispatch(v.SdpFailed(link.conn, isinstance(error, SdpError), str(error)))
            return
        if link.live:  # or nobody would say that these are ours no longer
            self._keys.own(link.conn, link.transport.fingerprints)
            self.dispatch(event(link.conn, sdp))

    def _set_answer(self, effect: v.SetAnswer) -> None:
        link = self._links[effect.conn]

        async def accept() -> None:
            try:
                await link.transport.set_answer(effect.answer_sdp)
            except (SdpError, TransportError) as error:
                self.dispatch(v.SdpFailed(link.conn, isinstance(error, SdpError), str(error)))

        link.spawn(accept())

    def _send(self, effect: v.Send) -> None:
        self._links[effect.conn].transport.send([(effect.channel, effect.payload)])

    def _expect_large(self, effect: v.Expect) -> None:
        self._links[effect.conn].transport.expect(effect.channel, effect.large)

    def _admit(self, effect: v.Admit) -> None:
        self._links[effect.conn].transport.admit()

    def _close_channel(self, effect: v.CloseChannel) -> None:
        self._links[effect.conn].transport.close_channel(effect.channel)

    def _close_connection(self, effect: v.CloseConnection) -> None:
        link = self._links.pop(effect.conn, None)
        if link is None:
            return
        link.live = False
        self._keys.forget(effect.conn)
        task = self._loop.create_task(link.shut())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    # ------------------------------------------------------------ signaling and keys

    def _prepare_offer(self, effect: v.PrepareOffer) -> None:
        body = effect.offer.to_json()
        if isinstance(effect.method, Relayed):
            try:
                body = self._keys.seal_offer(effect.conn, effect.target.public_key, effect.offer)
            except CryptoError as error:
                self.dispatch(v.SignalingFailed(effect.conn, "unsealable", str(error)))
                return
        self.dispatch(v.OfferPrepared(effect.conn, body))

    def _send_offer(self, effect: v.SendOffer) -> None:
        link = self._links[effect.conn]

        def sent() -> None:
            if link.live:
                self.dispatch(v.OfferSent(effect.conn))

        async def exchange() -> None:
            try:
                response = await self._offers.send(
                    effect.method, effect.body, timeout=effect.timeout, learnt=effect.learnt, on_sent=sent
                )
            except (SignalingError, ResolveError) as error:
                self.dispatch(v.SignalingFailed(effect.conn, _reason(error), str(error)))
                return
            own = response.answer is not None and self._keys.is_own(response.answer.sdp)
            self.dispatch(v.AnswerReceived(effect.conn, response, own))

        link.spawn(exchange())

    def _respond(self, effect: v.Respond) -> None:
        conn = effect.conn

        def written(complete: bool) -> None:
            if conn is None or conn not in self._links:
                return
            if complete:
                self.dispatch(v.AnswerSent(conn))
            else:
                self.dispatch(v.SignalingFailed(conn, "hung_up", "the offerer went away before our answer"))

        future = self._signals.get(effect.signal)
        if future is None or future.done():
            written(False)
        else:
            future.set_result(SignalReply(effect.response, effect.overloaded, written))

    def _open_answer(self, effect: v.OpenAnswer) -> None:
        try:
            response = self._keys.open_answer(effect.conn, effect.peer, effect.sealed)
        except (CryptoError, SignalError) as error:
            self.dispatch(v.SignalingFailed(effect.conn, "undecryptable", str(error)))
            return
        own = response.answer is not None and self._keys.is_own(response.answer.sdp)
        self.dispatch(v.AnswerReceived(effect.conn, response, own))

    def _open_offer(self, effect: v.OpenOffer) -> None:
        try:
            offer = self._keys.open_offer(effect.offerer, effect.sealed)
        except (CryptoError, SignalError):
            self.dispatch(v.OfferOpened(effect.signal, None, False))
            return
        self.dispatch(v.OfferOpened(effect.signal, offer, self._keys.is_own(offer.sdp)))

    def _seal_answer(self, effect: v.SealAnswer) -> None:
        try:
            sealed = self._keys.seal_answer(effect.offerer, effect.response)
        except CryptoError:
            self.dispatch(v.AnswerSealed(effect.signal, None))
            return
        self.dispatch(v.AnswerSealed(effect.signal, sealed))

    def _seal_auth(self, effect: v.SealAuth) -> None:
        try:
            sealed = self._keys.seal_auth(effect.conn, effect.peer, effect.auth)
        except NonContributoryKeyError:
            # protocol.md §2: a small-order key opens nothing, so this peer can never authenticate
            self.dispatch(v.AuthOpened(effect.conn, v.AuthVerdict.UNDECRYPTABLE))
            return
        self.dispatch(v.AuthSealed(effect.conn, sealed))

    def _open_auth(self, effect: v.OpenAuth) -> None:
        verdict = self._keys.open_auth(effect.conn, effect.peer, effect.auth, effect.received)
        self.dispatch(v.AuthOpened(effect.conn, verdict))

    # ------------------------------------------------------------ known addresses

    def _keep_address(self, effect: v.KeepAddress) -> None:
        if self.memory is not None:
            self.memory.keep(effect.known)

    def _drop_address(self, effect: v.DropAddress) -> None:
        if self.memory is not None:
            self.memory.drop(effect.address)

    # ------------------------------------------------------------ the application

    def _dial_succeeded(self, effect: v.DialSucceeded) -> None:
        future = self._dials.get(effect.dial)
        if future is not None and not future.done():
            future.set_result(effect.conn)

    def _dial_failed(self, effect: v.DialFailed) -> None:
        future = self._dials.get(effect.dial)
        if future is not None and not future.done():
            failure = effect.failure
            future.set_exception(DialError(failure.stage.value, failure.reason, failure.detail))

    def _expect(self, waiting: dict[int, asyncio.Future[T]]) -> tuple[int, asyncio.Future[T]]:
        if self._closed:
            raise ClosedError("the node is closed")
        self._ids += 1
        future = waiting[self._ids] = self._loop.create_future()
        return self._ids, future


def _reason(error: MinaWebrtcError) -> str:
    default = "unresolvable" if isinstance(error, ResolveError) else "failed"
    return str(getattr(error, "reason", default))
